//! What a model stream is told.

/// What a model stream is told.
#[derive(Debug)]
pub enum StreamMessage {
    /// Control, from the conversation: stop at once. The connection is closed; the exit notice
    /// follows. If the stream dies first, the same.
    Cancel,
    /// Control, from its own reading task: the last fact has been delivered.
    Read,
}
