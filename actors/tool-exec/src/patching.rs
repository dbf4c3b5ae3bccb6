//! Patches: checked as a whole before anybody is asked, applied when the start is written down.

use crate::{finish, prepare::Prepared};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{task::spawn_blocking, time::Instant};
use troupe_patch::{ChangeKind, FileChange, Plan, RealFileSystem};
use troupe_types::{
    CallDetail, CallFinished, CallId, CallResult, ErrorClass, FileChangeKind, FileChanged, Outcome,
};

/// A patch that fits.
#[derive(Debug, Clone)]
pub(crate) struct Patch {
    pub(crate) plan: Arc<Plan>,
}

/// Checks a patch against the files. Blocks.
pub(crate) fn check(text: &str, cwd: &Path) -> Prepared {
    let patch = troupe_patch::parse(text).map_err(|error| error.to_string());
    let plan = patch.and_then(|patch| {
        troupe_patch::plan(&patch, cwd, &RealFileSystem).map_err(|error| error.to_string())
    });
    match plan {
        Ok(plan) => Prepared::Patch(Patch { plan: Arc::new(plan) }),
        Err(text) => Prepared::Refused(ErrorClass::Tool, text),
    }
}

/// Applies it; a file that changed since it was checked stops it before the first byte.
pub(crate) async fn apply(
    patch: Patch,
    journals: PathBuf,
    call: CallId,
    began: Instant,
) -> CallFinished {
    let detail = patch.detail();
    let work = move || troupe_patch::apply_journaled(&patch.plan, &RealFileSystem, &journals);
    let applied = spawn_blocking(work).await;
    let (outcome, result) = match applied {
        Ok(Ok(summary)) => (Outcome::Completed, CallResult::text(summary.to_string())),
        Ok(Err(error)) => {
            (Outcome::failed(ErrorClass::Tool, error.to_string()), CallResult::Nothing)
        }
        // It may have written some of the files.
        Err(_) => (Outcome::Lost, CallResult::Nothing),
    };
    finish::finished(call, outcome, result, Some(detail), began)
}

impl Patch {
    pub(crate) fn detail(&self) -> CallDetail {
        CallDetail::Patch { changes: self.plan.changes().iter().map(changed).collect() }
    }
}

fn changed(change: &FileChange) -> FileChanged {
    let (kind, moved_to) = match &change.kind {
        ChangeKind::Add => (FileChangeKind::Add, None),
        ChangeKind::Delete => (FileChangeKind::Delete, None),
        ChangeKind::Update => (FileChangeKind::Update, None),
        ChangeKind::Move { to, .. } => (FileChangeKind::Update, Some(to.clone())),
    };
    FileChanged { path: change.path.clone(), kind, moved_to, diff: change.unified_diff.clone() }
}
