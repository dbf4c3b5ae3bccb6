//! What cannot be read stops every action: files of rules, requirements, hosts and denials.

use super::{
    common::{
        adds, all, configured, fails, fifo, go, is_root, link, need_namespaces, outputs, put,
        saying, settings, shell, told,
    },
    table::{row, skip, table},
};
use serde_json::json;
use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};
use troupe_tests::{
    binary,
    model_server::*,
    stage::{Stage, Stdin},
};

const GOOD: &str = "[[rule]]\nprefix = [\"make\"]\ndecision = \"allow\"\n";

/// A set of rules that cannot be used, made in the folder of rules.
type Unusable = (&'static str, fn(&Path));

fn unusable() -> Vec<Unusable> {
    vec![
        ("no TOML", |rules| put(rules.join("bad.toml"), "[[rule]\nprefix = [\"x\"]\n")),
        ("bytes", |rules| put(rules.join("bad.toml"), b"\xff\xfe\x00\x01\x02")),
        ("UTF-16", |rules| {
            let text: Vec<u8> = GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect();
            put(rules.join("bad.toml"), [b"\xff\xfe".to_vec(), text].concat());
        }),
        ("a table of another name", |rules| {
            put(rules.join("bad.toml"), GOOD.replace("[[rule]]", "[[rules]]"));
        }),
        ("a word that is no decision", |rules| {
            put(rules.join("bad.toml"), GOOD.replace("\"allow\"", "\"prompt\""));
        }),
        ("no decision", |rules| put(rules.join("bad.toml"), "[[rule]]\nprefix = [\"x\"]\n")),
        ("no prefix", |rules| put(rules.join("bad.toml"), "[[rule]]\ndecision = \"deny\"\n")),
        ("an empty prefix", |rules| {
            put(rules.join("bad.toml"), "[[rule]]\nprefix = []\ndecision = \"deny\"\n");
        }),
        ("a prefix that is a text", |rules| {
            put(rules.join("bad.toml"), "[[rule]]\nprefix = \"rm\"\ndecision = \"deny\"\n");
        }),
        ("a place that is none", |rules| {
            put(rules.join("bad.toml"), format!("{GOOD}where = \"moon\"\n"));
        }),
        ("an example that does not match", |rules| {
            put(rules.join("bad.toml"), format!("{GOOD}match = [\"cargo build\"]\n"));
        }),
        ("a counterexample that matches", |rules| {
            put(rules.join("bad.toml"), format!("{GOOD}not_match = [\"make all\"]\n"));
        }),
        ("a good file beside a bad one", |rules| {
            put(rules.join("a.toml"), GOOD);
            put(rules.join("bad.toml"), "nonsense");
        }),
        ("approvals that were cut short", |rules| {
            put(rules.join("approved.toml"), "[[rule]]\nprefix = [\"ma");
        }),
        ("a folder in place of a file", |rules| {
            fs::create_dir_all(rules.join("bad.toml")).unwrap();
        }),
        ("a link that leads nowhere", |rules| link("/no/such/file", rules.join("bad.toml"))),
        ("a link to itself", |rules| link("bad.toml", rules.join("bad.toml"))),
        ("a file that never ends", |rules| link("/dev/zero", rules.join("bad.toml"))),
        ("a fifo", |rules| fifo(rules.join("bad.toml"))),
        ("a file in place of the folder", |rules| put(rules, "nonsense")),
        ("the folder is a link that leads nowhere", |rules| link("/no/such/folder", rules)),
        ("a file without permission", |rules| {
            unless_root();
            put(rules.join("bad.toml"), GOOD);
            forbid(&rules.join("bad.toml"));
        }),
        ("a folder without permission", |rules| {
            unless_root();
            put(rules.join("good.toml"), GOOD);
            forbid(rules);
        }),
    ]
}

fn unless_root() {
    if is_root() {
        skip("root reads whatever its permissions say");
    }
}

fn forbid(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o0)).unwrap();
}

fn is_stopped(stage: &Stage, server: &ModelServer, arguments: &[&str]) {
    let finished = go(stage.troupe(arguments).limit(Duration::from_secs(20)));
    assert_eq!(finished.code(), Some(3), "{}{}", finished.stdout(), finished.stderr());
    assert!(server.requests().is_empty(), "nothing is asked of the model");
    if arguments.contains(&"--json") {
        all(&fails(&finished, 3), &["rules"]);
    }
    all(&told(&finished), &["rules"]);
}

#[test]
fn rules_that_cannot_be_used() {
    let mut rows = Vec::new();
    for (name, make) in unusable() {
        rows.push(row(name, move || {
            let server =
                ModelServer::start(Script::new().turn(adds("new.txt")).otherwise(say("x")));
            let stage = configured(&server);
            make(&stage.troupe_home().join("rules"));
            is_stopped(&stage, &server, &["exec", "--json", "-s", "workspace-write", "go"]);
            assert!(!stage.exists("new.txt"));
        }));
    }
    let ways: Vec<Vec<&'static str>> = vec![
        vec!["exec", "go"],
        vec!["exec", "--json", "--ephemeral", "go"],
        vec!["exec", "--json", "-s", "read-only", "go"],
        vec!["exec", "--json", "-s", "danger-full-access", "go"],
        vec!["exec", "--json", "--dangerously-bypass-approvals-and-sandbox", "go"],
        vec!["exec", "--json", "-c", "approval_policy=untrusted", "go"],
        vec!["exec", "--json", "resume", "--last", "more"],
        vec!["exec", "--json", "resume", "--last"],
        vec!["exec", "--json", "-C", "sub", "go"],
        vec!["exec", "--json", "--ignore-user-config", "-c", "model_provider=rehearsal", "go"],
    ];
    for arguments in ways {
        rows.push(row(format!("way: {}", arguments.join(" ")), move || {
            let server = ModelServer::start(Script::always(status(400)));
            let stage = configured(&server);
            stage.write("sub/x", "");
            let _first = go(stage.troupe(["exec", "--json", "first"]));
            let before = server.requests().len();
            put(stage.troupe_home().join("rules/bad.toml"), "[[rule]]\nprefx = 1\n");
            let finished = go(stage.troupe(&arguments));
            assert_eq!(finished.code(), Some(3), "{}{}", finished.stdout(), finished.stderr());
            assert_eq!(server.requests().len(), before, "nothing is asked of the model");
            // A bare resume has nothing to go on with here: either fault may be named first.
            if arguments.last() != Some(&"--last") {
                all(&told(&finished), &["bad.toml"]);
            }
        }));
    }
    rows.push(row("a prompt through a pipe", || {
        let (server, stage) = saying("never");
        put(stage.troupe_home().join("rules/bad.toml"), "nonsense");
        let run = stage.troupe(["exec", "--json"]).stdin(Stdin::Bytes(b"go".to_vec()));
        assert_eq!(go(run).code(), Some(3));
        assert!(server.requests().is_empty());
    }));
    rows.push(row("files that are no rules stop nothing", || {
        let (_server, stage) = saying("fine");
        put(stage.troupe_home().join("rules/bad.toml.bak"), "nonsense");
        put(stage.troupe_home().join("rules/README"), "nonsense");
        go(stage.troupe(["exec", "--json", "go"])).assert_success();
    }));
    for (name, place, content) in [
        ("requirements that are no TOML", "requirements.toml", "sandbox_modes = "),
        ("requirements with an unknown field", "requirements.toml", "sandbox_mode = [\"x\"]\n"),
        ("requirements with an unknown mode", "requirements.toml", "sandbox_modes = [\"wide\"]\n"),
        ("requirements that are a text", "requirements.toml", "sandbox_modes = \"read-only\"\n"),
        ("rules of the machine", "rules/bad.toml", "[[rule]]\nprefx = 1\n"),
        ("settings of the machine", "config.toml", "sandbox_mode = \"wide\"\n"),
    ] {
        rows.push(row(format!("the machine's: {name}"), move || {
            let (server, stage) = saying("never");
            need_namespaces(&stage);
            let script = "mount -t tmpfs none /etc && mkdir -p /etc/troupe/rules && printf %s \"$1\" > \"/etc/troupe/$2\" && shift 2 && exec \"$@\"";
            let run = stage.program("unshare").args(["-Urm", "sh", "-c", script, "sh"]);
            let run = run.args([content, place]).arg(binary::troupe());
            let finished = go(run.args(["exec", "--json", "-s", "workspace-write", "go"]));
            assert_eq!(finished.code(), Some(3), "{}{}", finished.stdout(), finished.stderr());
            assert!(server.requests().is_empty());
            all(&told(&finished), &[place]);
        }));
    }
    table("guards: rules", &[], rows);
}

/// Scripts that make `made` and cannot be taken apart, each with the limit that is named.
fn unread() -> Vec<(&'static str, String, &'static str)> {
    let different: String = (0..=20_000).map(|n| format!(": {n}\n")).collect();
    let nested =
        |open: &str, close: &str| format!("{}touch made{}", open.repeat(70), close.repeat(70));
    vec![
        ("many parts", format!("{different}touch made"), "20000 different parts"),
        ("many parts and a string", format!("{different}touch \"made\""), "20000 different parts"),
        ("subshells in subshells", nested("( ", " )"), "64 levels"),
        ("blocks in blocks", nested("{ ", "; }"), "64 levels"),
        ("substitutions", nested("echo $(", ")"), "64 levels"),
        ("conditions", nested("if true; then ", "; fi"), "64 levels"),
        ("programs that run others", format!("{}touch made", "nice ".repeat(12)), "8 levels"),
        ("evaluated again and again", format!("{}touch made", "eval ".repeat(12)), "8 levels"),
        ("a control character", ": '\u{1}'; touch made".to_owned(), "not what they seem"),
        ("a space that is none", ": '\u{a0}'; touch made".to_owned(), "not what they seem"),
        ("a comment that goes on", "touch made; echo \\\n#x".to_owned(), "a comment"),
        ("what is no script", "touch made\necho 'open".to_owned(), "cannot be parsed"),
    ]
}

#[test]
fn what_cannot_be_checked_against_the_rules() {
    let rule = |decision| format!("[[rule]]\nprefix = [\"touch\"]\ndecision = \"{decision}\"\n");
    let mut rows = Vec::new();
    for decision in ["deny", "ask", "allow"] {
        for (name, script, limit) in unread() {
            rows.push(row(format!("{decision}: {name}"), move || {
                let server =
                    ModelServer::start(Script::new().turn(shell(&script)).otherwise(say("x")));
                let stage = configured(&server);
                put(stage.troupe_home().join("rules/good.toml"), rule(decision));
                go(stage.troupe(["exec", "--json", "-s", "workspace-write", "go"]));
                let said = &outputs(&server)[0];
                if decision == "allow" {
                    assert!(stage.exists("made") || !said.contains("refused"), "{said:.600}");
                    return;
                }
                assert!(!stage.exists("made"), "{said:.600}");
                all(said, &["refused", limit, "good.toml:1"]);
            }));
        }
    }
    table("guards: not taken apart", &[], rows);
}

/// What an agent can ask for that changes something, or reads.
fn actions() -> Vec<(&'static str, Turn)> {
    vec![
        ("a command", shell("echo x > made")),
        ("a command in the background", call("exec_command", json!({ "cmd": "echo x > made" }))),
        (
            "a command in a terminal",
            call("exec_command", json!({ "cmd": "echo x > made", "tty": true })),
        ),
        ("a patch", adds("made")),
        (
            "a patch as JSON",
            call(
                "apply_patch",
                json!({ "input": "*** Begin Patch\n*** Add File: made\n+x\n*** End Patch\n" }),
            ),
        ),
        (
            "a patch through the shell",
            shell(
                "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: made\n+x\n*** End Patch\nEOF\n",
            ),
        ),
        (
            "a patch behind cd",
            shell(
                "cd . && apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: made\n+x\n*** End Patch\nEOF\n",
            ),
        ),
        ("a list of words", call("shell", json!({ "command": ["bash", "-lc", "echo x > made"] }))),
        ("another name of the shell", call("local_shell", json!({ "command": ["touch", "made"] }))),
        (
            "an escalation",
            call(
                "shell",
                json!({ "command": "echo x > made", "sandbox_permissions": "require_escalated", "justification": "now" }),
            ),
        ),
    ]
}

#[test]
fn rules_that_break_while_it_runs() {
    let rows = actions().into_iter().map(|(name, action)| {
        row(name, move || {
            // Either the rules of the start hold, for this action as for a command, or nothing runs.
            let gate = Gate::new();
            let script = Script::new()
                .turn(shell("echo ran").wait(&gate))
                .turn(action)
                .otherwise(say("done"));
            let server = ModelServer::start(script);
            let stage = configured(&server);
            let running = stage.troupe(["exec", "--json", "-s", "workspace-write", "go"]).start();
            gate.wait_arrived(1);
            put(stage.troupe_home().join("rules/bad.toml"), "[[rule]]\nprefx = 1\n");
            gate.open();
            let _finished = running.wait();
            let refused = outputs(&server).first().is_none_or(|text| !text.contains("ran"));
            let made = stage.exists("made");
            assert!(
                !(refused && made),
                "commands are refused, this is done: {:?}",
                outputs(&server)
            );
        })
    });
    table("guards: broken meanwhile", &[], rows.collect());
}

#[test]
fn other_guards_that_cannot_be_read() {
    let mut rows = Vec::new();
    for (name, setting) in [
        ("a pattern with an open bracket", "sandbox_deny_read=[\"**/[a\"]"),
        ("a relative pattern that is empty", "sandbox_deny_read=[\"\"]"),
        ("a pattern with an open brace", "sandbox_deny_read=[\"**/{a\"]"),
        ("a range of letters that runs backwards", "sandbox_deny_read=[\"/x/[z-a]\"]"),
        ("a good pattern before a bad one", "sandbox_deny_read=[\"**/*.pem\", \"**/[a\"]"),
        ("a denial that is a blank", "sandbox_deny_read=[\" \"]"),
        ("a relative path that is denied", "sandbox_deny_read=[\"secrets/key\"]"),
        ("a relative pattern", "sandbox_deny_read=[\"secrets/*.key\"]"),
        ("a denied path below a variable", "sandbox_deny_read=[\"$HOME/x\"]"),
        ("a denied path of another user's home", "sandbox_deny_read=[\"~other/x\"]"),
        ("a pattern with dots", "sandbox_deny_read=[\"/a/../*.pem\"]"),
        ("a root that is empty", "sandbox_workspace_write.writable_roots=[\"\"]"),
        ("a root of another user's home", "sandbox_workspace_write.writable_roots=[\"~other/x\"]"),
        ("a root that is not there", "sandbox_workspace_write.writable_roots=[\"/no/such\"]"),
        ("a root that is a file", "sandbox_workspace_write.writable_roots=[\"/etc/passwd\"]"),
        ("a root that is everything", "sandbox_workspace_write.writable_roots=[\"/\"]"),
        ("a host that is empty", "sandbox_allow_hosts=[\"\"]"),
        ("a denied host that is empty", "sandbox_deny_hosts=[\"\"]"),
        ("a pattern of variables that is empty", "shell_environment_policy.exclude=[\"\"]"),
        ("a pattern of variables in brackets", "shell_environment_policy.exclude=[\"A_[XY]\"]"),
        ("an expression for variables", "shell_environment_policy.include_only=[\"^A.*\"]"),
        ("a denial that is a text", "sandbox_deny_read=\"/etc\""),
        ("a host with a scheme", "sandbox_deny_hosts=[\"https://x.example\"]"),
        ("a host with a port that is none", "sandbox_deny_hosts=[\"x.example:99999\"]"),
        ("a network that is none", "sandbox_deny_hosts=[\"10.0.0.0/33\"]"),
        ("a range that runs backwards", "sandbox_allow_hosts=[\"x.example:90-80\"]"),
        ("an allowed host with a path", "sandbox_allow_hosts=[\"x.example/path\"]"),
        ("a limit that is negative", "sandbox_limits.processes=-1"),
        ("a limit that is a text", "sandbox_limits.memory=\"1 GB\""),
        ("a root that is no list", "sandbox_workspace_write.writable_roots=\"/tmp\""),
        ("a level that is none", "sandbox_without_userns=\"whatever\""),
        ("a pattern of variables that is none", "shell_environment_policy.exclude=[7]"),
        ("an inheritance that is none", "shell_environment_policy.inherit=\"most\""),
        ("a flag that is a text", "sandbox_workspace_write.exclude_slash_tmp=\"yes please\""),
        ("an approval policy that is none", "approval_policy=\"sometimes\""),
    ] {
        rows.push(row(format!("setting: {name}"), move || {
            let (server, stage) = saying("never");
            let run =
                stage.troupe(["exec", "--json", "-s", "workspace-write", "-c", setting, "go"]);
            let finished = go(run);
            let message = fails(&finished, 3);
            assert!(server.requests().is_empty());
            all(&message, &[setting.split('=').next().unwrap().split('.').next().unwrap()]);
        }));
    }
    rows.push(row("policy check with broken rules", || {
        let (_server, stage) = saying("never");
        put(stage.troupe_home().join("rules/bad.toml"), "[[rule]]\nprefx = 1\n");
        let finished = go(stage.troupe(["policy", "check", "--", "ls"]));
        assert_ne!(finished.code(), Some(0), "{}", finished.stdout());
        let said = format!("{}{}", finished.stdout(), finished.stderr());
        all(&said, &["bad.toml"]);
        assert!(!said.contains("deny: ,"), "{said}");
    }));
    rows.push(row("policy check --json with broken rules", || {
        let (_server, stage) = saying("never");
        put(stage.troupe_home().join("rules/bad.toml"), "nonsense");
        let finished = go(stage.troupe(["policy", "check", "--json", "--", "ls"]));
        assert_ne!(finished.code(), Some(0), "{}", finished.stdout());
        assert!(!finished.stdout().contains("\"allow\""));
    }));
    rows.push(row("doctor with broken rules", || {
        let (_server, stage) = saying("fine");
        put(stage.troupe_home().join("rules/bad.toml"), "nonsense");
        let finished = go(stage.troupe(["doctor"]));
        assert_ne!(finished.code(), Some(0));
        all(&finished.stdout(), &["bad.toml"]);
    }));
    rows.push(row("a session that starts with good rules runs by them", || {
        let server = ModelServer::start(Script::new().turn(shell("git push")).otherwise(say("x")));
        let stage = Stage::new().with_config(&settings(&server.url(), "responses"));
        let deny = "[[rule]]\nprefix = [\"git\", \"push\"]\ndecision = \"deny\"\nreason = \"because-of-the-row\"\n";
        put(stage.troupe_home().join("rules/good.toml"), deny);
        go(stage.troupe(["exec", "--json", "go"])).assert_success();
        all(&outputs(&server)[0], &["because-of-the-row"]);
    }));
    for command in [vec!["sandbox", "--"], vec!["doctor"]] {
        rows.push(row(format!("{} with a pattern that is none", command[0]), move || {
            let (_server, stage) = saying("never");
            let mut arguments = vec!["-c", "sandbox_deny_read=[\"**/[a\"]"];
            arguments.extend(&command);
            if command[0] == "sandbox" {
                arguments.push("true");
            }
            let finished = go(stage.troupe(arguments));
            assert_ne!(finished.code(), Some(0), "{}", finished.stdout());
            let said = format!("{}{}", finished.stdout(), finished.stderr());
            all(&said, &["sandbox_deny_read", "**/[a"]);
        }));
    }
    table("guards: others", &[], rows);
}
