//! Scripts that are longer than one argument of a process may be.

use super::{
    common::{completes, configured, go, need_namespaces, outputs, playing, shell},
    table::{Row, row, table},
};
use serde_json::{Value, json};
use troupe_tests::{
    binary,
    model_server::*,
    stage::{Finished, Stage},
};

const MEGABYTE: usize = 1 << 20;

fn run(turn: Turn, more: &[&str]) -> (ModelServer, Stage, Finished) {
    let (server, stage) = playing([turn]);
    let mode: &[&str] = if more.contains(&"-s") { &[] } else { &["-s", "workspace-write"] };
    let finished = go(stage.troupe(["exec", "--json"]).args(mode).args(more).arg("go"));
    completes(&finished);
    (server, stage, finished)
}

/// A script of a megabyte that writes so many bytes into `big.txt` and says how many.
fn document(bytes: usize) -> String {
    format!("cat > big.txt <<'EOF'\n{}\nEOF\nwc -c < big.txt", "y".repeat(bytes))
}

fn counts(
    name: &'static str,
    turn: impl Fn(String) -> Turn + Send + 'static,
    more: &'static [&'static str],
) -> Row {
    row(name, move || {
        let (server, _stage, _finished) = run(turn(document(MEGABYTE)), more);
        let said = outputs(&server)[0].clone();
        assert!(said.contains(&(MEGABYTE + 1).to_string()), "{}", &said[..said.len().min(600)]);
    })
}

fn says(name: &'static str, script: String, wanted: &'static str) -> Row {
    row(name, move || {
        let (server, stage, _finished) = run(shell(&script), &[]);
        let said = outputs(&server)[0].clone();
        assert!(said.contains(wanted), "{}", &said[..said.len().min(600)]);
        let mut left: Vec<String> = std::fs::read_dir(stage.work())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name != ".git" && name != "big.txt")
            .collect();
        left.sort();
        assert!(left.is_empty(), "left behind: {left:?}");
    })
}

#[test]
fn a_megabyte() {
    let words = |script: String| -> Value { json!(["bash", "-lc", script]) };
    let padding = format!(": '{}'\n", "x".repeat(300_000));
    let mut rows = vec![
        counts("shell", |script| shell(&script), &[]),
        counts(
            "a list of words",
            move |script| call("shell", json!({ "command": words(script) })),
            &[],
        ),
        counts("exec_command", |script| call("exec_command", json!({ "cmd": script })), &[]),
        counts(
            "exec_command in a terminal",
            |script| call("exec_command", json!({ "cmd": script, "tty": true })),
            &[],
        ),
        counts(
            "local_shell",
            |script| call("local_shell", json!({ "command": ["bash", "-c", script] })),
            &[],
        ),
        counts("full access", |script| shell(&script), &["-s", "danger-full-access"]),
        counts("a login shell", |script| shell(&script), &["-c", "allow_login_shell=true"]),
        counts(
            "with hosts",
            |script| shell(&script),
            &["-c", "sandbox_allow_hosts=[\"example.org\"]"],
        ),
        says("one long word", format!("echo {} | wc -c", "x".repeat(MEGABYTE)), "1048577"),
        says("many lines", format!("{}echo end", ": line\n".repeat(150_000)), "end"),
        says("long characters", format!("printf %s '{}' | wc -c", "€".repeat(350_000)), "1050000"),
        says(
            "just below the limit of one argument",
            format!("echo {} | wc -c", "x".repeat(131_000)),
            "131001",
        ),
        says(
            "at the limit of one argument",
            format!("echo {} | wc -c", "x".repeat(131_072 - 13)),
            "131060",
        ),
        says("its exit code", format!("{padding}exit 7"), "7"),
        says(
            "its input is empty",
            format!("{padding}cat; read x || echo nothing to read"),
            "nothing to read",
        ),
        says(
            "a program below does not read the script",
            format!("{padding}bash -c 'cat | wc -c'"),
            "0",
        ),
        says("its positional parameters", format!("{padding}echo \"[$#]\""), "[0]"),
        says(
            "blanks at the ends of lines",
            format!("{padding}cat <<'EOF' | sed -n l\na  \n\tb\nEOF"),
            "a  $\n\\tb$",
        ),
        says(
            "the mark of a document in it",
            format!("{padding}cat <<'TROUPE'\nEOF\nTROUPE\n"),
            "EOF",
        ),
        says("a function used after it", format!("f() {{ echo from f; }}\n{padding}f"), "from f"),
    ];
    rows.push(row("a patch within", || {
        let body = "+y\n".repeat(200_000);
        let script = format!("apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: big.txt\n{body}*** End Patch\nEOF\n");
        let (_server, stage, _finished) = run(shell(&script), &[]);
        assert_eq!(stage.read("big.txt").len(), 400_000);
    }));
    rows.push(row("a patch of the tool", || {
        let body = format!("+{}\n", "y".repeat(MEGABYTE));
        let patch = format!("*** Begin Patch\n*** Add File: big.txt\n{body}*** End Patch\n");
        let (_server, stage, _finished) = run(custom("apply_patch", patch), &[]);
        assert_eq!(stage.read("big.txt").len(), MEGABYTE + 1);
    }));
    rows.push(row("read-only", || {
        let (server, stage) = playing([shell(&format!("{}echo ran", ": line\n".repeat(150_000)))]);
        completes(&go(stage.troupe(["exec", "--json", "go"])));
        assert!(outputs(&server)[0].contains("ran"));
    }));
    rows.push(row("without user namespaces", || {
        let (server, stage) = playing([shell(&document(MEGABYTE))]);
        need_namespaces(&stage);
        stage.write("big.txt", "");
        let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
        let run = stage.program("unshare").args(["-Ur", "sh", "-c", script, "sh"]);
        let run = run.arg(binary::troupe()).args(["exec", "--json", "-s", "workspace-write", "go"]);
        completes(&go(run));
        assert!(outputs(&server)[0].contains("1048577"), "{:.300}", outputs(&server)[0]);
    }));
    rows.push(row("another shell", || {
        let (server, stage) = playing([shell(&document(MEGABYTE))]);
        let run = stage.troupe(["exec", "--json", "-s", "workspace-write", "go"]);
        completes(&go(run.env("SHELL", "/bin/sh")));
        assert!(outputs(&server)[0].contains("1048577"), "{:.300}", outputs(&server)[0]);
    }));
    rows.push(row("the chat wire", || {
        let server =
            ModelServer::start(Script::new().turn(shell(&document(MEGABYTE))).otherwise(say("x")));
        let stage = Stage::new().with_wire(&server, Wire::Chat);
        completes(&go(stage.troupe(["exec", "--json", "-s", "workspace-write", "go"])));
        assert!(outputs(&server)[0].contains("1048577"));
    }));
    rows.push(row("a zero byte is refused in words", || {
        let (server, stage) = playing([shell("echo a\0b")]);
        completes(&go(stage.troupe(["exec", "--json", "go"])));
        assert!(!outputs(&server)[0].contains("a b"), "{}", outputs(&server)[0]);
    }));
    rows.push(row("a time-out ends it", || {
        let script = format!(": '{}'\necho up; sleep 60", "x".repeat(300_000));
        let turn = call("shell", json!({ "command": script, "timeout_ms": 500 }));
        let (server, stage, _finished) = run(turn, &[]);
        assert!(
            outputs(&server)[0].contains("timed out after 500"),
            "{:.300}",
            outputs(&server)[0]
        );
        stage.assert_no_process_left();
    }));
    rows.push(row("a long environment beside it", || {
        let (server, stage) = playing([shell("echo ${#LC_LONG}")]);
        let run = stage.troupe(["exec", "--json", "go"]).env("LC_LONG", "x".repeat(120_000));
        completes(&go(run));
        assert!(outputs(&server)[0].contains("120000"), "{:.300}", outputs(&server)[0]);
    }));
    rows.push(row("rules hold in it", || {
        let script = format!("{}git push origin main", ": line\n".repeat(60_000));
        let server = ModelServer::start(Script::new().turn(shell(&script)).otherwise(say("x")));
        let stage = configured(&server);
        let deny = "[[rule]]\nprefix = [\"git\", \"push\"]\ndecision = \"deny\"\nreason = \"because-of-the-row\"\n";
        super::common::put(stage.troupe_home().join("rules/good.toml"), deny);
        completes(&go(stage.troupe(["exec", "--json", "-s", "workspace-write", "go"])));
        assert!(outputs(&server)[0].contains("because-of-the-row"), "{:.300}", outputs(&server)[0]);
    }));
    table("scripts: a megabyte", &[], rows);
}
