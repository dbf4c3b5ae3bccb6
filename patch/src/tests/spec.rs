//! What models are told, against what the parser reads.

use crate::parse::{self, ADD, BEGIN, DELETE, END, END_OF_FILE, MOVE, UPDATE};
use crate::{LARK_GRAMMAR, TOOL_DESCRIPTION};

#[test]
fn the_example_in_the_description_parses() {
    let example = &TOOL_DESCRIPTION[TOOL_DESCRIPTION.find(BEGIN).unwrap()..];
    assert_eq!(parse::parse(example).unwrap().hunks.len(), 1);
    assert!(TOOL_DESCRIPTION.len() <= 700, "{}", TOOL_DESCRIPTION.len());
}

#[test]
fn both_name_every_marker_as_the_parser_does() {
    for marker in [BEGIN, END, ADD, DELETE, UPDATE, MOVE, END_OF_FILE] {
        assert!(TOOL_DESCRIPTION.contains(marker.trim_end()), "{marker}");
        assert!(LARK_GRAMMAR.contains(&format!("\"{marker}\"")), "{marker}");
    }
}
