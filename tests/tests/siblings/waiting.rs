//! Handlers never wait: while a file system hangs, signals still work.

use super::{
    common::*,
    table::{row, skip, table},
};
use serde_json::json;
use std::time::{Duration, Instant};
use troupe_tests::{
    model_server::*,
    stage::{Run, Running, Signal, Stage},
    wait::{DEADLINE, poll},
};

/// Generous: the promise is a tenth of a second on a machine that is not busy.
const SOON: Duration = Duration::from_secs(3);

/// Mounts a file system that never answers at `hang/` of the working directory, in a mount namespace
/// of its own, and runs what follows in it. 77: it cannot be mounted.
const HANGING: &str = r#"
import ctypes, os, signal, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
try:
    fd = os.open("/dev/fuse", os.O_RDWR)
except OSError as error:
    print(error, file=sys.stderr); sys.exit(77)
where = os.path.abspath("hang")
options = f"fd={fd},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}".encode()
if libc.mount(b"hang", where.encode(), b"fuse", 0, options) != 0:
    print(os.strerror(ctypes.get_errno()), file=sys.stderr); sys.exit(77)
child = subprocess.Popen(sys.argv[1:])
print("mounted", file=sys.stderr, flush=True)
for name in (signal.SIGINT, signal.SIGTERM):
    signal.signal(name, lambda number, _: child.send_signal(number))
code = child.wait()
libc.umount2(where.encode(), 2)
os._exit(code)
"#;

/// A run inside that namespace.
fn hanging(stage: &Stage, run: Run) -> Run {
    std::fs::create_dir_all(stage.work().join("hang")).unwrap();
    stage.write("hang.py", HANGING);
    let script = stage.work().join("hang.py");
    run.under("unshare", ["-m", "--propagation", "private", "python3", script.to_str().unwrap()])
}

fn mounted(running: &mut Running) {
    let seen = poll(DEADLINE, || {
        (running.stderr().contains("mounted") || running.has_ended()).then_some(())
    });
    assert!(seen.is_some());
    if running.has_ended() && !running.stderr().contains("mounted") {
        skip(format!("no file system of its own: {}", running.stderr()));
    }
}

/// Signals the run, and checks that it ends soon, with its event.
fn obeys(running: Running, begun: impl FnOnce()) {
    begun();
    let sent = Instant::now();
    // The one in front passes it on, or is `troupe` itself.
    running.signal(Signal::Interrupt);
    let finished = running.wait();
    assert!(sent.elapsed() < SOON, "{:?}", sent.elapsed());
    assert_eq!(finished.code(), Some(130), "{}\n{}", finished.stdout(), finished.stderr());
    let last = finished.json_lines().pop().unwrap_or_default();
    assert_eq!(last["type"], "turn.failed", "{}", finished.stdout());
}

#[test]
fn file_systems_that_hang() {
    let mut rows = Vec::new();
    for mode in ["read-only", "danger-full-access"] {
        for (name, turn) in [
            (
                "the program is looked for in a folder of PATH",
                shell("no-such-program-anywhere --help"),
            ),
            ("a command of an unknown program in it", shell("hang/program")),
            ("a command that lists it", shell("ls hang")),
            ("a command in it", call("shell", json!({ "command": "true", "workdir": "hang" }))),
            ("a file is read", call("read_file", json!({ "path": "hang/file" }))),
            ("a folder is listed", call("list_dir", json!({ "path": "." }))),
            ("files are searched", call("grep_files", json!({ "pattern": "x" }))),
            ("a picture is looked at", call("view_image", json!({ "path": "hang/picture.png" }))),
            ("a patch in it", adds("hang/new")),
            (
                "a process in the background",
                call("exec_command", json!({ "cmd": "ls hang", "yield_time_ms": 60_000 })),
            ),
        ] {
            rows.push(row(format!("{mode}: {name}"), move || {
                let server = ModelServer::start(Script::new().turn(turn).otherwise(silence()));
                let stage = Stage::new().with_model(&server);
                let path = format!(
                    "{}:{}",
                    stage.work().join("hang").display(),
                    std::env::var("PATH").unwrap()
                );
                let path =
                    if name.contains("PATH") { path } else { std::env::var("PATH").unwrap() };
                let run = stage.troupe(["exec", "--json", "-s", mode, "go"]).env("PATH", path);
                let mut running = hanging(&stage, run).start();
                mounted(&mut running);
                obeys(running, || {
                    let log = poll(DEADLINE, || stage.logs().pop()).expect("a log");
                    log.wait_kind("CallRequested", 1);
                });
            }));
        }
    }
    for (name, arguments) in [
        ("the folder of the session", vec!["-C", "hang"]),
        ("a picture of the prompt", vec!["-i", "hang/picture.png"]),
        ("a schema", vec!["--output-schema", "hang/schema.json"]),
        ("where the last message goes", vec!["-o", "hang/last"]),
        ("a further folder", vec!["-s", "workspace-write", "--add-dir", "hang"]),
        ("instructions", vec!["-c", "model_instructions_file=hang/words.md"]),
    ] {
        rows.push(row(format!("at the start: {name}"), move || {
            let server = ModelServer::start(Script::always(silence()));
            let stage = Stage::new().with_model(&server);
            let run = stage.troupe(["exec", "--json"]).args(&arguments).arg("go");
            let mut running = hanging(&stage, run).start();
            mounted(&mut running);
            // It waits for the file system, or for the model where it does not need it yet.
            let asked =
                poll(Duration::from_secs(2), || (!server.requests().is_empty()).then_some(()));
            let sent = Instant::now();
            running.signal(Signal::Interrupt);
            let finished = running.wait();
            assert!(
                sent.elapsed() < SOON,
                "{:?}, the model was asked: {}",
                sent.elapsed(),
                asked.is_some()
            );
            assert!(
                matches!(finished.code(), Some(130 | 2 | 3)),
                "{:?} {}",
                finished.code(),
                finished.stderr()
            );
        }));
    }
    table("siblings: file systems that hang", &[], rows);
}

#[test]
fn pipes_in_the_way() {
    let mut rows = Vec::new();
    for (name, path) in [
        ("what git leaves out", ".gitignore"),
        ("git's settings", ".git/config"),
        ("git's head", ".git/HEAD"),
        ("instructions", "AGENTS.md"),
        ("settings of the project", ".troupe/config.toml"),
        ("an environment file", ".env"),
        ("a folder's ignore file", "inner/.ignore"),
        ("git's own ignore file", ".git/info/exclude"),
        ("a file among those that are searched", "inner/pipe"),
    ] {
        rows.push(row(
            format!("a named pipe as {name}: signals work, whatever waits for it"),
            move || {
                let turns = calls([
                    shell("echo here"),
                    call("list_dir", json!({})),
                    call("grep_files", json!({ "pattern": "needle" })),
                ]);
                let server = ModelServer::start(Script::new().turn(turns).otherwise(silence()));
                let stage = Stage::new().with_model(&server);
                stage.write("inner/file", "a needle\n");
                let pipe = stage.work().join(path);
                std::fs::create_dir_all(pipe.parent().unwrap()).unwrap();
                drop(std::fs::remove_file(&pipe));
                let made = std::process::Command::new("mkfifo").arg(&pipe).status();
                assert!(made.unwrap().success());
                let running = stage.troupe(["exec", "--json", "go"]).start();
                obeys(running, || {
                    let log = poll(DEADLINE, || stage.logs().pop()).expect("a log");
                    log.wait_kind("CallFinished", 2);
                });
                stage.assert_no_process_left();
            },
        ));
    }
    table("siblings: pipes in the way", &[], rows);
}
