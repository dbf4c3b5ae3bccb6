//! What may be shown: how far the log is written.

use troupe_messages::StorageFault;

/// How far the log is written. Whatever is before it survives the end of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// The number of the next line.
    pub next_seq: u64,
    /// Where it will start, in bytes.
    pub offset: u64,
    /// Why nothing more can be written, while that is so.
    pub fault: Option<StorageFault>,
    /// How many faults there have been.
    pub faults: u64,
}
