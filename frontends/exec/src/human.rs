//! Events for people: what the model says and does, as it happens.

use crate::{
    exit::message_of,
    text::{
        NO_FINAL_MESSAGE, Retries, clean, exit_code, flaws, given, grouped, mended, script,
        servers_own, summary, tokens, weaker, why,
    },
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write,
    path::{Path, PathBuf},
    time::Duration,
};
use troupe_types::{
    CallDetail, CallFinished, CallId, CallItem, Channel, CommandEnd, ContextItem, Event,
    FileChangeKind, Item, Level, Outcome, PlanUpdated, ProcessEnded, Progress, Record, RequestId,
    RequestOutcome, StepStatus, TextPart,
};

/// What is shown and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct HumanOptions {
    /// Use colour.
    pub color: bool,
    /// Somebody watches: show text and output as they come.
    pub live: bool,
    /// Leave out what the model thinks.
    pub hide_reasoning: bool,
}

/// Turns a session's events into text.
#[derive(Debug, Default)]
pub struct HumanEvents {
    options: HumanOptions,
    calls: HashMap<CallId, CallItem>,
    /// The text shown live that is not followed by a line end yet.
    streaming: Option<(RequestId, u32, Channel)>,
    /// How much of each item was shown live.
    shown: HashMap<(RequestId, u32), usize>,
    /// The call whose start is the last that was shown of any call.
    begun: Option<CallId>,
    /// Calls whose start was shown and whose end was not.
    running: HashSet<CallId>,
    /// A live line of a running command stands at the end.
    live_line: bool,
    last_message: Option<String>,
    /// The working directory, once it is known.
    cwd: Option<PathBuf>,
    retries: Retries,
    /// Processes in the background: their numbers and commands.
    background: BTreeMap<CallId, (u64, String)>,
}

const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const CYAN: &str = "\x1b[36m";
const MAGENTA: &str = "\x1b[35m";

impl HumanEvents {
    /// With these options.
    #[must_use]
    pub fn new(options: HumanOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// The last message of the model, whole.
    #[must_use]
    pub fn last_message(&self) -> Option<&str> {
        self.last_message.as_deref()
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.options.color { format!("{style}{text}\x1b[0m") } else { text.to_owned() }
    }

    /// The lines above everything: names and values.
    #[must_use]
    pub fn header(&self, title: &str, lines: &[(&str, String)], prompt: &str) -> String {
        let rule = "─".repeat(8);
        let mut out = format!("{}\n{rule}\n", self.paint(BOLD, title));
        for (name, value) in lines {
            put(&mut out, &format!("{} {}\n", self.paint(BOLD, &format!("{name}:")), clean(value)));
        }
        put(&mut out, &format!("{rule}\n"));
        if !prompt.is_empty() {
            let prompt = shortened(prompt);
            put(&mut out, &format!("{}\n{}\n\n", self.paint(CYAN, "user"), clean(&prompt)));
        }
        out
    }

    /// The text of one event, for standard error.
    pub fn on(&mut self, event: &Event) -> String {
        match event {
            Event::Durable(line) => self.on_record(&line.record),
            Event::Progress(progress) => self.on_progress(progress),
            Event::Skipped { offset, reason } => self.colored(
                RED,
                &format!("warning: the log's line at byte {offset} cannot be used: {reason}"),
            ),
            Event::StorageFailed(failure) => {
                let text = format!("warning: {}. What runs is let run to its end", failure.message);
                self.colored(RED, &text)
            }
            // Told as the run's end.
            Event::Halted(_) => String::new(),
            Event::Closed { reason } => reason.as_ref().map_or(String::new(), |reason| {
                self.colored(RED, &format!("ERROR: the session was closed: {reason}"))
            }),
        }
    }

    /// What is said of a run at its end; the text may come from anywhere.
    pub(crate) fn remark(&mut self, text: &str) -> String {
        self.colored(RED, &format!("warning: {text}"))
    }

    /// How to go on, or that it does.
    pub(crate) fn aside(&mut self, text: &str) -> String {
        self.colored(DIM, text)
    }

    /// A block of lines, after the end of whatever was shown live.
    fn block(&mut self, text: &str) -> String {
        format!("{}{text}\n", self.end_live())
    }

    /// A block of one colour; the text may come from anywhere.
    fn colored(&mut self, style: &str, text: &str) -> String {
        let text = self.paint(style, &clean(text));
        self.block(&text)
    }

    fn end_live(&mut self) -> String {
        let line = std::mem::take(&mut self.live_line);
        match (self.streaming.take(), line) {
            (Some(_), _) => "\n".to_owned(),
            (None, true) => "\r\x1b[K".to_owned(),
            (None, false) => String::new(),
        }
    }

    // Every kind is named: a new one has to be thought of here.
    fn on_record(&mut self, record: &Record) -> String {
        match record {
            Record::TextPart(part) => self.on_part(part),
            Record::SessionOpened(body) => {
                self.cwd = Some(body.settings.cwd.clone());
                String::new()
            }
            Record::ItemAdded(body) => self.on_added(&body.item),
            Record::ItemCompleted(body) => self.on_item(body.request, body.index, &body.item),
            Record::CallRequested(body) => {
                self.calls.insert(body.item.call, body.item.clone());
                String::new()
            }
            Record::CallStarted(body) => {
                self.begun = Some(body.call);
                self.running.insert(body.call);
                let text = match &body.detail {
                    CallDetail::Command { argv, cwd, .. } => format!(
                        "{} {} in {}",
                        self.paint(MAGENTA, "exec"),
                        self.paint(BOLD, &clean(&script(argv))),
                        clean(&cwd.display().to_string())
                    ),
                    CallDetail::Patch { .. } => self.paint(MAGENTA, "apply patch"),
                    CallDetail::Interact { .. } | CallDetail::Plan | CallDetail::Tool { .. } => {
                        let what = clean(&summary(&body.detail));
                        format!("{} {what}", self.paint(MAGENTA, "tool"))
                    }
                };
                self.block(&text)
            }
            Record::CallFinished(body) => self.on_call_finished(body),
            Record::ProcessEnded(body) => self.on_process_ended(body),
            Record::HostDecided(body) => {
                let said = if body.allowed { "allowed by" } else { "refused:" };
                let text = format!("network {}:{} {said} {}", body.host, body.port, body.reason);
                self.colored(if body.allowed { DIM } else { RED }, &text)
            }
            Record::PlanUpdated(body) => self.on_plan(body),
            Record::ApprovalAsked(body) => {
                let text = format!("needs an approval: {} ({})", body.ask.action, body.ask.reason);
                self.colored(RED, &text)
            }
            Record::RequestRetried(body) => {
                let text = self.retries.line(body);
                self.colored(DIM, &text)
            }
            Record::RequestFinished(body) => {
                if body.result == RequestOutcome::Completed {
                    self.retries.forget();
                }
                String::new()
            }
            Record::Notice(body) => match body.level {
                Level::Warning => self.colored(RED, &format!("warning: {}", body.text)),
                Level::Error => self.colored(RED, &format!("ERROR: {}", body.text)),
            },
            Record::SandboxWeaker(body) => {
                self.colored(RED, &format!("warning: {}", weaker(&body.ways)))
            }
            Record::Compacted(_) => self.block(&self.paint(DIM, "context compacted")),
            Record::Mended(body) => self.block(&self.paint(DIM, &mended(body))),
            Record::LogFlaws(body) => self.colored(RED, &format!("warning: {}", flaws(body))),
            Record::TurnFinished(body) => {
                let mut tokens = self.paint(DIM, &tokens(body));
                if body.no_final_message {
                    let warning = self.paint(RED, &format!("warning: {NO_FINAL_MESSAGE}"));
                    tokens = format!("{warning}\n{tokens}");
                    self.last_message = None;
                }
                match &body.result {
                    Outcome::Completed => self.block(&tokens),
                    outcome => {
                        let failed =
                            self.paint(RED, &clean(&format!("ERROR: {}", message_of(outcome))));
                        self.block(&format!("{failed}\n{tokens}"))
                    }
                }
            }
            Record::SessionCreated(_)
            | Record::OpAccepted(_)
            | Record::TurnStarted(_)
            | Record::RequestStarted(_)
            | Record::ApprovalAnswered(_)
            | Record::TurnWorked(_)
            | Record::Checkpoint(_) => String::new(),
        }
    }

    /// Which files the host shows the model.
    fn on_added(&mut self, item: &Item) -> String {
        let Item::Context(ContextItem { files, .. }) = item else { return String::new() };
        if files.is_empty() {
            return String::new();
        }
        let names: Vec<String> =
            files.iter().map(|file| clean(&short(file, self.cwd.as_deref()))).collect();
        self.block(&format!("{} {}", self.paint(BOLD, "instructions:"), names.join(", ")))
    }

    fn on_part(&mut self, part: &TextPart) -> String {
        let hidden = part.channel == Channel::Reasoning && self.options.hide_reasoning;
        if !self.options.live || hidden {
            return String::new();
        }
        let place = (part.request, part.index, part.channel);
        let mut out = String::new();
        if self.streaming != Some(place) {
            out = self.end_live();
            put(&mut out, &self.name(part.channel));
            self.streaming = Some(place);
        }
        let style = if part.channel == Channel::Reasoning { DIM } else { "" };
        let text = clean(&part.text);
        put(&mut out, &if style.is_empty() { text } else { self.paint(style, &text) });
        *self.shown.entry((part.request, part.index)).or_default() += part.text.len();
        out
    }

    fn name(&self, channel: Channel) -> String {
        match channel {
            Channel::Answer => format!("{}\n", self.paint(CYAN, "troupe")),
            Channel::Reasoning => format!("{}\n", self.paint(DIM, "thinking")),
        }
    }

    fn on_item(&mut self, request: RequestId, index: u32, item: &Item) -> String {
        let shown = self.shown.remove(&(request, index)).unwrap_or(0);
        match item {
            Item::Assistant(item) if item.says_something() => {
                self.last_message = Some(item.text.clone());
                let cut = if item.cut { self.paint(RED, "\n(cut off)") } else { String::new() };
                if shown == item.text.len() {
                    return format!("{}{cut}", self.end_live());
                }
                let text =
                    format!("{}{}{cut}", self.name(Channel::Answer), clean(item.text.trim_end()));
                self.block(&text)
            }
            Item::Reasoning(item) if !self.options.hide_reasoning && shown == 0 => {
                let text = if item.summary.is_empty() { &item.content } else { &item.summary };
                let text = text.join("\n\n");
                if text.trim().is_empty() {
                    return String::new();
                }
                let text = format!(
                    "{}{}",
                    self.name(Channel::Reasoning),
                    self.paint(DIM, &clean(text.trim()))
                );
                self.block(&text)
            }
            Item::Opaque(item) => match servers_own(item) {
                Some(text) => self.block(&self.paint(DIM, &clean(&text))),
                None => String::new(),
            },
            _ => String::new(),
        }
    }

    fn on_call_finished(&mut self, body: &CallFinished) -> String {
        let item = self.calls.remove(&body.call);
        let end = body.result.command().map(|result| result.end);
        if let (Some(CallDetail::Command { argv, .. }), Some(CommandEnd::Running { process })) =
            (&body.detail, end)
        {
            self.background.insert(body.call, (process, clean(&script(argv))));
        }
        let said = self.how_it_ended(body);
        self.running.remove(&body.call);
        let alone = self.begun.take() == Some(body.call) && self.running.is_empty();
        let head = |name: &str, what: &str| {
            format!("{} {} {said}", self.paint(MAGENTA, name), self.paint(BOLD, &clean(what)))
        };
        let text = match &body.detail {
            Some(CallDetail::Command { argv, .. }) => {
                // One that was refused was not shown before; of others the end stands below the
                // start, unless others run beside it.
                let refused = matches!(body.outcome, Outcome::Failed(_));
                let head = if alone && !refused { said } else { head("exec", &script(argv)) };
                with_output(&head, &self.output_of(body))
            }
            Some(CallDetail::Patch { changes }) if body.outcome.is_completed() => {
                let mut out = format!("patch {said}");
                for change in changes {
                    let kind = match change.kind {
                        FileChangeKind::Add => "add",
                        FileChangeKind::Delete => "delete",
                        FileChangeKind::Update => "update",
                    };
                    let path = clean(&change.path.display().to_string());
                    put(&mut out, &format!("\n{kind} {path}"));
                    put(&mut out, &self.diff(&clean(&change.diff)));
                }
                out
            }
            // The plan itself was shown.
            Some(CallDetail::Plan) if body.outcome.is_completed() => return String::new(),
            Some(detail @ CallDetail::Interact { .. }) if body.outcome.is_completed() => {
                let head =
                    format!("{} {}: {said}", self.paint(MAGENTA, "tool"), clean(&summary(detail)));
                with_output(&head, &self.output_of(body))
            }
            Some(detail @ CallDetail::Tool { .. }) if body.outcome.is_completed() => {
                format!("{} {}: {said}", self.paint(MAGENTA, "tool"), clean(&summary(detail)))
            }
            Some(
                CallDetail::Patch { .. }
                | CallDetail::Plan
                | CallDetail::Interact { .. }
                | CallDetail::Tool { .. },
            )
            | None => {
                let tool = item.map_or("tool".to_owned(), |item| item.tool);
                let head = format!("{} {said}", self.paint(MAGENTA, &clean(&tool)));
                with_output(&head, &self.output_of(body))
            }
        };
        self.block(&text)
    }

    fn how_it_ended(&self, body: &CallFinished) -> String {
        let took = took(body.took_ms);
        let end = body.result.command().map(|result| result.end);
        match (&body.outcome, end) {
            (Outcome::Completed, Some(CommandEnd::Signalled { signal })) => {
                self.paint(RED, &format!("ended by signal {signal} in {took}"))
            }
            (Outcome::Completed, Some(CommandEnd::Running { process })) => {
                self.paint(GREEN, &format!("goes on in the background as {process}, after {took}"))
            }
            (Outcome::Completed, _) => match exit_code(body) {
                None | Some(0) => self.paint(GREEN, &format!("succeeded in {took}")),
                Some(code) => self.paint(RED, &format!("exited {code} in {took}")),
            },
            (Outcome::Failed(_), _) => self.paint(RED, "failed"),
            (Outcome::Cancelled, _) => self.paint(RED, "cancelled"),
            (Outcome::TimedOut, _) => self.paint(RED, &format!("timed out after {took}")),
            (Outcome::Lost, _) => self.paint(RED, "lost"),
        }
    }

    /// What the call gave, or why it gave nothing; then what there is to say about a command.
    fn output_of(&self, body: &CallFinished) -> String {
        let mut text = clean(&given(body)).trim_end().to_owned();
        let mut remarks = Vec::new();
        if let Outcome::Failed(_) = body.outcome {
            remarks.extend(why(body));
        }
        if let Some(result) = body.result.command() {
            remarks.extend(result.strays_ended());
            if let Some(kept) = result.kept.as_ref().filter(|_| result.output.omitted > 0) {
                remarks.push(kept.sentence());
            }
            remarks.extend(result.sandbox.iter().map(|one| format!("sandbox: {one}")));
        }
        for remark in remarks {
            let line_end = if text.is_empty() { "" } else { "\n" };
            put(&mut text, &format!("{line_end}{}", self.paint(DIM, &clean(&remark))));
        }
        text
    }

    fn on_process_ended(&mut self, body: &ProcessEnded) -> String {
        let command = self.background.remove(&body.call).map(|(_, command)| command);
        let took = took(body.took_ms);
        let how = match (&body.outcome, body.exit_code) {
            (Outcome::Lost, _) => "was lost".to_owned(),
            (Outcome::Completed, Some(code)) => format!("exited {code} after {took}"),
            _ => format!("was ended after {took}"),
        };
        let busy = body.busy_ms.map(|ms| format!(", {ms} ms of processor time"));
        let text = format!(
            "background process {} `{}` {how}{}",
            body.process,
            command.unwrap_or_default(),
            busy.unwrap_or_default()
        );
        self.colored(DIM, &text)
    }

    fn diff(&self, diff: &str) -> String {
        diff.lines()
            .map(|line| {
                let style = match line.as_bytes().first() {
                    Some(b'+') => GREEN,
                    Some(b'-') => RED,
                    _ => DIM,
                };
                format!("\n{}", self.paint(style, line))
            })
            .collect()
    }

    fn on_plan(&mut self, body: &PlanUpdated) -> String {
        let mut out = self.paint(MAGENTA, "plan");
        if let Some(text) = &body.explanation {
            put(&mut out, &format!(" {}", clean(text)));
        }
        for step in &body.plan {
            let mark = match step.status {
                StepStatus::Completed => "✓",
                StepStatus::InProgress => "→",
                StepStatus::Pending => "•",
            };
            put(&mut out, &format!("\n  {mark} {}", clean(&step.step)));
        }
        self.block(&out)
    }

    fn on_progress(&mut self, progress: &Progress) -> String {
        match progress {
            Progress::CallOutput { text, .. } if self.options.live && self.streaming.is_none() => {
                let last = text.lines().rev().find(|line| !line.trim().is_empty());
                let Some(line) = last else { return String::new() };
                let line: String = clean(line).chars().take(76).collect();
                self.live_line = true;
                format!("\r\x1b[K{}", self.paint(DIM, &format!("  {line}")))
            }
            Progress::ActorRestarted { path, reason } => {
                let name = path.rsplit('/').next().unwrap_or(path).to_owned();
                let text = format!("actor {name} was started again ({reason}); nothing is lost");
                self.colored(DIM, &text)
            }
            Progress::CallOutput { .. } => String::new(),
        }
    }
}

/// A prompt as it is echoed: whoever gave a long one knows it.
fn shortened(prompt: &str) -> Cow<'_, str> {
    const HEAD: usize = 2000;
    const TAIL: usize = 500;
    if prompt.len() <= HEAD + 2 * TAIL {
        return prompt.into();
    }
    let (head, tail) =
        (prompt.floor_char_boundary(HEAD), prompt.ceil_char_boundary(prompt.len() - TAIL));
    format!(
        "{}\n[… {} bytes of the prompt are not shown here …]\n{}",
        &prompt[..head],
        grouped((tail - head) as u64),
        &prompt[tail..]
    )
    .into()
}

fn with_output(head: &str, output: &str) -> String {
    let output = output.trim_end();
    if output.is_empty() { head.to_owned() } else { format!("{head}:\n{output}") }
}

fn took(ms: u64) -> String {
    if ms < 1000 {
        format!("{ms} ms")
    } else {
        format!("{:.1} s", Duration::from_millis(ms).as_secs_f64())
    }
}

fn put(out: &mut String, text: &str) {
    let written = out.write_str(text);
    debug_assert!(written.is_ok(), "a string takes all");
}

/// A file as seen from the working directory, where it is below that or in a folder above.
fn short(file: &Path, cwd: Option<&Path>) -> String {
    let from = |(ups, folder): (usize, &Path)| {
        // From the top of the tree every file would be near.
        let below = file.strip_prefix(folder).ok().filter(|_| folder.parent().is_some())?;
        let is_near = ups == 0 || below.components().count() == 1;
        is_near.then(|| format!("{}{}", "../".repeat(ups), below.display()))
    };
    let near = cwd.and_then(|cwd| cwd.ancestors().enumerate().find_map(from));
    near.unwrap_or_else(|| file.display().to_string())
}
