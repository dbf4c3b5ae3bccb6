//! One task from its prompt to its end: events out, questions refused, signals heeded.

use crate::{
    exit::{code_of, exit_code},
    human::HumanEvents,
    json::JsonEvents,
};
use std::{
    future::Future,
    io::{self, Write},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};
use troupe_types::{
    Content, Decision, ErrorClass, Event, Failure, Op, OpId, Outcome, Record, SessionId,
};

/// How long an interrupted turn has to end.
const PATIENCE: Duration = Duration::from_secs(2);

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
    /// The prompt; without one, a turn that was broken off goes on.
    pub prompt: Option<Vec<Content>>,
    /// A JSON Schema for the final answer.
    pub output_schema: Option<serde_json::Value>,
    /// Whether the session holds a turn that was broken off.
    pub broken_off: bool,
}

/// Where events go.
pub enum Output<'a> {
    /// JSON lines.
    Json(JsonEvents, &'a mut dyn Write),
    /// Text for people.
    Human(Box<HumanEvents>, &'a mut dyn Write),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecEnd {
    /// The code to exit with.
    pub code: u8,
    /// The model's last message.
    pub last_message: Option<String>,
}

struct Driver<'a, 'o, S> {
    session: &'a mut S,
    output: Output<'o>,
    last_message: Option<String>,
}

/// Drives a task to its end. `signals` holds the number of a signal once one came.
pub async fn drive<S: Session>(
    session: &mut S,
    task: Task,
    output: Output<'_>,
    mut signals: watch::Receiver<Option<i32>>,
) -> ExecEnd {
    let mut driver = Driver { session, output, last_message: None };
    let code = driver.run(task, &mut signals).await;
    driver.flush();
    ExecEnd { code, last_message: driver.last_message }
}

/// What ends the waiting.
enum Found {
    Ended(Outcome),
    Broken(Failure),
}

impl<S: Session> Driver<'_, '_, S> {
    async fn run(&mut self, task: Task, signals: &mut watch::Receiver<Option<i32>>) -> u8 {
        let id = self.session.id().to_string();
        self.line(|| JsonEvents::thread_started(&id));
        if task.broken_off {
            self.line(JsonEvents::turn_started);
        } else if task.prompt.is_none() {
            let message =
                "there is nothing to go on with: the session's last turn has ended".to_owned();
            return self.fail(&Failure { class: ErrorClass::Config, message });
        }
        let op = match task.prompt {
            Some(content) => Op::Prompt { content, output_schema: task.output_schema },
            None => Op::Continue,
        };
        let continues = op == Op::Continue;
        let accepted = tokio::select! {
            biased;
            signal = signalled(signals) => return self.broken_by(signal),
            accepted = self.session.submit(op) => accepted,
        };
        let op = match accepted {
            Ok(op) => op,
            Err(failure) => return self.fail(&failure),
        };
        let mut wait = Wait { op, delivered: continues };
        let signal = tokio::select! {
            biased;
            signal = signalled(signals) => signal,
            found = self.follow(&mut wait) => return self.finish(found),
        };
        // Accepted or not, the turn's own end is what is reported, if it comes in time.
        let until = Instant::now() + PATIENCE;
        let ended = async {
            if let Err(failure) = self.session.submit(Op::Interrupt).await {
                return Found::Broken(failure);
            }
            wait.delivered = true;
            self.follow(&mut wait).await
        };
        match tokio::time::timeout_at(until, ended).await {
            Ok(found) => {
                self.finish(found);
                signal_code(signal)
            }
            Err(_) => self.broken_by(signal),
        }
    }

    /// Passes events on until the task's turn has ended.
    async fn follow(&mut self, wait: &mut Wait) -> Found {
        loop {
            let Some(event) = self.session.next().await else {
                let message = "the session was closed".to_owned();
                return Found::Broken(Failure { class: ErrorClass::Internal, message });
            };
            self.show(&event);
            match event {
                Event::Durable(line) => match line.record {
                    Record::TurnStarted(body) => wait.delivered |= body.op == wait.op,
                    Record::ItemAdded(body) => wait.delivered |= body.op == Some(wait.op),
                    Record::ApprovalAsked(body) => self.refuse(body.call).await,
                    Record::TurnFinished(body) if wait.delivered => {
                        return Found::Ended(body.result);
                    }
                    _ => {}
                },
                Event::StorageFailed(failure) => return Found::Broken(failure),
                Event::Closed { reason } => {
                    let message = reason.unwrap_or_else(|| "the session was closed".to_owned());
                    return Found::Broken(Failure { class: ErrorClass::Internal, message });
                }
                Event::Progress(_) | Event::Skipped { .. } => {}
            }
        }
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
            Found::Broken(failure) => self.fail(&failure),
        }
    }

    fn broken_by(&mut self, signal: i32) -> u8 {
        let message = format!("interrupted by signal {signal}");
        self.fail(&Failure { class: ErrorClass::Internal, message });
        signal_code(signal)
    }

    fn fail(&mut self, failure: &Failure) -> u8 {
        match &mut self.output {
            Output::Json(events, _) if events.is_over() => {}
            Output::Json(..) => self.line(|| JsonEvents::failed(&failure.message)),
            Output::Human(_, out) => {
                let text = format!("ERROR: {}\n", failure.message);
                drop(out.write_all(text.as_bytes()));
            }
        }
        exit_code(failure.class)
    }

    fn line(&mut self, value: impl FnOnce() -> serde_json::Value) {
        if let Output::Json(_, out) = &mut self.output {
            drop(write_line(out, &value()));
        }
    }

    fn show(&mut self, event: &Event) {
        if let Event::Durable(line) = event
            && let Record::ItemCompleted(body) = &line.record
            && let troupe_types::Item::Assistant(item) = &body.item
            && !item.text.is_empty()
        {
            self.last_message = Some(item.text.clone());
        }
        match &mut self.output {
            Output::Json(events, out) => {
                for value in events.on(event) {
                    drop(write_line(out, &value));
                }
            }
            Output::Human(events, out) => {
                let text = events.on(event);
                if !text.is_empty() {
                    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
                }
            }
        }
    }

    fn flush(&mut self) {
        let (Output::Json(_, out) | Output::Human(_, out)) = &mut self.output;
        // A closed pipe is no failure of the task: it went on, and its exit code tells.
        drop(out.flush());
    }
}

/// Which turn's end is waited for.
struct Wait {
    op: OpId,
    /// The prompt is part of a turn.
    delivered: bool,
}

async fn signalled(signals: &mut watch::Receiver<Option<i32>>) -> i32 {
    match signals.wait_for(Option::is_some).await {
        Ok(signal) => signal.unwrap_or(2),
        // Nobody listens to signals.
        Err(_) => std::future::pending().await,
    }
}

fn signal_code(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(255)
}

fn write_line(out: &mut dyn Write, value: &serde_json::Value) -> io::Result<()> {
    let mut text = value.to_string();
    text.push('\n');
    out.write_all(text.as_bytes())?;
    out.flush()
}
