//! Splits Rust source into code, comments and literals: enough for rules about what stands in it.

#[derive(Debug, PartialEq)]
pub(crate) struct Token<'a> {
    /// As it stands in the source.
    pub(crate) text: &'a str,
    /// The line it begins in, from 1.
    pub(crate) line: usize,
}

/// Words and signs of Rust source, without comments, literals of text and characters.
pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    split(source).into_iter().filter(|(_, kind)| *kind == Kind::Code).map(|(one, _)| one).collect()
}

/// The literals of text in Rust source, each with its prefix and quotes.
pub(crate) fn literals(source: &str) -> Vec<Token<'_>> {
    let text = |kind: &Kind| *kind == Kind::Text;
    split(source).into_iter().filter(|(_, kind)| text(kind)).map(|(one, _)| one).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Code,
    Comment,
    Text,
    Character,
}

fn split(source: &str) -> Vec<(Token<'_>, Kind)> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = source[at..].chars().next() {
        let rest = &source[at..];
        let word = rest.len() - rest.trim_start_matches(is_word).len();
        let (length, kind) =
            no_code(rest).unwrap_or((if word > 0 { word } else { first.len_utf8() }, Kind::Code));
        if !first.is_whitespace() {
            found.push((Token { text: &rest[..length], line }, kind));
        }
        line += rest[..length].matches('\n').count();
        at += length;
    }
    found
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The length of the comment, text or character that begins here.
fn no_code(rest: &str) -> Option<(usize, Kind)> {
    if rest.starts_with("//") {
        return Some((rest.find('\n').unwrap_or(rest.len()), Kind::Comment));
    }
    if rest.starts_with("/*") {
        return Some((comment(rest), Kind::Comment));
    }
    let word = rest.len() - rest.trim_start_matches(is_word).len();
    let (length, kind) = match (&rest[..word], rest[word..].chars().next()) {
        ("" | "b" | "c", Some('"')) => (quoted(&rest[word..], '"'), Kind::Text),
        ("r" | "br" | "cr", Some('"' | '#')) => (raw(&rest[word..])?, Kind::Text),
        ("" | "b", Some('\'')) => (character(&rest[word..])?, Kind::Character),
        _ => return None,
    };
    Some((word + length, kind))
}

/// Comments nest.
fn comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// A text or character with its quotes.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = true;
    for (at, character) in rest.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A raw text; `None` for a raw word such as `r#type`.
fn raw(rest: &str) -> Option<usize> {
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let body = rest[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(hashes + 1 + length)
}

/// A character; `None` for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let mut inside = rest.chars().skip(1);
    let (first, second) = (inside.next(), inside.next());
    (first == Some('\\') || second == Some('\'')).then(|| quoted(rest, '\''))
}

mod splits {
    use super::{literals, tokens};

    #[test]
    fn what_is_passed_over_hides_nothing_behind_it() {
        let source = "a /*x*/ 'b' b'\\'' 'c: r#\"d\"# r#type \"e\" f";
        let texts: Vec<&str> = tokens(source).iter().map(|token| token.text).collect();
        assert_eq!(texts, ["a", "'", "c", ":", "r", "#", "type", "f"]);
    }

    #[test]
    fn literals_of_every_form() {
        let source = "f(\"a\\\"b\", 'c', b\"d\", r#\"e\"f\"#) // \"g\"\n + \"h\"";
        let texts: Vec<_> = literals(source).into_iter().map(|one| (one.line, one.text)).collect();
        let expected = [(1, "\"a\\\"b\""), (1, "b\"d\""), (1, "r#\"e\"f\"#"), (2, "\"h\"")];
        assert_eq!(texts, expected);
    }
}
