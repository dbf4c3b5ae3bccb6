//! Scripts of plain words: what most commands are, read without the grammar.
//!
//! Only letters, digits and a few signs that mean nothing to a shell, put together by spaces, new
//! lines, `;`, `&&`, `||` and `|`. Everything else is the grammar's; a test holds the two against each
//! other.

use crate::{
    unread::Unread,
    walk::{Script, What},
    words::Word,
};

/// Words that begin more than a simple command, or a command that the grammar reads apart.
const NOT_SIMPLE: [&str; 29] = [
    "if", "then", "elif", "else", "fi", "for", "in", "do", "done", "while", "until", "case",
    "esac", "select", "function", "time", "coproc", "declare", "typeset", "export", "readonly",
    "local", "unset", "unsetenv", "let", "test", "eval", "trap", "exec",
];

/// Takes a script apart; `None` if it is not so plain.
pub(crate) fn steps(source: &str) -> Result<Option<Script>, Unread> {
    let bytes = source.as_bytes();
    let mut script = Script::default();
    let mut words: Vec<Word> = Vec::new();
    let (mut start, mut end, mut place) = (0, 0, 0);
    // Whether a command has to follow.
    let mut owed = false;
    loop {
        match bytes.get(place) {
            Some(b' ' | b'\t') => place += 1,
            Some(byte) if is_plain(*byte) => {
                let length = bytes[place..].iter().take_while(|byte| is_plain(**byte)).count();
                let word = &source[place..place + length];
                // To some shells it is the path of a program.
                if word.starts_with('=') {
                    return Ok(None);
                }
                if words.is_empty() {
                    if word != ":" && word.contains([',', ':', '=', '+'])
                        || NOT_SIMPLE.contains(&word)
                    {
                        return Ok(None);
                    }
                    start = place;
                }
                words.push(Word::literal(word));
                place += length;
                end = place;
            }
            other => {
                let more = bytes.get(place + 1) == other;
                let length = match other {
                    Some(b'\n') | None => 1,
                    Some(b';') if !more => 1,
                    Some(b'|') if !more => 1,
                    Some(b'&' | b'|') if more => 2,
                    _ => return Ok(None),
                };
                let is_end = matches!(other, Some(b'\n') | None);
                if words.is_empty() && (owed || !is_end) {
                    return Ok(None);
                }
                if !words.is_empty() {
                    let what =
                        What::Command { words: std::mem::take(&mut words), assigned: Vec::new() };
                    script.add(what, start..end, source)?;
                }
                owed = matches!(other, Some(b'&' | b'|'));
                if other.is_none() {
                    return Ok(Some(script));
                }
                place += length;
            }
        }
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_./,:=+-".contains(&byte)
}
