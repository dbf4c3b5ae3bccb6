//! Ends of line: untouched lines keep theirs, or none; new lines end like those they replace, or like
//! their neighbours.

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
fn mixed_ends_stay_line_by_line_and_new_lines_follow_those_they_replace() {
    check("a\r\nb\nc\r\nd\n", " b\n-c\n+C\n d\n", "a\r\nb\nC\r\nd\n");
    check("a\nb\r\nc\r\n", " b\n-c\n+C\n", "a\nb\r\nC\r\n");
    check("a\r\nb\nc\n", "-a\n-b\n+A\n+B\n+B2\n c\n", "A\r\nB\nB2\nc\n");
    // One removed, one kept, one new.
    check("a\r\nb\nc\n", "-a\n b\n+x\n c\n", "b\nx\nc\n");
}

#[test]
fn an_inserted_line_ends_like_the_line_above_it_or_else_below() {
    check("a\r\nb\nc\r\n", " b\n+x\n c\n", "a\r\nb\nx\nc\r\n");
    check("a\nb\r\n", " a\n b\n+x\n", "a\nb\r\nx\r\n");
    check("a\r\nb\n", "+x\n a\n", "x\r\na\r\nb\n");
    check("a\nb\r\nlast", " last\n+x\n", "a\nb\r\nlast\r\nx\r\n");
}

#[test]
fn a_lone_carriage_return_is_text_where_the_patch_takes_it_for_text() {
    check("a\rb\nc\n", "-c\n+C\n", "a\rb\nC\n");
    check("a\rb\r\nc\n", "-a\rb\n+A\n", "A\r\nc\n");
    check("one\r", "-one\n+two\n", "two\r");
}

#[test]
fn a_lone_carriage_return_ends_a_line_where_the_patch_fits_only_so() {
    check("a\rb\rc\r", " a\n-b\n+B\n+B2\n c\n", "a\rB\rB2\rc\r");
    check("a\rb\rlast", "-b\n+B\n", "a\rB\rlast");
    check("a\rb\nc\r\nd", "-b\n+B\n c\n", "a\rB\nc\r\nd");
    check("a\r\r\nb\rc\n", "-b\n+B\n c\n", "a\r\r\nB\rc\n");
    let tree = Tree::new(&[("f", "a\rb\nc\n")]);
    let error = tree.patch("*** Update File: f\n@@\n-zz\n").unwrap_err();
    assert_eq!(error, "Failed to find expected lines in [dir]/f:\nzz");
}

#[test]
fn a_last_line_without_an_end_keeps_none_unless_something_follows_it_or_replaces_it() {
    check("one\ntwo\nlast", "-one\n+ONE\n two\n", "ONE\ntwo\nlast");
    check("a\nb", "-a\n+A\n", "A\nb");
    check("a\r\nb", "-a\n+A\n b\n", "A\r\nb");
    check("a\nb", "+x\n b\n", "a\nx\nb");
    check("a\nb", " a\n b\n*** End of File\n", "a\nb");
    check("a\nb", "-a\n b\n", "b");
    check("\u{feff}a\nb", "-a\n+A\n", "\u{feff}A\nb");
    // A line that goes leaves the one above as it was.
    check("a\nb", "-b\n", "a\n");
    // What is new is whole lines, and a line that is not the last has an end.
    check("a\r\nb", "-b\n+B\n", "a\r\nB\r\n");
    check("a\nb", "+c\n", "a\nb\nc\n");
    check("a", "-a\n+b\n", "b\n");
    check("a", "+b\n", "a\nb\n");
}

#[test]
fn files_of_almost_nothing() {
    check("", "+x\n", "x\n");
    check("\n", "-\n+x\n", "x\n");
    check("\n", "+x\n", "\nx\n");
    check("\r\n", "+x\n", "\r\nx\r\n");
    check("\n\n", " \n-\n+x\n", "\nx\n");
    check("\u{feff}", "+x\n", "\u{feff}x\n");
    check("a\0b\n\0", "-a\0b\n+\0c\n", "\0c\n\0");
}

#[test]
fn lines_end_where_lf_does_and_nowhere_else() {
    check("a\u{2028}b\u{85}c\u{b}d\ne\n", "-e\n+E\n", "a\u{2028}b\u{85}c\u{b}d\nE\n");
}
