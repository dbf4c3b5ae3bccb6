//! The contract of OpenAI's SDK: nothing that ends early breaks the caller's pipe, every option of
//! its types is taken, an abort is an `AbortError`.

use super::{
    common::{all, any, completes, configured, end, feed, fifo, go, put, saying, sh, there, told},
    table::{Row, row, skip, table},
};
use serde_json::{Value, json};
use std::{fs, path::PathBuf, sync::OnceLock, time::Duration};
use tempfile::TempDir;
use troupe_tests::{
    binary,
    model_server::*,
    stage::{Finished, Stage, Stdin},
};

type Prepare = fn(&Stage);

fn nothing(_: &Stage) {}

/// A cause of an early end: its name, what makes it, the arguments after `exec --json`.
fn causes() -> Vec<(&'static str, Prepare, Vec<&'static str>)> {
    vec![
        ("unknown option", nothing, vec!["--no-such"]),
        ("option without its value", nothing, vec!["-m"]),
        ("a mode that is none", nothing, vec!["--sandbox", "wide"]),
        ("a colour that is none", nothing, vec!["--color", "purple"]),
        ("an override without a value", nothing, vec!["-c", "model"]),
        ("an unknown provider", nothing, vec!["-c", "model_provider=nope"]),
        ("a wrong type", nothing, vec!["-c", "turn_timeout_ms=soon"]),
        ("a missing folder", nothing, vec!["-C", "no/such/place"]),
        ("a file as the folder", |stage| stage.write("file", ""), vec!["-C", "file"]),
        ("a missing image", nothing, vec!["-i", "none.png"]),
        ("a missing schema", nothing, vec!["--output-schema", "none.json"]),
        (
            "a schema that is not JSON",
            |stage| stage.write("s.json", "{"),
            vec!["--output-schema", "s.json"],
        ),
        ("a last message that cannot be kept", nothing, vec!["-o", "no/such/last.txt"]),
        ("an unknown session", nothing, vec!["resume", "00000000-0000-7000-8000-000000000000"]),
        ("an empty session id", nothing, vec!["resume", ""]),
        ("no session to resume", nothing, vec!["resume", "--last"]),
        ("an unknown profile", nothing, vec!["-p", "none"]),
        ("a strict configuration", nothing, vec!["--strict-config", "-c", "nonsense=1"]),
        (
            "a configuration that is not TOML",
            |stage| fs::write(stage.troupe_home().join("config.toml"), "model = ").unwrap(),
            vec![],
        ),
        (
            "a configuration that is a folder",
            |stage| {
                fs::remove_file(stage.troupe_home().join("config.toml")).unwrap();
                fs::create_dir(stage.troupe_home().join("config.toml")).unwrap();
            },
            vec![],
        ),
        (
            "no provider",
            |stage| fs::write(stage.troupe_home().join("config.toml"), "").unwrap(),
            vec![],
        ),
        (
            "rules that cannot be read",
            |stage| put(stage.troupe_home().join("rules/bad.toml"), "[[rule]]\nprefx = 1\n"),
            vec![],
        ),
        ("instructions that are missing", nothing, vec!["-c", "model_instructions_file=none.md"]),
        ("a key that is not set", nothing, vec!["-c", "model_providers.test.env_key=NO_SUCH_KEY"]),
        ("hosts that are none", nothing, vec!["-c", "sandbox_allow_hosts=[\"http://x\"]"]),
    ]
}

fn early(name: &str, prepare: Prepare, arguments: &[&str], size: usize) {
    let (server, stage) = saying("never");
    prepare(&stage);
    let run = stage.troupe(["exec", "--json"].iter().chain(arguments));
    let (wrote, finished) = feed(run, vec![b'x'; size]);
    assert_ne!(finished.code(), Some(0), "{name}: {}", finished.stdout());
    assert_eq!(end(&finished)["type"], "turn.failed");
    assert!(server.requests().is_empty());
    assert!(wrote.is_ok(), "{size} bytes: the caller's pipe broke: {wrote:?}; {}", told(&finished));
}

#[test]
fn early_errors() {
    let mut rows = Vec::new();
    for (name, prepare, arguments) in causes() {
        rows.push(row(name, move || {
            early(name, prepare, &arguments, 1);
            early(name, prepare, &arguments, 200_000);
        }));
    }
    rows.push(row("a home that cannot be written", || {
        let (_server, stage) = saying("never");
        let run = stage.troupe(["exec", "--json"]).env("TROUPE_HOME", "/proc/troupe-home");
        let (wrote, finished) = feed(run, vec![b'x'; 200_000]);
        assert_ne!(finished.code(), Some(0));
        assert!(wrote.is_ok(), "{wrote:?}");
    }));
    rows.push(row("a prompt that is not UTF-8", || {
        let (_server, stage) = saying("never");
        let (wrote, finished) = feed(stage.troupe(["exec", "--json"]), vec![0xff; 200_000]);
        assert_eq!(finished.code(), Some(2), "{}", told(&finished));
        assert!(wrote.is_ok(), "{wrote:?}");
    }));
    rows.push(row("a prompt beyond the limit", || {
        let (_server, stage) = saying("never");
        let (wrote, finished) = feed(stage.troupe(["exec", "--json"]), vec![b'x'; 17 << 20]);
        assert_eq!(finished.code(), Some(2), "{}", told(&finished));
        assert!(wrote.is_ok(), "{wrote:?}");
    }));
    rows.push(row("without --json", || {
        let (_server, stage) = saying("never");
        let run = stage.troupe(["exec", "-c", "sandbox_mode=bogus"]);
        let (wrote, finished) = feed(run, vec![b'x'; 200_000]);
        assert_ne!(finished.code(), Some(0));
        assert!(wrote.is_ok(), "{wrote:?}");
    }));
    rows.push(row("with a prompt as argument beside the pipe", || {
        let (_server, stage) = saying("never");
        let run = stage.troupe(["exec", "--json", "-c", "sandbox_mode=bogus", "go"]);
        let (wrote, finished) = feed(run, vec![b'x'; 200_000]);
        assert_ne!(finished.code(), Some(0));
        assert!(wrote.is_ok(), "{wrote:?}");
    }));
    rows.push(row("with --stdin", || {
        let (_server, stage) = saying("never");
        let run = stage.troupe(["exec", "--json", "--stdin", "--no-such", "go"]);
        let (wrote, finished) = feed(run, vec![b'x'; 200_000]);
        assert_ne!(finished.code(), Some(0));
        assert!(wrote.is_ok(), "{wrote:?}");
    }));
    rows.push(row("a session that another process holds", || {
        let gate = Gate::new();
        let server = ModelServer::start(Script::always(say("slow").wait(&gate)));
        let stage = configured(&server);
        let first = stage.troupe(["exec", "--json", "go"]).start();
        gate.wait_arrived(1);
        let id = stage.log().session();
        let (wrote, second) =
            feed(stage.troupe(["exec", "--json", "resume", &id]), vec![b'x'; 200_000]);
        assert_eq!(second.code(), Some(9), "{}", told(&second));
        assert!(wrote.is_ok(), "{wrote:?}");
        gate.open();
        first.wait().assert_success();
    }));
    rows.push(row("a pipe that nobody closes holds no error up", || {
        let (_server, stage) = saying("never");
        let run = stage.troupe(["exec", "--json", "--no-such"]).stdin(Stdin::Open);
        let finished = run.limit(Duration::from_secs(10)).run();
        assert_eq!(finished.code(), Some(2));
    }));
    rows.push(row("a writer that never ends holds no error up", || {
        let (_server, stage) = saying("never");
        let run = sh(&stage, "yes | \"$@\"", &["exec", "--json", "--no-such"]);
        let finished = run.limit(Duration::from_secs(10)).run();
        assert_eq!(finished.code(), Some(2));
    }));
    rows.push(row("a fifo as the configuration", || {
        let (_server, stage) = saying("never");
        fs::remove_file(stage.troupe_home().join("config.toml")).unwrap();
        fifo(stage.troupe_home().join("config.toml"));
        let (wrote, finished) = feed(stage.troupe(["exec", "--json"]), vec![b'x'; 200_000]);
        assert_ne!(finished.code(), Some(0));
        assert!(wrote.is_ok(), "{wrote:?}");
    }));
    table("sdk: early errors", &[], rows);
}

fn accepted(arguments: &[&str]) -> Finished {
    let (server, stage) = saying("hi");
    let run = stage.troupe(["exec", "--experimental-json"].iter().chain(arguments));
    let finished = go(run.stdin(Stdin::Bytes(b"go".to_vec())));
    completes(&finished);
    assert_eq!(server.requests().len(), 1);
    finished
}

#[test]
fn options() {
    let plain: Vec<Vec<&'static str>> = vec![
        vec!["--thread-source", "my-app"],
        vec!["--thread-source=my-app", "--model", "other"],
        vec!["--cyber-access-program", "standard"],
        vec!["--cyber-access-program", "daybreak_blue"],
        vec!["--cyber-access-program", "daybreak_red"],
        vec!["--config", "model_reasoning_effort=\"none\""],
        vec!["--config", "model_reasoning_effort=\"minimal\""],
        vec!["--config", "model_reasoning_effort=\"xhigh\""],
        vec!["--config", "model_reasoning_effort=\"max\""],
        vec!["--config", "model_reasoning_effort=\"ultra\""],
        vec!["--config", "model_reasoning_effort=\"persistent\""],
        vec!["--config", "web_search=\"cached\""],
        vec!["--config", "web_search=\"disabled\""],
        vec!["--config", "approval_policy=\"on-failure\""],
        vec!["--config", "approval_policy=\"untrusted\""],
        vec!["--config", "sandbox_workspace_write.network_access=true"],
        vec!["--config", "features.web_search_request=true"],
        vec!["--config", "mcp_servers={}"],
        vec!["--add-dir", "/tmp", "--add-dir", "/var/tmp", "--skip-git-repo-check"],
    ];
    let mut rows: Vec<Row> = plain
        .into_iter()
        .map(|arguments| {
            row(arguments.join(" "), move || {
                accepted(&arguments);
            })
        })
        .collect();
    let features: Vec<Vec<&'static str>> = vec![
        vec!["--enable", "no_such_feature"],
        vec!["--disable", "no_such_feature"],
        vec!["--enable=no_such_feature", "--disable=other_feature"],
        vec!["--enable", "no_such_feature", "--enable", "no_such_feature"],
    ];
    for arguments in features {
        rows.push(row(arguments.join(" "), move || {
            let finished = accepted(&arguments);
            all(&told(&finished), &["no_such_feature"]);
        }));
    }
    rows.push(row("--enable before exec", || {
        let (_server, stage) = saying("hi");
        let finished = go(stage.troupe(["--enable", "no_such_feature", "exec", "--json", "go"]));
        completes(&finished);
        all(&told(&finished), &["no_such_feature"]);
    }));
    rows.push(row("--thread-source with resume", || {
        let (server, stage) = saying("hi");
        completes(&go(stage.troupe(["exec", "--json", "go"])));
        let id = stage.log().session();
        let finished =
            go(stage.troupe(["exec", "--json", "--thread-source", "x", "resume", &id, "more"]));
        completes(&finished);
        assert_eq!(server.requests().len(), 2);
    }));
    rows.push(row("an effort in a file and in the environment", || {
        let server = ModelServer::start(Script::always(say("hi")));
        let file = format!(
            "model_reasoning_effort = \"ultra\"\n{}",
            super::common::settings(&server.url(), "responses")
        );
        let stage = Stage::new().with_config(&file);
        completes(&go(stage.troupe(["exec", "--json", "go"])));
        completes(&go(stage
            .troupe(["exec", "--json", "go"])
            .env("TROUPE_MODEL_REASONING_EFFORT", "max")));
    }));
    rows.push(row("an effort that is none is still refused", || {
        let (server, stage) = saying("hi");
        let finished =
            go(stage.troupe(["exec", "--json", "-c", "model_reasoning_effort=hihg", "go"]));
        assert_eq!(finished.code(), Some(3));
        all(&told(&finished), &["high"]);
        assert!(server.requests().is_empty());
    }));
    for (name, keys, wanted, not) in [
        ("CODEX_API_KEY alone", vec!["CODEX_API_KEY"], "CODEX_API_KEY", "OPENAI_API_KEY"),
        ("OPENAI_API_KEY alone", vec!["OPENAI_API_KEY"], "OPENAI_API_KEY", "CODEX_API_KEY"),
    ] {
        for code in [401, 403] {
            let (keys, name) = (keys.clone(), format!("a key refused with {code}: {name}"));
            rows.push(row(name, move || {
                let server = ModelServer::start(Script::always(status(code)));
                let stage = Stage::new();
                let place = format!("openai_base_url=\"{}\"", server.url());
                let mut run = stage.troupe(["exec", "--json", "-c", &place, "-m", "m", "go"]);
                for key in keys {
                    run = run.env(key, "sk-test");
                }
                let finished = go(run);
                assert_eq!(finished.code(), Some(4), "{}", told(&finished));
                let told = told(&finished);
                all(&told, &[wanted]);
                assert!(!told.contains(&format!("key in {not}")), "{told}");
                assert!(!told.contains("sk-test"), "{told}");
            }));
        }
    }
    table("sdk: options", &[], rows);
}

/// The SDK, installed once.
fn installed() -> PathBuf {
    static FOLDER: OnceLock<Result<TempDir, String>> = OnceLock::new();
    let made = FOLDER.get_or_init(|| {
        if !there("node") || !there("npm") {
            return Err("no node or no npm".to_owned());
        }
        let folder = tempfile::tempdir().unwrap();
        let source = binary::workspace_root().join("tests/sdk/package.json");
        fs::copy(source, folder.path().join("package.json")).unwrap();
        fs::write(folder.path().join("probe.mjs"), include_str!("probe.mjs")).unwrap();
        let stage = Stage::new();
        let arguments = ["install", "--omit=optional", "--ignore-scripts", "--no-package-lock"];
        let quiet = ["--no-audit", "--no-fund"];
        let run = stage.program("npm").folder(folder.path()).args(arguments).args(quiet).run();
        match run.code() {
            Some(0) => Ok(folder),
            _ => Err(format!("npm install: {}", run.stderr())),
        }
    });
    match made {
        Ok(folder) => folder.path().to_owned(),
        Err(why) => skip(why),
    }
}

/// Runs the SDK once; what it printed last.
fn probe(stage: &Stage, url: &str, wanted: Value) -> Value {
    let folder = installed();
    let mut wanted = wanted;
    wanted["path"] = json!(binary::troupe());
    wanted["url"] = json!(url);
    wanted["home"] = json!(stage.troupe_home());
    wanted["work"] = json!(stage.work());
    let run = stage.program("node").folder(&folder).arg("probe.mjs").arg(wanted.to_string());
    let finished = run.limit(Duration::from_secs(25)).run();
    assert_eq!(finished.code(), Some(0), "the caller died: {}", finished.stderr());
    finished.json_lines().pop().expect("a result")
}

#[test]
fn through_the_sdk() {
    let mut rows = Vec::new();
    for (when, streamed) in [
        ("before", false),
        ("before", true),
        ("timer", false),
        ("timer", true),
        ("timeout", false),
        ("thread.started", true),
        ("turn.started", true),
    ] {
        rows.push(row(format!("abort: {when}, streamed: {streamed}, a silent model"), move || {
            let server = ModelServer::start(Script::always(silence()));
            let stage = Stage::new();
            let result =
                probe(&stage, &server.url(), json!({ "abort": when, "streamed": streamed }));
            assert_eq!(result["name"], "AbortError", "{result}");
            stage.assert_no_process_left();
        }));
    }
    for streamed in [false, true] {
        rows.push(row(format!("abort: a running command, streamed: {streamed}"), move || {
            let turns = Script::new().turn(super::common::shell("sleep 300")).otherwise(say("no"));
            let server = ModelServer::start(turns);
            let stage = Stage::new();
            let when = if streamed { "item.started" } else { "timer" };
            let result =
                probe(&stage, &server.url(), json!({ "abort": when, "streamed": streamed }));
            assert_eq!(result["name"], "AbortError", "{result}");
            if streamed {
                assert_ne!(result["kinds"].as_array().unwrap().last().unwrap(), "turn.failed");
            }
            stage.assert_no_process_left();
        }));
    }
    rows.push(row("the thread goes on after an abort", || {
        let server = ModelServer::start(Script::always(silence().then(say("again"))));
        let stage = Stage::new();
        let result = probe(&stage, &server.url(), json!({ "abort": "timer", "again": true }));
        assert_eq!(result["name"], "AbortError", "{result}");
        assert_eq!(result["again"], "again", "{result}");
    }));
    for (name, wanted) in [
        ("a wrong mode", json!({ "config": { "sandbox_mode": "bogus" } })),
        ("a folder that is missing", json!({ "thread": { "workingDirectory": "/no/such" } })),
        ("an unknown thread", json!({ "resume": "00000000-0000-7000-8000-000000000000" })),
        ("a thread id that is empty words", json!({ "resume": " " })),
        ("a wrong provider", json!({ "config": { "model_provider": "nope" } })),
        ("a broken override", json!({ "overrides": ["model"] })),
        ("a wrong number", json!({ "config": { "turn_timeout_ms": "soon" } })),
        ("an image that is missing", json!({ "image": "/no/such.png" })),
        ("an unknown mode of the sandbox", json!({ "thread": { "sandboxMode": "wide" } })),
    ] {
        rows.push(row(format!("caught: {name}"), move || {
            let server = ModelServer::start(Script::always(say("never")));
            let stage = Stage::new();
            let mut wanted = wanted;
            wanted["size"] = json!(200_000);
            wanted["times"] = json!(5);
            let result = probe(&stage, &server.url(), wanted);
            assert_eq!(result["caught"], 5, "{result}");
        }));
    }
    rows.push(row("every option of the types at once", || {
        let server = ModelServer::start(Script::always(say("{\"ok\":true}")));
        let stage = Stage::new();
        stage.write("sub/x", "");
        let thread = json!({
            "model": "m", "threadSource": "my-app", "sandboxMode": "workspace-write",
            "skipGitRepoCheck": true, "modelReasoningEffort": "persistent",
            "networkAccessEnabled": false, "webSearchMode": "live", "webSearchEnabled": true,
            "approvalPolicy": "on-failure",
            "additionalDirectories": [stage.work().join("sub")],
        });
        let schema = json!({ "type": "object", "properties": { "ok": { "type": "boolean" } },
            "required": ["ok"], "additionalProperties": false });
        let turn = json!({ "cyberAccessProgram": "daybreak_blue", "outputSchema": schema });
        let config = json!({ "features": { "some_feature": true }, "hide_agent_reasoning": true });
        let wanted = json!({ "thread": thread, "turn": turn, "config": config,
            "overrides": ["model_verbosity=\"low\""] });
        let result = probe(&stage, &server.url(), wanted);
        assert_eq!(result["final"], "{\"ok\":true}", "{result}");
    }));
    rows.push(row("a wrong key names the variable the SDK sets", || {
        let server = ModelServer::start(Script::always(status(401)));
        let stage = Stage::new();
        let result = probe(&stage, &server.url(), json!({}));
        any(result["message"].as_str().unwrap_or_default(), &["CODEX_API_KEY"]);
    }));
    table("sdk: driven by it", &[], rows);
}
