//! `troupe policy check` and `replay`: for which front end, by which rule, with which code.

use serde_json::json;
use std::fs;
use troupe_tests::{
    model_server::*,
    stage::{Finished, Stage},
};

fn with_rules(text: &str) -> Stage {
    let stage = Stage::new();
    fs::create_dir(stage.troupe_home().join("rules")).unwrap();
    fs::write(stage.troupe_home().join("rules/mine.toml"), text).unwrap();
    stage
}

fn check(stage: &Stage, options: &[&str], command: &str) -> Finished {
    let options = options.iter().copied();
    stage.troupe(["policy", "check"].into_iter().chain(options).chain(["--", command])).run()
}

#[test]
fn the_answer_is_that_of_exec_and_the_code_tells_it() {
    let stage = with_rules("[[rule]]\nprefix = [\"make\"]\ndecision = \"deny\"\n");
    // Exec has nobody to ask, whatever the configuration says.
    let asks = stage.with_arguments(["-c", "approval_policy=untrusted"]);
    for options in [&[][..], &["--for", "exec"], &["--for=exec"]] {
        check(&asks, options, "cargo build").assert_code(0);
        check(&asks, options, "make all").assert_code(11);
        let deny = check(&asks, options, "rm -rf *");
        deny.assert_code(11);
        assert!(deny.stdout().starts_with("deny: "), "{}", deny.stdout());
        assert!(deny.stdout().contains("for: troupe exec"), "{}", deny.stdout());
    }
    let ask = check(&asks, &["--for", "interactive"], "cargo build");
    ask.assert_code(13);
    assert!(ask.stdout().starts_with("ask: ") && ask.stdout().contains("--for exec"));
    check(&asks, &["--for", "nobody"], "ls").assert_code(2);
}

#[test]
fn exec_does_what_the_check_says() {
    let script = || {
        Script::new()
            .turn(call("shell", json!({ "command": "git reset --hard" })))
            .turn(say("done"))
    };
    let server = ModelServer::start(script());
    let stage = Stage::new().with_model(&server);
    let finished = stage.troupe(["exec", "go"]).run();
    let said = check(&stage, &[], "git reset --hard");
    said.assert_code(11);
    let reason = said.stdout().lines().nth(1).unwrap().to_owned();
    assert!(finished.stderr().contains(&reason), "{reason}\n{}", finished.stderr());
}

#[test]
fn the_rule_that_decided_is_named() {
    let rules = "[[rule]]\nprefix = [\"git\", \"push\"]\ndecision = \"ask\"\n\n\
                 [[rule]]\nprefix = [\"make\"]\ndecision = \"allow\"\n\n\
                 [[rule]]\nprefix = [\"curl\"]\ndecision = \"deny\"\nreason = \"no web\"\n";
    let stage = with_rules(rules);
    for (command, line, code) in [("git push", 1, 11), ("make", 5, 0), ("curl x", 9, 11)] {
        let file = stage.troupe_home().join("rules/mine.toml");
        let wanted = format!("(decided by: rule {}:{line})", file.display());
        let text = check(&stage, &[], command);
        text.assert_code(code);
        assert!(text.stdout().lines().next().unwrap().ends_with(&wanted), "{}", text.stdout());
        let json = &check(&stage, &["--json"], command).json_lines()[0];
        assert_eq!(json["rule"]["line"], line);
        assert_eq!((&json["for"], &json["approval_policy"]), (&json!("exec"), &json!("never")));
    }
    let asked = check(&stage, &["--for", "interactive"], "git push");
    asked.assert_code(13);
    assert!(asked.stdout().contains("mine.toml:1)"), "{}", asked.stdout());
    // No rule decided here.
    assert!(check(&stage, &["--json"], "cargo build").json_lines()[0]["rule"].is_null());
}

#[test]
fn rules_that_cannot_be_used_have_a_code_and_a_whole_sentence() {
    for broken in ["[[rule]]\nprefx = [\"x\"]\n", "rule = ", "[[rule]]\nprefix = []\n"] {
        let stage = with_rules(broken);
        for front_end in ["exec", "interactive"] {
            let text = check(&stage, &["--for", front_end], "ls");
            text.assert_code(3);
            let lines: Vec<String> = text.stdout().lines().map(str::to_owned).collect();
            assert_eq!(lines[0], "deny: nothing may run (decided by: files)");
            assert!(lines[1].contains("mine.toml:"), "{}", lines[1]);
        }
        let json = check(&stage, &["--json"], "ls");
        json.assert_code(3);
        assert_eq!(json.json_lines()[0]["verdict"], "deny");
        // Whatever a command would become: it cannot be said.
        let server = ModelServer::start(Script::always(say("hi")));
        let stage = stage.with_model(&server).with_arguments(["-c", "sandbox_mode=read-only"]);
        let replay = stage.troupe(["policy", "replay", "--last", "--all"]).run();
        replay.assert_code(3);
    }
}

#[test]
fn a_suggested_rule_can_be_pasted_and_answers() {
    let commit = || call("shell", json!({ "command": "git commit -m x" }));
    let script = Script::new().turn(commit()).turn(commit()).turn(say("done"));
    let server = ModelServer::start(script);
    let stage = Stage::new().with_model(&server);
    let rule = "[[rule]]\nprefix = [\"git\", \"commit\"]\ndecision = \"ask\"\n";
    fs::create_dir(stage.troupe_home().join("rules")).unwrap();
    let asks = stage.troupe_home().join("rules/asks.toml");
    fs::write(&asks, rule).unwrap();
    stage.troupe(["exec", "go"]).run().assert_success();
    let replay = stage.troupe(["policy", "replay", "--last"]).run();
    replay.assert_success();
    assert_eq!(replay.stdout().matches("deny: ").count(), 2, "{}", replay.stdout());
    let stderr = replay.stderr();
    let suggested = &stderr[stderr.find("[[rule]]").unwrap()..];
    fs::remove_file(asks).unwrap();
    fs::write(stage.troupe_home().join("rules/pasted.toml"), suggested).unwrap();
    let allowed = check(&stage, &["--for", "interactive"], "git commit -m y");
    allowed.assert_code(0);
    assert!(allowed.stdout().contains("pasted.toml"), "{}", allowed.stdout());
    // As it is suggested, and in one line.
    for rule in [suggested, "prefix = [\"git\"]; decision = \"deny\""] {
        stage.troupe(["policy", "replay", "--last", "--rule", rule]).run().assert_success();
    }
}
