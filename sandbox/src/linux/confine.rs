//! What the leader of a command does to itself before it becomes the program.

use super::{
    filter::{self, Sockets},
    limits,
    rules::{self, Beneath},
    sys::{check, exit_now, prctl},
    wire::Step,
};
use crate::{
    names::CACHES,
    profile::{Command, Profile},
};
use std::{
    env,
    ffi::{CString, OsStr, OsString},
    io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// Capabilities that root keeps inside: those over files that the mounts allow it to change.
const KEPT: [u32; 7] = [0, 1, 3, 4, 5, 6, 7]; // CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID
/// The last capability there is, as far as is known here; the kernel refuses to drop more.
const LAST_CAPABILITY: u32 = 63;

/// Settings of git's for a copied repository: new objects stay loose, since packs are not taken
/// over.
const FOR_GIT: [(&str, &str); 9] = [
    ("GIT_CONFIG_COUNT", "4"),
    ("GIT_CONFIG_KEY_0", "gc.auto"),
    ("GIT_CONFIG_VALUE_0", "0"),
    ("GIT_CONFIG_KEY_1", "maintenance.auto"),
    ("GIT_CONFIG_VALUE_1", "false"),
    ("GIT_CONFIG_KEY_2", "fetch.unpackLimit"),
    ("GIT_CONFIG_VALUE_2", "1000000"),
    ("GIT_CONFIG_KEY_3", "transfer.unpackLimit"),
    ("GIT_CONFIG_VALUE_3", "1000000"),
];

/// What holds the command beside what the leader does to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Namespaces and mounts of its own.
    Full,
    /// Landlock and the filter alone.
    Rules,
    /// Nothing: as asked, or as allowed.
    Open,
}

impl Level {
    pub(crate) fn from_number(number: i32) -> Self {
        [Self::Full, Self::Rules]
            .into_iter()
            .find(|level| *level as i32 == number)
            .unwrap_or(Self::Open)
    }

    /// What is weaker at this level than the mode promises.
    pub(crate) fn weaker(self, profile: &Profile) -> Vec<String> {
        if !profile.sandboxed {
            return Vec::new();
        }
        let mut weaker = Vec::new();
        match self {
            Self::Full => {}
            Self::Rules => {
                weaker.push(if profile.unprotected_names {
                    "no user namespaces: .git and .troupe inside the writable roots are not protected"
                } else {
                    "no user namespaces: nothing new can be made at the top of a writable root"
                });
                weaker.push("no user namespaces: what must not be read can be read");
                if profile.proxied {
                    weaker.push("no network namespaces: no host can be reached");
                }
            }
            Self::Open => weaker
                .push("the kernel cannot hold commands; they run without a sandbox, as allowed"),
        }
        weaker.into_iter().map(str::to_owned).collect()
    }
}

/// Becomes the program, with these arguments; gives the step that failed.
pub(crate) fn become_program(
    argv: &[OsString],
    command: &Command,
    profile: &Profile,
    level: Level,
    soft_files: Option<u64>,
) -> (Step, io::Error) {
    match prepare(command, profile, level, soft_files) {
        Ok(program) => {
            let more = if level == Level::Full { additions(command, profile) } else { Vec::new() };
            (Step::Program, execute(&program, argv, command, &more))
        }
        Err(failure) => failure,
    }
}

fn prepare(
    command: &Command,
    profile: &Profile,
    level: Level,
    soft_files: Option<u64>,
) -> Result<PathBuf, (Step, io::Error)> {
    reset_signals();
    if let Some(soft) = soft_files {
        limits::put_back(soft);
    }
    limits::apply(&profile.limits, level).map_err(|error| (Step::Privileges, error))?;
    env::set_current_dir(&command.cwd).map_err(|error| (Step::Directory, error))?;
    let program = look_up(command).map_err(|error| (Step::Program, error))?;
    if level == Level::Open {
        return Ok(program);
    }
    let beneath = if level == Level::Full { Beneath::Mounts } else { Beneath::Nothing };
    drop_capabilities().map_err(|error| (Step::Privileges, error))?;
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1).map_err(|error| (Step::Privileges, error))?;
    match rules::restrict(profile, beneath) {
        // With mounts of its own it is a second layer.
        Err(error) if level == Level::Full && error.kind() == io::ErrorKind::Unsupported => {}
        done => done.map_err(|error| (Step::Landlock, error))?,
    }
    let sockets =
        if profile.network || level == Level::Full { Sockets::Internet } else { Sockets::Local };
    filter::apply(sockets).map_err(|error| (Step::Filter, error))?;
    Ok(program)
}

fn reset_signals() {
    // The kernel's form of a default, which is all zeros: handler, flags, restorer, mask.
    const DEFAULT: [u64; 4] = [0; 4];
    const LAST_SIGNAL: libc::c_int = 64;
    // SAFETY: sets are initialised before use; dispositions go back to the default in a process
    // that is about to become another program. The C library keeps two signals for itself and would
    // refuse them, so the kernel is asked; `DEFAULT` has room for what it reads on every architecture.
    unsafe {
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        for signal in 1..=LAST_SIGNAL {
            let old = std::ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), old, size_of::<u64>());
        }
    }
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Drops every capability; root keeps those over its files.
fn drop_capabilities() -> io::Result<()> {
    // SAFETY: no arguments.
    let root = unsafe { libc::geteuid() } == 0;
    let kept = if root { KEPT.iter().fold(0u32, |set, bit| set | 1 << bit) } else { 0 };
    for capability in (0..=LAST_CAPABILITY).filter(|bit| !(root && KEPT.contains(bit))) {
        // Unknown to this kernel, or not ours to drop: then it is not in the sets below either.
        let _unknown = prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability));
    }
    let header = CapabilityHeader { version: 0x2008_0522, pid: 0 };
    let mut data = [CapabilityData { effective: 0, permitted: 0, inheritable: 0 }; 2];
    // SAFETY: header and data are of the layout of version 3 and live for the time of the call.
    let read = unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) };
    check(i32::try_from(read).unwrap_or(-1))?;
    let kept = kept & data[0].permitted;
    data[0] = CapabilityData { effective: kept, permitted: kept, inheritable: 0 };
    data[1] = CapabilityData { effective: 0, permitted: 0, inheritable: 0 };
    // SAFETY: as above.
    let set = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    check(i32::try_from(set).unwrap_or(-1))?;
    Ok(())
}

/// The program's path: as given with a slash, otherwise from the command's own `PATH`.
fn look_up(command: &Command) -> io::Result<PathBuf> {
    let Some(name) = command.argv.first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program"));
    };
    if name.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(name));
    }
    let path =
        command.env.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_os_str());
    let path = path.unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"));
    env::split_paths(path)
        .map(|folder| folder.join(name))
        .find(|candidate| is_executable(candidate))
        .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Variables that make programs get on with what they find here.
fn additions(command: &Command, profile: &Profile) -> Vec<(&'static str, String)> {
    let set = |name: &str| command.env.iter().any(|(known, _)| known == name);
    let mut more = Vec::new();
    // Where the user has settings of the kind, they stand.
    if !profile.repositories.is_empty() && !set("GIT_CONFIG_COUNT") {
        more.extend(FOR_GIT.map(|(name, value)| (name, value.to_owned())));
    }
    let home = command.env.iter().find(|(name, _)| name == "HOME");
    let home = home.map(|(_, home)| Path::new(home));
    for (place, variable) in CACHES {
        if let (Some(home), Some(variable)) = (home, variable)
            && !home.join(place).exists()
            && !set(variable)
        {
            more.push((variable, format!("/dev/shm/.cache/{}", place.trim_start_matches('.'))));
        }
    }
    more
}

fn execute(
    program: &Path,
    argv: &[OsString],
    command: &Command,
    more: &[(&str, String)],
) -> io::Error {
    let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::other);
    let pair = |(name, value): (&OsStr, &OsStr)| {
        let mut both = name.to_owned().into_vec();
        both.push(b'=');
        both.extend_from_slice(value.as_bytes());
        CString::new(both).map_err(io::Error::other)
    };
    let parts = || -> io::Result<(CString, Vec<CString>, Vec<CString>)> {
        let argv = argv.iter().map(|part| text(part)).collect::<io::Result<_>>()?;
        let own = command.env.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()));
        let more = more.iter().map(|(name, value)| (OsStr::new(*name), OsStr::new(value)));
        let env = own.chain(more).map(pair).collect::<io::Result<_>>()?;
        Ok((text(program.as_os_str())?, argv, env))
    };
    let (program, argv, env) = match parts() {
        Ok(parts) => parts,
        Err(error) => return error,
    };
    let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, env) = (pointers(&argv), pointers(&env));
    // SAFETY: both arrays end with null and point to texts that live until the call; if it
    // succeeds, nothing of this process is left.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Ends a leader that could not become its program.
pub(crate) fn give_up() -> ! {
    exit_now(127)
}
