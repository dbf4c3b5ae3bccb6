//! Pipes and pseudo consoles.

use std::{
    fs::{File, OpenOptions},
    io,
    os::windows::io::AsRawHandle,
    sync::atomic::{AtomicU64, Ordering},
};
use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};
use windows_sys::Win32::System::Console::{COORD, ClosePseudoConsole, CreatePseudoConsole, HPCON};

/// Its size: what programs assume where they are told nothing.
const SIZE: COORD = COORD { X: 80, Y: 24 };

fn pipe(to_command: bool) -> io::Result<(NamedPipeServer, File)> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!(r"\\.\pipe\troupe-{}-{number}", std::process::id());
    let server = ServerOptions::new()
        .access_inbound(!to_command)
        .access_outbound(to_command)
        .first_pipe_instance(true)
        .reject_remote_clients(true)
        .max_instances(1)
        .create(&name)?;
    let client = OpenOptions::new().read(to_command).write(!to_command).open(&name)?;
    Ok((server, client))
}

/// A pipe that the command writes to.
pub(super) fn pipe_from_command() -> io::Result<(NamedPipeServer, File)> {
    pipe(false)
}

/// A pipe that the command reads from.
pub(super) fn pipe_to_command() -> io::Result<(NamedPipeServer, File)> {
    pipe(true)
}

/// A pseudo console (ConPTY). The command's output ends when it is closed.
pub(super) struct Terminal(HPCON);

impl Terminal {
    pub(super) fn new(input: &File, output: &File) -> io::Result<Self> {
        let mut console: HPCON = 0;
        // SAFETY: both handles are open; the console duplicates them.
        let result = unsafe {
            let (input, output) = (input.as_raw_handle(), output.as_raw_handle());
            CreatePseudoConsole(SIZE, input, output, 0, &raw mut console)
        };
        if result < 0 { Err(io::Error::from_raw_os_error(result)) } else { Ok(Self(console)) }
    }

    pub(super) fn as_raw(&self) -> HPCON {
        self.0
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // SAFETY: it was made by `new` and is closed once.
        unsafe { ClosePseudoConsole(self.0) };
    }
}
