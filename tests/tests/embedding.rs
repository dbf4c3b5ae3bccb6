//! The program of the embedding guide: it is the one on the page, it is short, and it works.

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
    let url = server.url();
    let run = stage.program(binary::example("troupe-tests", "embedding")).args([
        "model=\"m\"".to_owned(),
        "model_provider=\"test\"".to_owned(),
        format!("model_providers.test.base_url=\"{url}\""),
    ]);
    let finished = run.run();
    finished.assert_success();
    assert_eq!(finished.stdout(), "There is one file.\n");
    assert!(server.requests()[1].outputs()[0].1.contains("file.txt"));
    stage.assert_no_process_left();
}
