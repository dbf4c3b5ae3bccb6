//! Notices a thread that does not come back: a handler or a task that is blocked for good, which no
//! supervisor can end.
//!
//! One thread for the process looks once a second at what each thread has in hand, and asks each
//! runtime to come round. It starts a moment after the first company, so that it costs the start
//! nothing, and sleeps while nothing happens: the next handler wakes it. It counts its own looks and
//! not the clock, so a process that was stopped is not taken for one that is blocked. What is blocked
//! before the thread has started, it does not see.

use crate::{lock, mailbox::Shared};
use std::{
    fmt::{self, Write},
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::Thread,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// When the thread starts, after the first company.
const START: Duration = Duration::from_millis(250);
/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);
/// After how many looks at the same thing it is reported.
const PATIENCE: u32 = 5;

/// Something that did not come back in time. What it holds up cannot go on; what is in the logs is
/// kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// The path of the role; none for something that is no role's.
    pub role: Option<String>,
    /// The kind of the message in its hand; `task` for one of its tasks.
    pub message: String,
    /// For how long it has been so at least.
    pub waited: Duration,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.waited.as_secs();
        match &self.role {
            Some(role) => {
                write!(f, "{role} has not come back from {} for {seconds} s", self.message)
            }
            None => write!(f, "the program has not come round for {seconds} s"),
        }
    }
}

/// Told of what is stuck, on the watchdog's thread.
pub(crate) type Told = Arc<dyn Fn(&Stuck) + Send + Sync>;

/// Where a company's own listener stands, once there is one.
pub(crate) type Listener = Arc<OnceLock<Told>>;

/// A mailbox whose message or task a thread has in hand.
trait InHand: Send + Sync {
    fn path(&self) -> &str;
    fn listener(&self) -> Option<Told>;
}

impl<M: Send> InHand for Shared<M> {
    fn path(&self) -> &str {
        &self.path
    }

    fn listener(&self) -> Option<Told> {
        self.kit.listener.get().cloned()
    }
}

/// What one thread does.
#[derive(Default)]
struct Slot {
    /// Odd while something is in hand; each begin and each end adds one.
    number: AtomicU64,
    what: Mutex<(Option<Weak<dyn InHand>>, String)>,
}

/// A runtime, and whether it was asked to come round.
struct Round {
    runtime: Handle,
    listener: Listener,
    open: Arc<()>,
    asked: Option<Arc<AtomicBool>>,
    looks: u32,
    reported: bool,
}

#[derive(Default)]
struct Watchdog {
    slots: Mutex<Vec<Weak<Slot>>>,
    rounds: Mutex<Vec<Round>>,
    awake: AtomicBool,
    thread: OnceLock<Thread>,
}

static WATCHDOG: OnceLock<Watchdog> = OnceLock::new();

fn watchdog() -> &'static Watchdog {
    WATCHDOG.get_or_init(Watchdog::default)
}

thread_local! {
    static SLOT: Arc<Slot> = {
        let slot = Arc::<Slot>::default();
        let mut slots = lock(&watchdog().slots);
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        drop(slots);
        slot
    };
}

/// Says that something is done when it is dropped.
pub(crate) struct Begun(Arc<Slot>);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.number.fetch_add(1, Ordering::SeqCst);
    }
}

/// Says that this thread begins with a message of a role, or with a task of it.
pub(crate) fn begin<M: Send + 'static>(
    shared: &Arc<Shared<M>>,
    message: Option<&dyn fmt::Debug>,
) -> Begun {
    let slot = SLOT.with(Arc::clone);
    {
        let mut now = lock(&slot.what);
        // Not more than a glance at the mailbox: holding it would keep it from its end.
        let role: Arc<dyn InHand> = Arc::clone(shared) as Arc<dyn InHand>;
        now.0 = Some(Arc::downgrade(&role));
        now.1.clear();
        match message {
            Some(message) => FirstWord::write(&mut now.1, message),
            None => now.1.push_str("task"),
        }
    }
    slot.number.fetch_add(1, Ordering::SeqCst);
    let watchdog = watchdog();
    if !watchdog.awake.load(Ordering::SeqCst)
        && let Some(thread) = watchdog.thread.get()
        && !watchdog.awake.swap(true, Ordering::SeqCst)
    {
        thread.unpark();
    }
    Begun(slot)
}

/// Watches a runtime until the guard is dropped, and what runs in all of them.
pub(crate) fn watch(runtime: &Handle, listener: &Listener) -> Arc<()> {
    let open = Arc::new(());
    let round = Round {
        runtime: runtime.clone(),
        listener: Arc::clone(listener),
        open: Arc::clone(&open),
        asked: None,
        looks: 0,
        reported: false,
    };
    lock(&watchdog().rounds).push(round);
    if watchdog().thread.get().is_none() {
        drop(runtime.spawn(async {
            tokio::time::sleep(START).await;
            start();
        }));
    }
    open
}

fn start() {
    static STARTED: AtomicBool = AtomicBool::new(false);
    if STARTED.swap(true, Ordering::SeqCst) {
        return;
    }
    let name = "troupe-watchdog".to_owned();
    let started = std::thread::Builder::new().name(name).stack_size(128 * 1024).spawn(|| {
        let watchdog = watchdog();
        watchdog.awake.store(true, Ordering::SeqCst);
        watchdog.thread.get_or_init(std::thread::current);
        watchdog.run();
    });
    if let Err(error) = started {
        tracing::warn!(%error, "no thread to notice what is blocked");
    }
}

/// What one look saw of a thread.
struct Seen {
    slot: Arc<Slot>,
    number: u64,
    looks: u32,
}

impl Watchdog {
    fn run(&self) {
        let mut seen: Vec<Seen> = Vec::new();
        loop {
            wait(LOOK);
            let (changed, stuck) = self.look_at_threads(&mut seen);
            let open = self.look_at_runtimes(changed, stuck);
            if changed || open || seen.iter().any(|one| one.number % 2 == 1) {
                continue;
            }
            self.awake.store(false, Ordering::SeqCst);
            // What began before that could not wake this thread.
            if seen.iter().any(|one| one.slot.number.load(Ordering::SeqCst) != one.number) {
                self.awake.store(true, Ordering::SeqCst);
                continue;
            }
            while !self.awake.load(Ordering::SeqCst) {
                std::thread::park();
            }
        }
    }

    /// Whether anything happened since the last look, and whether something is stuck.
    fn look_at_threads(&self, seen: &mut Vec<Seen>) -> (bool, bool) {
        let slots: Vec<Arc<Slot>> = lock(&self.slots).iter().filter_map(Weak::upgrade).collect();
        let (mut changed, mut stuck) = (false, false);
        let before = std::mem::take(seen);
        for slot in slots {
            let number = slot.number.load(Ordering::SeqCst);
            let known = before.iter().find(|known| Arc::ptr_eq(&known.slot, &slot));
            let same = known.filter(|known| known.number == number);
            changed |= same.is_none();
            let looks = match same {
                Some(known) if number % 2 == 1 => known.looks + 1,
                _ => 0,
            };
            stuck |= looks >= PATIENCE;
            if looks == PATIENCE {
                report_slot(&slot);
            } else if looks == 0 && known.is_some_and(|known| known.looks >= PATIENCE) {
                tracing::warn!("what was stuck has come back");
            }
            seen.push(Seen { slot, number, looks });
        }
        (changed, stuck)
    }

    /// Whether a runtime is asked to come round and has not yet. It is asked when something happened.
    fn look_at_runtimes(&self, changed: bool, stuck: bool) -> bool {
        let mut late = Vec::new();
        let mut open = false;
        let mut rounds = lock(&self.rounds);
        rounds.retain(|round| Arc::strong_count(&round.open) > 1);
        for round in rounds.iter_mut() {
            let silent = round.asked.as_ref().is_some_and(|came| !came.load(Ordering::SeqCst));
            if silent {
                open = true;
                round.looks += 1;
                // A role that is stuck was reported with its name.
                if round.looks >= PATIENCE && !stuck && !round.reported {
                    round.reported = true;
                    late.extend(round.listener.get().cloned());
                    tracing::error!("a runtime does not come round");
                }
                continue;
            }
            (round.asked, round.looks, round.reported) = (None, 0, false);
            if changed {
                open = true;
                let came = Arc::new(AtomicBool::new(false));
                let came_round = Came(Arc::clone(&came));
                drop(round.runtime.spawn(async move { drop(came_round) }));
                round.asked = Some(came);
            }
        }
        drop(rounds);
        for told in late {
            told(&Stuck { role: None, message: "task".to_owned(), waited: LOOK * PATIENCE });
        }
        open
    }
}

/// Also a runtime that has ended answers: it drops its tasks.
struct Came(Arc<AtomicBool>);

impl Drop for Came {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn report_slot(slot: &Slot) {
    let (role, message) = lock(&slot.what).clone();
    let role = role.and_then(|role| role.upgrade());
    let path = role.as_ref().map(|role| role.path().to_owned());
    let stuck = Stuck { role: path, message, waited: LOOK * PATIENCE };
    tracing::error!(role = stuck.role, message = stuck.message, "a thread is blocked");
    if let Some(told) = role.and_then(|role| role.listener()) {
        told(&stuck);
    }
}

fn wait(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// The first word of what `Debug` says: the name of a message's variant.
pub(crate) struct FirstWord<'a>(&'a mut String);

impl FirstWord<'_> {
    pub(crate) fn write(to: &mut String, what: &dyn fmt::Debug) {
        // Ends with an error where the word does.
        let _rest = write!(FirstWord(to), "{what:?}");
    }

    pub(crate) fn of(what: &dyn fmt::Debug) -> String {
        let mut word = String::new();
        Self::write(&mut word, what);
        word
    }
}

impl Write for FirstWord<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = text.find(|letter: char| !letter.is_alphanumeric());
        self.0.push_str(&text[..end.unwrap_or(text.len())]);
        end.map_or(Ok(()), |_| Err(fmt::Error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    #[expect(dead_code, reason = "only shown")]
    enum Word {
        Plain,
        Tuple(String),
        Fields { long: Vec<u8> },
    }

    #[test]
    fn a_message_is_named_by_its_variant() {
        assert_eq!(FirstWord::of(&Word::Plain), "Plain");
        assert_eq!(FirstWord::of(&Word::Tuple("a b".to_owned())), "Tuple");
        assert_eq!(FirstWord::of(&Word::Fields { long: vec![0; 1000] }), "Fields");
        assert_eq!(FirstWord::of(&format_args!("started")), "started");
    }
}
