//! From a path as the model writes it to a file; and, where there is none, what it may have meant.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// How many entries of a folder are looked at for similar names.
const MOST_NAMES: usize = 5000;

/// The file that `path` names: absolute, under `~/`, or relative to `cwd`. Nothing is read and `..`
/// is left to the system, so that links keep their meaning. Every path of every tool passes here.
#[must_use]
pub fn resolve(cwd: &Path, path: &str) -> PathBuf {
    let path = path.trim_end_matches(['\n', '\r']);
    if let Some(rest) = path.strip_prefix("~/").or((path == "~").then_some(""))
        && let Some(home) = std::env::home_dir()
    {
        return home.join(rest);
    }
    // Joining anew drops `.` components, which would only lengthen what is shown.
    cwd.join(path).components().collect()
}

/// What is said of a file that must not be read.
pub(super) fn denied() -> io::Error {
    io::Error::other("it may hold secrets, which are not read (sandbox_deny_read)")
}

/// What to try instead of `path`, which does not exist: ` (…)` with a leading space, or nothing.
pub(super) fn hint(path: &Path) -> String {
    let Some(folder) = path.ancestors().skip(1).find(|folder| folder.is_dir()) else {
        return String::new();
    };
    let Some(wanted) = path.strip_prefix(folder).ok().and_then(|rest| rest.iter().next()) else {
        return String::new();
    };
    let near = nearest(folder, &wanted.to_string_lossy());
    if near.is_empty() {
        return format!(" (there is {} but no {} in it)", folder.display(), wanted.display());
    }
    format!(" (similar in {}: {})", folder.display(), near.join(", "))
}

fn nearest(folder: &Path, wanted: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let wanted = wanted.to_lowercase();
    let mut scored: Vec<(u32, String)> = entries
        .take(MOST_NAMES)
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let score = likeness(&wanted, &name.to_lowercase());
            (score >= 600).then_some((score, name))
        })
        .collect();
    scored.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// How alike two names are, in thousandths; the same stem with another ending counts as very alike.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
fn likeness(wanted: &str, name: &str) -> u32 {
    let stem = |name: &str| name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
    if stem(wanted) == stem(name) {
        return 990;
    }
    (strsim::normalized_damerau_levenshtein(wanted, name) * 1000.0) as u32
}

/// The text of an I/O error without its number.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}
