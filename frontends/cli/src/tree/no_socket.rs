//! No socket here yet: `troupe top` says so.

use std::{io, path::Path};
use troupe::Troupe;

/// Nothing, so far.
pub(crate) struct TreeSocket;

impl TreeSocket {
    /// Never serves.
    ///
    /// # Errors
    /// Always.
    pub(crate) fn serve(_: &Troupe, _: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
