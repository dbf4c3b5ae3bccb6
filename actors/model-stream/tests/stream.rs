//! The model stream through its mailbox, with the script player as the model.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use troupe_kit::{
    ChildSpec, Company, Context, Kit, Life, Mailbox, Order, Restart, Role, Root, StartError,
};
use troupe_messages::{ConversationMessage, Cut, StreamFact, StreamMessage};
use troupe_model_stream::{Args, ModelStream, PART_BYTES};
use troupe_providers::{Endpoint, Http, Provider, Wire, connect};
use troupe_types::{
    Content, ErrorClass, Item, ModelRequest, RequestId, SessionId, ToolKind, ToolSpec, Traits,
    UserItem,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Stands in for the conversation: passes on what it is told, when there is room.
struct Probe(mpsc::Sender<String>);

impl Role for Probe {
    type Message = ConversationMessage;
    type Args = mpsc::Sender<String>;

    async fn start(
        out: mpsc::Sender<String>,
        _: Life<ConversationMessage>,
    ) -> Result<Self, StartError> {
        Ok(Self(out))
    }

    fn handle(&mut self, message: &ConversationMessage, cx: &mut Context<ConversationMessage>) {
        let text = match message {
            ConversationMessage::Stream { fact, .. } => tell(fact),
            ConversationMessage::StreamGone { exit, .. } => format!("gone: {exit}"),
            other => format!("{other:?}"),
        };
        let out = self.0.clone();
        cx.run(move || drop(out.try_send(text)));
    }
}

fn tell(fact: &StreamFact) -> String {
    match fact {
        StreamFact::Part { index, text, .. } if text.len() > 40 => {
            format!("part {index}: {} bytes", text.len())
        }
        StreamFact::Part { index, text, .. } => format!("part {index}: {text}"),
        StreamFact::ItemDone { index, item } => match &**item {
            Item::Assistant(item) => format!("item {index}: {} bytes", item.text.len()),
            Item::Call(call) => format!("call {index}: {}", call.tool),
            other => format!("item {index}: {other:?}"),
        },
        StreamFact::Retrying { cause, retry, most, .. } => {
            format!("retrying {retry}/{most}: {cause:?}")
        }
        StreamFact::Completed { retries, .. } => format!("completed after {retries}"),
        StreamFact::Cut { reason, retries, .. } => format!("cut after {retries}: {reason}"),
        StreamFact::Failed { failure, retries } => {
            format!("failed after {retries}: {:?} {}", failure.class, failure.message)
        }
    }
}

struct Stage {
    root: Root,
    stream: Mailbox<StreamMessage>,
    told: mpsc::Receiver<String>,
}

impl Stage {
    fn new(steps: &Value, retries_left: u32) -> Self {
        Self::after(steps, retries_left, None)
    }

    fn after(steps: &Value, retries_left: u32, after_cut: Option<Cut>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script.json");
        std::fs::write(&script, json!({ "steps": steps }).to_string()).unwrap();
        let mut endpoint = Endpoint::new("rehearsal", Wire::Rehearsal, "");
        endpoint.script = Some(script);
        // The script is read here.
        let provider = connect(&endpoint, &Http::default()).unwrap();
        Self::with(provider, retries_left, after_cut)
    }

    fn with(provider: Arc<dyn Provider>, retries_left: u32, after_cut: Option<Cut>) -> Self {
        let cut = after_cut.is_some();
        let kit = Kit::default();
        let (out, told) = mpsc::channel(100_000);
        let conversation = Mailbox::new(&kit, "root/conversation", 4);
        let stream = Mailbox::new(&kit, "root/stream", 1);
        let request = RequestId::new();
        let gone = conversation.clone();
        let args = Args {
            provider,
            request: request_of(request),
            after_cut,
            retries: u32::from(cut),
            max_retries: retries_left + u32::from(cut),
            max_wait: Duration::from_secs(300),
            conversation: conversation.clone(),
        };
        let company = Company::new(&kit, "root", Order::Reverse)
            .with(ChildSpec::of::<Probe>("conversation", &conversation, out).build())
            .with(
                ChildSpec::of::<ModelStream>("stream", &stream, args)
                    .restart(Restart::Temporary)
                    .on_exit(move |exit| {
                        let exit = exit.clone();
                        let _ = gone.tell_behind(ConversationMessage::StreamGone { request, exit });
                    })
                    .build(),
            );
        Self { root: Root::start(company), stream, told }
    }

    /// Everything until the stream is gone.
    async fn all(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let next = tokio::time::timeout(PATIENCE, self.told.recv()).await;
            let text = next.unwrap_or_else(|_| panic!("nothing follows {all:?}")).unwrap();
            let last = text.starts_with("gone");
            all.push(text);
            if last {
                self.root.stop().await;
                return all;
            }
        }
    }
}

fn request_of(request: RequestId) -> ModelRequest {
    let tool = ToolSpec {
        name: "shell".to_owned(),
        description: String::new(),
        kind: ToolKind::Function { schema: "{}".to_owned() },
        traits: Traits::Effects,
    };
    ModelRequest {
        session: SessionId::new(),
        request,
        model: "m".to_owned(),
        instructions: "".into(),
        items: vec![Arc::new(Item::User(UserItem { content: vec![Content::text("go")] }))],
        tools: [tool].into(),
        effort: None,
        summary: None,
        verbosity: None,
        max_output_tokens: None,
        output_schema: None,
    }
}

#[tokio::test]
async fn an_answer_in_order_and_the_end_behind_it() {
    let steps = json!([{ "text": ["Hel", "lo"], "calls": [{"tool": "shell", "input": {"command": "ls"}}], "pace_ms": 30 }]);
    let all = Stage::new(&steps, 0).all().await;
    assert_eq!(
        all,
        [
            "part 0: Hel",
            "part 0: lo",
            "item 0: 5 bytes",
            "call 1: shell",
            "completed after 0",
            "gone: stopped"
        ]
    );
}

#[tokio::test]
async fn text_that_comes_fast_is_gathered() {
    let deltas: Vec<String> = (0..5000).map(|number| format!("{number:04} ")).collect();
    let all = Stage::new(&json!([{ "text": deltas }]), 0).all().await;
    assert_eq!(all[0], "part 0: 0000 ", "the first at once");
    let parts: Vec<_> = all.iter().filter(|line| line.starts_with("part")).collect();
    assert!(parts.len() <= 5000 * 5 / PART_BYTES + 20, "{} parts", parts.len());
    let bytes = |part: &&&String| part.split(' ').nth(2).and_then(|n| n.parse::<usize>().ok());
    let most = parts.iter().skip(1).filter_map(|part| bytes(&part)).max().unwrap();
    assert!(most < 2 * PART_BYTES, "{most} bytes in one part");
    assert!(all.contains(&"item 0: 25000 bytes".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn it_tries_again_while_nothing_is_complete() {
    let fault = |class: &str| json!({ "kind": "error", "class": class });
    let steps =
        json!([{ "text": "Hello", "faults": [fault("server"), { "kind": "cut", "after": 2 }] }]);
    let all = Stage::new(&steps, 5).all().await;
    assert_eq!(all.iter().filter(|line| line.starts_with("retrying")).count(), 2, "{all:?}");
    assert_eq!(all[all.len() - 2], "completed after 2");
}

#[tokio::test(start_paused = true)]
async fn it_gives_up_in_the_end_and_at_once_where_it_is_no_use() {
    let server = json!({ "kind": "error", "class": "server" });
    let steps = json!([{ "text": "Hello", "faults": [server, server, server] }]);
    let all = Stage::new(&steps, 2).all().await;
    assert!(all[all.len() - 2].starts_with("failed after 2: Server"), "{all:?}");

    let steps = json!([{ "text": "Hello", "faults": [{ "kind": "error", "class": "auth" }] }]);
    let all = Stage::new(&steps, 2).all().await;
    assert!(all[0].starts_with(&format!("failed after 0: {:?}", ErrorClass::Auth)), "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_completed_item_a_break_is_a_cut() {
    let calls = json!([{"tool": "shell", "input": {}}, {"tool": "shell", "input": {}}]);
    let steps = json!([{ "calls": calls, "faults": [{ "kind": "cut", "after": 2 }] }]);
    let all = Stage::new(&steps, 5).all().await;
    assert_eq!(all[0], "call 0: shell");
    assert!(all[1].starts_with("cut after 1"), "{all:?}");
}

#[tokio::test]
async fn a_cancel_ends_it_at_once() {
    let steps =
        json!([{ "text": ["a", "b"], "faults": [{ "kind": "delay", "ms": 600_000, "after": 2 }] }]);
    let mut stage = Stage::new(&steps, 0);
    assert_eq!(stage.told.recv().await.unwrap(), "part 0: a");
    stage.stream.tell(StreamMessage::Cancel).unwrap();
    assert_eq!(stage.all().await.last().unwrap(), "gone: stopped");
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_limit_ends_it_at_once() {
    let fault = json!({ "kind": "error", "class": "rate_limit", "retry_after_ms": 300_001 });
    let all = Stage::new(&json!([{ "text": "Hello", "faults": [fault] }]), 5).all().await;
    assert!(all[0].starts_with("failed after 0: RateLimit"), "{all:?}");
    assert!(all[0].contains("the server asks to wait 5 min 1 s"), "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn what_takes_a_broken_answer_up_again_tells_its_wait_and_waits() {
    let wait = Some(Duration::from_secs(15));
    let cut = Cut { reason: "it broke".to_owned(), wait };
    let began = tokio::time::Instant::now();
    let all = Stage::after(&json!([{ "text": "Hello" }]), 3, Some(cut)).all().await;
    assert_eq!(all[0], r#"retrying 1/4: Cut { reason: "it broke" }"#, "{all:?}");
    assert_eq!(all[all.len() - 2], "completed after 0");
    assert!(began.elapsed() >= Duration::from_secs(15));
}

#[tokio::test]
async fn a_cancel_ends_a_wait_at_once() {
    let fault = json!({ "kind": "error", "class": "rate_limit", "retry_after_ms": 299_000 });
    let mut stage = Stage::new(&json!([{ "text": "Hello", "faults": [fault] }]), 5);
    assert!(stage.told.recv().await.unwrap().starts_with("retrying 1/5"));
    stage.stream.tell(StreamMessage::Cancel).unwrap();
    assert_eq!(stage.all().await, ["gone: stopped"]);
}
