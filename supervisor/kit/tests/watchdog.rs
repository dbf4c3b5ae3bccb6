//! A thread that does not come back is reported, with its role and message; a quiet process is left
//! asleep. Real time passes here: the watchdog counts seconds.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

use std::{
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};
use troupe_kit::{
    ChildSpec, Company, Context, Fault, Kit, Life, Mailbox, Moment, Order, Role, Root, StartError,
    Stuck,
};

/// Longer than the watchdog waits, on a busy machine as well.
const BLOCKED: Duration = Duration::from_secs(9);
/// By then it has begun to look.
const BEGUN: Duration = Duration::from_millis(600);

#[derive(Debug)]
enum Word {
    Note,
    BlockTask,
}

struct Toy;

impl Role for Toy {
    type Message = Word;
    type Args = ();

    async fn start((): (), _: Life<Word>) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn handle(&mut self, message: &Word, cx: &mut Context<Word>) {
        match message {
            Word::Note => {}
            Word::BlockTask => cx.task(|_| async { thread::sleep(BLOCKED) }),
        }
    }
}

struct Stage {
    kit: Kit,
    toy: Mailbox<Word>,
    root: Root,
    reports: Receiver<Stuck>,
}

fn stage() -> Stage {
    let kit = Kit::default();
    let (told, reports) = channel();
    kit.on_stuck(move |stuck| told.send(stuck.clone()).unwrap());
    let toy = Mailbox::new(&kit, "root/toy", 4);
    let company = Company::new(&kit, "root", Order::Reverse)
        .with(ChildSpec::of::<Toy>("toy", &toy, ()).build());
    Stage { root: Root::start(company), kit, toy, reports }
}

/// What is reported while a runtime does this, and that it was said in time.
fn reported(play: impl AsyncFnOnce(&Stage) + Send + 'static) -> Vec<Stuck> {
    // While a role is stuck, a runtime that does not come round is no news.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (out, reports) = channel();
    let runtime = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stage = stage();
            tokio::time::sleep(BEGUN).await;
            play(&stage).await;
            let Stage { root, reports, .. } = stage;
            root.stop().await;
            out.send(reports).unwrap();
        });
    });
    runtime.join().unwrap();
    reports.recv().unwrap().try_iter().collect()
}

#[test]
fn a_handler_that_hangs_is_reported_once() {
    let stuck = reported(async |stage: &Stage| {
        stage.kit.faults.inject(Fault {
            role: "toy".to_owned(),
            at: 1,
            moment: Moment::Block(BLOCKED),
        });
        stage.toy.tell(Word::Note).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    });
    let [stuck] = &stuck[..] else { panic!("{stuck:?}") };
    assert_eq!((stuck.role.as_deref(), &*stuck.message), (Some("root/toy"), "Note"));
    assert_eq!(stuck.to_string(), "root/toy has not come back from Note for 5 s");
}

#[test]
fn a_task_that_hangs_is_reported_once() {
    let stuck = reported(async |stage: &Stage| {
        stage.toy.tell(Word::BlockTask).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    });
    let [stuck] = &stuck[..] else { panic!("{stuck:?}") };
    assert_eq!((stuck.role.as_deref(), &*stuck.message), (Some("root/toy"), "task"));
}

#[test]
fn a_runtime_that_somebody_else_blocks_is_reported_once() {
    let stuck = reported(async |stage: &Stage| {
        stage.toy.tell(Word::Note).unwrap();
        tokio::task::yield_now().await;
        thread::sleep(BLOCKED);
    });
    let [stuck] = &stuck[..] else { panic!("{stuck:?}") };
    assert_eq!(stuck.role, None);
    assert_eq!(stuck.to_string(), "the program has not come round for 5 s");
}

#[test]
fn what_comes_back_in_time_is_not_reported() {
    let stuck = reported(async |stage: &Stage| {
        let block = Moment::Block(Duration::from_secs(2));
        for at in 1..=4 {
            stage.kit.faults.inject(Fault { role: "toy".to_owned(), at, moment: block });
            stage.toy.tell(Word::Note).unwrap();
            // The runtime comes round in between.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(stuck, []);
}
