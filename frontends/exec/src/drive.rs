//! One task from its prompt to its end: it writes events, refuses questions and acts on signals.

use crate::{
    closing::{Closing, GoingOn},
    exit::{code_of, exit_code},
    human::HumanEvents,
    json::JsonEvents,
    pulse::Pulse,
    signal::{Signals, signalled},
    sink::Sink,
    text::clean,
};
use std::{collections::HashSet, future::Future, io, time::Duration};
use tokio::{sync::watch, time::Instant};
use troupe::Work;
use troupe_types::{
    Content, Decision, ErrorClass, Event, Failure, Op, OpId, Outcome, Record, RequestId, SessionId,
};

/// How long an interrupted turn has to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the reader may take nothing of the last lines once the end was ordered.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What is driven: an open session.
pub trait Session {
    /// Its id.
    fn id(&self) -> SessionId;
    /// Submits an operation; returns its id when it is accepted.
    fn submit(&self, op: Op) -> impl Future<Output = Result<OpId, Failure>>;
    /// The next event; `None` after the last.
    fn next(&mut self) -> impl Future<Output = Option<Event>>;
}

/// What is to be done.
#[derive(Debug, Clone, Default)]
pub struct Task {
    /// The prompt; without one, the last turn goes on, if it was not completed.
    pub prompt: Option<Vec<Content>>,
    /// A JSON Schema for the final answer.
    pub output_schema: Option<serde_json::Value>,
    /// What the session has left to do.
    pub work: Work,
    /// The command that resumes the session.
    pub going_on: GoingOn,
    /// Whether somebody wants the last message.
    pub keep_last_message: bool,
}

/// What events become.
#[derive(Debug)]
pub enum Output {
    /// JSON lines.
    Json(JsonEvents),
    /// Text for people.
    Human(Box<HumanEvents>),
}

/// How it ended.
#[derive(Debug)]
pub struct ExecEnd {
    /// The code to exit with.
    pub code: u8,
    /// The model's last message, if it was to be kept.
    pub last_message: Option<String>,
    /// Whether all of the output was written. A reader that has gone is no failure of the task.
    pub written: io::Result<()>,
}

struct Driver<'a, S> {
    session: &'a mut S,
    output: Output,
    sink: Sink,
    last_message: Option<String>,
    /// Requests whose answer is a summary of the context, not a message.
    summaries: HashSet<RequestId>,
    keep_last_message: bool,
    closing: Closing,
    going_on: GoingOn,
    pulse: Pulse,
}

/// Drives a task to its end. The first signal interrupts the turn, the second ends at once.
pub async fn drive<S: Session>(
    session: &mut S,
    task: Task,
    output: Output,
    sink: Sink,
    mut signals: watch::Receiver<Option<Signals>>,
) -> ExecEnd {
    let mut driver = Driver {
        session,
        output,
        sink,
        last_message: None,
        summaries: HashSet::new(),
        keep_last_message: task.keep_last_message,
        closing: Closing::default(),
        going_on: GoingOn::default(),
        pulse: Pulse::new(),
    };
    let mut code = driver.run(task, &mut signals).await;
    let Driver { sink, last_message, .. } = driver;
    let taken = sink.taken();
    let hurry = async {
        let signals = signalled(&mut signals, 1).await;
        taken.stalled(LAST_WORDS).await;
        signals.code()
    };
    let written = tokio::select! {
        biased;
        written = sink.finish() => written,
        by_signal = hurry => {
            code = by_signal;
            Err(io::Error::new(io::ErrorKind::TimedOut, "nobody reads it"))
        }
    };
    ExecEnd { code, last_message, written }
}

/// What ends the waiting.
enum Found {
    Ended(Outcome),
    Broken(Failure),
}

impl<S: Session> Driver<'_, S> {
    async fn run(&mut self, task: Task, signals: &mut watch::Receiver<Option<Signals>>) -> u8 {
        let id = self.session.id().to_string();
        self.line(|| JsonEvents::thread_started(&id));
        match task.work {
            // Its beginning is in the log already.
            Work::Turn => self.line(JsonEvents::turn_started),
            Work::None if task.prompt.is_none() => {
                let message = format!(
                    "there is nothing to go on with: the session's last turn was completed. Give \
                     a prompt: troupe exec resume {id} \"…\""
                );
                return self.fail(&Failure { class: ErrorClass::Config, message });
            }
            Work::None | Work::Prompt | Work::Unfinished => {}
        }
        let op = match task.prompt {
            Some(content) => Op::Prompt { content, output_schema: task.output_schema },
            None => Op::Continue,
        };
        let continues = op == Op::Continue;
        if let Some(signal) = *signals.borrow() {
            return self.broken_by(signal);
        }
        let op = match self.submit(op, signals).await {
            Ok(op) => op,
            Err(code) => return code,
        };
        // From here on the log has it.
        self.going_on = task.going_on;
        let delivered = continues && task.work == Work::Turn;
        let mut wait = Wait { op, continues, delivered };
        let signal = tokio::select! {
            biased;
            signal = signalled(signals, 1) => signal,
            found = self.follow(&mut wait) => return self.finish(found),
        };
        self.hush();
        // Accepted or not, the turn's own end is what is reported, if it comes in time.
        let until = Instant::now() + PATIENCE;
        let ended = async {
            if let Err(failure) = self.session.submit(Op::Interrupt).await {
                return Found::Broken(failure);
            }
            wait.delivered = true;
            self.follow(&mut wait).await
        };
        let found = tokio::select! {
            biased;
            again = signalled(signals, 2) => return self.broken_by(again),
            found = tokio::time::timeout_at(until, ended) => found,
        };
        match found {
            Ok(found) => {
                self.finish(found);
                signal.code()
            }
            Err(_) => self.broken_by(signal),
        }
    }

    /// Submits the task's operation. A signal does not take it back: the log may have it already, so
    /// the interrupt follows it. The error is the exit code.
    async fn submit(
        &mut self,
        op: Op,
        signals: &mut watch::Receiver<Option<Signals>>,
    ) -> Result<OpId, u8> {
        let hurry = async {
            let first = signalled(signals, 1).await;
            tokio::select! {
                again = signalled(signals, 2) => again,
                () = tokio::time::sleep(PATIENCE) => first,
            }
        };
        let accepted = tokio::select! {
            biased;
            accepted = self.session.submit(op) => accepted,
            signal = hurry => return Err(self.broken_by(signal)),
        };
        accepted.map_err(|failure| self.fail(&failure))
    }

    /// Passes events on until the task's turn has ended.
    async fn follow(&mut self, wait: &mut Wait) -> Found {
        loop {
            self.sink.pass_on().await;
            let Some(event) = self.next().await else {
                let message = "the session was closed".to_owned();
                return Found::Broken(Failure { class: ErrorClass::Internal, message });
            };
            let found = self.meaning_of(&event, wait).await;
            if let Some(Found::Ended(outcome)) = &found {
                self.close(event, outcome.is_completed());
            } else if !ends_a_turn(&event) {
                // The end of an earlier turn is none of this run's.
                self.show(event);
            }
            if let Some(found) = found {
                return found;
            }
        }
    }

    /// The next event. While none comes, a person is shown a sign of life now and then.
    async fn next(&mut self) -> Option<Event> {
        let Self { session, output, sink, pulse, .. } = self;
        let Output::Human(events) = output else { return session.next().await };
        let mut next = std::pin::pin!(session.next());
        loop {
            tokio::select! {
                biased;
                event = &mut next => return event,
                () = tokio::time::sleep_until(pulse.due()) => {
                    sink.push(&events.aside(&pulse.sign()));
                    sink.pass_on().await;
                }
            }
        }
    }

    /// The last event of the turn, and what there is to say of the run.
    fn close(&mut self, event: Event, completed: bool) {
        let remarks = self.closing.remarks();
        if let Output::Json(events) = &mut self.output {
            // Nothing stands behind the terminal event.
            for remark in &remarks {
                self.sink.push_line(events.remark(remark));
            }
        }
        self.show(event);
        if let Output::Human(events) = &mut self.output {
            for remark in &remarks {
                self.sink.push(&events.remark(remark));
            }
        }
        self.say_how_to_go_on(completed);
    }

    fn say_how_to_go_on(&mut self, completed: bool) {
        if let (Output::Human(events), Some(line)) =
            (&mut self.output, self.going_on.line(completed))
        {
            self.sink.push(&events.aside(&line));
        }
    }

    /// Answers what is asked, and tells whether it ends the waiting.
    async fn meaning_of(&self, event: &Event, wait: &mut Wait) -> Option<Found> {
        match event {
            Event::Durable(line) => match &line.record {
                Record::TurnStarted(body) => {
                    wait.delivered |= wait.continues || body.op == wait.op;
                }
                Record::ItemAdded(body) => wait.delivered |= body.op == Some(wait.op),
                Record::ApprovalAsked(body) => self.refuse(body.call).await,
                Record::TurnFinished(body) if wait.delivered => {
                    return Some(Found::Ended(body.result.clone()));
                }
                _ => {}
            },
            Event::Halted(failure) => return Some(Found::Broken(failure.clone())),
            Event::Closed { reason } => {
                let message = reason.clone().unwrap_or_else(|| "the session was closed".to_owned());
                return Some(Found::Broken(Failure { class: ErrorClass::Internal, message }));
            }
            // What runs is let run to its end.
            Event::StorageFailed(_) | Event::Progress(_) | Event::Skipped { .. } => {}
        }
        None
    }

    /// Nobody is there to be asked.
    async fn refuse(&self, call: troupe_types::CallId) {
        let reason = "nobody can be asked in a headless run; allow it by the sandbox mode or the \
             approval policy, or find another way"
            .to_owned();
        let answer = Op::Answer { call, decision: Decision::Denied { reason } };
        // A session that takes no answer tells so by its events.
        drop(self.session.submit(answer).await);
    }

    fn finish(&mut self, found: Found) -> u8 {
        match found {
            Found::Ended(outcome) => code_of(&outcome),
            Found::Broken(failure) => {
                let code = self.fail(&failure);
                self.say_how_to_go_on(false);
                code
            }
        }
    }

    fn hush(&mut self) {
        if let Output::Json(events) = &mut self.output {
            events.signalled();
        }
    }

    fn broken_by(&mut self, signals: Signals) -> u8 {
        self.hush();
        self.fail(&Failure { class: ErrorClass::Internal, message: signals.message() });
        self.say_how_to_go_on(false);
        signals.code()
    }

    fn fail(&mut self, failure: &Failure) -> u8 {
        match &mut self.output {
            Output::Json(events) => {
                if let Some(line) = events.fail(&failure.message) {
                    self.sink.push_line(line);
                }
            }
            Output::Human(_) => self.sink.push(&format!("ERROR: {}\n", clean(&failure.message))),
        }
        exit_code(failure.class)
    }

    fn line(&mut self, value: impl FnOnce() -> serde_json::Value) {
        if let Output::Json(_) = &self.output {
            self.sink.push_line(value());
        }
    }

    fn show(&mut self, event: Event) {
        if self.is_summary(&event) {
            return;
        }
        if self.keep_last_message
            && let Event::Durable(line) = &event
            && let Record::ItemCompleted(body) = &line.record
            && let troupe_types::Item::Assistant(item) = &*body.item
            && item.says_something()
        {
            self.last_message = Some(item.text.clone());
        }
        // What was said before the last calls is no answer to the task.
        if let Event::Durable(line) = &event
            && let Record::TurnFinished(body) = &line.record
            && body.no_final_message
        {
            self.last_message = None;
        }
        if let Event::Durable(line) = &event {
            self.closing.on(&line.record);
            self.pulse.on(&line.record);
        }
        match &mut self.output {
            Output::Json(events) => {
                for value in events.on(event) {
                    self.sink.push_line(value);
                }
            }
            Output::Human(events) => {
                let text = events.on(&event);
                if !text.is_empty() {
                    self.pulse.shown();
                    self.sink.push(&text);
                }
            }
        }
    }

    /// Whether it is part of a summary of the context.
    fn is_summary(&mut self, event: &Event) -> bool {
        let Event::Durable(line) = event else { return false };
        match &line.record {
            Record::RequestStarted(body) if body.compaction => self.summaries.insert(body.request),
            Record::TextPart(body) => self.summaries.contains(&body.request),
            Record::ItemCompleted(body) => self.summaries.contains(&body.request),
            _ => false,
        }
    }
}

fn ends_a_turn(event: &Event) -> bool {
    matches!(event, Event::Durable(line) if matches!(line.record, Record::TurnFinished(_)))
}

/// Which turn's end is waited for.
struct Wait {
    op: OpId,
    /// It names no turn: the next one that begins is meant.
    continues: bool,
    /// The prompt is part of a turn.
    delivered: bool,
}
