//! Which file a program's name stands for.

use crate::Context;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// Folders that only the system's administrator writes to.
const TRUSTED: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/opt/homebrew",
    "/nix/store",
    "/snap/bin",
    "/run/current-system",
];

/// What a name stands for.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    /// A program of the system's.
    Trusted(PathBuf),
    /// A program that somebody put somewhere else.
    Elsewhere(PathBuf),
    /// There is none: the name alone is known.
    Missing,
}

/// Looks programs up, each once.
pub(crate) struct Resolver<'a> {
    context: &'a Context<'a>,
    known: HashMap<String, Found>,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(context: &'a Context<'a>) -> Self {
        Self { context, known: HashMap::new() }
    }

    pub(crate) fn find(&mut self, name: &str) -> Found {
        if let Some(found) = self.known.get(name) {
            return found.clone();
        }
        let found = self.look_up(name);
        self.known.insert(name.to_owned(), found.clone());
        found
    }

    fn look_up(&self, name: &str) -> Found {
        if name.contains('/') {
            return judge(&self.context.cwd.join(name));
        }
        for folder in std::env::split_paths(self.context.path) {
            let file = self.context.cwd.join(&folder).join(name);
            if is_program(&file) {
                let own = folder.is_absolute().then(|| self.users_own(&file)).flatten();
                return own.map_or_else(|| judge(&file), Found::Trusted);
            }
        }
        Found::Missing
    }

    /// A program that the user put on the path, where commands in a sandbox cannot write.
    fn users_own(&self, file: &Path) -> Option<PathBuf> {
        let real = file.canonicalize().ok()?;
        let temporary = std::env::temp_dir();
        let writable = [
            self.context.cwd,
            &temporary,
            Path::new("/tmp"),
            Path::new("/var/tmp"),
            Path::new("/dev/shm"),
        ];
        // The root directory as a workspace would make everything its own.
        let inside = |folder: &&Path| {
            folder.parent().is_some() && (real.starts_with(folder) || file.starts_with(folder))
        };
        (!writable.iter().any(inside)).then(|| file.to_owned())
    }
}

fn judge(file: &Path) -> Found {
    // A path that leads nowhere is still not the program of that name.
    let Ok(real) = file.canonicalize() else { return Found::Elsewhere(file.to_owned()) };
    if TRUSTED.iter().any(|folder| real.starts_with(folder)) {
        Found::Trusted(file.to_owned())
    } else {
        Found::Elsewhere(real)
    }
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    file.is_file()
}
