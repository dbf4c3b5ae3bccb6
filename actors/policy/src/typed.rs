//! What is typed into a background process: a command, where something there would run it.

use std::path::Path;
use troupe_messages::Question;
use troupe_shell::{Context, classify_argv};
use troupe_types::ApprovalPolicy;

/// Programs that run what is typed into them as commands.
const SHELLS: [&str; 14] = [
    "bash", "sh", "zsh", "dash", "ksh", "ash", "fish", "ssh", "su", "sudo", "doas", "tmux",
    "screen", "script",
];

/// The question that typing comes to: inside the sandbox, what is typed into anything but a shell is
/// the program's own business.
pub(crate) fn question(question: &Question, approval: &ApprovalPolicy) -> Option<Question> {
    let Question::Input { command, cwd, outside, input } = question else { return None };
    // Keys alone (Enter, an interrupt) run nothing.
    if input.trim_matches(|c: char| c.is_control() || c.is_whitespace()).is_empty() {
        return Some(Question::Harmless);
    }
    if !outside && *approval != ApprovalPolicy::Untrusted && !runs_commands(command, cwd) {
        return Some(Question::Harmless);
    }
    let why = || format!("typed into `{command}`, which runs without the sandbox");
    Some(Question::Command {
        argv: vec!["bash".to_owned(), "-c".to_owned(), input.clone()],
        cwd: cwd.clone(),
        escalate: outside.then(why),
    })
}

/// Whether a shell may read what is typed; what cannot be told counts as one.
fn runs_commands(command: &str, cwd: &Path) -> bool {
    let argv = ["bash".to_owned(), "-c".to_owned(), command.to_owned()];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let judgement = classify_argv(&argv, &Context { cwd, path: &path });
    let name = |text: &str| text.rsplit('/').next().unwrap_or(text).to_owned();
    !judgement.parsed()
        || judgement.parts.iter().filter(|part| part.text != command || part.words.len() != 3).any(
            |part| {
                let first = part.words.first();
                first
                    .is_none_or(|word| !word.literal || SHELLS.contains(&name(&word.text).as_str()))
            },
        )
}
