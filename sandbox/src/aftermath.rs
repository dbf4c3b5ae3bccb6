//! What there is to say of a command that has ended: what the sandbox refused it, and what it made
//! that other programs may obey.
//!
//! A refusal is looked for where the output speaks of one, and told only where it is the sandbox's:
//! the profile refuses the path, and the kernel would let the user do it outside. A test that prints
//! "Permission denied" is not a refusal.

use crate::{deny::DenyRead, profile::Profile, survey::Surveyor};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    io::Read,
    path::{Component, Path, PathBuf},
    sync::Arc,
};
use troupe_types::NotWritten;

/// Paths that are looked at, of the last lines of an output.
const MOST_PATHS: usize = 40;
/// Refusals, and new things, that are told.
const MOST_TOLD: usize = 5;
/// What is read of a repository's settings, in bytes.
const MOST_CONFIG: u64 = 256 * 1024;
/// The status of a shell whose command was ended by SIGSYS.
const BAD_CALL: i32 = 128 + 31;

/// How programs say that they were refused, in lower case.
const REFUSALS: [&str; 6] = [
    "read-only file system",
    "permission denied",
    "operation not permitted",
    "erofs",
    "eacces",
    "eperm",
];
/// Words of a line that says what was to be made.
const MAKING: [&str; 16] = [
    "create", "creating", "open", "opening", "write", "writing", "touch", "move", "rename",
    "mkdir", "make", "copy", "link", "save", "symlink", "eacces",
];
/// How they say that no file can be written there; only a mount says so.
const READ_ONLY: [&str; 2] = ["read-only file system", "erofs"];
/// What is said of it where no file may be written at all.
const NOTHING_WRITTEN: &str = "the sandbox mode is read-only, so commands may write nowhere; the \
     user allows the working directory with sandbox_mode = \"workspace-write\"";
/// What the user can do about a file that is outside, as a sentence without a full stop.
pub const FURTHER_FOLDERS: &str = "The user allows a further folder with --add-dir DIR or \
     sandbox_workspace_write.writable_roots = [\"DIR\"]";
/// How they say that there is no network.
const NO_NETWORK: [&str; 12] = [
    "could not resolve host",
    "unable to resolve host",
    "temporary failure resolving",
    "no address associated with hostname",
    "no servers could be reached",
    "no such host",
    "eai_again",
    "unknownhostexception",
    "network is unreachable",
    "temporary failure in name resolution",
    "name or service not known",
    "enetunreach",
];
/// Settings of git's that make it run programs or obey other files, as `section.key`; `*` is any
/// part in between.
const RUNS: [&str; 19] = [
    "core.hookspath",
    "core.fsmonitor",
    "core.sshcommand",
    "core.pager",
    "core.editor",
    "core.askpass",
    "core.gitproxy",
    "core.attributesfile",
    "core.alternaterefscommand",
    "credential.helper",
    "gpg.program",
    "sequence.editor",
    "include.path",
    "diff.external",
    "*.textconv",
    "*.driver",
    "*.clean",
    "*.smudge",
    "*.process",
];

/// Why the sandbox keeps a command from a path.
enum Refusal {
    /// No file may be written at all.
    ReadOnly,
    /// It is outside the folders that may be written to, as a sentence.
    Outside(String),
    /// Another reason, as a sentence.
    Told(String),
}

/// What there is to say of a command that has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AfterRun {
    /// Sentences without a full stop, for the model.
    pub sentences: Vec<String>,
    /// Why it could not write a file, where the sandbox kept it from that.
    pub not_written: Option<NotWritten>,
}

/// What is known of a command's surroundings from before it ran.
pub struct Aftermath {
    profile: Profile,
    cwd: PathBuf,
    surveyor: Arc<Surveyor>,
    deny: DenyRead,
    /// Only rules of the kernel hold the command, which know no exceptions for single names.
    without_namespaces: bool,
}

impl Aftermath {
    /// Of a command that is about to run.
    #[must_use]
    pub fn new(profile: Profile, cwd: &Path, surveyor: &Arc<Surveyor>, deny: DenyRead) -> Self {
        let surveyor = Arc::clone(surveyor);
        Self { profile, cwd: cwd.to_owned(), surveyor, deny, without_namespaces: false }
    }

    /// The same for a command that the kernel's rules held without namespaces of its own.
    #[must_use]
    pub fn without_namespaces(self, without_namespaces: bool) -> Self {
        Self { without_namespaces, ..self }
    }

    /// What there is to say. Reads folders.
    #[must_use]
    pub fn remarks(&self, exit_code: Option<i32>, output: &str) -> AfterRun {
        let mut said = AfterRun::default();
        if exit_code.is_some_and(|code| code != 0) {
            said = self.refusals(output);
            if exit_code == Some(BAD_CALL) {
                said.sentences.push("the sandbox refused a system call".to_owned());
            }
        }
        said.sentences.extend(self.made());
        said
    }

    fn refusals(&self, output: &str) -> AfterRun {
        let mut not_written = None;
        let mut said = BTreeSet::new();
        let mut looked = 0;
        'lines: for line in output.lines().rev() {
            let lower = line.to_ascii_lowercase();
            if !self.profile.network
                && !self.profile.proxied
                && NO_NETWORK.iter().any(|phrase| lower.contains(phrase))
            {
                said.insert("the network is off for commands".to_owned());
            }
            if !REFUSALS.iter().any(|phrase| lower.contains(phrase)) {
                continue;
            }
            if self.is_read_only() && READ_ONLY.iter().any(|phrase| lower.contains(phrase)) {
                // Whatever it names, no file may be written.
                not_written = Some(NotWritten::ReadOnly);
                said.insert(NOTHING_WRITTEN.to_owned());
                continue;
            }
            for path in paths(line, &self.cwd).chain(not_made(line, &self.cwd)) {
                looked += 1;
                if looked > MOST_PATHS {
                    break 'lines;
                }
                match self.why_refused(&path) {
                    Some(Refusal::ReadOnly) => {
                        not_written = Some(NotWritten::ReadOnly);
                        said.insert(NOTHING_WRITTEN.to_owned());
                    }
                    Some(Refusal::Outside(text)) => {
                        not_written = not_written.or(Some(NotWritten::Outside));
                        said.insert(text);
                    }
                    Some(Refusal::Told(text)) => drop(said.insert(text)),
                    None => {}
                }
            }
            if said.len() >= MOST_TOLD {
                break;
            }
        }
        let mut sentences: Vec<String> = said.into_iter().collect();
        if not_written == Some(NotWritten::Outside) {
            sentences.push(FURTHER_FOLDERS.to_owned());
        }
        AfterRun { sentences, not_written }
    }

    /// Whether there is no folder that commands may write to.
    fn is_read_only(&self) -> bool {
        self.profile.roots.is_empty()
    }

    /// Why the sandbox keeps a command from this path, if it does and the user could.
    fn why_refused(&self, path: &Path) -> Option<Refusal> {
        let real = real(path);
        let shown = path.display();
        let profile = &self.profile;
        let open = profile.reopened.iter().any(|open| real.starts_with(open));
        if !open && profile.denied.iter().any(|denied| real.starts_with(denied)) {
            let told = format!("{shown} must not be read by commands (sandbox_deny_read)");
            return Some(Refusal::Told(told));
        }
        let Some(root) = profile.roots.iter().rev().find(|root| real.starts_with(&root.path))
        else {
            let told = format!("{shown} is outside the folders that commands may write to");
            let why = if self.is_read_only() { Refusal::ReadOnly } else { Refusal::Outside(told) };
            return may_write(&real).then_some(why);
        };
        // Where the rules of Landlock hold alone, there is none for the folder itself.
        if self.without_namespaces
            && real.parent() == Some(&root.path)
            && !exists(&real)
            && may_write(&root.path)
        {
            let told = format!(
                "nothing new can be made at the top of {}, because this machine has no user \
                 namespaces; the user allows it with sandbox_without_userns = \
                 \"unprotected-names\"",
                root.path.display()
            );
            let absent = root.absent.contains(&real);
            if !absent {
                return Some(Refusal::Told(told));
            }
        }
        let mut kept = root.protected.iter().chain(&root.absent);
        let inside = kept.any(|kept| real.starts_with(kept) || path.starts_with(kept));
        let told = format!("{shown} is protected: commands cannot change it");
        (inside && may_write(&root.path)).then_some(Refusal::Told(told))
    }

    /// Names that programs obey and that were not there before.
    fn made(&self) -> Vec<String> {
        let mut said = Vec::new();
        for root in self.profile.roots.iter().filter(|root| !root.shared) {
            let now = self.surveyor.survey(&root.path, &self.deny).protected;
            for entry in now.iter().filter(|entry| !root.protected.contains(entry)) {
                // What the sandbox itself put there, or another root's.
                if root.absent.contains(entry) || said.len() >= MOST_TOLD {
                    continue;
                }
                said.push(inspect(entry));
            }
        }
        said
    }
}

/// What a new entry with a protected name may do.
fn inspect(entry: &Path) -> String {
    let shown = entry.display();
    if entry.file_name().is_none_or(|name| name != ".git") {
        return format!("the command made {shown}, which editors and agents obey: look at it");
    }
    if !entry.is_dir() {
        return format!("the command made {shown}, which leads git to another folder: look at it");
    }
    let found = programs_of(entry);
    if found.is_empty() {
        return format!("the command made a repository, {shown}; nothing in it runs programs");
    }
    let mut text = format!("the command made a repository, {shown}, whose use runs programs:");
    for one in found.iter().take(MOST_TOLD) {
        // Writing into a `String` cannot fail.
        let _ = write!(text, " {one};");
    }
    text.push_str(" look at them before git is used there");
    text
}

/// Hooks and settings of a repository that run programs.
fn programs_of(repository: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let hooks = fs::read_dir(repository.join("hooks")).into_iter().flatten().flatten();
    for hook in hooks {
        let name = hook.file_name();
        if !name.to_string_lossy().ends_with(".sample") {
            found.push(format!("hooks/{}", name.display()));
        }
    }
    found.sort();
    for file in ["config", "config.worktree"] {
        let file = repository.join(file);
        if !file.is_file() {
            continue;
        }
        let Ok(file) = fs::File::open(file) else { continue };
        let mut text = Vec::new();
        // What cannot be read to its end is read so far.
        let _cut = file.take(MOST_CONFIG).read_to_end(&mut text);
        found.extend(settings_that_run(&String::from_utf8_lossy(&text)));
    }
    found
}

/// Settings that make git run programs (git-config(1), syntax).
fn settings_that_run(text: &str) -> Vec<String> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        let rest = if let Some(head) = line.strip_prefix('[') {
            let (name, rest) = head.split_once(']').unwrap_or((head, ""));
            name.split([' ', '\t', '.', '"']).next().unwrap_or("").clone_into(&mut section);
            section.make_ascii_lowercase();
            rest.trim()
        } else {
            line
        };
        let key = rest.split(['=', ' ', '\t', '#', ';']).next().unwrap_or("").to_ascii_lowercase();
        if key.is_empty() {
            continue;
        }
        let full = format!("{section}.{key}");
        let listed = RUNS.iter().any(|run| match run.strip_prefix("*.") {
            Some(end) => key == end,
            None => *run == full,
        });
        let alias = section == "alias" && rest.contains('!');
        let included = section.starts_with("include") && key == "path";
        let diff = section == "diff" && key == "command";
        if (listed || alias || included || diff) && !found.contains(&full) {
            found.push(full);
        }
    }
    found
}

/// What may be paths in a line that speaks of a refusal.
fn paths<'a>(line: &'a str, cwd: &'a Path) -> impl Iterator<Item = PathBuf> {
    let ends = |c: char| c.is_whitespace() || "'\"`‘’“”()[]<>=,".contains(c);
    // Who speaks stands first: `/bin/bash: line 1: …`.
    let speaker = line.split_once(':').map_or("", |(speaker, _)| speaker);
    let words = line.split(ends).map(|word| word.trim_end_matches([':', '.', ';', '!']));
    let words = words.filter(move |word| *word != speaker || !cwd.join(word).is_file());
    // A name of one letter is a word; a drive is not looked for here.
    let wanted = words.filter(|word| word.len() > 1 && !word.contains("://"));
    wanted.filter_map(move |word| {
        let path = cwd.join(word);
        (word.contains('/') || path.symlink_metadata().is_ok()).then_some(path)
    })
}

/// What a line says could not be made: a name in quotes, or beside the refusal. Where nothing is
/// there, reading it would have failed in another way.
fn not_made(line: &str, cwd: &Path) -> Vec<PathBuf> {
    let line = line.trim_end_matches(['.', ' ']);
    let line = line.strip_suffix("(os error 13)").unwrap_or(line).trim_end();
    let lower = line.to_ascii_lowercase();
    let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    let makes = words.any(|word| MAKING.contains(&word)) || lower.contains("errno 13");
    let mut names = if makes { quoted(line) } else { Vec::new() };
    // `bash: line 1: f: Permission denied`, `sh: 1: cannot create f: Permission denied`.
    let before = lower.strip_suffix(": permission denied").and_then(|rest| line.get(..rest.len()));
    if let Some((rest, name)) = before.and_then(|text| text.rsplit_once(' '))
        && (makes || rest.ends_with(':'))
    {
        names.push(name);
    }
    // `zsh: permission denied: f`.
    let after = lower.split_once(": permission denied: ").map(|(_, name)| name.len());
    names.extend(after.and_then(|length| line.get(line.len() - length..)));
    let names = names.iter().map(|name| name.trim_matches(|c| "'\"`‘’".contains(c)));
    let names = names.filter(|name| !name.is_empty() && !name.contains("://"));
    names.map(|name| cwd.join(name)).filter(|path| !exists(path)).collect()
}

/// The texts in quotes in a line.
fn quoted(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.find(['\'', '"', '`', '‘']) {
        let Some(open) = rest[start..].chars().next() else { break };
        let close = if open == '‘' { '’' } else { open };
        let inner = &rest[start + open.len_utf8()..];
        let Some(end) = inner.find(close) else { break };
        found.push(&inner[..end]);
        rest = &inner[end + close.len_utf8()..];
    }
    found
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The path with links of its existing part resolved.
fn real(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let Ok(real) = ancestor.canonicalize() {
            let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
            let plain = rest.components().filter(|part| !matches!(part, Component::CurDir));
            return plain.fold(real, |path, part| path.join(part));
        }
    }
    path.to_owned()
}

/// Whether the user may write there: what is there, or the folder that it would be made in.
#[cfg(unix)]
#[allow(unsafe_code, reason = "no library asks the kernel this with plain paths")]
fn may_write(path: &Path) -> bool {
    use std::{ffi::CString, os::unix::ffi::OsStrExt};
    let Some(existing) = path.ancestors().find(|path| path.symlink_metadata().is_ok()) else {
        return false;
    };
    // Two levels that do not exist: the first failure is another one.
    if path.strip_prefix(existing).is_ok_and(|rest| rest.components().count() > 1) {
        return false;
    }
    let Ok(text) = CString::new(existing.as_os_str().as_bytes()) else { return false };
    // SAFETY: the text ends with a zero and lives for the call.
    unsafe { libc::access(text.as_ptr(), libc::W_OK) == 0 }
}

/// Whether the user may write there; not asked here.
#[cfg(not(unix))]
fn may_write(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|data| !data.permissions().readonly())
}

#[cfg(test)]
mod tests {
    use super::{AfterRun, Aftermath, FURTHER_FOLDERS, NotWritten, settings_that_run};
    use crate::{
        DenyRead, Surveyor,
        profile::{Profile, Root},
    };
    use std::{fs, sync::Arc};

    #[test]
    fn settings_that_make_git_run_programs() {
        let text = "[core]\n\tbare = false\n\tfsmonitor = /tmp/x\n[alias]\n st = status\n x = \"!sh\"\n\
                    [diff \"a.b\"] textconv=cat\n[filter \"lfs\"]\n\tClean = x\n[include]\n path = y\n\
                    [includeIf \"gitdir:x\"]\npath=z\n[user]\nname = core.pager\n";
        assert_eq!(
            settings_that_run(text),
            [
                "core.fsmonitor",
                "alias.x",
                "diff.textconv",
                "filter.clean",
                "include.path",
                "includeif.path"
            ]
        );
    }

    #[test]
    fn where_nothing_may_be_written_the_mode_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().canonicalize().unwrap();
        fs::write(work.join("there"), "").unwrap();
        let profile = Profile { sandboxed: true, ..Profile::default() };
        let aftermath = Aftermath::new(profile, &work, &Arc::default(), DenyRead::default());
        for output in [
            "touch: cannot touch 'new': Read-only file system",
            "bash: there: Permission denied",
            "Error: EROFS: read-only file system, open 'dist/main.js'",
        ] {
            let after = aftermath.remarks(Some(1), output);
            let said = after.sentences;
            assert_eq!(after.not_written, Some(NotWritten::ReadOnly), "{output}");
            assert_eq!(said.len(), 1, "{output}: {said:?}");
            assert!(said[0].contains("the sandbox mode is read-only"), "{said:?}");
        }
        assert_eq!(aftermath.remarks(Some(1), "test failed: not equal"), AfterRun::default());
    }

    /// Landlock alone refuses without a mount, and the file is not there.
    #[test]
    fn what_could_not_be_made_is_explained_without_mounts() {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().canonicalize().unwrap();
        fs::create_dir(work.join("sub")).unwrap();
        let of = |roots| {
            let profile = Profile { sandboxed: true, roots, ..Profile::default() };
            Aftermath::new(profile, &work, &Arc::default(), DenyRead::default())
        };
        let (nothing, root) = (of(Vec::new()), Root { path: work.clone(), ..Root::default() });
        let top = of(vec![root.clone()]).without_namespaces(true);
        let held_fully = of(vec![root]);
        for output in [
            "touch: cannot touch 'f': Permission denied",
            "mkdir: cannot create directory ‘new folder’: Permission denied",
            "bash: line 1: f: Permission denied",
            "/bin/bash: line 1: f.txt: Permission denied",
            "sh: 1: cannot create f: Permission denied",
            "zsh: permission denied: f",
            "PermissionError: [Errno 13] Permission denied: 'f'",
            "Error: EACCES: permission denied, open 'f'",
            "open f: permission denied",
            "error: cannot write f: Permission denied (os error 13)",
            "tee: f: Permission denied",
        ] {
            let after = nothing.remarks(Some(1), output);
            assert_eq!(after.not_written, Some(NotWritten::ReadOnly), "{output}");
            assert_eq!(after.sentences.len(), 1, "{output}: {:?}", after.sentences);
            let said = top.remarks(Some(1), output).sentences;
            assert_eq!(said.len(), 1, "{output}: {said:?}");
            assert!(said[0].contains("sandbox_without_userns"), "{said:?}");
            let said = held_fully.remarks(Some(1), output).sentences;
            assert!(said.is_empty(), "words alone are no refusal: {output}: {said:?}");
        }
        for output in [
            "touch: cannot touch 'none/f': Permission denied",
            "git@example.com: Permission denied (publickey).",
            "Permission denied, please try again.",
            "test ok: Permission denied is reported",
            "Permission denied",
            "Permission denied: no",
            "no: Permission denied",
            "the login failed: Permission denied",
            "user 'bob': Permission denied",
        ] {
            assert_eq!(nothing.remarks(Some(1), output), AfterRun::default(), "{output}");
            assert_eq!(top.remarks(Some(1), output), AfterRun::default(), "{output}");
        }
        let inside = "touch: cannot touch 'sub/f': Permission denied";
        assert_eq!(top.remarks(Some(1), inside), AfterRun::default());
    }

    #[test]
    fn only_what_the_sandbox_refuses_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let work = base.join("work");
        fs::create_dir_all(work.join(".git")).unwrap();
        fs::create_dir_all(base.join("keys")).unwrap();
        fs::write(work.join("file"), "").unwrap();
        let root =
            Root { path: work.clone(), protected: vec![work.join(".git")], ..Root::default() };
        let profile = Profile {
            sandboxed: true,
            roots: vec![root],
            denied: vec![base.join("keys")],
            ..Profile::default()
        };
        let aftermath = Aftermath::new(profile, &work, &Arc::default(), DenyRead::default());
        let say = |output: &str| aftermath.remarks(Some(1), output).sentences;
        let outside = base.join("new");
        let said =
            say(&format!("touch: cannot touch '{}': Read-only file system", outside.display()));
        assert_eq!(
            said,
            [
                format!("{} is outside the folders that commands may write to", outside.display()),
                FURTHER_FOLDERS.to_owned()
            ]
        );
        assert!(say("error: open(\".git/config\"): EROFS")[0].contains("is protected"));
        let keys = base.join("keys/id");
        assert!(
            say(&format!("cat: {}: Permission denied", keys.display()))[0]
                .contains("sandbox_deny_read")
        );
        for line in [
            "curl: (6) Could not resolve host: x",
            "fatal: unable to access 'https://x/y.git/': Could not resolve host: x",
            "ssh: Could not resolve hostname x: Temporary failure in name resolution",
            "wget: unable to resolve host address ‘x’",
            "E: Failed to fetch http://x/  Temporary failure resolving 'x'",
            "Error: getaddrinfo EAI_AGAIN registry.example",
            "dial tcp: lookup x: no such host",
            "java.net.UnknownHostException: x",
            "connect ENETUNREACH 192.0.2.1:443",
        ] {
            assert_eq!(say(line), ["the network is off for commands"], "{line}");
        }
        // Words alone are no refusal.
        for line in [
            "test ok: Permission denied is reported",
            "sh: ./file: Permission denied",
            "/nowhere/at/all: Permission denied",
            "/proc/1/mem is fine",
        ] {
            assert_eq!(say(line), Vec::<String>::new(), "{line}");
        }
        assert_eq!(
            aftermath.remarks(Some(0), "/etc/x: Read-only file system").sentences,
            Vec::<String>::new()
        );
    }

    #[test]
    fn what_was_made_is_inspected() {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().canonicalize().unwrap();
        fs::create_dir_all(work.join("old/.git")).unwrap();
        let root =
            Root { path: work.clone(), protected: vec![work.join("old/.git")], ..Root::default() };
        let profile = Profile { sandboxed: true, roots: vec![root], ..Profile::default() };
        let surveyor = Arc::new(Surveyor::default());
        let aftermath = Aftermath::new(profile, &work, &surveyor, DenyRead::default());
        assert_eq!(aftermath.remarks(Some(0), "").sentences, Vec::<String>::new());
        fs::create_dir_all(work.join("a/.git/hooks")).unwrap();
        fs::create_dir_all(work.join("b/.git/hooks")).unwrap();
        fs::write(work.join("b/.git/hooks/pre-commit"), "x").unwrap();
        fs::write(work.join("b/.git/hooks/x.sample"), "x").unwrap();
        fs::create_dir_all(work.join("c/.vscode")).unwrap();
        let mut said = aftermath.remarks(Some(0), "").sentences;
        said.sort();
        assert!(said[1].contains("a/.git; nothing in it runs programs"), "{said:?}");
        assert!(
            said[2].contains("b/.git, whose use runs programs: hooks/pre-commit; look"),
            "{said:?}"
        );
        assert!(said[0].contains("c/.vscode, which editors and agents obey"), "{said:?}");
    }
}
