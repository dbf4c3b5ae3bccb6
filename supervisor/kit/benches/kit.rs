//! What the kit costs: tell, offer, call, restart.

#![allow(missing_docs, clippy::expect_used, clippy::panic, reason = "a bench")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::{hint::black_box, time::Duration};
use tokio::runtime::{Builder, Runtime};
use troupe_kit::{
    Backoff, ChildSpec, Company, Context, Kit, Life, Mailbox, Order, Reply, Role, Root, StartError,
};

#[derive(Debug)]
enum Message {
    Count,
    Ask(Reply<u64>),
    Boom,
}

struct Counter(u64);

impl Role for Counter {
    type Message = Message;
    type Args = ();

    async fn start((): (), _: Life<Message>) -> Result<Self, StartError> {
        Ok(Self(0))
    }

    fn handle(&mut self, message: &Message, cx: &mut Context<Message>) {
        match message {
            Message::Count => self.0 += 1,
            Message::Ask(reply) => cx.reply(reply, self.0),
            Message::Boom => panic!("as the bench wants it"),
        }
    }
}

const BATCH: u64 = 1000;
const LATE: Duration = Duration::from_secs(10);

async fn ask(counter: &Mailbox<Message>) -> u64 {
    counter.call(LATE, Message::Ask).await.expect("an answer")
}

/// On one thread a figure is the cost; on several it has the waking of threads in it as well.
fn kit(criterion: &mut Criterion) {
    std::panic::set_hook(Box::new(|_| {}));
    let one = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let many = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    on(criterion, "one_thread", &one);
    on(criterion, "many_threads", &many.expect("a runtime"));
}

fn on(criterion: &mut Criterion, name: &str, runtime: &Runtime) {
    let counter = Mailbox::new(&Kit::default(), "root/counter", 256);
    let root = runtime.block_on(async {
        let spec = ChildSpec::of::<Counter>("counter", &counter, ())
            .intensity(u32::MAX, Duration::from_millis(1))
            .backoff(Backoff { first: Duration::ZERO, ..Backoff::DEFAULT })
            .build();
        Root::start(Company::new(&Kit::default(), "root", Order::Reverse).with(spec))
    });
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("tell_1000_and_ask", |bench| {
        bench.iter(|| {
            runtime.block_on(async {
                for _ in 0..BATCH {
                    counter.tell(Message::Count).expect("told");
                }
                black_box(ask(&counter).await)
            })
        });
    });
    group.bench_function("offer_1000", |bench| {
        bench.iter(|| {
            runtime.block_on(async {
                for _ in 0..BATCH {
                    counter.offer(Message::Count).await.expect("taken");
                }
            });
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("call", |bench| {
        bench.iter(|| runtime.block_on(ask(&counter)));
    });
    group.bench_function("panic_restart_and_answer", |bench| {
        bench.iter(|| {
            runtime.block_on(async {
                counter.tell(Message::Boom).expect("told");
                ask(&counter).await
            })
        });
    });
    group.finish();
    runtime.block_on(root.stop());
}

criterion_group!(benches, kit);
criterion_main!(benches);
