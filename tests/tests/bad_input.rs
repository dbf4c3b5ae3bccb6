//! Places that cannot be used.

use serde_json::json;
use troupe_tests::{machine, model_server::*, skip, stage::Stage};

#[test]
fn a_home_that_cannot_be_written_ends_with_the_storage_code() {
    let server = ModelServer::start(Script::always(say("never heard")));
    let stage = Stage::new().with_model(&server).with_env("TROUPE_HOME", "/proc/troupe-home");
    let finished = stage.troupe(["exec", "--json", "go"]).run();
    finished.assert_code(9);
    let last = finished.json_lines().pop().unwrap();
    assert_eq!(last["type"], "turn.failed");
    assert!(last["error"]["message"].as_str().unwrap().contains("/proc/troupe-home"), "{last}");
    assert!(server.requests().is_empty(), "nothing is asked that cannot be written down");
}

#[test]
fn a_directory_that_vanishes_is_told_to_the_model() {
    let server = ModelServer::start(
        Script::new()
            .turn(call("shell", json!({ "command": "rmdir ../work/inner" })))
            .turn(call("shell", json!({ "command": "true", "workdir": "inner" })))
            .turn(call("read_file", json!({ "path": "inner/file" })))
            .turn(say("I see")),
    );
    let stage = Stage::new().with_model(&server);
    std::fs::create_dir(stage.work().join("inner")).unwrap();
    stage.troupe(["exec", "--json", "-s", "danger-full-access", "go"]).run().assert_success();
    let last = server.requests().pop().unwrap();
    let outputs: Vec<String> = last.outputs().into_iter().map(|(_, text)| text).collect();
    assert!(outputs[1].contains("does not exist"), "{outputs:#?}");
    assert!(outputs[2].contains("inner"), "{outputs:#?}");
}

#[test]
fn a_working_directory_that_is_none_is_named() {
    let server = ModelServer::start(Script::always(say("never heard")));
    let stage = Stage::new().with_model(&server);
    let finished = stage.troupe(["exec", "--json", "-C", "no/such/place", "go"]).run();
    finished.assert_code(3);
    assert!(finished.stderr().contains("no/such/place"), "{}", finished.stderr());
}

#[test]
fn a_project_cannot_name_instructions_outside_its_folders() {
    let server = ModelServer::start(Script::always(say("ok")));
    let stage = Stage::new().with_model(&server);
    std::fs::write(stage.root().join("secret.txt"), "the-secret").unwrap();
    stage.write("NOTES.md", "the-notes");
    let names = |name: &str| format!("project_doc_fallback_filenames=[\"{name}\"]");
    stage.troupe(["exec", "-c", &names("../secret.txt"), "go"]).run().assert_success();
    stage.troupe(["exec", "-c", &names("NOTES.md"), "go"]).run().assert_success();
    let requests = server.requests();
    assert!(!requests[0].body.to_string().contains("the-secret"));
    assert!(requests[1].body.to_string().contains("the-notes"));
}

#[test]
#[cfg(target_os = "linux")]
fn a_directory_whose_name_is_no_text_is_refused_with_the_reason() {
    use std::os::unix::ffi::OsStrExt;
    let server = ModelServer::start(Script::always(say("never heard")));
    let stage = Stage::new().with_model(&server);
    let folder = stage.root().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir(&folder).unwrap();
    let finished = stage.troupe(["exec", "--json", "go"]).folder(folder).run();
    finished.assert_code(3);
    assert!(finished.stderr().contains("is not UTF-8"), "{}", finished.stderr());
}

/// A real disk that is full, in a mount namespace of its own.
#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_fills_up_ends_with_the_storage_code_and_the_session_goes_on() {
    if !machine::user_namespaces() {
        skip!("needs user namespaces");
    }
    let fills = call("shell", json!({ "command": "head -c 30000 /dev/zero | tr '\\0' x" }));
    let server = ModelServer::start(Script::new().turns(vec![fills; 30]).turn(say("at last")));
    let stage = Stage::new().with_config("").with_env("ROOM", "300k");
    let config = format!(
        "model = \"m\"\nmodel_provider = \"test\"\n[model_providers.test]\nbase_url = \"{}\"\n",
        server.url()
    );
    stage.write("config.toml", config);
    let script = r#"
        mount -t tmpfs -o size=$ROOM none "$TROUPE_HOME" && cp config.toml "$TROUPE_HOME" || exit 77
        "$0" exec --json -s danger-full-access go > first; echo $? > code
        mount -t tmpfs -o remount,size=30M none "$TROUPE_HOME"
        "$0" exec --json -s danger-full-access resume --last > second; echo $? >> code
    "#;
    let finished = stage
        .program("unshare")
        .args(["-rm", "--", "sh", "-c", script])
        .arg(troupe_tests::binary::troupe())
        .run();
    assert_ne!(finished.code(), Some(77), "{}", finished.stderr());
    assert_eq!(stage.read("code"), "9\n0\n", "{}\n{}", stage.read("first"), finished.stderr());
    let first = stage.read("first");
    let last: serde_json::Value = serde_json::from_str(first.lines().last().unwrap()).unwrap();
    assert_eq!(last["type"], "turn.failed");
    assert!(last["error"]["message"].as_str().unwrap().contains("make room"), "{last}");
    assert!(stage.read("second").lines().last().unwrap().contains("turn.completed"));
    assert!(server.violations().is_empty());
}
