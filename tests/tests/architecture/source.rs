//! What stands in the source: `unsafe` in the sandbox's room alone, processes there and in tests.
//!
//! The compiler's own lints say the same and can be switched off line by line; this cannot.

use crate::lexer::{Token, tokens};
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
pub(crate) fn is_test(place: &Path) -> bool {
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

mod refuses {
    use super::check;
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
}
