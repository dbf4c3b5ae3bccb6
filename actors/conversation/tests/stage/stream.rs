//! A model stream that plays what the script answers.

use super::Stage;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use troupe_kit::{Context, Life, Mailbox, Role, StartError};
use troupe_messages::{ConversationMessage, StreamFact, StreamMessage};
use troupe_types::{
    AssistantItem, CallId, CallInput, CallItem, Channel, Item, ModelRequest, Usage,
};

/// One beat of a stream.
#[derive(Clone, Debug)]
pub enum Beat {
    /// Part of a text.
    Part(u32, String),
    /// A completed item.
    Item(u32, Box<Item>),
    /// The end, with the tokens used in all.
    End(u64),
    /// Nothing more comes.
    Hang,
    /// The stream breaks after something was completed.
    Cut,
    /// The actor panics.
    Panic,
}

/// A text in parts.
pub fn says(index: u32, text: &str) -> Vec<Beat> {
    let item = Item::Assistant(AssistantItem { text: text.to_owned(), ..AssistantItem::default() });
    let (head, tail) = text.split_at(text.len() / 2);
    vec![
        Beat::Part(index, head.to_owned()),
        Beat::Part(index, tail.to_owned()),
        Beat::Item(index, Box::new(item)),
    ]
}

pub fn answer(text: &str) -> Vec<Beat> {
    let mut beats = says(0, text);
    beats.push(Beat::End(10));
    beats
}

/// One complete item, and the end.
pub fn only(item: Item) -> Vec<Beat> {
    vec![Beat::Item(0, Box::new(item)), Beat::End(10)]
}

/// A complete answer that holds nothing.
pub fn nothing() -> Vec<Beat> {
    vec![Beat::End(10)]
}

pub fn call(index: u32, tool: &str, wire_id: &str) -> Beat {
    let item = Item::Call(CallItem {
        call: CallId::new(),
        wire_id: wire_id.to_owned(),
        id: None,
        tool: tool.to_owned(),
        input: CallInput::Json("{}".to_owned()),
        opaque: None,
    });
    Beat::Item(index, Box::new(item))
}

pub fn calls(tools: &[(&str, &str)]) -> Vec<Beat> {
    let mut beats: Vec<Beat> =
        (0..).zip(tools).map(|(index, (tool, wire_id))| call(index, tool, wire_id)).collect();
    beats.push(Beat::End(10));
    beats
}

pub fn cut(mut beats: Vec<Beat>) -> Vec<Beat> {
    beats.pop();
    beats.push(Beat::Cut);
    beats
}

/// How many outputs the request holds since the last prompt.
pub fn outputs(request: &ModelRequest) -> usize {
    let items = request.items.iter().rev();
    items
        .take_while(|item| !matches!(***item, Item::User(_)))
        .filter(|item| matches!(***item, Item::Output(_)))
        .count()
}

#[derive(Clone)]
pub struct Args {
    pub beats: Vec<Beat>,
    pub request: ModelRequest,
    pub requests: Arc<Mutex<Vec<ModelRequest>>>,
    pub conversation: Mailbox<ConversationMessage>,
}

pub struct Stream(Args);

impl Role for Stream {
    type Message = StreamMessage;
    type Args = Args;

    async fn start(args: Args, _: Life<StreamMessage>) -> Result<Self, StartError> {
        args.requests.lock().unwrap().push(args.request.clone());
        Ok(Self(args))
    }

    fn started(&mut self, cx: &mut Context<StreamMessage>) {
        let args = self.0.clone();
        cx.task(move |life| async move {
            for beat in args.beats {
                let fact = match beat {
                    Beat::Part(index, text) => {
                        StreamFact::Part { index, channel: Channel::Answer, text }
                    }
                    Beat::Item(index, item) => StreamFact::ItemDone { index, item: item.into() },
                    Beat::End(total_tokens) => StreamFact::Completed {
                        usage: Some(Usage { total_tokens, ..Usage::default() }),
                        end_turn: None,
                        retries: 0,
                    },
                    Beat::Cut => StreamFact::Cut {
                        reason: "it broke".to_owned(),
                        wait: Duration::ZERO,
                        retries: 1,
                    },
                    Beat::Hang => std::future::pending().await,
                    Beat::Panic => panic!("the stream's actor fails"),
                };
                let request = args.request.request;
                let message = ConversationMessage::Stream { request, fact };
                if life.offer_to(&args.conversation, message).await.is_err() {
                    return;
                }
            }
            let _ = life.tell(StreamMessage::Read);
        });
    }

    fn handle(&mut self, _: &StreamMessage, cx: &mut Context<StreamMessage>) {
        cx.stop();
    }
}

impl Stage {
    /// The texts of the last request: who speaks, and what.
    pub fn last_request(&self) -> Vec<String> {
        let requests = self.requests();
        let Some(last) = requests.last() else { return Vec::new() };
        last.items
            .iter()
            .filter_map(|item| match &**item {
                Item::Context(_) => None,
                Item::User(user) => Some(format!("user {}", user.content[0].as_text().unwrap())),
                Item::Assistant(item) => Some(format!("says {}", item.text)),
                Item::Call(item) => Some(format!("call {}", item.wire_id)),
                Item::Output(item) => {
                    Some(format!("output {}", item.content[0].as_text().unwrap()))
                }
                Item::Summary(item) => {
                    Some(format!("summary {}", item.text.lines().last().unwrap()))
                }
                Item::Reasoning(_) | Item::Opaque(_) => Some("thinks".to_owned()),
            })
            .collect()
    }
}
