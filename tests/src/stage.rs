//! A private place to run programs in: home, Troupe's own folder, a working directory.
//!
//! Nothing of the user's reaches a run: the environment is cleared except for `PATH`, and every
//! folder is below one temporary directory, which goes with its [`Stage`]. Processes that a run
//! leaves behind are found by that directory and by a marker variable.

mod output;
mod processes;
mod run;
mod session_log;

pub use processes::{Process, descendants};
pub use run::{Finished, Run, Running, Signal, Stdin};
pub use session_log::SessionLog;

use crate::{
    binary,
    model_server::{ModelServer, Wire},
    wait::{DEADLINE, poll},
};
use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};
use tempfile::TempDir;

/// The variable that marks the processes of a stage.
const MARKER: &str = "TROUPE_TEST_MARKER";

/// Private folders, and what every run in them gets.
pub struct Stage {
    root: TempDir,
    marker: String,
    arguments: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Stage {
    /// Empty folders; the working directory looks like a git repository.
    ///
    /// # Panics
    /// If the folders cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let stage = Self::without_git();
        let git = stage.work().join(".git");
        for folder in ["objects", "refs/heads", "refs/tags"] {
            fs::create_dir_all(git.join(folder)).unwrap();
        }
        fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(git.join("config"), "[core]\n\trepositoryformatversion = 0\n\tbare = false\n")
            .unwrap();
        stage
    }

    /// Empty folders; the working directory is not in a repository.
    ///
    /// # Panics
    /// If the folders cannot be made.
    #[must_use]
    pub fn without_git() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let root = tempfile::Builder::new().prefix("troupe-test-").tempdir().unwrap();
        for folder in ["home", "troupe", "work", "tmp"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let marker = format!("{}-{count}", std::process::id());
        Self { root, marker, arguments: Vec::new(), env: Vec::new() }
    }

    // ---- what every run gets

    /// Runs of `troupe` ask this server, in the Responses wire.
    #[must_use]
    pub fn with_model(self, server: &ModelServer) -> Self {
        self.with_wire(server, Wire::Responses)
    }

    /// Runs of `troupe` ask this server, in this wire.
    #[must_use]
    pub fn with_wire(self, server: &ModelServer, wire: Wire) -> Self {
        let url = server.url();
        self.with_provider(&url, wire)
    }

    /// Runs of `troupe` ask the model at this base URL.
    ///
    /// # Panics
    /// If the wire is none that answers.
    #[must_use]
    pub fn with_provider(mut self, url: &str, wire: Wire) -> Self {
        let wire = match wire {
            Wire::Responses => "responses",
            Wire::Chat => "chat",
            Wire::Models | Wire::Other => panic!("{wire:?} is not a wire of a model"),
        };
        for setting in [
            "model=\"mock-model\"".to_owned(),
            "model_provider=\"test\"".to_owned(),
            "model_providers.test.name=\"test\"".to_owned(),
            format!("model_providers.test.base_url=\"{url}\""),
            format!("model_providers.test.wire_api=\"{wire}\""),
        ] {
            self.arguments.extend(["-c".into(), setting.into()]);
        }
        self
    }

    /// These arguments come before those of each run of `troupe`.
    #[must_use]
    pub fn with_arguments<T: Into<OsString>>(mut self, all: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(all.into_iter().map(Into::into));
        self
    }

    /// An environment variable of each run.
    #[must_use]
    pub fn with_env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Writes Troupe's configuration file.
    #[must_use]
    pub fn with_config(self, toml: &str) -> Self {
        fs::write(self.troupe_home().join("config.toml"), toml).unwrap();
        self
    }

    // ---- folders and files

    /// The folder all others are in.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// `$HOME`.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    /// `$TROUPE_HOME`.
    #[must_use]
    pub fn troupe_home(&self) -> PathBuf {
        self.root().join("troupe")
    }

    /// The working directory.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.root().join("work")
    }

    /// Writes a file below the working directory, with its folders.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.work().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The text of a file below the working directory.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn read(&self, path: impl AsRef<Path>) -> String {
        let path = self.work().join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Whether there is something at a path below the working directory.
    #[must_use]
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.work().join(path).exists()
    }

    // ---- runs

    /// A run of `troupe`, with the provider and the arguments of the stage before its own.
    pub fn troupe<T: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = T>) -> Run {
        self.program(binary::troupe()).args(&self.arguments).args(arguments)
    }

    /// A run of any program in this stage's folders and environment.
    pub fn program(&self, program: impl Into<PathBuf>) -> Run {
        let mut run = Run::new(program.into(), self.work());
        if let Some(path) = std::env::var_os("PATH") {
            run = run.env("PATH", path);
        }
        run = run
            .env("HOME", self.home())
            .env("TROUPE_HOME", self.troupe_home())
            .env("TMPDIR", self.root().join("tmp"))
            .env(MARKER, &self.marker);
        self.env.iter().fold(run, |run, (name, value)| run.env(name, value))
    }

    // ---- what is left

    /// The processes of this stage that live: by marker, or by a path below the stage's folder in
    /// their environment, command line or working directory. Linux only, elsewhere empty.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        processes::of_stage(MARKER, &self.marker, self.root())
    }

    /// Waits until no process of this stage lives.
    ///
    /// # Panics
    /// After [`DEADLINE`], naming those that still live.
    pub fn assert_no_process_left(&self) {
        let gone = poll(DEADLINE, || self.processes().is_empty().then_some(()));
        assert!(gone.is_some(), "processes are left: {:#?}", self.processes());
    }

    /// The logs of all sessions, oldest first: the `*.jsonl` files below both homes.
    ///
    /// # Panics
    /// If a folder cannot be read.
    #[must_use]
    pub fn logs(&self) -> Vec<SessionLog> {
        let mut logs = session_log::find(&self.troupe_home());
        logs.extend(session_log::find(&self.home()));
        logs
    }

    /// The log of the only session.
    ///
    /// # Panics
    /// If there is none, or more than one.
    #[must_use]
    pub fn log(&self) -> SessionLog {
        let mut logs = self.logs();
        assert_eq!(logs.len(), 1, "one session log expected: {logs:?}");
        logs.remove(0)
    }
}

impl Drop for Stage {
    /// What a failing test leaves must not disturb the next one.
    fn drop(&mut self) {
        processes::kill(&self.processes());
    }
}
