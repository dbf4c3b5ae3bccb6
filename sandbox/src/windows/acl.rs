//! Entries in the access lists of folders, for made-up identities.

use super::{text::wide, token::Sid};
use std::{io, path::Path, ptr};
use windows_sys::Win32::{
    Foundation::{ERROR_SUCCESS, LocalFree},
    Security::{
        ACL,
        Authorization::{
            ACCESS_MODE, DENY_ACCESS, EXPLICIT_ACCESS_W, GRANT_ACCESS, GetNamedSecurityInfoW,
            SE_FILE_OBJECT, SetEntriesInAclW, SetNamedSecurityInfoW, TRUSTEE_IS_SID,
            TRUSTEE_IS_UNKNOWN, TRUSTEE_W,
        },
        DACL_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, SUB_CONTAINERS_AND_OBJECTS_INHERIT,
    },
    Storage::FileSystem::{
        DELETE, FILE_APPEND_DATA, FILE_DELETE_CHILD, FILE_GENERIC_EXECUTE, FILE_GENERIC_READ,
        FILE_GENERIC_WRITE, FILE_WRITE_ATTRIBUTES, FILE_WRITE_DATA, FILE_WRITE_EA, WRITE_DAC,
        WRITE_OWNER,
    },
};

/// What writing is made of.
const WRITING: u32 = FILE_WRITE_DATA
    | FILE_APPEND_DATA
    | FILE_WRITE_EA
    | FILE_WRITE_ATTRIBUTES
    | FILE_DELETE_CHILD
    | DELETE
    | WRITE_DAC
    | WRITE_OWNER;

/// Lets an identity change what is in a folder, now and later. Doing it again changes nothing.
pub(super) fn allow_writing(folder: &Path, sid: &Sid) -> io::Result<()> {
    let rights = FILE_GENERIC_READ | FILE_GENERIC_EXECUTE | FILE_GENERIC_WRITE | DELETE;
    put(folder, sid, GRANT_ACCESS, rights)
}

/// Keeps it from changing this entry and what is in it.
pub(super) fn deny_writing(entry: &Path, sid: &Sid) -> io::Result<()> {
    put(entry, sid, DENY_ACCESS, WRITING)
}

fn put(path: &Path, sid: &Sid, mode: ACCESS_MODE, rights: u32) -> io::Result<()> {
    let name = wide(path.as_os_str());
    let failed = |code: u32| {
        let error = io::Error::from_raw_os_error(code.cast_signed());
        Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    };
    let mut old: *mut ACL = ptr::null_mut();
    let mut descriptor: PSECURITY_DESCRIPTOR = ptr::null_mut();
    // SAFETY: the name ends with a zero; the list lies inside the descriptor, which is freed below.
    let code = unsafe {
        GetNamedSecurityInfoW(
            name.as_ptr(),
            SE_FILE_OBJECT,
            DACL_SECURITY_INFORMATION,
            ptr::null_mut(),
            ptr::null_mut(),
            &raw mut old,
            ptr::null_mut(),
            &raw mut descriptor,
        )
    };
    if code != ERROR_SUCCESS {
        return failed(code);
    }
    let descriptor = Allocated(descriptor);
    let entry = EXPLICIT_ACCESS_W {
        grfAccessPermissions: rights,
        grfAccessMode: mode,
        grfInheritance: SUB_CONTAINERS_AND_OBJECTS_INHERIT,
        Trustee: TRUSTEE_W {
            pMultipleTrustee: ptr::null_mut(),
            MultipleTrusteeOperation: 0,
            TrusteeForm: TRUSTEE_IS_SID,
            TrusteeType: TRUSTEE_IS_UNKNOWN,
            ptstrName: sid.as_ptr().cast(),
        },
    };
    let mut new: *mut ACL = ptr::null_mut();
    // SAFETY: one entry, whose identity lives for the call; the old list lives in the descriptor.
    let code = unsafe { SetEntriesInAclW(1, &raw const entry, old, &raw mut new) };
    if code != ERROR_SUCCESS {
        return failed(code);
    }
    let new = Allocated(new.cast());
    // SAFETY: the list was made just now, and lives for the call.
    let code = unsafe {
        SetNamedSecurityInfoW(
            name.as_ptr(),
            SE_FILE_OBJECT,
            DACL_SECURITY_INFORMATION,
            ptr::null_mut(),
            ptr::null_mut(),
            new.0.cast(),
            ptr::null(),
        )
    };
    drop((descriptor, new));
    if code == ERROR_SUCCESS { Ok(()) } else { failed(code) }
}

/// Something that the system allocated for us.
struct Allocated(*mut std::ffi::c_void);

impl Drop for Allocated {
    fn drop(&mut self) {
        // SAFETY: it was allocated by the system for this owner.
        unsafe { LocalFree(self.0) };
    }
}
