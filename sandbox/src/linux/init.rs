//! The init of one command: it starts the leader, reaps what is orphaned, tells the host how the
//! leader ended, and ends the whole tree when the host lets go of it, for whatever reason.

use super::{
    confine::{self, Level},
    filter, git,
    git::Repository,
    groups::Group,
    limits,
    mounts::{self, Around},
    outside,
    placeholders::Placeholders,
    script,
    sys::{self, Fork, check, exit_now, prctl},
    terminal::{self, Terminal},
    wire::{self, Report, Step},
};
use crate::{
    PROXY_PORT,
    profile::{Command, Profile},
};
use std::{
    fs, io,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
};

/// What an init is made from.
pub(crate) struct Request {
    pub(crate) command: Command,
    pub(crate) profile: Profile,
    /// To the host: reports go there, and its end ends everything.
    pub(crate) control: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    pub(crate) notes: Notes,
    /// The host's own input instead of none.
    pub(crate) stdin: Option<OwnedFd>,
    /// A session of its own, away from the terminal.
    pub(crate) own_session: bool,
    pub(crate) soft_files: Option<u64>,
    /// The control group it is born in.
    pub(crate) group: Option<Group>,
}

/// The sandbox's remarks about a command go there, a line each.
pub(crate) struct Notes {
    pub(crate) to: OwnedFd,
    /// The start of each line, where lines of the command's stand between them.
    pub(crate) prefix: &'static str,
}

/// A started init.
pub(crate) struct Init {
    pub(crate) pid: libc::pid_t,
    pub(crate) level: Level,
    /// Held until the command has ended.
    pub(crate) placeholders: Vec<PathBuf>,
}

/// A step that failed.
pub(crate) type Failure = (Step, io::Error);

/// Forks the init of a command, held as firmly as the kernel allows. `best` is what it allowed
/// before. A failure that says nothing about the kernel weakens nothing: it is tried again, and then
/// fails this command. Only for processes with a single thread.
pub(crate) fn start(
    request: &Request,
    best: &mut Level,
    placeholders: &mut Placeholders,
) -> Result<Init, Failure> {
    let profile = &request.profile;
    let levels: &[Level] = match (profile.sandboxed, profile.allow_unenforced) {
        (false, _) => &[Level::Open],
        (true, false) => &[Level::Full, Level::Rules],
        (true, true) => &[Level::Full, Level::Rules, Level::Open],
    };
    let mut failure = (Step::Fork, io::Error::other("nothing was tried"));
    for level in levels {
        if *level == Level::Full && *best != Level::Full {
            continue;
        }
        let first = fork_init(request, *level, placeholders);
        let tried = match first {
            Err(why) if !is_refused(&why) => fork_init(request, *level, placeholders),
            tried => tried,
        };
        match tried {
            Ok(init) => {
                if profile.sandboxed {
                    *best = *level;
                }
                return Ok(init);
            }
            Err(why) if is_refused(&why) => failure = why,
            Err(why) => return Err(why),
        }
    }
    Err(failure)
}

/// Whether the kernel, or who set it up, does not allow the step at all.
fn is_refused((step, error): &Failure) -> bool {
    let refused = [libc::EPERM, libc::EACCES, libc::ENOSYS, libc::EINVAL];
    match (step, error.raw_os_error()) {
        (Step::Landlock, _) => true,
        // The limits of namespaces, which are 0 where they are switched off.
        (Step::Namespaces, Some(libc::ENOSPC | libc::EUSERS)) => true,
        (Step::Namespaces | Step::Identity | Step::Mounts, Some(errno)) => refused.contains(&errno),
        _ => false,
    }
}

fn fork_init(
    request: &Request,
    level: Level,
    placeholders: &mut Placeholders,
) -> Result<Init, Failure> {
    let profile = &request.profile;
    if level == Level::Rules && !landlock_is_there() {
        return Err((Step::Landlock, io::ErrorKind::Unsupported.into()));
    }
    let flags = match (level, profile.network) {
        (Level::Full, true) => NAMESPACES,
        (Level::Full, false) => NAMESPACES | libc::CLONE_NEWNET,
        _ => 0,
    };
    let absent = profile.roots.iter().flat_map(|root| &root.absent);
    let held = match level {
        Level::Full => placeholders.hold(absent),
        _ => Vec::new(),
    };
    match fork_and_map(request, level, flags, &held) {
        Ok(pid) => Ok(Init { pid, level, placeholders: held }),
        Err(failure) => {
            placeholders.release(&held);
            Err(failure)
        }
    }
}

const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

fn fork_and_map(
    request: &Request,
    level: Level,
    flags: libc::c_int,
    placeholders: &[PathBuf],
) -> Result<libc::pid_t, Failure> {
    let failed = |step| move |error| (step, error);
    let sockets =
        if level == Level::Full { outside::sockets(&request.profile) } else { Vec::new() };
    let around = Around { placeholders, sockets: &sockets };
    // Made before the fork, and once for all commands of the launcher.
    filter::prepare();
    let (mut go, may_go) = pipe_files().map_err(failed(Step::Descriptors))?;
    let (is_ready, mut ready) = pipe_files().map_err(failed(Step::Descriptors))?;
    let step = if flags == 0 { Step::Fork } else { Step::Namespaces };
    let forked = match &request.group {
        // A kernel that cannot is no reason to refuse the command.
        Some(group) => sys::fork_into(flags, group.as_fd()).or_else(|_| sys::fork_with(flags)),
        None => sys::fork_with(flags),
    };
    match forked.map_err(failed(step))? {
        Fork::Child => {
            drop((may_go, is_ready));
            let set_up = match level {
                Level::Full => set_up_namespaces(&mut go, &request.profile, &around),
                _ => prctl(libc::PR_SET_CHILD_SUBREAPER, 1)
                    .map(|()| Surroundings::default())
                    .map_err(failed(Step::Privileges)),
            };
            match set_up {
                Ok(surroundings) => {
                    if ready.write_all(&[0; 8]).is_err() {
                        exit_now(1);
                    }
                    drop((go, ready));
                    run(request, level, surroundings)
                }
                Err(failure) => {
                    let _gone = ready.write_all(&failure_bytes(&failure));
                    exit_now(1)
                }
            }
        }
        Fork::Parent(pid) => {
            drop((go, ready));
            let told = if level == Level::Full {
                write_maps(pid).map_err(failed(Step::Identity))
            } else {
                Ok(())
            };
            let told = told.and_then(|()| wait_ready(may_go, is_ready));
            if told.is_err() {
                sys::kill(pid, libc::SIGKILL);
                // SAFETY: waits for the child just made; its status is not needed.
                let _ended = unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) };
            }
            told.map(|()| pid)
        }
    }
}

fn wait_ready(mut may_go: fs::File, mut is_ready: fs::File) -> Result<(), Failure> {
    // A child that is gone already says so below.
    let _gone = may_go.write_all(&[1]);
    let mut bytes = [0; 8];
    match is_ready.read_exact(&mut bytes) {
        Ok(()) => read_failure(bytes).map_or(Ok(()), Err),
        Err(error) => Err((Step::Fork, error)),
    }
}

fn pipe_files() -> io::Result<(fs::File, fs::File)> {
    sys::pipe().map(|(read, write)| (read.into(), write.into()))
}

fn failure_bytes((step, error): &Failure) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&(*step as i32).to_ne_bytes());
    bytes[4..].copy_from_slice(&error.raw_os_error().unwrap_or(libc::EIO).to_ne_bytes());
    bytes
}

fn read_failure(bytes: [u8; 8]) -> Option<Failure> {
    let mut report = [0; Report::BYTES];
    report[..4].copy_from_slice(&2i32.to_ne_bytes());
    report[4..12].copy_from_slice(&bytes);
    match Report::read(report) {
        Report::Failed(step, errno) if bytes != [0; 8] => {
            Some((step, io::Error::from_raw_os_error(errno)))
        }
        _ => None,
    }
}

/// What the init keeps of the namespaces it set up.
#[derive(Default)]
struct Surroundings {
    /// Git folders that are copies.
    copies: Vec<Repository>,
    /// Where the command asks for hosts.
    listener: Option<OwnedFd>,
    /// What leads to the host's loopback.
    doors: Vec<OwnedFd>,
}

fn set_up_namespaces(
    go: &mut fs::File,
    profile: &Profile,
    around: &Around<'_>,
) -> Result<Surroundings, Failure> {
    let failed = |step| move |error| (step, error);
    go.read_exact(&mut [0]).map_err(failed(Step::Identity))?;
    let copies = mounts::set_up(profile, around).map_err(failed(Step::Mounts))?;
    mounts::mount_proc().map_err(failed(Step::Mounts))?;
    limits::set_processes(&profile.limits);
    mounts::protect_proc().map_err(failed(Step::Mounts))?;
    // Its memory and descriptors are not the commands' business.
    prctl(libc::PR_SET_DUMPABLE, 0).map_err(failed(Step::Privileges))?;
    if !profile.network {
        // Without it commands have no loopback, which is no reason to refuse them.
        let _down = raise_loopback();
    }
    let listener = profile.proxied.then(|| {
        // A socket belongs to the network it was made in, whoever holds it: the host accepts what
        // is asked here.
        TcpListener::bind((Ipv4Addr::LOCALHOST, PROXY_PORT)).map(OwnedFd::from)
    });
    let listener = listener.transpose().map_err(failed(Step::Listener))?;
    // A port that the proxy has, or an address that this kernel lacks, is no reason to refuse it.
    let open = |at: &SocketAddr| TcpListener::bind(at).map(OwnedFd::from).ok();
    let doors = profile.doors.iter().filter(|_| profile.proxied).filter_map(open).collect();
    Ok(Surroundings { copies, listener, doors })
}

/// Maps the child's users: root gets all that it has here, others just themselves.
fn write_maps(pid: libc::pid_t) -> io::Result<()> {
    // SAFETY: no arguments.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    let place = |file: &str| format!("/proc/{pid}/{file}");
    if uid == 0 {
        for file in ["uid_map", "gid_map"] {
            let own = fs::read_to_string(format!("/proc/self/{file}"))?;
            let identity: String = own
                .lines()
                .filter_map(|line| {
                    let mut numbers = line.split_whitespace();
                    let (inside, _, count) = (numbers.next()?, numbers.next()?, numbers.next()?);
                    Some(format!("{inside} {inside} {count}\n"))
                })
                .collect();
            fs::write(place(file), identity)?;
        }
        return Ok(());
    }
    fs::write(place("setgroups"), "deny")?;
    fs::write(place("uid_map"), format!("{uid} {uid} 1\n"))?;
    fs::write(place("gid_map"), format!("{gid} {gid} 1\n"))
}

/// Commands may talk to each other over the loopback of their own network.
fn raise_loopback() -> io::Result<()> {
    // SAFETY: a plain socket, closed below; the request is a zeroed structure with a short name.
    unsafe {
        let socket = check(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))?;
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l'.cast_signed() as libc::c_char;
        request.ifr_name[1] = b'o'.cast_signed() as libc::c_char;
        request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
        let result = check(libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw const request));
        libc::close(socket);
        result.map(|_| ())
    }
}

fn landlock_is_there() -> bool {
    // SAFETY: asks for the version: no attributes.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, 1u32)
    };
    version >= 1
}

// ---- in the init itself

/// Starts the leader and stays until the host lets go. Does not return.
fn run(request: &Request, level: Level, surroundings: Surroundings) -> ! {
    let code = i32::from(lead(request, level, surroundings).is_err());
    end_all(level);
    exit_now(code)
}

fn lead(request: &Request, level: Level, surroundings: Surroundings) -> io::Result<()> {
    let Surroundings { copies, listener, doors } = surroundings;
    if level == Level::Full {
        prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong)?;
    }
    let stdin = request.stdin.as_ref().map(|fd| fd.as_raw_fd());
    let kept = [&request.control, &request.stdout, &request.stderr, &request.notes.to];
    let kept = kept.map(AsRawFd::as_raw_fd);
    let notes = if copies.is_empty() { None } else { Some(request.notes.to.try_clone()?) };
    let held = copies.iter().flat_map(|copy| [copy.original.as_raw_fd(), copy.upper.as_raw_fd()]);
    let held = held.chain(notes.as_ref().map(AsRawFd::as_raw_fd));
    let held = held.chain(listener.iter().chain(&doors).map(AsRawFd::as_raw_fd));
    sys::close_others(kept.into_iter().chain(stdin).chain(held), 3)?;
    let null: OwnedFd = fs::File::open("/dev/null")?.into();
    let terminal = request.command.terminal.then(terminal::open).transpose();
    let signals = sys::child_signals()?;
    let (mut failed, mut failure) = pipe_files()?;
    let leader = match sys::fork_with(0)? {
        Fork::Child => {
            let descriptors = match &terminal {
                Ok(terminal) => leader_descriptors(request, &null, terminal.as_ref()),
                Err(error) => {
                    Err(io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EIO)))
                }
            };
            let handed = descriptors.and_then(|()| script::hand_over(&request.command, &failure));
            let (step, error) = match handed {
                Ok(argv) => confine::become_program(
                    argv.as_deref().unwrap_or(&request.command.argv),
                    &request.command,
                    &request.profile,
                    level,
                    request.soft_files,
                ),
                Err(error) => (Step::Descriptors, error),
            };
            let _gone = failure.write_all(&failure_bytes(&(step, error)));
            confine::give_up();
        }
        Fork::Parent(pid) => pid,
    };
    drop(failure);
    // The leader holds its own; whoever reads them waits for their end.
    for fd in [0, 1, 2].into_iter().chain([kept[1], kept[2], kept[3]]).chain(stdin) {
        // SAFETY: replaces descriptors of this process that are not used below.
        check(unsafe { libc::dup2(null.as_raw_fd(), fd) })?;
    }
    let mut control = UnixStream::from(request.control.try_clone()?);
    let mut bytes = [0; 8];
    let terminal = terminal.ok().flatten();
    let along = terminal.iter().map(|terminal| terminal.master.as_fd());
    let along: Vec<_> = along.chain(listener.iter().chain(&doors).map(AsFd::as_fd)).collect();
    let report = match failed.read_exact(&mut bytes).ok().and_then(|()| read_failure(bytes)) {
        Some((step, error)) => Report::Failed(step, error.raw_os_error().unwrap_or(libc::EIO)),
        None => Report::Started(terminal.is_some(), listener.is_some(), level),
    };
    wire::send(control.as_fd(), &report.write(), &along)?;
    drop((terminal, listener, doors));
    let mut copies = Copies { copies: &copies, notes, prefix: request.notes.prefix };
    watch(&mut control, &signals, leader, level, &mut copies)
}

fn watch(
    control: &mut UnixStream,
    signals: &OwnedFd,
    leader: libc::pid_t,
    level: Level,
    copies: &mut Copies<'_>,
) -> io::Result<()> {
    loop {
        let [let_go, ended] = sys::poll([control.as_raw_fd(), signals.as_raw_fd()])?;
        if let_go {
            match asked_signal(control) {
                // The whole group, as a terminal does.
                Some(signal) => sys::kill(-leader, signal),
                None => {
                    let _nobody_asks = copies.take_over();
                    return Ok(());
                }
            }
        }
        if ended {
            sys::drain_signals(signals.as_fd());
            while let Ok(Some((pid, status))) = sys::wait(false) {
                if pid == leader {
                    let strays = i32::try_from(living(level)).unwrap_or(i32::MAX);
                    let status = copies.take_over().status(status);
                    control.write_all(&Report::Ended(status, strays, busy()).write())?;
                }
            }
        }
    }
}

/// A signal that the host sends to the leader's group; `None` when it lets go.
fn asked_signal(control: &mut UnixStream) -> Option<libc::c_int> {
    let mut byte = [0];
    match control.read(&mut byte) {
        Ok(1) => Some(libc::c_int::from(byte[0])),
        _ => None,
    }
}

/// The processor time in milliseconds of everything that was waited for.
fn busy() -> i32 {
    // SAFETY: `usage` has room for what the call writes.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let millis = |time: libc::timeval| time.tv_sec * 1000 + time.tv_usec / 1000;
    i32::try_from(millis(usage.ru_utime) + millis(usage.ru_stime)).unwrap_or(i32::MAX)
}

/// The git folders that the command changed in copies.
struct Copies<'a> {
    copies: &'a [Repository],
    /// Where it is said what was not taken over, until it was.
    notes: Option<OwnedFd>,
    prefix: &'static str,
}

impl Copies<'_> {
    /// Takes over what is sound, once. Whatever still runs is ended first: nothing may change under
    /// it.
    fn take_over(&mut self) -> TookOver {
        let mut took = TookOver { conflict: false };
        let Some(notes) = self.notes.take() else { return took };
        if !self.copies.iter().any(git::is_changed) {
            return took;
        }
        // SAFETY: plain integers; as the first process of a namespace, all others in it.
        let _none = unsafe { libc::kill(-1, libc::SIGKILL) };
        while sys::wait(true).is_ok() {}
        let mut notes = fs::File::from(notes);
        for copy in self.copies {
            let taken = git::take_over(copy);
            took.conflict |= taken.conflict;
            for refused in taken.refused {
                // Whoever does not read it does not care.
                let prefix = self.prefix;
                let _gone = writeln!(notes, "{prefix}not taken over into .git: {refused}");
            }
        }
        took
    }
}

/// How the taking over ended.
#[must_use]
struct TookOver {
    /// Somebody else had changed the same.
    conflict: bool,
}

impl TookOver {
    /// The status of git when it cannot lock what it is to change.
    const FATAL: i32 = 128;

    /// The status that the command's leader has now: it said that its commit was there.
    fn status(&self, status: i32) -> i32 {
        // The form of wait(2): the exit code stands in the second byte.
        if self.conflict && status == 0 { Self::FATAL << 8 } else { status }
    }
}

fn leader_descriptors(
    request: &Request,
    null: &OwnedFd,
    terminal: Option<&Terminal>,
) -> io::Result<()> {
    let stdin = request.stdin.as_ref().unwrap_or(null);
    let wanted = match terminal {
        Some(Terminal { slave, .. }) => [slave; 3],
        None => [stdin, &request.stdout, &request.stderr],
    };
    let wanted = wanted.map(AsRawFd::as_raw_fd);
    // Out of the way of 0, 1 and 2 first, since they may be among them.
    let mut high = [0; 3];
    for (place, fd) in wanted.into_iter().enumerate() {
        // SAFETY: duplicates an open descriptor.
        high[place] = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 10) })?;
    }
    for (place, fd) in (0..).zip(high) {
        // SAFETY: as above, onto the leader's own standard descriptors.
        check(unsafe { libc::dup2(fd, place) })?;
    }
    if request.own_session {
        // SAFETY: no arguments.
        check(unsafe { libc::setsid() })?;
    }
    if terminal.is_some() {
        terminal::take()?;
    }
    Ok(())
}

/// How many processes live below this one.
fn living(level: Level) -> usize {
    if level == Level::Full {
        // The namespace's own view: all but this one.
        let Ok(entries) = fs::read_dir("/proc") else { return 0 };
        let number =
            |name: std::ffi::OsString| name.to_str().is_some_and(|n| n.parse::<u32>().is_ok());
        return entries
            .flatten()
            .filter(|entry| number(entry.file_name()))
            .count()
            .saturating_sub(1);
    }
    let mut count = 0;
    let mut open = children("self");
    while let Some(pid) = open.pop() {
        count += 1;
        open.extend(children(&pid.to_string()));
    }
    count
}

/// The children of a process with one thread; of others, those of its first.
fn children(pid: &str) -> Vec<libc::pid_t> {
    let thread = if pid == "self" { std::process::id().to_string() } else { pid.to_owned() };
    let text = fs::read_to_string(format!("/proc/{pid}/task/{thread}/children"));
    text.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Ends everything below. The end of a namespace's first process ends the rest by itself.
fn end_all(level: Level) {
    if level == Level::Full {
        return;
    }
    // Orphans become children of this process, so what is killed uncovers what is below it.
    loop {
        for pid in children("self") {
            sys::kill(pid, libc::SIGKILL);
        }
        if sys::wait(true).is_err() {
            return;
        }
    }
}
