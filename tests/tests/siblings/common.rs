//! What the rows share.

use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};
use troupe_tests::{
    model_server::*,
    stage::{Finished, Run, Stage},
    wait::{DEADLINE, poll},
};

/// How long a run may take: one that hangs ends its row.
pub(crate) const LIMIT: Duration = Duration::from_secs(25);

/// Both wires of a model.
pub(crate) const WIRES: [Wire; 2] = [Wire::Responses, Wire::Chat];

/// What came of a run.
pub(crate) struct Ran {
    pub(crate) stage: Stage,
    pub(crate) server: ModelServer,
    pub(crate) finished: Finished,
}

/// A task whose first answers are these; the next one says that it is done.
pub(crate) fn run(wire: Wire, turns: impl IntoIterator<Item = Turn>, more: &[&str]) -> Ran {
    let server = ModelServer::start(Script::new().turns(turns).otherwise(say("done")));
    let stage = Stage::new().with_wire(&server, wire);
    let finished = exec(&stage).args(more).arg("go").limit(LIMIT).run();
    Ran { stage, server, finished }
}

/// A task whose first answer is this one.
pub(crate) fn first(wire: Wire, turn: Turn) -> Ran {
    run(wire, [turn], &[])
}

/// The same, where nothing is asked for again.
pub(crate) fn only(wire: Wire, turn: Turn) -> Ran {
    let once = ["request_max_retries", "stream_max_retries"]
        .map(|name| format!("model_providers.test.{name}=0"));
    run(wire, [turn], &["-c", &once[0], "-c", &once[1]])
}

/// A run of `troupe exec --json` with full access.
pub(crate) fn exec(stage: &Stage) -> Run {
    stage.troupe(["exec", "--json", "-s", "danger-full-access"])
}

/// Goes on with the last session.
pub(crate) fn resume(stage: &Stage, more: &[&str]) -> Finished {
    exec(stage).args(["resume", "--last"]).args(more).limit(LIMIT).run()
}

impl Ran {
    /// What the commands that ran have written, word by word.
    pub(crate) fn ran(&self) -> String {
        let text = std::fs::read_to_string(self.stage.work().join("ran")).unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The messages of the model.
    pub(crate) fn said(&self) -> Vec<String> {
        said(&self.finished)
    }

    /// All that the user was told, and how the run ended.
    pub(crate) fn told(&self) -> String {
        told(&self.finished)
    }

    /// The body of the last request.
    pub(crate) fn context(&self) -> String {
        self.server.requests().last().map(|request| request.body.to_string()).unwrap_or_default()
    }

    /// Checks that it completed, and that these commands ran.
    pub(crate) fn completes_with(&self, ran: &str) {
        ends(&self.finished, 0);
        assert_eq!(self.ran(), ran, "{}", self.finished.stdout());
    }

    /// Checks that it completed, and that the model said this and nothing else.
    pub(crate) fn completes_saying(&self, text: &str) {
        ends(&self.finished, 0);
        assert_eq!(self.said().concat(), text, "{}", self.finished.stdout());
    }

    /// Checks that it failed and the user was told all of these words; none of them is binary.
    pub(crate) fn fails_telling(&self, words: &[&str]) -> String {
        assert_ne!(self.finished.code(), Some(0), "{}", self.finished.stdout());
        let code = self.finished.code().unwrap_or(-1);
        assert!((2..14).contains(&code), "code {code}: {}", self.told());
        let message =
            end(&self.finished)["error"]["message"].as_str().unwrap_or_default().to_owned();
        for word in words {
            let lower = message.to_lowercase();
            assert!(lower.contains(&word.to_lowercase()), "{word:?} is not in {message:?}");
        }
        let binary = |c: char| c == '\u{fffd}' || (c.is_control() && c != '\n' && c != '\t');
        assert!(!message.contains(binary), "binary in {message:?}");
        assert!(message.len() < 4000, "{} bytes of message", message.len());
        message
    }
}

/// The messages of the model.
pub(crate) fn said(finished: &Finished) -> Vec<String> {
    items(finished, "agent_message").iter().map(|item| text(&item["text"])).collect()
}

/// The items of a type that were completed.
pub(crate) fn items(finished: &Finished, kind: &str) -> Vec<Value> {
    let lines = finished.json_lines().into_iter();
    lines
        .filter(|line| line["type"] == "item.completed" && line["item"]["type"] == kind)
        .map(|line| line["item"].clone())
        .collect()
}

/// The only terminal event, which is the last line.
pub(crate) fn end(finished: &Finished) -> Value {
    let lines = finished.json_lines();
    let terminal = |line: &Value| line["type"] == "turn.completed" || line["type"] == "turn.failed";
    let count = lines.iter().filter(|line| terminal(line)).count();
    assert_eq!(count, 1, "{}\n{}", finished.stdout(), finished.stderr());
    let last = lines.last().unwrap();
    assert!(terminal(last), "{}", finished.stdout());
    last.clone()
}

/// Checks code and terminal event.
pub(crate) fn ends(finished: &Finished, code: i32) -> Value {
    finished.assert_code(code);
    let end = end(finished);
    let wanted = if code == 0 { "turn.completed" } else { "turn.failed" };
    assert_eq!(end["type"], wanted, "{}", finished.stdout());
    end
}

/// All that was told: errors in passing, error items, the end, standard error.
pub(crate) fn told(finished: &Finished) -> String {
    let mut told = finished.stderr();
    for line in finished.json_lines() {
        let item = &line["item"];
        let errors = [&item["message"], &item["error"]["message"], &line["error"]["message"]];
        for value in errors.into_iter().chain([&line["message"]]) {
            told.push('\n');
            told.push_str(value.as_str().unwrap_or_default());
        }
    }
    told
}

/// The messages of the `error` items.
pub(crate) fn warnings(finished: &Finished) -> Vec<String> {
    items(finished, "error").iter().map(|item| text(&item["message"])).collect()
}

/// What was tried again: number and wait in milliseconds.
pub(crate) fn retries(finished: &Finished) -> Vec<(u64, u64)> {
    let lines = finished.json_lines().into_iter();
    lines
        .filter(|line| line["type"] == "error" && line["retry"].is_object())
        .map(|line| {
            let number = |name: &str| line["retry"][name].as_u64().unwrap();
            (number("attempt"), number("wait_ms"))
        })
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Checks that a text holds one of these, in any case.
pub(crate) fn any(text: &str, words: &[&str]) {
    let lower = text.to_lowercase();
    let found = words.iter().any(|word| lower.contains(&word.to_lowercase()));
    assert!(found, "none of {words:?} in: {text}");
}

/// Waits until a command has written something to this file of the working directory: a shell makes
/// the file first.
pub(crate) fn wait_written(stage: &Stage, file: &str) {
    let written = || stage.exists(file) && !stage.read(file).is_empty();
    poll(DEADLINE, || written().then_some(())).expect("the command runs");
}

/// A call of the shell.
pub(crate) fn shell(command: &str) -> Turn {
    call("shell", json!({ "command": command }))
}

/// The arguments of a command that writes a word to the file `ran`.
pub(crate) fn writes(word: &str) -> String {
    json!({ "command": format!("echo {word} >> ran") }).to_string()
}

/// A patch that adds a file.
pub(crate) fn adds(path: &str) -> Turn {
    custom("apply_patch", format!("*** Begin Patch\n*** Add File: {path}\n+text\n*** End Patch\n"))
}

// ---- bytes

/// A body as it is.
pub(crate) fn body(kind: &str, bytes: impl Into<Vec<u8>>) -> Turn {
    status(200).content_type(kind).body(bytes)
}

/// A stream of events as these bytes.
pub(crate) fn stream(bytes: impl Into<Vec<u8>>) -> Turn {
    body("text/event-stream", bytes)
}

/// An error with this body.
pub(crate) fn fault(code: u16, kind: &str, bytes: impl Into<Vec<u8>>) -> Turn {
    status(code).content_type(kind).body(bytes)
}

/// Events as they go over the wire.
pub(crate) fn sse(events: &[Value]) -> String {
    events.iter().map(frame).collect()
}

fn frame(event: &Value) -> String {
    match event["type"].as_str() {
        Some(kind) => format!("event: {kind}\ndata: {event}\n\n"),
        None => format!("data: {event}\n\n"),
    }
}

/// The end of a stream in the chat wire.
pub(crate) const DONE: &str = "data: [DONE]\n\n";

/// A whole answer of one text, as bytes of the wire.
pub(crate) fn answer(wire: Wire, words: &str) -> String {
    match wire {
        Wire::Chat => sse(&[said_chunk(words), finish("stop")]) + DONE,
        _ => {
            let item = message("msg_1", words);
            let delta = json!({ "type": "response.output_text.delta", "item_id": "msg_1",
                "output_index": 0, "content_index": 0, "delta": words });
            sse(&[
                created(),
                added(0, &message("msg_1", "")),
                delta,
                done(0, &item),
                completed(&[&item]),
            ])
        }
    }
}

// ---- the chat wire

/// A chunk.
pub(crate) fn chunk(delta: Value, finish: Value) -> Value {
    json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
}

/// A chunk with words.
pub(crate) fn said_chunk(words: &str) -> Value {
    chunk(json!({ "role": "assistant", "content": words }), Value::Null)
}

/// A chunk with the reason of the end.
pub(crate) fn finish(reason: &str) -> Value {
    chunk(json!({}), json!(reason))
}

/// A chunk with a part of a call.
pub(crate) fn tool(part: Value) -> Value {
    chunk(json!({ "tool_calls": [part] }), Value::Null)
}

/// A whole call of the shell.
pub(crate) fn whole(index: usize, id: &str, word: &str) -> Value {
    tool(json!({ "index": index, "id": id, "type": "function",
        "function": { "name": "shell", "arguments": writes(word) } }))
}

// ---- the responses wire

/// The first event.
pub(crate) fn created() -> Value {
    json!({ "type": "response.created",
        "response": { "id": "resp_1", "object": "response", "status": "in_progress", "output": [] } })
}

/// An item has begun.
pub(crate) fn added(place: usize, item: &Value) -> Value {
    json!({ "type": "response.output_item.added", "output_index": place, "item": item })
}

/// An item is there.
pub(crate) fn done(place: usize, item: &Value) -> Value {
    json!({ "type": "response.output_item.done", "output_index": place, "item": item })
}

/// The last event.
pub(crate) fn completed(output: &[&Value]) -> Value {
    last("completed", json!({ "status": "completed", "output": output }))
}

/// A last event of a kind, with these fields in its response.
pub(crate) fn last(kind: &str, fields: Value) -> Value {
    let mut response = json!({ "id": "resp_1", "object": "response",
        "usage": { "input_tokens": 10, "output_tokens": 5, "total_tokens": 15 } });
    response.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({ "type": format!("response.{kind}"), "response": response })
}

/// A call of the shell that writes a word.
pub(crate) fn function(id: &str, call: &str, word: &str) -> Value {
    json!({ "type": "function_call", "id": id, "call_id": call, "name": "shell",
        "arguments": writes(word), "status": "completed" })
}

/// A message.
pub(crate) fn message(id: &str, words: &str) -> Value {
    let content = match words {
        "" => json!([]),
        words => json!([{ "type": "output_text", "text": words, "annotations": [] }]),
    };
    json!({ "type": "message", "id": id, "role": "assistant", "status": "completed", "content": content })
}

/// A server that reads a request, says these bytes and holds the connection: its base URL, and how
/// many asked it.
pub(crate) fn holding(words: &'static [u8]) -> (String, impl Fn() -> usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let held: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let shared = held.clone();
    // It ends with the test.
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut some = [0; 1 << 16];
            if client.read(&mut some).is_ok() && client.write_all(words).is_ok() {
                shared.lock().unwrap().push(client);
            }
        }
    });
    (url, move || held.lock().unwrap().len())
}

/// Whether the process has come as far as the log: its writer's thread is up.
pub(crate) fn has_a_writer(process: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    tasks
        .map(|task| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default())
        .any(|name| name.starts_with("scribe"))
}
