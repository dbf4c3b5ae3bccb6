//! Writing a plan: all or nothing, and an honest report where the disk breaks in between.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};

use super::tree::{Tree, framed};
use crate::{ApplyError, FileSystem, Kind, RealFileSystem, Staged, apply, parse, plan};

#[test]
fn every_operation_and_the_summary_in_groups() {
    let tree = Tree::new(&[("m", "a\n"), ("d1", ""), ("from", "x\n")]);
    let summary = tree.patch(
        "*** Delete File: d1\n*** Update File: from\n*** Move to: sub/to\n@@\n-x\n+y\n\
         *** Add File: n/e/w\n+1\n*** Update File: m\n@@\n-a\n+A\n*** Add File: empty\n",
    );
    insta::assert_snapshot!(summary.unwrap(), @r"
    Success. Updated the following files:
    A n/e/w
    A empty
    M sub/to
    M m
    D d1
    ");
    assert_eq!(tree.names(), ["empty", "m", "n/", "n/e/", "n/e/w", "sub/", "sub/to"]);
    assert_eq!(
        (tree.read("sub/to"), tree.read("m"), tree.read("empty")),
        ("y\n".into(), "A\n".into(), String::new())
    );
}

#[test]
fn a_hunk_that_does_not_fit_leaves_all_files_alone() {
    let tree = Tree::new(&[("f", "a\n"), ("g", "b\n"), ("d", "x\n")]);
    let before = tree.files();
    let fit = "*** Update File: f\n@@\n-a\n+A\n*** Add File: new/n\n+1\n*** Delete File: d\n";
    for bad in [
        "*** Update File: g\n@@\n-zz\n",
        "*** Update File: g\n@@ zz\n-b\n",
        "*** Update File: missing\n@@\n-b\n",
        "*** Delete File: missing\n",
        "*** Add File: g/below\n",
        "*** Frob: g\n",
    ] {
        assert!(tree.patch(&format!("{fit}{bad}")).is_err(), "{bad}");
        assert_eq!(tree.files(), before, "{bad}");
    }
    tree.patch(fit).unwrap();
}

#[test]
fn a_move_onto_a_file_replaces_it_and_one_onto_itself_is_an_update() {
    let tree = Tree::new(&[("a", "x\n"), ("b", "old\n")]);
    tree.patch("*** Update File: a\n*** Move to: b\n@@\n x\n").unwrap();
    assert_eq!((tree.names(), tree.read("b")), (vec!["b".to_owned()], "x\n".to_owned()));
    tree.patch("*** Update File: b\n*** Move to: ./b\n@@\n-x\n+y\n").unwrap();
    assert_eq!((tree.names(), tree.read("b")), (vec!["b".to_owned()], "y\n".to_owned()));
}

#[test]
fn files_can_change_places() {
    let tree = Tree::new(&[("a", "1\n"), ("b", "2\n")]);
    tree.patch(
        "*** Update File: a\n*** Move to: t\n@@\n 1\n*** Update File: b\n*** Move to: a\n@@\n 2\n\
         *** Update File: t\n*** Move to: b\n@@\n 1\n",
    )
    .unwrap();
    assert_eq!(tree.names(), ["a", "b"]);
    assert_eq!((tree.read("a"), tree.read("b")), ("2\n".into(), "1\n".into()));
}

#[test]
fn a_file_changed_since_the_check_stops_everything() {
    let tree = Tree::new(&[("f", "a\n"), ("g", "b\n")]);
    let plan =
        tree.plan("*** Update File: f\n@@\n-a\n+A\n*** Update File: g\n@@\n-b\n+B\n").unwrap();
    tree.write("g", "b\nmore\n");
    let before = tree.files();
    let error = apply(&plan, &RealFileSystem).unwrap_err();
    assert!(matches!(&error, ApplyError::Changed { path } if *path == tree.path("g")));
    insta::assert_snapshot!(tree.neutral(&error.to_string()), @"[dir]/g changed after the patch was checked. Nothing was written; read the file again and send a new patch.");
    assert_eq!(tree.files(), before);
}

#[test]
fn a_file_that_appeared_since_the_check_is_not_overwritten() {
    let tree = Tree::new(&[]);
    let plan = tree.plan("*** Add File: f\n+mine\n").unwrap();
    tree.write("f", "somebody else's\n");
    assert!(matches!(apply(&plan, &RealFileSystem), Err(ApplyError::Changed { .. })));
    assert_eq!(tree.read("f"), "somebody else's\n");
}

/// The real file system with one step that fails.
#[derive(Default)]
struct Breaking {
    stage: Option<PathBuf>,
    commit: Option<PathBuf>,
    remove: Option<PathBuf>,
    committed: Cell<usize>,
}

struct Unsteady<'a> {
    inner: Box<dyn Staged + 'a>,
    fails: bool,
    committed: &'a Cell<usize>,
}

fn full() -> io::Error {
    io::Error::other("the disk is full")
}

impl FileSystem for Breaking {
    fn kind(&self, path: &Path) -> io::Result<Kind> {
        RealFileSystem.kind(path)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealFileSystem.read(path)
    }
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        RealFileSystem.canonicalize(path)
    }
    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        RealFileSystem.read_link(path)
    }
    fn stage<'a>(
        &'a self,
        path: &Path,
        bytes: &[u8],
        like: &Path,
    ) -> io::Result<Box<dyn Staged + 'a>> {
        assert_eq!(self.committed.get(), 0, "everything is staged before anything is put in place");
        if self.stage.as_deref() == Some(path) {
            return Err(full());
        }
        let inner = RealFileSystem.stage(path, bytes, like)?;
        let fails = self.commit.as_deref() == Some(path);
        Ok(Box::new(Unsteady { inner, fails, committed: &self.committed }))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        if self.remove.as_deref() == Some(path) { Err(full()) } else { RealFileSystem.remove(path) }
    }
}

impl Staged for Unsteady<'_> {
    fn commit(&mut self) -> io::Result<()> {
        if self.fails {
            return Err(full());
        }
        self.committed.set(self.committed.get() + 1);
        self.inner.commit()
    }
}

const THREE: &str = "*** Update File: a\n@@\n-a\n+A\n*** Add File: new/b\n+B\n*** Delete File: c\n";

fn broken(tree: &Tree, fs: &Breaking) -> String {
    let plan = plan(&parse(&framed(THREE)).unwrap(), tree.root(), fs).unwrap();
    tree.neutral(&apply(&plan, fs).unwrap_err().to_string())
}

#[test]
fn a_full_disk_shows_before_any_file_changes() {
    let tree = Tree::new(&[("a", "a\n"), ("c", "c\n")]);
    let before = tree.files();
    let fs = Breaking { stage: Some(tree.path("new/b")), ..Breaking::default() };
    insta::assert_snapshot!(broken(&tree, &fs), @r"
    Failed to write file [dir]/new/b: the disk is full
    Nothing was written.
    ");
    assert_eq!(tree.files(), before, "temporary files are gone too");
}

#[test]
fn a_failure_half_way_says_what_was_done_and_leaves_nothing_else_behind() {
    let tree = Tree::new(&[("a", "a\n"), ("c", "c\n")]);
    let fs = Breaking { commit: Some(tree.path("new/b")), ..Breaking::default() };
    insta::assert_snapshot!(broken(&tree, &fs), @r"
    Failed to write file [dir]/new/b: the disk is full
    Done before that:
    M a
    Not done:
    A new/b
    D c
    ");
    assert_eq!((tree.names(), tree.read("a")), (vec!["a".into(), "c".into()], "A\n".into()));
}

#[test]
fn files_are_removed_only_when_all_others_are_written() {
    let tree = Tree::new(&[("a", "a\n"), ("c", "c\n")]);
    let fs = Breaking { remove: Some(tree.path("c")), ..Breaking::default() };
    insta::assert_snapshot!(broken(&tree, &fs), @r"
    Failed to delete file [dir]/c: the disk is full
    Done before that:
    M a
    A new/b
    Not done:
    D c
    ");
    assert_eq!(tree.names(), ["a", "c", "new/", "new/b"]);
}
