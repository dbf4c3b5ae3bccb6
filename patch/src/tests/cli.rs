//! The command: where the patch comes from, where words go, the number it ends with.

use std::ffi::OsString;
use std::io::{self, Read, Write};

use super::tree::{Tree, framed};
use crate::run_cli;

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn run(tree: &Tree, args: &[&str], mut stdin: &[u8]) -> Ran {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run_cli(&args, &mut stdin, &mut out, &mut err, tree.root(), None);
    let text = |bytes| tree.neutral(&String::from_utf8(bytes).unwrap());
    Ran { code, out: text(out), err: text(err) }
}

#[test]
fn a_patch_as_the_argument_leaves_the_input_alone() {
    let tree = Tree::new(&[("f", "a\n")]);
    let ran = run(&tree, &[&framed("*** Update File: f\n@@\n-a\n+b\n")], b"not a patch");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(ran.out, "Success. Updated the following files:\nM f\n");
    assert_eq!(tree.read("f"), "b\n");
}

#[test]
fn without_an_argument_the_patch_is_the_input() {
    let tree = Tree::new(&[]);
    let ran = run(&tree, &[], framed("*** Add File: f\n+x\n").as_bytes());
    assert_eq!((ran.code, ran.out.as_str()), (0, "Success. Updated the following files:\nA f\n"));
    assert_eq!(tree.read("f"), "x\n");
}

#[test]
fn a_patch_that_cannot_be_applied_ends_with_one() {
    let tree = Tree::new(&[("f", "a\n")]);
    for (patch, words) in [
        ("hello", "Invalid patch: The first line of the patch must be '*** Begin Patch'\n"),
        ("", "Invalid patch: The last line of the patch must be '*** End Patch'\n"),
        ("*** Begin Patch\n*** End Patch", "No files were modified.\n"),
        (
            "*** Begin Patch\n*** Update File: f\n@@\n-z\n*** End Patch",
            "Failed to find expected lines in [dir]/f:\nz\n",
        ),
    ] {
        let ran = run(&tree, &[patch], b"");
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (1, "", words));
    }
    assert_eq!(tree.read("f"), "a\n");
}

#[test]
fn a_wrong_call_ends_with_two() {
    let tree = Tree::new(&[]);
    let ran = run(&tree, &[], b"");
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.starts_with("Usage: apply_patch 'PATCH'\n"), "{}", ran.err);
    let ran = run(&tree, &[&framed("*** Add File: f\n"), "extra"], b"");
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert_eq!(ran.err, "Error: apply_patch accepts exactly one argument.\n");
    assert!(tree.names().is_empty());
}

#[test]
fn input_that_is_not_text_or_breaks_ends_with_one() {
    let tree = Tree::new(&[]);
    let ran = run(&tree, &[], b"\xff\xfe");
    assert_eq!(ran.code, 1);
    assert!(ran.err.starts_with("Error: Failed to read PATCH from stdin."), "{}", ran.err);

    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("cut off"))
        }
    }
    let code = run_cli(&[], &mut Broken, &mut Vec::new(), &mut Vec::new(), tree.root(), None);
    assert_eq!(code, 1);
}

#[cfg(unix)]
#[test]
fn an_argument_that_is_not_text_ends_with_one() {
    let argument = std::os::unix::ffi::OsStringExt::from_vec(vec![0xff]);
    let (tree, mut err) = (Tree::new(&[]), Vec::new());
    let code = run_cli(&[argument], &mut io::empty(), &mut Vec::new(), &mut err, tree.root(), None);
    assert_eq!(code, 1);
    assert_eq!(err, b"Error: apply_patch requires a UTF-8 PATCH argument.\n");
}

#[test]
fn an_output_that_is_gone_ends_with_one() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let tree = Tree::new(&[]);
    let patch = OsString::from(framed("*** Add File: f\n"));
    let code = run_cli(&[patch], &mut io::empty(), &mut Closed, &mut Vec::new(), tree.root(), None);
    assert_eq!(code, 1);
    let code =
        run_cli(&["x".into()], &mut io::empty(), &mut Closed, &mut Closed, tree.root(), None);
    assert_eq!(code, 1);
}
