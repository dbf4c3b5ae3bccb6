//! `troupe doctor` asks the server, in bounded time and without a token.

use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpListener,
    time::Duration,
};
use troupe_tests::{
    model_server::*,
    stage::{Finished, Stage},
};

const KEY: &str = "sk-the-key-of-this-test";

fn provider(url: &str) -> Stage {
    Stage::new()
        .with_provider(url, Wire::Chat)
        .with_env("MINE_KEY", KEY)
        .with_arguments(["-c", "model_providers.test.env_key=MINE_KEY"])
}

/// A server that answers every request with this.
fn answering(response: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(response.as_bytes());
        }
    });
    url
}

fn http(status: &str, kind: &str, body: &str) -> &'static str {
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    Box::leak(text.into_boxed_str())
}

fn doctor(stage: &Stage) -> (Finished, Value) {
    let text = stage.troupe(["doctor"]).run();
    let json = stage.troupe(["doctor", "--json"]).run();
    assert_eq!(text.code(), json.code());
    assert!(!format!("{}{}", text.stdout(), text.stderr()).contains(KEY));
    assert!(!json.stdout().contains(KEY), "{}", json.stdout());
    let server = json.json_lines().into_iter().find(|line| line["check"] == "server");
    (text, server.unwrap())
}

#[test]
fn a_server_that_works_is_asked_for_its_models_and_for_nothing_else() {
    let server = ModelServer::start(Script::always(say("hi")));
    let (text, found) = doctor(&provider(&server.url()));
    text.assert_success();
    assert_eq!((&found["grade"], &found["state"]), (&json!("ok"), &json!("reachable")));
    assert!(server.requests().is_empty());
    let asked = server.all_requests();
    assert_eq!(asked.len(), 2);
    for request in asked {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/v1/models"));
        assert_eq!(request.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    }
}

#[test]
fn what_is_wrong_with_a_server_is_told_with_a_remedy() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/v1", listener.local_addr().unwrap())
    };
    let page = http("200 OK", "text/html", "<html><title>Welcome</title></html>");
    let list = r#"{"object":"list","data":[{"id":"mock-modal"},{"id":"other"}]}"#;
    let error = r#"{"error":{"message":"bad key sk-the-key-of-this-test"}}"#;
    for (url, grade, state, part) in [
        (gone.as_str(), "wrong", "unreachable", "is it running?"),
        (
            &answering(http("401 Unauthorized", "application/json", error)),
            "wrong",
            "key_refused",
            "MINE_KEY",
        ),
        (&answering(http("403 Forbidden", "text/plain", "no")), "wrong", "key_refused", "MINE_KEY"),
        (&answering(page), "wrong", "not_an_api", "base_url"),
        (
            &answering(http("404 Not Found", "text/html", "<html>")),
            "wrong",
            "not_an_api",
            "base_url",
        ),
        (&answering(http("404 Not Found", "text/plain", "404")), "wrong", "not_an_api", "/v1"),
        (
            &answering(http("200 OK", "application/json", "{\"ok\":true}")),
            "wrong",
            "not_an_api",
            "base_url",
        ),
        (
            &answering(http("200 OK", "application/json", "{\"data\":[]}")),
            "wrong",
            "model_missing",
            "no model",
        ),
        (
            &answering(http("200 OK", "application/json", list)),
            "wrong",
            "model_missing",
            "mock-modal?",
        ),
        (&answering(http("500 Oh", "text/plain", "broken")), "wrong", "server_error", "broken"),
        (&answering("nonsense\r\n\r\n"), "wrong", "unreachable", "base_url"),
        (
            &answering(http("404 Not Found", "application/json", "{}")),
            "weak",
            "no_model_list",
            "base_url",
        ),
        (&answering(http("429 Slow", "application/json", "{}")), "weak", "rate_limited", "429"),
    ] {
        let (text, found) = doctor(&provider(url));
        assert_eq!((&found["grade"], &found["state"]), (&json!(grade), &json!(state)), "{found}");
        let said = found["text"].as_str().unwrap();
        assert!(said.contains(part) && !said.contains('\n'), "{state}: {said}");
        assert_eq!(text.code(), Some(if grade == "wrong" { 3 } else { 0 }), "{state}");
        if grade == "wrong" {
            assert!(
                text.stderr().contains("one check needs attention: server"),
                "{}",
                text.stderr()
            );
        }
    }
}

#[test]
fn a_server_that_says_nothing_does_not_hold_the_doctor() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let stage = provider(&url);
    let finished = stage.troupe(["doctor", "--json"]).limit(Duration::from_secs(15)).run();
    finished.assert_code(3);
    assert!(finished.stdout().contains("no_answer"), "{}", finished.stdout());
}

#[test]
fn models_are_chosen_as_a_run_chooses_them() {
    let one = answering(http("200 OK", "application/json", r#"{"data":[{"id":"only"}]}"#));
    let two = answering(http("200 OK", "application/json", r#"{"data":[{"id":"a"},{"id":"b"}]}"#));
    let tag = answering(http("200 OK", "application/json", r#"{"data":[{"id":"q:latest"}]}"#));
    for (url, model, state) in [
        (&one, None, "reachable"),
        (&two, None, "model_missing"),
        (&tag, Some("q"), "reachable"),
        (&two, Some("b"), "reachable"),
    ] {
        let model = model.map_or(String::new(), |model| format!("model = \"{model}\"\n"));
        let config = format!(
            "{model}model_provider = \"mine\"\n[model_providers.mine]\nbase_url = \"{url}\"\n"
        );
        let (_, found) = doctor(&Stage::new().with_config(&config));
        assert_eq!(found["state"], state, "{found}");
    }
}

#[test]
fn a_run_without_a_model_asks_for_the_list_with_its_key() {
    let server = ModelServer::start(Script::always(say("hi")));
    let config = format!(
        "model_provider = \"mine\"\n[model_providers.mine]\nbase_url = \"{}\"\nenv_key = \"MINE_KEY\"\n",
        server.url()
    );
    let stage = Stage::new().with_config(&config).with_env("MINE_KEY", KEY);
    stage.troupe(["exec", "go"]).run().assert_success();
    let asked = &server.all_requests()[0];
    assert_eq!(asked.path, "/v1/models");
    assert_eq!(asked.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
}
