//! Ten thousand conversations, a supervisor and two roles each: they start, stop and leave nothing.
//!
//! A process of its own, since it measures memory: `cargo test -p troupe-kit --test conversations
//! -- --nocapture` prints the figures.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};
use troupe_kit::{
    ChildSpec, Company, Context, Exit, Kit, Life, Mailbox, Order, Reply, Restart, Role, Root,
    StartError, SupervisorMessage,
};

const MANY: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(60);

struct Idle(Arc<AtomicI64>);

#[derive(Debug)]
struct Ask(Reply<()>);

impl Role for Idle {
    type Message = Ask;
    type Args = Arc<AtomicI64>;
    const IDEMPOTENT: bool = true;

    async fn start(live: Arc<AtomicI64>, _: Life<Ask>) -> Result<Self, StartError> {
        live.fetch_add(1, Ordering::SeqCst);
        Ok(Self(live))
    }

    fn handle(&mut self, Ask(reply): &Ask, cx: &mut Context<Ask>) {
        cx.reply(reply, ());
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Resident memory in bytes; 0 where the system does not tell.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok()).unwrap_or(0)
        * 1024
}

fn conversation(kit: &Kit, number: usize, live: &Arc<AtomicI64>) -> (ChildSpec, Mailbox<Ask>) {
    let name = format!("conversation:0192d5c8-0000-7000-8000-{number:012}");
    let path = format!("root/conversations/{name}");
    let role = |role: &str| Mailbox::new(kit, format!("{path}/{role}"), 64);
    let (recorder, actor) = (role("recorder"), role("conversation"));
    let company = Company::new(kit, path.as_str(), Order::Reverse)
        .with(ChildSpec::of::<Idle>("recorder", &recorder, Arc::clone(live)).build())
        .with(ChildSpec::of::<Idle>("conversation", &actor, Arc::clone(live)).build());
    let spec = ChildSpec::supervisor(name, &company).restart(Restart::Transient).build();
    (spec, actor)
}

#[test]
fn ten_thousand_conversations_leave_nothing() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let live = Arc::new(AtomicI64::new(0));
    runtime.block_on(async {
        let kit = Kit::default();
        let conversations = Company::new(&kit, "root/conversations", Order::Together);
        let company = Company::new(&kit, "root", Order::Reverse)
            .with(ChildSpec::supervisor("conversations", &conversations).build());
        let root = Root::start(company);
        let empty = resident();
        let mut first = 0;
        for half in [0, 1] {
            let (before, began) = (resident(), Instant::now());
            let mut actors = Vec::with_capacity(MANY);
            for number in 0..MANY {
                let (spec, actor) = conversation(&kit, number, &live);
                conversations.mailbox().tell(SupervisorMessage::add(spec)).unwrap();
                actors.push(actor);
            }
            for actor in &actors {
                actor.call(PATIENCE, Ask).await.unwrap();
            }
            let each = resident().saturating_sub(before) / MANY;
            println!("{MANY} conversations started in {:?}", began.elapsed());
            if half == 0 {
                println!("{each} bytes each, {} a role", each / 3);
                assert!(each < 36 * 1024, "{each} bytes per conversation");
                first = resident().saturating_sub(empty);
            } else {
                // The second ten thousand live in what the first ones left.
                let second = resident().saturating_sub(empty);
                assert!(second <= first + first / 4, "{first} bytes, then {second}");
            }
            assert_eq!(live.load(Ordering::SeqCst), 2 * i64::try_from(MANY).unwrap());
            assert_eq!(conversations.alive().len(), MANY);
            if half == 0 {
                remove_all(&conversations).await;
                assert_eq!(live.load(Ordering::SeqCst), 0);
                assert!(conversations.alive().is_empty());
            }
        }
        let began = Instant::now();
        assert_eq!(root.stop().await, Exit::Normal);
        println!("{MANY} conversations stopped together in {:?}", began.elapsed());
    });
    assert_eq!(live.load(Ordering::SeqCst), 0);
    runtime.block_on(async {
        let began = Instant::now();
        while runtime.metrics().num_alive_tasks() > 0 {
            assert!(began.elapsed() < PATIENCE, "{} tasks", runtime.metrics().num_alive_tasks());
            tokio::task::yield_now().await;
        }
    });
}

/// One after the other, the oldest first.
async fn remove_all(conversations: &Company) {
    let began = Instant::now();
    let names = conversations.alive().into_iter().map(|alive| alive.name);
    let gone: Vec<_> = names
        .map(|name| {
            let (done, gone) = Reply::new();
            let message = SupervisorMessage::Remove { name, done: Some(done) };
            conversations.mailbox().tell(message).unwrap();
            gone
        })
        .collect();
    for gone in gone {
        gone.await.unwrap();
    }
    println!("{MANY} conversations removed in {:?}", began.elapsed());
}
