//! Answers that hold neither text nor a call: asked for once more, then the turn ends and says so.
//!
//! Reasoning alone, white space, an empty message and items that nobody here understands say
//! nothing; a refusal does. How many such answers came one after the other is part of the state, so
//! a crash between the two requests does not make a third.

use super::{Effects, Machine, state::Turn};
use troupe_types::{ErrorClass, Failure, RequestRetried, RetryCause};

/// How often such an answer is asked for again.
const ASKED_AGAIN: u32 = 1;

/// What follows a complete answer without a call.
#[derive(Debug, PartialEq)]
pub(crate) enum AfterAnswer {
    /// It said something: whatever follows an answer.
    GoOn,
    /// The same request once more.
    AskAgain,
    /// The turn is completed by what its calls did.
    Complete,
    /// The turn has come to nothing.
    Fail(Failure),
}

/// Decides by the turn's state alone.
pub(crate) fn after(turn: &Turn) -> AfterAnswer {
    if turn.silent == 0 {
        AfterAnswer::GoOn
    } else if turn.silent <= ASKED_AGAIN {
        AfterAnswer::AskAgain
    } else if !turn.worked {
        fail(
            "the model ended its answer without a word and without a call, also when it was asked \
             again; try again, or another model",
        )
    } else if turn.output_schema.is_some() {
        fail(
            "the model's calls were run, but it ended the turn without the final answer that the \
             output schema asks for, also when it was asked again",
        )
    } else {
        AfterAnswer::Complete
    }
}

fn fail(message: &str) -> AfterAnswer {
    AfterAnswer::Fail(Failure { class: ErrorClass::NoAnswer, message: message.to_owned() })
}

impl Machine {
    /// Asks once more. The decision is recorded once, however often the request has to wait.
    pub(crate) fn ask_again(&mut self, out: &mut Effects) -> bool {
        let turn = self.state.core.turn.as_ref();
        let silent = turn.map_or(0, |turn| turn.silent);
        if let Some(request) = turn.and_then(|turn| turn.request.as_ref())
            && !request.retried
        {
            let record = RequestRetried {
                request: request.request,
                cause: RetryCause::Silent,
                retry: silent,
                most: ASKED_AGAIN,
                wait_ms: 0,
            };
            self.append(record, out);
        }
        self.start_request(out)
    }
}
