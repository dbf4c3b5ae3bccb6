//! The reading task: attempts, retries, and the gathering of text.

use crate::{
    Args,
    retry::{Failures, Limits, Next},
};
use futures_util::StreamExt;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};
use troupe_kit::{Life, Refused};
use troupe_messages::{ConversationMessage, Cut, StreamFact, StreamMessage};
use troupe_providers::{EventStream, ModelError, Retry, backoff, random};
use troupe_types::{Channel, ModelEvent, RetryCause};

/// How long text is gathered before it is sent.
pub const GATHER: Duration = Duration::from_millis(16);
/// How much text is gathered at most, in bytes.
pub const PART_BYTES: usize = 4096;

/// How an attempt ended.
enum End {
    Completed,
    /// The conversation is gone, or does not listen any more.
    Refused,
    Broken {
        error: ModelError,
        items: u32,
    },
}

/// Reads until the answer is complete, broken for good, or nobody listens.
pub(crate) async fn read(args: Args, life: &Life<StreamMessage>) {
    let teller = Teller { args: &args, life };
    if let Some(Cut { reason, wait }) = args.after_cut.clone() {
        let wait = wait.unwrap_or_else(|| backoff(args.retries, random)).min(args.max_wait);
        if teller.wait(RetryCause::Cut { reason }, args.retries, wait).await.is_err() {
            return;
        }
    }
    let limits = Limits { used: args.retries, most: args.max_retries, longest: args.max_wait };
    let mut failures = Failures::default();
    loop {
        let stream = args.provider.stream(args.request.clone());
        let retries = failures.retries;
        let (error, items) = match attempt(&teller, stream, retries).await {
            End::Completed | End::Refused => return,
            End::Broken { error, items } => (error, items),
        };
        let failure = error.failure.clone();
        let wait = match failures.next(error, limits, random) {
            Next::Wait(wait) => wait,
            Next::GiveUp(failure) => {
                let _ = teller.tell(StreamFact::Failed { failure, retries }).await;
                return;
            }
        };
        if items > 0 {
            let (reason, retries) = (failure.message, failures.retries);
            let _ = teller.tell(StreamFact::Cut { reason, wait, retries }).await;
            return;
        }
        let retry = args.retries + failures.retries;
        if teller.wait(RetryCause::Failed(failure), retry, wait).await.is_err() {
            return;
        }
    }
}

struct Teller<'a> {
    args: &'a Args,
    life: &'a Life<StreamMessage>,
}

impl Teller<'_> {
    async fn tell(&self, fact: StreamFact) -> Result<(), Refused> {
        let request = self.args.request.request;
        let message = ConversationMessage::Stream { request, fact };
        self.life.offer_to(&self.args.conversation, message).await
    }

    /// Tells of a retry, and waits.
    async fn wait(&self, cause: RetryCause, retry: u32, wait: Duration) -> Result<(), Refused> {
        let most = self.args.max_retries;
        self.tell(StreamFact::Retrying { cause, retry, most, wait }).await?;
        sleep(wait).await;
        Ok(())
    }
}

/// Text on its way.
struct Gathered {
    index: u32,
    channel: Channel,
    text: String,
    due: Instant,
}

async fn attempt(teller: &Teller<'_>, mut stream: EventStream, retries: u32) -> End {
    let mut gathered: Option<Gathered> = None;
    let mut last_sent: Option<Instant> = None;
    let mut items = 0;
    loop {
        let event = match &gathered {
            None => stream.next().await,
            Some(text) => match timeout_at(text.due, stream.next()).await {
                Ok(event) => event,
                Err(_) => {
                    if flush(teller, &mut gathered, &mut last_sent).await.is_err() {
                        return End::Refused;
                    }
                    continue;
                }
            },
        };
        let told = match event {
            Some(Ok(ModelEvent::Opened { .. })) => Ok(()),
            Some(Ok(ModelEvent::Text { index, delta })) => {
                gather(teller, &mut gathered, &mut last_sent, (index, Channel::Answer, delta)).await
            }
            Some(Ok(ModelEvent::Reasoning { index, delta })) => {
                gather(teller, &mut gathered, &mut last_sent, (index, Channel::Reasoning, delta))
                    .await
            }
            Some(Ok(ModelEvent::ItemDone { index, item })) => {
                items += 1;
                match flush(teller, &mut gathered, &mut last_sent).await {
                    Ok(()) => {
                        teller.tell(StreamFact::ItemDone { index, item: Arc::new(item) }).await
                    }
                    refused => refused,
                }
            }
            Some(Ok(ModelEvent::Completed { usage, end_turn })) => {
                let _ = flush(teller, &mut gathered, &mut last_sent).await;
                let _ = teller.tell(StreamFact::Completed { usage, end_turn, retries }).await;
                return End::Completed;
            }
            Some(Err(error)) => {
                return match flush(teller, &mut gathered, &mut last_sent).await {
                    Ok(()) => End::Broken { error, items },
                    Err(Refused) => End::Refused,
                };
            }
            // A provider ends with an error or with `Completed`; this would be neither.
            None => return End::Broken { error: ended_early(), items },
        };
        if told.is_err() {
            return End::Refused;
        }
    }
}

fn ended_early() -> ModelError {
    ModelError {
        failure: troupe_types::Failure {
            class: troupe_types::ErrorClass::Network,
            message: "the stream ended before the answer was complete".to_owned(),
        },
        retry: Retry::Backoff,
        status: None,
    }
}

/// Adds text; sends it at once if none was sent lately, and when there is enough.
async fn gather(
    teller: &Teller<'_>,
    gathered: &mut Option<Gathered>,
    last_sent: &mut Option<Instant>,
    (index, channel, delta): (u32, Channel, String),
) -> Result<(), Refused> {
    let other = |text: &Gathered| text.index != index || text.channel != channel;
    if gathered.as_ref().is_some_and(other) {
        flush(teller, gathered, last_sent).await?;
    }
    match gathered {
        Some(text) => text.text.push_str(&delta),
        None => {
            let now = Instant::now();
            let due = last_sent.map_or(now, |at| at + GATHER).max(now);
            *gathered = Some(Gathered { index, channel, text: delta, due });
        }
    }
    let full = |text: &Gathered| text.text.len() >= PART_BYTES || text.due <= Instant::now();
    if gathered.as_ref().is_some_and(full) {
        flush(teller, gathered, last_sent).await?;
    }
    Ok(())
}

async fn flush(
    teller: &Teller<'_>,
    gathered: &mut Option<Gathered>,
    last_sent: &mut Option<Instant>,
) -> Result<(), Refused> {
    let Some(Gathered { index, channel, text, .. }) = gathered.take() else { return Ok(()) };
    *last_sent = Some(Instant::now());
    // A single huge delta becomes several parts.
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (part, after) = rest.split_at(rest.floor_char_boundary(8 * PART_BYTES));
        rest = after;
        teller.tell(StreamFact::Part { index, channel, text: part.to_owned() }).await?;
    }
    Ok(())
}
