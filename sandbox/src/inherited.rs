//! What a process inherits from whoever started it: put in order once, at the start.
//!
//! A parent may leave signals ignored or blocked, a mask that takes a file away from its own owner, or
//! hardly any stack. None of that may change what a run does. Left as they are: an ignored HUP or INT
//! (`nohup`, `command &` in a script), which is what the user asked for; limits, for commands have the
//! same; descriptors, which may be named on the command line (`/dev/fd/63`) and reach no command.

#![allow(
    unsafe_code,
    reason = "system calls that no library wraps; each block says why it is sound"
)]

use std::{io, mem::MaybeUninit};

/// What the owner may do with a new file is never taken away.
const OWNER: libc::mode_t = 0o700;
/// The least stack that the first thread can do its work with, in bytes.
const LEAST_STACK: libc::rlim_t = 4 << 20;
/// Signals that ask a process to end.
const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Puts signals and the mask of new files in order. For the beginning of `main`, before there are other
/// threads. INT, TERM and HUP wait until [`let_signals_in`]: a program that handles them is not killed
/// by one that comes before its handlers.
pub fn put_in_order() {
    signals(&ENDING);
    // SAFETY: sets and gives back an integer of this process.
    unsafe {
        let mask = libc::umask(0o077);
        libc::umask(mask & !OWNER);
    }
}

/// Signals as processes of ours need them: no others blocked than these; ends of children are told; a
/// file that grows past its limit is an error of that write, not the end of the process.
pub(crate) fn signals(blocked: &[i32]) {
    let blocked = set_of(blocked);
    // SAFETY: the set is initialised; only dispositions of this process change, to ones that run no
    // code.
    unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, &raw const blocked, std::ptr::null_mut());
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Lets INT, TERM and HUP in, on this thread and those that it starts: what has come since
/// [`put_in_order`] is handled now, or ends the process if nothing handles it.
pub fn let_signals_in() {
    let ending = set_of(&ENDING);
    // SAFETY: the set is initialised; only the mask of this thread changes.
    unsafe {
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const ending, std::ptr::null_mut());
    }
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the set before anything else uses it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

/// Whether a signal is ignored now: at the start, as the parent left it.
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: asks only; `action` has room for what the call writes, and zeroes are valid if it fails.
    let action = unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

/// Does the work of `main`: on a thread with enough stack where the first one has too little.
pub fn with_enough_stack<T: Send + 'static>(work: fn() -> T) -> T {
    if !stack_limit().is_ok_and(|limit| limit < LEAST_STACK) {
        return work();
    }
    let size = usize::try_from(2 * LEAST_STACK).unwrap_or(usize::MAX);
    match std::thread::Builder::new().name("main".to_owned()).stack_size(size).spawn(work) {
        Ok(thread) => match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        },
        Err(_) => work(),
    }
}

fn stack_limit() -> io::Result<libc::rlim_t> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` has room for what the call writes.
    match unsafe { libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit) } {
        0 => Ok(limit.rlim_cur),
        _ => Err(io::Error::last_os_error()),
    }
}
