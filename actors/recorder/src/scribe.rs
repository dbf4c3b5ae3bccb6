//! The writers: a few threads for all logs of a process.
//!
//! Each log belongs to one thread, so that its jobs are done in the order they were given,
//! whatever happens to the actors that gave them. Appends that wait together are one write.
//! A session that rests holds no thread and, beyond the [`OPEN`] used last, no descriptor.

use crate::{
    LogHook, LogPath, Published,
    log_file::{LogFile, OpenFailure},
};
use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, OnceLock,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::{oneshot, watch};
use troupe_kit::Mailbox;
use troupe_messages::{
    Appended, ConversationMessage, Durability, FaultKind, Notify, StorageFault, ToolMessage,
};
use troupe_types::{Line, Record};

/// How many logs of one thread stay open while they rest.
const OPEN: usize = 64;
/// How long another process is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// How often a lock that another process holds is tried.
const LOCK_RETRY: Duration = Duration::from_millis(20);
/// Lines written at once, at most.
const BATCH: usize = 256;

/// What a log is known by to its writer.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) path: LogPath,
    /// Whether the log was there when the session was opened: then it is never made.
    pub(crate) existing: bool,
    pub(crate) published: Arc<watch::Sender<Published>>,
    pub(crate) conversation: Mailbox<ConversationMessage>,
}

/// A line to be written.
pub(crate) struct Append {
    pub(crate) seq: u64,
    pub(crate) record: Box<Record>,
    pub(crate) durability: Durability,
    pub(crate) notify: Option<Notify>,
}

/// How far a log is, for a reader.
pub(crate) struct Extent {
    pub(crate) end: u64,
    pub(crate) next_seq: u64,
    pub(crate) mended: Option<(u64, String)>,
    /// Why nothing is written, while that is so.
    pub(crate) fault: Option<StorageFault>,
}

/// Called when everything before it is written.
pub(crate) type Barrier = Box<dyn FnOnce(Result<Extent, StorageFault>) + Send>;

enum What {
    Append(Append),
    /// With whether it asks what was cut off.
    Barrier(Barrier, bool),
    Retry,
}

struct Job {
    target: Target,
    what: What,
}

enum Order {
    Job(Box<Job>),
    /// The session was closed: the log is let go.
    Release(LogPath),
    /// Answered when everything before it is done.
    Flush(oneshot::Sender<()>),
}

/// The writers of a process. Their threads start when they are first needed, and end when this
/// is dropped, after the last job.
pub struct Scribes {
    threads: Vec<OnceLock<Sender<Order>>>,
    hook: Option<Arc<dyn LogHook>>,
}

impl Scribes {
    /// So many writers (at least one), none of which runs yet.
    #[must_use]
    pub fn new(threads: usize, hook: Option<Arc<dyn LogHook>>) -> Arc<Self> {
        let threads = (0..threads.max(1)).map(|_| OnceLock::new()).collect();
        Arc::new(Self { threads, hook })
    }

    pub(crate) fn append(&self, target: Target, append: Append) {
        self.give(target, What::Append(append));
    }

    pub(crate) fn barrier(&self, target: Target, ask_mended: bool, barrier: Barrier) {
        self.give(target, What::Barrier(barrier, ask_mended));
    }

    pub(crate) fn retry(&self, target: Target) {
        self.give(target, What::Retry);
    }

    /// Lets the log of a closed session go, when everything it was handed is written.
    pub fn release(&self, path: &LogPath) {
        let place = self.place(path);
        if let Some(thread) = self.threads[place].get() {
            let _gone = thread.send(Order::Release(path.clone()));
        }
    }

    /// Waits until everything handed over so far is written, or the time is up.
    pub async fn flush(&self, most: Duration) {
        let until = tokio::time::Instant::now() + most;
        for thread in self.threads.iter().filter_map(OnceLock::get) {
            let (done, flushed) = oneshot::channel();
            if thread.send(Order::Flush(done)).is_ok() {
                let _late = tokio::time::timeout_at(until, flushed).await;
            }
        }
    }

    fn place(&self, path: &LogPath) -> usize {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        usize::try_from(hasher.finish() % self.threads.len() as u64).unwrap_or(0)
    }

    fn give(&self, target: Target, what: What) {
        let place = self.place(&target.path);
        let thread = self.threads[place].get_or_init(|| {
            let (orders, receiver) = channel();
            let hook = self.hook.clone();
            let spawned = thread::Builder::new().name(format!("scribe-{place}")).spawn(move || {
                let flushes = Vec::new();
                let (logs, parked) = (HashMap::new(), HashMap::new());
                Scribe { flushes, hook, logs, parked }.run(&receiver);
            });
            if let Err(error) = spawned {
                // The receiver is gone: each job is answered as failed below.
                tracing::error!(%error, "no thread to write logs");
            }
            orders
        });
        if let Err(unsent) = thread.send(Order::Job(Box::new(Job { target, what })))
            && let Order::Job(job) = unsent.0
        {
            let message = "the log's writer is gone: start troupe again".to_owned();
            job.fail(&StorageFault { kind: FaultKind::Io, message });
        }
    }
}

impl Job {
    fn fail(self, fault: &StorageFault) {
        match self.what {
            What::Append(append) => self.target.refuse(append.seq, fault),
            What::Barrier(barrier, _) => barrier(Err(fault.clone())),
            What::Retry => {}
        }
    }
}

impl Target {
    fn refuse(&self, seq: u64, fault: &StorageFault) {
        let fault = fault.clone();
        // Closed: nobody is left to be told.
        let _closed = self.conversation.tell(ConversationMessage::NotWritten { seq, fault });
    }

    fn acknowledge(&self, line: Appended, notify: Option<(Notify, ToolMessage)>) {
        if let Some((notify, message)) = notify {
            let _closed = notify.tool.tell(message);
        }
        let _closed = self.conversation.tell(ConversationMessage::Written(line));
    }
}

/// A log whose lock another process holds, and the jobs that wait for it.
struct Parked {
    until: Instant,
    jobs: VecDeque<Job>,
}

struct Scribe {
    /// Those who wait until no log is parked.
    flushes: Vec<oneshot::Sender<()>>,
    hook: Option<Arc<dyn LogHook>>,
    logs: HashMap<LogPath, (LogFile, Instant)>,
    parked: HashMap<LogPath, Parked>,
}

impl Scribe {
    #[expect(clippy::disallowed_methods, reason = "the writer's own thread")]
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let first = if self.parked.is_empty() {
                match orders.recv() {
                    Ok(order) => Some(order),
                    Err(_) => return,
                }
            } else {
                match orders.recv_timeout(LOCK_RETRY) {
                    Ok(order) => Some(order),
                    Err(RecvTimeoutError::Timeout) => None,
                    // What waits for a lock is still written, or refused.
                    Err(RecvTimeoutError::Disconnected) => {
                        thread::park_timeout(LOCK_RETRY);
                        None
                    }
                }
            };
            self.try_parked();
            let mut waiting: VecDeque<Order> =
                first.into_iter().chain(orders.try_iter().take(BATCH)).collect();
            while let Some(order) = waiting.pop_front() {
                match order {
                    Order::Job(job) => self.take(*job, &mut waiting),
                    Order::Release(path) => {
                        self.logs.remove(&path);
                        if let Some(parked) = self.parked.remove(&path) {
                            let fault = busy(&path);
                            parked.jobs.into_iter().for_each(|job| job.fail(&fault));
                        }
                    }
                    Order::Flush(done) => self.flushes.push(done),
                }
            }
            if self.parked.is_empty() {
                for done in self.flushes.drain(..) {
                    let _gone = done.send(());
                }
            }
            self.close_oldest();
        }
    }

    fn take(&mut self, job: Job, waiting: &mut VecDeque<Order>) {
        if let Some(parked) = self.parked.get_mut(&job.target.path) {
            return parked.jobs.push_back(job);
        }
        let target = job.target.clone();
        let log = match self.opened(&target, matches!(job.what, What::Append(_))) {
            Ok(log) => log,
            Err(OpenFailure::Locked) => {
                let until = Instant::now() + LOCK_WAIT;
                let parked = Parked { until, jobs: VecDeque::from([job]) };
                self.parked.insert(target.path, parked);
                return;
            }
            Err(OpenFailure::Fault(fault)) => {
                let fault = match self.logs.get_mut(&target.path) {
                    Some((log, _)) if matches!(job.what, What::Append(_)) => log.refuse(fault),
                    _ => fault,
                };
                return job.fail(&fault);
            }
        };
        match job.what {
            What::Retry => log.retry(),
            What::Barrier(barrier, ask_mended) => {
                let (end, next_seq) = log.extent();
                let mended = if ask_mended { log.take_mended() } else { None };
                let fault = log.fault().cloned();
                barrier(Ok(Extent { end, next_seq, mended, fault }));
            }
            What::Append(append) => {
                let mut batch = vec![append];
                while batch.len() < BATCH
                    && let Some(Order::Job(next)) = waiting.front()
                    && next.target.path == target.path
                    && matches!(next.what, What::Append(_))
                {
                    if let Some(Order::Job(next)) = waiting.pop_front()
                        && let What::Append(append) = next.what
                    {
                        batch.push(append);
                    }
                }
                write(log, &target, batch);
            }
        }
    }

    fn opened(&mut self, target: &Target, create: bool) -> Result<&mut LogFile, OpenFailure> {
        let entry = self.logs.entry(target.path.clone()).or_insert_with(|| {
            let published = Arc::clone(&target.published);
            let (path, hook) = (target.path.clone(), self.hook.clone());
            (LogFile::new(path, published, hook, target.existing), Instant::now())
        });
        entry.1 = Instant::now();
        // A log that refuses is not opened: it answers with its fault.
        if entry.0.fault().is_none() || !entry.0.is_known() {
            entry.0.open(create)?;
        }
        Ok(&mut entry.0)
    }

    /// Tries again to lock what another process holds; gives up after a while.
    fn try_parked(&mut self) {
        for path in self.parked.keys().cloned().collect::<Vec<_>>() {
            let Some(mut parked) = self.parked.remove(&path) else { continue };
            let Some(first) = parked.jobs.front() else { continue };
            let (target, create) = (first.target.clone(), matches!(first.what, What::Append(_)));
            match self.opened(&target, create) {
                Err(OpenFailure::Locked) if Instant::now() < parked.until => {
                    self.parked.insert(path, parked);
                }
                Err(OpenFailure::Locked) => {
                    let fault = busy(&path);
                    parked.jobs.into_iter().for_each(|job| job.fail(&fault));
                }
                // Done, or refused with its own reason.
                Ok(_) | Err(OpenFailure::Fault(_)) => {
                    let mut waiting: VecDeque<Order> =
                        parked.jobs.drain(..).map(|job| Order::Job(Box::new(job))).collect();
                    while let Some(Order::Job(job)) = waiting.pop_front() {
                        self.take(*job, &mut waiting);
                    }
                }
            }
        }
    }

    fn close_oldest(&mut self) {
        let mut open: Vec<(Instant, LogPath)> = self
            .logs
            .values()
            .filter(|(log, _)| log.is_open())
            .map(|(log, used)| (*used, log.path().clone()))
            .collect();
        if open.len() <= OPEN {
            return;
        }
        open.sort_unstable_by_key(|(used, _)| *used);
        for (_, path) in &open[..open.len() - OPEN] {
            if let Some((log, _)) = self.logs.get_mut(path) {
                log.rest();
            }
        }
    }
}

/// Writes what is next, acknowledges what is older, refuses the rest.
fn write(log: &mut LogFile, target: &Target, batch: Vec<Append>) {
    let at = now();
    let mut lines = Vec::with_capacity(batch.len());
    let mut notes = Vec::with_capacity(batch.len());
    let mut older = Vec::new();
    let mut durability = Durability::Written;
    for append in batch {
        let next = log.next_seq() + lines.len() as u64;
        let notify = append.notify.map(|notify| (notify, Notify::message(&append.record)));
        let refused = if append.seq == next { log.refuses(&append.record) } else { log.fault() };
        if let Some(fault) = refused {
            target.refuse(append.seq, fault);
        } else if append.seq < next {
            // Perhaps of this very batch: told after it.
            let line = Appended { seq: append.seq, offset: None, len: 0, digest: 0 };
            older.push((line, notify));
        } else if append.seq > next {
            let message = format!("line {} came where line {next} was expected", append.seq);
            target.refuse(append.seq, &StorageFault { kind: FaultKind::Gap, message });
        } else {
            if append.durability == Durability::Synced {
                durability = Durability::Synced;
            }
            lines.push(Line { seq: append.seq, at, record: *append.record });
            notes.push(notify);
        }
    }
    if !lines.is_empty() {
        match log.write(&lines, durability) {
            Ok(appended) => {
                for (line, notify) in appended.into_iter().zip(notes) {
                    target.acknowledge(line, notify);
                }
            }
            Err(fault) => lines.iter().for_each(|line| target.refuse(line.seq, &fault)),
        }
    }
    for (line, notify) in older {
        if line.seq < log.next_seq() {
            target.acknowledge(line, notify);
        }
    }
}

fn busy(path: &LogPath) -> StorageFault {
    StorageFault {
        kind: FaultKind::Busy,
        message: format!(
            "session {} is open in another process ({}): close it there, or wait for it to end",
            path.session(),
            path.file().display()
        ),
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use troupe_kit::Kit;
    use troupe_types::{Level, Notice, SessionId};

    #[tokio::test]
    async fn a_flush_waits_for_what_waits_for_a_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = LogPath::new(dir.path(), SessionId::from_u128(1));
        fs::write(path.file(), "").unwrap();
        let holder = File::open(path.file()).unwrap();
        holder.lock().unwrap();
        let scribes = Scribes::new(1, None);
        let target = Target {
            path: path.clone(),
            existing: true,
            published: Arc::default(),
            conversation: Mailbox::new(&Kit::default(), "conversation", 4),
        };
        let record = Box::new(Notice { level: Level::Warning, text: "kept".into() }.into());
        let durability = Durability::Written;
        scribes.append(target, Append { seq: 0, record, durability, notify: None });
        let mut flush = Box::pin(scribes.flush(Duration::from_secs(20)));
        let early = tokio::time::timeout(4 * LOCK_RETRY, &mut flush).await;
        assert!(early.is_err(), "the lock is still held");
        drop(holder);
        flush.await;
        assert!(fs::read_to_string(path.file()).unwrap().contains("kept"));
    }
}
