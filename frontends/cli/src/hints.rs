//! What is said of a command line that cannot be used, where clap's own words do not help.

use crate::args::Cli;
use clap::{
    CommandFactory, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};
use std::ffi::OsString;

/// The most characters of a word that are shown.
const SHOWN: usize = 80;

/// A better text than clap's, if there is one.
pub(crate) fn own_text(error: &clap::Error) -> Option<String> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match error.kind() {
        ErrorKind::InvalidSubcommand => no_command(error, &words),
        ErrorKind::UnknownArgument => before_the_command(error, &words),
        _ => None,
    }
}

/// The first word that is no command may be a task, or a slip.
fn no_command(error: &clap::Error, words: &[OsString]) -> Option<String> {
    // Below a command clap's own words fit.
    if first_command(words).is_some() {
        return None;
    }
    let word = text_of(error, ContextKind::InvalidSubcommand).pop()?;
    let near: Vec<String> = text_of(error, ContextKind::SuggestedSubcommand)
        .into_iter()
        // The nearest one comes last.
        .rev()
        // An alias of one letter resembles too much.
        .filter(|name| name.len() > 1)
        .map(|name| format!("troupe {name}"))
        .collect();
    let hint = match word.as_str() {
        "resume" => {
            "to go on with a session: troupe exec resume --last \"…\" (or its id in place of --last)"
                .to_owned()
        }
        "review" | "fork" => format!("to give the agent a task: troupe exec \"{word} …\""),
        word if word.contains(char::is_whitespace) => {
            format!("to have it done: troupe exec {}", quoted(word))
        }
        _ if !near.is_empty() => format!("did you mean: {}", near.join(", ")),
        word => format!("to give the agent a task: troupe exec \"{word} …\""),
    };
    let short: String = word.chars().take(SHOWN).collect();
    Some(format!(
        "error: troupe has no command `{short}`\n\n  {hint}\n\nAll commands: troupe --help"
    ))
}

/// An option of `exec` stands before its command, or without one.
fn before_the_command(error: &clap::Error, words: &[OsString]) -> Option<String> {
    let mut rest = words.to_vec();
    match first_command(words) {
        Some((place, true)) => drop(rest.remove(place)),
        Some((_, false)) => return None,
        None => {}
    }
    let option = text_of(error, ContextKind::InvalidArg).pop()?;
    let whole = ["troupe".into(), "exec".into()].into_iter().chain(rest.iter().cloned());
    // It has to be one that works.
    Cli::try_parse_from(whole).ok()?;
    let rest: Vec<String> = rest.iter().map(|word| quoted(&word.to_string_lossy())).collect();
    Some(format!(
        "error: {option} is an option of `troupe exec`, and stands behind that command\n\n  to have \
         it done: troupe exec {}\n\nAll commands: troupe --help",
        rest.join(" ")
    ))
}

/// The place of the first word that is a command, and whether that is `exec`.
fn first_command(words: &[OsString]) -> Option<(usize, bool)> {
    let cli = Cli::command();
    words.iter().take_while(|word| *word != "--").enumerate().find_map(|(place, word)| {
        let found = cli.find_subcommand(word)?;
        Some((place, found.get_name() == "exec"))
    })
}

fn text_of(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

/// A word as a shell takes it, on one line; what is long is cut.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+@%:,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let line = word.replace(|c: char| c.is_whitespace() || "\"\\$`".contains(c), " ");
    let mut shown: String = line.trim().chars().take(SHOWN).collect();
    if shown.len() < line.trim().len() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}
