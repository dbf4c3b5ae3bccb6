//! What a process inherits: signals, masks, descriptors, limits, the environment, odd files.

use super::{
    common::{
        completes, configured, end, fifo, go, is_root, link, need_namespaces, outputs, perl,
        playing, sh, shell, told,
    },
    table::{Row, row, skip, table},
};
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};
use troupe_tests::{
    binary,
    model_server::*,
    stage::{Signal, Stage},
};

const EXEC: [&str; 5] = ["exec", "--json", "-s", "workspace-write", "go"];

/// A whole task, started by this program of perl.
fn by_perl(name: &'static str, code: &'static str) -> Row {
    row(name, move || {
        let (server, stage) =
            playing([shell("echo hi; (exit 3); echo $?"), shell("yes | head -n 1")]);
        let finished = go(perl(&stage, code, &EXEC));
        completes(&finished);
        let outputs = outputs(&server);
        assert!(outputs[0].contains("hi\n3"), "{outputs:?}");
        assert!(outputs[1].contains('y'), "{outputs:?}");
        stage.assert_no_process_left();
    })
}

/// A whole task, started by this script, which ends in `exec "$@"`.
fn by_sh(name: &'static str, script: &'static str) -> Row {
    row(name, move || {
        let (server, stage) = playing([shell("echo hi"), super::common::adds("new.txt")]);
        let finished = go(sh(&stage, script, &EXEC));
        completes(&finished);
        assert!(outputs(&server)[0].contains("hi"), "{:?}", outputs(&server));
        assert!(stage.exists("new.txt"));
        stage.assert_no_process_left();
    })
}

/// What a command prints in a run that this program of perl started.
fn command_sees(
    name: &'static str,
    code: &'static str,
    command: &'static str,
    wanted: &'static str,
) -> Row {
    row(name, move || {
        let (server, stage) = playing([shell(command)]);
        completes(&go(perl(&stage, code, &EXEC)));
        assert!(outputs(&server)[0].contains(wanted), "{}", outputs(&server)[0]);
    })
}

#[test]
fn signals() {
    let mask = |what: &'static str| what;
    let mut rows = vec![
        by_perl("SIGCHLD ignored", "$SIG{CHLD}='IGNORE'; exec @ARGV"),
        by_perl(
            "SIGCHLD blocked",
            "POSIX::sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGCHLD)); exec @ARGV",
        ),
        by_perl("SIGPIPE ignored", "$SIG{PIPE}='IGNORE'; exec @ARGV"),
        by_perl(
            "everything ignored",
            "for (1..31) { $SIG{(split ' ', $Config::Config{sig_name})[$_]}='IGNORE' if $_!=9 && $_!=19 } use Config; exec @ARGV",
        ),
        by_perl(
            "everything blocked",
            mask(
                "my $s=POSIX::SigSet->new; $s->fillset; POSIX::sigprocmask(SIG_SETMASK,$s); exec @ARGV",
            ),
        ),
        by_perl("a child that it did not start", "if (!fork()) { exit 7 } exec @ARGV"),
        by_perl(
            "a child that lives on",
            "if (!fork()) { close STDOUT; close STDERR; select(undef,undef,undef,1.5); exit 7 } exec @ARGV",
        ),
        command_sees(
            "a command has the default of SIGPIPE",
            "$SIG{PIPE}='IGNORE'; exec @ARGV",
            "yes 2>&1 | head -n 1 >/dev/null; echo ${PIPESTATUS[0]}",
            "141",
        ),
        command_sees(
            "a command ignores nothing",
            "$SIG{$_}='IGNORE' for qw(INT HUP TERM QUIT CHLD USR1 PIPE); exec @ARGV",
            "grep SigIgn /proc/self/status",
            "0000000000000000",
        ),
        command_sees(
            "a command blocks nothing",
            "my $s=POSIX::SigSet->new; $s->fillset; POSIX::sigprocmask(SIG_SETMASK,$s); exec @ARGV",
            "grep SigBlk /proc/self/status",
            "0000000000000000",
        ),
    ];
    for (name, code) in [
        (
            "TERM blocked by the parent",
            "POSIX::sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGTERM)); exec @ARGV",
        ),
        (
            "all blocked by the parent",
            "my $s=POSIX::SigSet->new; $s->fillset; POSIX::sigprocmask(SIG_SETMASK,$s); exec @ARGV",
        ),
    ] {
        rows.push(row(format!("TERM still ends it: {name}"), move || {
            let (_server, stage) = playing([shell("sleep 300")]);
            let running = perl(&stage, code, &EXEC).limit(Duration::from_secs(15)).start();
            running.wait_json("the command", |line| line["type"] == "item.started");
            running.signal(Signal::Terminate);
            let finished = running.wait();
            assert_eq!(finished.code(), Some(143));
            assert_eq!(end(&finished)["type"], "turn.failed");
            stage.assert_no_process_left();
        }));
    }
    rows.push(row("nohup: HUP does not end it", || {
        let gate = Gate::new();
        let server = ModelServer::start(Script::always(say("ok").wait(&gate)));
        let stage = configured(&server);
        let running = perl(&stage, "$SIG{HUP}='IGNORE'; exec @ARGV", &EXEC).start();
        gate.wait_arrived(1);
        running.signal(Signal::HangUp);
        gate.open();
        completes(&running.wait());
    }));
    rows.push(row("the sandbox command, SIGCHLD ignored", || {
        let stage = Stage::new();
        let run = perl(
            &stage,
            "$SIG{CHLD}='IGNORE'; exec @ARGV",
            &["sandbox", "--", "sh", "-c", "echo hi; exit 5"],
        );
        let finished = go(run.limit(Duration::from_secs(15)));
        assert_eq!((finished.code(), finished.stdout().as_str()), (Some(5), "hi\n"));
    }));
    table("inherited: signals", &[], rows);
}

#[test]
fn limits_and_descriptors() {
    let mut rows = vec![
        by_sh("umask 077", "umask 077; exec \"$@\""),
        by_sh("umask 000", "umask 000; exec \"$@\""),
        by_sh("umask 777", "umask 777; exec \"$@\""),
        by_sh("few open files", "ulimit -n 64; exec \"$@\""),
        by_sh("very many open files", "ulimit -n $(ulimit -Hn); exec \"$@\""),
        by_sh("a small stack", "ulimit -s 256; exec \"$@\""),
        by_sh("a tiny stack", "ulimit -s 128; exec \"$@\""),
        by_sh("an unlimited stack", "ulimit -s unlimited; exec \"$@\""),
        by_sh("no core files", "ulimit -c 0; exec \"$@\""),
        by_sh("a low priority", "exec nice -n 19 \"$@\""),
        by_sh("one processor", "exec taskset 1 \"$@\""),
        by_sh(
            "many descriptors",
            "exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null 7</dev/null 8</dev/null 9</dev/null; exec \"$@\"",
        ),
        by_sh("no standard input", "exec \"$@\" <&-"),
        by_sh("no standard error", "exec \"$@\" 2>&-"),
        by_sh("a full standard error", "exec \"$@\" 2>/dev/full"),
        by_sh("standard input that can be written", "exec \"$@\" 0<>/dev/null"),
        by_sh("a folder as standard input", "exec \"$@\" </tmp"),
        command_sees(
            "no descriptor reaches a command",
            "open(A,'<','/etc/passwd'); use Fcntl; fcntl(A,F_SETFD,0); exec @ARGV",
            "ls /proc/self/fd | wc -l; ls -l /proc/self/fd | grep -c passwd",
            "\n0",
        ),
        command_sees("the umask reaches a command", "umask 027; exec @ARGV", "umask", "0027"),
        row("no standard output", || {
            let (server, stage) = playing([shell("echo hi > made")]);
            let finished = go(sh(&stage, "exec \"$@\" >&-", &EXEC));
            assert!(finished.code().is_some());
            assert!(stage.exists("made") && server.requests().len() == 2);
        }),
        row("none of the three", || {
            let (server, stage) = playing([shell("echo hi > made")]);
            let finished = go(sh(&stage, "exec \"$@\" <&- >&- 2>&-", &EXEC));
            assert!(finished.code().is_some());
            assert!(stage.exists("made") && server.requests().len() == 2);
            for log in stage.logs() {
                log.assert_numbered();
            }
        }),
        row("a log is for its owner alone, whatever the umask", || {
            let (_server, stage) = playing([shell("true")]);
            completes(&go(sh(&stage, "umask 000; exec \"$@\"", &EXEC)));
            let mode = fs::metadata(stage.log().path()).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode & 0o077, 0, "{mode:o}");
        }),
        row("files of at most a few bytes: it ends with the storage code", || {
            let (_server, stage) = playing([shell("true")]);
            let finished = go(sh(&stage, "ulimit -f 1; exec \"$@\"", &EXEC));
            assert!(
                matches!(finished.code(), Some(9 | 0)),
                "{:?} {:?} {}",
                finished.code(),
                finished.signal(),
                told(&finished)
            );
            end(&finished);
        }),
        row("the first process of a namespace", || {
            let (server, stage) = playing([shell("sleep 60 & echo hi")]);
            need_namespaces(&stage);
            let run =
                stage.program("unshare").args(["-Urpf", "--mount-proc"]).arg(binary::troupe());
            completes(&go(run.args(EXEC)));
            assert!(outputs(&server)[0].contains("hi"));
        }),
    ];
    if !is_root() {
        rows.push(by_sh("few processes", "ulimit -u 400; exec \"$@\""));
    }
    table("inherited: limits, descriptors", &[], rows);
}

#[test]
fn environment_and_files() {
    let mut rows = vec![
        by_sh("no HOME", "unset HOME; exec \"$@\""),
        by_sh("an empty HOME", "HOME= exec \"$@\""),
        by_sh("a HOME that does not exist", "HOME=/no/such/home exec \"$@\""),
        by_sh("a HOME that is relative", "HOME=x exec \"$@\""),
        by_sh("no TMPDIR", "unset TMPDIR; exec \"$@\""),
        by_sh("a TMPDIR that does not exist", "TMPDIR=/no/such/tmp exec \"$@\""),
        by_sh("a SHELL that does not exist", "SHELL=/no/such/shell exec \"$@\""),
        by_sh("a SHELL that is false", "SHELL=/bin/false exec \"$@\""),
        by_sh("an empty SHELL", "SHELL= exec \"$@\""),
        by_sh("no LANG, no TERM", "unset LANG LC_ALL TERM; exec \"$@\""),
        by_sh("a LANG that is none", "LANG=xx_YY LC_ALL=xx_YY exec \"$@\""),
        by_sh("a value that is not UTF-8", "LC_X=$(printf '\\377') exec \"$@\""),
        by_sh("a name with odd characters", "exec env 'A-B.C=1' '=x=1' \"$@\""),
        by_sh("a PATH with nothing in it", "PATH=/no/such exec \"$@\""),
        by_sh("a PATH with empty and relative parts", "PATH=\":.:bin:$PATH\" exec \"$@\""),
        by_sh("BASH_ENV that fails", "BASH_ENV=/no/such/file ENV=/no/such/file exec \"$@\""),
        by_sh(
            "functions of bash in the environment",
            "exec env 'BASH_FUNC_ls%%=() { echo no; }' \"$@\"",
        ),
        row("no PATH", || {
            let (server, stage) = playing([shell("echo hi")]);
            completes(&go(sh(
                &stage,
                "t=$1; shift; exec /usr/bin/env -u PATH \"$t\" \"$@\"",
                &EXEC,
            )));
            assert!(outputs(&server)[0].contains("hi"));
        }),
        row("the working directory was deleted", || {
            let (server, stage) = playing([shell("echo hi")]);
            let finished =
                go(sh(&stage, "mkdir gone && cd gone && rmdir ../gone && exec \"$@\"", &EXEC));
            assert_eq!(finished.code(), Some(3), "{}", told(&finished));
            assert_eq!(end(&finished)["type"], "turn.failed");
            assert!(server.requests().is_empty());
        }),
    ];
    for (name, setting) in [
        ("model_instructions_file", "model_instructions_file"),
        ("the script of the rehearsal", "model_providers.test.script"),
    ] {
        rows.push(row(format!("a fifo: {name}"), move || {
            let (_server, stage) = playing([shell("true")]);
            fifo(stage.work().join("pipe"));
            let place = format!("{setting}=\"{}\"", stage.work().join("pipe").display());
            let wire = if setting.contains("script") {
                "model_providers.test.wire_api=\"rehearsal\""
            } else {
                "model_verbosity=\"low\""
            };
            let run = stage.troupe(["exec", "--json", "-c", &place, "-c", wire, "go"]);
            let finished = go(run.limit(Duration::from_secs(12)));
            assert_ne!(finished.code(), Some(0));
            assert_eq!(end(&finished)["type"], "turn.failed");
        }));
    }
    for (name, arguments) in
        [("the schema", ["--output-schema", "pipe"]), ("an image", ["-i", "pipe"])]
    {
        rows.push(row(format!("a fifo: {name}"), move || {
            let (server, stage) = playing([shell("true")]);
            fifo(stage.work().join("pipe"));
            let run = stage.troupe(["exec", "--json"]).args(arguments).args(["--", "go"]);
            let finished = go(run.limit(Duration::from_secs(12)));
            assert_ne!(finished.code(), Some(0));
            assert_eq!(end(&finished)["type"], "turn.failed");
            assert!(server.requests().is_empty());
        }));
    }
    for (name, make) in [
        ("a fifo", (|place| fifo(place)) as fn(std::path::PathBuf)),
        ("a file that never ends", |place| link("/dev/zero", place)),
        ("a link to itself", |place| link("config.toml", place)),
        ("a folder", |place| fs::create_dir(place).unwrap()),
        ("bytes", |place| fs::write(place, b"\xff\xfe\x00").unwrap()),
        ("a socket", |place| drop(std::os::unix::net::UnixListener::bind(place).unwrap())),
        ("a file without permission", |place| {
            if is_root() {
                skip("root reads whatever its permissions say");
            }
            fs::write(&place, "model = \"m\"\n").unwrap();
            fs::set_permissions(&place, fs::Permissions::from_mode(0o0)).unwrap();
        }),
    ] {
        rows.push(row(format!("config.toml is {name}"), move || {
            let (server, stage) = playing([shell("true")]);
            fs::remove_file(stage.troupe_home().join("config.toml")).unwrap();
            make(stage.troupe_home().join("config.toml"));
            let finished = go(stage.troupe(EXEC).limit(Duration::from_secs(12)));
            assert_eq!(finished.code(), Some(3), "{}", told(&finished));
            assert!(told(&finished).contains("config.toml"));
            assert!(server.requests().is_empty());
        }));
    }
    rows.push(row("a fifo as a project's settings", || {
        let (_server, stage) = playing([shell("true")]);
        fifo(stage.work().join(".troupe/config.toml"));
        let finished = go(stage.troupe(EXEC).limit(Duration::from_secs(12)));
        assert!(matches!(finished.code(), Some(0 | 3)), "{}", told(&finished));
    }));
    rows.push(row("a fifo that the model wants to read", || {
        let turn = call("read_file", serde_json::json!({ "path": "pipe" }));
        let (server, stage) = playing([turn]);
        fifo(stage.work().join("pipe"));
        completes(&go(stage.troupe(EXEC).limit(Duration::from_secs(12))));
        assert!(outputs(&server)[0].contains("pipe"), "{}", outputs(&server)[0]);
    }));
    rows.push(row("a fifo that the model wants to patch", || {
        let text = "*** Begin Patch\n*** Update File: pipe\n@@\n-a\n+b\n*** End Patch\n";
        let (server, stage) = playing([custom("apply_patch", text)]);
        fifo(stage.work().join("pipe"));
        completes(&go(stage.troupe(EXEC).limit(Duration::from_secs(12))));
        assert!(outputs(&server)[0].contains("pipe"), "{}", outputs(&server)[0]);
    }));
    rows.push(row("a fifo among files that are searched", || {
        let turn = call("grep_files", serde_json::json!({ "pattern": "needle" }));
        let (server, stage) = playing([turn]);
        fifo(stage.work().join("pipe"));
        stage.write("hay", "needle\n");
        completes(&go(stage.troupe(EXEC).limit(Duration::from_secs(12))));
        assert!(outputs(&server)[0].contains("hay"), "{}", outputs(&server)[0]);
    }));
    for (name, make) in [
        ("a device", (|place| link("/dev/zero", place)) as fn(std::path::PathBuf)),
        ("a folder", |place| fs::create_dir(place).unwrap()),
        ("bytes", |place| fs::write(place, b"\xff\xfe\x00").unwrap()),
    ] {
        rows.push(row(format!("{name}: the script of the rehearsal"), move || {
            let (_server, stage) = playing([shell("true")]);
            let pipe = stage.work().join("pipe");
            make(pipe.clone());
            let place = format!("model_providers.test.script=\"{}\"", pipe.display());
            let wire = "model_providers.test.wire_api=\"rehearsal\"";
            let run = stage.troupe(["exec", "--json", "-c", &place, "-c", wire, "go"]);
            let finished = go(run.limit(Duration::from_secs(12)));
            assert_eq!(finished.code(), Some(3), "{}", told(&finished));
            assert!(told(&finished).contains("pipe"), "{}", told(&finished));
        }));
    }
    rows.push(row("a script through a pipe of the shell", || {
        let (_server, stage) = playing([shell("true")]);
        let script = "exec \"$@\" -c model_providers.test.script=<(echo '{\"steps\": [{\"text\": \"from the pipe\"}]}') go";
        let wire = "model_providers.test.wire_api=\"rehearsal\"";
        let run = stage.program("bash").args(["-c", script, "sh"]).arg(binary::troupe());
        let finished = go(run.args(["exec", "--json", "-c", wire]).limit(Duration::from_secs(12)));
        assert!(finished.stdout().contains("from the pipe"), "{}", told(&finished));
    }));
    rows.push(row("a fifo: authorities of certificates", || {
        let (_server, stage) = playing([shell("true")]);
        fifo(stage.work().join("pipe"));
        let url = "model_providers.test.base_url=\"https://127.0.0.1:1/v1\"";
        let run = stage.troupe(["exec", "--json", "-c", url, "go"]);
        let run = run.limit(Duration::from_secs(12));
        let finished = go(run.env("TROUPE_CA_CERTIFICATE", stage.work().join("pipe")));
        assert_eq!(finished.code(), Some(3), "{}", told(&finished));
        assert!(told(&finished).contains("pipe"), "{}", told(&finished));
    }));
    rows.push(row("a fifo: rules to import", || {
        let (_server, stage) = playing([shell("true")]);
        fifo(stage.work().join("pipe"));
        let run = stage.troupe(["policy", "import", "pipe"]).limit(Duration::from_secs(12));
        let finished = go(run);
        assert_eq!(finished.code(), Some(3), "{}", finished.stderr());
        assert!(finished.stderr().contains("a named pipe"), "{}", finished.stderr());
    }));
    rows.push(row("a fifo: .git", || {
        let (server, stage) = playing([shell("echo hi")]);
        let git = stage.work().join(".git");
        drop(fs::remove_dir_all(&git));
        fifo(git);
        stage.write(".troupe/config.toml", "model = \"m\"\n");
        completes(&go(stage.troupe(EXEC).limit(Duration::from_secs(12))));
        assert!(outputs(&server)[0].contains("hi"), "{}", outputs(&server)[0]);
    }));
    for file in ["commondir", "config"] {
        rows.push(row(format!("a fifo: .git/{file}"), move || {
            let (server, stage) = playing([shell("echo hi")]);
            let git = stage.work().join(".git");
            fs::create_dir_all(&git).unwrap();
            fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
            drop(fs::remove_file(git.join(file)));
            fifo(git.join(file));
            let run = stage.troupe(["exec", "--json", "-s", "workspace-write", "go"]);
            completes(&go(run.limit(Duration::from_secs(12))));
            assert!(outputs(&server)[0].contains("hi"), "{}", outputs(&server)[0]);
        }));
    }
    rows.push(row("a fifo: the log of a session", || {
        let (_server, stage) = playing([shell("true")]);
        go(stage.troupe(["exec", "--json", "one"])).assert_success();
        let folder = stage.troupe_home().join("sessions");
        let logs = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let log = logs.into_iter().find(|path| path.is_file()).unwrap();
        fs::remove_file(&log).unwrap();
        fifo(log.clone());
        for arguments in [vec!["sessions", "list"], vec!["exec", "--json", "resume", "--last", "x"]]
        {
            let _ended = go(stage.troupe(arguments).limit(Duration::from_secs(12)));
        }
    }));
    table("inherited: environment, files", &[], rows);
}
