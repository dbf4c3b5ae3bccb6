//! `troupe exec`: one task without a terminal.

use crate::{
    args::{ConfigArgs, ExecArgs},
    bin_dir,
    errors::{CliError, CliResult},
    output, setup, signals,
    tree::TreeSocket,
};
use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
};
use tokio::sync::watch;
use troupe::{Conversation, Events, Opening, Setup, Troupe, config::Loaded, list_sessions};
use troupe_exec::{
    ExecEnd, HumanEvents, HumanOptions, Input, JsonEvents, Output, Signals, Sink, Task, clean,
    signalled,
};
use troupe_types::{Event, Failure, Op, OpId, SessionId, SessionSettings};

/// What the words of the command line mean.
struct Words {
    resume: Option<Which>,
    prompt: Option<String>,
}

enum Which {
    Last,
    Id(String),
}

pub(crate) fn run(args: ExecArgs, config: &ConfigArgs) -> CliResult {
    let json = args.json;
    match prepare_and_run(args, config) {
        Err(error) if json => {
            // The last line is a terminal event, also of what never began.
            output::line(&JsonEvents::failed(&error.message()).to_string());
            Err(error)
        }
        result => result,
    }
}

fn prepare_and_run(args: ExecArgs, config: &ConfigArgs) -> CliResult {
    troupe::raise_fd_limit();
    let words = words(&args)?;
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
            ready = prepare(args, config, words) => ready?,
        };
        perform(ready, signals).await
    });
    // What still blocks (a read of standard input, a look at files) does not hold up the end.
    runtime.shutdown_background();
    code
}

fn words(args: &ExecArgs) -> Result<Words, CliError> {
    let usage = |text: &str| Err(CliError::Usage(text.to_owned()));
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["resume"] if args.last => Ok(Words { resume: Some(Which::Last), prompt: None }),
        ["resume"] => usage("resume needs the id of a session, or --last"),
        ["resume", prompt] if args.last => {
            Ok(Words { resume: Some(Which::Last), prompt: Some((*prompt).to_owned()) })
        }
        ["resume", id] => Ok(Words { resume: Some(Which::Id((*id).to_owned())), prompt: None }),
        ["resume", id, prompt] if !args.last => Ok(Words {
            resume: Some(Which::Id((*id).to_owned())),
            prompt: Some((*prompt).to_owned()),
        }),
        _ if args.last => usage("--last goes with resume: troupe exec resume --last [PROMPT]"),
        [] => Ok(Words { resume: None, prompt: None }),
        [prompt] => Ok(Words { resume: None, prompt: Some((*prompt).to_owned()) }),
        _ => usage("more than one prompt: put it in quotes"),
    }
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
async fn prepare(args: ExecArgs, config: &ConfigArgs, words: Words) -> Result<Ready, CliError> {
    let cwd = setup::working_directory(args.cd.as_deref())?;
    let loaded = setup::read(config, &cwd, flags(&args))?;
    setup::warn(&loaded);
    let mut company = Setup::new(&loaded);
    setup::usable(&company.policy)?;
    let chosen = setup::choose(&loaded, args.oss, args.local_provider.as_deref(), &company).await?;
    let mut settings = session_settings(&loaded, &cwd, &chosen, &args)?;
    let resume = match &words.resume {
        None => None,
        Some(which) => Some(find_session(which, &args, &cwd, &company.sessions_dir)?),
    };
    check_last_message(&args)?;
    let mut task = read_task(&args, words.prompt.as_deref(), resume.is_some()).await?;
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
    let conversation = troupe.open(opening.from_source("exec")).await.map_err(open_failed)?;
    task.broken_off = conversation.was_broken_off();
    Ok(Ready { args, loaded, header, troupe, conversation, task, temporary })
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

/// The prompt and what goes with it.
async fn read_task(args: &ExecArgs, given: Option<&str>, resumed: bool) -> Result<Task, CliError> {
    let output_schema = match &args.output_schema {
        None => None,
        Some(path) => {
            let failed = |why: String| {
                CliError::config(format!("--output-schema {}: {why}", path.display()))
            };
            let text = troupe_exec::read_named(path).map_err(|error| failed(error.to_string()))?;
            Some(serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?)
        }
    };
    let (given, append) = (given.map(str::to_owned), args.stdin);
    let terminal = std::io::stdin().is_terminal();
    let needs_input = append || given.as_deref().is_none_or(|text| text == "-");
    let read = move || {
        let input = Input { terminal, reader: &mut std::io::stdin().lock() };
        troupe_exec::prompt_text(given.as_deref(), append, resumed, input)
    };
    let text = if needs_input {
        let read = tokio::task::spawn_blocking(read).await;
        read.map_err(|error| CliError::internal(error.to_string()))?
    } else {
        read()
    };
    let text = text.map_err(|error| CliError::Usage(error.to_string()))?;
    let prompt = match text {
        Some(text) => {
            let content = troupe_exec::content(&text, &args.images);
            Some(content.map_err(|error| CliError::config(error.to_string()))?)
        }
        None => None,
    };
    let keep_last_message = !args.json || args.output_last_message.is_some();
    Ok(Task { prompt, output_schema, broken_off: false, keep_last_message })
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
    if args.json {
        let sink = Sink::new(std::io::stdout()).map_err(no_thread)?;
        let output = Output::Json(JsonEvents::default());
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
    let mut sink = Sink::new(stderr).map_err(no_thread)?;
    sink.push(&text);
    let output = Output::Human(Box::new(human));
    let task = task.clone();
    let mut end = troupe_exec::drive(&mut session, task, output, sink, signals.clone()).await;
    // A person has read it already; a pipe gets just the answer.
    let watched = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
    if let (Some(message), 0, false) = (&end.last_message, end.code, watched) {
        let mut sink = Sink::new(std::io::stdout()).map_err(no_thread)?;
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
