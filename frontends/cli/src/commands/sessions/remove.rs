//! `troupe sessions rm` and `prune`.

use super::{failed, find, listed};
use crate::{
    args::{SessionsPruneArgs, SessionsRmArgs},
    errors::{CliError, CliResult},
    output, setup,
};
use serde_json::json;
use std::{io, path::Path, process::ExitCode, time::SystemTime};
use troupe::{LogPath, Removal, RemoveRules, finish_removals, remove_session};
use troupe_exec::{Listed, row, size};
use troupe_types::SessionId;

/// Removes the sessions that are named.
pub(crate) fn named(dir: &Path, args: &SessionsRmArgs) -> CliResult {
    if args.last.last && !args.sessions.is_empty() {
        return Err(CliError::Usage("name sessions, or give --last".to_owned()));
    }
    // All are found before any is removed.
    let mut ids: Vec<SessionId> = if args.last.last {
        vec![find::last(dir, &args.last)?]
    } else {
        args.sessions.iter().map(|text| find(dir, text)).collect::<Result<_, _>>()?
    };
    ids.sort_unstable();
    ids.dedup();
    let chosen = listed(dir, usize::MAX, |summary| ids.contains(&summary.session))?;
    let mut sweep = Sweep::new(dir, args.dry_run, args.json);
    sweep.finish_earlier()?;
    for one in &chosen {
        sweep.remove(one, RemoveRules { interrupted: args.force, ..sweep.rules() });
    }
    let left = chosen.len() - sweep.removed;
    sweep.total();
    if left == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    Err(CliError::storage(format!("{left} of {} sessions are left: see above", chosen.len())))
}

/// Removes sessions by their age and number.
pub(crate) fn prune(dir: &Path, args: &SessionsPruneArgs) -> CliResult {
    let cwd = if args.here { Some(setup::working_directory(None)?) } else { None };
    let all =
        listed(dir, usize::MAX, |summary| cwd.as_ref().is_none_or(|cwd| summary.cwd == *cwd))?;
    let now = SystemTime::now();
    let old = |listed: &Listed| {
        let age = now.duration_since(listed.summary.modified).unwrap_or_default();
        args.older_than.is_none_or(|limit| age > limit)
    };
    let mut sweep = Sweep::new(dir, args.dry_run, args.json);
    sweep.finish_earlier()?;
    for one in all.iter().skip(args.keep.unwrap_or(0)).filter(|one| old(one)) {
        let unchanged_since = Some(one.summary.modified);
        sweep.remove(one, RemoveRules { unchanged_since, ..sweep.rules() });
    }
    sweep.total();
    if sweep.failed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    Err(CliError::storage(format!("{} sessions could not be removed: see above", sweep.failed)))
}

/// Removals, one after the other, with what became of them.
struct Sweep<'a> {
    dir: &'a Path,
    dry_run: bool,
    json: bool,
    removed: usize,
    failed: usize,
    bytes: u64,
}

impl<'a> Sweep<'a> {
    fn new(dir: &'a Path, dry_run: bool, json: bool) -> Self {
        Self { dir, dry_run, json, removed: 0, failed: 0, bytes: 0 }
    }

    fn rules(&self) -> RemoveRules {
        RemoveRules { dry_run: self.dry_run, ..RemoveRules::default() }
    }

    /// What an earlier run began and could not end.
    fn finish_earlier(&self) -> Result<(), CliError> {
        if self.dry_run {
            return Ok(());
        }
        let finished = finish_removals(self.dir).map_err(|error| failed(self.dir, &error))?;
        for (session, done) in finished {
            output::error(&match done {
                Ok(()) => format!("an earlier removal is finished: {session}"),
                Err(error) => {
                    format!("an earlier removal of {session} cannot be finished: {error}")
                }
            });
        }
        Ok(())
    }

    fn remove(&mut self, listed: &Listed, rules: RemoveRules) {
        let removal = remove_session(&LogPath::new(self.dir, listed.summary.session), rules);
        match &removal {
            Ok(Removal::Removed { bytes }) => {
                self.removed += 1;
                self.bytes += bytes;
            }
            // Somebody else removed it: it is gone, as was wanted.
            Ok(Removal::Gone) => self.removed += 1,
            Ok(_) => {}
            Err(_) => self.failed += 1,
        }
        if self.json {
            output::line(&to_json(listed, &removal, self.dry_run).to_string());
        } else {
            self.tell(listed, &removal);
        }
    }

    fn tell(&self, listed: &Listed, removal: &io::Result<Removal>) {
        let id = &listed.short_id;
        let left = match removal {
            Ok(Removal::Removed { .. }) => {
                let word = if self.dry_run { "would remove" } else { "removed" };
                return output::line(&format!("{word} {}", row(listed, 0)));
            }
            Ok(Removal::Gone) => return output::line(&format!("{id} is gone already")),
            Ok(Removal::Interrupted) => format!(
                "its last turn was interrupted. `troupe exec resume {id}` goes on with it, \
                 `troupe sessions rm --force {id}` removes it"
            ),
            other => why(other),
        };
        output::error(&format!("{id} is left: {left}"));
    }

    fn total(&self) {
        if self.json {
            return;
        }
        let (word, count) = (if self.dry_run { "would free" } else { "freed" }, self.removed);
        output::line(&match count {
            0 => "nothing to remove".to_owned(),
            count => format!("{}, {word} {}", sessions(count), size(self.bytes)),
        });
    }
}

fn sessions(count: usize) -> String {
    if count == 1 { "1 session".to_owned() } else { format!("{count} sessions") }
}

/// Why a session is left; empty if it is not.
fn why(removal: &io::Result<Removal>) -> String {
    match removal {
        Ok(Removal::Removed { .. } | Removal::Gone) => String::new(),
        Ok(Removal::Open) => "a process has it open".to_owned(),
        Ok(Removal::Interrupted) => "its last turn was interrupted".to_owned(),
        Ok(Removal::Used) => "it was used just now".to_owned(),
        Ok(Removal::Unclear(why)) => why.clone(),
        Err(error) => format!("its files cannot be removed: {error}"),
    }
}

fn to_json(listed: &Listed, removal: &io::Result<Removal>, dry_run: bool) -> serde_json::Value {
    let outcome = match removal {
        Ok(Removal::Removed { .. }) if dry_run => "would_remove",
        Ok(Removal::Removed { .. }) => "removed",
        Ok(Removal::Gone) => "gone",
        Ok(Removal::Open) => "open",
        Ok(Removal::Interrupted) => "interrupted",
        Ok(Removal::Used) => "used",
        Ok(Removal::Unclear(_)) => "unclear",
        Err(_) => "failed",
    };
    let bytes = match removal {
        Ok(Removal::Removed { bytes }) => *bytes,
        _ => 0,
    };
    json!({
        "id": listed.summary.session.to_string(),
        "short_id": listed.short_id,
        "outcome": outcome,
        "bytes": bytes,
        "why": why(removal),
    })
}
