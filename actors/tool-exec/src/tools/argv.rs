//! Commands written as a list of words, as the script they mean.

/// Shells whose `-c` (or `-lc`) takes a script.
const SHELLS: [&str; 6] = ["bash", "sh", "zsh", "dash", "ksh", "ash"];

/// The script that a list of words stands for: of `["bash", "-lc", "x"]` it is `x`, a single word is
/// a script, anything else is quoted word by word.
pub(super) fn script(words: &[String]) -> String {
    match words {
        [script] => script.clone(),
        [program, flags, script] if is_shell(program) && takes_script(flags) => script.clone(),
        words => words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
    }
}

fn is_shell(program: &str) -> bool {
    let name = program.rsplit(['/', '\\']).next().unwrap_or(program);
    SHELLS.contains(&name.strip_suffix(".exe").unwrap_or(name))
}

fn takes_script(flags: &str) -> bool {
    matches!(flags, "-c" | "-lc" | "-cl" | "-ic" | "-lic" | "-ilc")
}

/// A word as a POSIX shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
