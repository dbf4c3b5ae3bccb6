//! A temporary directory with files, patches applied to it, and what is there afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Plan, RealFileSystem, apply, parse, plan};

/// Every file below a directory with its bytes, names with `/`.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

pub(super) struct Tree {
    _temporary: tempfile::TempDir,
    root: PathBuf,
}

impl Tree {
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().canonicalize().unwrap();
        let tree = Self { _temporary: temporary, root };
        for (name, text) in files {
            tree.write(name, text);
        }
        tree
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    /// Parses and plans the hunks (the frame is put around them).
    pub(super) fn plan(&self, hunks: &str) -> Result<Plan, String> {
        self.plan_text(&framed(hunks))
    }

    fn plan_text(&self, text: &str) -> Result<Plan, String> {
        let patch = parse(text).map_err(|error| error.to_string())?;
        plan(&patch, self.root(), &RealFileSystem).map_err(|error| self.neutral(&error.to_string()))
    }

    /// Parses, plans and applies; the summary or the error as a caller would read it.
    pub(super) fn patch(&self, hunks: &str) -> Result<String, String> {
        self.patch_text(&framed(hunks))
    }

    /// The same for a text with its frame.
    pub(super) fn patch_text(&self, text: &str) -> Result<String, String> {
        let plan = self.plan_text(text)?;
        apply(&plan, &RealFileSystem)
            .map(|summary| summary.to_string())
            .map_err(|error| self.neutral(&error.to_string()))
    }

    /// All files, temporary ones too.
    pub(super) fn files(&self) -> Files {
        let mut files = Files::new();
        collect(&self.root, "", &mut files);
        files
    }

    /// The names of all files.
    pub(super) fn names(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }

    /// A text with the directory's own name taken out.
    pub(super) fn neutral(&self, text: &str) -> String {
        text.replace(&self.root.display().to_string(), "[dir]").replace('\\', "/")
    }
}

pub(super) fn framed(hunks: &str) -> String {
    format!("*** Begin Patch\n{hunks}*** End Patch\n")
}

fn collect(directory: &Path, prefix: &str, files: &mut Files) {
    for item in fs::read_dir(directory).unwrap() {
        let item = item.unwrap();
        let name = format!("{prefix}{}", item.file_name().to_string_lossy());
        let kind = item.file_type().unwrap();
        if kind.is_dir() {
            // Directories count: one left behind empty is a change as well.
            files.insert(format!("{name}/"), Vec::new());
            collect(&item.path(), &format!("{name}/"), files);
        } else if kind.is_file() {
            files.insert(name, fs::read(item.path()).unwrap());
        } else {
            files.insert(format!("{name}@"), Vec::new());
        }
    }
}
