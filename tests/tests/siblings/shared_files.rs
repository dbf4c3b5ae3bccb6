//! Files that several processes share survive them, also when they are killed.

use super::{
    common::*,
    table::{row, table},
};
use serde_json::json;
use std::{collections::HashSet, fs};
use troupe_tests::{
    model_server::*,
    stage::{Running, Signal, Stage},
    wait::{DEADLINE, poll},
};

const WRITERS: usize = 8;

/// As many runs at once in one folder, each with a session of its own.
fn at_once(stage: &Stage, arguments: &[&str]) -> Vec<Running> {
    (0..WRITERS)
        .map(|n| {
            stage.troupe(["exec", "--json"]).args(arguments).arg(format!("writer-{n}.")).start()
        })
        .collect()
}

fn writer(request: &Request) -> usize {
    let asked = request.texts("user").concat();
    (0..WRITERS).find(|n| asked.contains(&format!("writer-{n}."))).expect("a writer")
}

#[test]
fn eight_writers() {
    let mut rows = Vec::new();
    rows.push(row("eight processes begin at once where there was nothing", || {
        let server = ModelServer::start(Script::always(say("done")));
        let stage = Stage::new().with_model(&server);
        fs::remove_dir(stage.troupe_home()).unwrap();
        for run in at_once(&stage, &[]) {
            ends(&run.wait(), 0);
        }
        let ids: HashSet<String> =
            stage.logs().iter().map(troupe_tests::stage::SessionLog::session).collect();
        assert_eq!(ids.len(), WRITERS);
        stage.troupe(["sessions", "list"]).run().assert_success();
    }));
    for mode in ["workspace-write", "danger-full-access"] {
        rows.push(row(
            format!(
                "{mode}: eight patch a file each; half are killed; each file is whole or not there"
            ),
            move || {
                let gate = Gate::new();
                let (inner, lines) = (gate.clone(), "+line\n".repeat(20_000));
                let patch = compute(move |request| {
                    custom(
                        "apply_patch",
                        format!(
                            "*** Begin Patch\n*** Add File: file-{}\n{lines}*** End Patch\n",
                            writer(request)
                        ),
                    )
                    .wait(&inner)
                });
                let server = ModelServer::start(Script::new().turn(patch).otherwise(say("done")));
                let stage = Stage::new().with_model(&server);
                let runs = at_once(&stage, &["-s", mode]);
                gate.wait_arrived(WRITERS);
                gate.open();
                for (n, run) in runs.into_iter().enumerate() {
                    if n % 2 == 0 {
                        // Whenever: before, in or behind the patch.
                        run.signal(Signal::Kill);
                        drop(run.wait());
                    } else {
                        ends(&run.wait(), 0);
                        assert_eq!(stage.read(format!("file-{n}")).len(), 5 * 20_000);
                    }
                }
                // The next start undoes what is half done.
                ends(&stage.troupe(["exec", "--json", "-s", mode, "writer-0."]).run(), 0);
                let mut left = 0;
                for entry in fs::read_dir(stage.work()).unwrap().flatten() {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    if name == ".git" {
                        continue;
                    }
                    assert!(name.starts_with("file-"), "{name} is left");
                    assert_eq!(fs::metadata(entry.path()).unwrap().len(), 5 * 20_000, "{name}");
                    left += 1;
                }
                assert!(left >= WRITERS / 2);
                let journals = stage.troupe_home().join("sessions/patches");
                let open: Vec<_> = fs::read_dir(journals)
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|entry| entry.file_name())
                    .collect();
                assert!(open.is_empty(), "{open:?}");
                drop(server.expect_violations());
            },
        ));
    }
    rows.push(row("eight patch one file: each change that succeeded is in it, once", || {
        let gate = Gate::new();
        let inner = gate.clone();
        let patch = compute(move |request| {
            let n = writer(request);
            custom("apply_patch", format!("*** Begin Patch\n*** Update File: list\n@@\n-slot-{n}\n+taken-{n}\n*** End Patch\n")).wait(&inner)
        });
        let server = ModelServer::start(Script::new().turn(patch).otherwise(say("done")));
        let stage = Stage::new().with_model(&server);
        let slots: String = (0..WRITERS).map(|n| format!("slot-{n}\n{}", "between\n".repeat(500))).collect();
        stage.write("list", slots);
        let runs = at_once(&stage, &["-s", "danger-full-access"]);
        gate.wait_arrived(WRITERS);
        gate.open();
        for run in runs {
            ends(&run.wait(), 0);
        }
        let list = stage.read("list");
        for request in server.requests() {
            let Some((_, output)) = request.outputs().pop() else { continue };
            let n = writer(&request);
            let there = list.contains(&format!("taken-{n}\n"));
            assert_eq!(there, output.contains("Success"), "{n}: {output}");
        }
        assert_eq!(list.lines().count(), WRITERS * 501);
    }));
    rows.push(row("eight commit in one repository inside the sandbox: each commit that succeeded stands", || {
        let commit = compute(|request| {
            let n = writer(request);
            shell(&format!("echo {n} > file-{n} && for i in 1 2 3 4 5 6 7 8 9; do git add file-{n} && git -c user.name=a -c user.email=a@b commit -q -m commit-{n} -- file-{n} && exit 0; sleep 0.3; done; exit 1"))
        });
        let server = ModelServer::start(Script::new().turn(commit).otherwise(say("done")));
        let stage = Stage::without_git().with_model(&server);
        let git = |arguments: &[&str]| stage.program("git").args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(arguments).run();
        git(&["init", "-q"]).assert_success();
        git(&["commit", "-q", "--allow-empty", "-m", "root"]).assert_success();
        for run in at_once(&stage, &["-s", "workspace-write"]) {
            ends(&run.wait(), 0);
        }
        git(&["fsck", "--strict"]).assert_success();
        let log = git(&["log", "--format=%s"]).stdout();
        for request in server.requests() {
            let Some((_, output)) = request.outputs().pop() else { continue };
            let n = writer(&request);
            if output.starts_with("Exit code: 0") && !output.contains("Sandbox:") {
                assert!(log.contains(&format!("commit-{n}")), "{n} is lost: {log}\n{output}");
            }
        }
    }));
    rows.push(row("removals, lists and new sessions at once", || {
        let server = ModelServer::start(Script::always(say("done")));
        let stage = Stage::new().with_model(&server);
        for _ in 0..3 {
            ends(&exec(&stage).arg("writer-0.").run(), 0);
        }
        let mut runs = at_once(&stage, &[]);
        for _ in 0..2 {
            runs.push(stage.troupe(["sessions", "prune", "--keep", "1"]).start());
            runs.push(stage.troupe(["sessions", "list", "--json"]).start());
        }
        for run in runs {
            let finished = run.wait();
            assert!(
                matches!(finished.code(), Some(0 | 9)),
                "{:?} {}",
                finished.code(),
                finished.stderr()
            );
        }
        for log in stage.logs() {
            log.assert_numbered();
            assert_eq!(log.bodies("SessionCreated").len(), 1);
        }
    }));
    rows.push(row("eight commands of the sandbox share a folder's protected names; half of their hosts are killed", || {
        let gate = Gate::new();
        let inner = gate.clone();
        let turn = compute(move |request| shell(&format!("echo x > begun-{}; mkdir -p .claude; sleep 1", writer(request))).wait(&inner));
        let server = ModelServer::start(Script::new().turn(turn).otherwise(say("done")));
        let stage = Stage::new().with_model(&server);
        let runs = at_once(&stage, &["-s", "workspace-write"]);
        gate.wait_arrived(WRITERS);
        gate.open();
        for (n, run) in runs.into_iter().enumerate() {
            if n % 2 == 0 {
                poll(DEADLINE, || stage.exists(format!("begun-{n}")).then_some(())).expect("it has begun");
                run.signal(Signal::Kill);
                drop(run.wait());
            } else {
                ends(&run.wait(), 0);
            }
        }
        let clean = poll(DEADLINE, || (!stage.exists(".claude") && !stage.exists(".troupe")).then_some(()));
        assert!(clean.is_some(), "an empty folder is left");
        stage.assert_no_process_left();
    }));
    rows.push(row("rules that are replaced while runs begin are read whole or not at all", || {
        let server = ModelServer::start(
            Script::new()
                .turn(call("shell", json!({ "command": "git push" })))
                .otherwise(say("done")),
        );
        let stage = Stage::new().with_model(&server);
        let rules = stage.troupe_home().join("rules");
        fs::create_dir_all(&rules).unwrap();
        let rule = "[[rule]]\nprefix = [\"git\", \"push\"]\ndecision = \"deny\"\n";
        fs::write(rules.join("mine.toml"), rule).unwrap();
        let runs = at_once(&stage, &[]);
        for n in 0..50 {
            fs::write(rules.join("next"), format!("# {n}\n{}", rule.repeat(50))).unwrap();
            fs::rename(rules.join("next"), rules.join("mine.toml")).unwrap();
        }
        for run in runs {
            ends(&run.wait(), 0);
        }
        for request in server.requests() {
            for (_, output) in request.outputs() {
                assert!(
                    output.contains("refused")
                        || output.contains("denied")
                        || output.contains("rule"),
                    "{output}"
                );
            }
        }
    }));
    table("siblings: shared files", &[], rows);
}
