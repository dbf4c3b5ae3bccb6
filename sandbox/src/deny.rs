//! What commands cannot read: where people keep keys, and what this program keeps of other
//! sessions.

use crate::check::{self, Entry, Unusable};
use globset::{Glob, GlobSet, GlobSetBuilder};
use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// Below the home directory.
const AT_HOME: [&str; 27] = [
    ".ssh",
    ".aws",
    ".gnupg",
    ".azure",
    ".kube",
    ".config/gcloud",
    ".config/gh",
    ".config/op",
    ".config/git/credentials",
    ".docker/config.json",
    ".netrc",
    ".git-credentials",
    ".pypirc",
    ".pgpass",
    ".my.cnf",
    ".vault-token",
    ".terraform.d/credentials.tfrc.json",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".password-store",
    ".local/share/keyrings",
    ".codex/auth.json",
    ".claude/.credentials.json",
    ".bash_history",
    ".zsh_history",
    ".python_history",
    ".env",
];
/// Of the system: only root could read them at all.
const OF_THE_SYSTEM: [&str; 7] = [
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/ssl/private",
];

/// The pattern that is denied unless the user says otherwise.
const USUAL_PATTERN: &str = "**/.env";

/// What is denied unless the user says otherwise.
pub(crate) fn default_deny_read() -> Vec<String> {
    let homes = homes();
    let at_home = homes
        .iter()
        .flat_map(|home| AT_HOME.iter().map(move |name| home.join(name).display().to_string()));
    let system = if cfg!(unix) { &OF_THE_SYSTEM[..] } else { &[] };
    at_home
        .chain(system.iter().map(|path| (*path).to_owned()))
        .chain([USUAL_PATTERN.to_owned()])
        .collect()
}

/// The home directory by the environment, and by the list of users where that is another.
fn homes() -> &'static [PathBuf] {
    static HOMES: OnceLock<Vec<PathBuf>> = OnceLock::new();
    HOMES.get_or_init(find_homes)
}

fn find_homes() -> Vec<PathBuf> {
    let mut homes: Vec<PathBuf> = std::env::home_dir().into_iter().collect();
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt;
        let own = std::fs::metadata("/proc/self").map(|data| data.uid().to_string());
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let found = lines.filter_map(|fields| match (fields.get(2), fields.get(5), &own) {
            (Some(user), Some(home), Ok(own)) if user == own => Some(PathBuf::from(home)),
            _ => None,
        });
        homes.extend(found.take(1));
        homes.dedup();
    }
    homes.retain(|home| home.is_absolute() && home.parent().is_some());
    homes
}

/// Whether a path shows a process: its environment and memory, this program's own with its keys
/// included. Commands see none but their own.
fn is_of_a_process(real: &Path) -> bool {
    let below = real.strip_prefix("/proc").ok();
    let first = below.and_then(|below| below.iter().next()).and_then(|name| name.to_str());
    first.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The same pattern, where the folder that it begins with is reached through a link: what is compared
/// with it are paths without any.
fn behind_links(pattern: &str) -> Option<Glob> {
    let special = pattern.find(['*', '?', '[', '{', '\\'])?;
    let (folder, rest) = pattern.split_at(pattern[..special].rfind('/')?);
    let real = Path::new(folder).canonicalize().ok()?;
    if real == Path::new(folder) {
        return None;
    }
    Glob::new(&format!("{}{rest}", globset::escape(real.to_str()?))).ok()
}

/// The entries of a deny list, ready to be matched.
#[derive(Debug, Clone, Default)]
pub struct DenyRead {
    paths: Vec<PathBuf>,
    patterns: Vec<String>,
    matcher: GlobSet,
}

impl DenyRead {
    /// From the list of the settings: absolute paths, and patterns (anything with `*`, `?`, `[` or
    /// `{`).
    ///
    /// # Errors
    /// The entry that cannot be used, with the reason.
    pub fn new(entries: &[String]) -> Result<Self, Unusable> {
        let mut paths = Vec::new();
        let mut patterns = Vec::new();
        let mut builder = GlobSetBuilder::new();
        for entry in entries {
            let Entry { path, pattern } = check::read(entry)?;
            if let Some(pattern) = pattern {
                if let Some(real) = behind_links(pattern.glob()) {
                    builder.add(real);
                }
                builder.add(pattern);
                patterns.push(entry.clone());
            }
            if let Some(path) = path {
                let real = path.canonicalize().ok();
                if real.as_ref() != Some(&path) {
                    paths.extend(real);
                }
                paths.push(path);
            }
        }
        // Making it takes as long as starting a process: the usual one is made once.
        static USUAL: OnceLock<GlobSet> = OnceLock::new();
        let build = || {
            builder.build().map_err(|error| Unusable {
                key: "sandbox_deny_read",
                value: patterns.join(", "),
                why: format!("cannot be used together: {}", error.kind()),
            })
        };
        let matcher = match (patterns.as_slice(), USUAL.get()) {
            ([only], Some(usual)) if only == USUAL_PATTERN => usual.clone(),
            ([only], None) if only == USUAL_PATTERN => {
                let made = build()?;
                USUAL.get_or_init(|| made).clone()
            }
            _ => build()?,
        };
        Ok(Self { paths, patterns, matcher })
    }

    pub(crate) fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// The paths that exist, without links.
    pub(crate) fn existing(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.paths.iter().filter_map(|path| path.canonicalize().ok())
    }

    /// Whether a pattern says so of this path.
    pub(crate) fn is_match(&self, path: &Path) -> bool {
        !self.patterns.is_empty() && self.matcher.is_match(path)
    }

    /// Whether this real path (absolute, without links) must not be read.
    #[must_use]
    pub fn refuses(&self, real: &Path) -> bool {
        is_of_a_process(real)
            || self.paths.iter().any(|path| real.starts_with(path))
            || real.ancestors().any(|part| self.is_match(part))
    }
}
