//! The stages of the pipeline.

use crate::{
    pipeline::{Case, Finding, Known, Pipeline, Said, Unheld, strictest},
    rulebook::{Decided, RuleBook, Ruling, Where},
    suggest::offer,
};
use std::path::{Component, Path, PathBuf};
use troupe_messages::{Question, Verdict};
use troupe_shell::{Class, Context, Judgement, Kind, Part, classify_argv};
use troupe_types::{ApprovalAsk, ApprovalPolicy, NotWritten, SandboxMode};

/// The pipeline makes another question of it first.
const UNREAD: &str = "what is typed was not looked at";

/// Whether all that the stages read could be read. It comes first, for every kind of action: what
/// cannot be read might forbid any of them.
pub(crate) fn files(pipeline: &Pipeline, _: &Case, _: &mut Known) -> Said {
    pipeline.unusable().map_or(Ok(None), Err)
}

/// What the machine's owner requires of every session.
pub(crate) fn requirements(pipeline: &Pipeline, case: &Case, _: &mut Known) -> Said {
    // Those that cannot be used have refused it before.
    let Some(Ok(requirements)) = &pipeline.requirements else { return Ok(None) };
    let mode = case.sandbox.mode;
    if !requirements.sandbox_modes.is_empty() && !requirements.sandbox_modes.contains(&mode) {
        return Err("this machine does not allow the sandbox mode of this session".to_owned());
    }
    let policies = &requirements.approval_policies;
    if !policies.is_empty() && !policies.iter().any(|name| name == case.approval.name()) {
        return Err("this machine does not allow the approval policy of this session".to_owned());
    }
    Ok(None)
}

/// The rules: the strictest over all parts of a command.
pub(crate) fn rules(pipeline: &Pipeline, case: &Case, known: &mut Known) -> Said {
    let Question::Command { argv, cwd, .. } = &case.question else { return Ok(None) };
    let mut books: Vec<&RuleBook> = Vec::new();
    if let Some(Ok(requirements)) = &pipeline.requirements {
        books.push(&requirements.rules);
    }
    if let Some(Ok(rules)) = &pipeline.rules {
        books.push(rules);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let judgement = classify_argv(argv, &Context { cwd, path: &path });
    let mut denied = None;
    for part in &judgement.parts {
        let rule = strictest(&books, part).cloned();
        match &rule {
            Some(rule) if rule.decision == Decided::Deny => denied = denied.or(Some(rule.clone())),
            Some(rule) if rule.decision == Decided::Ask && known.asked.is_none() => {
                known.asked = Some(rule.clone());
            }
            _ => {}
        }
        known.findings.push(Finding { part: part.clone(), rule });
    }
    known.allowed = allowed(&known.findings, judgement.parsed());
    let restriction = books.iter().find_map(|book| book.restriction());
    known.unheld =
        judgement.unread.zip(restriction.cloned()).map(|(unread, rule)| Unheld { unread, rule });
    known.judgement = Some(judgement);
    known.by.clone_from(&denied);
    Ok(denied.map(|rule| {
        let place = format!("{}:{}", rule.file.display(), rule.line);
        let reason = rule.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        Verdict::Deny(format!("refused by a rule ({place}){reason}"))
    }))
}

/// Where a command may run of which every part is allowed by a rule. What runs others, and only that,
/// is allowed by what it runs.
fn allowed(findings: &[Finding], parsed: bool) -> Option<Where> {
    if !parsed || findings.iter().all(|finding| finding.rule.is_none()) {
        return None;
    }
    let mut place = Where::Outside;
    for Finding { part, rule } in findings {
        match rule {
            Some(rule) if rule.decision == Decided::Allow => {
                if rule.place == Where::Sandbox {
                    place = Where::Sandbox;
                }
            }
            // It writes or runs nothing by itself.
            None if part.kind == Kind::Command && part.class == Class::ReadOnly => {}
            _ => return None,
        }
    }
    Some(place)
}

/// What a person has approved for the whole session.
pub(crate) fn session_approvals(_: &Pipeline, case: &Case, known: &mut Known) -> Said {
    let key = key(case, known);
    if key.is_empty() || !case.approved.contains(&key) {
        return Ok(None);
    }
    let outside = match &case.question {
        Question::Command { escalate, .. } => escalate.is_some(),
        Question::Patch { .. } | Question::Input { .. } | Question::Harmless => false,
    };
    Ok(Some(if outside && !is_open(case) { Verdict::AllowOutside } else { Verdict::Allow }))
}

/// What an approval for the session is remembered by.
fn key(case: &Case, known: &Known) -> String {
    match &case.question {
        Question::Command { argv, cwd, escalate } => {
            let words = known.judgement.as_ref().and_then(|judged| plain(judged, argv));
            command_key(words.as_deref().unwrap_or(argv), cwd, escalate.is_some())
        }
        Question::Patch { paths } => {
            let mut paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
            paths.sort();
            format!("patch\n{}", paths.join("\n"))
        }
        Question::Input { .. } | Question::Harmless => String::new(),
    }
}

/// The words of a command that is nothing else: however it is wrapped, it is the same.
fn plain(judged: &Judgement, argv: &[String]) -> Option<Vec<String>> {
    let last = judged.parts.last()?;
    let alone = judged.parts.len() <= 2
        && judged.parsed()
        && last.kind == Kind::Command
        && last.words.iter().all(|word| word.literal)
        && argv.last().is_some_and(|script| script.trim() == last.text);
    alone.then(|| last.words.iter().map(|word| word.text.clone()).collect())
}

/// The key of a command: its words, where it runs, and whether outside of the sandbox.
#[must_use]
pub fn command_key(words: &[String], cwd: &Path, outside: bool) -> String {
    let place = if outside { "outside" } else { "sandbox" };
    format!("command\n{place}\n{}\n{}", cwd.display(), words.join("\n"))
}

/// What can be settled by what the action does: what only looks may run wherever it is.
pub(crate) fn classification(_: &Pipeline, case: &Case, known: &mut Known) -> Said {
    match &case.question {
        Question::Harmless => Ok(Some(Verdict::Allow)),
        Question::Patch { .. } => Ok(None),
        Question::Input { .. } => Err(UNREAD.to_owned()),
        Question::Command { escalate, .. } => {
            let judgement = known.judgement.as_ref().ok_or("the command was not classified")?;
            if escalate.is_some() && !is_open(case) || known.asked.is_some() {
                return Ok(None);
            }
            Ok((judgement.class == Class::ReadOnly).then_some(Verdict::Allow))
        }
    }
}

/// What is left is the approval policy's.
pub(crate) fn approval_policy(_: &Pipeline, case: &Case, known: &mut Known) -> Said {
    match &case.question {
        Question::Harmless => Ok(Some(Verdict::Allow)),
        Question::Patch { paths } => patch(paths, case, known).map(Some),
        Question::Input { .. } => Err(UNREAD.to_owned()),
        Question::Command { argv, escalate, .. } => {
            let (verdict, by) = command(argv, escalate.as_deref(), case, known)?;
            known.by = by;
            Ok(Some(verdict))
        }
    }
}

fn is_open(case: &Case) -> bool {
    case.sandbox.mode == SandboxMode::DangerFullAccess
}

fn command(
    argv: &[String],
    escalate: Option<&str>,
    case: &Case,
    known: &Known,
) -> Result<(Verdict, Option<Ruling>), String> {
    use ApprovalPolicy::{Granular, Never, OnRequest, Untrusted};
    let open = is_open(case);
    let judgement = known.judgement.as_ref().ok_or("the command was not classified")?;
    let leaves_sandbox = escalate.is_some() && !open;
    // A rule keeps what it allows in the sandbox, so it would not answer a way out of it; nor what
    // another rule wants asked.
    let may_offer = judgement.parsed() && !leaves_sandbox && known.asked.is_none();
    let rule = if may_offer { offer(&judgement.parts) } else { None };
    let ask = |reason: &str| {
        Verdict::Ask(ApprovalAsk {
            rule: rule.clone().unwrap_or_default(),
            action: argv.join(" "),
            reason: reason.to_owned(),
            leaves_sandbox,
            key: key(case, known),
        })
    };
    if let Some(rule) = &known.asked {
        let why = rule.reason.as_deref().unwrap_or("a rule asks about it");
        let reason = rule.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let place = format!("{}:{}", rule.file.display(), rule.line);
        let verdict = match &case.approval {
            Never => Verdict::Deny(format!(
                "refused: a rule ({place}) asks about it, and nobody can be asked{reason}"
            )),
            Granular(granular) if !granular.rules => Verdict::Deny(format!(
                "refused: what rules ask about is refused here ({place}){reason}"
            )),
            _ => ask(why),
        };
        return Ok((verdict, Some(rule.clone())));
    }
    if let Some(unheld) = &known.unheld {
        // It counts as what a rule asks about: a person can look at it.
        match &case.approval {
            Never => return Ok((Verdict::Deny(unheld.refusal()), None)),
            Granular(granular) if !granular.rules => {
                return Ok((Verdict::Deny(unheld.refusal()), None));
            }
            _ => {}
        }
    }
    let allowing = || known.findings.iter().find_map(|finding| finding.rule.clone());
    match known.allowed {
        // A rule says where as well.
        Some(Where::Outside) if !open => return Ok((Verdict::AllowOutside, allowing())),
        Some(_) if !leaves_sandbox => return Ok((Verdict::Allow, allowing())),
        _ => {}
    }
    if leaves_sandbox {
        let why = escalate.unwrap_or("it would run without the sandbox");
        let verdict = match &case.approval {
            Never => Verdict::Deny(
                "refused: nobody can be asked (approval_policy is never), so nothing leaves the \
                 sandbox. Do it inside, or report what is missing."
                    .to_owned(),
            ),
            Granular(granular) if !granular.sandbox_approval => {
                Verdict::Deny("refused: leaving the sandbox is not asked about here".to_owned())
            }
            _ => ask(why),
        };
        return Ok((verdict, None));
    }
    let worst = judgement.parts.iter().find(|part| part.class == judgement.class);
    let said = |part: &Part| format!("`{}`: {}", short(&part.text), part.why);
    let why = worst.map_or_else(String::new, said);
    let lost = judgement.parts.iter().find(|part| part.destroys);
    let verdict = match (&case.approval, judgement.class) {
        (Untrusted, _) => ask(&format!("{why} (approval_policy is untrusted)")),
        // The sandbox holds what reaches beyond it, but not what takes the project's own files away.
        // Whoever gave full access and wants no questions gets none.
        (Never, _) if !open && lost.is_some() => Verdict::Deny(format!(
            "refused: {}. Nobody can be asked (approval_policy is never); do it another way",
            lost.map_or_else(String::new, said)
        )),
        (Never, _) => Verdict::Allow,
        (Granular(granular), Class::Dangerous) if !granular.sandbox_approval => {
            Verdict::Deny(format!("refused: {why}"))
        }
        (OnRequest | Granular(_), Class::Dangerous) => ask(&why),
        (OnRequest | Granular(_), _) if !judgement.parsed() => ask(&why),
        (OnRequest | Granular(_), _) => Verdict::Allow,
    };
    Ok((verdict, None))
}

fn short(text: &str) -> String {
    const MOST: usize = 120;
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn patch(paths: &[PathBuf], case: &Case, known: &Known) -> Result<Verdict, String> {
    let deny = troupe_sandbox::deny_read(&case.sandbox).map_err(|error| error.to_string())?;
    let reach = |path: &PathBuf| match reach(path, case) {
        Reach::Writable if deny.refuses(&real(path)) => Reach::Kept,
        reach => reach,
    };
    let shown = |kept: &[Reach]| -> Vec<String> {
        let paths = paths.iter().filter(|path| kept.contains(&reach(path)));
        paths.map(|path| path.display().to_string()).collect()
    };
    let outside = shown(&[Reach::Outside, Reach::Kept]);
    let ask = |paths: &[String], reason: &str| {
        Verdict::Ask(ApprovalAsk {
            action: format!("change {}", paths.join(", ")),
            reason: reason.to_owned(),
            leaves_sandbox: !outside.is_empty(),
            rule: Vec::new(),
            key: key(case, known),
        })
    };
    if case.approval == ApprovalPolicy::Untrusted {
        let all: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        return Ok(ask(&all, "every change is asked about (approval_policy is untrusted)"));
    }
    if outside.is_empty() {
        return Ok(Verdict::Allow);
    }
    let asks = match &case.approval {
        ApprovalPolicy::OnRequest => true,
        ApprovalPolicy::Granular(granular) => granular.sandbox_approval,
        ApprovalPolicy::Never | ApprovalPolicy::Untrusted => false,
    };
    if asks {
        return Ok(ask(&outside, "outside what the sandbox lets be written"));
    }
    let paths = outside.join(", ");
    if case.sandbox.mode == SandboxMode::ReadOnly {
        let reason = format!(
            "refused: {paths} cannot be written, because the sandbox mode is read-only and nobody \
             can be asked. The user allows changes with sandbox_mode = \"workspace-write\""
        );
        return Ok(Verdict::DenyWrite { why: NotWritten::ReadOnly, reason });
    }
    let beyond = shown(&[Reach::Outside]);
    if beyond.is_empty() {
        return Ok(Verdict::Deny(format!(
            "refused: {paths} cannot be written, because the sandbox protects it in every folder, \
             and nobody can be asked"
        )));
    }
    let reason = format!(
        "refused: {} cannot be written, because the sandbox allows the working directory and \
         further writable folders only, and nobody can be asked. {}",
        beyond.join(", "),
        troupe_sandbox::FURTHER_FOLDERS
    );
    Ok(Verdict::DenyWrite { why: NotWritten::Outside, reason })
}

/// Whether the sandbox would let a command write a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Writable,
    /// It is in a folder that may be written to, and is protected there.
    Kept,
    Outside,
}

/// Links are followed as far as the path exists, so that one cannot lead out.
fn reach(path: &Path, case: &Case) -> Reach {
    let (sandbox, cwd) = (&case.sandbox, &case.cwd);
    match sandbox.mode {
        SandboxMode::DangerFullAccess => return Reach::Writable,
        SandboxMode::ReadOnly => return Reach::Outside,
        SandboxMode::WorkspaceWrite => {}
    }
    let mut roots = vec![cwd.to_owned()];
    roots.extend(sandbox.writable_roots.iter().cloned());
    if !sandbox.exclude_slash_tmp && cfg!(unix) {
        roots.push(PathBuf::from("/tmp"));
    }
    if !sandbox.exclude_tmpdir_env_var
        && let Some(dir) =
            std::env::var_os("TMPDIR").map(PathBuf::from).filter(|dir| dir.is_absolute())
    {
        roots.push(dir);
    }
    let target = real(path);
    let protected = |part: Component<'_>| {
        matches!(part, Component::Normal(name)
            if troupe_sandbox::is_protected_name(&name.to_string_lossy()))
    };
    let mut reach = Reach::Outside;
    for below in roots.iter().filter_map(|root| target.strip_prefix(real(root)).ok()) {
        if !below.components().any(protected) {
            return Reach::Writable;
        }
        reach = Reach::Kept;
    }
    reach
}

/// The path with the links of its existing part resolved and `..` taken out of the rest.
fn real(path: &Path) -> PathBuf {
    let mut rest = Vec::new();
    let mut existing = path;
    loop {
        if let Ok(real) = existing.canonicalize() {
            let mut out = real;
            for part in rest.into_iter().rev() {
                match part {
                    Component::ParentDir => {
                        out.pop();
                    }
                    part => out.push(part),
                }
            }
            return out;
        }
        let (Some(parent), Some(last)) = (existing.parent(), existing.components().next_back())
        else {
            return path.to_owned();
        };
        rest.push(last);
        existing = parent;
    }
}
