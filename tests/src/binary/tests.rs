//! Programs are looked for where the test itself was built.

use super::arguments;

#[test]
fn the_profile_and_the_triple_come_from_the_path() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("CACHEDIR.TAG"), "").unwrap();
    let of = |path: &str| {
        let mut all = arguments(&root.path().join(path));
        assert_eq!(all.pop().as_deref(), root.path().to_str());
        assert_eq!(all.pop().as_deref(), Some("--target-dir"));
        all
    };
    assert_eq!(of("debug"), [""; 0]);
    assert_eq!(of("release"), ["--release"]);
    assert_eq!(
        of("x86_64-unknown-linux-musl/fast"),
        ["--profile", "fast", "--target", "x86_64-unknown-linux-musl"]
    );
}

/// Cargo marks no target directory that was there before it.
#[test]
fn a_target_directory_without_a_mark_is_no_triple() {
    let root = tempfile::tempdir().unwrap();
    let all = arguments(&root.path().join("target/debug"));
    assert_eq!(all, ["--target-dir", root.path().join("target").to_str().unwrap()]);
}
