//! What a run inherits from its parent process does not change what it does.

#![cfg(target_os = "linux")]

use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use troupe_tests::{
    binary,
    model_server::{Gate, ModelServer, Script, call, say},
    stage::{Run, Signal, Stage},
};

/// A stage whose runs find their provider in the configuration.
fn stage(server: &ModelServer) -> Stage {
    let url = server.url();
    Stage::new().with_config(&format!(
        "model = \"m\"\nmodel_provider = \"test\"\n\n[model_providers.test]\nbase_url = \"{url}\"\n\
         wire_api = \"responses\"\n"
    ))
}

/// A run of `troupe` that a shell starts after it has set things up its way.
fn after(stage: &Stage, set_up: &str, arguments: &[&str]) -> Run {
    let script = format!("{set_up}\nexec \"$@\"");
    let shell = stage.program("/bin/bash").args(["-c", &script, "bash"]).arg(binary::troupe());
    shell.args(arguments)
}

/// What a command finds that a parent could have spoilt.
const LOOK: &str = "grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd | tr '\\n' ' '; \
                    echo made > made && cat made; sleep 0.01 & wait; echo the end";

/// Runs a turn with a command and a patch.
fn turn(set_up: &str) -> (Stage, String) {
    let patch = "*** Begin Patch\n*** Add File: patched\n+text\n*** End Patch";
    let server = ModelServer::start(
        Script::new()
            .turn(call("shell", json!({ "command": LOOK })))
            .turn(call("apply_patch", json!({ "input": patch })))
            .turn(say("done")),
    );
    let stage = stage(&server);
    let finished = after(&stage, set_up, &["exec", "-s", "workspace-write", "go"]).run();
    assert_eq!(finished.code(), Some(0), "{set_up}: {}", finished.stderr());
    let output = server.requests()[1].outputs()[0].1.clone();
    assert!(output.ends_with("made\nthe end\n"), "{set_up}: {output}");
    stage.assert_no_process_left();
    (stage, output)
}

#[test]
fn signals_that_a_parent_ignores_or_blocks_do_not_reach_commands() {
    let all =
        "1 2 3 4 5 6 7 8 10 11 12 13 14 15 16 17 18 20 21 22 23 24 25 26 27 28 29 30 31 34 64";
    let list = all.replace(' ', ",");
    for set_up in [
        "set -- env --ignore-signal=CHLD \"$@\"",
        &format!("set -- env --ignore-signal={list} \"$@\""),
        &format!("set -- env --block-signal={list} \"$@\""),
    ] {
        let (_, output) = turn(set_up);
        for name in ["SigBlk", "SigIgn"] {
            let clear = format!("{name}:\t0000000000000000\n");
            assert!(output.contains(&clear), "{set_up}: {output}");
        }
    }
}

#[test]
fn descriptors_that_a_parent_left_open_do_not_reach_commands() {
    let many = "for n in $(seq 3 200); do eval \"exec $n</dev/null\"; done; exec 900</dev/null";
    let (_, output) = turn(many);
    let open: Vec<_> = output.lines().filter(|line| line.starts_with("0 1 2 ")).collect();
    assert!(open.len() == 1 && open[0].split(' ').count() < 7, "{output}");
    turn("exec 0<&-");
    turn("exec 0<&- 2<&-");
}

#[test]
fn small_limits_and_a_low_priority_are_enough() {
    for set_up in [
        "ulimit -s 64",
        "ulimit -s 256",
        "ulimit -n 32",
        "ulimit -f 4000",
        "ulimit -v 700000",
        "ulimit -c 0; ulimit -l 0; ulimit -i 0; ulimit -t 60",
        "renice -n 19 $$ >/dev/null",
        "set -- setsid --wait \"$@\"",
    ] {
        turn(set_up);
    }
}

#[test]
fn a_mask_never_takes_files_from_their_owner_nor_gives_logs_to_others() {
    let mode = |path: std::path::PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
    for (mask, wanted) in [("0777", 0o600), ("0277", 0o600), ("0", 0o666), ("027", 0o640)] {
        let (stage, _) = turn(&format!("umask {mask}"));
        for file in ["made", "patched"] {
            assert_eq!(mode(stage.work().join(file)), wanted, "{mask}: {file}");
        }
        for folder in ["sessions", "bin", "run"] {
            assert_eq!(mode(stage.troupe_home().join(folder)), 0o700, "{mask}: {folder}");
        }
    }
}

#[test]
fn a_limit_of_file_sizes_is_an_error_of_the_log() {
    let server = ModelServer::start(Script::new().turn(say("done")));
    let stage = stage(&server);
    let finished = after(&stage, "ulimit -f 1", &["exec", "--json", "go"]).run();
    assert_eq!(finished.code(), Some(9), "{}", finished.stderr());
    assert_eq!(finished.json_lines().pop().unwrap()["type"], "turn.failed");
}

#[test]
fn a_hang_up_ends_a_run_unless_the_parent_ignores_it() {
    for (set_up, signal, code) in [
        ("", Signal::HangUp, 129),
        ("set -- env --ignore-signal=HUP \"$@\"", Signal::HangUp, 0),
        ("set -- env --ignore-signal=INT \"$@\"", Signal::Interrupt, 0),
        ("set -- env --ignore-signal=TERM \"$@\"", Signal::Terminate, 143),
    ] {
        let gate = Gate::default();
        let server = ModelServer::start(Script::new().turn(say("done").wait(&gate)));
        let stage = stage(&server);
        let running = after(&stage, set_up, &["exec", "go"]).start();
        server.wait_requests_blocking(1);
        running.signal(signal);
        // What is ignored is gone by now; what is heard ends the run without an answer.
        if code == 0 {
            gate.open();
        }
        let finished = running.wait();
        assert_eq!(finished.code(), Some(code), "{set_up} {signal:?}: {}", finished.stderr());
    }
}
