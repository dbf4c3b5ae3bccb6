//! The system call filter: what a command has no business with.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};
use std::{collections::BTreeMap, io, sync::OnceLock};

/// Calls that reach other processes, the kernel or the mounts.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_mount_setattr,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_open_by_handle_at,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_vhangup,
    libc::SYS_fanotify_init,
    libc::SYS_name_to_handle_at,
    libc::SYS_nfsservctl,
    libc::SYS_lookup_dcookie,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    OPEN_TREE_ATTR,
];

/// Newer than the library's list of numbers; the same on every architecture.
const OPEN_TREE_ATTR: libc::c_long = 467;

/// Flags of `clone` that make namespaces.
const NAMESPACES: u64 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u64;

/// Puts words into a terminal's input.
const TIOCSTI: u64 = 0x5412;
/// Pastes a console's selection.
const TIOCLINUX: u64 = 0x541C;

/// Takes over a console's output.
const TIOCCONS: u64 = 0x541D;

const SET_USER_ID: u64 = libc::S_ISUID as u64;
/// Calls that set the mode of a file, and which argument that is.
const SET_MODE: &[(libc::c_long, u8)] = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_creat, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mknod, 1),
    (libc::SYS_fchmod, 1),
    (libc::SYS_fchmodat, 2),
    (FCHMODAT2, 2),
    (libc::SYS_mknodat, 2),
];
/// Calls that may make a file, and which argument says so; the next one is its mode.
const CREATE: &[(libc::c_long, u8)] = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, 1),
    (libc::SYS_openat, 2),
];
const MAKES: u64 = libc::O_CREAT as u64;
/// Newer than the library's list of numbers; the same on every architecture.
const FCHMODAT2: libc::c_long = 452;

/// How far sockets reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sockets {
    /// The internet, or a network namespace that holds them.
    Internet,
    /// Only those between processes of this machine.
    Local,
}

/// The filters for commands.
struct Programs {
    internet: Vec<BpfProgram>,
    local: Vec<BpfProgram>,
}

static PROGRAMS: OnceLock<Option<Programs>> = OnceLock::new();

/// Makes the filters, so that commands forked from here on have them.
pub(crate) fn prepare() {
    let _refused_later = programs();
}

fn programs() -> Option<&'static Programs> {
    let make = || -> io::Result<Programs> {
        Ok(Programs { internet: make(Sockets::Internet)?, local: make(Sockets::Local)? })
    };
    PROGRAMS.get_or_init(|| make().ok()).as_ref()
}

/// Applies the filters to this process and all below it. Needs no-new-privs.
pub(crate) fn apply(sockets: Sockets) -> io::Result<()> {
    let programs = programs().ok_or(io::ErrorKind::Unsupported)?;
    let programs = match sockets {
        Sockets::Internet => &programs.internet,
        Sockets::Local => &programs.local,
    };
    programs.iter().try_for_each(|program| apply_filter(program).map_err(io::Error::other))
}

fn make(sockets: Sockets) -> io::Result<Vec<BpfProgram>> {
    let mut programs = vec![
        program(rules(sockets)?, errno(libc::EPERM))?,
        program(unseen(), errno(libc::ENOSYS))?,
    ];
    if cfg!(target_arch = "x86_64") {
        programs.push(no_x32());
    }
    Ok(programs)
}

fn errno(errno: libc::c_int) -> SeccompAction {
    SeccompAction::Errno(errno.unsigned_abs())
}

/// The numbers of the 32-bit calls that 64-bit programs can make (x32) are others than those that
/// the rules name. Calls of another architecture end the process.
fn no_x32() -> BpfProgram {
    const X32: u32 = 0x4000_0000;
    const NUMBER: u32 = 0;
    let statement = |code: u32, k: u32| sock_filter { code: code as u16, jt: 0, jf: 0, k };
    vec![
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, NUMBER),
        sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: X32,
        },
        statement(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs(),
        ),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ]
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn program(rules: Rules, action: SeccompAction) -> io::Result<BpfProgram> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch);
    filter.and_then(BpfProgram::try_from).map_err(io::Error::other)
}

fn rules(sockets: Sockets) -> io::Result<Rules> {
    let mut rules: Rules = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let clone = (0..64).map(|bit| 1u64 << bit).filter(|flag| NAMESPACES & flag != 0);
    let clone = clone.map(|flag| rule(0, SeccompCmpOp::MaskedEq(flag), flag));
    rules.insert(libc::SYS_clone, clone.collect::<io::Result<_>>()?);
    let ioctl = [TIOCSTI, TIOCLINUX, TIOCCONS].map(|request| rule(1, SeccompCmpOp::Eq, request));
    rules.insert(libc::SYS_ioctl, ioctl.into_iter().collect::<io::Result<_>>()?);
    // A program left behind that runs with the rights of whoever owns it.
    for (call, mode) in SET_MODE {
        rules.insert(*call, vec![rule(*mode, SeccompCmpOp::MaskedEq(SET_USER_ID), SET_USER_ID)?]);
    }
    for (call, flags) in CREATE {
        let makes = condition(*flags, SeccompCmpOp::MaskedEq(MAKES), MAKES)?;
        let mode = condition(*flags + 1, SeccompCmpOp::MaskedEq(SET_USER_ID), SET_USER_ID)?;
        rules.insert(*call, vec![SeccompRule::new(vec![makes, mode]).map_err(io::Error::other)?]);
    }
    // Families beyond these reach the kernel, the hardware or the host of a virtual machine.
    let allowed: &[libc::c_int] = match sockets {
        Sockets::Internet => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6],
        Sockets::Local => &[libc::AF_UNIX],
    };
    for (call, allowed) in [(libc::SYS_socket, allowed), (libc::SYS_socketpair, &[libc::AF_UNIX])] {
        let not = allowed
            .iter()
            .map(|family| condition(0, SeccompCmpOp::Ne, u64::from(family.unsigned_abs())));
        let not = not.collect::<io::Result<Vec<_>>>()?;
        rules.insert(call, vec![SeccompRule::new(not).map_err(io::Error::other)?]);
    }
    Ok(rules)
}

/// Their flags are out of a filter's sight; programs fall back to `clone` and `openat`.
fn unseen() -> Rules {
    BTreeMap::from([libc::SYS_clone3, libc::SYS_openat2].map(|call| (call, Vec::new())))
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> io::Result<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
        .map_err(io::Error::other)
}

fn rule(argument: u8, operator: SeccompCmpOp, value: u64) -> io::Result<SeccompRule> {
    SeccompRule::new(vec![condition(argument, operator, value)?]).map_err(io::Error::other)
}
