//! The live tree as data.

use crate::common::*;
use std::{sync::Arc, time::Duration};
use troupe_kit::{Fault, Moment, Phase};

both! {
    async fn depths_ages_and_high_water() {
        let stage = Stage::plain(8);
        stage.toy.tell(Say::act(|_, cx| cx.pause_bulk())).unwrap();
        stage.ask(1).await;
        let view = || stage.root.view().find("toy").unwrap().clone();
        assert_eq!((view().bulk.depth, view().bulk.oldest), (0, None));
        for number in 0..5 {
            stage.toy.offer(Say::Note(number)).await.unwrap();
        }
        let younger = view().bulk.oldest.unwrap();
        eventually("it ages", || view().bulk.oldest.unwrap() > younger + Duration::from_millis(2)).await;
        assert_eq!((view().bulk.depth, view().bulk.high_water), (5, 5));
        stage.toy.tell(Say::act(|_, cx| cx.resume_bulk())).unwrap();
        stage.trace.until("note 4").await;
        stage.ask(2).await;
        // Counted when the answer is out.
        eventually("all are counted", || view().handled == 9).await;
        let view = view();
        assert_eq!((view.bulk.depth, view.bulk.high_water, view.bulk.oldest), (0, 5, None));
        assert_eq!((view.phase, view.incarnation, view.restarts), (Phase::Running, 1, 0));
        assert!(view.wait > Duration::ZERO && view.handling_max >= view.handling);
        assert!(view.control.high_water <= 4, "{view:?}");
        stage.stop().await;
    }

    async fn restarts_errors_and_tasks() {
        let stage = Stage::plain(8);
        stage.toy.tell(Say::act(|_, cx| {
            cx.task(|_| std::future::pending());
            cx.task(|_| std::future::pending());
        })).unwrap();
        stage.ask(1).await;
        let view = || stage.root.view().find("toy").unwrap().clone();
        eventually("they are counted", || view().tasks == 2).await;
        for round in 1..4 {
            stage.trace.until(&format!("start {round}")).await;
            stage.toy.tell(Say::Boom(round)).unwrap();
        }
        stage.trace.until("start 4").await;
        let view = view();
        assert_eq!((view.incarnation, view.restarts, view.tasks), (4, 3, 0));
        assert_eq!(view.last_error.as_deref(), Some("panicked: boom 3"));
        stage.stop().await;
    }

    /// Wait and handling times are those of the clock.
    async fn waits_are_measured() {
        let stage = Stage::plain(8);
        stage.kit.faults.inject(Fault {
            role: "toy".into(), at: 1, moment: Moment::Delay(Duration::from_millis(20)),
        });
        stage.toy.tell(Say::Note(1)).unwrap();
        stage.ask(1).await;
        let view = stage.root.view().find("toy").unwrap().clone();
        assert!(view.wait >= Duration::from_millis(10), "{view:?}");
        stage.stop().await;
    }

    async fn the_tree_is_found_by_path() {
        let stage = Stage::plain(8);
        stage.ask(1).await;
        let view = stage.root.view();
        assert_eq!(view.name, "root");
        assert!(view.find("toy").is_some() && view.find("toy/more").is_none());
        assert_eq!(view.find("").unwrap().children.len(), 1);
        let mut seen = Vec::new();
        view.walk(&mut |depth, node| seen.push((depth, node.name.clone())));
        assert_eq!(seen, [(0, "root".to_owned()), (1, "toy".to_owned())]);
        stage.stop().await;
    }

    /// Where a role stands, while its starts wait for permission.
    async fn phases() {
        let may_start = Arc::new(tokio::sync::Semaphore::new(0));
        let gate = Arc::clone(&may_start);
        let script = Script {
            start: Some(Arc::new(move |_| {
                let gate = Arc::clone(&gate);
                Box::pin(async move {
                    gate.acquire().await.unwrap().forget();
                    Ok(())
                })
            })),
            ..Script::default()
        };
        let stage = Stage::new::<false>(1, script, |spec| spec);
        let phase = || (stage.toy.phase(), stage.root.view().find("toy").unwrap().phase);
        stage.trace.until("starting").await;
        assert_eq!(phase(), (Phase::Restarting, Phase::Restarting));
        may_start.add_permits(1);
        stage.ask(1).await;
        assert_eq!(phase(), (Phase::Running, Phase::Running));
        stage.toy.tell(Say::Boom(1)).unwrap();
        stage.trace.until_count("starting", 2).await;
        assert_eq!(phase(), (Phase::Restarting, Phase::Restarting));
        may_start.add_permits(1);
        stage.ask(2).await;
        assert_eq!(phase(), (Phase::Running, Phase::Running));
        let toy = stage.toy.clone();
        stage.stop().await;
        assert_eq!(toy.phase(), Phase::Closed);
    }
}
