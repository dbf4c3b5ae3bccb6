//! The launcher: a small process beside the host, with one thread, that forks all commands.
//!
//! It lives as long as the host's end of its socket, which is its standard input. When that ends,
//! for whatever reason, it takes down what lives and ends.

use super::{
    confine::Level,
    groups::{Group, Groups},
    init::{self, Init, Notes, Request},
    placeholders::Placeholders,
    sys::{self, exit_now},
    wire::{self, Report},
};
use crate::inherited;
use std::{
    collections::HashMap,
    io::Write,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
};

/// Serves requests until the host is gone. Does not return.
pub fn launcher_main() -> ! {
    let soft_files = std::env::args().nth(2).and_then(|text| text.parse().ok());
    let served = serve(soft_files);
    exit_now(i32::from(served.is_err()))
}

fn serve(soft_files: Option<u64>) -> std::io::Result<()> {
    let _named = sys::name(c"troupe-launcher");
    // Whatever the host inherited, or opened without care: commands and their ends depend on these.
    inherited::signals(&[]);
    sys::close_others(std::iter::empty(), 3)?;
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1)?;
    // What is typed at the host's terminal (Ctrl-C) concerns the host.
    // SAFETY: no arguments; it fails for a leader of a group, which is away from there already.
    unsafe { libc::setsid() };
    let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
    let signals = sys::child_signals()?;
    let mut launcher = Launcher {
        inits: HashMap::new(),
        placeholders: Placeholders::default(),
        best: Level::Full,
        soft_files,
        groups: Groups::new(&[std::process::id(), std::os::unix::process::parent_id()]),
        living: HashMap::new(),
    };
    let mut buffer = vec![0; wire::MAX_REQUEST];
    loop {
        let [asked, ended] = sys::poll([socket.as_raw_fd(), signals.as_raw_fd()])?;
        if ended {
            sys::drain_signals(signals.as_fd());
            launcher.reap();
        }
        if asked {
            match wire::receive(socket.as_fd(), &mut buffer)? {
                Some((count, fds)) => launcher.launch(&buffer[..count], fds),
                None => {
                    launcher.end();
                    return Ok(());
                }
            }
        }
    }
}

struct Launcher {
    inits: HashMap<libc::pid_t, Init>,
    placeholders: Placeholders,
    /// What the kernel allows, as far as is known.
    best: Level,
    soft_files: Option<u64>,
    groups: Option<Groups>,
    /// The groups of commands that run.
    living: HashMap<libc::pid_t, Group>,
}

impl Launcher {
    fn launch(&mut self, bytes: &[u8], [control, output, notes]: [OwnedFd; 3]) {
        // Dropping the descriptors tells the host that nothing was started.
        let Some((command, profile)) = wire::decode(bytes) else { return };
        let again = sys::second_writer(output.as_fd()).or_else(|_| output.try_clone());
        let Ok(stderr) = again else { return };
        // Without one the command runs all the same.
        let group = self.groups.as_mut().and_then(|groups| groups.make(&profile.limits).ok());
        let mut request = Request {
            command,
            profile,
            control,
            stdout: output,
            stderr,
            notes: Notes { to: notes, prefix: "" },
            stdin: None,
            own_session: true,
            soft_files: self.soft_files,
            group,
        };
        match init::start(&request, &mut self.best, &mut self.placeholders) {
            Ok(init) => {
                if let Some(group) = request.group.take() {
                    self.living.insert(init.pid, group);
                }
                self.inits.insert(init.pid, init);
            }
            Err((step, error)) => {
                let report = Report::Failed(step, error.raw_os_error().unwrap_or(libc::EIO));
                let mut control = UnixStream::from(request.control);
                // A host that is gone needs no answer.
                let _gone = control.write_all(&report.write());
            }
        }
    }

    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = sys::wait(false) {
            self.ended(pid, status);
        }
    }

    fn ended(&mut self, pid: libc::pid_t, status: libc::c_int) {
        if let Some(init) = self.inits.remove(&pid) {
            if libc::WIFSIGNALED(status) && init.level != Level::Full {
                self.end_orphans();
            }
            self.placeholders.release(&init.placeholders);
            drop(self.living.remove(&pid));
        }
    }

    /// Ends what an init left behind that was killed.
    fn end_orphans(&self) {
        let own = std::process::id();
        let text = std::fs::read_to_string(format!("/proc/self/task/{own}/children"));
        let pids = text.unwrap_or_default();
        for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            if !self.inits.contains_key(&pid) && self.placeholders.guard() != Some(pid) {
                sys::kill(pid, libc::SIGKILL);
            }
        }
    }

    /// The host is gone: its commands go too. Their inits hear of it by their own sockets.
    fn end(&mut self) {
        for (pid, init) in &self.inits {
            if init.level == Level::Full {
                sys::kill(*pid, libc::SIGKILL);
            }
        }
        while !self.inits.is_empty()
            && let Ok(Some((pid, status))) = sys::wait(true)
        {
            self.ended(pid, status);
        }
    }
}
