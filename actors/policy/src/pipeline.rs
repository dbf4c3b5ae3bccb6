//! The pipeline: stages that each may settle a case, and what becomes of one that fails.

use crate::{
    rulebook::{Hit, RuleBook, RuleError, Ruling, Where},
    stages, typed,
};
use serde::Deserialize;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};
use troupe_config::read_settings;
use troupe_messages::{Judged, Question, Verdict};
use troupe_shell::{Class, Judgement, Part, Unread};
use troupe_types::{ApprovalPolicy, SandboxSettings};

/// What is to be judged.
#[derive(Debug, Clone)]
pub struct Case {
    /// What is to be done.
    pub question: Question,
    /// The session's approval policy.
    pub approval: ApprovalPolicy,
    /// The session's sandbox.
    pub sandbox: SandboxSettings,
    /// The session's directory.
    pub cwd: PathBuf,
    /// Keys of what was approved for the session.
    pub approved: Vec<String>,
}

/// What is found out about a part of a command.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The part.
    pub part: Part,
    /// The strictest rule that it meets.
    pub rule: Option<Ruling>,
}

/// What a case comes to.
#[derive(Debug, Clone)]
pub struct Report {
    /// The verdict.
    pub verdict: Verdict,
    /// The stage that settled it.
    pub stage: &'static str,
    /// The rule that decided, if one did.
    pub rule: Option<Ruling>,
    /// What a command would do.
    pub class: Option<Class>,
    /// Whether a command could be parsed.
    pub parsed: bool,
    /// Its parts.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The answer to the tool exec that asked. What cannot be parsed may do more than its parts say.
    #[must_use]
    pub fn judged(self) -> Judged {
        let read_only = self.parsed && self.class == Some(Class::ReadOnly);
        Judged { verdict: self.verdict, read_only }
    }
}

/// What is known about a case while it is judged.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) judgement: Option<Judgement>,
    pub(crate) findings: Vec<Finding>,
    /// All parts are allowed by rules, and where.
    pub(crate) allowed: Option<Where>,
    /// A rule wants a person to decide.
    pub(crate) asked: Option<Ruling>,
    /// Why a command cannot be held against the rules, where one of them forbids or asks about
    /// something.
    pub(crate) unheld: Option<Unheld>,
    /// The rule that the verdict rests on.
    pub(crate) by: Option<Ruling>,
}

/// A command that may do what a rule forbids or asks about, and nobody can tell.
#[derive(Debug)]
pub(crate) struct Unheld {
    /// Why it could not be taken apart.
    pub(crate) unread: Unread,
    /// The first rule that it may meet.
    pub(crate) rule: Ruling,
}

impl Unheld {
    /// Why it is refused where nobody can be asked, and what helps.
    pub(crate) fn refusal(&self) -> String {
        let Self { unread, rule } = self;
        format!(
            "refused: it cannot be checked against the rules (such as {}:{}), because {unread}. {}",
            rule.file.display(),
            rule.line,
            unread.remedy()
        )
    }
}

/// What a stage says: a verdict, or nothing, which leaves it to the next.
pub(crate) type Said = Result<Option<Verdict>, String>;

/// A stage.
type Stage = fn(&Pipeline, &Case, &mut Known) -> Said;

/// The stages, with their names, in their order.
const STAGES: [(&str, Stage); 6] = [
    ("files", stages::files),
    ("requirements", stages::requirements),
    ("rules", stages::rules),
    ("session approvals", stages::session_approvals),
    ("classification", stages::classification),
    ("approval policy", stages::approval_policy),
];

/// Called before each stage, with its name: tests make one fail there.
pub type Hook = std::sync::Arc<dyn Fn(&'static str) -> Result<(), String> + Send + Sync>;

/// What the verdicts rest on.
#[derive(Clone, Default)]
pub struct Pipeline {
    /// What the machine's owner requires; an error refuses everything.
    pub requirements: Option<Result<Requirements, RuleError>>,
    /// The user's rules; an error refuses everything.
    pub rules: Option<Result<RuleBook, RuleError>>,
    /// The file that rules are kept in which a person answers with.
    pub kept: Option<PathBuf>,
    /// For tests.
    pub hook: Option<Hook>,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// What the machine's owner requires (`/etc/troupe/requirements.toml`, and rules beside it).
#[derive(Debug, Clone, Default)]
pub struct Requirements {
    /// The sandbox modes that may be used; none means all.
    pub sandbox_modes: Vec<troupe_types::SandboxMode>,
    /// The approval policies that may be used; none means all.
    pub approval_policies: Vec<String>,
    /// Rules that hold beside the user's.
    pub rules: RuleBook,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequirementsText {
    #[serde(default)]
    sandbox_modes: Vec<troupe_types::SandboxMode>,
    #[serde(default)]
    approval_policies: Vec<String>,
}

impl Requirements {
    /// Reads `requirements.toml` and `rules/*.toml` in a folder; `None` if there are none.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn load(folder: &Path) -> Result<Option<Self>, RuleError> {
        let file = folder.join("requirements.toml");
        let rules = RuleBook::load(&[folder.join("rules")])?;
        let text = read_settings(&file).map_err(|error| RuleError::of(&file, &error))?;
        let Some(text) = text else {
            let none = rules.rules().is_empty();
            return Ok((!none).then(|| Self { rules, ..Self::default() }));
        };
        let read: RequirementsText = toml::from_str(&text).map_err(|problem| {
            let start = problem.span().map_or(0, |span| span.start);
            let line = text.get(..start).unwrap_or("").matches('\n').count() + 1;
            RuleError { file, line: Some(line), why: problem.message().to_owned() }
        })?;
        let RequirementsText { sandbox_modes, approval_policies } = read;
        Ok(Some(Self { sandbox_modes, approval_policies, rules }))
    }
}

impl Pipeline {
    /// Why no action can be allowed: the first file that cannot be used, with its line and what helps.
    /// Whatever acts asks this before it begins.
    #[must_use]
    pub fn unusable(&self) -> Option<String> {
        let requirements = self.requirements.as_ref().and_then(|read| read.as_ref().err());
        let rules = self.rules.as_ref().and_then(|read| read.as_ref().err());
        match (requirements, rules) {
            (Some(error), _) => Some(format!(
                "the requirements of this machine cannot be used, so nothing may run: {error} (who \
                 administers this machine has to correct it)"
            )),
            (None, Some(error)) => Some(format!(
                "the rules cannot be used, so nothing may run until they are corrected: {error}"
            )),
            (None, None) => None,
        }
    }

    /// Judges a case. Whatever goes wrong, it is a no.
    #[must_use]
    pub fn judge(&self, case: &Case) -> Report {
        let mut known = Known::default();
        let typed = typed::question(&case.question, &case.approval);
        let typed = typed.map(|question| Case { question, ..case.clone() });
        let case = typed.as_ref().unwrap_or(case);
        for (name, stage) in STAGES {
            let run = || {
                self.hook.as_ref().map_or(Ok(()), |hook| hook(name))?;
                stage(self, case, &mut known)
            };
            let said = catch_unwind(AssertUnwindSafe(run));
            let verdict = match said {
                Ok(Ok(None)) => continue,
                Ok(Ok(Some(verdict))) => verdict,
                Ok(Err(why)) => Verdict::Deny(format!("refused: {why}")),
                Err(_) => Verdict::Deny(format!(
                    "refused: the {name} of the policy failed on this action, which counts as a no"
                )),
            };
            return report(verdict, name, known);
        }
        let why = "refused: no stage of the policy decided, which counts as a no".to_owned();
        report(Verdict::Deny(why), "none", known)
    }
}

fn report(verdict: Verdict, stage: &'static str, known: Known) -> Report {
    let (class, parsed) = match &known.judgement {
        Some(judgement) => (Some(judgement.class), judgement.parsed()),
        None => (None, true),
    };
    Report { verdict, stage, rule: known.by, class, parsed, findings: known.findings }
}

/// The strictest rule of several books.
pub(crate) fn strictest<'a>(books: &[&'a RuleBook], part: &Part) -> Option<Hit<'a>> {
    let met = books.iter().filter_map(|book| book.strictest(part));
    met.min_by_key(|rule| std::cmp::Reverse(rule.decision))
}
