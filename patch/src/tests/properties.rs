//! Whatever the text; and whatever the edit.

use proptest::prelude::*;

use super::tree::{Tree, framed};
use crate::{intercept, is_bare_patch, parse};

const PIECES: &[&str] = &[
    "*** Begin Patch",
    "*** End Patch",
    "*** Environment ID: x",
    "*** Add File: f",
    "*** Delete File: f",
    "*** Update File: f",
    "*** Move to: g",
    "*** End of File",
    "@@",
    "@@ x",
    "<<'EOF'",
    "EOF",
    "+a",
    "-a",
    " a",
    "",
    " \u{feff}\r",
    "\u{2003}*** End Patch",
];

/// Pieces of the language in any order, which come further than arbitrary text.
fn almost_a_patch() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => proptest::sample::select(PIECES).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|lines| lines.join("\n"))
}

/// A line of a file: often the same, so that the place of a chunk must be told by its context.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[ab]{0,2}",
        2 => Just("}".to_owned()),
        1 => Just("*** End of File".to_owned()),
        1 => Just("+x".to_owned()),
        1 => "[ -~\t]{0,12}",
        1 => "\\PC{0,6}",
    ]
}

/// One step of an edit: keep, remove or change a line, or put one before it.
fn edit() -> impl Strategy<Value = Vec<(u8, String, String)>> {
    proptest::collection::vec((0_u8..6, line(), line()), 1..20)
}

/// The old lines, the new ones, and a patch from one to the other with the whole file as context.
fn whole_file(steps: &[(u8, String, String)]) -> (Vec<&str>, Vec<&str>, String) {
    let (mut old, mut new, mut body) = (Vec::new(), Vec::new(), String::from("@@\n"));
    for (kind, a, b) in steps {
        let (removed, added) = match kind {
            0..=2 => {
                old.push(a.as_str());
                new.push(a.as_str());
                body.push_str(&format!(" {a}\n"));
                continue;
            }
            3 => (Some(a), None),
            4 => (None, Some(b)),
            _ => (Some(a), Some(b)),
        };
        if let Some(line) = removed {
            old.push(line);
            body.push_str(&format!("-{line}\n"));
        }
        if let Some(line) = added {
            new.push(line);
            body.push_str(&format!("+{line}\n"));
        }
    }
    (old, new, body)
}

fn text(lines: &[&str], ending: &str) -> String {
    lines.iter().map(|line| format!("{line}{ending}")).collect()
}

/// The chunks from `old` to `new` with one line of context around each group of changes.
fn chunks_of_diff(old: &[String], new: &[String]) -> String {
    let mut body = String::new();
    let diff = similar::TextDiff::from_slices(
        &old.iter().map(String::as_str).collect::<Vec<_>>(),
        &new.iter().map(String::as_str).collect::<Vec<_>>(),
    )
    .ops()
    .to_vec();
    for group in similar::group_diff_ops(diff, 1) {
        body.push_str("@@\n");
        for op in group {
            let (tag, before, after) = op.as_tag_tuple();
            if tag == similar::DiffTag::Equal {
                old[before].iter().for_each(|line| body.push_str(&format!(" {line}")));
            } else {
                old[before].iter().for_each(|line| body.push_str(&format!("-{line}")));
                new[after].iter().for_each(|line| body.push_str(&format!("+{line}")));
            }
        }
    }
    body
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn reading_never_panics(text in "(?s).{0,200}") {
        let _ = (parse(&text), intercept(&text), is_bare_patch(&text));
    }

    #[test]
    fn reading_pieces_never_panics(text in almost_a_patch()) {
        let _ = (parse(&text), parse(&framed(&text)), intercept(&text));
        let _ = intercept(&format!("cd x && apply_patch <<EOF\n{text}\nEOF\n"));
    }
}

proptest! {
    // Fewer cases: each writes files.
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_patch_made_from_old_and_new_gives_new(steps in edit(), crlf in any::<bool>()) {
        let (old, new, body) = whole_file(&steps);
        let ending = if crlf { "\r\n" } else { "\n" };
        // An insertion only, into an empty file, gets LF: there is no end of line to follow.
        let new_ending = if old.is_empty() { "\n" } else { ending };
        let tree = Tree::new(&[("f", &text(&old, ending))]);
        tree.patch(&format!("*** Update File: f\n{body}")).unwrap();
        prop_assert_eq!(tree.read("f"), text(&new, new_ending));
    }

    #[test]
    fn an_added_file_has_the_lines_of_the_patch(lines in proptest::collection::vec(line(), 0..10)) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let body: String = lines.iter().map(|line| format!("+{line}\n")).collect();
        let tree = Tree::new(&[]);
        tree.patch(&format!("*** Add File: f\n{body}")).unwrap();
        prop_assert_eq!(tree.read("f"), text(&lines, "\n"));
    }

    #[test]
    fn a_failed_patch_leaves_every_byte(steps in edit(), hunks in almost_a_patch()) {
        let (old, _, body) = whole_file(&steps);
        let tree = Tree::new(&[("f", &text(&old, "\n")), ("g", "a\n")]);
        let before = tree.files();
        if tree.patch(&format!("*** Update File: f\n{body}{hunks}\n")).is_err() {
            prop_assert_eq!(tree.files(), before.clone());
        }
    }

    #[test]
    fn every_byte_outside_the_touched_lines_stays(
        lines in proptest::collection::vec((0_u8..10, 0_u8..4, 0_usize..3), 1..24),
        ended in any::<bool>(),
        mark in any::<bool>(),
    ) {
        let mut old = String::from(if mark { "\u{feff}" } else { "" });
        let mut expected = old.clone();
        let mut body = String::from("@@\n");
        let count = lines.len();
        for (number, (kind, ending, text)) in lines.into_iter().enumerate() {
            let ending = ["\n", "\r\n", "\n", "\r\n"][usize::from(ending)];
            let ending = if number + 1 == count && !ended { "" } else { ending };
            // What looks like an end of line inside is text, and so is what is no character to see.
            let text = format!("{number}{}", ["", "\rinside", "\0\u{2028}"][text]);
            old.push_str(&format!("{text}{ending}"));
            let (keeps, puts) = (kind < 8, kind % 4 == 0);
            body.push_str(&format!("{}{text}\n", if keeps { ' ' } else { '-' }));
            if keeps {
                let ending = if puts && ending.is_empty() { "?" } else { ending };
                expected.push_str(&format!("{text}{ending}"));
            }
            if puts {
                body.push_str(&format!("+new {number}\n"));
                expected.push_str(&format!("new {number}?"));
            }
        }
        let tree = Tree::new(&[("f", &old)]);
        tree.patch(&format!("*** Update File: f\n{body}")).unwrap();
        // A new line's end may be either; all the rest is known to the byte.
        let found = tree.read("f");
        let mut rest = found.as_str();
        for part in expected.split_inclusive('?') {
            let known = part.strip_suffix('?').unwrap_or(part);
            let after = rest.strip_prefix(known);
            prop_assert!(after.is_some(), "{found:?} is not {expected:?}");
            rest = after.unwrap();
            if known != part {
                let after = rest.strip_prefix("\r\n").or(rest.strip_prefix('\n'));
                prop_assert!(after.is_some(), "{found:?} is not {expected:?}");
                rest = after.unwrap();
            }
        }
        prop_assert_eq!(rest, "");
    }

    #[test]
    fn chunks_cut_from_a_diff_give_new(
        old in proptest::collection::vec(any::<bool>(), 1..40),
        changes in proptest::collection::vec((0_usize..40, 0_u8..3), 1..6),
    ) {
        // Every line is different, so that one line of context tells the place.
        let old: Vec<String> = (0..old.len()).map(|number| format!("line {number}\n")).collect();
        let mut new = old.clone();
        for (count, (at, kind)) in changes.into_iter().enumerate() {
            let at = at % new.len().max(1);
            match kind {
                0 if at < new.len() => drop(new.remove(at)),
                1 if at < new.len() => new[at] = format!("changed {count}\n"),
                _ => new.insert(at, format!("new {count}\n")),
            }
        }
        prop_assume!(old != new);
        let tree = Tree::new(&[("f", &old.concat())]);
        tree.patch(&format!("*** Update File: f\n{}", chunks_of_diff(&old, &new))).unwrap();
        prop_assert_eq!(tree.read("f"), new.concat());
    }
}
