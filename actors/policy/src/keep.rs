//! Rules that a person answers a question with: kept in a file of their own beside the user's.

use crate::{RuleBook, suggest::offer};
use std::{io, path::Path};
use troupe_config::update_shared;
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

/// Keeps a rule that allows commands with these first words, as a person's answer does: in the file,
/// unless it is there. Other processes that do the same wait.
///
/// # Errors
/// When the rule is not the one that would be offered for `argv`, the file cannot be written, or its
/// rules could not be read with this one.
pub fn keep_rule(file: &Path, prefix: &[String], argv: &[String], cwd: &Path) -> io::Result<()> {
    let rule = rule_text(prefix, argv, cwd);
    append(file, &rule.ok_or_else(|| io::Error::other("a rule that may not be kept"))?)
}

/// Adds the text of a rule to the file, unless it is there.
pub(crate) fn append(file: &Path, rule: &str) -> io::Result<()> {
    update_shared(file, |text| {
        if text.contains(rule) {
            return Ok(None);
        }
        // What is there has to be readable with it: one broken rule refuses everything.
        let whole = format!("{text}{rule}");
        RuleBook::default().add(&whole, file).map_err(io::Error::other)?;
        Ok(Some(whole))
    })
}
