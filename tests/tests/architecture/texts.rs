//! Texts of the product read as they were meant: no indentation of the source, no run of blanks and
//! no words run together where a literal was wrapped; and none of the words that slow a reader down.
//!
//! A literal that is meant to span lines with their blanks says so: it is raw, or begins with `"\`
//! and a line end.

use crate::{
    lexer::{Token, literals},
    source::is_test,
};
use std::path::Path;

/// From this many blanks in a row inside a line, nobody meant them.
const BLANKS: usize = 4;

/// Words of another century, or of a translation: say handle, who, anyone, interrupted, repaired.
const SLOW: &[&str] = &["heed", "heeded", "whom", "whoever", "broken off", "mend", "mended"];

/// What is wrong in a file, by its path from the workspace's root.
pub(crate) fn check(place: &Path, source: &str) -> Vec<String> {
    if is_test(place) {
        return Vec::new();
    }
    let say = |one: Token<'_>| {
        let why = wrong(one.text)?;
        Some(format!("{}:{}: {why}: {}", place.display(), one.line, one.text))
    };
    literals(source).into_iter().filter_map(say).collect()
}

fn wrong(literal: &str) -> Option<&'static str> {
    if SLOW.iter().any(|words| has_words(literal, words)) {
        return Some("a word that slows the reader down");
    }
    let text = literal.trim_start_matches(['b', 'c']);
    if text.starts_with('r') {
        return None;
    }
    if glued(text) {
        return Some(
            "words run together at a line continuation: a blank is missing before the `\\`",
        );
    }
    let text = joined(text);
    if text.starts_with("\"\\\n") {
        return None;
    }
    if text.split('\n').skip(1).any(|line| line.starts_with("  ") || line.starts_with('\t')) {
        return Some("the indentation of the source is printed: a `\\` is missing at the line end");
    }
    let words = text.replace("\\n", "\n");
    words.lines().any(has_gap).then_some("blanks in the middle of a sentence")
}

fn has_words(text: &str, words: &str) -> bool {
    let letter = |one: Option<char>| one.is_some_and(char::is_alphanumeric);
    text.match_indices(words).any(|(at, _)| {
        let after = text[at + words.len()..].chars().next();
        !letter(text[..at].chars().last()) && !letter(after)
    })
}

/// Whether two words meet at a line continuation without a blank between them.
fn glued(text: &str) -> bool {
    let mut parts = text.split("\\\n").peekable();
    while let Some(part) = parts.next() {
        let last = part.chars().last();
        let next = parts.peek().and_then(|rest| rest.trim_start().chars().next());
        // `\n\` and `\\` end in an escape.
        let escaped = last.is_some_and(|one| part.ends_with(&format!("\\{one}")));
        let word = |one: char| one.is_alphanumeric() || ".,;:!?)".contains(one);
        let begins = |one: char| one.is_alphanumeric() || one == '(';
        if !escaped && last.is_some_and(word) && next.is_some_and(begins) {
            return true;
        }
    }
    false
}

/// The literal without its line continuations, but for the one that marks a text of several lines.
fn joined(text: &str) -> String {
    let (mark, rest) = text.strip_prefix("\"\\\n").map_or(("", text), |rest| ("\"\\\n", rest));
    let mut parts = rest.split("\\\n");
    let first = parts.next().unwrap_or_default();
    let rest: String = parts.map(str::trim_start).collect();
    format!("{mark}{first}{rest}")
}

/// Whether a line has a run of blanks between two words.
fn has_gap(line: &str) -> bool {
    let gap = " ".repeat(BLANKS);
    let end = |text: &str| text.trim_end().ends_with(|one: char| !one.is_whitespace());
    line.match_indices(&gap).any(|(at, _)| {
        let before = line[..at].trim_start_matches(['"', ' ']);
        let after = line[at..].trim_start();
        end(before) && after.starts_with(char::is_alphanumeric)
    })
}

mod refuses {
    use super::check;
    use std::path::Path;

    fn found(source: &str) -> usize {
        let wrong = check(Path::new("config/src/lib.rs"), source);
        assert_eq!(check(Path::new("config/src/tests.rs"), source), [""; 0], "tests may");
        wrong.len()
    }

    #[test]
    fn continuations_that_were_lost() {
        for source in [
            "say(\"it was ended\n            with the session\")",
            "say(\"it was ended\n\twith the session\")",
            "say(\"it was ended with the              session\")",
            "say(\"{name} was ended    with it\\n\")",
            "say(b\"it was ended\n  with it\")",
            "say(\"one: \\\n     two\n     three\")",
        ] {
            assert_eq!(found(source), 1, "{source}");
        }
    }

    #[test]
    fn words_that_run_together() {
        for source in [
            "say(\"it was\\\n     ended\")",
            "say(\"it was ended.\\\n     Say so\")",
            "say(\"(it was ended)\\\n     (so)\")",
        ] {
            assert_eq!(found(source), 1, "{source}");
        }
    }

    #[test]
    fn words_of_another_century() {
        for text in
            ["nobody heeded it", "it is mended", "a patch was broken off: see", "Whom? whom"]
        {
            assert_eq!(found(&format!("say(\"{text}\")")), 1, "{text}");
        }
        for text in ["it is recommended", "amended", "unbroken offer"] {
            assert_eq!(found(&format!("say(\"{text}\")")), 0, "{text}");
        }
    }

    #[test]
    fn nothing_that_is_meant() {
        for source in [
            "say(\"it was \\\n     ended\")",
            "say(\"it was\\\n      \\x20ended\")",
            "say(\"it was ended.\\n\\\n     Say so\")",
            "say(\"Usage: this\\n       or that\")",
            "say(\"one\ntwo\")",
            "say(\"\\\n# Title\n    a block\n  - a list\n\")",
            "say(r\"one\n    two\")",
            "say(\"{a:>8}  {b}\"); say(\"    {x}\"); say(\"    let x\\n\")",
            "// \"it was\n//     ended\"",
            "say('\"', \"a\", '\"'); //    \"",
        ] {
            assert_eq!(found(source), 0, "{source}");
        }
    }
}
