//! Hints of the whole program: pasted as they are printed, they help.

use std::fs;
use troupe_tests::{binary::workspace_root, model_server::*, stage::Stage};

/// The lines after the blank line of a message, up to the next.
fn pasted(text: &str) -> String {
    let (_, after) = text.split_once("\n\n").unwrap_or_else(|| panic!("no lines: {text}"));
    let lines = after.split_once("\n\n").map_or(after, |(lines, _)| lines);
    format!("\n{lines}\n")
}

fn append(stage: &Stage, text: &str) {
    let file = stage.troupe_home().join("config.toml");
    let before = fs::read_to_string(&file).unwrap_or_default();
    fs::write(file, format!("{before}{text}")).unwrap();
}

#[test]
fn the_hint_for_trust_is_pasted_and_the_run_uses_the_project() {
    let server = ModelServer::start(Script::always(say("hi")));
    let stage = Stage::new().with_model(&server).with_config("[sandbox_limits]\nprocesses = 99\n");
    let project = stage.root().join("it's \"my\" project");
    fs::create_dir_all(project.join(".git")).unwrap();
    fs::create_dir_all(project.join(".troupe")).unwrap();
    fs::write(project.join(".troupe/config.toml"), "developer_instructions = \"be brief\"\n")
        .unwrap();
    let first = stage.troupe(["exec", "go"]).folder(&project).run();
    first.assert_success();
    append(&stage, &pasted(&first.stderr()));
    let second = stage.troupe(["exec", "go"]).folder(&project).run();
    second.assert_success();
    assert!(!second.stderr().contains("warning"), "{}", second.stderr());
    let request = server.requests().pop().unwrap();
    assert!(request.body.to_string().contains("be brief"), "{}", request.body);
}

#[test]
fn the_hint_for_a_missing_provider_is_pasted_and_the_run_asks_it() {
    let server = ModelServer::start(Script::always(say("hi")));
    for arguments in [&["exec", "go"][..], &["exec", "-c", "model_provider=mine", "go"]] {
        let stage = Stage::new().with_config("[sandbox_limits]\nprocesses = 99\n");
        let refused = stage.troupe(arguments).run();
        refused.assert_code(3);
        assert!(!refused.stderr().contains(".md"), "{}", refused.stderr());
        append(&stage, &pasted(&refused.stderr()));
        let url = format!("model_providers.mine.base_url=\"{}\"", server.url());
        let run = stage.troupe(["exec", "-c", "model_provider=mine", "-c", &url, "-m", "m", "go"]);
        let run = run.env("MINE_API_KEY", "k").run();
        run.assert_success();
        assert!(!run.stderr().contains("warning"), "{}", run.stderr());
    }
}

#[test]
fn a_key_in_the_file_is_not_printed_by_any_command() {
    let key = "sk-abcdefgh";
    for (text, code) in [
        (
            format!(
                "[model_providers.mine]\nbase_url = \"http://127.0.0.1:9/v1\"\nenv_key = \"{key}\"\n"
            ),
            3,
        ),
        (
            format!(
                "[model_providers.mine]\nbase_url = \"http://u:{key}@127.0.0.1:9/v1\"\napi_key = \"{key}\"\n"
            ),
            0,
        ),
    ] {
        let stage =
            Stage::new().with_config(&format!("model_provider = \"mine\"\nmodel = \"m\"\n{text}"));
        for command in [
            &["config", "show"][..],
            &["config", "show", "--json", "--all"],
            &["doctor"],
            &["doctor", "--json"],
            &["policy", "check", "--", "ls"],
        ] {
            let run = stage.troupe(command).run();
            let said = format!("{}{}", run.stdout(), run.stderr());
            assert!(!said.contains(key), "{command:?}: {said}");
            let named = said.contains("a key itself") || said.contains("env_key = ");
            assert!(named, "{command:?}: {said}");
            if command[0] != "doctor" {
                run.assert_code(code);
            }
        }
    }
}

#[test]
fn a_profile_that_is_not_there_is_answered_with_those_that_are() {
    let stage = Stage::new()
        .with_config("[profiles.fast]\nmodel = \"a\"\n[profiles.slow]\nmodel = \"b\"\n");
    let refused = stage.troupe(["exec", "-p", "fst", "go"]).run();
    refused.assert_code(3);
    let said = "there is no profile `fst`; did you mean `fast`? There are: fast, slow";
    assert!(refused.stderr().contains(said), "{}", refused.stderr());
}

#[test]
fn the_manual_is_in_the_binary_and_messages_name_no_file_of_it() {
    let stage = Stage::new();
    let topics = stage.troupe(["docs"]).run();
    topics.assert_success();
    let inside = ["architecture", "performance"];
    for entry in fs::read_dir(workspace_root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        let Some(topic) = path.file_name().unwrap().to_str().unwrap().strip_suffix(".md") else {
            continue;
        };
        if inside.contains(&topic) {
            continue;
        }
        assert!(topics.stdout().contains(&format!("  {topic} ")), "{topic} is no topic");
        let page = stage.troupe(["docs", topic]).run();
        page.assert_success();
        assert_eq!(page.stdout(), fs::read_to_string(&path).unwrap());
    }
    let wrong = stage.troupe(["docs", "sandbx"]).run();
    wrong.assert_code(2);
    assert!(wrong.stderr().contains("did you mean `sandbox`?"), "{}", wrong.stderr());
    for help in [&["--help"][..], &["exec", "--help"], &["sessions", "rm", "--help"]] {
        assert!(!stage.troupe(help).run().stdout().contains("docs/"), "{help:?}");
    }
}

#[test]
fn top_prints_once_with_or_without_being_told() {
    let gate = Gate::new();
    let server = ModelServer::start(Script::always(say("hi").wait(&gate)));
    let stage = Stage::new().with_model(&server);
    stage.troupe(["top"]).run().assert_code(1);
    let running = stage.troupe(["exec", "go"]).start();
    gate.wait_arrived(1);
    for arguments in [&["top"][..], &["top", "--once"]] {
        let top = stage.troupe(arguments).run();
        top.assert_success();
        // The end of the id names the session elsewhere.
        let id = stage.log().session();
        assert!(top.stdout().contains(&format!("conversation:{}", &id[30..])), "{}", top.stdout());
    }
    gate.open();
    running.wait().assert_success();
}

#[test]
fn a_command_that_fails_without_a_network_is_told_of_it_once() {
    let stage = Stage::new();
    let run = |options: &[&str], script: &str| {
        let command = ["--", "sh", "-c", script];
        stage.troupe(["sandbox"].iter().chain(options).chain(&command)).run()
    };
    let failed = run(&[], "echo out; exit 7");
    failed.assert_code(7);
    assert_eq!(failed.stdout(), "out\n");
    assert_eq!(failed.stderr().matches("the network is off").count(), 1, "{}", failed.stderr());
    // What git and ssh end with.
    for script in ["exit 128", "exit 255"] {
        let said = run(&[], script).stderr();
        assert!(said.contains("the network is off"), "{script}: {said}");
    }
    for (options, script) in [
        (&[][..], "exit 0"),
        (&["-c", "sandbox_workspace_write.network_access=true"], "exit 1"),
        (&["-c", "sandbox_allow_hosts=[\"example.com\"]"], "exit 1"),
        (&["-s", "danger-full-access"], "exit 1"),
        (&[], "kill -TERM $$"),
        (&[], "sh -c 'kill -TERM $$'; exit $?"),
        (&[], "no-such-program"),
    ] {
        let said = run(options, script).stderr();
        assert!(!said.contains("the network is off"), "{options:?} {script}: {said}");
    }
    // What it names helps: the words are options of this command.
    let hint = run(&["-s", "read-only"], "exit 1").stderr();
    assert!(hint.contains("-s workspace-write -c sandbox_workspace_write.network_access=true"));
}

#[test]
fn an_override_without_a_whole_key_is_refused() {
    let stage = Stage::new();
    let keys = [
        "=",
        "=x",
        " = x",
        "..=1",
        "a..b=1",
        ".a=1",
        "model.=x",
        "\"\"=x",
        "\"model=x",
        "",
        "model",
    ];
    for key in keys {
        let finished = stage.troupe(["exec", "--json", "-c", key, "go"]).run();
        finished.assert_code(3);
        let end = finished.json_lines().pop().unwrap();
        let said = end["error"]["message"].as_str().unwrap();
        assert!(said.contains("expected KEY=VALUE"), "{key}: {said}");
        assert!(!said.contains("   "), "{said}");
    }
    let run = stage.troupe(["config", "show", "-c", "model_providers.\"a.b\".name=x"]).run();
    run.assert_success();
    assert!(run.stdout().contains("\"a.b\""), "{}", run.stdout());
}
