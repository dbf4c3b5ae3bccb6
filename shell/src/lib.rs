//! What a command line would do, judged without running it.
//!
//! A script is parsed as bash does, every simple command in it is found, through lists, pipelines,
//! substitutions, control flow and programs that run others (`env`, `xargs`, `find -exec` …), and each
//! is looked up in a table of what known programs do. What is not known, or cannot be parsed, is
//! [`Class::Unknown`]: never taken for harmless.

mod git;
mod judge;
mod options;
mod plain;
mod programs;
mod resolve;
mod stream;
mod table;
mod unread;
mod walk;
mod words;
mod wrappers;

#[cfg(test)]
mod tests;

pub use unread::Unread;
pub use words::Word;

use serde::Serialize;
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

/// What a command does, at worst.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// It only looks.
    #[default]
    ReadOnly,
    /// It changes files, as ordinary work does.
    Write,
    /// It cannot be told.
    Unknown,
    /// It destroys, raises rights, or runs what comes from elsewhere.
    Dangerous,
}

/// What a part of a script is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A simple command.
    Command,
    /// A redirection.
    Redirect,
    /// Something else that matters: a variable, an expansion, a text that cannot be parsed.
    Odd,
}

/// One simple command of a script, or something else in it that matters. A program that runs others
/// is judged for itself; what it runs are parts of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What it is.
    pub kind: Kind,
    /// The words, as the shell would see them.
    pub words: Vec<Word>,
    /// The text in the script.
    pub text: String,
    /// What it does.
    pub class: Class,
    /// Why it is of that class, for a person.
    pub why: String,
    /// Whether it may take work away for good: files of the project that are not in a commit.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub destroys: bool,
    /// Whether its words may be a command that it runs, in a way that is not understood.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hides: bool,
    /// The file that would run, where it was found.
    pub program: Option<PathBuf>,
    /// Whether that is no program of the system's, whatever its name.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub elsewhere: bool,
}

/// What a whole command line does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// The worst of its parts.
    pub class: Class,
    /// What it does, in the order of the text: the same command again is not listed again.
    pub parts: Vec<Part>,
    /// Why some of it could not be taken apart. There may be more than the parts say then.
    pub unread: Option<Unread>,
}

impl Judgement {
    /// Whether all of it could be taken apart.
    #[must_use]
    pub fn parsed(&self) -> bool {
        self.unread.is_none()
    }
}

/// Where a command would run.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The directory.
    pub cwd: &'a Path,
    /// The value of `PATH`.
    pub path: &'a OsStr,
}

/// The longest script that is read, in bytes.
pub const MAX_SCRIPT: usize = 2 << 20;

/// Judges a script.
#[must_use]
pub fn classify_script(script: &str, context: &Context<'_>) -> Judgement {
    judge::Judge::new(context).script(script)
}

/// Judges a command given as words. `sh -c SCRIPT` and its like are judged by their script.
#[must_use]
pub fn classify_argv<S: AsRef<str>>(argv: &[S], context: &Context<'_>) -> Judgement {
    let words = argv.iter().map(|word| Word::literal(word.as_ref())).collect();
    judge::Judge::new(context).argv(words)
}

/// Whether a program of that name can run any other code: shells, interpreters, wrappers, package
/// runners and builders. No rule should allow one whatever follows.
#[must_use]
pub fn runs_other_code(name: &str) -> bool {
    const SUBCOMMANDS: [&str; 6] = ["git", "cargo", "npm", "go", "docker", "kubectl"];
    let interpreter = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let listed = |names: &[&str]| names.contains(&name) || names.contains(&interpreter);
    listed(table::SHELLS)
        || listed(table::OTHER_SHELLS)
        || listed(table::INTERPRETERS)
        || wrappers::find(name).is_some()
        || matches!(name, "env" | "eval" | "find" | "sed" | "awk" | "gawk" | "mawk" | "tar" | "ssh")
        || !SUBCOMMANDS.contains(&name)
            && matches!(table::rule(name), Some(table::Rule::Runs(_) | table::Rule::Dangerous(_)))
}
