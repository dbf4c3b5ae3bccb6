//! What a command printed is what is reported: nothing more, in its order, character by character.

use super::{
    common::{completes, go, items, need_namespaces, outputs, playing, shell},
    table::{Row, row, table},
};
use serde_json::{Value, json};
use troupe_tests::{
    model_server::*,
    stage::{Finished, Stage},
};

const WRITE: [&str; 4] = ["exec", "--json", "-s", "workspace-write"];

fn run(turn: Turn, more: &[&str]) -> (ModelServer, Stage, Finished, Value) {
    let (server, stage) = playing([turn]);
    let finished = go(stage.troupe(WRITE).args(more).arg("go"));
    completes(&finished);
    let item = items(&finished, "command_execution").pop().expect("a command");
    (server, stage, finished, item)
}

/// `aggregated_output` is exactly this.
fn exactly(name: &'static str, turn: Turn, wanted: impl Into<String>) -> Row {
    let wanted = wanted.into();
    row(format!("exactly: {name}"), move || {
        let (_server, _stage, _finished, item) = run(turn, &[]);
        assert_eq!(item["aggregated_output"].as_str().unwrap(), wanted);
    })
}

fn timed(command: &str) -> Turn {
    call("shell", json!({ "command": command, "timeout_ms": 500 }))
}

fn background(command: &str) -> Turn {
    call("exec_command", json!({ "cmd": command }))
}

#[test]
fn nothing_else() {
    let rows = vec![
        exactly("nothing printed", shell("true"), ""),
        exactly("nothing printed, failed", shell("exit 7"), ""),
        exactly("no line end", shell("printf x"), "x"),
        exactly("blank lines at both ends", shell("printf '\\n\\nx\\n\\n'"), "\n\nx\n\n"),
        exactly("a time-out", timed("echo before; sleep 60"), "before\n"),
        exactly("a time-out without a word", timed("sleep 60"), ""),
        exactly("killed by a signal", shell("echo before; kill -9 $$"), "before\n"),
        exactly("ended by a signal", shell("echo before; kill -TERM $$"), "before\n"),
        exactly("processes left behind", shell("sleep 60 & sleep 61 & echo left"), "left\n"),
        exactly(
            "the sandbox refused a path",
            shell("echo x 2>/dev/null > /usr/new; echo tried"),
            "tried\n",
        ),
        exactly("a protected name", shell("mkdir .codex/x 2>/dev/null; echo tried"), "tried\n"),
        exactly(
            "a repository was made",
            shell("git init -q sub; echo x > sub/.git/hooks/pre-commit; echo made"),
            "made\n",
        ),
        exactly("the network is off", shell("curl -s http://example.com/ ; echo tried"), "tried\n"),
        exactly(
            "escapes stay",
            shell("printf '\\033[31mred\\033[0m\\n'"),
            "\u{1b}[31mred\u{1b}[0m\n",
        ),
        exactly("carriage returns stay", shell("printf '10%%\\r20%%\\r\\n'"), "10%\r20%\r\n"),
        exactly(
            "words that look like a report",
            shell("printf 'Exit code: 0\\nOutput:\\nx\\n'"),
            "Exit code: 0\nOutput:\nx\n",
        ),
        exactly(
            "an unknown command",
            shell("exec 2>/dev/null; nosuchcommand; echo after"),
            "after\n",
        ),
        exactly("in the background, ended in time", background("echo hi"), "hi\n"),
        exactly("in the background, failed", background("echo hi; exit 3"), "hi\n"),
        exactly("in the background, nothing", background("true"), ""),
        exactly(
            "in a terminal",
            call("exec_command", json!({ "cmd": "printf x", "tty": true })),
            "x",
        ),
        row("a folder that does not exist", || {
            let turn = call("shell", json!({ "command": "true", "workdir": "none" }));
            let (_server, stage) = playing([turn]);
            let finished = go(stage.troupe(WRITE).arg("go"));
            completes(&finished);
            for item in items(&finished, "command_execution") {
                assert_eq!(item["aggregated_output"], "", "troupe's words are no output: {item}");
            }
        }),
        row("what the policy refused", || {
            let (_server, stage) = playing([shell("git reset --hard")]);
            let finished = go(stage.troupe(WRITE).arg("go"));
            completes(&finished);
            for item in items(&finished, "command_execution") {
                assert_eq!(item["aggregated_output"], "", "troupe's words are no output: {item}");
                assert_ne!(item["status"], "completed");
            }
        }),
        row("a host that is refused", || {
            let command = "curl -s -o /dev/null http://example.com/; echo tried";
            let (_s, _stage, _f, item) =
                run(shell(command), &["-c", "sandbox_allow_hosts=[\"example.org\"]"]);
            assert_eq!(item["aggregated_output"], "tried\n");
        }),
        row("without user namespaces", || {
            let (_server, stage) = playing([shell("echo hi")]);
            need_namespaces(&stage);
            let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
            let run = stage.program("unshare").args(["-Ur", "sh", "-c", script, "sh"]);
            let run = run.arg(troupe_tests::binary::troupe()).args(WRITE).arg("go");
            let finished = go(run);
            completes(&finished);
            assert_eq!(items(&finished, "command_execution")[0]["aggregated_output"], "hi\n");
        }),
        row("what was not taken over from git", || {
            let script = "{ git config user.name x; echo x > .git/hooks/post-commit; } 2>/dev/null; echo done";
            let (_s, _stage, _f, item) = run(shell(script), &[]);
            assert_eq!(item["aggregated_output"], "done\n");
        }),
        row("a large output is all of it, or cut where it says", || {
            let (_s, _stage, _f, item) = run(shell("seq 1 30000"), &[]);
            let text = item["aggregated_output"].as_str().unwrap();
            let wanted: String = (1..=30_000).map(|n| format!("{n}\n")).collect();
            if text != wanted {
                // A cut is a fact of its own, and its two parts are what was printed.
                assert!(item["omitted_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{item}");
                assert!(text.starts_with(&wanted[..9000]));
                assert!(text.ends_with(&wanted[wanted.len() - 9000..]));
            }
        }),
        row("a refusal is told to the model all the same", || {
            let (server, _stage, _f, _item) = run(shell("sleep 60 & echo left"), &[]);
            assert!(outputs(&server)[0].contains("background process"), "{:?}", outputs(&server));
        }),
    ];
    table("printed: nothing else", &[], rows);
}

fn order(name: &'static str, turn: Turn, wanted: Vec<String>) -> Row {
    row(format!("order: {name}"), move || {
        let (server, _stage, _finished, item) = run(turn, &[]);
        for text in [item["aggregated_output"].as_str().unwrap(), &outputs(&server)[0]] {
            let seen: Vec<&str> = text
                .lines()
                .map(str::trim)
                .filter(|line| line.starts_with("out") || line.starts_with("err"))
                .collect();
            assert_eq!(seen, wanted);
        }
    })
}

#[test]
fn in_order() {
    let pairs = |count: usize| -> Vec<String> {
        (0..count).flat_map(|n| [format!("out{n}"), format!("err{n}")]).collect()
    };
    let each = "for i in 0 1 2 3 4; do echo out$i; echo err$i >&2; done";
    let many = "i=0; while [ $i -lt 500 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done";
    let python =
        "import os\nfor i in range(200):\n os.write(1,b'out%d\\n'%i)\n os.write(2,b'err%d\\n'%i)\n";
    let words = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let rows = vec![
        order("turn by turn", shell(each), pairs(5)),
        order("five hundred turns", shell(many), pairs(500)),
        order("in a subshell", shell(&format!("( {each} )")), pairs(5)),
        order("in bash below", shell(&format!("bash -c '{each}'")), pairs(5)),
        order("from python", shell(&format!("python3 -c \"{python}\"")), pairs(200)),
        order(
            "an error first",
            shell("echo err0 >&2; echo out0; echo err1 >&2"),
            words(&["err0", "out0", "err1"]),
        ),
        order(
            "errors at the end",
            shell("echo out0; echo out1; echo err0 >&2"),
            words(&["out0", "out1", "err0"]),
        ),
        order(
            "a failing command",
            shell("echo out0; echo err0 >&2; exit 4"),
            words(&["out0", "err0"]),
        ),
        order(
            "joined by the script",
            shell("{ echo out0; echo err0 >&2; echo out1; } 2>&1"),
            words(&["out0", "err0", "out1"]),
        ),
        order(
            "swapped by the script",
            shell("{ echo out0; echo err0 >&2; } 3>&1 1>&2 2>&3"),
            words(&["out0", "err0"]),
        ),
        order(
            "parts of a line",
            shell("printf 'out'; printf '0\\nerr' >&2; printf '0\\n'"),
            words(&["out0", "err0"]),
        ),
        order("in the background", background(each), pairs(5)),
        order("in the background, many", background(many), pairs(500)),
        order("in a terminal", call("exec_command", json!({ "cmd": each, "tty": true })), pairs(5)),
        order("a time-out", timed(&format!("{each}; sleep 60")), pairs(5)),
        row("order: full access", move || {
            let (server, stage) = playing([shell(each)]);
            completes(&go(stage.troupe(["exec", "--json", "-s", "danger-full-access", "go"])));
            let seen: Vec<String> = outputs(&server)[0]
                .lines()
                .filter(|line| line.starts_with("out") || line.starts_with("err"))
                .map(ToOwned::to_owned)
                .collect();
            assert_eq!(seen, pairs(5));
        }),
        row("order: a redirected error does not appear", || {
            let (_s, _stage, _f, item) =
                run(shell("echo out0; echo err0 2>/dev/null >&2; echo out1"), &[]);
            assert!(item["aggregated_output"].as_str().unwrap().starts_with("out0\n"));
        }),
        row("order: a closed stream is no fault", || {
            let (_s, _stage, _f, item) =
                run(shell("exec 2>&-; echo out0; echo err0 >&2; echo out1"), &[]);
            assert_eq!(item["aggregated_output"], "out0\nout1\n");
        }),
        row("order: nobody sees a terminal", || {
            let (_s, _stage, _f, item) = run(shell("[ -t 1 ] || [ -t 2 ] || echo none"), &[]);
            assert_eq!(item["aggregated_output"], "none\n");
        }),
    ];
    table("printed: order", &[], rows);
}

#[test]
fn characters() {
    let mut rows = Vec::new();
    for (name, unit) in [("two bytes", "é"), ("three bytes", "€"), ("four bytes", "🙂")] {
        for shift in 0..unit.len() {
            rows.push(row(format!("a long run of {name}, at {shift}"), move || {
                let count = 90_000 / unit.len();
                let script =
                    format!("printf '%{shift}s' ''; yes '{unit}' | head -n {count} | tr -d '\\n'");
                let (_s, _stage, finished, item) = run(shell(&script), &[]);
                // A cut is fine here, within a character it is not.
                let text = item["aggregated_output"].as_str().unwrap();
                let start = format!("{}{}", " ".repeat(shift), unit.repeat(100));
                assert!(text.starts_with(&start) && text.ends_with(unit));
                assert!(!finished.stdout().contains('\u{fffd}'));
            }));
        }
    }
    for (name, tty) in [("pipes", false), ("a terminal", true)] {
        for (unit, first, rest) in [("é", "\\303", "\\251"), ("🙂", "\\360\\237", "\\231\\202")]
        {
            rows.push(row(format!("between two polls: {unit}, {name}"), move || {
                // The second half comes when the first poll has been answered.
                let cmd = format!(
                    "printf 'a{first}'; while [ ! -e go ]; do sleep 0.05; done; printf '{rest}b'"
                );
                let script = Script::new()
                    .turn(call(
                        "exec_command",
                        json!({ "cmd": cmd, "yield_time_ms": 600, "tty": tty }),
                    ))
                    .turn(compute(|request| {
                        let id = session(&request.outputs()[0].1);
                        let poll = json!({ "session_id": id, "yield_time_ms": 5000 });
                        shell("touch go").and(call("write_stdin", poll))
                    }))
                    .otherwise(say("done"));
                let server = ModelServer::start(script);
                let stage = super::common::configured(&server);
                let finished = go(stage.troupe(WRITE).arg("go"));
                completes(&finished);
                let all: String = outputs(&server).concat();
                assert!(!all.contains('\u{fffd}'), "{all}");
                let text: String = items(&finished, "command_execution")
                    .iter()
                    .map(|item| item["aggregated_output"].as_str().unwrap_or_default())
                    .collect();
                assert!(!text.contains('\u{fffd}'), "{text}");
                assert!(all.contains(unit), "{all}");
            }));
        }
    }
    rows.push(row("bytes that are no text stay visible", || {
        let (_s, _stage, _f, item) = run(shell("printf 'a\\377b\\n'"), &[]);
        assert_eq!(item["aggregated_output"], "a\u{fffd}b\n");
    }));
    rows.push(row("a half character at the very end", || {
        let (_s, _stage, _f, item) = run(shell("printf 'ab\\303'"), &[]);
        assert_eq!(item["aggregated_output"], "ab\u{fffd}");
    }));
    rows.push(row("one half on each stream is no character", || {
        let (_s, _stage, _f, item) = run(shell("printf 'a\\303'; printf '\\251b' >&2"), &[]);
        let text = item["aggregated_output"].as_str().unwrap();
        assert!(text.starts_with('a') && text.ends_with('b'), "{text}");
    }));
    rows.push(row("a slow writer of halves", || {
        let script = "for i in 1 2 3 4; do printf '\\342'; sleep 0.05; printf '\\202'; sleep 0.05; printf '\\254'; done";
        let (_s, _stage, _f, item) = run(shell(script), &[]);
        assert_eq!(item["aggregated_output"], "€€€€");
    }));
    rows.push(row("a cut output is whole characters", || {
        let (server, _stage, _f, item) =
            run(shell("printf x; yes '🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂🙂' | head -n 40000"), &[]);
        assert!(!item["aggregated_output"].as_str().unwrap().contains('\u{fffd}'));
        assert!(!outputs(&server)[0].contains('\u{fffd}'));
    }));
    table("printed: characters", &[], rows);
}

/// The session id that an answer of `exec_command` names: its last number before the output.
fn session(text: &str) -> u64 {
    let lower = text.to_lowercase();
    let at = lower.find("session").unwrap_or_else(|| panic!("no session id in: {text}"));
    let digits: String = text[at..]
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap_or_else(|_| panic!("no session id in: {text}"))
}
