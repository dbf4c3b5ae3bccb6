//! Tokens that may write only where an entry for one of their own identities allows it.

use super::text::wide;
use std::{
    ffi::{OsString, c_void},
    io,
    os::windows::{
        ffi::OsStrExt,
        io::{AsRawHandle, FromRawHandle, OwnedHandle, RawHandle},
    },
    path::Path,
    ptr,
};
use windows_sys::Win32::{
    Foundation::{HANDLE, LocalFree},
    Security::{
        Authorization::ConvertStringSidToSidW, CreateRestrictedToken, DISABLE_MAX_PRIVILEGE,
        GetTokenInformation, LUA_TOKEN, PSID, SID_AND_ATTRIBUTES, TOKEN_ADJUST_DEFAULT,
        TOKEN_ASSIGN_PRIMARY, TOKEN_DUPLICATE, TOKEN_GROUPS, TOKEN_QUERY, TokenGroups,
        WRITE_RESTRICTED,
    },
    System::{
        SystemServices::SE_GROUP_LOGON_ID,
        Threading::{GetCurrentProcess, OpenProcessToken},
    },
};

/// Everybody: programs write to the null device, consoles and shared objects by it.
const EVERYONE: &str = "S-1-1-0";

/// An identity.
pub(super) struct Sid(PSID);

impl Sid {
    fn parse(text: &str) -> io::Result<Self> {
        let text = wide(&OsString::from(text));
        let mut sid = ptr::null_mut();
        // SAFETY: the text ends with a zero; the identity that is made is freed by `drop`.
        if unsafe { ConvertStringSidToSidW(text.as_ptr(), &raw mut sid) } == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(sid))
    }

    /// The made-up identity that may write to a folder: always the same for the same folder, and
    /// nobody's (a domain of random numbers, made of a hash of the path).
    pub(super) fn of_folder(folder: &Path) -> io::Result<Self> {
        let mut parts = [0u32; 3];
        for (salt, part) in (0u64..).zip(&mut parts) {
            let mut hash = 0xcbf2_9ce4_8422_2325u64 ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for unit in folder.as_os_str().encode_wide() {
                hash = (hash ^ u64::from(unit)).wrapping_mul(0x0100_0000_01b3);
            }
            *part = u32::try_from(hash >> 32).unwrap_or_default();
        }
        let [one, two, three] = parts;
        Self::parse(&format!("S-1-5-21-{one}-{two}-{three}-1975"))
    }

    pub(super) fn as_ptr(&self) -> PSID {
        self.0
    }
}

impl Drop for Sid {
    fn drop(&mut self) {
        // SAFETY: it was allocated by the system for this owner.
        unsafe { LocalFree(self.0) };
    }
}

/// An access token.
pub(super) struct Token(OwnedHandle);

impl Token {
    /// Our own, without privileges and administrators' rights; writing needs, beside our own right,
    /// one of these identities, our logon session's, or everybody's.
    pub(super) fn restricted(identities: &[Sid]) -> io::Result<Self> {
        let own = own_token()?;
        let everyone = Sid::parse(EVERYONE)?;
        let groups = Groups::of(&own)?;
        let entry = |sid: PSID| SID_AND_ATTRIBUTES { Sid: sid, Attributes: 0 };
        let mut restricting: Vec<_> = identities.iter().map(|sid| entry(sid.as_ptr())).collect();
        restricting.push(entry(everyone.as_ptr()));
        restricting.extend(groups.logon().map(entry));
        let count = u32::try_from(restricting.len()).map_err(io::Error::other)?;
        let mut made: HANDLE = ptr::null_mut();
        // SAFETY: all identities live for the time of the call, and the count is theirs; the new
        // token is owned here and nowhere else.
        unsafe {
            let done = CreateRestrictedToken(
                own.as_raw_handle(),
                DISABLE_MAX_PRIVILEGE | LUA_TOKEN | WRITE_RESTRICTED,
                0,
                ptr::null(),
                0,
                ptr::null(),
                count,
                restricting.as_ptr(),
                &raw mut made,
            );
            if done == 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self(OwnedHandle::from_raw_handle(made)))
        }
    }

    pub(super) fn as_raw(&self) -> RawHandle {
        self.0.as_raw_handle()
    }
}

fn own_token() -> io::Result<OwnedHandle> {
    let access = TOKEN_DUPLICATE | TOKEN_QUERY | TOKEN_ASSIGN_PRIMARY | TOKEN_ADJUST_DEFAULT;
    let mut token: HANDLE = ptr::null_mut();
    // SAFETY: our own process's pseudo handle; the token is owned here and nowhere else.
    unsafe {
        if OpenProcessToken(GetCurrentProcess(), access, &raw mut token) == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedHandle::from_raw_handle(token))
    }
}

/// The groups of a token, as the system wrote them.
struct Groups(Vec<u64>);

impl Groups {
    fn of(token: &OwnedHandle) -> io::Result<Self> {
        let mut size = 0;
        // SAFETY: asks for the size only.
        unsafe {
            let handle = token.as_raw_handle();
            GetTokenInformation(handle, TokenGroups, ptr::null_mut(), 0, &raw mut size)
        };
        // Of words, so that it is aligned.
        let mut buffer = vec![0u64; (size as usize).div_ceil(size_of::<u64>()).max(1)];
        let room = u32::try_from(buffer.len() * size_of::<u64>()).map_err(io::Error::other)?;
        // SAFETY: the buffer has room for that many bytes.
        let read = unsafe {
            GetTokenInformation(
                token.as_raw_handle(),
                TokenGroups,
                buffer.as_mut_ptr().cast::<c_void>(),
                room,
                &raw mut size,
            )
        };
        if read == 0 { Err(io::Error::last_os_error()) } else { Ok(Self(buffer)) }
    }

    /// The identity of the logon session, if there is one.
    fn logon(&self) -> Option<PSID> {
        let groups = self.0.as_ptr().cast::<TOKEN_GROUPS>();
        // SAFETY: the system wrote a `TOKEN_GROUPS` with as many entries as it says there, all inside
        // the buffer, which is aligned for it and lives as long as the identities are used.
        let all = unsafe {
            let first = (&raw const (*groups).Groups).cast::<SID_AND_ATTRIBUTES>();
            std::slice::from_raw_parts(first, (*groups).GroupCount as usize)
        };
        let mark = SE_GROUP_LOGON_ID.cast_unsigned();
        all.iter().find(|group| group.Attributes & mark == mark).map(|group| group.Sid)
    }
}
