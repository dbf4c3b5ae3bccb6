//! Names of sessions for people: short ids, and the session that a piece of an id means.
//!
//! An id begins with the time it was made, so sessions of one day begin alike. Its end is random:
//! a short id is as much of the end as no other session of the folder shares.

use std::{fs, io, path::Path};
use troupe_types::SessionId;

/// The fewest characters of a short id.
const FEWEST: usize = 6;
/// The characters of an id's last group. A longer end would hold a hyphen.
const LAST_GROUP: usize = 12;

/// The ids of all sessions in a folder. One that does not exist holds none.
///
/// # Errors
/// When the folder cannot be read.
pub fn session_ids(dir: &Path) -> io::Result<Vec<SessionId>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut ids = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(".jsonl"));
        ids.extend(id.and_then(|id| id.parse::<SessionId>().ok()));
    }
    Ok(ids)
}

/// Short ids for the sessions of one folder.
#[derive(Debug, Clone, Default)]
pub struct ShortIds {
    /// The digits of each id, backwards, in order: those with a long common end are neighbours.
    backwards: Vec<String>,
    /// The digits of each id, in order.
    forwards: Vec<String>,
}

impl ShortIds {
    /// Short ids that are unique among these sessions.
    #[must_use]
    pub fn new(all: &[SessionId]) -> Self {
        let sorted = |digits: &dyn Fn(SessionId) -> String| {
            let mut all: Vec<String> = all.iter().map(|id| digits(*id)).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        Self { backwards: sorted(&reversed), forwards: sorted(&digits) }
    }

    /// The shortest end of the id, of at least six characters, that no other session has; the
    /// whole id if that is longer than its last group.
    #[must_use]
    pub fn of(&self, id: SessionId) -> String {
        let own = reversed(id);
        let place = self.backwards.partition_point(|other| *other < own);
        let shared = |other: Option<&String>| {
            other.map_or(0, |other| {
                other.bytes().zip(own.bytes()).take_while(|(one, two)| one == two).count()
            })
        };
        let next = place + usize::from(self.backwards.get(place) == Some(&own));
        let before = place.checked_sub(1).and_then(|before| self.backwards.get(before));
        let common = shared(before).max(shared(self.backwards.get(next)));
        let lengths = (common + 1).max(FEWEST)..=LAST_GROUP;
        let mut ends = lengths.map(|length| own[..length].chars().rev().collect::<String>());
        ends.find(|end| !self.begins_another(end, id)).unwrap_or_else(|| id.to_string())
    }

    /// Whether another id begins with this text.
    fn begins_another(&self, text: &str, id: SessionId) -> bool {
        let from = self.forwards.partition_point(|other| other.as_str() < text);
        let own = digits(id);
        let begun = self.forwards[from..].iter().take_while(|other| other.starts_with(text));
        begun.take(2).any(|other| *other != own)
    }
}

/// The sessions that a text can mean: those whose id begins or ends with it, otherwise those that
/// hold it anywhere. Hyphens and case do not matter; a blank text means none.
#[must_use]
pub fn matching(all: &[SessionId], text: &str) -> Vec<SessionId> {
    let wanted = text.trim().replace('-', "").to_lowercase();
    if wanted.is_empty() || !wanted.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Vec::new();
    }
    let those = |fits: &dyn Fn(&str) -> bool| -> Vec<SessionId> {
        all.iter().copied().filter(|id| fits(&digits(*id))).collect()
    };
    let ends = those(&|id| id.starts_with(&wanted) || id.ends_with(&wanted));
    if ends.is_empty() { those(&|id| id.contains(&wanted)) } else { ends }
}

fn digits(id: SessionId) -> String {
    id.to_string().replace('-', "")
}

fn reversed(id: SessionId) -> String {
    digits(id).chars().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_piece_means_the_session_it_is_of() {
        let one = SessionId::from_u128(0x0199_c0de_0000_7000_8000_0000_00ab_cdef);
        let two = SessionId::from_u128(0x0199_c0de_0000_7000_8000_0000_0012_3456);
        let all = [one, two];
        for text in ["abcdef", "ABCDEF", "00abcdef", "abcd", &one.to_string(), " abcdef "] {
            assert_eq!(matching(&all, text), [one], "{text}");
        }
        assert_eq!(matching(&all, "0199c0de"), all);
        assert_eq!(matching(&all, "0199c0de-0000-7000"), all);
        for none in ["", "  ", "-", "xyz", "ffff", "../0199"] {
            assert_eq!(matching(&all, none), [], "{none:?}");
        }
        // The end of one is not hidden by the middle of another.
        let other = SessionId::from_u128(0x0199_c0de_0000_7000_8000_0000_abcd_ef00);
        assert_eq!(matching(&[one, two, other], "abcdef"), [one]);
    }

    proptest! {
        #[test]
        fn a_short_id_means_its_session(
            values in proptest::collection::vec((0u128..4, 0u128..1 << 40), 1..40)
        ) {
            let all: Vec<SessionId> = values
                .iter()
                .map(|(time, end)| SessionId::from_u128(time << 80 | 7 << 76 | end << 16))
                .collect();
            let short = ShortIds::new(&all);
            for id in &all {
                let text = short.of(*id);
                let mut found = matching(&all, &text);
                found.dedup();
                prop_assert!(found.iter().all(|other| other == id), "{text}: {found:?}");
                prop_assert!(!found.is_empty() && text.len() >= FEWEST);
            }
        }
    }
}
