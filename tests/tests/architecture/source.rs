//! What stands in the source: `unsafe` in the sandbox's room alone, processes there and in tests.
//!
//! The compiler's own lints say the same and can be switched off line by line; this cannot.

use std::path::Path;

/// What starts a process, or belongs to one that was started.
const PROCESS: &[&str] =
    &["Command", "CommandExt", "Child", "ChildStdin", "ChildStdout", "ChildStderr", "Stdio", "*"];

/// What is wrong in a file, by its path from the workspace's root.
pub(crate) fn check(place: &Path, text: &str) -> Vec<String> {
    if place.starts_with("sandbox") {
        return Vec::new();
    }
    let tokens = tokens(text);
    let mut wrong = Vec::new();
    let mut say = |line: usize, what: &str| {
        wrong.push(format!("{}:{line}: {what}", place.display()));
    };
    for token in tokens.iter().filter(|token| token.text == "unsafe") {
        say(token.line, "unsafe code is for the sandbox package");
    }
    if !is_test(place) {
        for line in processes(&tokens) {
            say(line, "processes are for the sandbox package: ask its actor");
        }
    }
    wrong
}

/// Whether a file holds tests only.
fn is_test(place: &Path) -> bool {
    place.ends_with("tests.rs")
        || place
            .components()
            .any(|part| part.as_os_str() == "tests" || part.as_os_str() == "benches")
}

/// The lines that name something from `std::process` or `tokio::process` that starts processes.
fn processes(tokens: &[Token<'_>]) -> Vec<usize> {
    let mut lines = Vec::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.text == "process") {
        let rest: Vec<&str> = tokens[at + 1..].iter().map(|token| token.text).collect();
        let found = match rest[..] {
            // Under another name it could not be followed.
            ["as", ..] => true,
            [":", ":", "{", ref group @ ..] => {
                group.iter().take_while(|text| **text != "}").any(|text| PROCESS.contains(text))
            }
            [":", ":", name, ..] => PROCESS.contains(&name),
            _ => false,
        };
        if found {
            lines.push(token.line);
        }
    }
    lines
}

#[derive(Debug, PartialEq)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

/// Words and signs of Rust source, without comments, texts and characters.
fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = source[at..].chars().next() {
        let rest = &source[at..];
        let word = rest.len() - rest.trim_start_matches(is_word).len();
        let hidden = passed_over(rest);
        let length = hidden.unwrap_or(if word > 0 { word } else { first.len_utf8() });
        if hidden.is_none() && !first.is_whitespace() {
            found.push(Token { text: &rest[..length], line });
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
fn passed_over(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(comment(rest));
    }
    let word = rest.len() - rest.trim_start_matches(is_word).len();
    match (&rest[..word], rest[word..].chars().next()) {
        ("" | "b" | "c", Some('"')) => Some(word + quoted(&rest[word..], '"')),
        ("r" | "br" | "cr", Some('"' | '#')) => raw(&rest[word..]).map(|length| word + length),
        ("" | "b", Some('\'')) => character(&rest[word..]).map(|length| word + length),
        _ => None,
    }
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

mod refuses {
    use super::{check, tokens};
    use std::path::Path;

    fn wrong(place: &str, text: &str) -> Vec<String> {
        check(Path::new(place), text)
    }

    #[test]
    fn unsafe_code_outside_the_sandbox() {
        for text in [
            "fn f() { unsafe { g() } }",
            "unsafe fn f() {}",
            "#[unsafe(no_mangle)] fn f() {}",
            "fn f(c: char) -> bool { c == '\"' } unsafe impl Send for X {} // \"",
            "fn f<'a>(x: &'a str) { let _ = r#\"\\\"#; unsafe { g() } }",
        ] {
            assert_eq!(wrong("patch/src/lib.rs", text).len(), 1, "{text}");
            assert_eq!(wrong("patch/src/tests.rs", text).len(), 1, "tests are no exception");
            assert_eq!(wrong("sandbox/src/linux.rs", text), [""; 0]);
        }
        assert_eq!(wrong("a/src/x.rs", "\n\nunsafe fn f() {}")[0].split(':').nth(1), Some("3"));
    }

    #[test]
    fn processes_outside_the_sandbox_and_tests() {
        for text in [
            "use std::process::Command;",
            "use tokio::process::{Child, Command};",
            "use std::{fs, process::{ExitCode, Stdio}};",
            "use std::process; fn f() { process::Command::new(\"ls\"); }",
            "use std::process::*;",
            "use tokio::process as p;",
            "let c = std::process :: Command::new(\"ls\");",
            "use std::os::unix::process::CommandExt;",
        ] {
            assert_eq!(wrong("frontends/cli/src/main.rs", text).len(), 1, "{text}");
            for place in ["sandbox/src/a.rs", "tests/src/a.rs", "actors/x/src/y/tests.rs"] {
                assert_eq!(wrong(place, text), [""; 0], "{text}");
            }
        }
    }

    #[test]
    fn nothing_harmless() {
        for text in [
            "// unsafe std::process::Command",
            "/* unsafe /* unsafe */ unsafe */ fn f() {}",
            "let x = \"unsafe \\\" unsafe\";",
            "let x = r##\"unsafe \"# process::Command\"##; let y = b\"unsafe\";",
            "#![deny(unsafe_code)]",
            "std::process::exit(std::process::id() as i32);",
            "use std::process::ExitCode; mod process; use process::Work;",
            "match kind { Command { argv } => process(argv) }",
        ] {
            assert_eq!(wrong("frontends/cli/src/main.rs", text), [""; 0], "{text}");
        }
    }

    #[test]
    fn what_is_passed_over_hides_nothing_behind_it() {
        let source = "a /*x*/ 'b' b'\\'' 'c: r#\"d\"# r#type \"e\" f";
        let texts: Vec<&str> = tokens(source).iter().map(|token| token.text).collect();
        assert_eq!(texts, ["a", "'", "c", ":", "r", "#", "type", "f"]);
    }
}
