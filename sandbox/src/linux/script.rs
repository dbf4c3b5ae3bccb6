//! Scripts that are too long for an argument: Linux takes 128 KiB for one, and a quarter of the stack's
//! limit for all of them and the environment.

use super::sys;
use crate::profile::Command;
use std::{
    ffi::OsString,
    fs::File,
    io,
    os::{
        fd::{AsRawFd, IntoRawFd},
        unix::ffi::OsStrExt,
    },
};

/// The longest script that is an argument, in bytes: there is room for it under every limit.
const MAX_ARGUMENT: usize = 64 << 10;

/// Puts a long script into a file in memory, in the leader: the shell gets the arguments that are
/// returned and reads it by its number. `None` if the arguments may stay as they are. What the leader
/// does not need is closed, but `kept`.
///
/// The shell is still given its script by `-c`, so `$0`, `$-`, its input and its exit code are what they
/// always are. The first thing the script does is to close the descriptor: no program it starts has it.
pub(crate) fn hand_over(command: &Command, kept: &File) -> io::Result<Option<Vec<OsString>>> {
    let script = command.argv.last().filter(|text| command.script && text.len() > MAX_ARGUMENT);
    let Some((script, (_, before))) = script.zip(command.argv.split_last()) else {
        return Ok(None);
    };
    // Shells know descriptors of one digit only.
    sys::close_others([kept.as_raw_fd()].into_iter(), 3)?;
    let number = if kept.as_raw_fd() == 3 { 4 } else { 3 };
    let mut text = format!("exec {number}<&-; ").into_bytes();
    text.extend_from_slice(script.as_bytes());
    let file = sys::memory_file(c"script", &text, 0)?;
    if file.as_raw_fd() != number {
        return Err(io::Error::from_raw_os_error(libc::EMFILE));
    }
    // It is the shell's from here on.
    let number = file.into_raw_fd();
    let file = format!("/proc/self/fd/{number}");
    // zsh changes `$0` for what it sources.
    let read = format!("case ${{ZSH_VERSION+z}} in z) eval \"$(<{file})\";; *) . {file};; esac");
    let read = OsString::from(read);
    Ok(Some(before.iter().cloned().chain([read]).collect()))
}
