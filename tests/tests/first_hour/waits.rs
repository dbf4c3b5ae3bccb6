//! Waits are bounded and told; an answer that says nothing is no success.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use troupe_tests::{
    machine,
    model_server::*,
    stage::{Finished, Signal, Stage},
};

fn last(finished: &Finished) -> Value {
    finished.json_lines().pop().expect("a last line")
}

/// The messages of `error` events: what is passing.
fn passing(finished: &Finished) -> Vec<String> {
    let lines = finished.json_lines();
    let errors = lines.iter().filter(|line| line["type"] == "error");
    errors.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
}

fn failure(finished: &Finished) -> String {
    let line = last(finished);
    assert_eq!(line["type"], "turn.failed", "{}", finished.stdout());
    line["error"]["message"].as_str().unwrap().to_owned()
}

fn setting(stage: Stage, setting: &str) -> Stage {
    stage.with_arguments(["-c", setting])
}

fn retries(stage: Stage, most: u32) -> Stage {
    setting(stage, &format!("model_providers.test.stream_max_retries={most}"))
}

/// A message is one line of words.
fn assert_plain(text: &str) {
    assert!(!text.contains('\n') && !text.contains("  "), "{text:?}");
}

/// Answers that hold neither text nor a call.
fn silences() -> Vec<Turn> {
    vec![calls([]), say(""), say(" \n\t"), say("\u{200b}"), reasoning("hm", "opaque")]
}

#[test]
fn an_answer_that_says_nothing_is_asked_for_once_more_and_then_has_its_own_code() {
    for wire in [Wire::Responses, Wire::Chat] {
        for silence in silences() {
            let server = ModelServer::start(Script::always(silence));
            let stage = Stage::new().with_wire(&server, wire);
            let finished = stage.troupe(["exec", "--json", "go"]).run();
            finished.assert_code(13);
            assert_eq!(server.requests().len(), 2, "{wire:?}: {}", finished.stdout());
            assert_eq!(passing(&finished).len(), 1, "{}", finished.stdout());
            let text = failure(&finished);
            assert!(text.contains("without a word"), "{text}");
            assert_plain(&text);
            assert!(!finished.stdout().contains("agent_message"), "{}", finished.stdout());
        }
    }
}

#[test]
fn items_that_nobody_understands_say_nothing_and_a_refusal_does() {
    let unknown = item(json!({"type": "web_search_call", "id": "ws_1", "status": "completed"}));
    let empty = item(json!({"type": "message", "id": "m_1", "role": "assistant", "content": []}));
    let refusal = item(json!({"type": "message", "id": "m_1", "role": "assistant",
        "content": [{"type": "refusal", "refusal": "I will not."}]}));
    for (turn, code, asked) in [(unknown, 13, 2), (empty, 13, 2), (refusal, 0, 1)] {
        let server = ModelServer::start(Script::always(turn));
        let stage = Stage::new().with_model(&server);
        let finished = stage.troupe(["exec", "--json", "go"]).run();
        finished.assert_code(code);
        assert_eq!(server.requests().len(), asked, "{}", finished.stdout());
    }
}

#[test]
fn the_second_asking_is_told_and_its_answer_counts() {
    for wire in [Wire::Responses, Wire::Chat] {
        let script = || Script::new().turn(calls([]).then(say("here")));
        let server = ModelServer::start(script());
        let stage = Stage::new().with_wire(&server, wire);
        let finished = stage.troupe(["exec", "go"]).run();
        finished.assert_success();
        assert_eq!(finished.stdout().trim(), "here");
        assert!(finished.stderr().contains("asked once more"), "{}", finished.stderr());
    }
}

#[test]
fn after_calls_that_were_run_the_turn_is_completed_and_says_what_is_missing() {
    for wire in [Wire::Responses, Wire::Chat] {
        let script = || {
            Script::new()
                .turn(say("I look first.").and(call("shell", json!({"command": "echo hi"}))))
                .turn(calls([]))
        };
        let server = ModelServer::start(script());
        let stage = Stage::new().with_wire(&server, wire);
        let finished = stage.troupe(["exec", "--json", "-o", "last.txt", "go"]).run();
        finished.assert_success();
        assert_eq!(server.requests().len(), 3);
        let end = last(&finished);
        assert_eq!(
            (&end["type"], &end["no_final_message"]),
            (&json!("turn.completed"), &json!(true))
        );
        let warning = |line: &&Value| line["item"]["type"] == "error";
        // Where the sandbox is weaker, that is a warning too.
        let expected = if machine::user_namespaces() { 1 } else { 2 };
        assert_eq!(finished.json_lines().iter().filter(warning).count(), expected);
        // What was said before the calls is not passed off as the answer.
        assert_eq!(stage.read("last.txt"), "");

        server.set_script(script());
        let finished = stage.troupe(["exec", "go"]).run();
        finished.assert_success();
        assert_eq!(finished.stdout().trim(), "");
        assert!(
            finished.stderr().contains("warning: ")
                && finished.stderr().contains("without a final message")
        );

        server.set_script(script());
        stage.write("schema.json", r#"{"type":"object"}"#);
        let finished =
            stage.troupe(["exec", "--json", "--output-schema", "schema.json", "go"]).run();
        finished.assert_code(13);
        assert!(failure(&finished).contains("output schema"), "{}", finished.stdout());
    }
}

#[test]
fn a_whole_answer_has_no_mark_of_a_missing_one() {
    let server = ModelServer::start(Script::always(say("here")));
    let stage = Stage::new().with_model(&server);
    let finished = stage.troupe(["exec", "--json", "go"]).run();
    finished.assert_success();
    let end = last(&finished);
    assert!(
        end.get("no_final_message").is_none() && end.get("usage_incomplete").is_none(),
        "{end}"
    );
}

#[test]
fn an_answer_cut_before_its_first_word_is_no_success() {
    for (wire, reason) in [(Wire::Responses, "max_output_tokens"), (Wire::Chat, "length")] {
        for turn in [calls([]), reasoning("hm", "opaque"), say(" ")] {
            let server = ModelServer::start(Script::always(turn.incomplete(reason)));
            let stage = Stage::new().with_wire(&server, wire);
            let finished = stage.troupe(["exec", "--json", "go"]).run();
            finished.assert_code(13);
            assert_eq!(server.requests().len(), 1, "asking again would end in the same way");
            let text = failure(&finished);
            assert!(text.contains("before its first word"), "{text}");
            assert_plain(&text);
        }
    }
}

#[test]
fn a_wait_beyond_the_limit_ends_the_turn_and_says_how_long_it_is() {
    let google = json!([{"error": {"code": 429, "message": "quota", "details": [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7200s"}]}}]);
    let cases = [
        (status(429).retry_after("86400"), "24 h"),
        (status(503).retry_after("86400"), "24 h"),
        (status(500).retry_after("301"), "5 min 1 s"),
        (status(429).header("retry-after-ms", "86400000"), "24 h"),
        (status(429).retry_after("99999999999999999999999999"), "more than a year"),
        (status(429).retry_after("1e300"), "more than a year"),
        (status(429).retry_after("Fri, 31 Dec 9999 23:59:59 GMT"), "more than a year"),
        (
            status(429)
                .header("x-ratelimit-remaining-requests", "0")
                .header("x-ratelimit-reset-requests", "2h0m0s"),
            "2 h",
        ),
        (status(429).body(google.to_string()), "2 h"),
        (
            status(429).body(json!({"error": {"message": "try again in 3 days"}}).to_string()),
            "3 days",
        ),
        (calls([]).failed("rate_limit_exceeded", "Please try again in 1h12m0s."), "1 h 12 min"),
    ];
    for wire in [Wire::Responses, Wire::Chat] {
        for (turn, told) in &cases {
            let server = ModelServer::start(Script::always(turn.clone()));
            let stage = Stage::new().with_wire(&server, wire);
            let finished = stage.troupe(["exec", "--json", "go"]).run();
            finished.assert_code(6);
            let text = failure(&finished);
            assert!(text.contains(&format!("wait {told},")), "{told}: {text}");
            assert!(text.contains("max_retry_wait_ms"), "{text}");
            assert_plain(&text);
            assert_eq!(server.requests().len(), 1, "{text}");
        }
    }
}

#[test]
fn a_wait_beyond_the_limit_counts_in_the_middle_of_an_answer_too() {
    // Something of the answer is complete, so it is not asked for again from its beginning.
    let turn = reasoning("hm", "opaque").failed("rate_limit_exceeded", "try again in 2 hours");
    let server = ModelServer::start(Script::always(turn));
    let stage = Stage::new().with_model(&server);
    let finished = stage.troupe(["exec", "--json", "go"]).run();
    finished.assert_code(6);
    assert!(failure(&finished).contains("wait 2 h,"), "{}", finished.stdout());
}

#[test]
fn the_limit_can_be_set() {
    let busy = || Script::new().turn(status(429).header("retry-after-ms", "300").then(say("here")));
    let server = ModelServer::start(busy());
    let stage = setting(Stage::new().with_model(&server), "max_retry_wait_ms=299");
    let finished = stage.troupe(["exec", "--json", "go"]).run();
    finished.assert_code(6);
    server.set_script(busy());
    let stage = setting(Stage::new().with_model(&server), "max_retry_wait_ms=300");
    let finished = stage.troupe(["exec", "--json", "go"]).run();
    finished.assert_success();
    let told = passing(&finished);
    assert!(told[0].starts_with("retry 1 of 5 in 0.3 s: "), "{told:?}");
    let lines = finished.json_lines();
    let retry = lines.iter().find(|line| line["type"] == "error").unwrap();
    assert_eq!(retry["retry"], json!({"attempt": 1, "of": 5, "wait_ms": 300}));
}

#[test]
fn a_wait_that_is_none_is_waited_for_like_any_failure() {
    for value in ["-1", "NaN", "-1e300", "soon", "0", "Sun, 06 Nov 1994 08:49:37 GMT", ""] {
        let busy = status(429).retry_after(value).then(say("here"));
        let server = ModelServer::start(Script::new().turn(busy));
        let stage = Stage::new().with_model(&server);
        let finished = stage.troupe(["exec", "--json", "go"]).run();
        finished.assert_success();
        let told = passing(&finished);
        // Never at once: the server would be flooded by those who obey it.
        assert!(
            told[0].starts_with("retry 1 of 5 in 0.2 s: ")
                || told[0].starts_with("retry 1 of 5 in 0.3 s: "),
            "{value}: {told:?}"
        );
    }
}

#[test]
fn a_signal_or_the_deadline_ends_a_wait_at_once() {
    let server = ModelServer::start(Script::always(status(429).retry_after("200")));
    let stage = Stage::new().with_model(&server);
    let running = stage.troupe(["exec", "--json", "go"]).start();
    let told = running.wait_json("the wait", |line| line["type"] == "error");
    assert!(told["message"].as_str().unwrap().contains("in 3 min 20 s"), "{told}");
    let stopped = Instant::now();
    running.signal(Signal::Interrupt);
    let finished = running.wait();
    finished.assert_code(130);
    assert_eq!(last(&finished)["type"], "turn.failed");
    assert!(stopped.elapsed() < Duration::from_secs(10), "{:?}", stopped.elapsed());

    let stage = setting(Stage::new().with_model(&server), "turn_timeout_ms=300");
    let finished = stage.troupe(["exec", "--json", "go"]).run();
    finished.assert_code(12);
}

#[test]
fn a_failure_that_stays_is_said_once_and_given_up_early() {
    let image = json!({"error": {"code": 500, "type": "server_error",
        "message": "scripted: image input is not supported - hint: you may need the mmproj"}});
    for wire in [Wire::Responses, Wire::Chat] {
        let cases = [
            (status(500), 3),
            (status(500).body(image.to_string()), 3),
            (status(501), 1),
            // Overload has statuses of its own, and passes.
            (status(502), 4),
            (status(503), 4),
            (status(504), 4),
            (status(529), 4),
        ];
        for (turn, asked) in cases {
            let server = ModelServer::start(Script::always(turn));
            let stage = retries(Stage::new().with_wire(&server, wire), 3);
            let finished = stage.troupe(["exec", "--json", "go"]).run();
            finished.assert_code(8);
            assert_eq!(server.requests().len(), asked, "{}", finished.stdout());
            let told = passing(&finished);
            assert_eq!(told.len(), asked - 1, "{told:?}");
            for (at, text) in told.iter().enumerate() {
                assert!(text.starts_with(&format!("retry {} of 3 in ", at + 1)), "{told:?}");
                assert_eq!(text.contains("scripted"), at == 0, "the cause once: {told:?}");
            }
        }
    }
}

#[test]
fn a_500_that_passes_is_asked_again() {
    let server = ModelServer::start(Script::new().turn(status(500).times(2).then(say("here"))));
    let stage = Stage::new().with_model(&server);
    stage.troupe(["exec", "--json", "go"]).run().assert_success();
}

#[test]
fn a_model_that_is_not_there_is_told_with_its_switch_on_both_wires() {
    let bodies = [
        (
            404,
            json!({"error": {"message": "The model `x` does not exist", "code": "model_not_found"}}),
        ),
        (
            404,
            json!({"error": {"message": "model \"x\" not found, try pulling it first", "type": "api_error"}}),
        ),
        (
            404,
            json!({"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404}),
        ),
        (400, json!({"error": {"message": "x is not a valid model ID", "code": 400}})),
        (400, json!({"error": {"message": "Model Not Exist", "type": "invalid_request_error"}})),
        (404, json!({"detail": "Model 'x' not found"})),
    ];
    for wire in [Wire::Responses, Wire::Chat] {
        for (code, body) in &bodies {
            let server = ModelServer::start(Script::always(status(*code).body(body.to_string())));
            let stage = Stage::new().with_wire(&server, wire);
            let finished = stage.troupe(["exec", "--json", "go"]).run();
            finished.assert_code(8);
            let text = failure(&finished);
            assert!(text.contains("`-m`") && text.contains("`model`"), "{text}");
            assert!(!text.contains("wire_api") && !text.contains("base_url"), "{text}");
            assert_plain(&text);
        }
    }
}

#[test]
fn a_host_that_nobody_knows_is_not_asked_for_like_a_server_that_is_down() {
    let host = "no-such-host.invalid";
    let stage = Stage::new().with_provider(&format!("http://{host}:8080/v1"), Wire::Chat);
    let finished = retries(stage, 2).troupe(["exec", "--json", "go"]).run();
    finished.assert_code(5);
    let text = failure(&finished);
    assert!(
        text.contains(host) && text.contains("8080") && !text.contains("is it running"),
        "{text}"
    );
    assert_plain(&text);
    if text.contains("Temporary failure") {
        troupe_tests::skip!("needs a name server that answers");
    }
    assert!(text.contains("no such host is known") && text.contains("spelled"), "{text}");
    assert_eq!(passing(&finished).len(), 1, "{}", finished.stdout());
}

#[test]
fn tokens_of_an_answer_that_was_stopped_are_not_said_to_be_none() {
    let server =
        ModelServer::start(Script::always(deltas(["half of", " it"]).stall_at(Point::Deltas(1))));
    let stage = Stage::new().with_model(&server);
    let running = stage.troupe(["exec", "go"]).start();
    server.wait_requests_blocking(1);
    stage.log().wait_kind("TextPart", 1);
    running.signal(Signal::Interrupt);
    let finished = running.wait();
    finished.assert_code(130);
    assert!(finished.stderr().contains("tokens used: unknown"), "{}", finished.stderr());
}

#[test]
fn progress_brings_back_the_retries_and_takes_away_the_wait() {
    let step = || status(503).then(call("shell", json!({"command": "true"})));
    let script = (0..4).fold(Script::new(), |script, _| script.turn(step()));
    let quiet =
        (0..4).fold(script, |script, _| script.turn(call("shell", json!({"command": "true"}))));
    let server = ModelServer::start(quiet.turn(say("done")));
    let stage = retries(Stage::new().with_model(&server), 1);
    let finished = stage.troupe(["exec", "--json", "go"]).run();
    finished.assert_success();
    let told = passing(&finished);
    assert_eq!(told.len(), 4, "{told:?}");
    // Each begins with the shortest wait.
    for text in told {
        assert!(
            text.starts_with("retry 1 of 1 in 0.2 s") || text.starts_with("retry 1 of 1 in 0.3 s"),
            "{text}"
        );
    }
}

#[test]
fn a_model_that_wants_to_go_on_and_says_nothing_does_not_go_on_for_ever() {
    let server = ModelServer::start(Script::always(calls([]).end_turn(false)));
    let stage = Stage::new().with_model(&server);
    stage.troupe(["exec", "--json", "go"]).run().assert_code(13);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn what_a_busy_server_says_in_words_is_heard_too() {
    let busy = json!({"error": {"message": "overloaded, please try again in 20 minutes"}});
    let server = ModelServer::start(Script::always(status(503).body(busy.to_string())));
    let stage = Stage::new().with_model(&server);
    let finished = stage.troupe(["exec", "--json", "go"]).run();
    finished.assert_code(6);
    assert!(failure(&finished).contains("wait 20 min,"), "{}", finished.stdout());
}
