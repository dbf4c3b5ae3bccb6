//! Runs of a program: how it is started, what it wrote, how it ended.

use super::{descendants, output::Output, processes};
use crate::wait::{DEADLINE, poll};
use serde_json::Value;
use std::{
    ffi::{OsStr, OsString},
    io::Write,
    path::PathBuf,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

/// How long a process may take to its end, in a test that does not say otherwise.
const LIMIT: Duration = Duration::from_secs(60);

/// How long pipes may stay open after the process has ended: somebody else holds them then.
const PIPES: Duration = Duration::from_secs(5);

/// What a run has for its standard input.
#[derive(Debug, Clone, Default)]
pub enum Stdin {
    /// `/dev/null`.
    #[default]
    Null,
    /// These bytes through a pipe, then its end.
    Bytes(Vec<u8>),
    /// A pipe nobody writes to, open as long as the run: what editors and CI systems hand down.
    /// [`Running::write_stdin`] writes to it, [`Running::close_stdin`] closes it.
    Open,
    /// No descriptor at all.
    Missing,
}

/// A signal a test can send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// What Ctrl-C sends.
    Interrupt,
    /// The polite request to end.
    Terminate,
    /// The terminal has gone.
    HangUp,
    /// The end, without a word.
    Kill,
    /// Stands still.
    Stop,
    /// Goes on.
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
            Self::HangUp => "HUP",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

/// A run that is not started yet.
#[derive(Debug, Clone)]
#[must_use = "a run does nothing until `run` or `start`"]
pub struct Run {
    program: PathBuf,
    arguments: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    folder: PathBuf,
    stdin: Stdin,
    limit: Duration,
}

impl Run {
    pub(crate) fn new(program: PathBuf, folder: PathBuf) -> Self {
        let (arguments, env) = (Vec::new(), Vec::new());
        Self { program, arguments, env, folder, stdin: Stdin::Null, limit: LIMIT }
    }

    /// One more argument.
    pub fn arg(self, argument: impl AsRef<OsStr>) -> Self {
        self.args([argument])
    }

    /// More arguments.
    pub fn args<T: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|one| one.as_ref().to_owned()));
        self
    }

    /// The same run started by another program, which gets it as its last arguments.
    pub fn under<T: AsRef<OsStr>>(
        mut self,
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = T>,
    ) -> Self {
        let own = std::mem::replace(&mut self.program, program.into()).into_os_string();
        let before = arguments.into_iter().map(|one| one.as_ref().to_owned()).chain([own]);
        self.arguments = before.chain(self.arguments).collect();
        self
    }

    /// An environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The working directory in place of the stage's.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// Runs this script of bash's in its place, whose `"$@"` is the run.
    pub fn through_shell(mut self, script: &str) -> Self {
        let program = std::mem::replace(&mut self.program, "bash".into());
        let before: [OsString; 4] = ["-c".into(), script.into(), "bash".into(), program.into()];
        self.arguments.splice(0..0, before);
        self
    }

    /// Runs this program in its place, with these arguments and then the run.
    pub fn behind<T: Into<OsString>>(
        mut self,
        program: &str,
        arguments: impl IntoIterator<Item = T>,
    ) -> Self {
        let inner = std::mem::replace(&mut self.program, program.into());
        let before: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        self.arguments.splice(0..0, before.into_iter().chain([inner.into()]));
        self
    }

    /// The standard input; `/dev/null` unless said.
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.stdin = stdin;
        self
    }

    /// How long the process may take to its end; 60 s unless said.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Starts it and waits for its end.
    ///
    /// # Panics
    /// If it cannot be started, or does not end in time.
    #[must_use]
    pub fn run(self) -> Finished {
        self.start().wait()
    }

    /// Starts it, as the leader of a process group of its own.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(self) -> Running {
        let mut command = self.command();
        let started = Instant::now();
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.program.display()));
        let (stdout, _) = Output::of(child.stdout.take().unwrap());
        let (stderr, _) = Output::of(child.stderr.take().unwrap());
        let mut stdin = child.stdin.take();
        if let (Stdin::Bytes(bytes), Some(mut pipe)) =
            (&self.stdin, stdin.take_if(|_| self.feeds()))
        {
            let bytes = bytes.clone();
            // A process that ends without reading is no error of the test.
            std::thread::spawn(move || pipe.write_all(&bytes));
        }
        Running { child, stdin, stdout, stderr, started, limit: self.limit, ended: None }
    }

    fn feeds(&self) -> bool {
        matches!(self.stdin, Stdin::Bytes(_))
    }

    fn command(&self) -> Command {
        let mut command = match self.stdin {
            Stdin::Missing => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "exec \"$0\" \"$@\" <&-"]).arg(&self.program);
                shell
            }
            // A test run in the background of a script starts with signals ignored, which a run of
            // `troupe` would respect.
            _ if signals_are_ignored() => {
                let mut env = Command::new("env");
                env.arg("--default-signal=INT,HUP").arg(&self.program);
                env
            }
            _ => Command::new(&self.program),
        };
        let stdin = match self.stdin {
            Stdin::Null | Stdin::Missing => Stdio::null(),
            Stdin::Bytes(_) | Stdin::Open => Stdio::piped(),
        };
        command.args(&self.arguments).current_dir(&self.folder).env_clear();
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
    }
}

/// Whether this process ignores INT or HUP, as what a script starts in the background does.
fn signals_are_ignored() -> bool {
    static IGNORED: LazyLock<bool> = LazyLock::new(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        // Signal n is bit n - 1: HUP is 1, INT is 2.
        mask.is_some_and(|mask| mask & 0b11 != 0)
    });
    *IGNORED
}

/// A process that was started. Dropping it kills its process group.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Output,
    stderr: Output,
    started: Instant,
    limit: Duration,
    ended: Option<ExitStatus>,
}

impl Running {
    /// The process id, which is also that of its process group.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// When it was started.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// What it has written to stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has written to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Blocks until stdout holds `part`.
    ///
    /// # Panics
    /// After [`DEADLINE`], or if stdout is closed before.
    pub fn wait_stdout(&self, part: &str) {
        self.must("on stdout", part, self.stdout.wait(DEADLINE, |text| text.find(part)));
    }

    /// Blocks until stderr holds `part`.
    ///
    /// # Panics
    /// After [`DEADLINE`], or if stderr is closed before.
    pub fn wait_stderr(&self, part: &str) {
        self.must("on stderr", part, self.stderr.wait(DEADLINE, |text| text.find(part)));
    }

    /// Blocks until a whole line of stdout is JSON that `test` accepts, and returns it.
    ///
    /// # Panics
    /// After [`DEADLINE`], or if stdout is closed before.
    pub fn wait_json(&self, what: &str, test: impl Fn(&Value) -> bool) -> Value {
        let mut seen = 0;
        let found = self.stdout.wait(DEADLINE, |text| {
            while let Some(length) = text[seen..].find('\n') {
                let line = serde_json::from_str(&text[seen..seen + length]).ok();
                seen += length + 1;
                if let Some(line) = line.filter(&test) {
                    return Some(line);
                }
            }
            None
        });
        self.must("as a line of JSON", what, found)
    }

    fn must<T>(&self, place: &str, what: &str, found: Option<T>) -> T {
        found.unwrap_or_else(|| {
            let (stdout, stderr) = (self.stdout(), self.stderr());
            panic!("waited in vain {place} for {what:?}\nstdout:\n{stdout}\nstderr:\n{stderr}")
        })
    }

    /// Writes to the open stdin.
    ///
    /// # Panics
    /// If it is not [`Stdin::Open`], or the process has closed it.
    pub fn write_stdin(&mut self, bytes: impl AsRef<[u8]>) {
        let pipe = self.stdin.as_mut().expect("stdin is not an open pipe");
        pipe.write_all(bytes.as_ref()).unwrap();
        pipe.flush().unwrap();
    }

    /// The open stdin, for a test that has to see how writing to it goes.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.stdin.take()
    }

    /// Closes the open stdin.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) {
        processes::signal(signal.name(), [self.id().to_string()]);
    }

    /// Sends a signal to the process group, as a terminal does.
    pub fn signal_group(&self, signal: Signal) {
        processes::signal(signal.name(), [format!("-{}", self.id())]);
    }

    /// Stops the process for so long, and lets it go on. It is stopped when `meanwhile` is called.
    ///
    /// # Panics
    /// If it does not stop.
    pub fn stand_still(&self, time: Duration, meanwhile: impl FnOnce()) {
        self.stop_for(time, &[self.id()], meanwhile);
    }

    /// Stops the process and everything below it, as a machine that sleeps does.
    ///
    /// # Panics
    /// If it does not stop.
    pub fn stand_still_with_tree(&self, time: Duration, meanwhile: impl FnOnce()) {
        let below = self.descendants().into_iter().map(|process| process.id);
        let all: Vec<u32> = [self.id()].into_iter().chain(below).collect();
        self.stop_for(time, &all, meanwhile);
    }

    fn stop_for(&self, time: Duration, all: &[u32], meanwhile: impl FnOnce()) {
        let names = || all.iter().map(u32::to_string);
        processes::signal("STOP", names());
        let stopped =
            poll(DEADLINE, || all.iter().all(|id| processes::is_stopped(*id)).then_some(()));
        stopped.expect("the process stops");
        meanwhile();
        // The passing of time is what is tested: there is no other event to wait for.
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(left);
        }
        processes::signal("CONT", names());
    }

    /// Kills the process and everything below it, at once, as a container's end does.
    pub fn kill_tree(&mut self) {
        // Stopped, it cannot start another one meanwhile.
        self.signal_group(Signal::Stop);
        let below = descendants(self.id());
        self.signal_group(Signal::Kill);
        processes::kill(&below);
    }

    /// The living processes below it.
    #[must_use]
    pub fn descendants(&self) -> Vec<processes::Process> {
        descendants(self.id())
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.try_wait().is_some()
    }

    fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended
    }

    /// Waits for its end. A pipe that somebody else still holds then is read for 5 s more.
    ///
    /// # Panics
    /// If it does not end in time; it is killed then.
    #[must_use]
    pub fn wait(mut self) -> Finished {
        let status = poll(self.limit, || self.try_wait());
        let took = self.started.elapsed();
        let Some(status) = status else {
            self.kill_tree();
            let (stdout, stderr) = (self.stdout(), self.stderr());
            panic!("not ended after {took:?}\nstdout:\n{stdout}\nstderr:\n{stderr}");
        };
        let closed = self.stdout.wait_closed(PIPES) && self.stderr.wait_closed(PIPES);
        let (stdout, stderr) = (self.stdout.bytes(), self.stderr.bytes());
        Finished { status, stdout, stderr, took, pipes_closed: closed }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.try_wait().is_none() {
            self.kill_tree();
            let _ = self.child.wait();
        }
    }
}

/// A process that has ended, and all it wrote.
#[derive(Debug, Clone)]
pub struct Finished {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// From its start to its end, to about 5 ms.
    pub took: Duration,
    /// Whether its pipes were closed 5 s after its end; else a process it left holds them.
    pub pipes_closed: bool,
}

impl Finished {
    /// The exit code; `None` if a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The number of the signal that ended it.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        #[cfg(unix)]
        return std::os::unix::process::ExitStatusExt::signal(&self.status);
        #[cfg(not(unix))]
        None
    }

    /// The text of stdout.
    #[must_use]
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The text of stderr.
    #[must_use]
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The bytes of stdout.
    #[must_use]
    pub fn stdout_bytes(&self) -> &[u8] {
        &self.stdout
    }

    /// The lines of stdout, each JSON.
    ///
    /// # Panics
    /// If a line is not JSON: a JSONL stream holds nothing else.
    #[must_use]
    pub fn json_lines(&self) -> Vec<Value> {
        let stdout = self.stdout();
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON ({error}): {line}"))
        };
        stdout.lines().map(parse).collect()
    }

    /// Checks for exit code 0.
    ///
    /// # Panics
    /// With all that was written, if it is another.
    pub fn assert_success(&self) -> &Self {
        self.assert_code(0)
    }

    /// Checks the exit code.
    ///
    /// # Panics
    /// With all that was written, if it is another.
    pub fn assert_code(&self, code: i32) -> &Self {
        let (stdout, stderr) = (self.stdout(), self.stderr());
        let status = self.status;
        assert!(
            self.code() == Some(code),
            "{status}, not {code}\nstdout:\n{stdout}\nstderr:\n{stderr}"
        );
        self
    }
}
