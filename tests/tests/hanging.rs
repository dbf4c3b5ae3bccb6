//! While a stage of the policy hangs, the process goes on: its runtime comes round, and a cancel takes
//! effect at once.

use serde_json::json;
use std::{
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};
use troupe::{
    Events, Opening, Setup, Troupe,
    config::{LoadOptions, load},
    policy::Hook,
    types::{Event, Op, Outcome, Record},
};
use troupe_tests::{binary, model_server::*, stage::Stage};

/// The longest that a cancel may take, and that the runtime may stand still.
const AT_ONCE: Duration = Duration::from_millis(100);

async fn ended(events: &mut Events) -> Outcome {
    loop {
        let event = events.next().await.expect("the session is open");
        if let Event::Durable(line) = event
            && let Record::TurnFinished(body) = line.record
        {
            return body.result;
        }
    }
}

/// A turn whose call hangs in the policy is interrupted: how long the cancel took.
async fn interrupted(stage: &Stage, server: &ModelServer) -> Duration {
    let mut options = LoadOptions::new(stage.work());
    options.variables = vec![
        ("TROUPE_HOME".into(), stage.troupe_home().into()),
        ("HOME".into(), stage.home().into()),
    ];
    options.overrides = vec![
        "model=\"m\"".to_owned(),
        "model_provider=\"test\"".to_owned(),
        format!("model_providers.test.base_url=\"{}\"", server.url()),
    ];
    let loaded = load(&options).unwrap();
    let settings =
        loaded.config.session_settings(&stage.work(), "test", "m", 5, &loaded.places).unwrap();
    let (hold, held) = mpsc::channel::<()>();
    let (reached, mut reaches) = tokio::sync::mpsc::channel(1);
    let held = Mutex::new(held);
    let hook: Hook = Arc::new(move |_| {
        let _told = reached.try_send(());
        // Until the test lets go.
        let _gone = held.lock().unwrap().recv();
        Ok(())
    });
    let mut setup = Setup::new(&loaded);
    setup.launcher = Some(binary::troupe().to_owned());
    setup.policy.hook = Some(hook);
    let troupe = Troupe::start(setup);
    let conversation = troupe.open(Opening::new(settings)).await.unwrap();
    let mut events = conversation.events();
    conversation.submit(Op::prompt("go")).await.unwrap();
    reaches.recv().await.unwrap();
    let began = Instant::now();
    conversation.submit(Op::Interrupt).await.unwrap();
    assert_eq!(ended(&mut events).await, Outcome::Cancelled);
    let took = began.elapsed();
    drop(hold);
    troupe.stop().await;
    took
}

#[tokio::test]
async fn a_cancel_takes_effect_while_a_stage_of_the_policy_hangs() {
    let mut times = Vec::new();
    // A machine that is busy with something else may take the processor away for longer than that.
    for _ in 0..3 {
        let server = ModelServer::start(Script::always(call(
            "shell",
            json!({ "command": "echo ran > ran" }),
        )));
        let stage = Stage::new();
        let took = interrupted(&stage, &server).await;
        assert!(!stage.exists("ran"));
        times.push(took);
        if took <= AT_ONCE {
            return;
        }
    }
    panic!("the cancel took {times:?}");
}
