//! Settings that cannot be used, found before anything runs: a denial or a folder that means nothing
//! is never left out without a word.

use globset::Glob;
use std::path::{Component, Path, PathBuf};
use troupe_types::{SandboxMode, SandboxSettings};

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {value:?} {why}")]
pub struct Unusable {
    /// The setting.
    pub key: &'static str,
    /// The value in it.
    pub value: String,
    /// Why, and what helps.
    pub why: String,
}

/// An entry of `sandbox_deny_read`: a path, a pattern, or, where a path with special characters is
/// there, both.
#[derive(Debug)]
pub(crate) struct Entry {
    /// An absolute path.
    pub(crate) path: Option<PathBuf>,
    /// A pattern of absolute paths.
    pub(crate) pattern: Option<Glob>,
}

/// Whether the settings of a session can be used. Reads nothing but the writable folders' kinds.
///
/// # Errors
/// The first value that cannot.
pub fn check(settings: &SandboxSettings) -> Result<(), Unusable> {
    for entry in &settings.deny_read {
        read(entry)?;
    }
    for root in &settings.writable_roots {
        let unusable = |why| Unusable {
            key: "sandbox_workspace_write.writable_roots",
            value: root.display().to_string(),
            why,
        };
        is_named(root).map_err(unusable)?;
        if settings.mode == SandboxMode::WorkspaceWrite {
            is_root(root).map_err(unusable)?;
        }
    }
    Ok(())
}

/// Reads an entry of `sandbox_deny_read`: an absolute path, or a pattern (anything with `*`, `?`, `[`
/// or `{`).
pub(crate) fn read(text: &str) -> Result<Entry, Unusable> {
    let unusable = |why| Unusable { key: "sandbox_deny_read", value: text.to_owned(), why };
    let path = Path::new(text);
    if !text.contains(['*', '?', '[', '{']) {
        is_named(path).map_err(unusable)?;
        return Ok(Entry { path: Some(path.to_owned()), pattern: None });
    }
    let path = Some(path).filter(|path| path.is_absolute() && path.symlink_metadata().is_ok());
    match (pattern(text), path) {
        (Ok(pattern), path) => Ok(Entry { path: path.map(Path::to_owned), pattern: Some(pattern) }),
        (Err(_), Some(path)) => Ok(Entry { path: Some(path.to_owned()), pattern: None }),
        (Err(why), None) => Err(unusable(why)),
    }
}

fn pattern(text: &str) -> Result<Glob, String> {
    // Paths have none at their end.
    let pattern = text.trim_end_matches('/');
    if !can_match(pattern) {
        let why = "matches no path, because paths are compared whole: begin it with / or **/, \
                   without empty parts, . and ..";
        return Err(why.to_owned());
    }
    Glob::new(pattern)
        .map_err(|error| format!("is no pattern: {}. Correct it, or take it off", error.kind()))
}

/// Whether a pattern can match an absolute path without `.` and `..`.
fn can_match(pattern: &str) -> bool {
    let begins = |text: &str| text.starts_with(['/', '*']);
    let first = match pattern.strip_prefix('{') {
        Some(rest) => rest.split('}').next().unwrap_or("").split(',').all(begins),
        None => begins(pattern),
    };
    let parts = pattern.strip_prefix('/').unwrap_or(pattern).split('/');
    first && parts.into_iter().all(|part| !matches!(part, "" | "." | ".."))
}

fn is_named(path: &Path) -> Result<(), String> {
    let text = path.as_os_str();
    if text.is_empty() {
        return Err("is empty: name a path, or take it off".to_owned());
    }
    if text.as_encoded_bytes().contains(&0) {
        return Err("holds a zero byte, which no path does".to_owned());
    }
    match path.components().next() {
        _ if path.is_absolute() => Ok(()),
        Some(Component::Normal(first)) if first.as_encoded_bytes().starts_with(b"~") => Err(
            "names a home directory that is not known: write ~/… for your own, or the whole path"
                .to_owned(),
        ),
        _ => Err("is not an absolute path: begin it with / or ~/".to_owned()),
    }
}

fn is_root(path: &Path) -> Result<(), String> {
    let real = path
        .canonicalize()
        .map_err(|error| format!("cannot be used ({error}): make the folder, or take it off"))?;
    if !real.is_dir() {
        return Err("is not a folder: name the folder that it is in".to_owned());
    }
    if real.parent().is_none() {
        let why = "is the whole file system, of which nothing would be held: name folders in it, or \
                   use sandbox_mode = \"danger-full-access\"";
        return Err(why.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check, read};
    use std::path::PathBuf;
    use troupe_types::{SandboxMode, SandboxSettings};

    #[test]
    fn an_entry_that_could_deny_nothing_is_named() {
        for text in [
            "",
            " ",
            ".",
            "..",
            "secrets",
            "./key",
            "../key",
            "~",
            "~/x",
            "~other/x",
            "$HOME/x",
            "/a\0b",
            "**/[a",
            "**/{a",
            "**/a}",
            "**/[z-a]",
            "secrets/*.pem",
            "?",
            "[a]/b",
            "{a,/b}/*",
            "./*.pem",
            "/a/../*.pem",
            "/a//*.pem",
            "/a/./*",
            "**/[",
            "***/[a",
            "file:///etc/*",
        ] {
            let error = read(text).expect_err(text);
            let said = error.to_string();
            assert!(said.starts_with(&format!("sandbox_deny_read: {text:?} ")), "{said}");
            assert!(!said.contains("  ") && !said.contains('\n'), "{said}");
        }
        for text in
            ["/", "/a", "/a b/", "**/.env", "*.pem", "/a/*/", "{/a,/b}/**", "/[ab]/?", "/a\\*"]
        {
            let entry = read(text);
            assert!(entry.is_ok(), "{text}: {entry:?}");
        }
    }

    #[test]
    fn a_root_that_could_not_be_written_to_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let missing = folder.path().join("missing");
        let of = |root: &PathBuf, mode| SandboxSettings {
            mode,
            writable_roots: vec![folder.path().to_owned(), root.clone()],
            ..SandboxSettings::default()
        };
        for root in ["", "data", "./data", "~other/x"].map(PathBuf::from) {
            for mode in [SandboxMode::ReadOnly, SandboxMode::WorkspaceWrite] {
                let error = check(&of(&root, mode)).unwrap_err();
                assert_eq!(error.key, "sandbox_workspace_write.writable_roots");
                assert_eq!(error.value, root.display().to_string());
            }
        }
        for root in [file, missing, PathBuf::from("/"), PathBuf::from("/..")] {
            let error = check(&of(&root, SandboxMode::WorkspaceWrite)).unwrap_err();
            assert_eq!(error.value, root.display().to_string());
            // It is not used in these.
            check(&of(&root, SandboxMode::ReadOnly)).unwrap();
            check(&of(&root, SandboxMode::DangerFullAccess)).unwrap();
        }
        check(&of(&folder.path().to_owned(), SandboxMode::WorkspaceWrite)).unwrap();
    }
}
