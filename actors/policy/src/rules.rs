//! The fixed rules.

use std::path::{Component, Path, PathBuf};
use troupe_messages::{Question, Verdict};
use troupe_types::{ApprovalAsk, ApprovalPolicy, SandboxMode, SandboxSettings};

/// Names under a writable root that stay read-only.
const PROTECTED: [&str; 4] = [".git", ".troupe", ".codex", ".agents"];

/// Decides on a question.
#[must_use]
pub fn judge(
    question: &Question,
    approval: &ApprovalPolicy,
    sandbox: &SandboxSettings,
    cwd: &Path,
) -> Verdict {
    match question {
        Question::Harmless => Verdict::Allow,
        Question::Command { argv, escalate, .. } => {
            command(argv, escalate.as_deref(), approval, sandbox)
        }
        Question::Patch { paths } => patch(paths, approval, sandbox, cwd),
    }
}

fn command(
    argv: &[String],
    escalate: Option<&str>,
    approval: &ApprovalPolicy,
    sandbox: &SandboxSettings,
) -> Verdict {
    let open = sandbox.mode == SandboxMode::DangerFullAccess;
    let leaves_sandbox = escalate.is_some() && !open;
    let ask = |reason: &str| {
        Verdict::Ask(ApprovalAsk {
            action: argv.join(" "),
            reason: reason.to_owned(),
            leaves_sandbox,
        })
    };
    match (approval, escalate.filter(|_| !open)) {
        (ApprovalPolicy::Never, Some(_)) => Verdict::Deny(
            "refused: nobody can be asked (approval_policy is never), so nothing leaves the \
             sandbox. Do it inside, or report what is missing."
                .to_owned(),
        ),
        (ApprovalPolicy::Granular(granular), Some(_)) if !granular.sandbox_approval => {
            Verdict::Deny("refused: leaving the sandbox is not asked about here".to_owned())
        }
        (ApprovalPolicy::OnRequest | ApprovalPolicy::Granular(_), Some(why)) => ask(why),
        (ApprovalPolicy::Untrusted, why) => {
            ask(why.unwrap_or("every command is asked about (approval_policy is untrusted)"))
        }
        (_, None) => Verdict::Allow,
    }
}

fn patch(
    paths: &[PathBuf],
    approval: &ApprovalPolicy,
    sandbox: &SandboxSettings,
    cwd: &Path,
) -> Verdict {
    let outside: Vec<String> = paths
        .iter()
        .filter(|path| !is_writable(path, sandbox, cwd))
        .map(|path| path.display().to_string())
        .collect();
    let action = |paths: &[String]| format!("change {}", paths.join(", "));
    if *approval == ApprovalPolicy::Untrusted {
        let all: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        return Verdict::Ask(ApprovalAsk {
            action: action(&all),
            reason: "every change is asked about (approval_policy is untrusted)".to_owned(),
            leaves_sandbox: !outside.is_empty(),
        });
    }
    if outside.is_empty() {
        return Verdict::Allow;
    }
    let asks = match approval {
        ApprovalPolicy::OnRequest => true,
        ApprovalPolicy::Granular(granular) => granular.sandbox_approval,
        ApprovalPolicy::Never | ApprovalPolicy::Untrusted => false,
    };
    if asks {
        let reason = "outside what the sandbox lets be written".to_owned();
        return Verdict::Ask(ApprovalAsk {
            action: action(&outside),
            reason,
            leaves_sandbox: true,
        });
    }
    Verdict::Deny(format!(
        "refused: writing {} is outside what the sandbox allows, and nobody can be asked",
        outside.join(", ")
    ))
}

/// Whether the sandbox would let a command write this file. Links are followed as far as the path
/// exists, so that one cannot lead out.
fn is_writable(path: &Path, sandbox: &SandboxSettings, cwd: &Path) -> bool {
    match sandbox.mode {
        SandboxMode::DangerFullAccess => return true,
        SandboxMode::ReadOnly => return false,
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
    roots.iter().any(|root| match target.strip_prefix(real(root)) {
        Ok(below) => !below.components().next().is_some_and(|first| {
            matches!(first, Component::Normal(name)
                if PROTECTED.iter().any(|p| name.eq_ignore_ascii_case(p)))
        }),
        Err(_) => false,
    })
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
