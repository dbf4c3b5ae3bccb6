//! Any sequence of inputs: every start has one end, no call starts twice, no call goes to the model
//! without its output, outputs are in the order of the calls. What runs beside a call is what may
//! ([`World::new`] says how many, and whether commands do).

mod world;

use proptest::{prelude::*, test_runner::Config};
use std::{
    collections::{HashMap, VecDeque},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
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
    let mut open = VecDeque::new();
    for item in &request.items {
        match &**item {
            Item::Call(call) => open.push_back(call.call),
            Item::Output(output) => {
                let next = open.pop_front();
                assert_eq!(next, Some(output.call), "outputs follow their calls, in order");
            }
            _ => assert!(open.is_empty(), "calls are answered before anything else follows"),
        }
    }
    assert!(open.is_empty(), "every call has an output");
}

fn play(most: u32, side_by_side: bool, events: &[u16]) -> (u64, usize) {
    let mut world = World::new(most, side_by_side);
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
    for line in &world.log {
        if let Record::CallFinished(body) = &line.record
            && let Some(outcome) = world.ended.get(&body.call)
        {
            assert_eq!(&body.outcome, outcome, "a known end is recorded; {:?}", world.last_lines());
        }
    }
    assert!(world.machine.state.core.turn.is_none(), "no turn stays open");
    assert!(world.machine.state.core.inbox.is_empty(), "no prompt waits for ever");
    (world.steps, world.at_once)
}

#[test]
fn any_sequence_of_inputs_ends_well() {
    let steps = AtomicU64::new(0);
    let at_once = AtomicUsize::new(0);
    let most = prop::sample::select(vec![1, 2, 3, 8]);
    let events = (most, any::<bool>(), prop::collection::vec(any::<u16>(), 0..1_500));
    let mut cases = 0;
    while steps.load(Ordering::Relaxed) < STEPS {
        cases += 1;
        let mut runner = proptest::test_runner::TestRunner::new(Config {
            cases: 64,
            max_shrink_iters: 20_000,
            failure_persistence: None,
            ..Config::default()
        });
        let ran = runner.run(&events, |(most, side_by_side, events)| {
            let (taken, together) = play(most, side_by_side, &events);
            steps.fetch_add(taken, Ordering::Relaxed);
            at_once.fetch_max(together, Ordering::Relaxed);
            Ok(())
        });
        if let Err(error) = ran {
            panic!("{error}");
        }
    }
    let at_once = at_once.into_inner();
    assert!((5..=8).contains(&at_once), "several ran at once: {at_once}");
    println!("{} steps in {} sequences", steps.load(Ordering::Relaxed), cases * 64);
}
