//! The system call filter: what a command has no business with.
//!
//! The kernel runs a new filter once for every call there is, to find those that it always allows; so
//! the time it takes to start a command depends on how many steps a call needs. The calls are found by
//! halving, in one program for all that is refused.

use seccompiler::{BpfProgram, apply_filter, sock_filter};
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
const NAMESPACES: u32 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP)
    .cast_unsigned();

/// Puts words into a terminal's input.
const TIOCSTI: u32 = 0x5412;
/// Pastes a console's selection.
const TIOCLINUX: u32 = 0x541C;

/// Takes over a console's output.
const TIOCCONS: u32 = 0x541D;

const SET_USER_ID: u32 = libc::S_ISUID;
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
const MAKES: u32 = libc::O_CREAT.cast_unsigned();
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
    internet: BpfProgram,
    local: BpfProgram,
}

static PROGRAMS: OnceLock<Programs> = OnceLock::new();

/// Makes the filters, so that commands forked from here on have them.
pub(crate) fn prepare() {
    PROGRAMS.get_or_init(|| Programs {
        internet: program(&rules(Sockets::Internet)),
        local: program(&rules(Sockets::Local)),
    });
}

/// Applies the filter to this process and all below it. Needs no-new-privs, and [`prepare`].
pub(crate) fn apply(sockets: Sockets) -> io::Result<()> {
    let programs = PROGRAMS.get().ok_or(io::ErrorKind::Unsupported)?;
    let program = match sockets {
        Sockets::Internet => &programs.internet,
        Sockets::Local => &programs.local,
    };
    apply_filter(program).map_err(io::Error::other)
}

/// What becomes of a call.
enum Rule {
    /// It fails with this error.
    Fails(libc::c_int),
    /// It is not permitted if all conditions of one of these hold.
    FailsIf(Vec<Vec<Condition>>),
}

/// A condition on an argument: its number, and its lower half.
enum Condition {
    Is(u8, u32),
    IsNone(u8, &'static [libc::c_int]),
    /// One of these bits is set.
    Has(u8, u32),
}

type Rules = BTreeMap<libc::c_long, Rule>;

fn rules(sockets: Sockets) -> Rules {
    use Condition::{Has, Is, IsNone};
    let mut rules: Rules = REFUSED.iter().map(|call| (*call, Rule::Fails(libc::EPERM))).collect();
    // Their flags are out of a filter's sight; programs fall back to `clone` and `openat`.
    for call in [libc::SYS_clone3, libc::SYS_openat2] {
        rules.insert(call, Rule::Fails(libc::ENOSYS));
    }
    let mut fails_if = |call, any: Vec<Vec<Condition>>| rules.insert(call, Rule::FailsIf(any));
    fails_if(libc::SYS_clone, vec![vec![Has(0, NAMESPACES)]]);
    let terminals = [TIOCSTI, TIOCLINUX, TIOCCONS];
    fails_if(libc::SYS_ioctl, terminals.map(|request| vec![Is(1, request)]).into());
    // A program left behind that runs with the rights of whoever owns it.
    for (call, mode) in SET_MODE {
        fails_if(*call, vec![vec![Has(*mode, SET_USER_ID)]]);
    }
    for (call, flags) in CREATE {
        fails_if(*call, vec![vec![Has(*flags, MAKES), Has(*flags + 1, SET_USER_ID)]]);
    }
    // Families beyond these reach the kernel, the hardware or the host of a virtual machine.
    let allowed: &[libc::c_int] = match sockets {
        Sockets::Internet => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6],
        Sockets::Local => &[libc::AF_UNIX],
    };
    fails_if(libc::SYS_socket, vec![vec![IsNone(0, allowed)]]);
    fails_if(libc::SYS_socketpair, vec![vec![IsNone(0, &[libc::AF_UNIX])]]);
    rules
}

/// Places in what a filter sees (seccomp(2), `struct seccomp_data`).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;
/// The numbers of the 32-bit calls that 64-bit programs can make (x32) begin here.
const X32: u32 = 0x4000_0000;

#[cfg(target_arch = "x86_64")]
const OURS: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const OURS: u32 = 0xC000_00B7;
#[cfg(target_arch = "riscv64")]
const OURS: u32 = 0xC000_00F3;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

fn program(rules: &Rules) -> BpfProgram {
    let rules: Vec<(u32, &Rule)> =
        rules.iter().filter_map(|(call, rule)| Some((u32::try_from(*call).ok()?, rule))).collect();
    let mut program = vec![
        load(ARCHITECTURE),
        // Calls of another architecture end the process.
        jump(libc::BPF_JEQ, OURS, 1, 0),
        give(libc::SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
    ];
    if cfg!(target_arch = "x86_64") {
        program.extend([jump(libc::BPF_JGE, X32, 0, 1), give(error(libc::ENOSYS))]);
    }
    program.extend(search(&rules));
    program
}

/// Finds the rule of the call that is loaded; every way through ends with a verdict.
fn search(rules: &[(u32, &Rule)]) -> BpfProgram {
    let mut program = Vec::new();
    if rules.len() > 2 {
        let (low, high) = rules.split_at(rules.len() / 2);
        let below = search(low);
        match u8::try_from(below.len()) {
            Ok(length) => program.push(jump(libc::BPF_JGE, high[0].0, length, 0)),
            // Too far for a conditional jump.
            Err(_) => {
                let length = u32::try_from(below.len()).unwrap_or(u32::MAX);
                program.push(jump(libc::BPF_JGE, high[0].0, 0, 1));
                program.push(instruction(libc::BPF_JMP | libc::BPF_JA, length, 0, 0));
            }
        }
        program.extend(below);
        program.extend(search(high));
        return program;
    }
    for (call, rule) in rules {
        let then = verdict(rule);
        let length = u8::try_from(then.len()).unwrap_or(u8::MAX);
        program.push(jump(libc::BPF_JEQ, *call, 0, length));
        program.extend(then);
    }
    program.push(give(ALLOW));
    program
}

fn verdict(rule: &Rule) -> BpfProgram {
    let any = match rule {
        Rule::Fails(errno) => return vec![give(error(*errno))],
        Rule::FailsIf(any) => any,
    };
    let mut program = Vec::new();
    for all in any {
        // From the last condition to the first: each leads past the rest if it does not hold.
        let mut rest = vec![give(error(libc::EPERM))];
        for condition in all.iter().rev() {
            let past = u8::try_from(rest.len()).unwrap_or(u8::MAX);
            let mut test = match condition {
                Condition::Is(argument, value) => {
                    vec![load(low_half(*argument)), jump(libc::BPF_JEQ, *value, 0, past)]
                }
                Condition::Has(argument, bits) => {
                    vec![load(low_half(*argument)), jump(libc::BPF_JSET, *bits, 0, past)]
                }
                Condition::IsNone(argument, values) => {
                    let mut test = vec![load(low_half(*argument))];
                    for (place, value) in values.iter().enumerate() {
                        let left = u8::try_from(values.len() - 1 - place).unwrap_or(0);
                        test.push(jump(libc::BPF_JEQ, value.cast_unsigned(), past + left, 0));
                    }
                    test
                }
            };
            test.extend(rest);
            rest = test;
        }
        program.extend(rest);
    }
    program.push(give(ALLOW));
    program
}

fn low_half(argument: u8) -> u32 {
    let half = if cfg!(target_endian = "big") { 4 } else { 0 };
    ARGUMENTS + 8 * u32::from(argument) + half
}

fn error(errno: libc::c_int) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno.unsigned_abs()
}

fn load(place: u32) -> sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, place, 0, 0)
}

fn jump(how: u32, value: u32, if_so: u8, if_not: u8) -> sock_filter {
    instruction(libc::BPF_JMP | how | libc::BPF_K, value, if_so, if_not)
}

fn give(verdict: u32) -> sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, verdict, 0, 0)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    // The codes are of eight bits (bpf(4)).
    let code = u16::try_from(code).unwrap_or(u16::MAX);
    sock_filter { code, jt, jf, k }
}
