//! Rules that a person answers a question with: kept in a file of their own beside the user's.

use crate::{RuleBook, suggest::offer};
use std::{
    fs,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};
use troupe_shell::{Context, classify_argv};

/// The name of the file.
pub const KEPT_RULES: &str = "approved.toml";

/// The text of a rule, if it may be kept: it is the one that would be offered for this command.
pub(crate) fn rule_text(prefix: &[String], argv: &[String], cwd: &Path) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let judgement = classify_argv(argv, &Context { cwd, path: &path });
    if !judgement.parsed() || offer(&judgement.parts).as_deref() != Some(prefix) {
        return None;
    }
    // JSON's strings are TOML's.
    let words = prefix.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
    let words = words.ok()?.join(", ");
    Some(format!(
        "\n[[rule]]\nprefix = [{words}]\ndecision = \"allow\"\nreason = \"answered with: always\"\n"
    ))
}

/// Adds a rule to the file, unless it is there. Other processes that do the same wait.
pub(crate) fn append(file: &Path, rule: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = fs::OpenOptions::new();
    let mut open = options.read(true).append(true).create(true).open(file)?;
    open.lock()?;
    let mut text = String::new();
    open.seek(SeekFrom::Start(0))?;
    open.read_to_string(&mut text)?;
    if text.contains(rule) {
        return Ok(());
    }
    // What is there has to be readable with it: one broken rule refuses everything.
    let whole = format!("{text}{rule}");
    RuleBook::default().add(&whole, file).map_err(io::Error::other)?;
    open.write_all(rule.as_bytes())?;
    open.sync_all()
}
