//! Turns: the builder of scripted answers.
//!
//! A [`Turn`] is what the model answers at one place of a conversation. Small functions make one
//! ([`say`], [`call`], [`status`] …), [`Turn::and`] puts items together, and modifiers add faults
//! and gates. With [`Turn::then`] a turn answers differently when it is asked again:
//!
//! ```
//! # use troupe_tests::model_server::*;
//! let cut_once = deltas(["Hel", "lo"]).drop_at(Point::Deltas(1)).then(say("Hello"));
//! let busy_twice = status(429).retry_after("0").times(2).then(say("at last"));
//! # let _ = (cut_once, busy_twice);
//! ```
//!
//! A modifier changes the last answer of the chain.

use super::{
    Gate, Request, Usage,
    answer::{Act, Answer, Body, End, Input, Part, Point},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// What the model answers at one place of a conversation.
#[derive(Clone)]
pub struct Turn {
    /// By attempt; the last one answers all further ones.
    attempts: Vec<Reply>,
}

#[derive(Clone)]
enum Reply {
    Fixed(Box<Answer>),
    Computed(Arc<dyn Fn(&Request) -> Turn + Send + Sync>),
}

/// A message of the assistant, in one piece.
pub fn say(text: impl Into<String>) -> Turn {
    Turn::part(Part::Text(vec![text.into()]))
}

/// A message of the assistant that comes in these pieces.
pub fn deltas<T: Into<String>>(pieces: impl IntoIterator<Item = T>) -> Turn {
    Turn::part(Part::Text(pieces.into_iter().map(Into::into).collect()))
}

/// A call of a tool.
#[expect(clippy::needless_pass_by_value, reason = "reads better with json!")]
pub fn call(name: impl Into<String>, arguments: Value) -> Turn {
    call_text(name, arguments.to_string())
}

/// A call whose arguments are this text, JSON or not.
pub fn call_text(name: impl Into<String>, arguments: impl Into<String>) -> Turn {
    let input = Input::Arguments(arguments.into());
    Turn::part(Part::Call { id: None, name: name.into(), input })
}

/// A call of a custom tool (free text; in the chat wire a function with one argument `input`).
pub fn custom(name: impl Into<String>, input: impl Into<String>) -> Turn {
    let input = Input::Custom(input.into());
    Turn::part(Part::Call { id: None, name: name.into(), input })
}

/// Several turns' items in one answer: `calls([call(…), call(…)])`.
pub fn calls(turns: impl IntoIterator<Item = Turn>) -> Turn {
    turns.into_iter().fold(Turn::answer(Answer::default()), Turn::and)
}

/// Reasoning: its summary, streamed as one piece, and in the Responses wire what is encrypted.
pub fn reasoning(text: impl Into<String>, encrypted: impl Into<String>) -> Turn {
    Turn::part(Part::Reasoning { text: text.into(), encrypted: Some(encrypted.into()) })
}

/// Any item of the Responses wire, as it is.
#[must_use]
pub fn item(item: Value) -> Turn {
    Turn::part(Part::Item(item))
}

/// A whole stream of events as they are; nothing is added.
pub fn events(events: impl IntoIterator<Item = Value>) -> Turn {
    Turn::answer(Answer { body: Body::Events(events.into_iter().collect()), ..Answer::default() })
}

/// One event with a text of so many bytes.
#[must_use]
pub fn huge(bytes: usize) -> Turn {
    say("x".repeat(bytes))
}

/// An error response with a body as the API has it. See [`Turn::body`] for another.
#[must_use]
pub fn status(code: u16) -> Turn {
    let kind = match code {
        401 => "authentication_error",
        429 => "rate_limit_error",
        400..500 => "invalid_request_error",
        _ => "server_error",
    };
    let error = json!({"message": format!("scripted {code}"), "type": kind, "code": null});
    let body = Body::Plain(json!({"error": error}).to_string().into_bytes());
    let content_type = Some("application/json".to_owned());
    Turn::answer(Answer { body, status: code, content_type, ..Answer::default() })
}

/// No answer at all: the request is read and the connection stays open.
#[must_use]
pub fn silence() -> Turn {
    Turn::answer(Answer { body: Body::Silence, ..Answer::default() })
}

/// The connection is reset in place of an answer.
#[must_use]
pub fn reset() -> Turn {
    Turn::answer(Answer { body: Body::Reset, ..Answer::default() })
}

/// The turn is made from the request.
pub fn compute(make: impl Fn(&Request) -> Turn + Send + Sync + 'static) -> Turn {
    Turn { attempts: vec![Reply::Computed(Arc::new(make))] }
}

impl Turn {
    fn part(part: Part) -> Self {
        Self::answer(Answer { body: Body::Parts(vec![part]), ..Answer::default() })
    }

    fn answer(answer: Answer) -> Self {
        Self { attempts: vec![Reply::Fixed(Box::new(answer))] }
    }

    /// The answer to attempt `attempt` (from 0).
    pub(crate) fn reply(&self, attempt: usize, request: &Request) -> Answer {
        let at = attempt.min(self.attempts.len().saturating_sub(1));
        match &self.attempts[at] {
            Reply::Fixed(answer) => (**answer).clone(),
            Reply::Computed(make) => make(request).reply(attempt - at, request),
        }
    }

    fn change(mut self, change: impl FnOnce(&mut Answer)) -> Self {
        match self.attempts.last_mut() {
            Some(Reply::Fixed(answer)) => change(answer),
            _ => panic!("a computed turn is changed inside its function"),
        }
        self
    }

    fn act(self, at: impl Into<Point>, act: Act) -> Self {
        self.change(|answer| answer.acts.push((at.into(), act)))
    }

    // ---- several answers

    /// What is answered when the same place is asked for again.
    #[must_use]
    pub fn then(mut self, next: Self) -> Self {
        self.attempts.extend(next.attempts);
        self
    }

    /// The last answer is given so many times before what comes `then`.
    #[must_use]
    pub fn times(mut self, count: usize) -> Self {
        if let Some(last) = self.attempts.last().cloned() {
            self.attempts.extend(std::iter::repeat_n(last, count.saturating_sub(1)));
        }
        self
    }

    // ---- what is said

    /// The items of `other` follow in the same answer, with its faults and gates.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let [Reply::Fixed(added)] = &other.attempts[..] else {
            panic!("only a turn of one fixed answer can be added to another");
        };
        let Body::Parts(parts) = &added.body else { panic!("only items can be added") };
        self.change(|answer| {
            let Body::Parts(have) = &mut answer.body else { panic!("items fit only to items") };
            have.extend(parts.iter().cloned());
            answer.acts.extend(added.acts.iter().cloned());
            answer.before.extend(added.before.iter().cloned());
        })
    }

    /// The id of the last call; without it ids are made from the place in the conversation.
    #[must_use]
    pub fn call_id(self, wanted: impl Into<String>) -> Self {
        self.change(|answer| {
            let Body::Parts(parts) = &mut answer.body else { panic!("no call in this turn") };
            let Some(Part::Call { id, .. }) = parts.last_mut() else { panic!("no call is last") };
            *id = Some(wanted.into());
        })
    }

    /// The token counts.
    #[must_use]
    pub fn usage(self, usage: Usage) -> Self {
        self.change(|answer| answer.usage = usage)
    }

    /// The `end_turn` of the Responses wire: `false` asks for one more request.
    #[must_use]
    pub fn end_turn(self, end: bool) -> Self {
        self.change(|answer| answer.end_turn = Some(end))
    }

    /// Ends with `response.failed`; in the chat wire with an error event.
    #[must_use]
    pub fn failed(self, code: impl Into<String>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        self.change(|answer| answer.end = End::Failed { code, message })
    }

    /// Ends with `response.incomplete`; in the chat wire with this `finish_reason`.
    #[must_use]
    pub fn incomplete(self, reason: impl Into<String>) -> Self {
        self.change(|answer| answer.end = End::Incomplete(reason.into()))
    }

    /// The body ends properly, but nothing says that the answer is complete.
    #[must_use]
    pub fn unfinished(self) -> Self {
        self.change(|answer| answer.end = End::Nothing)
    }

    // ---- HTTP

    /// A response header.
    #[must_use]
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.change(|answer| answer.headers.push((name.into(), value.into())))
    }

    /// The header `Retry-After`: seconds or a date.
    #[must_use]
    pub fn retry_after(self, value: impl Into<String>) -> Self {
        self.header("retry-after", value)
    }

    /// The content type, right or wrong.
    #[must_use]
    pub fn content_type(self, value: impl Into<String>) -> Self {
        self.change(|answer| answer.content_type = Some(value.into()))
    }

    /// The body in place of what the turn would send.
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        self.change(|answer| answer.body = Body::Plain(body.into()))
    }

    /// The body is not chunked; the end of the connection ends it.
    #[must_use]
    pub fn close_delimited(self) -> Self {
        self.change(|answer| answer.close_delimited = true)
    }

    /// HTTP chunks of so many bytes, cut anywhere, each sent by itself.
    #[must_use]
    pub fn chunks_of(self, bytes: usize) -> Self {
        self.change(|answer| answer.chunk = Some(bytes.max(1)))
    }

    // ---- gates, speed

    /// Waits at the gate before anything is sent.
    #[must_use]
    pub fn wait(self, gate: &Gate) -> Self {
        self.change(|answer| answer.before.push(gate.clone()))
    }

    /// Waits at the gate in the middle of the stream.
    #[must_use]
    pub fn wait_at(self, at: impl Into<Point>, gate: &Gate) -> Self {
        self.act(at, Act::Wait(gate.clone()))
    }

    /// A pause before each event.
    #[must_use]
    pub fn paced(self, pause: Duration) -> Self {
        self.change(|answer| answer.pace = Some(pause))
    }

    // ---- faults

    /// Closes the connection without the end of the body.
    #[must_use]
    pub fn drop_at(self, at: impl Into<Point>) -> Self {
        self.act(at, Act::Drop)
    }

    /// Resets the connection.
    #[must_use]
    pub fn reset_at(self, at: impl Into<Point>) -> Self {
        self.act(at, Act::Reset)
    }

    /// Ends the body properly, too early.
    #[must_use]
    pub fn end_at(self, at: impl Into<Point>) -> Self {
        self.act(at, Act::End)
    }

    /// Sends nothing more; the connection stays open until the client goes.
    #[must_use]
    pub fn stall_at(self, at: impl Into<Point>) -> Self {
        self.act(at, Act::Stall)
    }

    /// Sends these bytes between two events.
    #[must_use]
    pub fn raw_at(self, at: impl Into<Point>, bytes: impl Into<Vec<u8>>) -> Self {
        self.act(at, Act::Write(bytes.into()))
    }

    /// Sends a `data:` line that is not JSON, a line without a colon and a comment.
    #[must_use]
    pub fn malformed_at(self, at: impl Into<Point>) -> Self {
        self.raw_at(at, "data: {\"type\":\"resp\n\nnonsense\n\n: comment\n\n")
    }

    /// Sends a `data:` line with bytes that are not UTF-8.
    #[must_use]
    pub fn invalid_utf8_at(self, at: impl Into<Point>) -> Self {
        self.raw_at(at, b"data: {\"type\":\"x\",\"delta\":\"\xff\xfe\xc3\x28\"}\n\n".to_vec())
    }
}
