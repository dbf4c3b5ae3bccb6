//! Landlock: where a command may write, by rules that it cannot take back.

use crate::{
    Enforcement,
    profile::{Profile, Root},
};
use landlock::{
    ABI, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};
use std::{fs, io, path::Path};

/// The rights that are handled: all that write, as of this version.
const VERSION: ABI = ABI::V9;

/// What holds a command of this profile on this machine, tried out.
#[must_use]
pub fn enforcement(profile: &Profile) -> Enforcement {
    if !profile.sandboxed {
        return Enforcement {
            layers: vec!["own session; its whole tree ends with it".to_owned()],
            weaker: vec!["no sandbox: all the user's rights".to_owned()],
        };
    }
    super::alone::try_out(profile)
}

/// How Landlock finds the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beneath {
    /// Protected names are mounted read-only already.
    Mounts,
    /// There is nothing else: rights are given around the protected names.
    Nothing,
}

/// Restricts this process and all below it.
pub(crate) fn restrict(profile: &Profile, beneath: Beneath) -> io::Result<()> {
    let handled = AccessFs::from_write(VERSION);
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(handled)
        .and_then(|ruleset| ruleset.scope(Scope::AbstractUnixSocket | Scope::Signal))
        .and_then(Ruleset::create)
        .map_err(io::Error::other)?;
    let mut rules = Rules { ruleset, handled };
    for device in [
        "/dev/null",
        "/dev/zero",
        "/dev/full",
        "/dev/random",
        "/dev/urandom",
        "/dev/tty",
        "/dev/ptmx",
    ] {
        rules = rules.file(Path::new(device))?;
    }
    rules = rules.tree(Path::new("/dev/pts"))?;
    rules = rules.tree(Path::new("/dev/shm"))?;
    // Outputs that are files may be opened once more (`/dev/stderr`).
    for output in ["/proc/self/fd/1", "/proc/self/fd/2"].map(Path::new) {
        if output.metadata().is_ok_and(|data| data.is_file()) {
            rules = rules.file(output)?;
        }
    }
    if beneath == Beneath::Mounts {
        for copy in profile.repositories.iter().chain(&profile.caches) {
            rules = rules.tree(copy)?;
        }
    }
    for root in &profile.roots {
        let whole = beneath == Beneath::Mounts
            || profile.unprotected_names
            || (root.protected.is_empty() && root.absent.is_empty());
        rules = if whole { rules.tree(&root.path)? } else { rules.around(root)? };
    }
    let status = rules.ruleset.restrict_self().map_err(io::Error::other)?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(())
}

struct Rules {
    ruleset: RulesetCreated,
    handled: BitFlags<AccessFs>,
}

impl Rules {
    fn add(self, path: &Path, access: BitFlags<AccessFs>) -> io::Result<Self> {
        // What does not exist needs no rule.
        let Ok(place) = PathFd::new(path) else { return Ok(self) };
        let ruleset = self.ruleset.add_rule(PathBeneath::new(place, access));
        Ok(Self { ruleset: ruleset.map_err(io::Error::other)?, handled: self.handled })
    }

    fn tree(self, path: &Path) -> io::Result<Self> {
        let access = self.handled;
        self.add(path, access)
    }

    fn file(self, path: &Path) -> io::Result<Self> {
        let access = self.handled & AccessFs::from_file(VERSION);
        self.add(path, access)
    }

    /// Rights on each entry of a root but the protected ones; none on the root, so that nothing new
    /// can be made at its top.
    fn around(mut self, root: &Root) -> io::Result<Self> {
        for entry in fs::read_dir(&root.path)? {
            let path = entry?.path();
            // What a link leads to has rights of its own, if it is in a root at all.
            if path.is_symlink() {
                continue;
            }
            let real = fs::canonicalize(&path).unwrap_or(path);
            if root.protected.iter().any(|protected| protected.starts_with(&real)) {
                continue;
            }
            self = if real.is_dir() { self.tree(&real)? } else { self.file(&real)? };
        }
        Ok(self)
    }
}
