//! A fast producer and a slow consumer: memory stays flat, orders are heard at once, nothing is
//! lost by a crash in between.
//!
//! A process of its own, since it measures memory.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test"
)]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use troupe_kit::{
    ChildSpec, Company, Context, Exit, Fault, Kit, Life, Mailbox, Moment, Order, Reply, Role, Root,
    StartError,
};

/// Chunks offered: 1.2 GB in all.
const CHUNKS: u64 = 20_000;
const CHUNK: usize = 64 * 1024;
const ROOM: u64 = 16;
/// What the whole run may add to the resident memory. The lane's room is 1 MB of it.
const MOST: usize = 32 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
enum Told {
    /// The next piece of a stream, from outside.
    Chunk(u64, Vec<u8>),
    /// Own: the work on a chunk is done.
    Done,
    /// From a front end: stop taking chunks; answers how many have been taken.
    Cancel(Reply<u64>),
}

/// What outlives the role.
#[derive(Clone, Default)]
struct World {
    taken: Arc<Mutex<Vec<u64>>>,
    sent: Arc<AtomicU64>,
    memory: Arc<AtomicU64>,
}

impl World {
    fn taken(&self) -> u64 {
        self.taken.lock().unwrap().len() as u64
    }
}

/// Takes one chunk at a time and needs longer for it than its producer.
struct Slow {
    world: World,
    cancelled: bool,
}

impl Role for Slow {
    type Message = Told;
    type Args = World;
    const IDEMPOTENT: bool = true;

    async fn start(world: World, _: Life<Told>) -> Result<Self, StartError> {
        Ok(Self { world, cancelled: false })
    }

    fn handle(&mut self, message: &Told, cx: &mut Context<Told>) {
        match message {
            Told::Chunk(number, bytes) => {
                let (world, number) = (self.world.clone(), *number);
                assert_eq!(bytes.len(), CHUNK);
                cx.run(move || world.taken.lock().unwrap().push(number));
                cx.pause_bulk();
                cx.task(|life| async move {
                    for _ in 0..4 {
                        tokio::task::yield_now().await;
                    }
                    let _refused = life.tell(Told::Done);
                });
            }
            Told::Done if !self.cancelled => cx.resume_bulk(),
            Told::Done => {}
            Told::Cancel(reply) => {
                self.cancelled = true;
                cx.pause_bulk();
                cx.reply(reply, self.world.taken());
            }
        }
    }
}

/// Resident memory in bytes; 0 where the system does not tell.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok()).unwrap_or(0)
        * 1024
}

fn start(kit: &Kit, world: &World) -> (Root, Mailbox<Told>) {
    let mailbox = Mailbox::new(kit, "root/slow", usize::try_from(ROOM).unwrap());
    let spec = ChildSpec::of::<Slow>("slow", &mailbox, world.clone()).build();
    (Root::start(Company::new(kit, "root", Order::Reverse).with(spec)), mailbox)
}

/// Offers as fast as it can until the role is closed.
async fn produce(world: World, to: Mailbox<Told>) {
    for number in 0..CHUNKS {
        if to.offer(Told::Chunk(number, vec![1; CHUNK])).await.is_err() {
            return;
        }
        world.sent.fetch_add(1, Ordering::SeqCst);
        if number % 64 == 0 {
            world.memory.fetch_max(resident() as u64, Ordering::SeqCst);
        }
    }
}

/// One line per panic: a backtrace would read debug information, and that is memory.
fn short_panics() {
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
}

#[test]
fn memory_is_flat_whatever_is_produced() {
    short_panics();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (kit, world) = (Kit::default(), World::default());
        for (at, moment) in [(501, Moment::Before), (9_001, Moment::Within), (17_001, Moment::Kill)]
        {
            kit.faults.inject(Fault { role: "root/slow".into(), at, moment });
        }
        let (root, slow) = start(&kit, &world);
        let before = resident();
        produce(world.clone(), slow.clone()).await;
        tokio::time::timeout(PATIENCE, async {
            while world.taken() < CHUNKS {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        let grown = usize::try_from(world.memory.load(Ordering::SeqCst)).unwrap();
        let grown = grown.saturating_sub(before);
        println!("{grown} bytes more while {CHUNKS} chunks of {CHUNK} bytes went through");
        assert!(grown < MOST, "{grown} bytes more");
        let lane = root.view().find("slow").unwrap().bulk.clone();
        assert!(lane.high_water as u64 <= ROOM, "{lane:?}");
        assert_eq!(kit.faults.landed().len(), 3);
        assert!(world.taken.lock().unwrap().iter().copied().eq(0..CHUNKS), "lost or out of order");
        assert_eq!(root.stop().await, Exit::Normal);
    });
}

/// On one thread nothing can come between the order and its place in the queue, so that the answer
/// tells exactly how many chunks went before it: none.
#[tokio::test]
async fn an_order_goes_before_all_that_is_queued() {
    let (kit, world) = (Kit::default(), World::default());
    let (root, slow) = start(&kit, &world);
    let producer = tokio::spawn(produce(world.clone(), slow.clone()));
    let full = |world: &World| world.sent.load(Ordering::SeqCst) >= world.taken() + ROOM;
    tokio::time::timeout(PATIENCE, async {
        while world.taken() < 100 || !full(&world) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let before = world.taken();
    let at_cancel = slow.call(PATIENCE, Told::Cancel).await.unwrap();
    assert_eq!(at_cancel, before, "chunks were taken before the order was heard");
    // It is obeyed: the producer is held, and told when the role ends.
    assert!(!producer.is_finished());
    assert_eq!(root.stop().await, Exit::Normal);
    producer.await.unwrap();
    assert_eq!(world.taken(), before);
}
