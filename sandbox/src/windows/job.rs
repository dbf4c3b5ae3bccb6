//! A job object: what a command started, as one.

use std::{
    ffi::c_void,
    io,
    os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle},
    ptr,
    time::Duration,
};
use troupe_types::CommandLimits;
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_ACTIVE_PROCESS,
    JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOB_OBJECT_LIMIT_PROCESS_MEMORY, JOBOBJECT_BASIC_ACCOUNTING_INFORMATION,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectBasicAccountingInformation,
    JobObjectExtendedLimitInformation, QueryInformationJobObject, SetInformationJobObject,
    TerminateJobObject,
};

/// A job object. Everything in it ends when its only handle is closed, for whatever reason.
pub(super) struct Job(OwnedHandle);

impl Job {
    pub(super) fn new(limits: &CommandLimits) -> io::Result<Self> {
        // SAFETY: no attributes, no name; the handle is owned here and nowhere else.
        let job = unsafe {
            let handle = CreateJobObjectW(ptr::null(), ptr::null());
            if handle.is_null() {
                return Err(io::Error::last_os_error());
            }
            Self(OwnedHandle::from_raw_handle(handle))
        };
        let mut info = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        info.BasicLimitInformation.LimitFlags =
            JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION;
        if let Some(most) = limits.processes {
            info.BasicLimitInformation.LimitFlags |= JOB_OBJECT_LIMIT_ACTIVE_PROCESS;
            info.BasicLimitInformation.ActiveProcessLimit = u32::try_from(most).unwrap_or(u32::MAX);
        }
        if let Some(most) = limits.memory {
            info.BasicLimitInformation.LimitFlags |= JOB_OBJECT_LIMIT_PROCESS_MEMORY;
            info.ProcessMemoryLimit = usize::try_from(most).unwrap_or(usize::MAX);
        }
        let size = u32::try_from(size_of_val(&info)).map_err(io::Error::other)?;
        // SAFETY: the structure is of the kind that is named, with its size, and lives for the call.
        let set = unsafe {
            SetInformationJobObject(
                job.0.as_raw_handle(),
                JobObjectExtendedLimitInformation,
                (&raw const info).cast::<c_void>(),
                size,
            )
        };
        if set == 0 { Err(io::Error::last_os_error()) } else { Ok(job) }
    }

    /// Takes a process in, which has not run yet.
    pub(super) fn take_in(&self, process: &OwnedHandle) -> io::Result<()> {
        // SAFETY: both handles are open.
        let taken =
            unsafe { AssignProcessToJobObject(self.0.as_raw_handle(), process.as_raw_handle()) };
        if taken == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Ends everything in it.
    pub(super) fn end(&self) {
        // SAFETY: the handle is open; a job without processes is ended without effect.
        let _none = unsafe { TerminateJobObject(self.0.as_raw_handle(), 1) };
    }

    /// How many processes live in it.
    pub(super) fn living(&self) -> u32 {
        self.accounts().map_or(0, |accounts| accounts.ActiveProcesses)
    }

    /// The processor time of everything that was ever in it.
    pub(super) fn busy(&self) -> Duration {
        self.accounts().map_or(Duration::ZERO, |accounts| {
            let ticks = accounts.TotalUserTime.saturating_add(accounts.TotalKernelTime);
            // Of 100 nanoseconds.
            Duration::from_micros(u64::try_from(ticks).unwrap_or(0) / 10)
        })
    }

    fn accounts(&self) -> Option<JOBOBJECT_BASIC_ACCOUNTING_INFORMATION> {
        let mut info = JOBOBJECT_BASIC_ACCOUNTING_INFORMATION::default();
        let size = u32::try_from(size_of_val(&info)).ok()?;
        // SAFETY: as in `new`, for reading.
        let read = unsafe {
            QueryInformationJobObject(
                self.0.as_raw_handle(),
                JobObjectBasicAccountingInformation,
                (&raw mut info).cast::<c_void>(),
                size,
                ptr::null_mut(),
            )
        };
        (read != 0).then_some(info)
    }
}
