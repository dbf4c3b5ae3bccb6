//! Ends of line: untouched lines keep theirs, new lines get the file's first.

use super::tree::Tree;

#[track_caller]
fn check(old: &str, body: &str, new: &str) {
    let tree = Tree::new(&[("f", old)]);
    tree.patch(&format!("*** Update File: f\n@@\n{body}")).unwrap();
    assert_eq!(tree.read("f"), new);
}

#[test]
fn crlf_files_stay_crlf() {
    check("a\r\nb\r\nc\r\n", " a\n-b\n+B\n+B2\n c\n", "a\r\nB\r\nB2\r\nc\r\n");
    check("a\r\n", "+b\n", "a\r\nb\r\n");
}

#[test]
fn a_patch_with_crlf_does_not_bring_them_into_the_file() {
    check("a\nb\n", "-b\r\n+B\r\n", "a\nB\n");
}

#[test]
fn mixed_ends_stay_line_by_line_and_new_lines_follow_the_first() {
    check("a\r\nb\nc\r\nd\n", " b\n-c\n+C\n d\n", "a\r\nb\nC\r\nd\n");
    check("a\nb\r\nc\r\n", " b\n-c\n+C\n", "a\nb\r\nC\n");
}

#[test]
fn a_lone_carriage_return_is_text() {
    check("a\rb\nc\n", "-c\n+C\n", "a\rb\nC\n");
}

#[test]
fn a_missing_last_end_is_added_in_the_files_own_kind() {
    check("a\nb", "-a\n+A\n", "A\nb\n");
    check("a\r\nb", "-a\n+A\n", "A\r\nb\r\n");
    check("a\r\nb", "-b\n+B\n", "a\r\nB\r\n");
    check("a\nb", "+c\n", "a\nb\nc\n");
    check("a", "-a\n+b\n", "b\n");
}

#[test]
fn lines_end_where_lf_does_and_nowhere_else() {
    check("a\u{2028}b\u{85}c\u{b}d\ne\n", "-e\n+E\n", "a\u{2028}b\u{85}c\u{b}d\nE\n");
}
