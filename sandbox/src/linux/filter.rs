//! The system call filter: what a command has no business with.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};
use std::{collections::BTreeMap, io};

/// Calls that reach other processes, the kernel or the mounts.
const REFUSED: [libc::c_long; 41] = [
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
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
];

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

/// How far sockets reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sockets {
    /// As the system has it.
    All,
    /// A network namespace holds them: the families that do not heed it are refused.
    Held,
    /// Only those between processes of this machine.
    Local,
}

/// Applies the filter to this process and all below it. Needs no-new-privs.
pub(crate) fn apply(sockets: Sockets) -> io::Result<()> {
    let refused = i32_of(libc::EPERM);
    let absent = i32_of(libc::ENOSYS);
    for program in [program(rules(sockets)?, refused)?, program(clone3(), absent)?] {
        apply_filter(&program).map_err(io::Error::other)?;
    }
    Ok(())
}

fn i32_of(errno: libc::c_int) -> SeccompAction {
    SeccompAction::Errno(errno.unsigned_abs())
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
    let ioctl = [TIOCSTI, TIOCLINUX].map(|request| rule(1, SeccompCmpOp::Eq, request));
    rules.insert(libc::SYS_ioctl, ioctl.into_iter().collect::<io::Result<_>>()?);
    let allowed: &[libc::c_int] = match sockets {
        Sockets::All => return Ok(rules),
        Sockets::Held => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
        Sockets::Local => &[libc::AF_UNIX],
    };
    let not = allowed
        .iter()
        .map(|family| condition(0, SeccompCmpOp::Ne, u64::from(family.unsigned_abs())));
    let not = not.collect::<io::Result<Vec<_>>>()?;
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(not).map_err(io::Error::other)?]);
    Ok(rules)
}

/// Its flags are out of a filter's sight; programs fall back to `clone`.
fn clone3() -> Rules {
    BTreeMap::from([(libc::SYS_clone3, Vec::new())])
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> io::Result<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
        .map_err(io::Error::other)
}

fn rule(argument: u8, operator: SeccompCmpOp, value: u64) -> io::Result<SeccompRule> {
    SeccompRule::new(vec![condition(argument, operator, value)?]).map_err(io::Error::other)
}
