//! Standard input beside a prompt.

use super::{
    common::{all, any, completes, end, fails, fifo, go, none, saying, sh, there, told},
    table::{row, skip, table},
};
use std::{fs, time::Duration};
use troupe_tests::{
    binary,
    model_server::*,
    stage::{Running, Signal, Stage, Stdin},
    wait::poll,
};

fn prompt(server: &ModelServer) -> String {
    let request = server.requests().pop().expect("a request");
    request.texts("user").pop().unwrap()
}

fn block(text: &str) -> String {
    format!("<stdin>\n{text}\n</stdin>")
}

/// A run beside an open pipe.
fn waiting(stage: &Stage, arguments: &[&str]) -> Running {
    stage.troupe(arguments).stdin(Stdin::Open).limit(Duration::from_secs(25)).start()
}

/// That no request comes for so long.
fn asks_nothing(server: &ModelServer, time: Duration) {
    let asked = poll(time, || (!server.requests().is_empty()).then_some(()));
    assert!(asked.is_none(), "it did not wait");
}

fn bytes(
    name: &'static str,
    arguments: &'static [&'static str],
    given: Vec<u8>,
    wanted: String,
) -> super::table::Row {
    row(name, move || {
        let (server, stage) = saying("ok");
        completes(&go(stage.troupe(arguments).stdin(Stdin::Bytes(given))));
        let prompt = prompt(&server);
        assert!(prompt.ends_with(&wanted), "{}", &prompt[prompt.len().saturating_sub(300)..]);
    })
}

#[test]
fn what_is_piped() {
    let review: &[&str] = &["exec", "--json", "look at"];
    let with = |text: &str| format!("look at\n\n{}", block(text));
    let long = "0123456789abcde\n".repeat(12_500);
    let huge = "é€🙂\n".repeat(400_000);
    let mut rows = vec![
        bytes("a text", review, b"text\n".to_vec(), with("text")),
        bytes("a text without a line end", review, b"text".to_vec(), with("text")),
        bytes("one byte", review, b"x".to_vec(), with("x")),
        bytes("nothing, closed", review, Vec::new(), "look at".to_owned()),
        bytes("200 kB", review, long.clone().into_bytes(), with(long.trim_end())),
        bytes("4 MB of long characters", review, huge.clone().into_bytes(), with(huge.trim_end())),
        bytes("text that looks like the block", review, b"</stdin> x".to_vec(), with("</stdin> x")),
        bytes(
            "a prompt that begins with a dash",
            &["exec", "--json", "--", "-v is wrong"],
            b"text".to_vec(),
            block("text"),
        ),
        bytes(
            "with --stdin",
            &["exec", "--json", "--stdin", "look at"],
            b"text\n".to_vec(),
            with("text"),
        ),
        bytes(
            "a dash: the prompt itself",
            &["exec", "--json", "-"],
            b"text".to_vec(),
            "text".to_owned(),
        ),
        bytes(
            "no prompt: the prompt itself",
            &["exec", "--json"],
            b"text".to_vec(),
            "text".to_owned(),
        ),
    ];
    rows.push(row("beside resume --last", || {
        let (server, stage) = saying("ok");
        completes(&go(stage.troupe(["exec", "--json", "go"])));
        let run = stage.troupe(["exec", "--json", "resume", "--last", "look at"]);
        completes(&go(run.stdin(Stdin::Bytes(b"text".to_vec()))));
        assert!(prompt(&server).ends_with(&block("text")), "{}", prompt(&server));
    }));
    rows.push(row("beside resume ID", || {
        let (server, stage) = saying("ok");
        completes(&go(stage.troupe(["exec", "--json", "go"])));
        let id = stage.log().session();
        let run = stage.troupe(["exec", "--json", "resume", &id, "look at"]);
        completes(&go(run.stdin(Stdin::Bytes(b"text".to_vec()))));
        assert!(prompt(&server).ends_with(&block("text")), "{}", prompt(&server));
    }));
    rows.push(row("a real pipeline", || {
        let (server, stage) = saying("ok");
        let run = sh(&stage, "printf 'a\\nb\\n' | \"$@\"", &["exec", "--json", "look at"]);
        completes(&go(run));
        assert!(prompt(&server).ends_with(&block("a\nb")), "{}", prompt(&server));
    }));
    rows.push(row("a fifo", || {
        let (server, stage) = saying("ok");
        fifo(stage.work().join("pipe"));
        let script = "printf text > pipe & exec \"$@\" < pipe";
        completes(&go(sh(&stage, script, &["exec", "--json", "look at"])));
        assert!(prompt(&server).ends_with(&block("text")), "{}", prompt(&server));
    }));
    rows.push(row("a socket, as Node makes for its children", || {
        let (server, stage) = saying("ok");
        if !there("node") {
            skip("no node");
        }
        let code = "const {spawn} = require('child_process'); const c = spawn(process.argv[1], process.argv.slice(2), {stdio: ['pipe', 'inherit', 'inherit']}); c.stdin.end('text'); c.on('exit', code => process.exit(code));";
        let run = stage.program("node").args(["-e", code]).arg(binary::troupe());
        completes(&go(run.args(["exec", "--json", "look at"])));
        assert!(prompt(&server).ends_with(&block("text")), "{}", prompt(&server));
    }));
    rows.push(row("a pipe that does not block", || {
        let (server, stage) = saying("ok");
        let code = "pipe(R,W); use Fcntl; fcntl(R,F_SETFL,O_NONBLOCK); if (fork()) { close R; select(undef,undef,undef,0.4); syswrite W,'te'; select(undef,undef,undef,0.4); syswrite W,'xt'; close W; wait; exit($?>>8) } close W; open(STDIN,'<&',R); exec @ARGV";
        completes(&go(super::common::perl(&stage, code, &["exec", "--json", "look at"])));
        assert!(prompt(&server).ends_with(&block("text")), "{}", prompt(&server));
    }));
    rows.push(row("a file is taken, or it is said that it is not", || {
        let (server, stage) = saying("ok");
        stage.write("diff", "text");
        let finished = go(sh(&stage, "exec \"$@\" < diff", &["exec", "--json", "look at"]));
        completes(&finished);
        let taken = prompt(&server).ends_with(&block("text"));
        assert!(taken || told(&finished).contains("stdin"), "{}", told(&finished));
    }));
    rows.push(row("bytes that are no text", || {
        let (server, stage) = saying("never");
        let run = stage.troupe(["exec", "--json", "look at"]);
        let finished = go(run.stdin(Stdin::Bytes(b"\x89PNG\xff\xfe\x00".to_vec())));
        fails(&finished, 2);
        assert!(server.requests().is_empty());
    }));
    rows.push(row("more than 16 MiB", || {
        let (server, stage) = saying("never");
        let run = stage.troupe(["exec", "--json", "look at"]);
        let finished = go(run.stdin(Stdin::Bytes(vec![b'x'; (16 << 20) + 1])));
        all(&fails(&finished, 2), &["16"]);
        assert!(server.requests().is_empty());
    }));
    rows.push(row("3 MB are not echoed to people", || {
        let (_server, stage) = saying("ok");
        let run = stage.troupe(["exec", "look at"]).stdin(Stdin::Bytes(vec![b'x'; 3 << 20]));
        let finished = go(run);
        finished.assert_success();
        assert!(finished.stderr().len() < 100_000, "{}", finished.stderr().len());
        let run = stage.troupe(["exec", "-"]).stdin(Stdin::Bytes(vec![b'x'; 3 << 20]));
        let finished = go(run);
        assert!(finished.stderr().len() < 100_000, "{}", finished.stderr().len());
    }));
    table("piped: what is piped", &[], rows);
}

#[test]
fn what_is_waited_for() {
    let quick = Duration::from_secs(4);
    let mut rows = Vec::new();
    for (name, redirect) in [("/dev/null", "</dev/null"), ("no descriptor", "<&-")] {
        rows.push(row(format!("not at all: {name}"), move || {
            let (_server, stage) = saying("ok");
            let script = format!("exec \"$@\" {redirect}");
            let finished = go(sh(&stage, &script, &["exec", "--json", "look at"]));
            completes(&finished);
            assert!(finished.took < quick, "{:?}", finished.took);
            none(&told(&finished), &["--stdin"]);
        }));
    }
    rows.push(row("not at all: a terminal", move || {
        let (_server, stage) = saying("ok");
        if !there("script") {
            skip("no script(1)");
        }
        let command = format!("{} exec --json 'look at'", binary::troupe().display());
        let run = stage.program("script").args(["-qec", &command, "/dev/null"]);
        let finished = go(run);
        finished.assert_success();
        assert!(finished.took < quick, "{:?}", finished.took);
    }));
    rows.push(row("no longer than five seconds for a first byte", || {
        let (server, stage) = saying("ok");
        let finished = waiting(&stage, &["exec", "--json", "look at"]).wait();
        completes(&finished);
        assert!(prompt(&server).ends_with("look at"));
        let (low, high) = (Duration::from_millis(4500), Duration::from_secs(12));
        assert!(finished.took > low && finished.took < high, "{:?}", finished.took);
        all(&finished.stderr(), &["</dev/null", "--stdin"]);
    }));
    rows.push(row("the wait is told, with the way to skip it", || {
        let (server, stage) = saying("ok");
        let mut running = waiting(&stage, &["exec", "--json", "look at"]);
        running.wait_stderr("/dev/null");
        assert!(server.requests().is_empty());
        running.write_stdin("late ");
        running.write_stdin("text");
        running.close_stdin();
        completes(&running.wait());
        assert!(prompt(&server).ends_with(&block("late text")));
    }));
    rows.push(row("the end comes without a byte", || {
        let (server, stage) = saying("ok");
        let mut running = waiting(&stage, &["exec", "--json", "look at"]);
        running.wait_stderr("/dev/null");
        running.close_stdin();
        let finished = running.wait();
        completes(&finished);
        assert!(finished.took < Duration::from_millis(4800), "{:?}", finished.took);
        assert!(prompt(&server).ends_with("look at"));
    }));
    rows.push(row("once a byte has come, to the end", || {
        let (server, stage) = saying("ok");
        let mut running = waiting(&stage, &["exec", "--json", "look at"]);
        running.write_stdin("f");
        asks_nothing(&server, Duration::from_secs(7));
        running.write_stdin("irst");
        running.close_stdin();
        completes(&running.wait());
        assert!(prompt(&server).ends_with(&block("first")), "{}", prompt(&server));
    }));
    rows.push(row("--stdin waits for ever", || {
        let (server, stage) = saying("ok");
        let mut running = waiting(&stage, &["exec", "--json", "--stdin", "look at"]);
        asks_nothing(&server, Duration::from_secs(7));
        running.write_stdin("text");
        running.close_stdin();
        completes(&running.wait());
        assert!(prompt(&server).ends_with(&block("text")));
    }));
    rows.push(row("a character in two halves", || {
        let (server, stage) = saying("ok");
        let mut running = waiting(&stage, &["exec", "--json", "look at"]);
        running.write_stdin(b"\xf0\x9f");
        running.wait_stderr("/dev/null");
        running.write_stdin(b"\x99\x82");
        running.close_stdin();
        completes(&running.wait());
        assert!(prompt(&server).ends_with(&block("🙂")));
    }));
    for (signal, number) in [(Signal::Interrupt, 2), (Signal::Terminate, 15), (Signal::HangUp, 1)] {
        rows.push(row(format!("a signal meanwhile: {signal:?}"), move || {
            let (server, stage) = saying("never");
            let running = waiting(&stage, &["exec", "--json", "look at"]);
            running.wait_stderr("/dev/null");
            running.signal(signal);
            let finished = running.wait();
            assert_eq!(finished.code(), Some(128 + number), "{}", finished.stderr());
            assert_eq!(end(&finished)["type"], "turn.failed");
            assert!(server.requests().is_empty());
        }));
    }
    rows.push(row("a signal after a first byte", || {
        let (server, stage) = saying("never");
        let mut running = waiting(&stage, &["exec", "--json", "look at"]);
        running.write_stdin("x");
        running.wait_stderr("/dev/null");
        running.signal(Signal::Terminate);
        assert_eq!(running.wait().code(), Some(143));
        assert!(server.requests().is_empty());
    }));
    rows.push(row("the wait is told to people as well", || {
        let (_server, stage) = saying("ok");
        let mut running = waiting(&stage, &["exec", "look at"]);
        running.wait_stderr("/dev/null");
        running.close_stdin();
        let finished = running.wait();
        finished.assert_success();
        assert_eq!(finished.stdout(), "ok\n");
    }));
    rows.push(row("the help says it as it is", || {
        let help = go(Stage::new().program(binary::troupe()).args(["exec", "--help"])).stdout();
        none(
            &help,
            &["Standard input is read only if the prompt is absent or `-`, or with --stdin."],
        );
        let page = fs::read_to_string(binary::workspace_root().join("docs/exec.md")).unwrap();
        any(&page, &["5 s", "five seconds"]);
    }));
    table("piped: waiting", &[], rows);
}
