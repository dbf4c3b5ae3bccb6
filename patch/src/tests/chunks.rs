//! Where the chunks of an update land.

use super::tree::Tree;

/// The file `old` after an update with this body.
fn updated(old: &str, body: &str) -> Result<String, String> {
    let tree = Tree::new(&[("f", old)]);
    tree.patch(&format!("*** Update File: f\n{body}"))?;
    Ok(tree.read("f"))
}

#[track_caller]
fn check(old: &str, body: &str, new: &str) {
    assert_eq!(updated(old, body).as_deref(), Ok(new));
}

#[test]
fn lines_are_replaced_inserted_and_removed() {
    check("a\nb\nc\n", "@@\n a\n-b\n+B\n c\n", "a\nB\nc\n");
    check("a\nb\n", "@@\n a\n+x\n+y\n b\n", "a\nx\ny\nb\n");
    check("a\nb\nc\n", "@@\n-a\n-b\n", "c\n");
    check("a\n", "@@\n-a\n", "");
}

#[test]
fn a_context_moves_the_search_below_it() {
    check("x\nfn a\nx\nfn b\nx\n", "@@ fn b\n-x\n+y\n", "x\nfn a\nx\nfn b\ny\n");
    check("x\n  fn a() \nx\n", "@@ fn a()\n-x\n+y\n", "x\n  fn a() \ny\n");
}

#[test]
fn a_chunk_is_looked_for_below_the_one_before() {
    check("x\nx\nx\n", "@@\n-x\n+1\n@@\n-x\n+2\n", "1\n2\nx\n");
    let error = updated("a\nb\n", "@@\n-b\n+B\n@@\n-a\n+A\n").unwrap_err();
    assert!(error.starts_with("Failed to find expected lines"), "{error}");
}

#[test]
fn a_context_must_stand_below_the_chunk_before() {
    let error = updated("fn\na\n", "@@\n-a\n+A\n@@ fn\n-a\n").unwrap_err();
    assert_eq!(error, "Failed to find context 'fn' in [dir]/f");
}

#[test]
fn an_insertion_without_old_lines_goes_to_the_end() {
    check("a\nb\n", "@@ a\n+x\n", "a\nb\nx\n");
    check("a\nb\n", "+x\n", "a\nb\nx\n");
    check("", "+x\n", "x\n");
    // Also when a later chunk is found above it.
    check("a\nb\n", "+x\n@@\n-a\n+A\n", "A\nb\nx\n");
}

#[test]
fn the_end_marker_ties_a_chunk_to_the_last_lines() {
    check("x\na\nx\n", "@@\n-x\n+y\n*** End of File\n", "x\na\ny\n");
    assert!(updated("x\na\n", "@@\n-x\n+y\n*** End of File\n").is_err());
}

#[test]
fn a_last_empty_line_may_stand_for_the_end_of_the_file() {
    check("a\nb\n", "@@\n-b\n+B\n\n", "a\nB\n");
    check("a\nb\n", "@@\n a\n-b\n \n*** End of File\n", "a\n");
    check("a\nb\n", "@@\n b\n-\n+c\n", "a\nb\nc\n");
    // A real empty line is matched as what it is.
    check("a\n\nb\n", "@@\n-a\n+A\n\n", "A\n\nb\n");
}

#[test]
fn context_stays_as_the_file_has_it_however_loosely_it_matched() {
    check(
        "\tif x  {\n\ta\u{2014}b\n\told\n",
        "@@\n if x  {\n a-b\n-old\n+new\n",
        "\tif x  {\n\ta\u{2014}b\nnew\n",
    );
}

#[test]
fn a_byte_order_mark_is_kept_and_need_not_be_named() {
    check("\u{feff}a\nb\n", "@@\n-a\n+A\n", "\u{feff}A\nb\n");
    check("\u{feff}a\nb\n", "@@\n-\u{feff}a\n+A\n", "A\nb\n");
}
