//! `troupe exec`: one task without a terminal.

mod words;

use crate::{
    args::{Cli, ConfigArgs, ExecArgs},
    bin_dir,
    errors::{CliError, CliResult},
    output, setup, signals,
    tree::TreeSocket,
};
use clap::CommandFactory;
use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
};
use tokio::sync::watch;
use troupe::{
    Conversation, Events, LogPath, LogReader, Opening, ReplayLine, Setup, Stuck, Troupe,
    config::Loaded, list_sessions,
};
use troupe_exec::{
    Asked, ExecEnd, GoingOn, HumanEvents, HumanOptions, JsonEvents, Output, Patient, Signals, Sink,
    StandardInput, Task, clean, signalled,
};
use troupe_types::{Content, Event, Failure, Op, OpId, Record, SessionId, SessionSettings};
use words::{Which, Words};

pub(crate) fn run(args: ExecArgs, config: &ConfigArgs, input: &StandardInput) -> CliResult {
    troupe::raise_fd_limit();
    let words = words::of(&args)?;
    if words == Words::Help {
        return help();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::internal(format!("no runtime: {error}")))?;
    let code = runtime.block_on(async {
        let signals = signals::listen();
        let mut early = signals.clone();
        let ready = tokio::select! {
            biased;
            signals = signalled(&mut early, 1) => return Err(CliError::Signalled(signals)),
            ready = prepare(args, config, words, input) => ready?,
        };
        perform(ready, signals).await
    });
    // What still blocks (a look at files) does not hold up the end.
    runtime.shutdown_background();
    code
}

fn help() -> CliResult {
    let mut cli = Cli::command();
    cli.build();
    if let Some(exec) = cli.find_subcommand_mut("exec") {
        output::text(&exec.render_long_help().to_string());
    }
    Ok(ExitCode::SUCCESS)
}

/// Flags, as settings.
fn flags(args: &ExecArgs) -> Vec<String> {
    let mut flags = Vec::new();
    let mut set = |key: &str, value: &str| flags.push(format!("{key}={value}"));
    if let Some(model) = &args.model {
        set("model", &toml_text(model));
    }
    if let Some(mode) = args.sandbox {
        set("sandbox_mode", setup::mode_name(mode));
    }
    if args.dangerously_bypass_approvals_and_sandbox {
        set("sandbox_mode", "danger-full-access");
    }
    flags
}

fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What is accepted for other programs' sake is told where it does nothing.
fn without_effect(args: &ExecArgs) {
    if args.cyber_access_program.is_some() {
        output::warning("--cyber-access-program is accepted and not sent: it changes nothing");
    }
}

/// A session that is open, and what is to be done in it.
struct Ready {
    args: ExecArgs,
    loaded: Loaded,
    header: Header,
    troupe: Troupe,
    conversation: Conversation,
    task: Task,
    /// Where the session is, if it is not kept.
    temporary: Option<PathBuf>,
}

/// Everything up to the prompt. What waits here (standard input, a search for servers) may be
/// dropped: nothing has begun.
async fn prepare(
    args: ExecArgs,
    config: &ConfigArgs,
    words: Words,
    input: &StandardInput,
) -> Result<Ready, CliError> {
    without_effect(&args);
    let (resume, prompt) = match words {
        Words::Help => (None, None),
        Words::New { prompt } => (None, prompt),
        Words::Resume { which, prompt } => (Some(which), prompt),
    };
    reach(named(&args)).await;
    let cwd = setup::working_directory(args.cd.as_deref())?;
    let loaded = setup::read(config, &cwd, flags(&args))?;
    setup::warn(&loaded);
    reach(loaded.config.model_instructions_file.clone().into_iter().collect()).await;
    let mut company = Setup::new(&loaded);
    setup::usable(&company.policy)?;
    let chosen = setup::choose(&loaded, args.oss, args.local_provider.as_deref(), &company).await?;
    let mut settings = session_settings(&loaded, &cwd, &chosen, &args)?;
    let resume = match &resume {
        None => None,
        Some(which) => {
            let session = find_session(which, &args, &cwd, &company.sessions_dir)?;
            tell_of_another_folder(&company.sessions_dir, session, &cwd);
            Some(session)
        }
    };
    check_last_message(&args)?;
    let mut task = read_task(&args, &cwd, prompt.as_deref(), resume.is_some(), input).await?;
    let temporary = args.ephemeral.then(|| temporary_sessions(&mut company)).transpose()?;
    company.environment.bin_dir = bin_dir::ensure(&loaded.places.state_dir);
    settings.cwd.clone_from(&cwd);
    let header = Header { settings: settings.clone(), why: chosen.why };
    let troupe = Troupe::start(company);
    let opening = match resume {
        Some(session) => Opening::resume(session, settings),
        None => Opening::new(settings),
    };
    super::recover::tell(&troupe.recover().await);
    let source = args.thread_source.as_deref().filter(|source| !source.is_empty());
    let opening = opening.from_source(source.unwrap_or("exec"));
    let conversation = troupe.open(opening).await.map_err(open_failed)?;
    task.work = conversation.work();
    task.going_on = going_on(&args, conversation.id());
    Ok(Ready { args, loaded, header, troupe, conversation, task, temporary })
}

/// The files and folders that the arguments name.
fn named(args: &ExecArgs) -> Vec<PathBuf> {
    let single = [&args.cd, &args.output_schema, &args.output_last_message].into_iter().flatten();
    single.chain(&args.add_dir).chain(&args.images).cloned().collect()
}

/// Looks at files on a thread of its own before they are used here. Where a file system hangs, signals
/// are acted on meanwhile.
async fn reach(paths: Vec<PathBuf>) {
    if paths.is_empty() {
        return;
    }
    let look = move || paths.iter().for_each(|path| drop(std::fs::metadata(path)));
    drop(tokio::task::spawn_blocking(look).await);
}

/// The command that goes on with the session; a session that is not kept has none.
fn going_on(args: &ExecArgs, session: SessionId) -> GoingOn {
    if args.ephemeral {
        return GoingOn::default();
    }
    let folder = args.cd.as_deref().map(|folder| format!(" -C {}", quoted(folder)));
    let command = format!("troupe exec{} resume {session}", folder.unwrap_or_default());
    GoingOn { command: Some(command) }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+@%:,".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

async fn perform(ready: Ready, signals: watch::Receiver<Option<Signals>>) -> CliResult {
    let socket = TreeSocket::serve(&ready.troupe, &ready.loaded.places.runtime_dir);
    let end = drive(&ready, signals).await;
    drop(socket);
    ready.troupe.stop().await;
    if let Some(folder) = &ready.temporary {
        drop(std::fs::remove_dir_all(folder));
    }
    let end = end?;
    if let Err(error) = &end.written {
        output::warning(&format!("not all of the output was written: {error}"));
    }
    let kept = write_last_message(&ready.args, &end);
    // The run has had its last line; what failed after it is said to people.
    let late = kept.map_err(|error| {
        output::error(&format!("error: {}", error.message()));
        error.code()
    });
    Ok(ExitCode::from(late.err().unwrap_or(end.code)))
}

fn open_failed(error: troupe::OpenError) -> CliError {
    match error {
        troupe::OpenError::Storage(text) => CliError::storage(text),
        troupe::OpenError::Closed(text) => CliError::internal(text),
        error => CliError::config(error.to_string()),
    }
}

struct Header {
    settings: SessionSettings,
    why: String,
}

fn session_settings(
    loaded: &Loaded,
    cwd: &Path,
    chosen: &setup::Chosen,
    args: &ExecArgs,
) -> Result<SessionSettings, CliError> {
    let retries = chosen.stream_retries;
    let mut settings = loaded
        .config
        .session_settings(cwd, &chosen.provider, &chosen.model, retries, &loaded.places)
        .map_err(|error| CliError::config(error.to_string()))?;
    // Nobody is there to be asked.
    settings.approval = troupe_types::ApprovalPolicy::Never;
    for folder in &args.add_dir {
        settings.sandbox.writable_roots.push(setup::working_directory(Some(folder))?);
    }
    Ok(settings)
}

fn temporary_sessions(company: &mut Setup) -> Result<PathBuf, CliError> {
    let folder = std::env::temp_dir().join(format!("troupe-{}", SessionId::new()));
    std::fs::create_dir(&folder).map_err(|error| {
        CliError::storage(format!("{} cannot be made: {error}", folder.display()))
    })?;
    company.sessions_dir.clone_from(&folder);
    Ok(folder)
}

fn find_session(
    which: &Which,
    args: &ExecArgs,
    cwd: &Path,
    sessions_dir: &Path,
) -> Result<SessionId, CliError> {
    match which {
        Which::Id(text) => super::sessions::find(sessions_dir, text),
        Which::Last => {
            let here = |summary: &troupe::SessionSummary| args.all || summary.cwd == cwd;
            let found = list_sessions(sessions_dir, 1, here).map_err(|error| {
                CliError::storage(format!("{}: {error}", sessions_dir.display()))
            })?;
            found.first().map(|summary| summary.session).ok_or_else(|| {
                let place =
                    if args.all { "at all" } else { "in this directory (--all looks everywhere)" };
                CliError::config(format!("there is no session {place}"))
            })
        }
    }
}

/// A session works where it is resumed, which need not be where it began.
fn tell_of_another_folder(sessions_dir: &Path, session: SessionId, cwd: &Path) {
    // What cannot be read is told when the session is opened.
    let reader = LogReader::open(&LogPath::new(sessions_dir, session)).ok().flatten();
    let first = reader.and_then(|reader| reader.lines(0).ok()?.next()?.ok());
    let Some(ReplayLine::Line { line, .. }) = first else { return };
    if let Record::SessionCreated(body) = &line.record
        && body.cwd != cwd
    {
        output::warning(&format!(
            "the session began in {}; from here on it works in {} (-C names another folder)",
            body.cwd.display(),
            cwd.display()
        ));
    }
}

/// The prompt and what goes with it.
async fn read_task(
    args: &ExecArgs,
    cwd: &Path,
    given: Option<&str>,
    resumed: bool,
    input: &StandardInput,
) -> Result<Task, CliError> {
    let output_schema = args.output_schema.as_deref().map(read_schema).transpose()?;
    let images = troupe_exec::images(&args.images, cwd);
    let images = images.map_err(|error| CliError::config(error.to_string()))?;
    let asked = Asked { given, append: args.stdin, optional: resumed };
    let text = troupe_exec::prompt_text(asked, input, &mut output::error).await;
    let text = text.map_err(|error| CliError::Usage(error.to_string()))?;
    if text.is_none() && (!images.is_empty() || output_schema.is_some()) {
        let text = "an image or --output-schema needs a prompt: say what is to be done";
        return Err(CliError::Usage(text.to_owned()));
    }
    let prompt = text.map(|text| {
        let mut content = vec![Content::text(text)];
        content.extend(images);
        content
    });
    let keep_last_message = !args.is_json() || args.output_last_message.is_some();
    Ok(Task { prompt, output_schema, keep_last_message, ..Task::default() })
}

fn read_schema(path: &Path) -> Result<serde_json::Value, CliError> {
    let failed =
        |why: String| CliError::config(format!("--output-schema {}: {why}", path.display()));
    let text = troupe_exec::read_named(path).map_err(|error| failed(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
}

/// The library's handle, as the driver wants it.
struct Live<'a> {
    conversation: &'a Conversation,
    events: Events,
}

impl troupe_exec::Session for Live<'_> {
    fn id(&self) -> SessionId {
        self.conversation.id()
    }

    async fn submit(&self, op: Op) -> Result<OpId, Failure> {
        self.conversation.submit(op).await.map(|accepted| accepted.op)
    }

    async fn next(&mut self) -> Option<Event> {
        self.events.next().await
    }
}

async fn drive(
    ready: &Ready,
    mut signals: watch::Receiver<Option<Signals>>,
) -> Result<ExecEnd, CliError> {
    let Ready { args, loaded, header, conversation, task, .. } = ready;
    let mut session = Live { conversation, events: conversation.events() };
    let no_thread = |error| CliError::internal(format!("no thread for the output: {error}"));
    if args.is_json() {
        let sink = Sink::new(Patient(std::io::stdout())).map_err(no_thread)?;
        let output = Output::Json(JsonEvents::new(args.experimental_json));
        let door = sink.side_door();
        ready.troupe.on_stuck(move |stuck| door.write(JsonEvents::aside(&stuck_text(stuck))));
        return Ok(troupe_exec::drive(&mut session, task.clone(), output, sink, signals).await);
    }
    let stderr = std::io::stderr();
    let human = HumanEvents::new(HumanOptions {
        color: setup::color(args.color, &stderr),
        live: stderr.is_terminal(),
        hide_reasoning: loaded.config.hide_agent_reasoning,
    });
    let prompt = task.prompt.iter().flatten().filter_map(troupe_types::Content::as_text);
    let text = human.header(
        concat!("Troupe ", env!("CARGO_PKG_VERSION")),
        &header_lines(header, conversation),
        &prompt.collect::<String>(),
    );
    let mut sink = Sink::new(Patient(stderr)).map_err(no_thread)?;
    sink.push(&text);
    let door = sink.side_door();
    ready.troupe.on_stuck(move |stuck| door.write(format!("warning: {}\n", stuck_text(stuck))));
    let output = Output::Human(Box::new(human));
    let task = task.clone();
    let mut end = troupe_exec::drive(&mut session, task, output, sink, signals.clone()).await;
    // A person has read it already; a pipe gets just the answer.
    let watched = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
    if let (Some(message), 0, false) = (&end.last_message, end.code, watched) {
        let mut sink = Sink::new(Patient(std::io::stdout())).map_err(no_thread)?;
        let terminal = std::io::stdout().is_terminal();
        let message = message.trim_end();
        sink.push(&if terminal { clean(message) } else { message.to_owned() });
        sink.push("\n");
        tokio::select! {
            written = sink.finish() => end.written = end.written.and(written),
            signals = signalled(&mut signals, 1) => end.code = signals.code(),
        }
    }
    Ok(end)
}

/// What cannot be ended from inside, and what helps.
fn stuck_text(stuck: &Stuck) -> String {
    format!(
        "{stuck}: it may be blocked for good. Ending troupe loses nothing: the session can be resumed"
    )
}

fn header_lines(header: &Header, conversation: &Conversation) -> Vec<(&'static str, String)> {
    let settings = &header.settings;
    let mut lines = vec![
        ("workdir", settings.cwd.display().to_string()),
        ("model", settings.model.clone()),
        ("provider", format!("{} ({})", settings.provider, header.why)),
        ("approval", "never".to_owned()),
        ("sandbox", setup::mode_text(settings.sandbox.mode).to_owned()),
    ];
    if let Some(effort) = &settings.effort {
        lines.push(("reasoning effort", effort.clone()));
    }
    lines.push(("session id", conversation.id().to_string()));
    lines
}

/// Whether the last message can be kept is found out before anything is done for it.
fn check_last_message(args: &ExecArgs) -> Result<(), CliError> {
    let Some(path) = &args.output_last_message else { return Ok(()) };
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map(drop).map_err(|error| cannot_be_kept(path, &error))
}

fn cannot_be_kept(path: &Path, error: &std::io::Error) -> CliError {
    CliError::storage(format!("{} cannot be written: {error}", path.display()))
}

fn write_last_message(args: &ExecArgs, end: &ExecEnd) -> Result<(), CliError> {
    let Some(path) = &args.output_last_message else { return Ok(()) };
    if end.code != 0 {
        return Ok(());
    }
    let text = end.last_message.as_deref().unwrap_or("");
    if text.is_empty() {
        output::warning(&format!("no last message: {} is empty", path.display()));
    }
    std::fs::write(path, text.trim_end_matches('\n')).map_err(|error| cannot_be_kept(path, &error))
}
