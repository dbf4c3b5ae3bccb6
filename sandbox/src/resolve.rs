//! From the settings of a session to what its commands may do, in real paths.

use crate::{
    check::Unusable,
    deny::{DenyRead, default_deny_read},
    names::{CACHES, NOT_MADE, PROTECTED},
    profile::{Profile, Root},
    survey::Surveyor,
};
use std::{
    fs,
    path::{Path, PathBuf},
};
use troupe_types::{SandboxMode, SandboxSettings, WithoutUserns};

/// The most git folders that a command gets a copy of; further ones are read-only.
const MOST_REPOSITORIES: usize = 8;
/// The most entries that are mounted over, of each kind.
const MOST_ENTRIES: usize = 500;

/// Why settings cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// A value of the settings cannot be used.
    #[error("{0}")]
    Unusable(#[from] Unusable),
    /// The workspace is not where it was: a link stands in its place now.
    #[error("{0} is not the directory that it was: it leads to {1} now")]
    Moved(PathBuf, PathBuf),
    /// Nothing in the workspace could be read.
    #[error("{0} is inside {1}, which commands must not read (sandbox_deny_read)")]
    Denied(PathBuf, PathBuf),
}

/// Resolves the settings of a session for a workspace (a real path). Roots that do not exist
/// any more are left out; [`check`](crate::check()) finds those that never did.
///
/// # Errors
/// When the settings cannot be carried out; nothing may run then.
pub fn resolve(
    settings: &SandboxSettings,
    workspace: &Path,
    surveyor: &Surveyor,
) -> Result<Profile, ResolveError> {
    resolve_with(settings, workspace, surveyor).map(|(profile, _)| profile)
}

/// The same, with the test of what must not be read.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_with(
    settings: &SandboxSettings,
    workspace: &Path,
    surveyor: &Surveyor,
) -> Result<(Profile, DenyRead), ResolveError> {
    let mut profile = Profile {
        sandboxed: settings.mode != SandboxMode::DangerFullAccess,
        network: settings.network && settings.allow_hosts.is_empty(),
        proxied: !settings.allow_hosts.is_empty(),
        allow_unenforced: settings.allow_unenforced,
        unprotected_names: settings.without_userns == WithoutUserns::UnprotectedNames,
        limits: settings.limits.clone(),
        ..Profile::default()
    };
    if !profile.sandboxed {
        return Ok((profile, DenyRead::default()));
    }
    if let Ok(real) = fs::canonicalize(workspace)
        && real != workspace
    {
        return Err(ResolveError::Moved(workspace.to_owned(), real));
    }
    let deny = deny_read(settings)?;
    profile.denied = deny.existing().collect();
    if let Some(denied) = profile.denied.iter().find(|denied| workspace.starts_with(denied)) {
        return Err(ResolveError::Denied(workspace.to_owned(), denied.clone()));
    }
    for (path, temporary) in candidates(settings, workspace) {
        add_root(&mut profile, &path, temporary, &deny, surveyor);
    }
    if settings.mode == SandboxMode::ReadOnly {
        profile.denied.extend(surveyor.survey(workspace, &deny).denied);
    }
    profile.denied.truncate(MOST_ENTRIES);
    profile.denied.sort();
    profile.denied.dedup();
    // What is below a denied folder is denied with it.
    let all = profile.denied.clone();
    profile.denied.retain(|path| !all.iter().any(|other| path != other && path.starts_with(other)));
    profile.roots.sort_by(|a, b| a.path.cmp(&b.path));
    profile.caches = caches(&profile);
    Ok((profile, deny))
}

/// What commands and tools of a session must not read.
///
/// # Errors
/// When a pattern of the settings is none.
pub fn deny_read(settings: &SandboxSettings) -> Result<DenyRead, ResolveError> {
    if settings.mode == SandboxMode::DangerFullAccess {
        return Ok(DenyRead::default());
    }
    deny_read_always(settings)
}

/// What is not read without being asked for, in full access neither.
///
/// # Errors
/// When a pattern of the settings is none.
pub fn deny_read_always(settings: &SandboxSettings) -> Result<DenyRead, ResolveError> {
    let mut entries = settings.deny_read.clone();
    if !settings.deny_read_only_listed {
        entries.extend(default_deny_read());
    }
    Ok(DenyRead::new(&entries)?)
}

/// The caches that are there, but those that are writable anyway.
fn caches(profile: &Profile) -> Vec<PathBuf> {
    let Some(home) = std::env::home_dir() else { return Vec::new() };
    let found = CACHES.iter().filter_map(|(place, _)| fs::canonicalize(home.join(place)).ok());
    let apart = |path: &PathBuf| {
        let roots = profile.roots.iter().map(|root| &root.path);
        roots.chain(&profile.denied).all(|root| !path.starts_with(root) && !root.starts_with(path))
    };
    found.filter(|path| path.is_dir() && apart(path)).collect()
}

/// The folders that the mode lets be written to, and which of them are everybody's.
fn candidates(settings: &SandboxSettings, workspace: &Path) -> Vec<(PathBuf, bool)> {
    if settings.mode != SandboxMode::WorkspaceWrite {
        return Vec::new();
    }
    let mut roots = vec![(workspace.to_owned(), false)];
    roots.extend(settings.writable_roots.iter().map(|root| (root.clone(), false)));
    if !settings.exclude_slash_tmp && cfg!(unix) {
        roots.push(("/tmp".into(), true));
    }
    if !settings.exclude_tmpdir_env_var
        && let Some(folder) =
            std::env::var_os(if cfg!(windows) { "TEMP" } else { "TMPDIR" }).map(PathBuf::from)
        && folder.is_absolute()
    {
        roots.push((folder, true));
    }
    roots
}

fn add_root(
    profile: &mut Profile,
    path: &Path,
    temporary: bool,
    deny: &DenyRead,
    surveyor: &Surveyor,
) {
    // A root that is the whole file system would protect nothing.
    let Ok(real) = fs::canonicalize(path) else { return };
    if !real.is_dir()
        || real.parent().is_none()
        || profile.roots.iter().any(|root| root.path == real)
    {
        return;
    }
    let mut root = Root { path: real.clone(), shared: temporary, ..Root::default() };
    let found = if temporary {
        // Everybody's, and large: only what is at its top.
        let top = PROTECTED.iter().map(|name| real.join(name)).filter(|path| path.exists());
        top.collect()
    } else {
        let survey = surveyor.survey(&real, deny);
        profile.denied.extend(survey.denied);
        survey.protected
    };
    for entry in found.into_iter().take(MOST_ENTRIES) {
        protect(profile, &mut root, &entry);
    }
    if !temporary {
        for name in NOT_MADE {
            let entry = real.join(name);
            // An empty `.git` below a repository would hide it from some programs.
            let hides = name == ".git" && in_repository(&real).is_some();
            if !hides && fs::symlink_metadata(&entry).is_err() {
                root.absent.push(entry);
            }
        }
        if let Some(folder) = in_repository(&real) {
            protect(profile, &mut root, &folder);
        }
    }
    profile.roots.push(root);
}

fn protect(profile: &mut Profile, root: &mut Root, entry: &Path) {
    match fs::symlink_metadata(entry) {
        #[cfg(target_os = "linux")]
        Ok(data) if crate::linux::is_placeholder(&data) => {
            root.absent.push(entry.to_owned());
            return;
        }
        Ok(_) => {}
        Err(_) => return,
    }
    // The entry itself, so that it cannot be replaced, also if it is a link; and what it leads to.
    let real = fs::canonicalize(entry).ok();
    root.protected.push(entry.to_owned());
    let Some(real) = real else { return };
    if real != *entry && !root.protected.contains(&real) {
        root.protected.push(real.clone());
    }
    if entry.file_name().is_none_or(|name| name != ".git") {
        return;
    }
    let folder = if real.is_file() { linked_folder(&real) } else { Some(real) };
    if let Some(folder) = folder.and_then(|folder| common_folder(&folder)) {
        if !root.protected.contains(&folder) {
            root.protected.push(folder.clone());
        }
        let known = &mut profile.repositories;
        let inside = known.iter().any(|other| folder.starts_with(other));
        if known.len() < MOST_REPOSITORIES && !inside && folder.join("HEAD").is_file() {
            known.push(folder);
        }
    }
}

/// The folder that a `.git` file names: a worktree's or a submodule's (gitrepository-layout(5)).
fn linked_folder(file: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(file).ok()?;
    let place = text.strip_prefix("gitdir:")?.trim();
    fs::canonicalize(file.parent()?.join(place)).ok()
}

/// The folder that a worktree shares with its repository; otherwise the folder itself.
fn common_folder(folder: &Path) -> Option<PathBuf> {
    let file = folder.join("commondir");
    // A pipe in its place would be waited for.
    if !file.is_file() {
        return Some(folder.to_owned());
    }
    match fs::read_to_string(file) {
        Ok(text) => fs::canonicalize(folder.join(text.trim())).ok(),
        Err(_) => Some(folder.to_owned()),
    }
}

/// The `.git` of the repository that a folder is inside of.
fn in_repository(path: &Path) -> Option<PathBuf> {
    path.ancestors().skip(1).map(|folder| folder.join(".git")).find(|entry| entry.exists())
}
