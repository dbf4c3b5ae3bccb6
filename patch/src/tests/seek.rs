//! The four passes of the search and their order.

use crate::lines;
use crate::seek::find;

fn found(file: &str, pattern: &[&str], from: usize, at_end: bool) -> Option<usize> {
    find(&lines::split(file, lines::Ends::Lf), pattern, from, at_end)
}

#[test]
fn an_exact_match_further_down_wins_over_a_loose_one_nearby() {
    assert_eq!(found("a \n a\na\n", &["a"], 0, false), Some(2));
    assert_eq!(found(" a\na \n", &["a"], 0, false), Some(1), "trimmed at the end before both");
    assert_eq!(found("“a”\n \"a\"\n", &["\"a\""], 0, false), Some(1), "trimmed before typography");
}

#[test]
fn blanks_at_line_ends_then_at_both_ends_are_forgiven() {
    assert_eq!(found("x\na\t \n", &["a"], 0, false), Some(1));
    assert_eq!(found("x\n\t a \n", &["a"], 0, false), Some(1));
    assert_eq!(found("x\na\n", &["  a  "], 0, false), Some(1));
    assert_eq!(found("a b\n", &["ab"], 0, false), None, "blanks inside count");
}

#[test]
fn typographic_characters_match_their_plain_ones_both_ways() {
    let plain = "a-b 'c' \"d\" e-f";
    let fancy = "a\u{2014}b\u{a0}\u{2018}c\u{2019}\u{3000}\u{201c}d\u{201d}\u{202f}e\u{2212}f";
    assert_eq!(found(&format!("{fancy}\n"), &[plain], 0, false), Some(0));
    assert_eq!(found(&format!("{plain}\n"), &[fancy], 0, false), Some(0));
}

#[test]
fn the_search_starts_where_it_is_told() {
    assert_eq!(found("a\nb\na\n", &["a"], 1, false), Some(2));
    assert_eq!(found("a\nb\n", &["a"], 1, false), None);
}

#[test]
fn at_the_end_only_the_last_possible_place_counts() {
    assert_eq!(found("a\nb\na\n", &["a"], 0, true), Some(2));
    assert_eq!(found("a\nb\na\nc\n", &["a"], 0, true), None);
    assert_eq!(found("a\nb\n", &["a", "b"], 1, true), None, "but never above the start");
}

#[test]
fn a_pattern_longer_than_the_file_is_not_found() {
    assert_eq!(found("a\n", &["a", "a"], 0, false), None);
    assert_eq!(found("", &["a"], 0, true), None);
}
