//! `troupe demo`: the agent fixes a test with a built-in model, and one actor is killed meanwhile.

use crate::{
    args::DemoArgs,
    errors::{CliError, CliResult},
    output, setup, tree,
};
use std::{
    fs,
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};
use troupe::{
    Conversation, Fault, Moment, Opening, Setup, Troupe,
    config::{LoadOptions, load},
};
use troupe_exec::{HumanEvents, HumanOptions};
use troupe_types::{CallDetail, Event, Op, Outcome, Record, SessionId};

const SCRIPT: &str = include_str!("demo/script.json");
const PROMPT: &str = "The test in test.sh fails. Find out why and fix it.";

/// The project: a price with a discount that is added instead of taken off.
const PRICE: &str = "# price.sh PRICE DISCOUNT: prints what is to be paid\nprice=$1\ndiscount=$2\necho $((price + discount))\n";
const TEST: &str = "got=$(sh price.sh 100 20)\nif [ \"$got\" = 80 ]; then\n  echo \"ok: 100 less 20 is $got\"\nelse\n  echo \"FAILED: 100 less 20 is 80, not $got\"\n  exit 1\nfi\n";

pub(crate) fn run(args: &DemoArgs) -> CliResult {
    let name = format!("troupe-demo-{}", SessionId::new());
    let folder = std::path::absolute(std::env::temp_dir().join(&name))
        .map_err(|error| CliError::storage(format!("{name}: {error}")))?;
    let result = play(&folder, args);
    if args.keep {
        output::error(&format!("kept: {}", folder.display()));
    } else {
        drop(fs::remove_dir_all(&folder));
    }
    result
}

fn play(folder: &Path, args: &DemoArgs) -> CliResult {
    let project = lay_out(folder)
        .map_err(|error| CliError::storage(format!("{}: {error}", folder.display())))?;
    let setup = demo_setup(folder, &project)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::internal(format!("no runtime: {error}")))?;
    runtime.block_on(perform(setup, &project, args))
}

fn lay_out(folder: &Path) -> std::io::Result<PathBuf> {
    let project = folder.join("project");
    fs::create_dir_all(&project)?;
    fs::write(project.join("price.sh"), PRICE)?;
    fs::write(project.join("test.sh"), TEST)?;
    fs::write(folder.join("script.json"), SCRIPT)?;
    fs::canonicalize(project)
}

struct Demo {
    setup: Setup,
    opening: Opening,
}

fn demo_setup(folder: &Path, project: &Path) -> Result<Demo, CliError> {
    let failed = |error: troupe::config::ConfigError| CliError::config(error.to_string());
    let mut options = LoadOptions::new(project);
    // Nothing of the user's is read or written.
    options.variables.retain(|(name, _)| !name.to_string_lossy().starts_with("TROUPE_"));
    options.variables.push(("TROUPE_HOME".into(), folder.join("home").into()));
    let script = folder.join("script.json").display().to_string();
    options.overrides = vec![
        "model_providers.demo.wire_api=rehearsal".to_owned(),
        format!("model_providers.demo.script={}", serde_json::Value::from(script)),
        "sandbox_mode=workspace-write".to_owned(),
        "sandbox_workspace_write.exclude_slash_tmp=true".to_owned(),
        "sandbox_workspace_write.exclude_tmpdir_env_var=true".to_owned(),
    ];
    let loaded = load(&options).map_err(failed)?;
    let mut settings = loaded
        .config
        .session_settings(project, "demo", "rehearsal", 5, &loaded.places)
        .map_err(failed)?;
    settings.approval = troupe_types::ApprovalPolicy::Never;
    Ok(Demo { setup: Setup::new(&loaded), opening: Opening::new(settings).from_source("demo") })
}

async fn perform(demo: Demo, project: &Path, args: &DemoArgs) -> CliResult {
    let faults = demo.setup.faults.clone();
    // Armed from the beginning, so that the messages of each actor are counted.
    faults.inject(Fault { role: "nobody".to_owned(), at: 1, moment: Moment::Kill });
    let troupe = Troupe::start(demo.setup);
    let conversation =
        troupe.open(demo.opening).await.map_err(|error| CliError::config(error.to_string()))?;
    let mut stage = Stage {
        human: HumanEvents::new(HumanOptions {
            color: setup::color(args.color, &std::io::stdout()),
            live: std::io::stdout().is_terminal(),
            hide_reasoning: false,
        }),
        victim: format!("troupe/conversations/conversation:{0}/conversation", conversation.id()),
        struck: false,
        diff: String::new(),
    };
    let lines = [
        ("project", project.display().to_string()),
        ("model", "a built-in script; no model is asked".to_owned()),
        ("sandbox", "workspace-write, network off".to_owned()),
        ("session id", conversation.id().to_string()),
    ];
    output::text(&stage.human.header("Troupe demo", &lines, PROMPT));
    let outcome = stage.play(&troupe, &conversation, &faults).await?;
    let fixed = fs::read_to_string(project.join("price.sh")).unwrap_or_default() != PRICE;
    if args.verbose {
        report(&troupe, &conversation, &faults);
    }
    troupe.stop().await;
    match outcome {
        Outcome::Completed if fixed && !faults.landed().is_empty() => {
            output::line("\nWhat changed in price.sh:");
            output::text(&stage.diff);
            output::line(
                "\nThe test passes. The conversation's actor was killed while the patch was applied; \
                 nothing was lost, and nothing was done twice.",
            );
            Ok(ExitCode::SUCCESS)
        }
        outcome => Err(CliError::internal(format!(
            "the demo did not end as it should: {}",
            troupe_exec::message_of(&outcome)
        ))),
    }
}

struct Stage {
    human: HumanEvents,
    /// The path of the actor that is killed.
    victim: String,
    struck: bool,
    /// What the patch changed.
    diff: String,
}

impl Stage {
    async fn play(
        &mut self,
        troupe: &Troupe,
        conversation: &Conversation,
        faults: &troupe::Faults,
    ) -> Result<Outcome, CliError> {
        let mut events = conversation.events();
        conversation.submit(Op::prompt(PROMPT)).await?;
        while let Some(event) = events.next().await {
            output::text(&self.human.on(&event));
            let Event::Durable(line) = &event else { continue };
            match &line.record {
                Record::CallStarted(body) if matches!(body.detail, CallDetail::Patch { .. }) => {
                    self.strike(faults);
                }
                Record::CallFinished(body) => {
                    if let Some(CallDetail::Patch { changes }) = &body.detail {
                        self.diff = changes.iter().map(|change| change.diff.as_str()).collect();
                    }
                }
                Record::TurnFinished(body) => return Ok(body.result.clone()),
                _ => {}
            }
        }
        drop(troupe.tree());
        Err(CliError::internal("the session was closed"))
    }

    /// Kills the conversation at the next message it handles.
    fn strike(&mut self, faults: &troupe::Faults) {
        if std::mem::replace(&mut self.struck, true) {
            return;
        }
        let handled = faults.counts().get(&self.victim).copied().unwrap_or(0);
        let role = self.victim.clone();
        faults.inject(Fault { role, at: handled + 1, moment: Moment::Kill });
        output::line("── the conversation's actor is killed now, with the patch under way ──");
        drop(std::io::stdout().flush());
    }
}

/// What each actor did.
fn report(troupe: &Troupe, conversation: &Conversation, faults: &troupe::Faults) {
    output::line("\nThe actors at the end of the run:");
    output::text(&tree::table(&tree::node(&troupe.tree())));
    output::line("\nMessages that each actor handled:");
    let base = format!("troupe/conversations/conversation:{}/", conversation.id());
    let mut counts: Vec<(String, u64)> = faults.counts().into_iter().collect();
    counts.sort();
    for (path, count) in counts {
        let name = path.strip_prefix(&base).unwrap_or(&path);
        output::line(&format!("  {count:>5}  {name}"));
    }
    for fault in faults.landed() {
        let name = fault.role.rsplit('/').next().unwrap_or(&fault.role);
        output::line(&format!("  killed: {name}, after its message {}", fault.at));
    }
}
