//! What a command may do, resolved to real paths.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};
use troupe_types::{SandboxMode, SandboxSettings, WithoutUserns};

/// Names at the top of a writable root that stay read-only.
const PROTECTED: [&str; 4] = [".git", ".troupe", ".codex", ".agents"];
/// Those of them that cannot be made either.
const NOT_MADE: [&str; 2] = [".git", ".troupe"];

/// A process to start.
#[derive(Debug, Clone, Default)]
pub struct Command {
    /// Program and arguments. A program without a slash is looked up in the environment's `PATH`.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where it runs.
    pub cwd: PathBuf,
}

/// A folder that may be written to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Root {
    /// The folder (real path).
    pub path: PathBuf,
    /// What below it stays read-only (real paths, existing).
    pub protected: Vec<PathBuf>,
    /// What must not be made in it.
    pub absent: Vec<PathBuf>,
}

/// What a command may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Whether it is held at all.
    pub sandboxed: bool,
    /// Where it may write.
    pub roots: Vec<Root>,
    /// Whether it may use the network.
    pub network: bool,
    /// Run it all the same where it cannot be held.
    pub allow_unenforced: bool,
    /// Without user namespaces: leave the protected names unprotected.
    pub unprotected_names: bool,
}

/// Resolves the settings of a session for a workspace. Roots that do not exist are left out.
#[must_use]
pub fn resolve(settings: &SandboxSettings, workspace: &Path) -> Profile {
    let mut profile = Profile {
        sandboxed: settings.mode != SandboxMode::DangerFullAccess,
        roots: Vec::new(),
        network: settings.network,
        allow_unenforced: settings.allow_unenforced,
        unprotected_names: settings.without_userns == WithoutUserns::UnprotectedNames,
    };
    if settings.mode == SandboxMode::WorkspaceWrite {
        let mut roots = vec![workspace.to_owned()];
        roots.extend(settings.writable_roots.iter().cloned());
        if !settings.exclude_slash_tmp {
            roots.push("/tmp".into());
        }
        if !settings.exclude_tmpdir_env_var
            && let Some(folder) = std::env::var_os("TMPDIR").map(PathBuf::from)
            && folder.is_absolute()
        {
            roots.push(folder);
        }
        for root in roots {
            add_root(&mut profile.roots, &root);
        }
    }
    profile
}

fn add_root(roots: &mut Vec<Root>, path: &Path) {
    // A root that is the whole file system would protect nothing.
    let Ok(real) = fs::canonicalize(path) else { return };
    if !real.is_dir() || real.parent().is_none() || roots.iter().any(|root| root.path == real) {
        return;
    }
    let temporary =
        real == Path::new("/tmp") || std::env::var_os("TMPDIR").is_some_and(|t| t == path);
    let mut root = Root { path: real.clone(), ..Root::default() };
    for name in PROTECTED {
        let entry = real.join(name);
        match fs::symlink_metadata(&entry) {
            #[cfg(target_os = "linux")]
            Ok(data) if crate::linux::is_placeholder(&data) => root.absent.push(entry),
            Ok(_) => protect(&mut root, &entry),
            // In temporary folders everybody makes what they like.
            Err(_) if NOT_MADE.contains(&name) && !temporary => {
                // An empty `.git` below a repository would hide it from some programs.
                if name != ".git" || !in_repository(&real) {
                    root.absent.push(entry);
                }
            }
            Err(_) => {}
        }
    }
    roots.push(root);
}

fn protect(root: &mut Root, entry: &Path) {
    if let Ok(real) = fs::canonicalize(entry) {
        root.protected.push(real);
    }
    // A worktree's `.git` is a file that names the real folder.
    if entry.is_file()
        && let Ok(text) = fs::read_to_string(entry)
        && let Some(place) = text.strip_prefix("gitdir:")
        && let Ok(real) = fs::canonicalize(root.path.join(place.trim()))
    {
        root.protected.push(real);
    }
}

fn in_repository(path: &Path) -> bool {
    path.ancestors().skip(1).any(|folder| folder.join(".git").exists())
}
