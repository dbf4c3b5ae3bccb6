//! The programs of the embedding guide: they are those on the page, short, and they work.

use serde_json::json;
use std::fs;
use troupe_tests::{binary, model_server::*, stage::Stage};

#[test]
fn the_page_shows_the_program_that_is_compiled() {
    let root = binary::workspace_root();
    let program = fs::read_to_string(root.join("tests/examples/embedding.rs")).unwrap();
    let page = fs::read_to_string(root.join("docs/embedding.md")).unwrap();
    assert!(page.contains(&program), "docs/embedding.md and tests/examples/embedding.rs differ");
    assert!(program.lines().count() < 40);
    let second = fs::read_to_string(root.join("tests/examples/two_conversations.rs")).unwrap();
    // The page shows what is new in it, from the first session on.
    let shown =
        second.split_once("    let troupe = ").unwrap().1.split_once("    Ok(())").unwrap().0;
    assert!(
        page.contains(shown),
        "docs/embedding.md and tests/examples/two_conversations.rs differ"
    );
}

/// The overrides that name a server to a program of the guide.
fn overrides(server: &ModelServer) -> [String; 3] {
    [
        "model=\"m\"".to_owned(),
        "model_provider=\"test\"".to_owned(),
        format!("model_providers.test.base_url=\"{}\"", server.url()),
    ]
}

#[test]
fn the_program_runs() {
    let server = ModelServer::start(
        Script::new()
            .turn(call("shell", json!({ "command": "ls" })))
            .turn(say("There is one file.")),
    );
    let stage = Stage::new();
    stage.write("file.txt", "x");
    let run = stage.program(binary::example("troupe-tests", "embedding")).args(overrides(&server));
    let finished = run.run();
    finished.assert_success();
    assert_eq!(finished.stdout(), "There is one file.\n");
    assert!(server.requests()[1].outputs()[0].1.contains("file.txt"));
    stage.assert_no_process_left();
}

#[test]
fn a_turn_that_fails_is_seen() {
    let server = ModelServer::start(Script::always(status(401)));
    let stage = Stage::new();
    let run = stage.program(binary::example("troupe-tests", "embedding")).args(overrides(&server));
    let finished = run.run();
    finished.assert_code(1);
    assert!(finished.stderr().contains("the turn did not complete"), "{}", finished.stderr());
}

#[test]
fn one_conversation_is_interrupted_and_the_other_goes_on() {
    let server = ModelServer::start(
        Script::new()
            .turn(call("shell", json!({ "command": "sleep 300" })))
            .turn(say("Hello."))
            .by_arrival(),
    );
    let stage = Stage::new();
    let program = binary::example("troupe-tests", "two_conversations");
    let finished = stage.program(program).args(overrides(&server)).run();
    finished.assert_success();
    assert_eq!(finished.stdout(), "quick: Some(Completed)\nslow: Some(Cancelled)\n");
    stage.assert_no_process_left();
}
