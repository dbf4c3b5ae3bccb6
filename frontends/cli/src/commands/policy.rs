//! `troupe policy`: what would become of commands, and where rules come from.

use crate::{
    args::{ConfigArgs, FrontEnd, PolicyCheckArgs, PolicyCommand, PolicyReplayArgs},
    commands::sessions,
    errors::{CliError, CliResult},
    output, setup,
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};
use troupe::{
    LogPath, LogReader, ReplayLine, pipeline,
    policy::{
        Case, Finding, Pipeline, Question, Report, RuleBook, Ruling, Verdict, import_codex, suggest,
    },
};
use troupe_config::toml_list;
use troupe_exec::exit_code;
use troupe_types::{ApprovalPolicy, CallDetail, ErrorClass, Record, SessionSettings};

pub(crate) fn run(command: PolicyCommand, before: &ConfigArgs) -> CliResult {
    match command {
        PolicyCommand::Check(mut args) => {
            let config = before.clone().and(std::mem::take(&mut args.config));
            check(&args, &config)
        }
        PolicyCommand::Import { file } => import(&file),
        PolicyCommand::Replay(mut args) => {
            let config = before.clone().and(std::mem::take(&mut args.config));
            replay(&args, &config)
        }
    }
}

/// The exit code of a question that a person has to answer.
const ASK: u8 = 13;

fn check(args: &PolicyCheckArgs, config: &ConfigArgs) -> CliResult {
    let cwd = setup::working_directory(args.cd.as_deref())?;
    let flags = args.sandbox.map(|mode| format!("sandbox_mode={}", setup::mode_name(mode)));
    let (mut settings, pipeline) = prepare(config, &cwd, flags.into_iter().collect())?;
    settings.approval = approval(args.front_end, &settings);
    // One word is a script, as the model writes it.
    let argv = match args.command.as_slice() {
        [script] => vec![shell(), "-c".to_owned(), script.clone()],
        words => words.to_vec(),
    };
    let escalate = args.escalate.then(|| "asked for with --escalate".to_owned());
    let question = Question::Command { argv, cwd: cwd.clone(), escalate };
    let report = pipeline.judge(&case(&settings, question));
    if args.json {
        output::line(&to_json(&report, args.front_end, &settings).to_string());
    } else {
        tell(&report, args, &settings);
    }
    Ok(ExitCode::from(match (&report.verdict, pipeline.unusable()) {
        (_, Some(_)) => exit_code(ErrorClass::Config),
        (Verdict::Allow | Verdict::AllowOutside, None) => 0,
        (Verdict::Ask(_), None) => ASK,
        (Verdict::Deny(_) | Verdict::DenyWrite { .. }, None) => exit_code(ErrorClass::Denied),
    }))
}

fn tell(report: &Report, args: &PolicyCheckArgs, settings: &SessionSettings) {
    let (verdict, reason) = verdict(&report.verdict);
    let what = match (report.class, place(report)) {
        (Some(class), Some(place)) => format!("{}, {place}", class_name(class)),
        (Some(class), None) => class_name(class).to_owned(),
        (None, _) => "nothing may run".to_owned(),
    };
    let by = match &report.rule {
        Some(rule) => format!("rule {}:{}", rule.file.display(), rule.line),
        None => report.stage.to_owned(),
    };
    output::line(&format!("{verdict}: {what} (decided by: {by})"));
    if !reason.is_empty() {
        output::line(&reason);
    }
    if args.explain {
        for finding in shown(report) {
            output::line(&format!("  {}", explained(finding)));
        }
    }
    output::line(&answered_for(args.front_end, settings));
}

/// The approval policy as a front end has it.
fn approval(front_end: FrontEnd, settings: &SessionSettings) -> ApprovalPolicy {
    match front_end {
        FrontEnd::Exec => ApprovalPolicy::Never,
        FrontEnd::Interactive => settings.approval.clone(),
    }
}

/// What an answer holds for.
fn answered_for(front_end: FrontEnd, settings: &SessionSettings) -> String {
    let mode = setup::mode_text(settings.sandbox.mode);
    match front_end {
        FrontEnd::Exec => format!("for: troupe exec, where nobody can be asked; sandbox {mode}"),
        FrontEnd::Interactive => format!(
            "for: a front end that can ask, approval_policy {}; sandbox {mode}. `troupe exec` asks \
             nobody: --for exec",
            settings.approval.name()
        ),
    }
}

/// The shell that commands of the model's run in.
fn shell() -> String {
    troupe_sandbox::which_shell().display().to_string()
}

fn prepare(
    config: &ConfigArgs,
    cwd: &Path,
    flags: Vec<String>,
) -> Result<(SessionSettings, Pipeline), CliError> {
    let loaded = setup::read(config, cwd, flags)?;
    setup::warn(&loaded);
    let settings = loaded.config.session_settings(cwd, "", "", 0, &loaded.places);
    let settings = settings.map_err(|error| CliError::config(error.to_string()))?;
    Ok((settings, pipeline(&loaded)))
}

fn case(settings: &SessionSettings, question: Question) -> Case {
    Case {
        question,
        approval: settings.approval.clone(),
        sandbox: settings.sandbox.clone(),
        cwd: settings.cwd.clone(),
        approved: Vec::new(),
    }
}

fn verdict(verdict: &Verdict) -> (&'static str, String) {
    match verdict {
        Verdict::Allow | Verdict::AllowOutside => ("allow", String::new()),
        Verdict::Ask(ask) => ("ask", ask.reason.clone()),
        Verdict::Deny(reason) | Verdict::DenyWrite { reason, .. } => ("deny", reason.clone()),
    }
}

/// Where it runs, if it may.
fn place(report: &Report) -> Option<&'static str> {
    let outside = match &report.verdict {
        Verdict::AllowOutside => true,
        Verdict::Ask(ask) => ask.leaves_sandbox,
        Verdict::Allow => false,
        Verdict::Deny(_) | Verdict::DenyWrite { .. } => return None,
    };
    Some(if outside { "outside" } else { "sandbox" })
}

fn class_name(class: troupe::policy::Class) -> &'static str {
    use troupe::policy::Class;
    match class {
        Class::ReadOnly => "read-only",
        Class::Write => "write",
        Class::Unknown => "unknown",
        Class::Dangerous => "dangerous",
    }
}

/// The parts, without the shell around a script.
fn shown(report: &Report) -> &[Finding] {
    match report.findings.as_slice() {
        [around, rest @ ..]
            if !rest.is_empty() && around.part.text.starts_with(&format!("{} -c ", shell())) =>
        {
            rest
        }
        all => all,
    }
}

fn explained(finding: &Finding) -> String {
    let part = &finding.part;
    let mut text = format!("{}: {} ({})", class_name(part.class), part.text.trim(), part.why);
    if let Some(rule) = &finding.rule {
        let decision = format!("{:?}", rule.decision).to_lowercase();
        text.push_str(&format!("; {}:{} says {decision}", rule.file.display(), rule.line));
    }
    text
}

fn to_json(report: &Report, front_end: FrontEnd, settings: &SessionSettings) -> Value {
    let (verdict, reason) = verdict(&report.verdict);
    let part = |finding: &Finding| {
        let part = &finding.part;
        json!({
            "kind": part.kind,
            "text": part.text,
            "words": part.words,
            "class": part.class,
            "why": part.why,
            "program": part.program,
            "rule": finding.rule.as_ref().map(rule_json),
        })
    };
    json!({
        "verdict": verdict,
        "class": report.class,
        "where": place(report),
        "reason": reason,
        "decided_by": report.stage,
        "rule": report.rule.as_ref().map(rule_json),
        "for": front_end_name(front_end),
        "approval_policy": settings.approval.name(),
        "sandbox_mode": setup::mode_text(settings.sandbox.mode),
        "parsed": report.parsed,
        "parts": shown(report).iter().map(part).collect::<Vec<_>>(),
    })
}

fn rule_json(rule: &Ruling) -> Value {
    json!({
        "decision": rule.decision,
        "where": rule.place,
        "reason": rule.reason,
        "file": rule.file,
        "line": rule.line,
    })
}

fn front_end_name(front_end: FrontEnd) -> &'static str {
    match front_end {
        FrontEnd::Exec => "exec",
        FrontEnd::Interactive => "interactive",
    }
}

fn import(file: &Path) -> CliResult {
    let text = troupe_exec::read_named(file)
        .map_err(|error| CliError::config(format!("{} cannot be read: {error}", file.display())))?;
    let failed = |why: String| CliError::config(format!("{}: {why}", file.display()));
    let (translated, left) = import_codex(&text).map_err(|error| failed(error.to_string()))?;
    // What is printed can be used as it is.
    let mut book = RuleBook::default();
    book.add(&translated, Path::new("the translation"))
        .map_err(|error| failed(error.to_string()))?;
    output::text(&translated);
    for left in left {
        output::warning(&format!("{}: {left}", file.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn replay(args: &PolicyReplayArgs, config: &ConfigArgs) -> CliResult {
    let cwd = setup::working_directory(None)?;
    let (asking, now) = prepare(config, &cwd, Vec::new())?;
    setup::usable(&now)?;
    let settings =
        SessionSettings { approval: approval(args.front_end, &asking), ..asking.clone() };
    let then = with_rules(&now, &args.rule)?;
    let places = setup::places(config)?;
    let dir = &places.sessions_dir;
    let id = sessions::which(dir, &args.which)?;
    let failed = |error: std::io::Error| {
        CliError::storage(format!("{} cannot be read: {error}", dir.display()))
    };
    let reader = LogReader::open(&LogPath::new(dir, id)).map_err(failed)?;
    let Some(reader) = reader else {
        return Err(CliError::config(format!("there is no session {id} in {}", dir.display())));
    };
    let mut asked = Vec::new();
    for entry in reader.lines(0).map_err(failed)? {
        let ReplayLine::Line { line, .. } = entry.map_err(failed)? else { continue };
        let Record::CallFinished(finished) = &line.record else { continue };
        let Some(CallDetail::Command { argv, cwd, .. }) = &finished.detail else { continue };
        let question =
            || Question::Command { argv: argv.clone(), cwd: cwd.clone(), escalate: None };
        let before = now.judge(&case(&settings, question()));
        let after = then.judge(&case(&settings, question()));
        let (was, is) = (verdict(&before.verdict).0, verdict(&after.verdict).0);
        let command = argv.last().map_or("", String::as_str);
        // What a person would be asked about; where nobody can be asked, it may be refused.
        let question = now.judge(&case(&asking, question()));
        let runs = matches!(before.verdict, Verdict::Allow | Verdict::AllowOutside);
        if !runs && matches!(question.verdict, Verdict::Ask(_)) {
            asked.push(question.findings.iter().map(|finding| finding.part.clone()).collect());
        }
        if args.json {
            let front_end = front_end_name(args.front_end);
            let line = json!({ "command": command, "now": was, "then": is, "for": front_end });
            output::line(&line.to_string());
        } else {
            let change = if was == is { was.to_owned() } else { format!("{was} → {is}") };
            output::line(&format!("{change}: {}", command.lines().next().unwrap_or("")));
        }
    }
    if !args.json {
        output::error(&answered_for(args.front_end, &settings));
    }
    if let (Some(found), false) = (suggest(&asked), args.json) {
        output::error(&format!(
            "one rule would answer {} of these. To allow them, add it to a file in {}:\n\n\
             [[rule]]\nprefix = {}\ndecision = \"allow\"",
            found.answers,
            places.config_dir.join("rules").display(),
            toml_list(&found.prefix)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The same with further rules: files, or texts.
fn with_rules(now: &Pipeline, rules: &[String]) -> Result<Pipeline, CliError> {
    let mut then = now.clone();
    let Some(Ok(book)) = &mut then.rules else { return Ok(then) };
    for rule in rules {
        let (text, file) = if Path::new(rule).is_file() {
            let text = troupe_exec::read_named(Path::new(rule))
                .map_err(|error| CliError::config(format!("{rule} cannot be read: {error}")))?;
            (text, PathBuf::from(rule))
        } else {
            let lines = rule.split("; ").collect::<Vec<_>>().join("\n");
            let head = if rule.trim_start().starts_with("[[rule]]") { "" } else { "[[rule]]\n" };
            (format!("{head}{lines}"), PathBuf::from("--rule"))
        };
        book.add(&text, &file).map_err(|error| CliError::config(error.to_string()))?;
    }
    Ok(then)
}
