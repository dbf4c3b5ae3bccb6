//! The scripted model server, asked over real sockets by a client that knows nothing of it.

use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};
use troupe_tests::model_server::*;

// ---- a client

/// What came back, as far as it came.
#[derive(Debug)]
struct Reply {
    status: u16,
    headers: String,
    /// The body without the chunks' frames.
    body: Vec<u8>,
    /// Whether the body ended as HTTP wants it.
    whole: bool,
}

impl Reply {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The JSON of the `data:` lines.
    fn events(&self) -> Vec<Value> {
        let text = self.text();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter_map(|data| serde_json::from_str(data).ok()).collect()
    }

    fn kinds(&self) -> Vec<String> {
        let kind = |event: &Value| event["type"].as_str().unwrap_or_default().to_owned();
        self.events().iter().map(kind).collect()
    }

    /// The text a reader of either wire has at the end.
    fn said(&self) -> String {
        let piece = |event: &Value| {
            let responses = event["type"] == "response.output_text.delta";
            let piece =
                if responses { &event["delta"] } else { &event["choices"][0]["delta"]["content"] };
            piece.as_str().map(ToOwned::to_owned)
        };
        self.events().iter().filter_map(piece).collect()
    }
}

/// A connection that is read byte by byte, so that nothing of the next answer is taken.
struct Client {
    stream: TcpStream,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream }
    }

    fn send(&mut self, method: &str, path: &str, body: &[u8]) {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nX-Test: yes\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.stream.write_all(head.as_bytes()).unwrap();
        self.stream.write_all(body).unwrap();
    }

    fn post(&mut self, path: &str, body: &Value) {
        self.send("POST", path, body.to_string().as_bytes());
    }

    /// A line or less: the connection may end, with or without a reset.
    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            match self.stream.read(&mut byte) {
                Ok(1) => line.push(byte[0]),
                Ok(_) => return None,
                Err(error) => {
                    assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "waited in vain");
                    return None;
                }
            }
            if line.ends_with(b"\r\n") {
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
        }
    }

    /// The status and the headers; `None` where no answer came.
    fn head(&mut self) -> Option<(u16, String)> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = String::new();
        loop {
            match self.line()? {
                line if line.is_empty() => return Some((status, headers)),
                line => headers.push_str(&format!("{line}\n")),
            }
        }
    }

    fn reply(&mut self) -> Option<Reply> {
        let (status, headers) = self.head()?;
        let (body, whole) = if headers.contains("transfer-encoding: chunked") {
            self.chunks()
        } else if let Some(length) = value(&headers, "content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            let whole = self.stream.read_exact(&mut body).is_ok();
            (body, whole)
        } else {
            let mut body = Vec::new();
            let whole = self.stream.read_to_end(&mut body).is_ok();
            (body, whole)
        };
        Some(Reply { status, headers, body, whole })
    }

    fn chunks(&mut self) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk() {
            if chunk.is_empty() {
                return (body, true);
            }
            body.extend(chunk);
        }
        (body, false)
    }

    /// The next chunk; empty at the end of the body, `None` where it broke off.
    fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line()?, 16).expect("the size of a chunk");
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).ok()?;
        assert!(chunk.ends_with(b"\r\n"));
        chunk.truncate(size);
        Some(chunk)
    }
}

fn value<'a>(headers: &'a str, name: &str) -> Option<&'a str> {
    headers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

const RESPONSES: &str = "/v1/responses";
const CHAT: &str = "/v1/chat/completions";

fn user(text: &str) -> Value {
    json!({"type": "message", "role": "user",
        "content": [{"type": "input_text", "text": text}]})
}

fn responses(input: &[Value]) -> Value {
    json!({"model": "m", "stream": true, "input": input, "prompt_cache_key": "one"})
}

fn chat(messages: &[Value]) -> Value {
    json!({"model": "m", "stream": true, "messages": messages})
}

/// One request on a connection of its own, in the Responses wire.
fn ask(server: &ModelServer) -> Option<Reply> {
    let mut client = Client::new(server.address());
    client.post(RESPONSES, &responses(&[user("go")]));
    client.reply()
}

/// The same in the other wire.
fn ask_chat(server: &ModelServer) -> Option<Reply> {
    let mut client = Client::new(server.address());
    client.post(CHAT, &chat(&[json!({"role": "user", "content": "go"})]));
    client.reply()
}

// ---- both wires

#[test]
fn a_conversation_in_the_responses_wire() {
    let turn = reasoning("I think", "secret").and(deltas(["Now ", "I look."]));
    let turn = turn.and(call("shell", json!({"command": "ls"})));
    let turn = turn.and(custom("apply_patch", "*** Begin Patch").call_id("call_patch"));
    let server = ModelServer::start(Script::new().turn(turn).turn(say("Done.")));
    let mut client = Client::new(server.address());
    client.post(RESPONSES, &responses(&[user("go")]));
    let reply = client.reply().unwrap();
    assert!((reply.status, reply.whole) == (200, true), "{reply:?}");
    assert_eq!(value(&reply.headers, "content-type"), Some("text/event-stream"));
    insta::assert_snapshot!(reply.kinds().join("\n"));
    assert_eq!(reply.said(), "Now I look.");
    let events = reply.events();
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], at, "{event}");
        let line = format!("event: {}\ndata: ", event["type"].as_str().unwrap());
        assert!(reply.text().contains(&line), "{line}");
    }
    let last = &events.last().unwrap()["response"];
    assert_eq!(last["status"], "completed");
    assert_eq!(last["usage"]["total_tokens"], 15);
    let output = last["output"].as_array().unwrap();
    assert_eq!(output[0]["encrypted_content"], "secret");
    assert_eq!(output[2]["arguments"], r#"{"command":"ls"}"#);
    assert_eq!(
        (&output[3]["call_id"], &output[3]["input"]),
        (&json!("call_patch"), &json!("*** Begin Patch"),)
    );
    // What the model said goes back with the outputs, on the same connection.
    let mut history = vec![user("go")];
    history.extend(output.iter().cloned());
    let id = output[2]["call_id"].clone();
    history.push(json!({"type": "function_call_output", "call_id": id, "output": "a.txt"}));
    history
        .push(json!({"type": "custom_tool_call_output", "call_id": "call_patch", "output": "ok"}));
    client.post(RESPONSES, &responses(&history));
    assert_eq!(client.reply().unwrap().said(), "Done.");
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[0].position(), requests[1].position()), (0, 1));
    assert_eq!(requests[1].output(id.as_str().unwrap()).as_deref(), Some("a.txt"));
    assert_eq!(requests[1].outputs().len(), 2);
    assert_eq!((requests[0].connection, requests[1].connection), (0, 0));
    assert!(requests[0].asks("go") && !requests[0].asks("stop"));
}

#[test]
fn a_conversation_in_the_chat_wire() {
    let turn = reasoning("I think", "").and(deltas(["Now ", "I look."]));
    let turn = turn.and(call("shell", json!({"command": "ls"}))).and(custom("apply_patch", "x"));
    let usage = Usage { input: 7, cached: 3, output: 4, reasoning: 1 };
    let server = ModelServer::start(Script::new().turn(turn.usage(usage)).turn(say("Done.")));
    let mut client = Client::new(server.address());
    let go = json!({"role": "user", "content": "go"});
    client.post(CHAT, &chat(std::slice::from_ref(&go)));
    let reply = client.reply().unwrap();
    assert!(reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
    assert_eq!(reply.said(), "Now I look.");
    let events = reply.events();
    let delta = |event: &Value| event["choices"][0]["delta"].clone();
    assert!(events.iter().any(|event| delta(event)["reasoning_content"] == "I think"));
    // The name comes first, the arguments after it, under the same index.
    let calls: Vec<Value> =
        events.iter().map(|event| delta(event)["tool_calls"][0].clone()).collect();
    let calls: Vec<&Value> = calls.iter().filter(|call| call.is_object()).collect();
    assert_eq!(calls[0]["function"]["name"], "shell");
    assert_eq!(calls[1]["function"]["arguments"], r#"{"command":"ls"}"#);
    assert_eq!(calls[3]["function"]["arguments"], r#"{"input":"x"}"#);
    assert_eq!((&calls[1]["index"], &calls[3]["index"]), (&json!(0), &json!(1)));
    let finish = &events[events.len() - 2]["choices"][0]["finish_reason"];
    assert_eq!(finish, "tool_calls");
    assert_eq!(events.last().unwrap()["usage"]["prompt_tokens_details"]["cached_tokens"], 3);
    let ids = [calls[0]["id"].clone(), calls[2]["id"].clone()];
    let wanted: Vec<_> = ids.iter().map(|id| json!({"id": id, "type": "function"})).collect();
    let mut history = vec![go, json!({"role": "assistant", "tool_calls": wanted})];
    let told = |id| json!({"role": "tool", "tool_call_id": id, "content": "ok"});
    history.extend(ids.iter().map(told));
    client.post(CHAT, &chat(&history));
    assert_eq!(client.reply().unwrap().said(), "Done.");
    assert_eq!(server.requests()[1].outputs().len(), 2);
}

#[test]
fn an_answer_in_one_piece_where_no_stream_is_asked_for() {
    let server = ModelServer::start(Script::always(deltas(["a", "b"])));
    let mut client = Client::new(server.address());
    client.post(RESPONSES, &json!({"model": "m", "input": [user("go")]}));
    let reply = client.reply().unwrap();
    let whole: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(whole["output"][0]["content"][0]["text"], "ab");
    client.post(CHAT, &json!({"model": "m", "messages": [{"role": "user", "content": "go"}]}));
    let whole: Value = serde_json::from_slice(&client.reply().unwrap().body).unwrap();
    assert_eq!(whole["choices"][0]["message"]["content"], "ab");
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
}

#[test]
fn models_routes_and_unknown_paths() {
    let script = Script::new()
        .models(["one", "two"])
        .route("/api/tags", status(200).body(r#"{"models":[]}"#));
    let server = ModelServer::start(script);
    let mut client = Client::new(server.address());
    client.send("GET", "/v1/models?x=1", b"");
    let list: Value = serde_json::from_slice(&client.reply().unwrap().body).unwrap();
    assert_eq!((&list["data"][0]["id"], &list["data"][1]["id"]), (&json!("one"), &json!("two")));
    client.send("GET", "/api/tags", b"");
    assert_eq!(client.reply().unwrap().text(), r#"{"models":[]}"#);
    client.send("GET", "/nothing", b"");
    assert_eq!(client.reply().unwrap().status, 404);
    assert_eq!(server.requests().len(), 0, "none of these asks the model");
    let all = server.all_requests();
    assert_eq!(all.len(), 3);
    assert_eq!(all[0].path, "/v1/models?x=1");
    assert_eq!((all[0].method.as_str(), all[0].header("x-test")), ("GET", Some("yes")));
    assert_eq!(server.connections(), 1);
}

// ---- which turn answers

#[test]
fn a_request_sent_again_gets_the_same_step_and_the_next_attempt() {
    let twice = status(503).times(2).then(say("at last"));
    let server = ModelServer::start(Script::new().turn(twice));
    let statuses: Vec<u16> = (0..4).map(|_| ask(&server).unwrap().status).collect();
    assert_eq!(statuses, [503, 503, 200, 200]);
    // Another conversation begins with its own first attempt.
    assert_eq!(ask_chat(&server).unwrap().status, 503);
}

#[test]
fn rules_come_first_and_steps_can_be_chosen_otherwise() {
    let script = Script::new()
        .when(|request| request.asks("summary"), say("in short"))
        .turn(say("first"))
        .turn(compute(|request| say(format!("made for {}", request.texts("user").concat()))))
        .otherwise(say("the rest"))
        .by_arrival();
    let server = ModelServer::start(script.clone());
    let say_to = |server: &ModelServer, text: &str| {
        let mut client = Client::new(server.address());
        client.post(RESPONSES, &responses(&[user(text)]));
        client.reply().unwrap().said()
    };
    let answers = ["a", "b", "a summary", "c"].map(|text| say_to(&server, text));
    assert_eq!(answers, ["first", "made for b", "in short", "the rest"]);
    server.set_script(script.by(|request| request.texts("user").concat().len()));
    let answers = ["", "b", "bb"].map(|text| say_to(&server, text));
    assert_eq!(answers, ["first", "made for b", "the rest"]);
}

// ---- faults

#[test]
fn statuses_with_their_headers_and_bodies() {
    for (code, kind) in [
        (401, "authentication_error"),
        (429, "rate_limit_error"),
        (400, "invalid_request_error"),
        (500, "server_error"),
        (503, "server_error"),
    ] {
        let server = ModelServer::start(Script::always(status(code).retry_after("7")));
        for reply in [ask(&server).unwrap(), ask_chat(&server).unwrap()] {
            assert_eq!((reply.status, reply.whole), (code, true));
            assert_eq!(value(&reply.headers, "retry-after"), Some("7"));
            let body: Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(body["error"]["type"], kind);
        }
    }
    let page = status(502).content_type("text/html").body("<h1>bad</h1>");
    let server = ModelServer::start(Script::always(page));
    let reply = ask(&server).unwrap();
    assert_eq!((reply.status, reply.text().as_str()), (502, "<h1>bad</h1>"));
    assert_eq!(value(&reply.headers, "content-type"), Some("text/html"));
}

#[test]
fn silence_lasts_until_the_client_goes() {
    let server = ModelServer::start(Script::always(silence()));
    let mut client = Client::new(server.address());
    client.post(RESPONSES, &responses(&[user("go")]));
    let request = server.wait_requests_blocking(1).remove(0);
    client.stream.set_nonblocking(true).unwrap();
    let nothing = client.stream.read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(server.open_connections(), 1);
    drop(client);
    assert_eq!(server.wait_ended_blocking(&request).ending, Ending::ClientGone);
    server.wait_open_connections(0);
}

#[test]
fn a_stream_breaks_off_where_it_is_told_to() {
    let say = || deltas(["one ", "two ", "three"]);
    let cases: [(&str, Turn, Option<&str>, bool); 6] = [
        ("dropped", say().drop_at(Point::Deltas(2)), Some("one two "), false),
        ("reset", say().reset_at(Point::Events(0)), Some(""), false),
        ("ended too early", say().end_at(Point::Deltas(1)), Some("one "), true),
        ("nothing says it is complete", say().unfinished(), Some("one two three"), true),
        ("dropped after an item", say().drop_at(Point::Items(1)), Some("one two three"), false),
        ("reset in place of an answer", reset(), None, false),
    ];
    for (what, turn, said, whole) in cases {
        let server = ModelServer::start(Script::always(turn));
        let reply = ask(&server);
        let request = &server.requests()[0];
        match (&reply, said) {
            // A reset may take with it what was sent before.
            (Some(reply), Some(_)) if what == "reset" => assert!(!reply.whole),
            (None, _) if what == "reset" => {}
            (Some(reply), Some(said)) => {
                assert_eq!((reply.said().as_str(), reply.whole), (said, whole), "{what}");
                let ended = reply.kinds().iter().any(|kind| kind == "response.completed");
                assert!(!ended, "{what}");
            }
            (None, None) => {}
            _ => panic!("{what}: {reply:?}"),
        }
        let ending = server.wait_ended_blocking(request).ending;
        assert_eq!(ending, if whole { Ending::Sent } else { Ending::Broken }, "{what}");
        // The server goes on with others.
        server.set_script(Script::always(say()));
        assert!(ask(&server).unwrap().whole, "{what}");
    }
}

#[test]
fn a_drop_in_the_chat_wire_is_at_the_same_place() {
    let turn = deltas(["one ", "two ", "three"]).drop_at(Point::Deltas(2));
    let server = ModelServer::start(Script::always(turn));
    let reply = ask_chat(&server).unwrap();
    assert_eq!((reply.said().as_str(), reply.whole), ("one two ", false));
}

#[test]
fn a_stall_keeps_the_connection_and_sends_no_more() {
    let server =
        ModelServer::start(Script::always(deltas(["one", "two"]).stall_at(Point::Deltas(1))));
    let mut client = Client::new(server.address());
    client.post(RESPONSES, &responses(&[user("go")]));
    client.head().unwrap();
    while !String::from_utf8_lossy(&client.chunk().unwrap()).contains("\"one\"") {}
    client.stream.set_nonblocking(true).unwrap();
    let nothing = client.stream.read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    drop(client);
    assert_eq!(server.wait_ended_blocking(&server.requests()[0]).ending, Ending::ClientGone);
}

#[test]
fn failed_and_incomplete_ends() {
    let server = ModelServer::start(Script::always(say("a").failed("server_error", "it broke")));
    let last = ask(&server).unwrap().events().pop().unwrap();
    assert_eq!(
        (&last["type"], &last["response"]["error"]["code"]),
        (&json!("response.failed"), &json!("server_error"),)
    );
    let reply = ask_chat(&server).unwrap();
    assert_eq!(reply.events().pop().unwrap()["error"]["message"], "it broke");
    assert!(!reply.text().contains("[DONE]"));
    server.set_script(Script::always(say("a").incomplete("max_output_tokens")));
    let last = ask(&server).unwrap().events().pop().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"]["reason"], "max_output_tokens");
    server.set_script(Script::always(say("a").end_turn(false)));
    assert_eq!(ask(&server).unwrap().events().pop().unwrap()["response"]["end_turn"], false);
}

#[test]
fn rubbish_between_the_events() {
    let turn =
        deltas(["one ", "two"]).malformed_at(Point::Deltas(1)).invalid_utf8_at(Point::Items(1));
    let server = ModelServer::start(Script::always(turn));
    for reply in [ask(&server).unwrap(), ask_chat(&server)].map(|reply| reply.into()) {
        let reply: Reply = reply;
        assert!(reply.whole);
        let text = reply.text();
        assert!(text.contains("data: {\"type\":\"resp\n\nnonsense\n\n: comment\n"), "{text}");
        assert_eq!(reply.said(), "one two", "what is not rubbish is whole");
    }
    let reply = ask(&server).unwrap();
    assert!(reply.body.windows(4).any(|bytes| bytes == b"\xff\xfe\xc3\x28"));
    assert!(std::str::from_utf8(&reply.body).is_err());
}

#[test]
fn one_event_of_twenty_megabytes() {
    let bytes = 20 << 20;
    let server = ModelServer::start(Script::always(huge(bytes)));
    let reply = ask(&server).unwrap();
    assert!(reply.whole);
    assert_eq!(reply.said().len(), bytes);
}

#[test]
fn chunks_cut_anywhere_hold_the_same_bytes() {
    let turn = deltas(["h\u{e9}llo ", "w\u{f6}rld"]);
    let server = ModelServer::start(Script::always(turn.clone()));
    let whole = ask(&server).unwrap();
    for bytes in [1, 3, 1000] {
        let server = ModelServer::start(Script::always(turn.clone().chunks_of(bytes)));
        let mut client = Client::new(server.address());
        client.post(RESPONSES, &responses(&[user("go")]));
        client.head().unwrap();
        let first = client.chunk().unwrap();
        assert!(first.len() <= bytes, "{} > {bytes}", first.len());
        let (rest, ended) = client.chunks();
        assert!(ended);
        assert_eq!([first, rest].concat(), whole.body);
    }
    let server = ModelServer::start(Script::always(turn.close_delimited()));
    let reply = ask(&server).unwrap();
    assert_eq!(reply.body, whole.body);
    assert!(reply.headers.contains("connection: close"), "{}", reply.headers);
}

// ---- gates

#[test]
fn nothing_is_sent_before_the_gate_opens() {
    let (head, middle) = (Gate::new(), Gate::new());
    let turn = deltas(["one", "two"]).wait(&head).wait_at(Point::Deltas(1), &middle);
    let server = ModelServer::start(Script::always(turn));
    let mut client = Client::new(server.address());
    client.post(RESPONSES, &responses(&[user("go")]));
    head.wait_arrived(1);
    client.stream.set_nonblocking(true).unwrap();
    let nothing = client.stream.read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    client.stream.set_nonblocking(false).unwrap();
    assert!(!head.is_open());
    head.open();
    middle.wait_arrived(1);
    client.head().unwrap();
    while !String::from_utf8_lossy(&client.chunk().unwrap()).contains("\"one\"") {}
    client.stream.set_nonblocking(true).unwrap();
    let nothing = client.stream.read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    client.stream.set_nonblocking(false).unwrap();
    middle.open();
    let (rest, whole) = client.chunks();
    assert!(whole && String::from_utf8_lossy(&rest).contains("response.completed"));
    assert_eq!((head.arrived(), middle.arrived()), (1, 1));
    // An open gate stays open.
    assert!(ask(&server).unwrap().whole);
    assert_eq!(head.arrived(), 2);
}

#[test]
fn a_client_that_goes_frees_the_gate() {
    let gate = Gate::new();
    let server = ModelServer::start(Script::always(say("never").wait(&gate)));
    let mut client = Client::new(server.address());
    client.post(RESPONSES, &responses(&[user("go")]));
    gate.wait_arrived(1);
    drop(client);
    assert_eq!(server.wait_ended_blocking(&server.requests()[0]).ending, Ending::ClientGone);
}

#[tokio::test]
async fn waiting_in_a_runtime() {
    let server = ModelServer::start(Script::always(say("hello")));
    let address = server.address();
    let asked = tokio::task::spawn_blocking(move || {
        let mut client = Client::new(address);
        client.post(RESPONSES, &responses(&[user("go")]));
        client.reply().unwrap().said()
    });
    let requests = server.wait_requests(1).await;
    assert_eq!(server.wait_ended(&requests[0]).await.ending, Ending::Sent);
    assert_eq!(asked.await.unwrap(), "hello");
}

// ---- what was wrong

#[test]
fn many_conversations_at_once() {
    let server = ModelServer::start(Script::always(say("hello")));
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| assert_eq!(ask(&server).unwrap().said(), "hello"));
        }
    });
    assert_eq!((server.requests().len(), server.connections()), (64, 64));
    server.wait_open_connections(0);
}

#[test]
fn a_spoiled_history_is_seen_in_either_wire() {
    let server = ModelServer::start(Script::always(say("hello")));
    let call = json!({"type": "function_call", "call_id": "c", "name": "x", "arguments": ""});
    let mut client = Client::new(server.address());
    client.post(RESPONSES, &responses(&[user("go"), call, user("more")]));
    client.reply().unwrap();
    let said = json!({"role": "assistant", "tool_calls": [{"id": "c", "type": "function"}]});
    client.post(CHAT, &chat(&[json!({"role": "user", "content": "go"}), said]));
    client.reply().unwrap();
    let wrong = server.expect_violations();
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong[0].starts_with("request 0: item 2: the call `c` has no output"), "{wrong:?}");
    assert!(wrong[1].starts_with("request 1: at the end: the call `c`"), "{wrong:?}");
}

#[test]
fn what_is_not_scripted_is_refused_and_remembered() {
    let server = ModelServer::start(Script::new());
    let reply = ask(&server).unwrap();
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("nothing is scripted at position 0"), "{}", reply.text());
    // A fault whose point never comes would make a test pass for nothing.
    server.set_script(Script::always(say("x").drop_at(Point::Deltas(9))));
    ask(&server).unwrap();
    // So would a script that fails itself.
    server.set_script(Script::always(compute(|_| panic!("on purpose"))));
    assert!(ask(&server).is_none());
    server.wait_open_connections(0);
    let mut client = Client::new(server.address());
    client.stream.write_all(b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n").unwrap();
    assert!(client.reply().is_none());
    let wrong = server.expect_violations();
    for part in [
        "nothing is scripted",
        "before its scripted Deltas(9)",
        "the script panicked",
        "bad content-length",
    ] {
        assert!(wrong.iter().any(|wrong| wrong.contains(part)), "{part} in {wrong:#?}");
    }
}

#[test]
#[should_panic(expected = "the model server saw violations")]
fn a_server_with_violations_fails_the_test() {
    let server = ModelServer::start(Script::new());
    ask(&server).unwrap();
}
