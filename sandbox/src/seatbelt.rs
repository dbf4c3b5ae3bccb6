//! The Seatbelt profile of a command (macOS): its text, and the paths as parameters of it.
//!
//! Paths never stand in the text, so none can be read as a part of it. The last rule that fits an
//! action decides.

use crate::profile::Profile;
use std::{
    ffi::OsString,
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// The program that applies a profile; by its full path, since a command could put another one
/// first in `PATH`.
pub(crate) const SANDBOX_EXEC: &str = "/usr/bin/sandbox-exec";

/// What every command may do: be a process among its own, read, and use what programs are built on.
const BASE: &str = r#"(version 1)
(deny default)
(allow process-exec)
(allow process-fork)
(allow signal (target same-sandbox))
(allow process-info* (target same-sandbox))
(allow sysctl-read)
(allow user-preference-read)
(allow iokit-open (iokit-registry-entry-class "RootDomainUserClient"))
(allow mach-lookup
  (global-name "com.apple.system.opendirectoryd.libinfo")
  (global-name "com.apple.system.opendirectoryd.membership")
  (global-name "com.apple.system.notification_center")
  (global-name "com.apple.system.logger")
  (global-name "com.apple.logd")
  (global-name "com.apple.bsd.dirhelper")
  (global-name "com.apple.PowerManagement.control")
  (global-name "com.apple.trustd.agent"))
(allow ipc-posix-sem)
(allow ipc-posix-shm*)
(allow pseudo-tty)
(allow file-read* file-test-existence file-map-executable)
(allow file-write-data file-ioctl
  (literal "/dev/null")
  (literal "/dev/zero")
  (literal "/dev/tty")
  (literal "/dev/ptmx")
  (regex #"^/dev/ttys[0-9]+$")
  (regex #"^/dev/fd/[0-9]+$"))
"#;

/// A profile for `sandbox-exec`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seatbelt {
    /// Its text.
    pub(crate) text: String,
    /// Its parameters: names and paths.
    pub(crate) parameters: Vec<(String, PathBuf)>,
}

impl Seatbelt {
    /// The profile of what a command may do; `proxy` is the port of its way out.
    pub(crate) fn new(profile: &Profile, proxy: Option<u16>) -> Self {
        let mut made = Self { text: BASE.to_owned(), parameters: Vec::new() };
        for root in &profile.roots {
            made.root(&root.path, root.protected.iter().chain(&root.absent));
        }
        for denied in &profile.denied {
            let path = made.parameter("DENIED", denied);
            made.line(&format!("(deny file-read* file-write* (subpath (param \"{path}\")))"));
        }
        for reopened in &profile.reopened {
            let path = made.parameter("REOPENED", reopened);
            made.line(&format!("(allow file-read* (subpath (param \"{path}\")))"));
        }
        match (profile.network, proxy) {
            (true, _) => made.line("(allow network*)\n(allow system-socket)"),
            (false, Some(port)) => {
                made.line("(allow system-socket (socket-domain AF_INET) (socket-domain AF_INET6))");
                made.line(&format!("(allow network-outbound (remote ip \"localhost:{port}\"))"));
            }
            (false, None) => {}
        }
        made
    }

    /// Writing beneath a root, but for what stays as it is; and sockets of the command's own there.
    fn root<'a>(&mut self, root: &Path, kept: impl Iterator<Item = &'a PathBuf>) {
        let root = self.parameter("ROOT", root);
        let mut rule = format!("(allow file-write*\n  (require-all (subpath (param \"{root}\"))");
        for path in kept {
            let name = self.parameter("KEPT", path);
            // Writing into a `String` cannot fail.
            let _ = write!(
                rule,
                "\n    (require-not (literal (param \"{name}\")))\n    (require-not (subpath (param \
                 \"{name}\")))"
            );
        }
        rule.push_str("))");
        self.line(&rule);
        self.line(&format!(
            "(allow network-bind network-inbound (local unix-socket (subpath (param \"{root}\"))))\n\
             (allow network-outbound (remote unix-socket (subpath (param \"{root}\"))))"
        ));
    }

    fn parameter(&mut self, kind: &str, path: &Path) -> String {
        let name = format!("{kind}_{}", self.parameters.len());
        self.parameters.push((name.clone(), path.to_owned()));
        name
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// The command line that runs `argv` under it.
    pub(crate) fn command_line(&self, argv: &[OsString]) -> Vec<OsString> {
        let mut line: Vec<OsString> = vec![SANDBOX_EXEC.into(), "-p".into(), (&self.text).into()];
        for (name, path) in &self.parameters {
            let mut definition = OsString::from(format!("-D{name}="));
            definition.push(path);
            line.push(definition);
        }
        line.push("--".into());
        line.extend(argv.iter().cloned());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::Seatbelt;
    use crate::profile::{Profile, Root};

    fn profile() -> Profile {
        Profile {
            sandboxed: true,
            roots: vec![Root {
                path: "/work \"(allow default)".into(),
                protected: vec!["/work \"(allow default)/.git".into()],
                absent: vec!["/work \"(allow default)/.codex".into()],
                shared: false,
            }],
            denied: vec!["/Users/me/.ssh".into()],
            reopened: vec!["/Users/me/.troupe/sessions/1".into()],
            ..Profile::default()
        }
    }

    /// Every parenthesis and quote has its other one: nothing ends a rule early.
    fn is_balanced(text: &str) -> bool {
        let depth = text.chars().try_fold(0i32, |depth, c| match c {
            '(' => Some(depth + 1),
            ')' => (depth > 0).then_some(depth - 1),
            _ => Some(depth),
        });
        depth == Some(0) && text.matches('"').count().is_multiple_of(2)
    }

    #[test]
    fn paths_are_parameters_and_never_text() {
        let made = Seatbelt::new(&profile(), None);
        assert!(is_balanced(&made.text), "{}", made.text);
        assert!(made.text.starts_with("(version 1)\n(deny default)\n"));
        for (name, path) in &made.parameters {
            assert!(made.text.contains(&format!("(param \"{name}\")")), "{name}");
            assert!(!made.text.contains(path.to_str().unwrap()), "{path:?}");
        }
        let line = made.command_line(&["/bin/sh".into(), "-c".into(), "-p".into()]);
        assert_eq!(line[0], "/usr/bin/sandbox-exec");
        assert!(line.contains(&"-DROOT_0=/work \"(allow default)".into()));
        assert_eq!(line[line.len() - 4..], ["--", "/bin/sh", "-c", "-p"]);
    }

    #[test]
    fn what_stays_as_it_is_is_taken_out_of_the_root() {
        let made = Seatbelt::new(&profile(), None);
        for kept in ["KEPT_1", "KEPT_2"] {
            assert!(made.text.contains(&format!("(require-not (subpath (param \"{kept}\")))")));
            assert!(made.text.contains(&format!("(require-not (literal (param \"{kept}\")))")));
        }
        // What is denied comes behind what is allowed, and what is open again behind that.
        let place = |text: &str| made.text.find(text).unwrap();
        assert!(
            place("(allow file-read*")
                < place("(deny file-read* file-write* (subpath (param \"DENIED_3\")))")
        );
        assert!(place("DENIED_3") < place("REOPENED_4"));
    }

    #[test]
    fn the_network_is_off_on_or_one_port() {
        let mut profile = profile();
        let text = |profile: &Profile, proxy| Seatbelt::new(profile, proxy).text;
        let off = text(&profile, None);
        assert!(!off.contains("(allow network*)") && !off.contains("remote ip"));
        let proxied = text(&profile, Some(4711));
        assert!(
            proxied.contains("(remote ip \"localhost:4711\")") && !proxied.contains("network*)")
        );
        profile.network = true;
        assert!(text(&profile, None).contains("(allow network*)"));
    }

    #[test]
    fn read_only_writes_nothing_but_devices() {
        let made = Seatbelt::new(&Profile { sandboxed: true, ..Profile::default() }, None);
        assert!(!made.text.contains("file-write*"), "{}", made.text);
        assert!(made.parameters.is_empty());
    }
}
