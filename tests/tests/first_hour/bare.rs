//! Machines that lack something: user namespaces, a home, tools.

use std::{fs, process::Command, time::Duration};
use troupe_tests::{
    machine, skip,
    stage::{Finished, Stage},
};

fn assert_good_end(finished: &Finished, what: &str) {
    let (out, err) = (finished.stdout(), finished.stderr());
    assert_eq!(finished.code(), Some(0), "{what}: {out}{err}");
    assert!(out.contains("nothing was lost"), "{what}: {out}");
}

#[test]
fn the_demo_needs_nothing_but_the_program() {
    let stage = Stage::new();
    let demo = || stage.troupe(["demo"]).limit(Duration::from_secs(60));
    fs::create_dir(stage.work().join("relative")).unwrap();
    assert_good_end(&demo().env("TMPDIR", "relative").run(), "a relative folder");
    assert_eq!(fs::read_dir(stage.work().join("relative")).unwrap().count(), 0, "it cleans up");
    assert_good_end(&demo().env("HOME", "").env("TROUPE_HOME", "").run(), "no home");
    assert_good_end(&demo().env("HOME", "/nonexistent/home").run(), "a home that is not there");
    assert_good_end(&demo().env("SHELL", "/nonexistent/shell").run(), "a shell that is not there");
    stage.assert_no_process_left();
}

#[cfg(target_os = "linux")]
#[test]
fn the_demo_works_without_user_namespaces() {
    if !machine::user_namespaces() {
        skip!("the demo's own test does this where there are none; needs user namespaces");
    }
    let stage = Stage::new();
    let script = "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$@\"";
    let run = stage.program("unshare").args(["-Ur", "sh", "-c", script, "sh"]);
    let run = run.arg(troupe_tests::binary::troupe()).arg("demo").limit(Duration::from_secs(60));
    assert_good_end(&run.run(), "no user namespaces");
}

#[test]
fn what_is_left_out_is_said_and_counted_over_processes() {
    if std::env::var_os("TROUPE_SKIPPED").is_some() {
        // One of the processes that are started below.
        skip!("needs nothing: it is counted");
    }
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("skipped.txt");
    fs::write(&list, "# another run\nold: needs this\n").unwrap();
    for number in 1..=3 {
        let test = "bare::what_is_left_out_is_said_and_counted_over_processes";
        let mut run = Command::new(std::env::current_exe().unwrap());
        run.args(["--exact", test]).env("TROUPE_SKIPPED", &list);
        let output = run.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // Past the harness, which keeps what a passing test prints to itself.
        let line = format!("SKIPPED {number}: first_hour::{test}: needs nothing: it is counted\n");
        assert_eq!(said, line, "{}", String::from_utf8_lossy(&output.stdout));
    }
    let kept = fs::read_to_string(&list).unwrap();
    assert!(!kept.contains("old: needs this"), "an earlier run is not counted: {kept}");
    assert_eq!(kept.lines().filter(|line| !line.starts_with('#')).count(), 3, "{kept}");
}
