//! Scripts: which turn answers a request.

use super::{Request, Turn, Wire, answer::Answer};
use std::{collections::HashMap, sync::Arc};

type Test = Arc<dyn Fn(&Request) -> bool + Send + Sync>;
type Choose = Arc<dyn Fn(&Request) -> usize + Send + Sync>;

/// What the model says, and to what.
///
/// The turns are steps of a conversation. Which one answers is decided by the content of the
/// request: the number of answers it already holds ([`Request::position`]). So requests that are
/// sent again, and many conversations at once, need no book-keeping. Rules ([`Script::when`])
/// come before the steps. A request for a step that is not there is answered with 400 and is a
/// violation.
///
/// [`Turn::then`] counts the requests for one step of one conversation (known by its
/// `prompt_cache_key`, else by its first user message).
#[derive(Clone)]
pub struct Script {
    turns: Vec<Turn>,
    rules: Vec<(Test, Turn)>,
    routes: HashMap<String, Turn>,
    otherwise: Option<Turn>,
    choose: Pick,
    models: Vec<String>,
}

#[derive(Clone)]
enum Pick {
    Content,
    Arrival,
    By(Choose),
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    /// A script without turns that serves one model, `mock-model`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            turns: Vec::new(),
            rules: Vec::new(),
            routes: HashMap::new(),
            otherwise: None,
            choose: Pick::Content,
            models: vec!["mock-model".to_owned()],
        }
    }

    /// The same turn for every request.
    #[must_use]
    pub fn always(turn: Turn) -> Self {
        Self::new().otherwise(turn)
    }

    /// The next step.
    #[must_use]
    pub fn turn(mut self, turn: Turn) -> Self {
        self.turns.push(turn);
        self
    }

    /// The next steps.
    #[must_use]
    pub fn turns(mut self, turns: impl IntoIterator<Item = Turn>) -> Self {
        self.turns.extend(turns);
        self
    }

    /// Answers requests the test accepts, before any step. The first such rule wins.
    #[must_use]
    pub fn when(
        mut self,
        test: impl Fn(&Request) -> bool + Send + Sync + 'static,
        turn: Turn,
    ) -> Self {
        self.rules.push((Arc::new(test), turn));
        self
    }

    /// What is answered where the steps have ended.
    #[must_use]
    pub fn otherwise(mut self, turn: Turn) -> Self {
        self.otherwise = Some(turn);
        self
    }

    /// Answers a request of any method for this path (without query), such as `/api/tags`.
    #[must_use]
    pub fn route(mut self, path: impl Into<String>, turn: Turn) -> Self {
        self.routes.insert(path.into(), turn);
        self
    }

    /// Takes the steps in the order of arrival instead, one a request.
    #[must_use]
    pub fn by_arrival(mut self) -> Self {
        self.choose = Pick::Arrival;
        self
    }

    /// Takes the step this function names, from 0.
    #[must_use]
    pub fn by(mut self, step: impl Fn(&Request) -> usize + Send + Sync + 'static) -> Self {
        self.choose = Pick::By(Arc::new(step));
        self
    }

    /// The ids `GET /v1/models` lists.
    #[must_use]
    pub fn models<T: Into<String>>(mut self, ids: impl IntoIterator<Item = T>) -> Self {
        self.models = ids.into_iter().map(Into::into).collect();
        self
    }

    pub(crate) fn model_ids(&self) -> &[String] {
        &self.models
    }
}

/// An answer and the name its ids are made from.
pub(crate) struct Chosen {
    pub(crate) answer: Answer,
    pub(crate) name: String,
}

/// A script with the counts it needs while it plays.
pub(crate) struct Play {
    pub(crate) script: Script,
    arrived: usize,
    attempts: HashMap<(String, String), usize>,
}

impl Play {
    pub(crate) fn new(script: Script) -> Self {
        Self { script, arrived: 0, attempts: HashMap::new() }
    }

    /// The answer to a request; `None` where nothing is scripted for it.
    pub(crate) fn choose(&mut self, request: &Request) -> Option<Chosen> {
        let path = request.path.split('?').next().unwrap_or_default();
        if let Some(turn) = self.script.routes.get(path).cloned() {
            return Some(self.attempt(&turn, path.to_owned(), request));
        }
        if !matches!(request.wire, Wire::Responses | Wire::Chat) {
            return None;
        }
        let rule = self.script.rules.iter().position(|(test, _)| test(request));
        if let Some(at) = rule {
            let turn = self.script.rules[at].1.clone();
            return Some(self.attempt(&turn, format!("rule{at}"), request));
        }
        let step = match &self.script.choose {
            Pick::Content => request.position(),
            Pick::By(step) => step(request),
            Pick::Arrival => self.arrived,
        };
        self.arrived += 1;
        let turn = self.script.turns.get(step).or(self.script.otherwise.as_ref())?.clone();
        Some(self.attempt(&turn, step.to_string(), request))
    }

    fn attempt(&mut self, turn: &Turn, place: String, request: &Request) -> Chosen {
        let count = self.attempts.entry((request.conversation(), place.clone())).or_default();
        let attempt = std::mem::replace(count, *count + 1);
        let name = if attempt == 0 { place } else { format!("{place}x{attempt}") };
        Chosen { answer: turn.reply(attempt, request), name }
    }
}
