//! `troupe doctor`, and what a session says where the sandbox is weaker than its mode promises.

#![cfg(target_os = "linux")]

use serde_json::{Value, json};
use troupe_tests::{
    binary, machine,
    model_server::*,
    skip,
    stage::{Finished, Stage},
};

fn findings(finished: &Finished, check: &str) -> Vec<Value> {
    finished.json_lines().into_iter().filter(|line| line["check"] == check).collect()
}

/// Runs the program where no user namespaces can be made: that may be this machine.
fn without_namespaces(stage: &Stage, arguments: &[&str]) -> Finished {
    let troupe = binary::troupe();
    if !machine::user_namespaces() {
        return stage.program(troupe).args(arguments).run();
    }
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let run = stage.program("unshare").args(["-Ur", "sh", "-c", script, "sh"]);
    run.arg(troupe).args(arguments).run()
}

#[test]
fn what_works_and_what_does_not() {
    let server = ModelServer::start(Script::always(say("hi")));
    let stage = Stage::new().with_model(&server);
    let fine = stage.troupe(["doctor", "--json"]).run();
    fine.assert_success();
    let good = |line: &Value| match line["check"] == "sandbox" && !machine::user_namespaces() {
        true => line["grade"] == "ok" || line["grade"] == "weak",
        false => line["grade"] == "ok",
    };
    assert!(fine.json_lines().iter().all(good), "{}", fine.stdout());
    for check in ["version", "configuration", "sessions", "provider", "rules", "sandbox"] {
        assert!(!findings(&fine, check).is_empty(), "{check}: {}", fine.stdout());
    }
    let rules = stage.troupe_home().join("rules");
    std::fs::create_dir_all(&rules).unwrap();
    std::fs::write(rules.join("bad.toml"), "[[rule]]\nprefix = 7\n").unwrap();
    let wrong = stage.troupe(["doctor", "--json"]).run();
    assert_ne!(wrong.code(), Some(0));
    let rules = &findings(&wrong, "rules")[0];
    assert_eq!(rules["grade"], "wrong");
    assert!(rules["text"].as_str().unwrap().contains("bad.toml:2"), "{rules}");
}

#[test]
fn no_provider_is_named_with_the_remedy() {
    let finished = Stage::new().troupe(["doctor"]).run();
    assert_ne!(finished.code(), Some(0));
    assert!(finished.stdout().contains("WRONG provider: "), "{}", finished.stdout());
}

#[test]
fn a_weaker_sandbox_is_said_by_the_doctor_and_once_in_a_session() {
    let command = || call("shell", json!({ "command": "true" }));
    let server =
        ModelServer::start(Script::new().turn(command()).turn(command()).turn(say("done")));
    let config = format!(
        "model = \"m\"\nmodel_provider = \"test\"\n[model_providers.test]\nbase_url = \"{}\"\n",
        server.url()
    );
    let stage = Stage::new().with_config(&config);
    let doctor = without_namespaces(&stage, &["doctor", "--json"]);
    let sandbox = findings(&doctor, "sandbox");
    assert!(sandbox.iter().any(|line| line["grade"] == "weak"), "{}", doctor.stdout());
    let finished = without_namespaces(&stage, &["exec", "-s", "workspace-write", "go"]);
    finished.assert_success();
    let said = finished.stderr().matches("the sandbox is weaker here").count();
    assert_eq!(said, 1, "{}", finished.stderr());
    if !machine::user_namespaces() {
        skip!("the half where nothing is weak needs user namespaces");
    }
    // Where it is what it promises, nothing is said.
    let server = ModelServer::start(Script::new().turn(command()).turn(say("done")));
    let finished = Stage::new().with_model(&server).troupe(["exec", "go"]).run();
    assert!(!finished.stderr().contains("weaker"), "{}", finished.stderr());
}
