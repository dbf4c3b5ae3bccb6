//! What a patch did, in the words callers and models expect.

use std::fmt;

/// The files of an applied patch, by what happened to them; each name as the patch wrote it.
///
/// Displayed as `Success. Updated the following files:` and a line for each file, with a final
/// end of line. A moved file is listed under its new name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Created or replaced, shown with `A`.
    pub added: Vec<String>,
    /// Changed or moved, shown with `M`.
    pub modified: Vec<String>,
    /// Removed, shown with `D`.
    pub deleted: Vec<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "Success. Updated the following files:")?;
        let groups = [('A', &self.added), ('M', &self.modified), ('D', &self.deleted)];
        for (letter, names) in groups {
            for name in names {
                writeln!(out, "{letter} {name}")?;
            }
        }
        Ok(())
    }
}
