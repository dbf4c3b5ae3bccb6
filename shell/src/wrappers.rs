//! Programs that run another: where in their arguments it begins.

use crate::{table::is_dangerous_variable, words::Word};

/// A program that runs its arguments.
pub(crate) struct Wrapper {
    pub(crate) name: &'static str,
    /// Short options with a value.
    valued: &'static str,
    /// Short options without one.
    plain: &'static str,
    /// Long options; those that end with `=` take a value in the next word.
    long: &'static [&'static str],
    /// Operands before the program.
    operands: usize,
    /// The least that it does by itself.
    pub(crate) floor: Floor,
}

/// The least that a wrapper does by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Floor {
    Nothing,
    Writes,
    /// With other rights or in another place: the table does not hold there.
    Unknown,
}

use Floor::{Nothing, Unknown, Writes};

const fn wrapper(
    name: &'static str,
    valued: &'static str,
    plain: &'static str,
    long: &'static [&'static str],
    operands: usize,
    floor: Floor,
) -> Wrapper {
    Wrapper { name, valued, plain, long, operands, floor }
}

const WRAPPERS: &[Wrapper] = &[
    wrapper("nice", "n", "", &["adjustment="], 0, Nothing),
    wrapper("ionice", "cnpP", "t", &["class=", "classdata=", "ignore"], 0, Nothing),
    wrapper("nohup", "", "", &[], 0, Writes),
    wrapper("setsid", "", "cfw", &["ctty", "fork", "wait"], 0, Nothing),
    wrapper("stdbuf", "ioe", "", &["input=", "output=", "error="], 0, Nothing),
    wrapper(
        "timeout",
        "sk",
        "fvp",
        &["signal=", "kill-after=", "foreground", "preserve-status", "verbose"],
        1,
        Nothing,
    ),
    wrapper("time", "f", "pvVq", &["portability", "verbose", "format=", "quiet"], 0, Nothing),
    wrapper("command", "", "p", &[], 0, Nothing),
    wrapper("builtin", "", "", &[], 0, Nothing),
    wrapper("exec", "a", "cl", &[], 0, Nothing),
    wrapper(
        "xargs",
        "adEIiLlnPsR",
        "0oprtx",
        &[
            "null",
            "arg-file=",
            "delimiter=",
            "max-args=",
            "max-procs=",
            "max-lines=",
            "max-chars=",
            "no-run-if-empty",
            "interactive",
            "verbose",
            "replace=",
            "exit",
        ],
        0,
        Nothing,
    ),
    wrapper(
        "sudo",
        "ugpCDhrTRU",
        "AbEeHknPSsiKl",
        &[
            "user=",
            "group=",
            "preserve-env",
            "login",
            "shell",
            "non-interactive",
            "stdin",
            "set-home",
            "host=",
            "prompt=",
            "chdir=",
        ],
        0,
        Unknown,
    ),
    wrapper("doas", "uC", "ns", &[], 0, Unknown),
    wrapper("pkexec", "", "", &["user=", "disable-internal-agent", "keep-cwd"], 0, Unknown),
    wrapper("chroot", "", "", &["userspec=", "groups=", "skip-chdir"], 1, Unknown),
    wrapper(
        "unshare",
        "SG",
        "imnpuUCTfrcR",
        &["user", "net", "pid", "mount", "fork", "map-root-user", "mount-proc"],
        0,
        Unknown,
    ),
    wrapper(
        "nsenter",
        "tSGWr",
        "amuinpCUT",
        &["target=", "all", "mount", "uts", "ipc", "net", "pid", "user"],
        0,
        Unknown,
    ),
    wrapper(
        "flock",
        "wEc",
        "sxunoFv",
        &[
            "shared",
            "exclusive",
            "unlock",
            "nonblock",
            "timeout=",
            "wait=",
            "close",
            "no-fork",
            "verbose",
        ],
        1,
        Writes,
    ),
    wrapper("strace", "eoOpPsSuEaIbXU", "cCdDfFhiknqrtTvVxyYzZwA", &["follow-forks"], 0, Unknown),
    wrapper("ltrace", "eoOpsSunaADlwFx", "cCdfhiLrStTVbX", &[], 0, Unknown),
    wrapper(
        "watch",
        "nq",
        "bcdegptwx",
        &[
            "interval=",
            "differences",
            "no-title",
            "color",
            "exec",
            "precise",
            "beep",
            "errexit",
            "chgexit",
        ],
        0,
        Unknown,
    ),
    wrapper(
        "parallel",
        "jISNnLP",
        "kuvt0mX",
        &["jobs=", "keep-order", "halt=", "bar", "dry-run", "will-cite", "ungroup"],
        0,
        Unknown,
    ),
    wrapper(
        "systemd-run",
        "pMHt",
        "GqPSdr",
        &["user", "scope", "unit=", "property=", "pty", "wait", "quiet"],
        0,
        Unknown,
    ),
    wrapper("runuser", "ulgs", "m", &["user=", "login"], 0, Unknown),
    wrapper(
        "setpriv",
        "",
        "",
        &["reuid=", "regid=", "clear-groups", "keep-groups", "no-new-privs", "init-groups"],
        0,
        Unknown,
    ),
    wrapper("taskset", "", "acp", &["all-tasks", "cpu-list", "pid"], 1, Nothing),
    wrapper("chrt", "TPD", "bfiorRamp", &[], 1, Nothing),
    wrapper("firejail", "", "", &["quiet"], 0, Unknown),
    wrapper("bwrap", "", "", &[], 0, Unknown),
    wrapper("fakeroot", "lsibfu", "h", &[], 0, Unknown),
    wrapper("xvfb-run", "efnpsw", "al", &["auto-servernum"], 0, Unknown),
    wrapper("dbus-run-session", "", "", &[], 0, Unknown),
    wrapper("caffeinate", "tw", "disum", &[], 0, Nothing),
    wrapper("busybox", "", "", &[], 0, Nothing),
    wrapper("toybox", "", "", &[], 0, Nothing),
    wrapper("coproc", "", "", &[], 0, Unknown),
    wrapper("noglob", "", "", &[], 0, Unknown),
    wrapper("rlwrap", "", "", &[], 0, Unknown),
    wrapper("unbuffer", "", "p", &[], 0, Unknown),
    wrapper("ccache", "", "", &[], 0, Unknown),
    wrapper("gosu", "", "", &[], 1, Unknown),
    wrapper("su-exec", "", "", &[], 1, Unknown),
];

/// The wrapper of that name.
pub(crate) fn find(name: &str) -> Option<&'static Wrapper> {
    WRAPPERS.iter().find(|wrapper| wrapper.name == name)
}

impl Wrapper {
    /// The words of the program that it runs; empty if it runs none. `Err` says why it is not known
    /// where it begins.
    pub(crate) fn inner(&self, arguments: &[Word]) -> Result<Vec<Word>, String> {
        let mut place = 0;
        let mut operands = 0;
        while let Some(word) = arguments.get(place) {
            if word.opaque {
                return Err(format!("{} could become an option when it runs", word.text));
            }
            if word.text == "--" {
                place += 1;
                break;
            }
            if word.text.starts_with('-') && word.text.len() > 1 {
                place += self.option(&word.text)?;
            } else if operands < self.operands {
                operands += 1;
                place += 1;
            } else {
                break;
            }
        }
        Ok(arguments.get(place..).unwrap_or_default().to_vec())
    }

    /// How many words an option takes.
    fn option(&self, text: &str) -> Result<usize, String> {
        let unknown = || format!("{text} of {} is not known", self.name);
        if let Some(long) = text.strip_prefix("--") {
            let name = long.split('=').next().unwrap_or(long);
            let known = self.long.iter().find(|known| known.trim_end_matches('=') == name);
            let takes = known.ok_or_else(unknown)?.ends_with('=') && !long.contains('=');
            return Ok(if takes { 2 } else { 1 });
        }
        let letters = &text[1..];
        // `nice -10`.
        if self.name == "nice" && letters.chars().all(|c| c.is_ascii_digit()) {
            return Ok(1);
        }
        for (place, letter) in letters.char_indices() {
            if self.valued.contains(letter) {
                let last = place + letter.len_utf8() == letters.len();
                return Ok(if last { 2 } else { 1 });
            }
            if !self.plain.contains(letter) {
                return Err(unknown());
            }
        }
        Ok(1)
    }
}

/// What `env` runs: the words of the program, and why it is more than that.
pub(crate) fn env(arguments: &[Word]) -> (Vec<Word>, Option<String>) {
    let mut place = 0;
    let mut why = None;
    while let Some(word) = arguments.get(place) {
        if word.opaque {
            return (Vec::new(), Some(format!("{} is not known before it runs", word.text)));
        }
        let text = word.text.as_str();
        match text {
            "--" => {
                place += 1;
                break;
            }
            "-" | "-i" | "-0" | "--null" | "--ignore-environment" | "-v" | "--debug" => place += 1,
            "-u" | "--unset" => place += 2,
            _ if text.starts_with("--unset=") || text.starts_with("-u") => place += 1,
            "-C" | "--chdir" => {
                why = Some("env runs it in another directory".to_owned());
                place += 2;
            }
            _ if text.starts_with('-') => {
                return (Vec::new(), Some(format!("{text} of env is not known")));
            }
            _ => match text.split_once('=') {
                Some((name, _)) => {
                    if is_dangerous_variable(name) {
                        why = Some(format!("{name} changes which programs run"));
                    }
                    place += 1;
                }
                None => break,
            },
        }
    }
    // Assignments may come after `--` too.
    let rest = arguments.get(place..).unwrap_or_default();
    let assigned = rest.iter().take_while(|word| word.text.contains('=')).count();
    for word in &rest[..assigned] {
        let name = word.text.split('=').next().unwrap_or("");
        if is_dangerous_variable(name) {
            why = Some(format!("{name} changes which programs run"));
        }
    }
    (rest[assigned..].to_vec(), why)
}
