//! The reserve: room on the disk, kept behind the log's end, for the records that end what runs.
//!
//! A call that has begun has an effect, and its result must not be thrown away because the disk
//! filled up meanwhile. So room for the result is taken when the call begins, before anything runs,
//! and given back when the turn ends. Other records never use it up: where no more room can be had
//! they are refused while the reserve is whole. On a file system that keeps no room for a file
//! everything is as it would be without a reserve.

use std::{collections::HashSet, fs::File, io};
use troupe_types::{CallFinished, CallId, CallResult, Line, Op, Record};

/// The room for the end of one call, in bytes. A result that needs more is cut to it.
pub(crate) const CALL: u64 = 64 * 1024;
/// The room for the end of a turn: its request, its background processes, itself; in bytes.
const TURN: u64 = 16 * 1024;
/// Taken in advance for other records, so that not each of them asks for more; in bytes.
const AHEAD: u64 = 64 * 1024;
/// Strings of a result that is cut have at most so many bytes at first.
const FIRST_CUT: usize = 16 * 1024;
/// A result is not cut to shorter strings than this, in bytes.
const LAST_CUT: usize = 256;

/// The room that a log holds behind its end.
#[derive(Default)]
pub(crate) struct Reserve {
    need: Need,
    /// Up to this place the file has room, in bytes from its start.
    end: u64,
    /// The file system keeps no room for a file.
    unsupported: bool,
}

/// Tells for what room is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Need {
    /// Calls that have begun and not finished.
    running: HashSet<CallId>,
    /// A call of the turn has begun.
    turn: bool,
}

impl Need {
    fn bytes(&self) -> u64 {
        if self.turn { TURN + CALL * self.running.len() as u64 } else { 0 }
    }

    /// The need once these lines are written; `None` if they change nothing.
    fn after(&self, lines: &[Line]) -> Option<Self> {
        let changes = |line: &Line| {
            matches!(
                line.record,
                Record::CallStarted(_) | Record::CallFinished(_) | Record::TurnFinished(_)
            )
        };
        if !lines.iter().any(changes) {
            return None;
        }
        let mut after = self.clone();
        for line in lines {
            match &line.record {
                Record::CallStarted(body) => {
                    after.running.insert(body.call);
                    after.turn = true;
                }
                Record::CallFinished(body) => {
                    after.running.remove(&body.call);
                }
                Record::TurnFinished(_) => after = Self::default(),
                _ => {}
            }
        }
        Some(after)
    }
}

impl Reserve {
    /// Whether there is room that only the ends of what runs may use, behind a log of this length.
    pub(crate) fn is_held(&self, len: u64) -> bool {
        self.need.turn && self.end > len
    }

    /// Whether a record may use the room: it ends something that runs, or follows from its end. Such
    /// records are short, but for the results of calls; those of calls that only looked are not among
    /// them, since such a call can be made again.
    pub(crate) fn is_for(&self, record: &Record) -> bool {
        match record {
            Record::CallFinished(body) => {
                body.result == CallResult::Nothing || self.need.running.contains(&body.call)
            }
            Record::ProcessEnded(_)
            | Record::HostDecided(_)
            | Record::SandboxWeaker(_)
            | Record::RequestFinished(_)
            | Record::TurnFinished(_) => true,
            Record::OpAccepted(body) => body.submission.op == Op::Interrupt,
            _ => false,
        }
    }

    /// What will be needed once these lines are written.
    pub(crate) fn need_after(&self, lines: &[Line]) -> Need {
        self.need.after(lines).unwrap_or_else(|| self.need.clone())
    }

    /// Sees to it that there is room for so many bytes behind a log of this length, and for `need`
    /// behind those.
    ///
    /// # Errors
    /// When the disk is full, or the file may not become so long.
    pub(crate) fn make_room(
        &mut self,
        file: &File,
        len: u64,
        bytes: u64,
        need: &Need,
    ) -> io::Result<()> {
        let wanted = len + bytes + need.bytes();
        if self.unsupported || !need.turn || wanted <= self.end {
            return Ok(());
        }
        // A bit more, if it can be had.
        let taken = match allocate(file, len, wanted + AHEAD) {
            Ok(()) => Ok(wanted + AHEAD),
            Err(error) if is_full(&error) => allocate(file, len, wanted).map(|()| wanted),
            Err(error) => Err(error),
        };
        match taken {
            Ok(end) => self.end = end,
            Err(error) if is_full(&error) => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "no room can be kept for the ends of calls");
                self.unsupported = matches!(
                    error.kind(),
                    io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput
                );
            }
        }
        Ok(())
    }

    /// The file was cut to this length, and lost its room: takes it again as far as it can be had.
    pub(crate) fn was_cut(&mut self, file: &File, len: u64) {
        self.end = len;
        let need = self.need.clone();
        if self.make_room(file, len, 0, &need).is_err() {
            tracing::warn!("the room for the ends of running calls is lost: the disk is full");
        }
    }

    /// The lines behind which this is needed are written; gives the room back where nothing is.
    pub(crate) fn written(&mut self, file: &File, len: u64, need: Need) {
        self.need = need;
        if !self.need.turn && self.end > len {
            self.end = 0;
            // The length stays, what is behind it goes.
            if let Err(error) = file.set_len(len) {
                tracing::debug!(%error, "room behind the log stays taken");
            }
        }
    }
}

/// The text of a line, with long strings of a call's result cut so that it fits in its room.
pub(crate) fn render_cut(line: &Line) -> io::Result<String> {
    let Record::CallFinished(finished) = &line.record else {
        return line.render().map_err(io::Error::other);
    };
    let mut most = FIRST_CUT;
    loop {
        let mut record = CallFinished::cut(finished, most);
        if most <= LAST_CUT {
            // The record of its start tells it.
            record.detail = None;
        }
        let record = record.into();
        let text = Line { seq: line.seq, at: line.at, record }.render();
        let text = text.map_err(io::Error::other)?;
        if text.len() as u64 <= CALL || most <= LAST_CUT {
            return Ok(text);
        }
        most = (most / 2).max(LAST_CUT);
    }
}

/// Whether an error says that there is no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Takes room for the file from one place to another, without making it longer.
#[cfg(target_os = "linux")]
fn allocate(file: &File, from: u64, to: u64) -> io::Result<()> {
    use rustix::{
        fs::{FallocateFlags, fallocate},
        io::Errno,
        process::{Resource, getrlimit},
    };
    // The kernel looks at this limit only when the file becomes longer.
    if getrlimit(Resource::Fsize).current.is_some_and(|most| to > most) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    loop {
        match fallocate(file, FallocateFlags::KEEP_SIZE, from, to - from) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn allocate(_: &File, _: u64, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
