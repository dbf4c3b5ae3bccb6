//! `AGENTS.md` files: what a project, and the user, always want the model to know.
//!
//! The user's own file first; then, from the project's root down to the working directory, one file
//! of each folder: the first of `AGENTS.override.md`, `AGENTS.md`, the configured names and
//! `CLAUDE.md`. The project's files share one budget of bytes, which the nearest takes first. What is
//! cut or left out is marked in the text and told to the user.

mod decode;

use decode::{Decoded, decode};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use troupe_messages::Opener;
use troupe_types::ProjectDocs;

const NAMES: [&str; 2] = ["AGENTS.override.md", "AGENTS.md"];
/// What other programs call it; read where a folder has none of the others.
const LAST_NAME: &str = "CLAUDE.md";
const SEPARATOR: &str = "\n\n--- project-doc ---\n\n";
/// Most bytes of the user's own file.
const USER_MAX: usize = 64 * 1024;
const SETTING: &str = "project_doc_max_bytes";

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Docs {
    /// The message for the model, if there is anything to say.
    pub(crate) text: Option<String>,
    /// The files it was made of, in its order.
    pub(crate) files: Vec<PathBuf>,
    /// What the user has to know: files that are cut, or not used, and why.
    pub(crate) warnings: Vec<String>,
}

/// Reads the files. Blocks.
pub(crate) fn read(cwd: &Path, settings: &ProjectDocs, open: &Opener) -> Docs {
    let mut reader = Reader { open, names: names(settings), warnings: Vec::new() };
    let user_dir = settings.user_dir.as_deref();
    let user = user_dir.and_then(|dir| reader.first_of(dir, &Budget::of_the_user()));
    let project = reader.project(cwd, settings);
    let mut files: Vec<PathBuf> = user.iter().map(|doc| doc.path.clone()).collect();
    files.extend(project.iter().filter(|doc| doc.is_shown).map(|doc| doc.path.clone()));
    let project: Vec<String> = project.into_iter().map(|doc| doc.text).collect();
    let project = (!project.is_empty()).then(|| project.join("\n\n"));
    let parts: Vec<String> = user.map(|doc| doc.text).into_iter().chain(project).collect();
    let text = (!parts.is_empty()).then(|| {
        format!(
            "# AGENTS.md instructions for {}\n\n<INSTRUCTIONS>\n{}\n</INSTRUCTIONS>",
            cwd.display(),
            parts.join(SEPARATOR)
        )
    });
    Docs { text, files, warnings: reader.warnings }
}

/// The names looked for in each folder, in order.
fn names(settings: &ProjectDocs) -> Vec<&str> {
    let configured = settings.fallback_names.iter().map(String::as_str);
    let names = NAMES.into_iter().chain(configured).chain([LAST_NAME]);
    // A project may set these: they name files of a folder, and nothing elsewhere.
    names.filter(|name| Path::new(name).file_name().is_some_and(|own| own == *name)).collect()
}

/// The folders from `cwd` up to the project's root; only `cwd` where nothing marks a root.
fn folders<'a>(cwd: &'a Path, markers: &[String]) -> Vec<&'a Path> {
    let marked = |dir: &Path| markers.iter().any(|marker| dir.join(marker).exists());
    let Some(root) = cwd.ancestors().find(|dir| marked(dir)) else { return vec![cwd] };
    cwd.ancestors().take_while(|dir| dir.starts_with(root)).collect()
}

/// How many bytes of a file may be shown, and why no more.
struct Budget {
    bytes: usize,
    why: String,
}

impl Budget {
    fn of_the_user() -> Self {
        Self { bytes: USER_MAX, why: format!("more than {USER_MAX} are not read") }
    }

    fn of_the_project(left: usize, all: usize) -> Self {
        let why = format!("{SETTING} is {all}, shared by the project's files, the nearest first");
        Self { bytes: left, why }
    }
}

/// A file's part of the message.
struct Doc {
    path: PathBuf,
    /// Its text, or as much of it as there was room for, and a mark where it is cut.
    text: String,
    /// Bytes of it that count.
    used: usize,
    /// Anything of the file itself is there.
    is_shown: bool,
}

struct Reader<'a> {
    open: &'a Opener,
    names: Vec<&'a str>,
    warnings: Vec<String>,
}

impl Reader<'_> {
    /// The project's files, its root's first.
    fn project(&mut self, cwd: &Path, settings: &ProjectDocs) -> Vec<Doc> {
        if settings.max_bytes == 0 {
            return Vec::new();
        }
        let mut left = settings.max_bytes;
        let mut docs = Vec::new();
        for dir in folders(cwd, &settings.root_markers) {
            let budget = Budget::of_the_project(left, settings.max_bytes);
            if let Some(doc) = self.first_of(dir, &budget) {
                left = left.saturating_sub(doc.used);
                docs.push(doc);
            }
        }
        docs.reverse();
        docs
    }

    /// The first file there is of a folder, which counts even if it is empty.
    fn first_of(&mut self, dir: &Path, budget: &Budget) -> Option<Doc> {
        for name in self.names.clone() {
            let path = dir.join(name);
            match fs::symlink_metadata(&path) {
                Err(error) if is_absent(&error) => continue,
                _ => {}
            }
            match self.load(&path, budget.bytes) {
                Ok(loaded) => return self.doc(path, loaded, budget),
                Err(why) => {
                    self.warnings.push(format!("{} is not used: {why}", path.display()));
                }
            }
        }
        None
    }

    fn load(&self, path: &Path, most: usize) -> Result<Loaded, String> {
        let file = (self.open)(path)?;
        let bytes = file.metadata().map_err(|error| error.to_string())?.len();
        let decoded = decode(file, most)?;
        Ok(Loaded { decoded, bytes })
    }

    fn doc(&mut self, path: PathBuf, loaded: Loaded, budget: &Budget) -> Option<Doc> {
        let Loaded { decoded: Decoded { mut text, cut, replaced }, bytes } = loaded;
        let shown = path.display();
        let Budget { bytes: room, why } = budget;
        if let Some(at) = replaced {
            self.warnings.push(format!(
                "{shown} is not all UTF-8 (the first bad byte is number {at}): the model sees U+FFFD \
                 in place of such bytes"
            ));
        }
        let used = text.len();
        if cut && text.trim().is_empty() {
            let what = format!("{shown} ({bytes} bytes) is left out");
            self.warnings.push(format!("{what}: there is no room for it ({why})"));
            return Some(Doc {
                text: format!("[{what}: no room]"),
                path,
                used: 0,
                is_shown: false,
            });
        }
        if cut {
            let what = format!("{shown} is cut: {used} of {bytes} bytes are shown");
            self.warnings.push(format!("{what} to the model ({why})"));
            text.push_str(&format!("\n[{what}; read the file for the rest]"));
            return Some(Doc { path, text, used: *room, is_shown: true });
        }
        (!text.is_empty()).then_some(Doc { path, text, used, is_shown: true })
    }
}

struct Loaded {
    decoded: Decoded,
    /// The file's size.
    bytes: u64,
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
