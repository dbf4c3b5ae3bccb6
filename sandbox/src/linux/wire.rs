//! What host and launcher say to each other: one request per packet, with descriptors. A long request
//! comes as a file in memory, since a packet has to fit the socket's buffer.

use super::{confine::Level, sys};
use crate::profile::{Command, Profile, Root};
use std::{
    ffi::OsString,
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::FileExt,
        },
    },
    path::{Path, PathBuf},
};
use troupe_types::CommandLimits;

/// The longest request, in bytes: a script, and twice the environment that a program can get.
pub(crate) const MAX_REQUEST: usize = crate::MAX_SCRIPT + (4 << 20);
/// The longest request that is sent as a packet, in bytes.
const MAX_PACKET: usize = 64 << 10;

/// What an init reports to the host: four numbers of four bytes. With the first come the
/// descriptors of the command's terminal and of the listener in its network, if it has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// The program runs. Whether its terminal and its listener came along, in this order, and what
    /// holds it. Behind the listener come those of its doors.
    Started(bool, bool, Level),
    /// The step that failed, with its error number.
    Failed(Step, i32),
    /// The leader has ended: its wait status, how many processes it left behind, and the processor
    /// time of it and its children in milliseconds.
    Ended(i32, i32, i32),
}

/// A step of starting a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Step {
    Fork = 1,
    Namespaces = 2,
    Identity = 3,
    Mounts = 4,
    Landlock = 5,
    Filter = 6,
    Privileges = 7,
    Directory = 8,
    Program = 9,
    Descriptors = 10,
    Listener = 11,
}

impl Step {
    const ALL: [Self; 11] = [
        Self::Fork,
        Self::Namespaces,
        Self::Identity,
        Self::Mounts,
        Self::Landlock,
        Self::Filter,
        Self::Privileges,
        Self::Directory,
        Self::Program,
        Self::Descriptors,
        Self::Listener,
    ];

    fn from_number(number: i32) -> Self {
        Self::ALL.into_iter().find(|step| *step as i32 == number).unwrap_or(Self::Fork)
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Fork => "a process cannot be made",
            Self::Namespaces => "the kernel refuses namespaces",
            Self::Identity => "the kernel refuses a user mapping",
            Self::Mounts => "the kernel refuses the mounts",
            Self::Landlock => "Landlock does not hold",
            Self::Filter => "the system call filter is refused",
            Self::Privileges => "privileges cannot be dropped",
            Self::Directory => "the working directory cannot be entered",
            Self::Program => "the program cannot be run",
            Self::Descriptors => "descriptors cannot be set up",
            Self::Listener => "the way to the network's proxy cannot be made",
        }
    }
}

impl Report {
    pub(crate) const BYTES: usize = 16;

    pub(crate) fn write(self) -> [u8; Self::BYTES] {
        let numbers = match self {
            Self::Started(terminal, listener, level) => {
                [1, terminal.into(), listener.into(), level as i32]
            }
            Self::Failed(step, errno) => [2, step as i32, errno, 0],
            Self::Ended(status, strays, busy) => [3, status, strays, busy],
        };
        let mut bytes = [0; Self::BYTES];
        for (place, number) in numbers.into_iter().enumerate() {
            bytes[place * 4..place * 4 + 4].copy_from_slice(&i32::to_ne_bytes(number));
        }
        bytes
    }

    pub(crate) fn read(bytes: [u8; Self::BYTES]) -> Self {
        let number = |place: usize| {
            let mut four = [0; 4];
            four.copy_from_slice(&bytes[place * 4..place * 4 + 4]);
            i32::from_ne_bytes(four)
        };
        match number(0) {
            1 => Self::Started(number(1) != 0, number(2) != 0, Level::from_number(number(3))),
            3 => Self::Ended(number(1), number(2), number(3)),
            _ => Self::Failed(Step::from_number(number(1)), number(2)),
        }
    }
}

/// Writes a request: counts and lengths of four bytes, texts as they are.
pub(crate) fn encode(command: &Command, profile: &Profile) -> Vec<u8> {
    let mut out = Encoder(Vec::with_capacity(4096));
    out.list(command.argv.iter().map(|part| part.as_bytes()));
    out.list(command.env.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]));
    out.path(&command.cwd);
    let flags = [
        command.script,
        command.terminal,
        profile.sandboxed,
        profile.network,
        profile.proxied,
        profile.allow_unenforced,
        profile.unprotected_names,
    ];
    out.bytes(&flags.map(u8::from));
    let CommandLimits { processes, memory, file_size, open_files } = profile.limits;
    for limit in [processes, memory, file_size, open_files] {
        out.bytes(&limit.unwrap_or(u64::MAX).to_ne_bytes());
    }
    for paths in [&profile.repositories, &profile.caches, &profile.denied, &profile.reopened] {
        out.list(paths.iter().map(|path| path.as_os_str().as_bytes()));
    }
    out.list(
        profile
            .doors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_bytes),
    );
    out.count(profile.roots.len());
    for root in &profile.roots {
        out.path(&root.path);
        out.list(root.protected.iter().map(|path| path.as_os_str().as_bytes()));
        out.list(root.absent.iter().map(|path| path.as_os_str().as_bytes()));
        out.bytes(&[u8::from(root.shared)]);
    }
    out.0
}

struct Encoder(Vec<u8>);

impl Encoder {
    fn count(&mut self, count: usize) {
        self.0.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_ne_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn path(&mut self, path: &Path) {
        self.bytes(path.as_os_str().as_bytes());
    }

    fn list<'a>(&mut self, all: impl Iterator<Item = &'a [u8]> + Clone) {
        self.count(all.clone().count());
        all.for_each(|each| self.bytes(each));
    }
}

/// Reads a request; `None` if it is none.
pub(crate) fn decode(bytes: &[u8]) -> Option<(Command, Profile)> {
    let mut from = Decoder(bytes);
    let argv = from.list()?;
    let mut env = Vec::new();
    let mut pairs = from.list()?.into_iter();
    while let (Some(name), Some(value)) = (pairs.next(), pairs.next()) {
        env.push((name, value));
    }
    let cwd = PathBuf::from(from.text()?);
    let flags: [u8; 7] = from.bytes()?.try_into().ok()?;
    let [script, terminal, sandboxed, network, proxied, allow_unenforced, unprotected_names] =
        flags.map(|flag| flag != 0);
    let mut limit = || {
        let bytes = from.bytes()?.try_into().ok()?;
        Some(Some(u64::from_ne_bytes(bytes)).filter(|limit| *limit != u64::MAX))
    };
    let limits = CommandLimits {
        processes: limit()?,
        memory: limit()?,
        file_size: limit()?,
        open_files: limit()?,
    };
    let (repositories, caches) = (from.paths()?, from.paths()?);
    let (denied, reopened) = (from.paths()?, from.paths()?);
    let doors = from.list()?.into_iter().map(|text| text.to_str()?.parse().ok());
    let doors = doors.collect::<Option<Vec<_>>>()?;
    let count = from.count()?;
    let mut roots = Vec::new();
    for _ in 0..count {
        let path = from.text()?.into();
        let (protected, absent) = (from.paths()?, from.paths()?);
        let shared = from.bytes()? != [0];
        roots.push(Root { path, protected, absent, shared });
    }
    let profile = Profile {
        sandboxed,
        roots,
        repositories,
        caches,
        denied,
        reopened,
        network,
        proxied,
        doors,
        limits,
        allow_unenforced,
        unprotected_names,
    };
    Some((Command { argv, env, cwd, script, terminal }, profile))
}

struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    fn count(&mut self) -> Option<usize> {
        let (four, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        usize::try_from(u32::from_ne_bytes(*four)).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.count()?;
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<OsString> {
        Some(OsString::from_vec(self.bytes()?.to_vec()))
    }

    fn paths(&mut self) -> Option<Vec<PathBuf>> {
        Some(self.list()?.into_iter().map(PathBuf::from).collect())
    }

    fn list(&mut self) -> Option<Vec<OsString>> {
        let count = self.count()?;
        (0..count).map(|_| self.text()).collect()
    }
}

/// The most descriptors in a packet.
const MAX_FDS: usize = 80;
const FD_BYTES: usize = size_of::<RawFd>();

/// Room for the control data of that many descriptors.
#[repr(C, align(16))]
struct Control([u8; 512]);

/// Sends a request with its three descriptors.
pub(crate) fn request(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: [BorrowedFd<'_>; 3],
) -> io::Result<()> {
    if bytes.len() <= MAX_PACKET {
        return send(socket, bytes, &fds);
    }
    if bytes.len() > MAX_REQUEST {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    let long = sys::memory_file(c"troupe-request", bytes, libc::MFD_CLOEXEC)?;
    // An empty packet would be taken for the end.
    let [control, output, notes] = fds;
    send(socket, &[0], &[control, output, notes, long.as_fd()])
}

/// Sends bytes with at most [`MAX_FDS`] descriptors.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let numbers: Vec<RawFd> = fds.iter().take(MAX_FDS).map(AsRawFd::as_raw_fd).collect();
    let room = u32::try_from(numbers.len() * FD_BYTES).map_err(io::Error::other)?;
    let mut control = Control([0; 512]);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: the message header points to live buffers for the time of the call; the control
    // buffer is aligned and has room for one header and `MAX_FDS` integers.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        if room > 0 {
            message.msg_control = control.0.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(room) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(room) as _;
            let data = libc::CMSG_DATA(header);
            std::ptr::copy_nonoverlapping(numbers.as_ptr().cast(), data, room as usize);
        }
        loop {
            if libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) >= 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

/// Receives a request with its three descriptors; `None` at the end, or if it is malformed.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<Option<(usize, [OwnedFd; 3])>> {
    let (mut count, mut fds) = receive_some(socket, buffer)?;
    if fds.len() == 4
        && let Some(long) = fds.pop()
    {
        let long = fs::File::from(long);
        count = usize::try_from(long.metadata()?.len()).unwrap_or(usize::MAX).min(buffer.len());
        long.read_exact_at(&mut buffer[..count], 0)?;
    }
    Ok(fds.try_into().ok().map(|fds| (count, fds)))
}

/// Receives bytes, and the descriptors that came with them.
pub(crate) fn receive_some(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = Control([0; 512]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: as in `send`; descriptors that arrive are owned here and nowhere else.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = control.0.len() as _;
        let count = loop {
            let count = libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC);
            if count >= 0 {
                break usize::try_from(count).unwrap_or(0);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        };
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if header.is_null() || (*header).cmsg_type != libc::SCM_RIGHTS {
            return Ok((count, Vec::new()));
        }
        let room = ((*header).cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
        let mut numbers = [0 as RawFd; MAX_FDS];
        let most = room.min(MAX_FDS * FD_BYTES);
        let data = libc::CMSG_DATA(header);
        std::ptr::copy_nonoverlapping(data, numbers.as_mut_ptr().cast(), most);
        let arrived = numbers.into_iter().take(most / FD_BYTES);
        Ok((count, arrived.map(|number| OwnedFd::from_raw_fd(number)).collect()))
    }
}
