//! The grammar and its leniency.

use super::tree::framed;
use crate::{Chunk, ChunkLine, Hunk, Patch, parse};

fn context(text: &str) -> ChunkLine {
    ChunkLine::Context(text.to_owned())
}

fn removed(text: &str) -> ChunkLine {
    ChunkLine::Removed(text.to_owned())
}

fn added(text: &str) -> ChunkLine {
    ChunkLine::Added(text.to_owned())
}

fn add(path: &str, contents: &str) -> Hunk {
    Hunk::Add { path: path.to_owned(), contents: contents.to_owned() }
}

fn hunks(text: &str) -> Vec<Hunk> {
    parse(text).unwrap().hunks
}

/// The chunks of the one update that `body` is.
fn chunks(body: &str) -> Vec<Chunk> {
    let text = framed(&format!("*** Update File: f\n{body}"));
    match hunks(&text).pop() {
        Some(Hunk::Update { chunks, .. }) => chunks,
        other => panic!("not an update: {other:?}"),
    }
}

#[test]
fn reads_every_kind_of_hunk_in_order() {
    let patch = parse(&framed(
        "*** Add File: new.txt\n+one\n+\n+two\n*** Delete File: old dir/x\n\
         *** Update File: a.rs\n*** Move to: b.rs\n@@ fn main() {\n keep\n-old\n+new\n",
    ));
    let update = Hunk::Update {
        path: "a.rs".to_owned(),
        move_to: Some("b.rs".to_owned()),
        chunks: vec![Chunk {
            context: Some("fn main() {".to_owned()),
            lines: vec![context("keep"), removed("old"), added("new")],
            at_end: false,
        }],
    };
    let delete = Hunk::Delete { path: "old dir/x".to_owned() };
    let expected =
        Patch { environment: None, hunks: vec![add("new.txt", "one\n\ntwo\n"), delete, update] };
    assert_eq!(patch, Ok(expected));
}

#[test]
fn an_add_without_lines_is_an_empty_file() {
    assert_eq!(hunks(&framed("*** Add File: e\n")), [add("e", "")]);
}

#[test]
fn a_patch_without_hunks_parses() {
    assert_eq!(hunks("*** Begin Patch\n*** End Patch"), []);
}

#[test]
fn the_environment_is_read_and_may_not_be_empty() {
    let patch = parse(&framed("*** Environment ID: box-1 \n*** Delete File: f\n")).unwrap();
    assert_eq!(patch.environment.as_deref(), Some("box-1"));
    assert!(parse(&framed("*** Environment ID:  \n*** Delete File: f\n")).is_err());
    // Only the first line can be it.
    assert!(parse(&framed("*** Delete File: f\n*** Environment ID: x\n")).is_err());
}

#[test]
fn blanks_around_the_text_its_markers_and_headers_are_taken_off() {
    let text = "\n\n  *** Begin Patch  \n  *** Add File: f \t\n+a\n\t*** End Patch \n\n ";
    assert_eq!(hunks(text), [add("f", "a\n")]);
}

#[test]
fn a_byte_order_mark_in_front_is_taken_off() {
    assert_eq!(hunks(&format!("\u{feff}{}", framed("*** Add File: f\n"))), [add("f", "")]);
}

#[test]
fn carriage_returns_of_the_patch_are_dropped() {
    let text = framed("*** Add File: f\n+a\n+b\n").replace('\n', "\r\n");
    assert_eq!(hunks(&text), [add("f", "a\nb\n")]);
}

#[test]
fn a_here_document_around_the_patch_is_taken_off() {
    let inner = framed("*** Add File: f\n+a\n");
    for open in ["<<EOF", "<<'EOF'", "<<\"EOF\""] {
        assert_eq!(hunks(&format!("{open}\n{inner}EOF\n")), [add("f", "a\n")], "{open}");
    }
    for (open, close) in [("<<EOF", ""), ("<<END", "END"), ("cat <<EOF", "EOF"), ("<<'EOF", "EOF")]
    {
        assert!(parse(&format!("{open}\n{inner}{close}")).is_err(), "{open}");
    }
}

#[test]
fn an_empty_line_in_an_update_is_an_empty_context_line() {
    let lines = &chunks("@@\n a\n\n-b\n")[0].lines;
    assert_eq!(*lines, [context("a"), context(""), removed("b")]);
}

#[test]
fn only_the_first_chunk_may_lack_its_marker() {
    let found = chunks("-a\n+b\n@@\n-c\n@@ place\n+d\n");
    let places: Vec<_> = found.iter().map(|chunk| chunk.context.as_deref()).collect();
    assert_eq!(places, [None, None, Some("place")]);
    assert!(parse(&framed("*** Update File: f\n-a\n*** End of File\n-b\n")).is_err());
}

#[test]
fn a_context_keeps_its_indentation() {
    assert_eq!(chunks("@@     deep();\n-a\n")[0].context.as_deref(), Some("    deep();"));
}

#[test]
fn the_end_of_file_marker_closes_a_chunk_and_blank_lines_after_it_are_ignored() {
    let found = chunks("@@\n-a\n*** End of File\n\n\n@@\n-b\n");
    let ends: Vec<_> = found.iter().map(|chunk| chunk.at_end).collect();
    assert_eq!(ends, [true, false]);
    assert_eq!(found[0].lines, [removed("a")]);
    assert_eq!(found[1].lines, [removed("b")]);
}

#[test]
fn a_marker_with_a_blank_in_front_is_text_inside_an_update() {
    let found = chunks("@@\n *** End Patch\n *** Add File: x\n-a\n");
    assert_eq!(
        found[0].lines,
        [context("*** End Patch"), context("*** Add File: x"), removed("a")]
    );
    // With blanks behind it, it is a marker.
    assert!(chunks("@@\n-a\n*** End of File  \n")[0].at_end);
}

#[test]
fn signs_after_the_first_are_text() {
    let lines = &chunks("@@\n --x\n-+y\n++z\n")[0].lines;
    assert_eq!(*lines, [context("--x"), removed("+y"), added("+z")]);
}

#[test]
fn a_move_must_stand_right_below_the_header() {
    let text = framed("*** Update File: a\n@@\n-x\n*** Move to: b\n");
    assert!(parse(&text).is_err());
}

#[test]
fn a_repeated_end_marker_is_forgiven_but_nothing_may_follow_the_first() {
    let twice = "*** Begin Patch\n*** Add File: f\n*** End Patch\n*** End Patch\n";
    assert_eq!(hunks(twice), [add("f", "")]);
    for between in ["junk\n", "*** Add File: g\n"] {
        let text = format!("{}{between}*** End Patch", framed("*** Add File: f\n"));
        assert!(parse(&text).is_err(), "{between}");
    }
}
