//! Processes that outlast their call, end to end: a terminal that is typed into, what is said of
//! those that go on, and what is left of them when the session ends or dies.

#![cfg(target_os = "linux")]

use serde_json::{Value, json};
use troupe_tests::{
    binary,
    model_server::*,
    stage::{Signal, Stage, Stdin},
};

/// The number of the process, as the model was told.
fn number(request: &Request) -> u64 {
    let outputs = request.outputs();
    let told = outputs.iter().find_map(|(_, text)| text.split_once("session ID "));
    let digits = told.unwrap().1.chars().take_while(char::is_ascii_digit);
    digits.collect::<String>().parse().unwrap()
}

fn exec(cmd: &str, more: Value) -> Turn {
    let mut arguments = json!({ "cmd": cmd, "yield_time_ms": 250 });
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call("exec_command", arguments)
}

fn type_in(chars: &str, wait_ms: u64) -> Turn {
    let chars = chars.to_owned();
    compute(move |request| {
        let process = number(request);
        let arguments = json!({ "session_id": process, "chars": chars, "yield_time_ms": wait_ms });
        call("write_stdin", arguments)
    })
}

#[test]
fn a_program_on_a_terminal_is_talked_to() {
    let script = "printf 'name? '; read name; echo \"hello $name\"; tty; exit 4";
    let server = ModelServer::start(
        Script::new()
            .turn(exec(script, json!({ "tty": true })))
            .turn(type_in("troupe\n", 20_000))
            .turn(type_in("", 250))
            .turn(say("done")),
    );
    let stage = Stage::new().with_model(&server);
    let finished = stage.troupe(["exec", "-s", "workspace-write", "go"]).run();
    finished.assert_success();
    let requests = server.requests();
    let said = |request: usize| requests[request].outputs().last().unwrap().1.clone();
    let process = number(&requests[1]);
    assert!(said(1).starts_with("Process running with session ID "), "{}", said(1));
    assert!(said(1).ends_with("name? "), "{}", said(1));
    assert!(said(2).starts_with("Exit code: 4\n"), "{}", said(2));
    assert!(said(2).contains("hello troupe\r\n/dev/pts/0\r\n"), "{}", said(2));
    assert!(said(3).contains("there is no process"), "{}", said(3));
    let ended = &stage.log().bodies("ProcessEnded")[0];
    assert_eq!((ended["process"].as_u64(), ended["exit_code"].as_i64()), (Some(process), Some(4)));
    assert!(finished.stderr().contains("exited 4 after"), "{}", finished.stderr());
    stage.assert_no_process_left();
}

#[test]
fn what_still_runs_is_named_and_ends_with_the_session() {
    let server = ModelServer::start(
        Script::new().turn(exec("echo up; sleep 300", json!({}))).turn(say("it runs")),
    );
    let stage = Stage::new().with_model(&server);
    let finished = stage.troupe(["exec", "go"]).run();
    finished.assert_success();
    let process = number(&server.requests()[1]);
    let named = format!("background process {process} `echo up; sleep 300` is ended now");
    assert!(finished.stderr().contains(&named), "{}", finished.stderr());
    let ended = &stage.log().bodies("ProcessEnded")[0];
    assert!(ended["outcome"].to_string().contains("cancelled"), "in good order: {ended}");
    stage.assert_no_process_left();
}

#[test]
fn a_host_that_is_killed_takes_it_along_and_the_next_one_says_so() {
    let server = ModelServer::start(
        Script::new()
            .turn(exec("echo up; sleep 300", json!({})))
            .by_arrival()
            .turn(silence())
            .turn(type_in("", 250))
            .turn(say("done")),
    );
    let stage = Stage::new().with_model(&server);
    let running = stage.troupe(["exec", "go"]).start();
    server.wait_requests_blocking(2);
    running.signal(Signal::Kill);
    let _killed = running.wait();
    stage.assert_no_process_left();
    let session = stage.log().session();
    let resumed = stage.troupe(["exec", "resume", &session, "go on"]).stdin(Stdin::Null).run();
    resumed.assert_success();
    let ended = &stage.log().bodies("ProcessEnded")[0];
    assert_eq!(ended["process"].as_u64(), Some(number(&server.requests()[1])));
    assert!(ended["outcome"].to_string().contains("lost"), "{ended}");
}

#[test]
fn a_front_end_ends_it() {
    let server = ModelServer::start(
        Script::new().turn(exec("echo up; sleep 300", json!({}))).turn(say("it runs")),
    );
    let stage = Stage::new();
    let run = stage.program(binary::example("troupe-tests", "background_host")).args([
        "model=\"m\"".to_owned(),
        "model_provider=\"test\"".to_owned(),
        format!("model_providers.test.base_url=\"{}\"", server.url()),
    ]);
    let finished = run.run();
    finished.assert_success();
    let process = number(&server.requests()[1]);
    assert_eq!(finished.stdout(), format!("{process} Cancelled\n"), "{}", finished.stderr());
    stage.assert_no_process_left();
}
