//! A process that may outlast its call: it is read and typed into until it ends or is ended.
//!
//! The tool exec that started it holds it, also after its call has finished; others of the session
//! ask it. What was printed is kept until somebody was told.

use crate::{
    finish,
    prepare::Keep,
    process::{DRAIN, KEEPING, REST, Work, cancelled, end_of},
    reading::Reading,
};
use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::Instant,
};
use troupe_kit::{Deadline, Life, Mailbox};
use troupe_messages::{
    Interact, Interaction, ProcessEnd, ProcessExit, ProcessNews, Remarks, Running, ToolMessage,
};
use troupe_types::{CommandEnd, CommandResult, Outcome, ProcessEnded, RefusedHost};

/// What interrupts.
const CTRL_C: &str = "\u{3}";

/// A question about the process. Dropped without an answer, it answers that the process is gone.
pub(crate) struct Ask {
    input: String,
    wait: Duration,
    tokens: Option<usize>,
    asker: Option<Mailbox<ToolMessage>>,
}

impl Ask {
    pub(crate) fn new(interact: Interact) -> Self {
        let Interact { input, wait, tokens, asker } = interact;
        Self { input, wait, tokens, asker: Some(asker) }
    }

    /// Answers; whether somebody heard it.
    fn answer(mut self, answer: Interaction) -> bool {
        let answer = ToolMessage::Interacted(Some(answer));
        self.asker.take().is_some_and(|asker| asker.tell(answer).is_ok())
    }
}

impl Drop for Ask {
    fn drop(&mut self) {
        if let Some(asker) = self.asker.take() {
            let _gone = asker.tell(ToolMessage::Interacted(None));
        }
    }
}

/// What the task that holds a process is told.
pub(crate) enum Word {
    /// A question.
    Ask(Ask),
    /// It was refused a host, which the next answer says.
    Refused(RefusedHost),
}

/// Why it is not waited any longer.
enum Waited {
    Due,
    Ended,
    Cancelled,
}

/// The process, and what is known of it.
pub(crate) struct Held {
    work: Work,
    keep: Keep,
    desk: mpsc::Receiver<Word>,
    reading: Reading,
    input: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    exit: Pin<Box<dyn Future<Output = ProcessEnd> + Send>>,
    kill: Arc<dyn Fn() -> u32 + Send + Sync>,
    interrupt: Arc<dyn Fn() + Send + Sync>,
    aftermath: Option<Remarks>,
    began: Instant,
    ended: Option<ProcessEnd>,
    strays: u32,
    /// Hosts that it was refused since somebody was told.
    refused: Vec<RefusedHost>,
    /// Questions that came while another one was being answered.
    waiting: VecDeque<Ask>,
}

impl Held {
    pub(crate) fn new(
        work: Work,
        keep: Keep,
        desk: mpsc::Receiver<Word>,
        running: Running,
    ) -> Self {
        let Running { output, notes, input, exit, kill, interrupt, aftermath, .. } = running;
        let reading = Reading::new(&work.args, output, notes);
        let began = Instant::now();
        Self {
            work,
            keep,
            desk,
            reading,
            input,
            exit,
            kill,
            interrupt,
            aftermath,
            began,
            ended: None,
            strays: 0,
            refused: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Holds it until it has ended and was read, or is ended.
    pub(crate) async fn run(mut self, life: Life<ToolMessage>) {
        let waited = self.wait(&mut Deadline::after(self.keep.wait)).await;
        self.finish_call(&waited, &life).await;
        if !matches!(waited, Waited::Due) {
            return;
        }
        loop {
            let Some(ask) = self.waiting.pop_front() else {
                tokio::select! {
                    biased;
                    () = cancelled(&mut self.work.cancel) => break,
                    word = self.desk.recv() => match word {
                        Some(word) => self.hear(word),
                        None => break,
                    },
                    end = &mut self.exit, if self.ended.is_none() => {
                        self.on_end(end).await;
                        let _gone = life.tell(self.news(Outcome::Completed));
                    }
                    never = self.reading.go_on() => match never {},
                }
                continue;
            };
            let before = self.ended.is_some();
            let (waited, heard) = self.serve(ask).await;
            if self.ended.is_some() && !before {
                let _gone = life.tell(self.news(Outcome::Completed));
            }
            match waited {
                Waited::Cancelled => break,
                Waited::Ended if heard => break,
                _ => {}
            }
        }
        if self.ended.is_none() {
            self.end_now().await;
            let _gone = life.tell(self.news(Outcome::Cancelled));
        }
        let _gone = life.tell(ToolMessage::Process(ProcessNews::Read));
    }

    /// Types what is asked, waits, and says what came; and whether somebody heard it.
    async fn serve(&mut self, ask: Ask) -> (Waited, bool) {
        let asked = Instant::now();
        let mut due = Deadline::after(ask.wait);
        if self.ended.is_none()
            && !ask.input.is_empty()
            && let Err(why) = self.type_in(&ask.input, &mut due).await
        {
            return (Waited::Due, ask.answer(Interaction::Refused(why)));
        }
        let waited = match self.ended {
            Some(_) => Waited::Ended,
            None => self.wait(&mut due).await,
        };
        let mut result = self.result(self.end(), asked.elapsed(), ask.tokens).await;
        result.read_from = Some(self.work.args.process);
        let heard = ask.answer(Interaction::Read(Box::new(result)));
        if heard {
            self.reading.forget();
            self.refused.clear();
        }
        (waited, heard)
    }

    /// What came since somebody was told, of so many tokens at most.
    async fn result(
        &mut self,
        end: CommandEnd,
        wall: Duration,
        tokens: Option<usize>,
    ) -> CommandResult {
        let ended = self.ended.is_some();
        let (mut sandbox, mut not_written) = (Vec::new(), None);
        if ended {
            sandbox = self.reading.notes();
            let (aftermath, code) = (self.aftermath.clone(), self.end().exit_code());
            let said = finish::remarks(aftermath, code, self.reading.output()).await;
            sandbox.extend(said.sentences);
            not_written = said.not_written;
        }
        let output = self.reading.output().printed(finish::tokens(&self.work.args.settings));
        CommandResult {
            kept: self.reading.kept(ended),
            strays: self.strays,
            sandbox,
            not_written,
            refused_hosts: self.refused.clone(),
            most_tokens: tokens,
            ..CommandResult::new(end, finish::millis(wall), output)
        }
    }

    /// Types, and reads meanwhile: a program that is not read from does not read either.
    async fn type_in(&mut self, text: &str, due: &mut Deadline) -> Result<(), String> {
        let Some(input) = &mut self.input else {
            if text == CTRL_C {
                (self.interrupt)();
                return Ok(());
            }
            return Err(
                "this process has no terminal, so nothing can be typed but \\u0003. Start \
                        it with \"tty\": true to type"
                    .to_owned(),
            );
        };
        let typed = input.write_all(text.as_bytes());
        let failed = tokio::select! {
            biased;
            () = cancelled(&mut self.work.cancel) => Some("it is being ended".to_owned()),
            written = typed => written.err().map(|error| error.to_string()),
            () = due.passed() => Some("it does not read what is typed".to_owned()),
            never = self.reading.go_on() => match never {},
        };
        failed.map_or(Ok(()), |why| Err(format!("not everything could be typed: {why}")))
    }

    fn hear(&mut self, word: Word) {
        match word {
            Word::Ask(ask) => self.waiting.push_back(ask),
            Word::Refused(host) => self.refused.push(host),
        }
    }

    /// Reads until the deadline, or until it ends.
    async fn wait(&mut self, until: &mut Deadline) -> Waited {
        let end = loop {
            tokio::select! {
                biased;
                () = cancelled(&mut self.work.cancel) => return Waited::Cancelled,
                end = &mut self.exit => break end,
                Some(word) = self.desk.recv() => self.hear(word),
                () = until.passed() => return Waited::Due,
                never = self.reading.go_on() => match never {},
            }
        };
        self.on_end(end).await;
        while let Ok(word) = self.desk.try_recv() {
            self.hear(word);
        }
        Waited::Ended
    }

    /// Its leader has ended: the rest of its tree goes, and what is left in the pipes is read.
    async fn on_end(&mut self, end: ProcessEnd) {
        self.ended = Some(end);
        self.input = None;
        self.reading.drain(Instant::now() + DRAIN).await;
        self.strays = (self.kill)();
        self.read_rest().await;
    }

    async fn end_now(&mut self) {
        self.input = None;
        (self.kill)();
        self.read_rest().await;
    }

    async fn read_rest(&mut self) {
        let now = Instant::now();
        self.reading.drain(now + REST).await;
        self.reading.end(KEEPING).await;
    }

    /// Ends the call: with the process, or without it.
    async fn finish_call(&mut self, waited: &Waited, life: &Life<ToolMessage>) {
        if matches!(waited, Waited::Cancelled) {
            (self.kill)();
            self.reading.drain(Instant::now() + DRAIN).await;
            self.reading.end(DRAIN).await;
        }
        let end = match waited {
            Waited::Cancelled => CommandEnd::Cancelled,
            Waited::Due | Waited::Ended => self.end(),
        };
        let result = self.result(end, self.began.elapsed(), self.keep.tokens).await;
        let done = self.work.finished(result);
        if life.tell(ToolMessage::Done(Box::new(done))).is_ok() {
            self.reading.forget();
            self.refused.clear();
        }
    }

    fn end(&self) -> CommandEnd {
        match self.ended {
            None => CommandEnd::Running { process: self.work.args.process },
            Some(ended) => end_of(ended.exit),
        }
    }

    /// That it has ended, for the log.
    fn news(&self, outcome: Outcome) -> ToolMessage {
        let lost = matches!(self.ended, Some(ProcessEnd { exit: ProcessExit::Lost, .. }));
        ToolMessage::Process(ProcessNews::Ended(ProcessEnded {
            call: self.work.args.call.call,
            process: self.work.args.process,
            outcome: if lost { Outcome::Lost } else { outcome },
            exit_code: self.end().exit_code(),
            took_ms: finish::millis(self.began.elapsed()),
            busy_ms: self.ended.filter(|_| !lost).map(|ended| finish::millis(ended.busy)),
        }))
    }
}
