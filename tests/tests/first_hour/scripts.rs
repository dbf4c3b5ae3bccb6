//! Scripts run whatever their length, up to a limit that is named.

#![cfg(unix)]

use serde_json::json;
use std::path::Path;
use troupe_tests::{
    model_server::{ModelServer, Script, call, say},
    stage::Stage,
};

/// Has scripts run, each in a call of its own; gives what the model is told.
fn run_in(stage: impl Fn(Stage) -> Stage, mode: &str, calls: &[(&str, String)]) -> Vec<String> {
    let mut script = Script::new();
    for (tool, text) in calls {
        let name = if *tool == "shell" { "command" } else { "cmd" };
        script = script.turn(call(*tool, json!({ name: text })));
    }
    let server = ModelServer::start(script.turn(say("done")));
    let stage = stage(Stage::new().with_model(&server));
    let finished = stage.troupe(["exec", "--json", "-s", mode, "go"]).run();
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr());
    stage.assert_no_process_left();
    let requests = server.requests();
    let outputs = requests.last().unwrap().outputs();
    outputs.into_iter().map(|(_, output)| output).collect()
}

/// A script of about this many bytes, most of them in a here-document.
fn here_document(bytes: usize, then: &str) -> String {
    let line = "a line of the text, with $nothing to `expand` in it\n";
    format!("cat >big.txt <<'END'\n{}END\n{then}", line.repeat(bytes / line.len()))
}

const LOOK: &str = "wc -c <big.txt; echo \"$0\" | sed 's,.*/,,'; case $- in *c*) echo by -c;; esac; \
                    cat; ls /proc/self/fd | tr '\\n' ' '; exit 3";

#[test]
fn long_scripts_do_what_short_ones_do() {
    for shell in ["/bin/bash", "/bin/dash", "/bin/zsh", "/bin/ksh"] {
        if !Path::new(shell).exists() {
            troupe_tests::skip::skipped(
                "long_scripts_do_what_short_ones_do",
                &format!("needs {shell}"),
            );
            continue;
        }
        let open: &[_] = if shell == "/bin/bash" { &["danger-full-access"] } else { &[] };
        for mode in ["workspace-write"].iter().chain(open) {
            let sizes = [1_000, 70_000, 131_000, 1_100_000];
            let calls = sizes.map(|bytes| {
                let tool = if bytes == 131_000 { "exec_command" } else { "shell" };
                (tool, here_document(bytes, LOOK))
            });
            let outputs = run_in(|stage| stage.with_env("SHELL", shell), mode, &calls);
            // The size that was written, and what is the same for every length.
            let told = |output: &str| {
                let said = output.split_once("Output:\n").unwrap().1.to_owned();
                let (size, rest) = said.split_once('\n').unwrap();
                (size.parse::<usize>().unwrap(), rest.to_owned())
            };
            let short = told(&outputs[0]).1;
            assert!(short.lines().last().unwrap().starts_with("0 1 2 "), "{short}");
            for (output, (_, script)) in outputs.iter().zip(&calls) {
                let about = format!("{shell}, {mode}, {} bytes: {output}", script.len());
                assert!(output.starts_with("Exit code: 3"), "{about}");
                let text = script.split("'END'\n").nth(1).unwrap().split("END\n").next().unwrap();
                let (size, rest) = told(output);
                assert_eq!(size, text.len(), "{about}");
                assert_eq!(rest, short, "$0, $-, input and descriptors are the same: {about}");
            }
        }
    }
}

#[test]
fn a_long_word_and_many_lines_are_scripts_too() {
    let calls = [
        ("shell", format!("echo {} | wc -c", "x".repeat(1_048_576))),
        ("shell", format!("{}echo \"$n\"", "n=$((n+1))\n".repeat(30_000))),
        ("shell", format!("# {}\necho after a comment", "x".repeat(200_000))),
        ("shell", format!("#!/bin/sh\n\n: '{}'\nfalse", "é".repeat(100_000))),
    ];
    let outputs = run_in(|stage| stage, "workspace-write", &calls);
    for (output, end) in outputs.iter().zip(["\n1048577\n", "\n30000\n", "after a comment\n", ""]) {
        assert!(output.ends_with(end), "{output}");
    }
    assert!(outputs[3].starts_with("Exit code: 1"), "{}", outputs[3]);
}

#[test]
fn a_patch_in_a_long_script_is_applied_as_one() {
    let lines = "+a line of the new file\n".repeat(20_000);
    let patch = format!("*** Begin Patch\n*** Add File: new.txt\n{lines}*** End Patch\n");
    let script = format!("apply_patch <<'EOF'\n{patch}EOF\n");
    let outputs = run_in(|stage| stage, "workspace-write", &[("shell", script)]);
    assert!(outputs[0].contains("new.txt") && !outputs[0].contains("Exit code"), "{}", outputs[0]);
}

#[test]
fn what_is_too_long_is_said_with_its_limit() {
    let script = format!("echo {}", "x".repeat(2 << 20));
    let outputs = run_in(|stage| stage, "workspace-write", &[("shell", script)]);
    assert!(
        outputs[0].contains("`command` has 2048 KiB, and 2048 KiB is the most"),
        "{}",
        outputs[0]
    );
    let set = format!("shell_environment_policy.set.BIG=\"{}\"", "y".repeat(100_000));
    let long = format!("[shell_environment_policy]\nset.BIG = \"{}\"\n", "y".repeat(140_000));
    let calls = [("shell", "echo ran".to_owned())];
    let fine = run_in(|stage| stage.with_arguments(["-c", &set]), "workspace-write", &calls);
    assert!(fine[0].ends_with("ran\n"), "{}", fine[0]);
    let outputs = run_in(|stage| stage.with_config(&long), "workspace-write", &calls);
    assert!(outputs[0].contains("BIG has 136 KiB, and Linux takes 128 KiB"), "{}", outputs[0]);
}
