//! Suggestions: one rule for many questions that are alike.

use troupe_shell::{Class, Kind, Part};

/// A rule that would have answered several questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// The words that commands begin with.
    pub prefix: Vec<String>,
    /// How many of the questions it answers.
    pub answers: usize,
}

/// How many questions have to be alike.
const LEAST: usize = 2;
/// Programs that are useful as two words at most: what follows are arguments.
const WITH_SUBCOMMAND: [&str; 8] =
    ["git", "cargo", "npm", "go", "docker", "kubectl", "brew", "systemctl"];
/// Second words behind which anything can run.
const RUN_ANYTHING: [&str; 12] =
    ["run", "exec", "x", "dlx", "test", "start", "install", "i", "add", "build", "bench", "script"];

/// The rule that answers most of these commands, each given by its parts; `None` if none answers
/// several, or if it would allow what can run other code: a shell, an interpreter, a package runner,
/// a wrapper.
#[must_use]
pub fn suggest(commands: &[Vec<Part>]) -> Option<Suggestion> {
    let mut counted: Vec<Suggestion> = Vec::new();
    for parts in commands {
        let mut seen = Vec::new();
        for prefix in parts.iter().filter_map(prefix) {
            if !seen.contains(&prefix) {
                seen.push(prefix);
            }
        }
        for prefix in seen {
            match counted.iter_mut().find(|known| known.prefix == prefix) {
                Some(known) => known.answers += 1,
                None => counted.push(Suggestion { prefix, answers: 1 }),
            }
        }
    }
    counted.into_iter().filter(|one| one.answers >= LEAST).max_by_key(|one| one.answers)
}

/// The rule that would answer this command for good: where all of it but what only looks begins in
/// the same way, and nothing in it can run other code.
pub(crate) fn offer(parts: &[Part]) -> Option<Vec<String>> {
    let mut offered = None;
    for part in parts.iter().filter(|part| part.class != Class::ReadOnly) {
        let found = prefix(part)?;
        if offered.get_or_insert_with(|| found.clone()) != &found {
            return None;
        }
    }
    offered
}

fn prefix(part: &Part) -> Option<Vec<String>> {
    if part.kind != Kind::Command || part.elsewhere || part.class == Class::ReadOnly {
        return None;
    }
    let first = part.words.first().filter(|word| word.literal)?;
    let name = first.text.rsplit('/').next()?;
    if troupe_shell::runs_other_code(name) || part.class == Class::Dangerous {
        return None;
    }
    if !WITH_SUBCOMMAND.contains(&name) {
        return Some(vec![first.text.clone()]);
    }
    let second = part.words.get(1).filter(|word| word.literal && !word.text.starts_with('-'))?;
    if RUN_ANYTHING.contains(&second.text.as_str()) {
        return None;
    }
    Some(vec![first.text.clone(), second.text.clone()])
}
