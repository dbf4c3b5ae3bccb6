//! What one scripted answer is made of: data only. [`super::Turn`] builds it.

use super::Gate;
use serde_json::Value;
use std::time::Duration;

/// One answer to one request.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    pub(crate) body: Body,
    /// The status line's number; 0 means 200.
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) content_type: Option<String>,
    pub(crate) usage: Usage,
    pub(crate) end: End,
    pub(crate) end_turn: Option<bool>,
    /// What happens at which point of the stream, in order of scripting.
    pub(crate) acts: Vec<(Point, Act)>,
    /// Waited at before the head is sent.
    pub(crate) before: Vec<Gate>,
    pub(crate) pace: Option<Duration>,
    /// The length of the HTTP chunks; an event each if absent.
    pub(crate) chunk: Option<usize>,
    /// No length and no chunks: the end of the connection ends the body.
    pub(crate) close_delimited: bool,
}

#[derive(Clone)]
pub(crate) enum Body {
    /// Items of an answer, rendered in the wire of the request.
    Parts(Vec<Part>),
    /// Events as given, each as one `data:` line.
    Events(Vec<Value>),
    /// Bytes as given, after the head.
    Plain(Vec<u8>),
    /// Nothing at all, not even a head.
    Silence,
    /// The connection is reset.
    Reset,
}

impl Default for Body {
    fn default() -> Self {
        Self::Parts(Vec::new())
    }
}

/// One item of an answer.
#[derive(Clone)]
pub(crate) enum Part {
    Text(Vec<String>),
    Reasoning {
        text: String,
        encrypted: Option<String>,
    },
    Call {
        id: Option<String>,
        name: String,
        input: Input,
    },
    /// An item in the form of the Responses wire, as given; nothing in the other one.
    Item(Value),
}

#[derive(Clone)]
pub(crate) enum Input {
    /// The text of the arguments, which need not be JSON.
    Arguments(String),
    /// The input of a custom tool.
    Custom(String),
}

/// Token counts an answer reports.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Tokens of the request, the cached ones included.
    pub input: u64,
    /// Those of them that were cached.
    pub cached: u64,
    /// Tokens of the answer, the reasoning included.
    pub output: u64,
    /// Those of them spent on reasoning.
    pub reasoning: u64,
}

impl Default for Usage {
    /// 10 in, 5 out.
    fn default() -> Self {
        Self { input: 10, cached: 0, output: 5, reasoning: 0 }
    }
}

/// How a stream ends.
#[derive(Clone, Default)]
pub(crate) enum End {
    #[default]
    Completed,
    Failed {
        code: String,
        message: String,
    },
    Incomplete(String),
    /// The body ends without saying how.
    Nothing,
}

/// A place in the stream of an answer. A number stands for that many events.
///
/// Events differ between the wires; deltas and items are the same in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// After so many SSE events; 0 is after the head.
    Events(usize),
    /// After so many pieces of text or reasoning.
    Deltas(usize),
    /// After so many completed items.
    Items(usize),
}

impl From<usize> for Point {
    fn from(events: usize) -> Self {
        Self::Events(events)
    }
}

#[derive(Clone)]
pub(crate) enum Act {
    Wait(Gate),
    Write(Vec<u8>),
    /// Nothing more, until the client goes.
    Stall,
    /// The connection is closed without the end of the body.
    Drop,
    Reset,
    /// The body ends as HTTP wants it, the stream does not.
    End,
}
