//! Any sequence of inputs: every start has one end, no call starts twice, no call goes to the model
//! without its output.

mod world;

use proptest::{prelude::*, test_runner::Config};
use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};
use troupe_types::{Item, ModelRequest, Op, Record};
use world::World;

/// Steps of the machine that one run of the property makes at least.
const STEPS: u64 = 1_000_000;

fn check_records(world: &World) {
    let mut starts: HashMap<String, (u32, u32)> = HashMap::new();
    let mut count = |key: String, end: bool| {
        let both = starts.entry(key).or_default();
        if end { both.1 += 1 } else { both.0 += 1 }
    };
    for line in &world.log {
        match &line.record {
            Record::TurnStarted(body) => count(format!("turn {}", body.turn), false),
            Record::TurnFinished(body) => count(format!("turn {}", body.turn), true),
            Record::RequestStarted(body) => count(format!("request {}", body.request), false),
            Record::RequestFinished(body) => count(format!("request {}", body.request), true),
            Record::CallRequested(body) => count(format!("call {}", body.item.call), false),
            Record::CallFinished(body) => count(format!("call {}", body.call), true),
            _ => {}
        }
    }
    for (what, ends) in starts {
        assert_eq!(ends, (1, 1), "{what}: begun, ended; {:?}", world.last_lines());
    }
}

fn check_request(request: &ModelRequest) {
    let mut open = Vec::new();
    for item in &request.items {
        match &**item {
            Item::Call(call) => open.push(call.call),
            Item::Output(output) => {
                let place = open.iter().position(|call| *call == output.call);
                open.remove(place.expect("an output follows its call"));
            }
            _ => assert!(open.is_empty(), "calls are answered before anything else follows"),
        }
    }
    assert!(open.is_empty(), "every call has an output");
}

fn play(events: &[u16]) -> u64 {
    let mut world = World::new();
    world.submit(Op::prompt("begin"));
    for event in events {
        world.happen(*event);
    }
    world.settle();
    check_records(&world);
    world.requests.iter().for_each(check_request);
    for (call, times) in &world.ran {
        assert_eq!(*times, 1, "the call {call} took effect once");
    }
    assert!(world.machine.state.core.turn.is_none(), "no turn stays open");
    assert!(world.machine.state.core.inbox.is_empty(), "no prompt waits for ever");
    world.steps
}

#[test]
fn any_sequence_of_inputs_ends_well() {
    let steps = AtomicU64::new(0);
    let events = prop::collection::vec(any::<u16>(), 0..1_500);
    let mut cases = 0;
    while steps.load(Ordering::Relaxed) < STEPS {
        cases += 1;
        let mut runner = proptest::test_runner::TestRunner::new(Config {
            cases: 64,
            max_shrink_iters: 20_000,
            failure_persistence: None,
            ..Config::default()
        });
        let ran = runner.run(&events, |events| {
            steps.fetch_add(play(&events), Ordering::Relaxed);
            Ok(())
        });
        if let Err(error) = ran {
            panic!("{error}");
        }
    }
    println!("{} steps in {} sequences", steps.load(Ordering::Relaxed), cases * 64);
}
