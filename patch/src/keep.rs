//! What a file has besides its bytes: owner, group, permissions with the special bits, and extended
//! attributes, access lists among them. A file that replaces another gets all of it, or is not used.

use std::fs::{self, File};
use std::io;

/// Gives `new` what `model` has. Names what could not be given, if anything.
pub(crate) fn give(new: &File, model: &File) -> io::Result<Option<String>> {
    let wanted = model.metadata()?;
    own(new, &wanted)?;
    if let Some(name) = attributes::copy(new, model)? {
        return Ok(Some(format!("the attribute {name}")));
    }
    // After the owner and the attributes: changing those takes the special bits away.
    if new.set_permissions(wanted.permissions()).is_err() {
        return Ok(Some("its permissions".to_owned()));
    }
    Ok(difference(&new.metadata()?, &wanted).map(str::to_owned))
}

/// Gives a file its owner and group back where we may: root editing a user's file must not take it
/// away from them.
#[cfg(unix)]
fn own(new: &File, wanted: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let now = new.metadata()?;
    if now.uid() != wanted.uid() || now.gid() != wanted.gid() {
        // Whether it came out right is seen afterwards.
        let _ = fchown(new, Some(wanted.uid()), Some(wanted.gid()))
            .or_else(|_| fchown(new, None, Some(wanted.gid())));
    }
    Ok(())
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same form as elsewhere")]
fn own(_: &File, _: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

/// What is not the same.
#[cfg(unix)]
fn difference(found: &fs::Metadata, wanted: &fs::Metadata) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt;
    let same = [
        ("its owner", found.uid() == wanted.uid()),
        ("its group", found.gid() == wanted.gid()),
        ("its permissions", found.mode() & 0o7777 == wanted.mode() & 0o7777),
    ];
    same.iter().find(|(_, same)| !same).map(|(name, _)| *name)
}

#[cfg(not(unix))]
fn difference(_: &fs::Metadata, _: &fs::Metadata) -> Option<&'static str> {
    None
}

/// How many names a file has.
#[cfg(unix)]
pub(crate) fn links(data: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(data)
}

#[cfg(not(unix))]
pub(crate) fn links(_: &fs::Metadata) -> u64 {
    1
}

/// Whether a file has what any write takes away: the set-user-id and set-group-id bits, and
/// capabilities.
pub(crate) fn is_special(file: &File) -> io::Result<bool> {
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::mode(&file.metadata()?) & 0o6000 != 0 {
        return Ok(true);
    }
    attributes::has_capabilities(file)
}

#[cfg(target_os = "linux")]
pub(crate) mod attributes {
    use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
    use rustix::io::Errno;
    use std::ffi::{CStr, CString};
    use std::fs::File;
    use std::io;

    /// The kernel's own over a file's contents; a copy would not fit.
    const NOT_TO_BE_COPIED: [&CStr; 2] = [c"security.ima", c"security.evm"];
    const CAPABILITIES: &CStr = c"security.capability";
    /// The longest list or value, in bytes, as Linux has it.
    const MOST: usize = 64 * 1024;

    /// Makes the attributes of `new` those of `model`; names the first that cannot be given or taken.
    pub(crate) fn copy(new: &File, model: &File) -> io::Result<Option<String>> {
        let (wanted, found) = (names(model)?, names(new)?);
        let shown = |name: &CStr| Some(name.to_string_lossy().into_owned());
        for name in &wanted {
            let value = value(model, name)?;
            if found.contains(name) && self::value(new, name)? == value {
                continue;
            }
            if NOT_TO_BE_COPIED.contains(&name.as_c_str())
                || fsetxattr(new, name, &value, XattrFlags::empty()).is_err()
            {
                return Ok(shown(name));
            }
        }
        for name in found.iter().filter(|name| !wanted.contains(name)) {
            // Labels are given by the system, to a new file as to an old one.
            let labelled = name.to_bytes().starts_with(b"security.");
            if !labelled && fremovexattr(new, name).is_err() {
                return Ok(shown(name));
            }
        }
        Ok(None)
    }

    pub(crate) fn has_capabilities(file: &File) -> io::Result<bool> {
        Ok(names(file)?.iter().any(|name| name.as_c_str() == CAPABILITIES))
    }

    fn names(file: &File) -> io::Result<Vec<CString>> {
        let mut list = vec![0; MOST];
        let length = match flistxattr(file, list.as_mut_slice()) {
            Err(Errno::NOTSUP) => 0,
            length => length?,
        };
        let names = list[..length].split_inclusive(|byte| *byte == 0);
        Ok(names.filter_map(|name| CString::from_vec_with_nul(name.to_vec()).ok()).collect())
    }

    fn value(file: &File, name: &CStr) -> io::Result<Vec<u8>> {
        let mut value = vec![0; MOST];
        let length = fgetxattr(file, name, value.as_mut_slice())?;
        value.truncate(length);
        Ok(value)
    }
}

#[cfg(not(target_os = "linux"))]
mod attributes {
    use std::fs::File;
    use std::io;

    #[expect(clippy::unnecessary_wraps, reason = "the same form as elsewhere")]
    pub(crate) fn copy(_: &File, _: &File) -> io::Result<Option<String>> {
        Ok(None)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the same form as elsewhere")]
    pub(crate) fn has_capabilities(_: &File) -> io::Result<bool> {
        Ok(false)
    }
}
