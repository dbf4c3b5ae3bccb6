//! How a process ends, and what is said of it.

use crate::{
    puppet::{Puppet, real},
    stage::{Scene, Stage, result, text},
};
use serde_json::json;
use std::{sync::atomic::Ordering, time::Duration};
use tokio::time::{Instant, advance};
use troupe_messages::{ProcessExit, Question, Remarked, Running, Verdict};
use troupe_types::{CommandEnd, ErrorClass, Outcome};

async fn launch(arguments: &serde_json::Value, running: Running) -> Stage {
    let mut stage = Scene::new("shell", arguments).begin();
    stage.reach_launch().await;
    stage.launched(running);
    stage.quiet().await;
    stage
}

#[tokio::test(start_paused = true)]
async fn a_status_other_than_zero_is_a_result() {
    for (exit, code) in [(ProcessExit::Code(3), 3), (ProcessExit::Signal(9), 137)] {
        let (mut process, running) = Puppet::new(0);
        let mut stage = launch(&json!({"command": "false"}), running).await;
        process.print(b"no such thing\n").await;
        process.end(exit);
        let finished = stage.finished().await;
        assert_eq!(finished.outcome, Outcome::Completed);
        assert!(text(&finished).starts_with(&format!("Exit code: {code}\n")), "{finished:?}");
        assert!(text(&finished).ends_with("Output:\nno such thing\n"));
        assert_eq!(result(&finished).end.exit_code(), Some(code));
        assert_eq!(result(&finished).output.head, "no such thing\n");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_process_is_lost_with_what_it_printed() {
    let (mut process, running) = Puppet::new(0);
    let mut stage = launch(&json!({"command": "make"}), running).await;
    process.print(b"step 1 of 2\n").await;
    process.end(ProcessExit::Lost);
    let finished = stage.finished().await;
    assert_eq!(finished.outcome, Outcome::Lost);
    assert!(text(&finished).starts_with("lost:"), "{finished:?}");
    assert!(text(&finished).ends_with("step 1 of 2\n"), "{finished:?}");
    assert_eq!(result(&finished).end, CommandEnd::Lost);
    assert_eq!(result(&finished).output.head, "step 1 of 2\n");
}

#[tokio::test(start_paused = true)]
async fn the_time_is_the_models_or_two_minutes() {
    for (arguments, limit_ms) in [
        (json!({"command": "sleep 9", "timeout_ms": 1500}), 1500),
        (json!({"command": "sleep 9"}), 120_000),
    ] {
        let (mut process, running) = Puppet::new(2);
        let mut stage = Scene::new("shell", &arguments).begin();
        stage.reach_launch().await;
        // What sandbox takes to start it does not count.
        advance(Duration::from_secs(20)).await;
        let began = Instant::now();
        stage.launched(running);
        process.print(b"waiting\n").await;
        process.killed().await;
        let lived = u64::try_from(began.elapsed().as_millis()).unwrap();
        assert!((limit_ms..limit_ms + 10).contains(&lived), "{lived} ms of {limit_ms}");
        process.end(ProcessExit::Signal(9));
        let finished = stage.finished().await;
        assert_eq!(finished.outcome, Outcome::TimedOut);
        let said = format!("command timed out after {limit_ms} milliseconds\nwaiting\n");
        assert!(text(&finished).starts_with("Exit code: 124\n"), "{finished:?}");
        assert!(text(&finished).ends_with(&said), "{finished:?}");
        assert!(finished.took_ms >= limit_ms);
        assert_eq!(result(&finished).output.head, "waiting\n");
        assert_eq!(result(&finished).end, CommandEnd::TimedOut { limit_ms });
    }
}

#[tokio::test(start_paused = true)]
async fn strays_get_a_moment_and_are_counted() {
    let (mut process, running) = Puppet::new(2);
    let mut stage = launch(&json!({"command": "server &"}), running).await;
    process.print(b"started\n").await;
    stage.quiet().await;
    let exited = Instant::now();
    process.exit(ProcessExit::Code(0));
    stage.quiet().await;
    assert_eq!(process.kills.load(Ordering::SeqCst), 0);
    process.print(b"a last word\n").await;
    process.killed().await;
    let waited = exited.elapsed();
    assert!((Duration::from_millis(50)..Duration::from_millis(60)).contains(&waited), "{waited:?}");
    (process.output, process.notes) = (None, None);
    let finished = stage.finished().await;
    assert_eq!(finished.outcome, Outcome::Completed);
    assert!(text(&finished).contains("2 background processes of the command were ended\n"));
    assert!(text(&finished).ends_with("Output:\nstarted\na last word\n"));
    assert_eq!((result(&finished).strays, result(&finished).output.lines), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn outputs_that_stay_open_are_not_waited_for_for_ever() {
    let (mut process, running) = Puppet::new(0);
    let mut stage = launch(&json!({"command": "setsid sleep 9 &"}), running).await;
    let exited = Instant::now();
    process.exit(ProcessExit::Code(0));
    assert_eq!(stage.finished().await.outcome, Outcome::Completed);
    assert!(exited.elapsed() < Duration::from_secs(2), "{:?}", exited.elapsed());
}

#[tokio::test(start_paused = true)]
async fn outputs_that_end_early_do_not_end_the_command() {
    let (mut process, running) = Puppet::new(0);
    let mut stage = launch(&json!({"command": "exec >&- 2>&-; work"}), running).await;
    (process.output, process.notes) = (None, None);
    stage.quiet().await;
    process.exit(ProcessExit::Code(7));
    assert!(text(&stage.finished().await).starts_with("Exit code: 7\n"));
}

#[tokio::test]
async fn a_real_command_in_its_folder() {
    let script = "printf 'in %s\\n' \"$(basename \"$PWD\")\"; cat note; printf '\\377\\n'; exit 5";
    let scene = Scene::new("shell", &json!({"command": script, "workdir": "sub"}));
    std::fs::create_dir(scene.folder.path().join("sub")).unwrap();
    std::fs::write(scene.folder.path().join("sub/note"), "grüße\n").unwrap();
    let mut stage = scene.begin();
    let order = stage.reach_launch().await;
    assert_eq!(order.workspace, stage.folder.path());
    stage.launched(real(&order));
    let finished = stage.finished().await;
    assert_eq!(finished.outcome, Outcome::Completed);
    assert!(text(&finished).starts_with("Exit code: 5\n"), "{finished:?}");
    assert!(text(&finished).ends_with("Output:\nin sub\ngrüße\n\u{FFFD}\n"), "{finished:?}");
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_named() {
    for (workdir, expected) in [("gone", "does not exist"), ("file", "is not a directory")] {
        for script in
            ["ls", "apply_patch <<'E'\n*** Begin Patch\n*** Add File: a\n+x\n*** End Patch\nE\n"]
        {
            let arguments = json!({"command": script, "workdir": workdir});
            let mut stage = Scene::new("shell", &arguments).file("file", "").begin();
            let finished = stage.finished().await;
            let place = stage.folder.path().join(workdir);
            assert_eq!(text(&finished), format!("the directory {} {expected}", place.display()));
            let failure = Outcome::failed(ErrorClass::Tool, text(&finished));
            assert_eq!(finished.outcome, failure);
            assert_eq!(stage.names(), ["file"]);
        }
    }
}

#[tokio::test]
async fn the_question_names_the_folder_of_the_command() {
    let mut stage = Scene::new("shell", &json!({"command": "ls", "workdir": "/"})).begin();
    let Question::Command { cwd, .. } = stage.question().await else { panic!() };
    assert_eq!(cwd, std::path::Path::new("/"));
    stage.judge(Verdict::Deny("no".to_owned()));
    stage.finished().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_sandbox_says_is_no_output() {
    let (mut process, mut running) = Puppet::new(0);
    running.aftermath = Some(std::sync::Arc::new(|_, _| Remarked {
        sentences: vec!["/x is protected".to_owned()],
        not_written: None,
    }));
    let mut stage = launch(&json!({"command": "git commit"}), running).await;
    process.print(b"Exit code: 0\nOutput:\nSandbox: none of ours").await;
    process.note(b"not taken over into .git: config\nnot taken over into .git: hooks\n").await;
    process.end(ProcessExit::Code(1));
    let finished = stage.finished().await;
    let printed = &result(&finished).output;
    assert_eq!(printed.text(), "Exit code: 0\nOutput:\nSandbox: none of ours");
    let said = &result(&finished).sandbox;
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(text(&finished).ends_with(
        "none of ours\nSandbox: not taken over into .git: config.\nSandbox: not taken over into .git: \
         hooks.\nSandbox: /x is protected."
    ));
}

#[tokio::test]
async fn both_streams_come_in_the_order_of_their_writes() {
    let script =
        "for i in 1 2 3 4 5 6 7 8 9; do echo o$i; echo e$i >&2; (echo c$i >&2; echo d$i); done";
    let mut stage = Scene::new("shell", &json!({"command": script})).begin();
    let order = stage.reach_launch().await;
    stage.launched(real(&order));
    let finished = stage.finished().await;
    let expected: String = (1..=9).map(|n| format!("o{n}\ne{n}\nc{n}\nd{n}\n")).collect();
    assert_eq!(result(&finished).output.head, expected);
}
