//! The words of every error, as models and scripts see them.

use super::tree::{Tree, framed};
use crate::parse;

/// The error of a text that does not parse.
fn unparsed(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// The error of hunks that do not fit the file `f`, which has the lines `a` and `b`.
fn unfit(hunks: &str) -> String {
    Tree::new(&[("f", "a\nb\n")]).patch(hunks).unwrap_err()
}

#[test]
fn a_missing_frame() {
    insta::assert_snapshot!(unparsed("hello"), @"Invalid patch: The first line of the patch must be '*** Begin Patch'");
    insta::assert_snapshot!(unparsed("x\n*** End Patch"), @"Invalid patch: The first line of the patch must be '*** Begin Patch'");
    insta::assert_snapshot!(unparsed(""), @"Invalid patch: The last line of the patch must be '*** End Patch'");
    insta::assert_snapshot!(unparsed("*** Begin Patch"), @"Invalid patch: The last line of the patch must be '*** End Patch'");
    insta::assert_snapshot!(unparsed("*** Begin Patch\n*** Add File: f\n+a"), @"Invalid patch: The last line of the patch must be '*** End Patch'");
}

#[test]
fn an_empty_environment() {
    insta::assert_snapshot!(unparsed(&framed("*** Environment ID:\n")), @"Invalid patch: apply_patch environment_id cannot be empty");
}

#[test]
fn an_unknown_header() {
    insta::assert_snapshot!(unparsed(&framed("*** Frob File: f\n")), @"Invalid patch hunk on line 2: '*** Frob File: f' is not a valid hunk header. Valid hunk headers: '*** Add File: {path}', '*** Delete File: {path}', '*** Update File: {path}'");
    // A header without a path is not one.
    insta::assert_snapshot!(unparsed(&framed("*** Delete File: \n")), @"Invalid patch hunk on line 2: '*** Delete File:' is not a valid hunk header. Valid hunk headers: '*** Add File: {path}', '*** Delete File: {path}', '*** Update File: {path}'");
    insta::assert_snapshot!(unparsed(&framed("*** Add File: f\n+a\nb\n")), @"Invalid patch hunk on line 4: 'b' is not a valid hunk header. Valid hunk headers: '*** Add File: {path}', '*** Delete File: {path}', '*** Update File: {path}'");
}

#[test]
fn an_update_without_content() {
    insta::assert_snapshot!(unparsed(&framed("*** Update File: a b\n")), @"Invalid patch hunk on line 2: Update file hunk for path 'a b' is empty");
    insta::assert_snapshot!(unparsed(&framed("*** Update File: f\n@@\n")), @"Invalid patch hunk on line 4: Update hunk does not contain any lines");
    insta::assert_snapshot!(unparsed(&framed("*** Update File: f\n@@\n*** End of File\n")), @"Invalid patch hunk on line 4: Update hunk does not contain any lines");
}

#[test]
fn a_stray_line_in_an_update() {
    insta::assert_snapshot!(unparsed(&framed("*** Update File: f\nzz\n")), @"Invalid patch hunk on line 3: Unexpected line found in update hunk: 'zz'. Every line should start with ' ' (context line), '+' (added line), or '-' (removed line)");
    insta::assert_snapshot!(unparsed(&framed("*** Update File: f\n@@\n a\nzz\n")), @"Invalid patch hunk on line 5: Expected update hunk to start with a @@ context marker, got: 'zz'");
    insta::assert_snapshot!(unparsed(&framed("*** Update File: f\n@@ -1,2 +1,2 @@\n@@x\n")), @"Invalid patch hunk on line 4: Unexpected line found in update hunk: '@@x'. Every line should start with ' ' (context line), '+' (added line), or '-' (removed line)");
}

#[test]
fn a_patch_that_does_nothing() {
    insta::assert_snapshot!(unfit(""), @"No files were modified.");
}

#[test]
fn lines_that_are_not_there() {
    insta::assert_snapshot!(unfit("*** Update File: f\n@@\n b\n-zz\n+y\n"), @r"
    Failed to find expected lines in [dir]/f:
    b
    zz
    ");
    insta::assert_snapshot!(unfit("*** Update File: f\n@@ fn zz\n-a\n"), @"Failed to find context 'fn zz' in [dir]/f");
}

#[cfg(unix)]
#[test]
fn files_that_are_not_there() {
    insta::assert_snapshot!(unfit("*** Update File: no\n@@\n-a\n"), @"Failed to read file to update [dir]/no: No such file or directory (os error 2)");
    insta::assert_snapshot!(unfit("*** Delete File: no\n"), @"Failed to delete file [dir]/no: No such file or directory (os error 2)");
}

#[test]
fn files_used_twice_wrongly() {
    insta::assert_snapshot!(unfit("*** Delete File: f\n*** Update File: f\n@@\n-a\n"), @"Failed to read file to update [dir]/f: the patch removes it before");
}

#[test]
fn places_where_no_file_can_be() {
    insta::assert_snapshot!(unfit("*** Add File: f/x\n"), @"Failed to write file [dir]/f/x: not a directory");
    insta::assert_snapshot!(unfit("*** Add File: .\n"), @"Failed to write file [dir]: path `[dir]` is not a file");
    insta::assert_snapshot!(unfit("*** Delete File: .\n"), @"Failed to delete file [dir]: path `[dir]` is not a file");
}
