//! Fault injection: whom a fault strikes, when, and that it tells.

use crate::common::*;
use troupe_kit::{Company, Fault, Kit, Landed, Mailbox, Moment, Order, Root};

/// One note to `root/worker:7` under a fault for `role`; whether it struck.
async fn strikes(role: &str) -> bool {
    let kit = Kit::default();
    kit.faults.inject(Fault { role: role.into(), at: 1, moment: Moment::Before });
    let worker = Mailbox::new(&kit, "root/worker:7", 1);
    let script = Script::default();
    let trace = script.trace.clone();
    let company = Company::new(&kit, "root", Order::Reverse)
        .with(spec::<true>("worker:7", &worker, script).build());
    let root = Root::start(company);
    worker.tell(Say::Note(1)).unwrap();
    trace.until("note 1").await;
    stopped(&root).await;
    !kit.faults.landed().is_empty()
}

both! {
    async fn a_role_is_named_by_its_path_the_end_of_it_or_its_kind() {
        for role in ["root/worker:7", "worker:7", "worker", "worker:"] {
            assert!(strikes(role).await, "{role}");
        }
        for role in ["root/worker:8", "orker:7", ":7", "7", "work", "root/worker", ""] {
            assert!(!strikes(role).await, "{role}");
        }
    }

    async fn a_fault_strikes_once_at_its_message_and_tells() {
        let stage = Stage::plain(4);
        stage.ask(0).await; // Before the first fault nothing is counted.
        stage.kit.faults.inject(Fault { role: "toy".into(), at: 3, moment: Moment::After });
        for number in 1..=6 {
            stage.toy.tell(Say::Note(number)).unwrap();
        }
        stage.trace.until("note 6").await;
        assert!(stage.trace.at("note 3") < stage.trace.at("start 2"));
        assert!(stage.trace.at("start 2") < stage.trace.at("note 4"));
        assert!(!stage.trace.has("start 3"));
        let landed = Landed { role: "root/toy".into(), at: 3, moment: Moment::After };
        assert_eq!(stage.kit.faults.landed(), [landed]);
        assert_eq!(stage.kit.faults.counts().get("root/toy"), Some(&6));
        stage.stop().await;
    }

    async fn a_fault_that_never_gets_its_turn_has_not_landed() {
        let stage = Stage::plain(4);
        stage.kit.faults.inject(Fault { role: "toy".into(), at: 9, moment: Moment::Before });
        // Messages are not starts.
        stage.kit.faults.inject(Fault { role: "toy".into(), at: 2, moment: Moment::Start });
        stage.ask(1).await;
        stage.ask(2).await;
        assert!(stage.kit.faults.landed().is_empty());
        stage.stop().await;
    }
}
