//! `AGENTS.md` files: what a project, and the user, always want the model to know.
//!
//! The user's own file first; then, from the project's root down to the working directory, the
//! first of `AGENTS.override.md`, `AGENTS.md` and the configured names in each folder. The project's
//! files share one budget of bytes; the file that crosses it is cut.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};
use troupe_types::ProjectDocs;

const NAMES: [&str; 2] = ["AGENTS.override.md", "AGENTS.md"];
const SEPARATOR: &str = "\n\n--- project-doc ---\n\n";
/// Most bytes of the user's own file.
const USER_MAX: usize = 64 * 1024;

/// The message for the model, if there is anything to say.
pub(crate) fn read(cwd: &Path, docs: &ProjectDocs) -> Option<String> {
    let user = docs
        .user_dir
        .as_deref()
        .and_then(|dir| NAMES.iter().find_map(|name| read_text(&dir.join(name), USER_MAX)));
    let project = project(cwd, docs);
    let text = match (user, project) {
        (Some(user), Some(project)) => format!("{user}{SEPARATOR}{project}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return None,
    };
    Some(format!(
        "# AGENTS.md instructions for {}\n\n<INSTRUCTIONS>\n{text}\n</INSTRUCTIONS>",
        cwd.display()
    ))
}

fn project(cwd: &Path, docs: &ProjectDocs) -> Option<String> {
    let mut left = docs.max_bytes;
    let mut parts = Vec::new();
    for dir in folders(cwd, &docs.root_markers) {
        if left == 0 {
            break;
        }
        let names = NAMES
            .iter()
            .copied()
            .chain(docs.fallback_names.iter().map(String::as_str))
            // A project may set these: they name files of a folder, and nothing elsewhere.
            .filter(|name| Path::new(name).file_name().is_some_and(|own| own == *name));
        // The first file that exists is the folder's, even if it is empty.
        let Some(path) = names.map(|name| dir.join(name)).find(|path| path.is_file()) else {
            continue;
        };
        if let Some(text) = read_text(&path, left) {
            left = left.saturating_sub(text.len());
            parts.push(text);
        }
    }
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

/// The folders from the project's root down to `cwd`; only `cwd` where nothing marks a root.
fn folders(cwd: &Path, markers: &[String]) -> Vec<PathBuf> {
    let marked = |dir: &Path| markers.iter().any(|marker| dir.join(marker).exists());
    let Some(root) = cwd.ancestors().find(|dir| marked(dir)) else {
        return vec![cwd.to_owned()];
    };
    let mut folders: Vec<_> =
        cwd.ancestors().take_while(|dir| dir.starts_with(root)).map(Path::to_owned).collect();
    folders.reverse();
    folders
}

/// At most `max` bytes of a file as text, cut at a character; `None` if it is blank or unreadable.
fn read_text(path: &Path, max: usize) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(max as u64).read_to_end(&mut bytes).ok()?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let end = error.utf8_error().valid_up_to();
            let bytes = error.into_bytes();
            let cut_at_the_end = bytes.len() - end < 4;
            if cut_at_the_end {
                String::from_utf8_lossy(&bytes[..end]).into_owned()
            } else {
                String::from_utf8_lossy(&bytes).into_owned()
            }
        }
    };
    (!text.trim().is_empty()).then(|| text.trim_end().to_owned())
}
