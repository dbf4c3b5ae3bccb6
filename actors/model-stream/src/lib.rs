//! The model stream: one request to a model, from its start to its end.
//!
//! A task that it owns reads the provider's stream and sends facts straight to the conversation's
//! bulk lane, by permit: a slow conversation slows the socket. Text is sent at once when it is the
//! first, then gathered for [`GATHER`] or up to [`PART_BYTES`]. It retries while no item has been
//! completed, with backoff or as the server asks (`retry`); after that a break ends it with `Cut`.
//! It is temporary: when it dies the connection is closed and the conversation hears of it behind
//! the last fact.

mod reading;
mod retry;

use std::{sync::Arc, time::Duration};
use troupe_kit::{Context, Life, Mailbox, Role, StartError};
use troupe_messages::{ConversationMessage, Cut, StreamMessage};
use troupe_providers::Provider;
use troupe_types::ModelRequest;

pub use reading::{GATHER, PART_BYTES};

/// What a stream is started with.
#[derive(Clone)]
pub struct Args {
    /// Who is asked.
    pub provider: Arc<dyn Provider>,
    /// What is asked.
    pub request: ModelRequest,
    /// How the request before this one broke off, if this one takes it up again: it waits first.
    pub after_cut: Option<Cut>,
    /// How many retries there were since the last complete answer, this one included if it takes
    /// a broken answer up again.
    pub retries: u32,
    /// How many there may be.
    pub max_retries: u32,
    /// The longest wait before a retry. A server that asks for more ends the request.
    pub max_wait: Duration,
    /// Who is told.
    pub conversation: Mailbox<ConversationMessage>,
}

/// The role; see the crate's documentation.
pub struct ModelStream {
    args: Args,
}

impl Role for ModelStream {
    type Message = StreamMessage;
    type Args = Args;

    async fn start(args: Args, _: Life<StreamMessage>) -> Result<Self, StartError> {
        Ok(Self { args })
    }

    fn started(&mut self, cx: &mut Context<StreamMessage>) {
        let args = self.args.clone();
        cx.task(move |life| async move {
            reading::read(args, &life).await;
            let _refused = life.tell(StreamMessage::Read);
        });
    }

    fn handle(&mut self, message: &StreamMessage, cx: &mut Context<StreamMessage>) {
        match message {
            // Ending drops the reading task, and with it the connection.
            StreamMessage::Cancel | StreamMessage::Read => cx.stop(),
        }
    }
}
