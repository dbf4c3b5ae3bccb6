//! Finding a patch inside a shell command, so that it can be judged and applied as a patch.
//!
//! The recogniser knows two forms and is strict on purpose. What it does not know to the last
//! character runs as the ordinary command it is:
//!
//! ```text
//! apply_patch <<'EOF'            cd some/dir && apply_patch <<'EOF'
//! *** Begin Patch                *** Begin Patch
//! …                              …
//! EOF                            EOF
//! ```
//!
//! The body is taken as it stands: nothing in it is expanded, whether the delimiter is quoted or
//! not.

use std::path::PathBuf;

use crate::parse;

/// A patch found in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intercepted {
    /// The directory of a leading `cd`, as written; relative to where the script would run.
    pub cd: Option<PathBuf>,
    /// The here-document's body, not parsed yet.
    pub patch: String,
}

/// Recognises the script of `sh -c` that does nothing but apply one patch.
#[must_use]
pub fn intercept(script: &str) -> Option<Intercepted> {
    let (head, body) = script.trim_start().split_once('\n')?;
    let head = head.strip_suffix('\r').unwrap_or(head);
    let (cd, command) = match word(head, "cd") {
        Some(rest) => {
            let (directory, rest) = directory(rest)?;
            (Some(PathBuf::from(directory)), blanks(blanks(rest).strip_prefix("&&")?))
        }
        None => (None, head),
    };
    let rest = word(command, "apply_patch").or_else(|| word(command, "applypatch"))?;
    let delimiter = delimiter(blanks(rest.strip_prefix("<<")?))?;
    let patch = until(body, delimiter)?.to_owned();
    Some(Intercepted { cd, patch })
}

/// Recognises a whole command: `apply_patch BODY`, or a shell with a script as for [`intercept`].
#[must_use]
pub fn intercept_argv(argv: &[String]) -> Option<Intercepted> {
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let (program, args) = argv.split_first()?;
    match (program_name(program).as_str(), args) {
        ("apply_patch" | "applypatch", [body]) => {
            Some(Intercepted { cd: None, patch: (*body).to_owned() })
        }
        ("bash" | "zsh" | "sh", ["-c" | "-lc", script]) => intercept(script),
        ("pwsh" | "powershell", [flags @ .., script]) if powershell_flags(flags) => {
            intercept(script)
        }
        ("cmd", [flag, script]) if flag.eq_ignore_ascii_case("/c") => intercept(script),
        _ => None,
    }
}

/// Whether a script is a patch with no command around it. No shell can run it; the caller should
/// refuse and advise to use the patch tool.
#[must_use]
pub fn is_bare_patch(script: &str) -> bool {
    let script = script.trim_start_matches('\u{feff}').trim_start();
    script.lines().next().is_some_and(|line| line.trim_end() == parse::BEGIN)
}

/// The last part of a program's path, in lower case and without `.exe`.
fn program_name(program: &str) -> String {
    let name = program.rsplit(['/', '\\']).next().unwrap_or(program).to_ascii_lowercase();
    name.strip_suffix(".exe").map(str::to_owned).unwrap_or(name)
}

fn powershell_flags(flags: &[&str]) -> bool {
    let is = |flag: &str, name| flag.eq_ignore_ascii_case(name);
    match flags {
        [command] => is(command, "-Command"),
        [profile, command] => is(profile, "-NoProfile") && is(command, "-Command"),
        _ => false,
    }
}

fn blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// Takes a fixed word that ends at a blank or a redirection; gives what follows the blanks.
fn word<'a>(text: &'a str, wanted: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(wanted)?;
    let ends = rest.starts_with([' ', '\t', '<']);
    ends.then(|| blanks(rest))
}

/// Takes one directory name: plain, `"…"` or `'…'`, with nothing a shell would change.
fn directory(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = match text.chars().next()? {
        '\'' => text[1..].split_once('\'')?,
        '"' => text[1..].split_once('"').filter(|(name, _)| !name.contains(['$', '`', '\\']))?,
        _ => text.split_at(text.find(|c| !plain(c))?),
    };
    let whole = rest.starts_with([' ', '\t', '&']);
    let special = name.is_empty() || name.starts_with('-');
    (whole && !special).then_some((name, rest))
}

/// Characters that mean themselves in an unquoted word.
fn plain(c: char) -> bool {
    c.is_alphanumeric() || "/._-+,:@%=".contains(c)
}

/// Reads the delimiter, which must be the last thing on the line.
fn delimiter(text: &str) -> Option<&str> {
    let text = text.trim_end_matches([' ', '\t']);
    let quoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    let name = quoted('\'').or_else(|| quoted('"')).unwrap_or(text);
    let fits = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    fits.then_some(name)
}

/// The body before the first line that is the delimiter; only blank lines may follow that.
fn until<'a>(body: &'a str, delimiter: &str) -> Option<&'a str> {
    let mut at = 0;
    for line in body.split_inclusive('\n') {
        let text = line.strip_suffix('\n').unwrap_or(line);
        let next = at + line.len();
        if text.strip_suffix('\r').unwrap_or(text) == delimiter {
            return body[next..].trim().is_empty().then(|| &body[..at]);
        }
        at = next;
    }
    None
}
