//! Patches change what they name and nothing else.

use serde_json::json;
use std::fs;
use troupe_tests::{
    model_server::*,
    stage::{Finished, Stage},
};

fn framed(hunks: &str) -> String {
    format!("*** Begin Patch\n{hunks}*** End Patch")
}

fn apply(stage: &Stage, hunks: &str) -> Finished {
    stage.troupe(["apply-patch", &framed(hunks)]).run()
}

#[test]
fn a_last_line_that_is_not_touched_stays_as_it_is() {
    let stage = Stage::new();
    let files = [
        ("one\ntwo\nlast", "ONE\ntwo\nlast"),
        ("one\r\ntwo\r\nlast", "ONE\r\ntwo\r\nlast"),
        ("one\ntwo\r\nmore\rlast", "ONE\ntwo\r\nmore\rlast"),
        ("one\rtwo\rlast", "ONE\rtwo\rlast"),
        ("\u{feff}one\ntwo\nlast", "\u{feff}ONE\ntwo\nlast"),
    ];
    for (before, after) in files {
        stage.write("f", before);
        apply(&stage, "*** Update File: f\n@@\n-one\n+ONE\n two\n").assert_success();
        assert_eq!(stage.read("f"), after);
    }
}

#[test]
fn a_patch_of_the_model_leaves_the_last_line_too() {
    let patch = framed("*** Update File: f\n@@\n-one\n+ONE\n");
    let server = ModelServer::start(
        Script::new().turn(call("apply_patch", json!({ "input": patch }))).turn(say("done")),
    );
    let stage = Stage::new().with_model(&server);
    stage.write("f", "one\nlast");
    stage.troupe(["exec", "-s", "workspace-write", "go"]).run().assert_success();
    assert_eq!(stage.read("f"), "ONE\nlast");
}

#[test]
#[cfg(unix)]
fn hard_links_and_set_id_bits_are_kept() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let stage = Stage::new();
    stage.write("f", "one\ntwo\n");
    let (f, again) = (stage.work().join("f"), stage.work().join("again"));
    fs::hard_link(&f, &again).unwrap();
    fs::set_permissions(&f, fs::Permissions::from_mode(0o6750)).unwrap();
    apply(&stage, "*** Update File: f\n@@\n-one\n+ONE\n").assert_success();
    assert_eq!(stage.read("again"), "ONE\ntwo\n");
    let data = fs::metadata(&f).unwrap();
    assert_eq!((data.nlink(), data.mode() & 0o7777), (2, 0o6750));
    // No temporary file, and no journal.
    assert_eq!(fs::read_dir(stage.work()).unwrap().count(), 3);
    let refused = apply(&stage, "*** Update File: f\n*** Move to: g\n@@\n-ONE\n+1\n");
    refused.assert_code(1);
    assert!(refused.stderr().contains("hard links"), "{}", refused.stderr());
    assert_eq!(stage.read("again"), "ONE\ntwo\n");
}

/// Runs a script in a mount namespace of its own; `$@` is a run of `troupe apply-patch`.
#[cfg(target_os = "linux")]
fn mounted(stage: &Stage, mounts: &str, hunks: &str) -> Option<Finished> {
    let script = format!("{mounts} && exec \"$@\"");
    let run = stage.troupe(["apply-patch", &framed(hunks)]);
    let finished = run.under("unshare", ["-rm", "sh", "-c", &script, "sh"]).run();
    if finished.stderr().contains("unshare") {
        troupe_tests::skip::skipped(
            std::thread::current().name().unwrap_or("a test"),
            "needs mount namespaces",
        );
        return None;
    }
    Some(finished)
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_is_a_mount_point_is_written_in_place() {
    let stage = Stage::new();
    stage.write("real", "one\n");
    stage.write("f", "below the mount\n");
    stage.write("g", "x\n");
    let mount = "mount --bind real f";
    let hunks = "*** Update File: f\n@@\n-one\n+two\n*** Update File: g\n@@\n-x\n+y\n";
    let Some(finished) = mounted(&stage, mount, hunks) else { return };
    finished.assert_success();
    assert_eq!((stage.read("real"), stage.read("g")), ("two\n".into(), "y\n".into()));
    assert_eq!(stage.read("f"), "below the mount\n");

    // A whole new text, and a move onto it.
    mounted(&stage, mount, "*** Add File: f\n+three\n").unwrap().assert_success();
    assert_eq!(stage.read("real"), "three\n");
    let moved = "*** Update File: g\n*** Move to: f\n@@\n-y\n+z\n";
    mounted(&stage, mount, moved).unwrap().assert_code(1);
    assert_eq!((stage.read("real"), stage.read("g")), ("three\n".into(), "y\n".into()));

    // What cannot be removed is said before anything is written.
    for hunks in ["*** Delete File: f\n", "*** Update File: f\n*** Move to: h\n@@\n-three\n+4\n"] {
        let hunks = format!("*** Update File: g\n@@\n-y\n+changed\n{hunks}");
        let finished = mounted(&stage, mount, &hunks).unwrap();
        finished.assert_code(1);
        let said = finished.stderr();
        assert!(said.contains("mount point") && said.contains("Nothing was written"), "{said}");
        assert_eq!((stage.read("real"), stage.read("g")), ("three\n".into(), "y\n".into()));
        assert!(!stage.exists("h"));
    }
}
