//! Rules: files of prefixes of commands, with what is decided about them.
//!
//! ```toml
//! [[rule]]
//! prefix = ["git", ["push", "fetch"]]   # a list stands for alternatives
//! decision = "ask"                      # allow, ask or deny
//! where = "sandbox"                     # or "outside", with allow
//! reason = "it reaches other machines"
//! match = ["git push origin main"]      # checked when the file is read
//! not_match = ["git status"]
//! ```

use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::Spanned;
use troupe_config::{Unreadable, read_settings, settings_in};
use troupe_shell::{Context, Kind, Part, Word, classify_script};

/// What a rule decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decided {
    /// It may run.
    Allow,
    /// A person decides.
    Ask,
    /// It may not.
    Deny,
}

/// Where something may run that a rule allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Where {
    /// In the sandbox of the session.
    #[default]
    Sandbox,
    /// Without one.
    Outside,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// The words a command begins with; each with its alternatives.
    pub prefix: Vec<Vec<String>>,
    /// What is decided.
    pub decision: Decided,
    /// Where it may run.
    pub place: Where,
    /// Why, for whoever meets it.
    pub reason: Option<String>,
    /// The file it is from.
    pub file: PathBuf,
    /// The line it begins at, from 1.
    pub line: usize,
}

/// A rule that a command meets.
pub type Hit<'a> = &'a Ruling;

/// Why rules cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}{line}: {why}", file = file.display(), line = line.map_or(String::new(), |line| format!(":{line}")))]
pub struct RuleError {
    /// The file, or the folder.
    pub file: PathBuf,
    /// The line, from 1, where one is meant.
    pub line: Option<usize>,
    /// What is wrong, and what helps.
    pub why: String,
}

impl RuleError {
    pub(crate) fn of(file: &Path, error: &Unreadable) -> Self {
        Self { file: file.to_owned(), line: error.line(), why: error.to_string() }
    }
}

/// All rules that are in force.
#[derive(Debug, Clone, Default)]
pub struct RuleBook {
    rules: Vec<Ruling>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    rule: Vec<Spanned<RuleText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    prefix: Vec<Token>,
    decision: Decided,
    #[serde(default, rename = "where")]
    place: Option<Where>,
    reason: Option<String>,
    #[serde(default, rename = "match")]
    matches: Vec<String>,
    #[serde(default)]
    not_match: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Token {
    One(String),
    Any(Vec<String>),
}

impl RuleBook {
    /// Reads `*.toml` in these folders, in the order of their names. A folder that does not exist
    /// holds none.
    ///
    /// # Errors
    /// The first rule that cannot be used: with part of the rules missing, none can be relied on.
    pub fn load(folders: &[PathBuf]) -> Result<Self, RuleError> {
        let mut book = Self::default();
        for folder in folders {
            let files = settings_in(folder).map_err(|error| RuleError::of(folder, &error))?;
            for file in files {
                // One that has gone meanwhile holds no rule.
                let text = read_settings(&file).map_err(|error| RuleError::of(&file, &error))?;
                book.add(text.as_deref().unwrap_or(""), &file)?;
            }
        }
        Ok(book)
    }

    /// Adds the rules of a text that stands in `file`.
    ///
    /// # Errors
    /// When one of them cannot be used; none is added then.
    pub fn add(&mut self, text: &str, file: &Path) -> Result<(), RuleError> {
        let line_of = |place: usize| text.get(..place).unwrap_or("").matches('\n').count() + 1;
        let error = |line, why: String| RuleError { file: file.to_owned(), line: Some(line), why };
        let read: FileText = toml::from_str(text).map_err(|problem| {
            let line = problem.span().map_or(1, |span| line_of(span.start));
            error(line, problem.message().to_owned())
        })?;
        let mut rules = Vec::new();
        for rule in read.rule {
            let line = line_of(rule.span().start);
            let rule = rule.into_inner();
            rules.push(checked(rule, file, line).map_err(|why| error(line, why))?);
        }
        self.rules.extend(rules);
        Ok(())
    }

    /// The rules, in the order they were read.
    #[must_use]
    pub fn rules(&self) -> &[Ruling] {
        &self.rules
    }

    /// The first rule that forbids something or asks about it.
    #[must_use]
    pub fn restriction(&self) -> Option<Hit<'_>> {
        self.rules.iter().find(|rule| rule.decision > Decided::Allow)
    }

    /// The strictest rule that a command meets. A rule that allows is met only by the system's own
    /// program of that name, with words that are known before it runs.
    #[must_use]
    pub fn strictest(&self, part: &Part) -> Option<Hit<'_>> {
        if part.kind != Kind::Command {
            return None;
        }
        let hidden = if part.hides { hidden(part) } else { Vec::new() };
        let met = self.rules.iter().filter(|rule| match rule.decision {
            Decided::Allow => rule.meets(&part.words) && !part.elsewhere,
            Decided::Ask | Decided::Deny => {
                let mut within = (0..hidden.len()).filter_map(|start| hidden.get(start..));
                rule.meets(&part.words) || within.any(|words| rule.meets(words))
            }
        });
        // Of several that are as strict, the first.
        met.min_by_key(|rule| std::cmp::Reverse(rule.decision))
    }
}

/// What a command may run of its own words: each may begin it, and one may hold a whole line.
fn hidden(part: &Part) -> Vec<Word> {
    let ends = |c: char| c.is_whitespace() || ";&|(){}'\"`".contains(c);
    let mut words = Vec::new();
    for word in part.words.iter().skip(1) {
        if word.literal {
            let inside = word.text.split(ends).filter(|text| !text.is_empty());
            words.extend(inside.map(Word::literal));
        } else {
            words.push(word.clone());
        }
    }
    words
}

impl Ruling {
    fn meets(&self, words: &[Word]) -> bool {
        if words.len() < self.prefix.len() {
            return false;
        }
        self.prefix.iter().zip(words).enumerate().all(|(place, (wanted, word))| {
            // The program may be given by its path.
            let base = word.text.rsplit('/').next().unwrap_or("");
            word.literal
                && wanted.iter().any(|wanted| *wanted == word.text || place == 0 && wanted == base)
        })
    }
}

fn checked(rule: RuleText, file: &Path, line: usize) -> Result<Ruling, String> {
    let mut prefix = Vec::new();
    for token in rule.prefix {
        let words = match token {
            Token::One(word) => vec![word],
            Token::Any(words) => words,
        };
        if words.is_empty() || words.iter().any(String::is_empty) {
            return Err("a word of `prefix` is empty".to_owned());
        }
        prefix.push(words);
    }
    if prefix.is_empty() {
        return Err("`prefix` is empty: it would hold for every command".to_owned());
    }
    if rule.reason.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
        return Err("`reason` is blank: leave it out, or say why".to_owned());
    }
    let place = rule.place.unwrap_or_default();
    if place == Where::Outside && rule.decision != Decided::Allow {
        return Err("`where = \"outside\"` goes with `decision = \"allow\"` only".to_owned());
    }
    let file = file.to_owned();
    let ruling = Ruling { prefix, decision: rule.decision, place, reason: rule.reason, file, line };
    let meets = |example: &str| {
        let context = Context { cwd: Path::new("/"), path: std::ffi::OsStr::new("") };
        let judged = classify_script(example, &context);
        judged.parts.iter().any(|part| part.kind == Kind::Command && ruling.meets(&part.words))
    };
    if let Some(example) = rule.matches.iter().find(|example| !meets(example)) {
        return Err(format!("`match` says that it holds for `{example}`, and it does not"));
    }
    if let Some(example) = rule.not_match.iter().find(|example| meets(example)) {
        return Err(format!("`not_match` says that it does not hold for `{example}`, and it does"));
    }
    Ok(ruling)
}
