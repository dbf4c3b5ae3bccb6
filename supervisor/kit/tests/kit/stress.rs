//! Random crashes over a small company: order kept, no effect twice, nothing lost, nothing left.
//!
//! producer ─ bulk, in order ─▶ worker ─ control, one per item ─▶ logger
//!
//! The worker and the logger are idempotent by number, so nothing is lost; what is logged twice or
//! out of order would show in the shared paper.

use crate::common::*;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, TestRng, TestRunner},
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};
use troupe_kit::{
    Backoff, ChildSpec, Company, Context, Exit, Fault, Kit, Life, Mailbox, Moment, Order, Role,
    Root, SpecBuilder, StartError,
};

const ITEMS: u64 = 400;
const LANE: usize = 4;
/// Items that may be on their way to the log: the protocol that bounds its lane of commands.
const IN_FLIGHT: u64 = 128;

/// What outlives every crash: a disk, and the audience.
#[derive(Clone, Default)]
struct World {
    /// What the worker did, in order: its committed effects.
    done: Arc<Mutex<Vec<u64>>>,
    /// What the logger wrote.
    paper: Arc<Mutex<Vec<u64>>>,
    live: Arc<AtomicI64>,
    overlaps: Arc<AtomicU64>,
    starts: Arc<AtomicU64>,
}

/// Counts a live state of its role.
struct Alive(Arc<AtomicI64>, Arc<AtomicI64>);

impl Alive {
    fn new(world: &World, mine: &Arc<AtomicI64>) -> Self {
        world.live.fetch_add(1, Ordering::SeqCst);
        world.starts.fetch_add(1, Ordering::SeqCst);
        if mine.fetch_add(1, Ordering::SeqCst) != 0 {
            world.overlaps.fetch_add(1, Ordering::SeqCst);
        }
        Self(Arc::clone(&world.live), Arc::clone(mine))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Clone)]
struct Props {
    world: World,
    mine: Arc<AtomicI64>,
    worker: Mailbox<Work>,
    logger: Mailbox<Log>,
}

#[derive(Debug)]
struct Produce;

/// Offers the items from where the worker stands; a start is what begins it.
struct Producer(#[expect(dead_code, reason = "counted")] Alive);

impl Role for Producer {
    type Message = Produce;
    type Args = Props;

    async fn start(props: Props, life: Life<Produce>) -> Result<Self, StartError> {
        life.keep(Alive::new(&props.world, &Arc::new(AtomicI64::new(0))));
        Ok(Self(Alive::new(&props.world, &props.mine)))
    }

    fn handle(&mut self, _: &Produce, _: &mut Context<Produce>) {}
}

#[derive(Debug)]
enum Work {
    Item(u64),
}

struct Worker {
    _alive: Alive,
    props: Props,
    /// Rebuilt from the world at start.
    next: u64,
}

impl Role for Worker {
    type Message = Work;
    type Args = Props;
    const IDEMPOTENT: bool = true;

    async fn start(props: Props, _: Life<Work>) -> Result<Self, StartError> {
        let alive = Alive::new(&props.world, &props.mine);
        tokio::task::yield_now().await;
        let next = props.world.done.lock().unwrap().last().copied().unwrap_or(0) + 1;
        Ok(Self { _alive: alive, props, next })
    }

    fn handle(&mut self, Work::Item(number): &Work, cx: &mut Context<Work>) {
        if *number < self.next {
            return; // Offered again by a producer that did not know.
        }
        assert_eq!(*number, self.next, "a gap");
        self.next += 1;
        let (done, number) = (Arc::clone(&self.props.world.done), *number);
        cx.run(move || done.lock().unwrap().push(number));
        cx.send(&self.props.logger, Log(number));
        // A task that would do harm if it outlived its role.
        let alive = Alive::new(&self.props.world, &Arc::new(AtomicI64::new(0)));
        cx.task(move |life| async move {
            let _alive = alive;
            tokio::task::yield_now().await;
            let _heard = life.alive();
        });
    }

    fn set_aside(&mut self, message: &Work, cx: &mut Context<Work>) {
        self.handle(message, cx);
    }
}

#[derive(Debug)]
struct Log(u64);

struct Logger {
    _alive: Alive,
    paper: Arc<Mutex<Vec<u64>>>,
}

impl Role for Logger {
    type Message = Log;
    type Args = Props;
    const IDEMPOTENT: bool = true;

    async fn start(props: Props, _: Life<Log>) -> Result<Self, StartError> {
        let alive = Alive::new(&props.world, &props.mine);
        Ok(Self { _alive: alive, paper: Arc::clone(&props.world.paper) })
    }

    fn handle(&mut self, Log(number): &Log, cx: &mut Context<Log>) {
        let (paper, number) = (Arc::clone(&self.paper), *number);
        cx.run(move || paper.lock().unwrap().push(number));
    }

    fn set_aside(&mut self, message: &Log, cx: &mut Context<Log>) {
        self.handle(message, cx);
    }
}

fn lasting(spec: SpecBuilder) -> SpecBuilder {
    spec.intensity(u32::MAX, Duration::from_secs(10))
        .backoff(Backoff { first: Duration::ZERO, ..Backoff::DEFAULT })
}

/// A random plan of faults, by a seed that a failure names.
fn plan(runner: &mut TestRunner) -> Vec<Fault> {
    let role = proptest::prop_oneof![
        6 => proptest::strategy::Just(("root/team/worker", ITEMS + 60)),
        6 => proptest::strategy::Just(("root/team/logger", ITEMS + 60)),
        4 => proptest::strategy::Just(("root/team", 60)),
        1 => proptest::strategy::Just(("root", 4)),
    ];
    let fault = (role, 0u8..6, 1u64..=1000).prop_map(|((role, most), moment, at)| {
        let moment = [
            Moment::Before,
            Moment::Within,
            Moment::After,
            Moment::Kill,
            Moment::Start,
            Moment::Delay(Duration::from_micros(50)),
        ][usize::from(moment)];
        Fault { role: role.to_owned(), at: at % most + 1, moment }
    });
    let faults = proptest::collection::vec(fault, 60..120).new_tree(runner).unwrap().current();
    // The root gives up after five crashes in a while: four at most.
    let mut root = 0;
    faults
        .into_iter()
        .filter(|fault| {
            // A message that panics three incarnations is dropped, as it should be: not here.
            let panics = matches!(fault.moment, Moment::Before | Moment::Within);
            if panics && fault.at % 3 == 0 {
                return false;
            }
            root += u64::from(fault.role == "root");
            fault.role != "root" || root <= 4
        })
        .collect()
}

async fn play(kit: &Kit) -> World {
    let world = World::default();
    let worker = Mailbox::new(kit, "root/team/worker", LANE);
    let logger = Mailbox::new(kit, "root/team/logger", LANE);
    let producer = Mailbox::new(kit, "root/team/producer", LANE);
    let props = || Props {
        world: world.clone(),
        mine: Arc::default(),
        worker: worker.clone(),
        logger: logger.clone(),
    };
    let team = Company::new(kit, "root/team", Order::Reverse)
        .with(lasting(ChildSpec::of::<Logger>("logger", &logger, props())).build())
        .with(lasting(ChildSpec::of::<Worker>("worker", &worker, props())).build())
        .with(lasting(ChildSpec::of::<Producer>("producer", &producer, props())).build());
    let company = Company::new(kit, "root", Order::Reverse)
        .with(lasting(ChildSpec::supervisor("team", &team)).build());
    let root = Root::start(company);
    // The edge: a front end that offers each item until it is taken.
    let written = || world.paper.lock().unwrap().len() as u64;
    for number in 1..=ITEMS {
        eventually("the log keeps up", || written() + IN_FLIGHT >= number).await;
        props().worker.offer(Work::Item(number)).await.unwrap();
    }
    eventually("all is written", || written() >= ITEMS).await;
    let view = root.view();
    let seen = view.find("team/worker").unwrap();
    assert!(seen.bulk.high_water <= LANE, "{seen:?}");
    view.walk(&mut |_, node| assert!(node.control.high_water <= 256, "{node:?}"));
    assert_eq!(stopped(&root).await, Exit::Normal);
    world
}

fn check(world: &World, kit: &Kit) {
    let all: Vec<u64> = (1..=ITEMS).collect();
    let landed = kit.faults.landed();
    assert_eq!(*world.done.lock().unwrap(), all, "effects, under {landed:?}");
    assert_eq!(*world.paper.lock().unwrap(), all, "the log, under {landed:?}");
    assert_eq!(world.overlaps.load(Ordering::SeqCst), 0, "{landed:?}");
    assert_eq!(world.live.load(Ordering::SeqCst), 0, "{landed:?}");
}

fn stress(seed: u8, rounds: usize, runtime: &tokio::runtime::Runtime) -> usize {
    short_panics();
    let rng = TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut crashes = 0;
    for _ in 0..rounds {
        let kit = Kit::default();
        for fault in plan(&mut runner) {
            kit.faults.inject(fault);
        }
        let world = runtime.block_on(play(&kit));
        check(&world, &kit);
        crashes += kit.faults.landed().len();
        eventually_no_tasks(runtime);
    }
    crashes
}

fn eventually_no_tasks(runtime: &tokio::runtime::Runtime) {
    let metrics = runtime.metrics();
    runtime.block_on(eventually("no task is left", || metrics.num_alive_tasks() == 0));
}

#[test]
fn thousands_of_crashes_on_many_threads() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let crashes = stress(7, 60, &runtime);
    assert!(crashes > 2000, "only {crashes} faults landed");
}

#[test]
fn thousands_of_crashes_on_one_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let crashes = stress(8, 60, &runtime);
    assert!(crashes > 2000, "only {crashes} faults landed");
}
