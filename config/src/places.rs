//! Where things are: `TROUPE_HOME` decides over all of them, otherwise XDG.

use std::{ffi::OsString, path::PathBuf};

/// Looks up an environment variable.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Where things are. Nothing is made here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// The user's configuration file.
    pub config_file: PathBuf,
    /// The folder of the machine's owner: configuration, requirements, rules.
    pub system_dir: PathBuf,
    /// The folder it is in; also of the user's own `AGENTS.md`.
    pub config_dir: PathBuf,
    /// Session logs.
    pub sessions_dir: PathBuf,
    /// Other things that last.
    pub state_dir: PathBuf,
    /// Sockets, as long as a process runs.
    pub runtime_dir: PathBuf,
}

impl Places {
    /// From the environment; `None` if there is neither `TROUPE_HOME` nor `HOME`.
    #[must_use]
    pub fn find(env: Env<'_>) -> Option<Self> {
        let folder = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
        if let Some(home) = env("TROUPE_HOME").filter(|home| !home.is_empty()) {
            let home = std::path::absolute(home).ok()?;
            return Some(Self::new(home.clone(), home.clone(), home.join("run")));
        }
        let home = folder("HOME").or_else(|| folder("USERPROFILE"))?;
        let below = |name: &str, usual: &str| {
            folder(name).unwrap_or_else(|| home.join(usual)).join("troupe")
        };
        let config = below("XDG_CONFIG_HOME", ".config");
        let state = below("XDG_STATE_HOME", ".local/state");
        let runtime = folder("XDG_RUNTIME_DIR").map(|dir| dir.join("troupe"));
        Some(Self::new(config, state.clone(), runtime.unwrap_or_else(|| state.join("run"))))
    }

    fn new(config_dir: PathBuf, state_dir: PathBuf, runtime_dir: PathBuf) -> Self {
        Self {
            config_file: config_dir.join("config.toml"),
            system_dir: PathBuf::new(),
            config_dir,
            sessions_dir: state_dir.join("sessions"),
            state_dir,
            runtime_dir,
        }
    }
}
