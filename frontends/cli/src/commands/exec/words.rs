//! What the words of `troupe exec` mean: a prompt, a session to go on with, or a slip.

use crate::{args::ExecArgs, errors::CliError};

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Words {
    /// `help`: the help is printed.
    Help,
    /// A new session.
    New {
        /// Its prompt; standard input without one.
        prompt: Option<String>,
    },
    /// A session goes on.
    Resume {
        /// The session.
        which: Which,
        /// The prompt; what was interrupted goes on without one.
        prompt: Option<String>,
    },
}

/// Which session goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The latest.
    Last,
    /// The one whose id begins like this: hexadecimal digits and dashes.
    Id(String),
}

/// Commands of `codex exec` that are none here.
const CODEX_COMMANDS: [&str; 2] = ["review", "fork"];

/// The words of this command line.
pub(super) fn of(args: &ExecArgs) -> Result<Words, CliError> {
    let behind = std::env::args_os().skip_while(|word| word != "--").skip(1).count();
    read(&args.words, behind, args.last)
}

/// The meaning of `words`, of which the last `literal` stood behind `--`.
fn read(words: &[String], literal: usize, last: bool) -> Result<Words, CliError> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // What stands behind `--` from the first word on is never a command.
    let plain = literal < words.len();
    let command = words.first().copied().filter(|_| plain);
    match (command, words.as_slice()) {
        (Some("resume"), words) => resume(&words[1..], last),
        _ if last => usage("--last goes with resume: troupe exec resume --last [PROMPT]"),
        (Some("help"), [_]) => Ok(Words::Help),
        (Some(word), [_, ..]) if CODEX_COMMANDS.contains(&word) => usage(&format!(
            "`{word}` is a command of `codex exec` that troupe does not have. To give it to the \
             model as a prompt: troupe exec -- {word}"
        )),
        (_, []) => Ok(Words::New { prompt: None }),
        (_, [prompt]) => Ok(Words::New { prompt: Some((*prompt).to_owned()) }),
        _ => usage("more than one prompt: put it in quotes"),
    }
}

fn resume(words: &[&str], last: bool) -> Result<Words, CliError> {
    let (which, prompt) = match (words, last) {
        ([], true) => (Which::Last, None),
        ([prompt], true) => (Which::Last, Some(*prompt)),
        ([], false) => return usage("resume needs the id of a session, or --last"),
        ([id], false) => (Which::Id(id_of(id)?), None),
        ([id, prompt], false) => (Which::Id(id_of(id)?), Some(*prompt)),
        ([_, _, ..], true) => {
            return usage("resume takes an id or --last, not both, and one prompt in quotes");
        }
        _ => return usage("more than one prompt: put it in quotes"),
    };
    Ok(Words::Resume { which, prompt: prompt.map(str::to_owned) })
}

/// An id, or how one begins. Anything else cannot be meant.
fn id_of(text: &str) -> Result<String, CliError> {
    if text.trim().is_empty() {
        return usage(
            "resume needs the id of a session, and this one is empty (a variable that is not set?). \
             `troupe sessions list` names them; --last takes the latest of this directory",
        );
    }
    let fits = |c: char| c.is_ascii_hexdigit() || c == '-';
    if !text.chars().all(fits) || text.starts_with('-') || text.len() > 36 {
        return usage(&format!(
            "`{text}` is no session id: `troupe sessions list` names them; a prompt comes behind \
             the id, or behind --last"
        ));
    }
    Ok(text.to_owned())
}

fn usage<T>(text: &str) -> Result<T, CliError> {
    Err(CliError::Usage(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Which, Words, read};

    fn read_all(words: &[&str], literal: usize, last: bool) -> Result<Words, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        read(&words, literal, last).map_err(|error| error.message().into_owned())
    }

    #[test]
    fn words_behind_dashes_are_a_prompt() {
        let prompt = |text: &str| Ok(Words::New { prompt: Some(text.to_owned()) });
        for word in ["help", "review", "fork", "resume"] {
            assert_eq!(read_all(&[word], 1, false), prompt(word));
            assert_ne!(read_all(&[word], 0, false), prompt(word));
        }
        assert_eq!(read_all(&["fix it"], 0, false), prompt("fix it"));
        let id = Which::Id("01a2".to_owned());
        let resumed = Words::Resume { which: id, prompt: Some("-x".to_owned()) };
        assert_eq!(read_all(&["resume", "01a2", "-x"], 1, false), Ok(resumed));
    }

    #[test]
    fn what_cannot_be_an_id_is_refused() {
        for id in ["", " ", "\t\n", "..", ".", "*", "/etc/passwd", "last", "01a2 ", "-", "01a2\0"] {
            let refused = read_all(&["resume", id], 0, false).unwrap_err();
            assert!(refused.contains("troupe sessions list"), "{id:?}: {refused}");
            assert!(read_all(&["resume", id, "go"], 0, false).is_err(), "{id:?}");
        }
        let last = read_all(&["resume"], 0, true);
        assert_eq!(last, Ok(Words::Resume { which: Which::Last, prompt: None }));
    }
}
