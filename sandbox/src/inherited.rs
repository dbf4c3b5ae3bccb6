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

/// Puts signals and the mask of new files in order. For the beginning of `main`, before there are other
/// threads.
pub fn put_in_order() {
    signals();
    // SAFETY: sets and gives back an integer of this process.
    unsafe {
        let mask = libc::umask(0o077);
        libc::umask(mask & !OWNER);
    }
}

/// Signals as processes of ours need them: none blocked; ends of children are told; a file that grows
/// past its limit is an error of that write, not the end of the process.
pub(crate) fn signals() {
    // SAFETY: the set is initialised before it is used; only dispositions of this process change, to
    // ones that run no code.
    unsafe {
        let mut none = MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
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
