//! The environment of commands: built up from an allow-list, never handed down as it is.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Which variables a command inherits before the rest of the policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EnvInherit {
    /// Every variable that does not look like a secret.
    All,
    /// Those that programs need.
    #[default]
    Core,
    /// None.
    None,
}

/// What commands find in their environment (`[shell_environment_policy]`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvPolicy {
    /// The variables to begin with.
    pub inherit: EnvInherit,
    /// Keep names that look like secrets.
    pub ignore_default_excludes: bool,
    /// Patterns (`*` and `?`, any case) of names that are left out.
    pub exclude: Vec<String>,
    /// Variables that are set.
    pub set: Vec<(String, String)>,
    /// If not empty: patterns of the only names that stay.
    pub include_only: Vec<String>,
    /// A folder that comes first on `PATH`.
    pub bin_dir: Option<PathBuf>,
    /// Names that never reach a command: they hold credentials of ours.
    pub withheld: Vec<String>,
    /// Credentials of ours: no variable that holds one reaches a command, whatever its name.
    pub credentials: Credentials,
}

/// Credentials, which nothing shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials(Vec<String>);

impl Credentials {
    /// From their values. Short ones are left out: they would be found everywhere.
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        const LEAST: usize = 8;
        Self(values.into_iter().filter(|value| value.len() >= LEAST).collect())
    }

    fn are_in(&self, text: &std::ffi::OsStr) -> bool {
        let text = text.to_string_lossy();
        self.0.iter().any(|credential| text.contains(credential.as_str()))
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} credentials", self.0.len())
    }
}

/// What programs need.
const CORE: [&str; 34] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TERM",
    "COLORTERM",
    "TMPDIR",
    "TMP",
    "TEMP",
    "TZ",
    "PWD",
    "EDITOR",
    "PAGER",
    "HOSTNAME",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "GOPATH",
    "GOROOT",
    "JAVA_HOME",
    "NVM_DIR",
    "NODE_PATH",
    "PYENV_ROOT",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "GEM_HOME",
    "LD_LIBRARY_PATH",
    "PKG_CONFIG_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
/// Beginnings of further names that programs need.
const CORE_PREFIXES: [&str; 2] = ["LC_", "XDG_"];
/// What a name that holds a secret looks like.
const SECRETS: [&str; 8] = [
    "*KEY*",
    "*SECRET*",
    "*TOKEN*",
    "*PASSWORD*",
    "*PASSWD*",
    "*CREDENTIAL*",
    "*AUTH*",
    "*COOKIE*",
];

/// The environment of a command, from the host's own `variables`.
#[must_use]
pub fn child_env(
    policy: &EnvPolicy,
    variables: impl Iterator<Item = (OsString, OsString)>,
    more: &[(&str, &str)],
) -> Vec<(OsString, OsString)> {
    let matches = |patterns: &[String], name: &str| {
        patterns.iter().any(|pattern| wild(pattern.as_bytes(), name.as_bytes()))
    };
    let secret =
        |name: &str| SECRETS.iter().any(|pattern| wild(pattern.as_bytes(), name.as_bytes()));
    let core = |name: &str| {
        CORE.contains(&name) || CORE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let mut env: Vec<(OsString, OsString)> = variables
        .filter(|(name, _)| {
            let Some(name) = name.to_str() else { return policy.inherit == EnvInherit::All };
            let inherited = match policy.inherit {
                EnvInherit::All => true,
                EnvInherit::Core => core(name),
                EnvInherit::None => false,
            };
            inherited && (policy.ignore_default_excludes || !secret(name))
        })
        .filter(|(name, _)| !name.to_str().is_some_and(|name| matches(&policy.exclude, name)))
        .collect();
    for (name, value) in &policy.set {
        put(&mut env, name, value.into());
    }
    if !policy.include_only.is_empty() {
        env.retain(|(name, _)| {
            name.to_str().is_some_and(|name| matches(&policy.include_only, name))
        });
    }
    env.retain(|(name, value)| {
        !policy.withheld.iter().any(|withheld| *name == **withheld)
            && !policy.credentials.are_in(value)
    });
    for (name, value) in more {
        put(&mut env, name, value.into());
    }
    if let Some(folder) = &policy.bin_dir {
        let path = env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
        let rest = path.unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        let folders = std::iter::once(folder.clone()).chain(std::env::split_paths(&rest));
        if let Ok(joined) = std::env::join_paths(folders) {
            put(&mut env, "PATH", joined);
        }
    }
    env
}

fn put(env: &mut Vec<(OsString, OsString)>, name: &str, value: OsString) {
    match env.iter_mut().find(|(known, _)| known == name) {
        Some(known) => known.1 = value,
        None => env.push((name.into(), value)),
    }
}

/// Whether `text` matches `pattern`, in any case.
fn wild(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            wild(rest, text) || text.split_first().is_some_and(|(_, text)| wild(pattern, text))
        }
        (Some((b'?', rest)), Some((_, text))) => wild(rest, text),
        (Some((one, rest)), Some((other, text))) => {
            one.eq_ignore_ascii_case(other) && wild(rest, text)
        }
        _ => false,
    }
}

/// The user's shell, if it speaks POSIX; else `bash`, else `sh`.
#[must_use]
pub fn which_shell() -> PathBuf {
    const POSIX: [&str; 6] = ["bash", "zsh", "sh", "dash", "ksh", "ash"];
    let named = std::env::var_os("SHELL").map(PathBuf::from).filter(|shell| {
        let name = shell.file_name().and_then(|name| name.to_str()).unwrap_or("");
        shell.is_absolute() && POSIX.contains(&name) && is_executable(shell)
    });
    named.unwrap_or_else(|| {
        let bash = Path::new("/bin/bash");
        if is_executable(bash) { bash.to_owned() } else { "/bin/sh".into() }
    })
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(policy: &EnvPolicy) -> Vec<String> {
        let host = [
            "PATH",
            "LC_ALL",
            "OPENAI_API_KEY",
            "AWS_SESSION_TOKEN",
            "FOO",
            "MY_SECRET",
            "XDG_AUTH",
        ];
        let host = host.iter().map(|name| ((*name).into(), "/bin".into()));
        let mut names: Vec<_> = child_env(policy, host, &[("EXTRA", "1")])
            .into_iter()
            .map(|(name, _)| name.into_string().unwrap_or_default())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn only_what_programs_need_and_never_a_secret() {
        assert_eq!(names(&EnvPolicy::default()), ["EXTRA", "LC_ALL", "PATH"]);
        let all = EnvPolicy { inherit: EnvInherit::All, ..EnvPolicy::default() };
        assert_eq!(names(&all), ["EXTRA", "FOO", "LC_ALL", "PATH"]);
    }

    #[test]
    fn the_policy_takes_away_and_adds() {
        let policy = EnvPolicy {
            inherit: EnvInherit::All,
            ignore_default_excludes: true,
            exclude: vec!["lc_*".into(), "XDG_AUT?".into()],
            set: vec![("NEW".into(), "x".into())],
            withheld: vec!["OPENAI_API_KEY".into()],
            credentials: Credentials::new(["the-key-itself".into()]),
            ..EnvPolicy::default()
        };
        assert_eq!(
            names(&policy),
            ["AWS_SESSION_TOKEN", "EXTRA", "FOO", "MY_SECRET", "NEW", "PATH"]
        );
        let host = [("EDITOR".into(), "ed --key=the-key-itself".into())];
        assert!(child_env(&policy, host.into_iter(), &[]).iter().all(|(name, _)| name != "EDITOR"));
        let only = EnvPolicy { include_only: vec!["P*".into()], ..EnvPolicy::default() };
        assert_eq!(names(&only), ["EXTRA", "PATH"]);
    }

    #[test]
    fn our_own_folder_comes_first_on_the_path() {
        let policy = EnvPolicy { bin_dir: Some("/x/bin".into()), ..EnvPolicy::default() };
        let host = [(OsString::from("PATH"), OsString::from("/bin"))];
        let env = child_env(&policy, host.into_iter(), &[]);
        assert_eq!(env, [("PATH".into(), OsString::from("/x/bin:/bin"))]);
    }
}
