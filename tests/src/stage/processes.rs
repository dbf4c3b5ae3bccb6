//! Which processes live, read from `/proc`. Elsewhere than on Linux the lists are empty.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A process that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub id: u32,
    /// The id of its parent.
    pub parent: u32,
    /// Its command line, with spaces between the arguments.
    pub command: String,
}

/// The living processes below a process, its children first. Zombies do not count.
#[must_use]
pub fn descendants(of: u32) -> Vec<Process> {
    let all: Vec<_> = all().map(|(process, _)| process).collect();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![of];
    while let Some(parent) = parents.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            parents.push(process.id);
            found.push(process.clone());
        }
    }
    found
}

/// The processes that belong to a stage.
pub(crate) fn of_stage(name: &str, marker: &str, root: &Path) -> Vec<Process> {
    let marker = format!("{name}={marker}\0").into_bytes();
    let root = root.as_os_str().as_encoded_bytes();
    let ours = |proc: &Path| {
        let read = |file: &str| fs::read(proc.join(file)).unwrap_or_default();
        let mut environ = read("environ");
        environ.push(0);
        holds(&environ, &marker)
            || holds(&environ, root)
            || holds(&read("cmdline"), root)
            || fs::read_link(proc.join("cwd"))
                .is_ok_and(|cwd| holds(cwd.as_os_str().as_encoded_bytes(), root))
    };
    let own = std::process::id();
    all().filter(|(process, proc)| process.id != own && ours(proc)).map(|found| found.0).collect()
}

/// Sends SIGKILL to each.
pub(crate) fn kill(processes: &[Process]) {
    let ids: HashSet<_> = processes.iter().map(|process| process.id.to_string()).collect();
    if !ids.is_empty() {
        signal("KILL", ids);
    }
}

/// Sends a signal through the shell's own `kill`: there is no other way without unsafe code.
/// A negative id is a process group. A process that is gone is no error.
pub(crate) fn signal<T: AsRef<std::ffi::OsStr>>(name: &str, ids: impl IntoIterator<Item = T>) {
    let script = "name=$1; shift; for id; do kill -s \"$name\" -- \"$id\"; done; true";
    let shell = Command::new("sh")
        .args(["-c", script, "sh", name])
        .args(ids)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(shell.is_ok_and(|status| status.success()), "cannot run `sh` to send a signal");
}

/// Whether a process is stopped by a signal, or gone.
pub(crate) fn is_stopped(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_none_or(|state| matches!(state, 'T' | 'Z' | 'X'))
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && bytes.windows(part.len()).any(|window| window == part)
}

/// Every living process, with its folder.
fn all() -> impl Iterator<Item = (Process, PathBuf)> {
    let folders = fs::read_dir("/proc").into_iter().flatten().flatten();
    folders.filter_map(|folder| {
        let id = folder.file_name().to_str()?.parse().ok()?;
        let path = folder.path();
        let stat = fs::read_to_string(path.join("stat")).ok()?;
        // The name before the state stands in parentheses and may hold anything.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        if matches!(state, "Z" | "X") {
            return None;
        }
        let command = fs::read(path.join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).trim_end_matches('\0').replace('\0', " ");
        Some((Process { id, parent, command }, path))
    })
}
