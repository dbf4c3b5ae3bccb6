//! Starting a process: with the handles that are its own and no others, in its job before it runs.

use super::{
    job::Job,
    terminal::Terminal,
    text::{command_line, environment, wide},
    token::Token,
};
use crate::{LaunchError, profile::Command};
use std::{
    ffi::{OsString, c_void},
    fs::File,
    io,
    os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle},
    path::Path,
    ptr,
};
use windows_sys::Win32::{
    Foundation::{HANDLE, HANDLE_FLAG_INHERIT, SetHandleInformation, TRUE, WAIT_OBJECT_0},
    System::{
        Console::{GetStdHandle, STD_ERROR_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE},
        Threading::{
            CREATE_NO_WINDOW, CREATE_SUSPENDED, CREATE_UNICODE_ENVIRONMENT, CreateProcessAsUserW,
            CreateProcessW, DeleteProcThreadAttributeList, EXTENDED_STARTUPINFO_PRESENT,
            GetExitCodeProcess, INFINITE, InitializeProcThreadAttributeList,
            PROC_THREAD_ATTRIBUTE_HANDLE_LIST, PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE,
            PROCESS_INFORMATION, ResumeThread, STARTF_USESTDHANDLES, STARTUPINFOEXW,
            TerminateProcess, UpdateProcThreadAttribute, WaitForSingleObject,
        },
    },
};

/// What a command is connected to.
pub(super) enum Streams<'a> {
    /// One pipe for both outputs, so that their order stays, and nothing to read.
    Pipes { output: &'a File },
    /// A terminal of its own.
    Terminal(&'a Terminal),
    /// What this process is connected to.
    Own,
}

/// What holds a command.
pub(super) struct Held {
    pub(super) token: Token,
}

/// A started process.
pub(super) struct Process(OwnedHandle);

impl Process {
    /// Waits for its end.
    pub(super) fn wait(&self) -> io::Result<i32> {
        let mut code = 0;
        // SAFETY: the handle is open; `code` has room for what is written.
        unsafe {
            if WaitForSingleObject(self.0.as_raw_handle(), INFINITE) != WAIT_OBJECT_0
                || GetExitCodeProcess(self.0.as_raw_handle(), &raw mut code) == 0
            {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(code.cast_signed())
    }
}

/// Starts a command in a job.
pub(super) fn start(
    command: &Command,
    held: Option<&Held>,
    streams: &Streams<'_>,
    job: &Job,
) -> Result<Process, LaunchError> {
    let name = command.argv.first().map(|name| name.display().to_string()).unwrap_or_default();
    if name.is_empty() {
        return Err(LaunchError::Program("no program".to_owned()));
    }
    create(command, held, streams, job)
        .map_err(|error| LaunchError::Program(format!("{name} cannot be run: {error}")))
}

fn create(
    command: &Command,
    held: Option<&Held>,
    streams: &Streams<'_>,
    job: &Job,
) -> io::Result<Process> {
    let nothing = File::open("NUL")?;
    let own = |which| {
        // SAFETY: asks for a handle of this process; none of them is closed here.
        unsafe { GetStdHandle(which) }
    };
    let handles: Option<[HANDLE; 3]> = match streams {
        Streams::Pipes { output } => {
            Some([nothing.as_raw_handle(), output.as_raw_handle(), output.as_raw_handle()])
        }
        Streams::Own => Some([STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE].map(own)),
        Streams::Terminal(_) => None,
    };
    let mut attributes = Attributes::new(1)?;
    let mut info = STARTUPINFOEXW::default();
    info.StartupInfo.cb = u32::try_from(size_of_val(&info)).map_err(io::Error::other)?;
    // Lives until the process is made: the list refers to it.
    let inherited = handles.map(unique).unwrap_or_default();
    if let Some([stdin, stdout, stderr]) = handles {
        for handle in &inherited {
            // SAFETY: an open handle; what cannot be inherited is not.
            unsafe { SetHandleInformation(*handle, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT) };
        }
        info.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
        info.StartupInfo.hStdInput = stdin;
        info.StartupInfo.hStdOutput = stdout;
        info.StartupInfo.hStdError = stderr;
        let list = inherited.as_ptr().cast::<c_void>();
        attributes.put(PROC_THREAD_ATTRIBUTE_HANDLE_LIST, list, size_of_val(&*inherited))?;
    }
    if let Streams::Terminal(terminal) = streams {
        // The attribute is the handle itself, not a place where it stands.
        let console = terminal.as_raw() as *const c_void;
        attributes.put(PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE, console, size_of::<isize>())?;
    }
    info.lpAttributeList = attributes.as_ptr();
    let mut flags = CREATE_SUSPENDED | CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT;
    if matches!(streams, Streams::Pipes { .. }) {
        flags |= CREATE_NO_WINDOW;
    }
    let mut line = command_line(&command.argv);
    let block = environment(&command.env);
    let cwd = wide(&plain(&command.cwd));
    let mut made = PROCESS_INFORMATION::default();
    let inherit = if handles.is_some() { TRUE } else { 0 };
    let (none, env) = (ptr::null(), block.as_ptr().cast::<c_void>());
    let start = (&raw const info).cast();
    // SAFETY: texts end with a zero, the block with two; everything lives for the time of the call;
    // the line is ours to be changed. Both handles that come back are owned here and nowhere else.
    let (process, thread) = unsafe {
        let (line, cwd, made_at) = (line.as_mut_ptr(), cwd.as_ptr(), &raw mut made);
        let done = match held {
            Some(held) => CreateProcessAsUserW(
                held.token.as_raw(),
                ptr::null(),
                line,
                none,
                none,
                inherit,
                flags,
                env,
                cwd,
                start,
                made_at,
            ),
            None => CreateProcessW(
                ptr::null(),
                line,
                none,
                none,
                inherit,
                flags,
                env,
                cwd,
                start,
                made_at,
            ),
        };
        if done == 0 {
            return Err(io::Error::last_os_error());
        }
        (OwnedHandle::from_raw_handle(made.hProcess), OwnedHandle::from_raw_handle(made.hThread))
    };
    if let Err(error) = job.take_in(&process) {
        // SAFETY: it has not run: nothing is lost.
        unsafe { TerminateProcess(process.as_raw_handle(), 1) };
        return Err(error);
    }
    // SAFETY: the handle is open, the thread is suspended once.
    if unsafe { ResumeThread(thread.as_raw_handle()) } == u32::MAX {
        return Err(io::Error::last_os_error());
    }
    Ok(Process(process))
}

/// A directory without the prefix of verbatim paths, which programs such as `cmd` do not take.
fn plain(folder: &Path) -> OsString {
    let text = folder.as_os_str().to_string_lossy();
    match text.strip_prefix(r"\\?\") {
        Some(rest) if rest.as_bytes().get(1) == Some(&b':') => rest.into(),
        _ => folder.into(),
    }
}

/// The system refuses a handle that is named twice.
fn unique(handles: [HANDLE; 3]) -> Vec<HANDLE> {
    let mut all = Vec::new();
    for handle in handles.into_iter().filter(|handle| !handle.is_null()) {
        if !all.contains(&handle) {
            all.push(handle);
        }
    }
    all
}

/// Attributes of a process to be made.
struct Attributes(Vec<u64>);

impl Attributes {
    fn new(count: u32) -> io::Result<Self> {
        let mut size = 0;
        // SAFETY: asks for the size only.
        unsafe { InitializeProcThreadAttributeList(ptr::null_mut(), count, 0, &raw mut size) };
        // Of words, so that it is aligned.
        let mut list = Self(vec![0; size.div_ceil(size_of::<u64>()).max(1)]);
        // SAFETY: the buffer has room for that many bytes.
        let made = unsafe {
            InitializeProcThreadAttributeList(list.0.as_mut_ptr().cast(), count, 0, &raw mut size)
        };
        if made == 0 {
            // Nothing to be deleted.
            std::mem::take(&mut list.0);
            return Err(io::Error::last_os_error());
        }
        Ok(list)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.0.as_mut_ptr().cast()
    }

    /// Puts one in; what it points to has to live until the process is made.
    fn put(&mut self, kind: u32, value: *const c_void, size: usize) -> io::Result<()> {
        let (list, none) = (self.as_ptr(), ptr::null_mut());
        // SAFETY: the list was made by `new`; the value is of the kind and the size that are named.
        let done = unsafe {
            UpdateProcThreadAttribute(list, 0, kind as usize, value, size, none, ptr::null())
        };
        if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            // SAFETY: the list was made by `new` and is deleted once.
            unsafe { DeleteProcThreadAttributeList(self.0.as_mut_ptr().cast()) };
        }
    }
}
