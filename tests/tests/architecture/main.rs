//! The architecture as a test: which package may know which, where processes and `unsafe` are,
//! and what is pinned where. The table is that of `docs/architecture.md`, first section.
//!
//! Each rule lives in a module of its own, and each module proves that its rule refuses what it
//! is there to refuse.

mod arrows;
mod lexer;
mod manifests;
mod packages;
mod source;
mod texts;

use packages::packages;
use std::{
    fs,
    path::{Path, PathBuf},
};
use troupe_tests::binary::workspace_root;

fn assert_none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n  {}", wrong.join("\n  "));
}

#[test]
fn packages_know_only_whom_they_may() {
    let metadata = packages::metadata();
    let packages = packages(&metadata);
    assert!(packages.len() > 15, "{packages:?}");
    assert_none("forbidden dependencies", &arrows::check(&packages));
    assert_none("exceptions nobody needs any more", &arrows::stale(&packages));
    assert_none("features that break every actor", &arrows::poison(&metadata, &packages));
}

#[test]
fn versions_are_pinned_once_and_panics_unwind() {
    let root = workspace_root();
    assert_none("the workspace's manifest", &manifests::check_root(&parsed(&root)));
    let cargo = root.join(".cargo/config.toml");
    if cargo.exists() {
        let text = fs::read_to_string(cargo).unwrap();
        assert_none("cargo's configuration", &manifests::check_root(&text.parse().unwrap()));
    }
    let mut wrong = Vec::new();
    for package in packages(&packages::metadata()) {
        let manifest = parsed(&root.join(&package.folder));
        wrong.extend(manifests::check_member(&package.folder, &manifest));
    }
    assert_none("manifests", &wrong);
}

fn parsed(folder: &Path) -> toml::Table {
    let path = folder.join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap();
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn unsafe_code_and_processes_stay_in_their_room() {
    assert_none("code outside its room", &in_sources(source::check));
}

#[test]
fn texts_are_printed_as_they_were_meant() {
    assert_none("texts with a lost line continuation", &in_sources(texts::check));
}

/// What a rule finds in all sources of the workspace.
fn in_sources(rule: fn(&Path, &str) -> Vec<String>) -> Vec<String> {
    let root = workspace_root();
    let (mut wrong, mut files) = (Vec::new(), 0);
    for package in packages(&packages::metadata()) {
        for file in sources(&root.join(&package.folder)) {
            let text = fs::read_to_string(&file).unwrap();
            let place = file.strip_prefix(&root).unwrap();
            files += 1;
            wrong.extend(rule(place, &text));
        }
    }
    assert!(files > 100, "only {files} files were looked at");
    wrong
}

/// The Rust files of a package.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    found
}
