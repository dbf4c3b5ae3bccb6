//! Names that branches may have, and what may stand in their files.

use super::objects::{Name, read_name};

/// What a ref's file says.
pub(super) enum Target {
    /// A commit or a tag.
    Object(Name),
    /// Another ref.
    Other,
}

/// Reads the content of a ref's file, or of `HEAD`.
pub(super) fn read_target(content: &[u8]) -> Option<Target> {
    let text = std::str::from_utf8(content).ok()?.trim_end_matches('\n');
    if let Some(other) = text.strip_prefix("ref: ") {
        return is_valid(other).then_some(Target::Other);
    }
    read_name(text).map(Target::Object)
}

/// Whether it is a well-formed name (git-check-ref-format(1)) that commands may set. A replacement
/// (`refs/replace`) would change what history says.
pub(super) fn is_valid(name: &str) -> bool {
    name.starts_with("refs/")
        && !name.starts_with("refs/replace/")
        && !name.contains("..")
        && !name.contains("@{")
        && !name.contains(|c: char| c.is_control() || " ~^:?*[\\".contains(c))
        && name.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && !part.ends_with('.')
                && std::path::Path::new(part).extension().is_none_or(|ending| ending != "lock")
        })
}
