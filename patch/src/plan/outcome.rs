//! From entries to changes: the net effect on each file.

use std::collections::HashMap;

use super::overlay::Entry;
use crate::change::{ChangeKind, FileChange, unified_diff};

/// One change for each file that the patch leaves different, or was told to write.
pub(super) fn changes(entries: &[Entry]) -> Vec<FileChange> {
    let moves = moves(entries);
    let mut changes = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        if let Some(&target) = moves.get(&index) {
            changes.push(moved(entry, &entries[target]));
        } else if !moves.values().any(|&target| target == index) {
            changes.extend(in_place(entry));
        }
    }
    changes
}

/// Source to target, for files that were there and have really left their place.
fn moves(entries: &[Entry]) -> HashMap<usize, usize> {
    let mut moves = HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        if let Some(origin) = entry.origin
            && entry.after.is_some()
            && entries[origin].before.is_some()
            && entries[origin].after.is_none()
        {
            moves.insert(origin, index);
        }
    }
    moves
}

fn moved(source: &Entry, target: &Entry) -> FileChange {
    let kind = ChangeKind::Move { to: target.path.clone(), to_display: target.display.clone() };
    FileChange {
        overwrites: target.before.is_some(),
        unified_diff: diff(source, target),
        after: target.after.clone(),
        ..change(source, kind)
    }
}

fn in_place(entry: &Entry) -> Option<FileChange> {
    let kind = match (&entry.before, &entry.after) {
        (None, None) => return None,
        (Some(_), None) => ChangeKind::Delete,
        (None, Some(_)) => ChangeKind::Add,
        (Some(_), Some(_)) if entry.added => ChangeKind::Add,
        (Some(_), Some(_)) => ChangeKind::Update,
    };
    let overwrites = kind == ChangeKind::Add && entry.before.is_some();
    Some(FileChange { overwrites, ..change(entry, kind) })
}

fn change(entry: &Entry, kind: ChangeKind) -> FileChange {
    FileChange {
        path: entry.path.clone(),
        display: entry.display.clone(),
        unified_diff: if matches!(kind, ChangeKind::Move { .. }) {
            String::new()
        } else {
            diff(entry, entry)
        },
        kind,
        overwrites: false,
        before: entry.before.clone(),
        after: entry.after.clone(),
    }
}

fn diff(old: &Entry, new: &Entry) -> String {
    unified_diff(
        old.before.as_deref().unwrap_or_default(),
        new.after.as_deref().unwrap_or_default(),
    )
}
