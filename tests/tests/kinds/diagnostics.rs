//! Diagnostics that answer the question that was asked.

use super::{
    common::{
        all, any, completes, configured, end, fails, go, items, none, outputs, playing, put,
        saying, settings, shell, there, told,
    },
    table::{Row, row, skip, table},
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    time::Duration,
};
use troupe_tests::{
    binary,
    model_server::*,
    stage::{Finished, Stage},
};

const RULES: &str = "[[rule]]\nprefix = [\"git\", \"push\"]\ndecision = \"ask\"\nreason = \"it reaches others\"\n\n[[rule]]\nprefix = [\"make\"]\ndecision = \"allow\"\n\n[[rule]]\nprefix = [\"frobnicate\"]\ndecision = \"deny\"\n";

/// `policy check --for exec` for a command.
fn check(stage: &Stage, more: &[&str], command: &str) -> Finished {
    go(stage.troupe(["policy", "check", "--for", "exec"]).args(more).args(["--", command]))
}

#[test]
fn policy_check() {
    let mut rows = Vec::new();
    for (command, mode, runs) in [
        ("ls -l", "read-only", true),
        ("make all", "workspace-write", true),
        ("cargo build", "workspace-write", true),
        ("rm -rf *", "workspace-write", false),
        ("rm -rf *", "danger-full-access", true),
        ("git reset --hard", "workspace-write", false),
        ("git push origin main", "workspace-write", false),
        ("cd sub && git push", "workspace-write", false),
        ("true; git push", "workspace-write", false),
        ("bash -c 'git push'", "workspace-write", false),
        ("frobnicate now", "danger-full-access", false),
        ("echo $(frobnicate now)", "workspace-write", false),
        ("if then fi ((", "workspace-write", false),
    ] {
        rows.push(row(format!("as exec decides: {command} ({mode})"), move || {
            let server = ModelServer::start(Script::new().turn(shell(command)).otherwise(say("x")));
            let stage = configured(&server);
            put(stage.troupe_home().join("rules/mine.toml"), RULES);
            let finished = check(&stage, &["-s", mode], command);
            let code = finished.code().unwrap();
            assert_eq!(code == 0, runs, "code {code}: {}{}", finished.stdout(), finished.stderr());
            assert_ne!(code, 2, "{}", finished.stderr());
            if !runs {
                // What it says is what a run does. Commands that may run are not run here.
                completes(&go(stage.troupe(["exec", "--json", "-s", mode, "go"])));
                any(&outputs(&server)[0], &["refused", "denied"]);
                any(&finished.stdout(), &["deny", "refuse"]);
            }
        }));
    }
    rows.push(row("the rule that decided is named", || {
        let (_server, stage) = saying("x");
        put(stage.troupe_home().join("rules/mine.toml"), RULES);
        for more in [&[][..], &["--json"], &["--explain"]] {
            let finished = check(&stage, more, "git push");
            any(&finished.stdout(), &["mine.toml"]);
        }
        let finished = check(&stage, &[], "git push");
        none(&finished.stdout(), &["decided by: approval policy"]);
    }));
    rows.push(row("a verdict in JSON, and the code beside it", || {
        let (_server, stage) = saying("x");
        put(stage.troupe_home().join("rules/mine.toml"), RULES);
        let finished = check(&stage, &["--json"], "git push");
        assert_ne!(finished.code(), Some(0));
        let value: Value = serde_json::from_str(&finished.stdout()).unwrap();
        assert_eq!(value["verdict"], "deny");
        let finished = check(&stage, &["--json"], "make");
        assert_eq!(finished.code(), Some(0));
        let value: Value = serde_json::from_str(&finished.stdout()).unwrap();
        assert_eq!(value["verdict"], "allow");
    }));
    rows.push(row("three codes: runs, does not, cannot say", || {
        let (_server, stage) = saying("x");
        put(stage.troupe_home().join("rules/mine.toml"), RULES);
        let (runs, not) = (check(&stage, &[], "make"), check(&stage, &[], "frobnicate"));
        put(stage.troupe_home().join("rules/bad.toml"), "nonsense");
        let broken = check(&stage, &[], "make");
        let codes = [runs.code(), not.code(), broken.code()];
        assert!(
            codes[0] == Some(0) && codes[1] != codes[2] && !codes[1..].contains(&Some(0)),
            "{codes:?}"
        );
    }));
    rows.push(row("without --for: deny and ask are not 0", || {
        let (_server, stage) = saying("x");
        put(stage.troupe_home().join("rules/mine.toml"), RULES);
        for command in ["frobnicate", "git push"] {
            let finished = go(stage.troupe(["policy", "check", "--", command]));
            assert_ne!(finished.code(), Some(0), "{}", finished.stdout());
        }
        go(stage.troupe(["policy", "check", "--", "make"])).assert_success();
    }));
    rows.push(row("a policy of the configuration does not change what exec does", || {
        let (_server, stage) = saying("x");
        for policy in ["untrusted", "on-request", "never"] {
            let place = format!("approval_policy={policy}");
            let finished =
                go(stage
                    .troupe(["-c", &place, "policy", "check", "--for", "exec", "--", "rm -rf *"]));
            assert_ne!(finished.code(), Some(0), "{policy}");
        }
    }));
    rows.push(row("asking to leave the sandbox is refused in exec", || {
        let (_server, stage) = saying("x");
        let finished = check(&stage, &["--escalate"], "make");
        assert_ne!(finished.code(), Some(0), "{}", finished.stdout());
    }));
    rows.push(row("words and one script are the same", || {
        let (_server, stage) = saying("x");
        put(stage.troupe_home().join("rules/mine.toml"), RULES);
        let run = stage.troupe(["policy", "check", "--for", "exec", "--", "git", "push", "origin"]);
        assert_ne!(go(run).code(), Some(0));
    }));
    rows.push(row("a front end that is none", || {
        let (_server, stage) = saying("x");
        let finished = go(stage.troupe(["policy", "check", "--for", "moon", "--", "ls"]));
        assert_eq!(finished.code(), Some(2));
        all(&finished.stderr(), &["exec"]);
    }));
    table("diagnostics: policy check", &[], rows);
}

/// A server that speaks no HTTP: it answers every connection with these bytes, or not at all.
fn raw(answer: Option<&'static [u8]>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for mut stream in listener.incoming().flatten() {
            match answer {
                Some(bytes) => {
                    let _request = stream.read(&mut [0; 4096]);
                    let _gone = stream.write_all(bytes);
                }
                None => kept.push(stream),
            }
        }
    });
    format!("http://127.0.0.1:{port}/v1")
}

fn unwell(
    name: &'static str,
    url: impl Fn() -> String + Send + 'static,
    words: &'static [&'static str],
) -> Row {
    row(format!("not well: {name}"), move || {
        let url = url();
        let stage = Stage::new().with_config(&settings(&url, "responses"));
        let finished = go(stage.troupe(["doctor"]).limit(Duration::from_secs(15)));
        assert_ne!(finished.code(), Some(0), "{}", finished.stdout());
        any(&finished.stdout(), words);
    })
}

fn doctor_of(script: Script, name: &'static str, words: &'static [&'static str]) -> Row {
    row(format!("not well: {name}"), move || {
        let server = ModelServer::start(script);
        let stage = configured(&server);
        let finished = go(stage.troupe(["doctor"]).limit(Duration::from_secs(15)));
        assert_ne!(finished.code(), Some(0), "{}", finished.stdout());
        any(&finished.stdout(), words);
    })
}

#[test]
fn doctor() {
    let models = "/v1/models";
    let rows = vec![
        unwell(
            "nobody listens, another port",
            || "http://127.0.0.1:1/v1".to_owned(),
            &["127.0.0.1:1"],
        ),
        unwell(
            "a name that is none",
            || "http://no-such-host.invalid/v1".to_owned(),
            &["no-such-host.invalid"],
        ),
        unwell("silence", || raw(None), &["127.0.0.1"]),
        unwell("no HTTP at all", || raw(Some(b"SSH-2.0-OpenSSH_9\r\n")), &["127.0.0.1"]),
        unwell("it hangs up", || raw(Some(b"")), &["127.0.0.1"]),
        unwell(
            "half a head, then the end",
            || raw(Some(b"HTTP/1.1 200 OK\r\nConte")),
            &["127.0.0.1"],
        ),
        unwell(
            "https where http is spoken",
            || {
                raw(Some(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
                    .replace("http:", "https:")
            },
            &["127.0.0.1"],
        ),
        doctor_of(
            Script::always(say("x")).route(models, status(401)),
            "a wrong key",
            &["key", "401", "credential"],
        ),
        doctor_of(
            Script::always(say("x")).route(models, status(403)),
            "a key without rights",
            &["key", "403", "credential"],
        ),
        doctor_of(Script::always(say("x")).route(models, status(500)), "500", &["500"]),
        doctor_of(Script::always(say("x")).route(models, status(503)), "503", &["503"]),
        doctor_of(
            Script::always(say("x"))
                .route(models, status(200).content_type("text/html").body("<html>hello</html>")),
            "a web page",
            &["html", "JSON", "not an API", "answer"],
        ),
        doctor_of(
            Script::always(say("x")).models(["other-model", "third"]),
            "a model that is not there",
            &["other-model", "`m`", "\"m\""],
        ),
        row("well: the server was asked", || {
            let server = ModelServer::start(Script::always(say("x")).models(["m"]));
            let stage = configured(&server);
            let finished = go(stage.troupe(["doctor"]));
            finished.assert_success();
            assert!(server.connections() > 0, "the server was not asked: {}", finished.stdout());
            assert!(server.requests().is_empty(), "no answer of the model is paid for");
        }),
        row("well: the key is sent", || {
            let server = ModelServer::start(Script::always(say("x")).models(["m"]));
            let text = format!("{}env_key = \"MY_KEY\"\n", settings(&server.url(), "chat"));
            let stage = Stage::new().with_config(&text);
            let finished = go(stage.troupe(["doctor"]).env("MY_KEY", "sk-the-key"));
            finished.assert_success();
            let asked = server.all_requests();
            assert_eq!(asked[0].header("authorization"), Some("Bearer sk-the-key"));
            none(&finished.stdout(), &["sk-the-key"]);
        }),
        row("a key that is not set", || {
            let server = ModelServer::start(Script::always(say("x")).models(["m"]));
            let text = format!("{}env_key = \"MY_KEY\"\n", settings(&server.url(), "chat"));
            let stage = Stage::new().with_config(&text);
            let finished = go(stage.troupe(["doctor"]));
            assert_ne!(finished.code(), Some(0));
            all(&finished.stdout(), &["MY_KEY"]);
        }),
        row("a broken configuration", || {
            let stage = Stage::new().with_config("model = \n");
            let finished = go(stage.troupe(["doctor"]));
            assert_ne!(finished.code(), Some(0));
            all(&format!("{}{}", finished.stdout(), finished.stderr()), &["config.toml"]);
        }),
        row("in JSON", || {
            let stage = Stage::new().with_config(&settings("http://127.0.0.1:9/v1", "responses"));
            let finished = go(stage.troupe(["doctor", "--json"]));
            assert_ne!(finished.code(), Some(0));
            let wrong = finished.json_lines().into_iter().filter(|line| line["check"] != "sandbox");
            assert!(wrong.into_iter().any(|line| line["grade"] != "ok"), "{}", finished.stdout());
        }),
    ];
    table("diagnostics: doctor", &[], rows);
}

/// What a paste of the trust hint makes of the configuration.
fn trusts(name: &'static str, folder: &'static str) -> Row {
    row(format!("the hint for trust can be pasted: {name}"), move || {
        let (server, stage) = saying("fine");
        let work = stage.root().join(folder);
        put(work.join(".git/HEAD"), "ref: refs/heads/main\n");
        put(work.join(".troupe/config.toml"), "developer_instructions = \"PROJECT-SAYS\"\n");
        let first = go(stage.troupe(["exec", "go"]).folder(&work));
        first.assert_success();
        none(&server.requests()[0].body.to_string(), &["PROJECT-SAYS"]);
        let file = stage.troupe_home().join("config.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}\n{}\n", pasted(&first.stderr()))).unwrap();
        let second = go(stage.troupe(["exec", "go"]).folder(&work));
        assert_eq!(
            second.code(),
            Some(0),
            "{}\n{}",
            second.stderr(),
            fs::read_to_string(&file).unwrap()
        );
        all(&server.requests().last().unwrap().body.to_string(), &["PROJECT-SAYS"]);
    })
}

/// The lines of a warning that are TOML: from the table's head to the level of trust.
fn pasted(stderr: &str) -> String {
    let from = stderr.find("[projects.").unwrap_or_else(|| panic!("no table in: {stderr}"));
    let rest = &stderr[from..];
    let word = "trust_level = \"trusted\"";
    let to = rest.find(word).unwrap_or_else(|| panic!("no level in: {stderr}")) + word.len();
    let lines: Vec<&str> = rest[..to].lines().map(str::trim).collect();
    lines.join("\n")
}

#[test]
fn hints() {
    let mut rows = vec![
        trusts("a plain folder", "plain"),
        trusts("blanks", "with blanks in it"),
        trusts("a quote", "it's"),
        trusts("double quotes", "the \"best\" one"),
        trusts("a backslash", "back\\slash"),
        trusts("long characters", "größe 🙂"),
        trusts("dots and brackets", "a.b[c]=d"),
        trusts("a hash", "c#"),
    ];
    rows.push(row("the hint for trust through a link", || {
        let (server, stage) = saying("fine");
        let work = stage.root().join("real");
        put(work.join(".git/HEAD"), "ref: refs/heads/main\n");
        put(work.join(".troupe/config.toml"), "developer_instructions = \"PROJECT-SAYS\"\n");
        super::common::link(&work, stage.root().join("linked"));
        let linked = stage.root().join("linked");
        let first = go(stage.troupe(["exec", "go"]).folder(&linked));
        let file = stage.troupe_home().join("config.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}\n{}\n", pasted(&first.stderr()))).unwrap();
        go(stage.troupe(["exec", "go"]).folder(&linked)).assert_success();
        all(&server.requests().last().unwrap().body.to_string(), &["PROJECT-SAYS"]);
    }));
    for (key, value) in [
        ("sandbox_allow_hosts", "[\"example.org\"]"),
        ("sandbox_mode", "\"workspace-write\""),
        ("model_reasoning_effort", "\"high\""),
        ("turn_timeout_ms", "1000"),
        ("project_doc_max_bytes", "100"),
    ] {
        rows.push(row(format!("a setting below a table: {key}"), move || {
            let server = ModelServer::start(Script::always(say("fine")));
            let text = format!("{}{key} = {value}\n", settings(&server.url(), "responses"));
            let stage = Stage::new().with_config(&text);
            let finished = go(stage.troupe(["exec", "go"]));
            all(&finished.stderr(), &[key]);
            any(
                &finished.stderr(),
                &["above", "before the first table", "top of the file", "top level"],
            );
        }));
    }
    for key in [
        "sk-abcdef1234567890",
        "gsk_abcdef1234567890",
        "Bearer abcdef1234567890",
        "$OPENAI_API_KEY",
        "${MY_KEY}",
        "xai-0123456789abcdefghijkl",
        "0123456789abcdef0123456789abcdef",
        "AIzaSyA0123456789abcdefghij",
    ] {
        rows.push(row(format!("a key in place of its variable: {key}"), move || {
            let server = ModelServer::start(Script::always(say("never")));
            let text = format!("{}env_key = \"{key}\"\n", settings(&server.url(), "chat"));
            let stage = Stage::new().with_config(&text);
            for arguments in [&["exec", "--json", "go"][..], &["doctor"], &["config", "show"]] {
                let finished = go(stage.troupe(arguments));
                let said = format!("{}{}", finished.stdout(), finished.stderr());
                if !key.starts_with('$') {
                    none(&said, &[key]);
                }
                if arguments[0] == "exec" {
                    assert_eq!(finished.code(), Some(3), "{said}");
                    all(&said, &["env_key"]);
                }
            }
            assert!(server.requests().is_empty());
        }));
    }
    for (wrong, right) in [
        ("api_key", &["env_key", "experimental_bearer_token"][..]),
        ("apikey", &["env_key", "experimental_bearer_token"]),
        ("token", &["env_key", "experimental_bearer_token"]),
        ("url", &["base_url"]),
        ("wire", &["wire_api"]),
        ("headers", &["http_headers"]),
    ] {
        rows.push(row(format!("a name that is near: {wrong}"), move || {
            let server = ModelServer::start(Script::always(say("fine")));
            let text =
                format!("{}{wrong} = \"sk-secret-value\"\n", settings(&server.url(), "chat"));
            let stage = Stage::new().with_config(&text);
            let finished = go(stage.troupe(["exec", "go"]));
            any(&finished.stderr(), right);
            none(&finished.stderr(), &["sk-secret-value"]);
        }));
    }
    for (name, arguments, variables) in [
        ("-p", vec!["-p", "fst"], vec![]),
        ("the environment", vec![], vec![("TROUPE_PROFILE", "fst")]),
        ("-c", vec!["-c", "profile=fst"], vec![]),
    ] {
        rows.push(row(format!("an unknown profile by {name}"), move || {
            let server = ModelServer::start(Script::always(say("fine")));
            let text =
                format!("{}[profiles.fast]\nmodel = \"f\"\n", settings(&server.url(), "chat"));
            let stage = Stage::new().with_config(&text);
            let mut run = stage.troupe(arguments.iter().copied().chain(["exec", "--json", "go"]));
            for (name, value) in variables {
                run = run.env(name, value);
            }
            let message = fails(&go(run), 3);
            all(&message, &["fst", "fast"]);
        }));
    }
    rows.push(row("an unknown profile where there is none", || {
        let (_server, stage) = saying("fine");
        let message = fails(&go(stage.troupe(["-p", "fast", "exec", "--json", "go"])), 3);
        all(&message, &["fast", "profiles"]);
    }));
    for words in ["help", "review", "login", "logout", "mcp", "apply"] {
        rows.push(row(
            format!("a command of another program is no prompt: exec {words}"),
            move || {
                let (server, stage) = saying("fine");
                let finished = go(stage.troupe(["exec", words]));
                if ["help", "review"].contains(&words) {
                    assert!(server.requests().is_empty(), "it was sent to the model");
                }
                assert!(finished.code().is_some());
            },
        ));
    }
    for (arguments, words) in [
        (vec!["fix it"], "exec"),
        (vec!["fix the failing test"], "exec"),
        (vec!["fix", "the", "bug"], "exec"),
        (vec!["resume"], "exec resume"),
        (vec!["resume", "--last"], "exec resume"),
        (vec!["run", "go"], "exec"),
        (vec!["-s", "workspace-write", "fix it"], "exec"),
        (vec!["--json", "fix it"], "exec"),
        (vec!["session", "list"], "sessions"),
    ] {
        rows.push(row(format!("not a command: {arguments:?}"), move || {
            let finished = go(Stage::new().program(binary::troupe()).args(&arguments));
            assert_eq!(finished.code(), Some(2));
            any(&finished.stderr(), &[words]);
            none(&finished.stderr(), &["'e'"]);
        }));
    }
    rows.push(row("an image is looked for in the working directory", || {
        let (server, stage) = saying("fine");
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\0\x05\0\x01\xff\xa7\x9a\xd3\xba\0\0\0\0IEND\xaeB`\x82";
        stage.write("sub/a.png", png);
        let finished = go(stage.troupe(["exec", "--json", "-C", "sub", "-i", "a.png", "--", "go"]));
        completes(&finished);
        any(&server.requests()[0].body.to_string(), &["data:image/png"]);
    }));
    for command in [
        "curl -s http://example.com/",
        "getent hosts example.com",
        "python3 -c \"import urllib.request as u; u.urlopen('http://example.com/')\"",
        "git ls-remote https://example.com/x.git",
        "bash -c 'exec 3<>/dev/tcp/example.com/80'",
    ] {
        rows.push(row(format!("the network is off: sandbox -- {command}"), move || {
            let stage = Stage::new();
            let finished = go(stage
                .troupe(["sandbox", "--", "sh", "-c", command])
                .limit(Duration::from_secs(15)));
            if finished.code() == Some(0) {
                skip("the command has succeeded");
            }
            any(&finished.stderr(), &["network is off", "network_access"]);
        }));
    }
    for (name, config) in [
        ("plain", "model = \"m\"\n".to_owned()),
        ("quotes", "developer_instructions = \"a \\\"b\\\" 'c' \\\\ # d\"\n".to_owned()),
        ("lines", "developer_instructions = \"\"\"one\ntwo = 3\n[x]\n\"\"\"\n".to_owned()),
        ("a long value", format!("developer_instructions = \"{}\"\n", "long ".repeat(500))),
        ("tables", "[model_providers.\"a b\"]\nbase_url = \"http://x.example/v1\"\nquery_params = { \"a.b\" = \"c\" }\n[profiles.p]\nmodel = \"x\"\n[projects.\"/a b\"]\ntrust_level = \"trusted\"\n".to_owned()),
        ("lists", "sandbox_deny_read = [\"**/*.pem\", \"/a\\\"b\"]\nproject_root_markers = []\n".to_owned()),
        ("nothing", String::new()),
    ] {
        rows.push(row(format!("config show is TOML: {name}"), move || {
            let stage = Stage::new().with_config(&config);
            let finished = go(stage.program(binary::troupe()).args(["config", "show"]));
            finished.assert_success();
            let shown: toml::Table = finished.stdout().parse().unwrap_or_else(|error| panic!("{error}\n{}", finished.stdout()));
            let given: toml::Table = config.parse().unwrap();
            for (key, value) in given.iter().filter(|(_, value)| !value.is_table()) {
                assert_eq!(shown.get(key), Some(value), "{key}");
            }
        }));
    }
    rows.push(row("another folder is said when a session goes on there", || {
        let (server, stage) = saying("fine");
        completes(&go(stage.troupe(["exec", "--json", "go"])));
        let other = stage.root().join("elsewhere");
        fs::create_dir(&other).unwrap();
        let id = stage.log().session();
        let finished = go(stage.troupe(["exec", "resume", &id, "more"]).folder(&other));
        finished.assert_success();
        all(&finished.stderr(), &[other.to_str().unwrap()]);
        assert_eq!(server.requests().len(), 2);
    }));
    rows.push(row("tokens of a cut stream are not said to be none", || {
        let gate = Gate::new();
        let text = deltas(vec!["words and words "; 50]).wait_at(Point::Deltas(40), &gate);
        let server = ModelServer::start(Script::always(text));
        let stage = configured(&server);
        let running = stage.troupe(["exec", "go"]).start();
        gate.wait_arrived(1);
        running.signal(troupe_tests::stage::Signal::Interrupt);
        let finished = running.wait();
        let said = finished.stderr();
        let lines: Vec<&str> = said.lines().map(str::trim).collect();
        assert!(!lines.iter().any(|line| line.ends_with("tokens used: 0")), "{said}");
    }));
    rows.push(row("what runs in the background is said to have ended", || {
        let (_server, stage) =
            playing([call("exec_command", json!({ "cmd": "sleep 300", "yield_time_ms": 250 }))]);
        let finished = go(stage.troupe(["exec", "--json", "go"]));
        completes(&finished);
        let told: String = items(&finished, "error").iter().map(Value::to_string).collect();
        all(&told, &["sleep 300"]);
        let (_server, stage) =
            playing([call("exec_command", json!({ "cmd": "sleep 300", "yield_time_ms": 250 }))]);
        let finished = go(stage.troupe(["exec", "go"]));
        none(&finished.stderr(), &["until the session is closed"]);
    }));
    table("diagnostics: hints", &[], rows);
}

/// A page of HTTP at a port of this machine.
fn page() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _request = stream.read(&mut [0; 4096]);
            let _gone = stream.write_all(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\nreached it",
            );
        }
    });
    port
}

fn reaches(name: &'static str, rule: &'static str, command: &'static str, reached: bool) -> Row {
    row(format!("{name}: {rule}"), move || {
        let port = page();
        let (rule, command) =
            (rule.replace("PORT", &port.to_string()), command.replace("PORT", &port.to_string()));
        let program = command.split_whitespace().next().unwrap().to_owned();
        if !there(&program) {
            skip(format!("no {program}"));
        }
        let stage = Stage::new();
        // Without them there is no way out at all, as the docs say.
        super::common::need_namespaces(&stage);
        let allow = format!("sandbox_allow_hosts=[{rule}]");
        let run = stage.troupe(["sandbox", "-c", &allow, "--", "sh", "-c", &command]);
        let finished = go(run.limit(Duration::from_secs(20)));
        assert_eq!(
            finished.stdout().contains("reached it"),
            reached,
            "{}{}",
            finished.stdout(),
            finished.stderr()
        );
    })
}

#[test]
fn loopback() {
    let curl = "curl -sS http://127.0.0.1:PORT/";
    let name = "curl -sS http://localhost:PORT/";
    let python = "python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:PORT/').read())\"";
    let python_name = "python3 -c \"import urllib.request as u; print(u.urlopen('http://localhost:PORT/').read())\"";
    let own = "python3 -m http.server 18999 --bind 127.0.0.1 >/dev/null 2>&1 & i=0; until curl -s --noproxy '*' -o /dev/null http://127.0.0.1:18999/ || [ $i -gt 60 ]; do i=$((i+1)); sleep 0.1; done; curl -sS -o /dev/null -w '%{http_code} reached it' http://127.0.0.1:18999/ | grep '200 reached'";
    let mut rows = vec![
        reaches("curl", "\"127.0.0.1:PORT\"", curl, true),
        reaches("curl", "\"127.0.0.0/8:PORT\"", curl, true),
        reaches("curl", "\"127.0.0.1:*\"", curl, true),
        reaches("curl", "\"127.0.0.1:1024-65535\"", curl, true),
        reaches("curl", "\"example.org\", \"127.0.0.1:PORT\"", curl, true),
        reaches("a name", "\"localhost:PORT\"", name, true),
        reaches("a name", "\"localhost:*\"", name, true),
        reaches("python", "\"127.0.0.1:PORT\"", python, true),
        reaches("python, a name", "\"localhost:PORT\"", python_name, true),
        reaches("another port is refused", "\"127.0.0.1:1\"", curl, false),
        reaches("without a port 80 and 443 are meant", "\"127.0.0.1\"", curl, false),
        reaches("every public host is not this machine", "\"*\"", curl, false),
        reaches("another host", "\"example.org\"", curl, false),
        reaches("a server of its own", "\"127.0.0.1:PORT\"", own, true),
        reaches("a server of its own", "\"localhost:PORT\"", own, true),
        reaches("a server of its own", "\"example.org\"", own, true),
        row("a denial wins", || {
            let port = page();
            let allow = format!("sandbox_allow_hosts=[\"127.0.0.1:{port}\"]");
            let stage = Stage::new();
            let run = stage.troupe([
                "sandbox",
                "-c",
                &allow,
                "-c",
                "sandbox_deny_hosts=[\"127.0.0.0/8\"]",
                "--",
                "curl",
                "-sS",
                &format!("http://127.0.0.1:{port}/"),
            ]);
            assert!(!go(run).stdout().contains("reached it"));
        }),
    ];
    for (program, command) in [
        ("curl", "curl -sS http://127.0.0.1:PORT/"),
        (
            "python3",
            "python3 -c \"import urllib.request as u; print(u.urlopen('http://localhost:PORT/').read())\"",
        ),
    ] {
        rows.push(row(format!("in a session: {program}"), move || {
            let port = page();
            let (server, stage) = playing([shell(&command.replace("PORT", &port.to_string()))]);
            super::common::need_namespaces(&stage);
            let allow = format!("sandbox_allow_hosts=[\"127.0.0.1:{port}\",\"localhost:{port}\"]");
            completes(&go(stage.troupe([
                "exec",
                "--json",
                "-s",
                "workspace-write",
                "-c",
                &allow,
                "go",
            ])));
            all(&outputs(&server)[0], &["reached it"]);
        }));
    }
    rows.push(row("in a session: a refusal is said", || {
        let port = page();
        let (server, stage) = playing([shell(&format!("curl -sS http://127.0.0.1:{port}/"))]);
        completes(&go(stage.troupe([
            "exec",
            "--json",
            "-c",
            "sandbox_allow_hosts=[\"example.org\"]",
            "go",
        ])));
        any(&outputs(&server)[0], &["127.0.0.1", "network"]);
        none(&outputs(&server)[0], &["reached it"]);
    }));
    table("diagnostics: loopback", &[], rows);
}

fn error(code: u16, body: Value) -> Turn {
    status(code).body(body.to_string())
}

#[test]
fn servers_that_refuse() {
    let mut rows = Vec::new();
    let message = |text: &str| json!({ "error": { "message": text, "type": "invalid_request_error", "code": "model_not_found", "param": null } });
    for (name, turn) in [
        (
            "OpenAI",
            error(404, message("The model `m` does not exist or you do not have access to it.")),
        ),
        ("OpenAI, 400", error(400, message("The requested model 'm' does not exist."))),
        ("OpenAI, 403", error(403, message("Project `p` does not have access to model `m`"))),
        (
            "Ollama",
            error(
                404,
                json!({ "error": { "message": "model \"m\" not found, try pulling it first", "type": "api_error", "param": null, "code": null } }),
            ),
        ),
        (
            "Ollama, older",
            error(404, json!({ "error": "model 'm' not found, try pulling it first" })),
        ),
        (
            "vLLM",
            error(
                404,
                json!({ "object": "error", "message": "The model `m` does not exist.", "type": "NotFoundError", "param": null, "code": 404 }),
            ),
        ),
        (
            "vLLM, newer",
            error(
                404,
                json!({ "error": { "message": "The model `m` does not exist.", "type": "NotFoundError", "param": "model", "code": 404 } }),
            ),
        ),
        (
            "LM Studio",
            error(
                404,
                json!({ "error": { "message": "Failed to load model \"m\". Error: Model does not exist.", "type": "invalid_request_error", "param": "model", "code": "model_not_found" } }),
            ),
        ),
        (
            "OpenRouter",
            error(400, json!({ "error": { "message": "m is not a valid model ID", "code": 400 } })),
        ),
        (
            "Azure",
            error(
                404,
                json!({ "error": { "code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist." } }),
            ),
        ),
        (
            "LiteLLM",
            error(
                400,
                json!({ "error": { "message": "Invalid model name passed in model=m. Call `/v1/models` to view available models", "type": "None", "param": "None", "code": "400" } }),
            ),
        ),
        ("in the stream", calls([]).failed("model_not_found", "The model `m` does not exist.")),
    ] {
        for wire in [Wire::Responses, Wire::Chat] {
            let turn = turn.clone();
            rows.push(row(format!("the model is unknown: {name}, {wire:?}"), move || {
                let server = ModelServer::start(Script::always(turn));
                let stage = Stage::new().with_wire(&server, wire);
                let finished = go(stage.troupe(["exec", "--json", "go"]));
                assert_ne!(finished.code(), Some(0));
                let end = end(&finished);
                let message = end["error"]["message"].as_str().unwrap();
                all(message, &["-m", "model"]);
                none(message, &["wire_api", "base_url"]);
                assert_eq!(server.requests().len(), 1, "it is not asked again");
            }));
        }
    }
    for (name, turn) in [
        (
            "llama.cpp: images",
            error(
                500,
                json!({ "error": { "code": 500, "message": "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj", "type": "server_error" } }),
            ),
        ),
        (
            "llama.cpp: a template",
            error(
                500,
                json!({ "error": { "code": 500, "message": "tools param requires --jinja flag", "type": "server_error" } }),
            ),
        ),
        (
            "a page",
            status(500).content_type("text/html").body("<html>Internal Server Error</html>"),
        ),
        ("plain text", status(500).content_type("text/plain").body("boom")),
        ("an empty body", status(500).body("")),
        ("the usual", status(500)),
        ("not implemented", error(501, json!({ "error": { "message": "not supported" } }))),
    ] {
        for wire in [Wire::Responses, Wire::Chat] {
            let turn = turn.clone();
            rows.push(row(format!("a 500 that stays: {name}, {wire:?}"), move || {
                let server = ModelServer::start(Script::always(turn));
                let stage = Stage::new().with_wire(&server, wire);
                let finished = go(stage.troupe(["exec", "--json", "go"]));
                let count = server.requests().len();
                assert!(count <= 3, "asked {count} times");
                fails(&finished, 8);
            }));
        }
    }
    for code in [500, 502, 503, 504, 529, 408] {
        rows.push(row(format!("passing trouble is tried again: {code}"), move || {
            let server = ModelServer::start(Script::always(status(code).then(say("whole"))));
            let stage = configured(&server);
            completes(&go(stage.troupe(["exec", "--json", "go"])));
        }));
    }
    rows.push(row("503 is tried more than twice", || {
        let server = ModelServer::start(Script::always(status(503).times(3).then(say("whole"))));
        let stage = configured(&server);
        completes(&go(stage.troupe(["exec", "--json", "go"])));
    }));
    for (name, url) in [
        ("a typing error", "http://no-such-host.invalid/v1"),
        ("with a port", "http://no-such-host.invalid:8080/v1"),
    ] {
        rows.push(row(format!("a host that is none: {name}"), move || {
            let stage = Stage::new().with_config(&settings(url, "responses"));
            let finished =
                go(stage.troupe(["exec", "--json", "go"]).limit(Duration::from_secs(20)));
            let message = fails(&finished, 5);
            all(&message, &["no-such-host.invalid"]);
            none(&message, &["is it running?"]);
            let again = finished.json_lines().iter().filter(|line| line["type"] == "error").count();
            assert!(again <= 2, "tried {again} times again");
        }));
    }
    rows.push(row("a server far away is not asked whether it runs", || {
        let stage = Stage::new()
            .with_config(&settings("http://192.0.2.1:9/v1", "responses"))
            .with_arguments([
                "-c",
                "model_providers.test.connect_timeout_ms=300",
                "-c",
                "model_providers.test.request_max_retries=0",
                "-c",
                "model_providers.test.stream_max_retries=0",
            ]);
        let finished = go(stage.troupe(["exec", "--json", "go"]));
        none(&told(&finished), &["is it running?"]);
    }));
    table("diagnostics: servers", &[], rows);
}
