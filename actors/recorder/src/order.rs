//! Putting the lines of a log in order, whatever was done to it.
//!
//! Each line has its number. Where an editor moved, doubled, damaged or removed lines, the numbers
//! say where each belongs; a line whose number cannot be its own stays where it stands and takes
//! the number that is vacant there. What was wrong is told.

use std::collections::{HashMap, hash_map::Entry};
use troupe_messages::ReplayLine;
use troupe_types::LogFlaw;

/// Lines in order.
pub(crate) struct Ordered {
    pub(crate) lines: Vec<ReplayLine>,
    pub(crate) flaws: Vec<LogFlaw>,
    /// The number after the last line's.
    pub(crate) next: u64,
    /// Each number from the first expected one on is there once, and none below it.
    pub(crate) whole: bool,
}

/// A line with the number it goes by, while that is being found out.
struct Place {
    /// It stands behind the line with this number.
    key: u64,
    seq: Option<u64>,
    line: ReplayLine,
}

/// Orders lines that stand in a log in this order, of which the first should have number `from`.
/// No number can be as high as `limit`.
pub(crate) fn order(found: Vec<ReplayLine>, from: u64, limit: u64) -> Ordered {
    let mut flaws = Flaws::default();
    let mut places = placed(found, from, limit, &mut flaws);
    places.sort_by_key(|place| place.key);
    let (next, below) = number(&mut places, from, &mut flaws);
    let whole = !below && flaws.0.iter().all(|flaw| matches!(flaw, LogFlaw::Unusable { .. }));
    let lines = places.into_iter().map(|place| with_number(place.line, place.seq)).collect();
    Ordered { lines, flaws: flaws.0, next, whole }
}

/// Finds each line's number, where it is the line's own.
fn placed(found: Vec<ReplayLine>, from: u64, limit: u64, flaws: &mut Flaws) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::with_capacity(found.len());
    let mut owners: HashMap<u64, usize> = HashMap::with_capacity(found.len());
    let mut before = from.saturating_sub(1);
    let mut highest = None;
    for line in found {
        if let ReplayLine::Skipped { offset, reason, .. } = &line {
            flaws.0.push(LogFlaw::Unusable { offset: *offset, reason: reason.clone() });
        }
        let own = claimed(&line).filter(|seq| *seq < limit);
        let seq = match own.map(|seq| (seq, owners.entry(seq))) {
            None => None,
            Some((seq, Entry::Vacant(entry))) => {
                entry.insert(places.len());
                Some(seq)
            }
            Some((seq, Entry::Occupied(mut entry))) => {
                let owner = &mut places[*entry.get()];
                if same(&owner.line, &line) {
                    flaws.add(seq, |from, to| LogFlaw::Repeated { from, to });
                    continue;
                }
                let better = matches!(owner.line, ReplayLine::Skipped { .. })
                    && matches!(line, ReplayLine::Line { .. });
                if better {
                    owner.seq = None;
                    entry.insert(places.len());
                    Some(seq)
                } else {
                    flaws.add(seq, |from, to| LogFlaw::Ambiguous { from, to });
                    None
                }
            }
        };
        if let Some(seq) = seq {
            if highest.is_some_and(|highest| seq < highest) {
                flaws.add(seq, |from, to| LogFlaw::Moved { from, to });
            }
            highest = highest.max(Some(seq));
            before = seq;
        }
        places.push(Place { key: before, seq, line });
    }
    places
}

/// Gives lines without a number the ones that are vacant where they stand. Returns the next number,
/// and whether there are lines below the first expected one.
fn number(places: &mut [Place], from: u64, flaws: &mut Flaws) -> (u64, bool) {
    let mut next = from;
    let mut below = false;
    let mut waiting: Vec<usize> = Vec::new();
    for at in 0..places.len() {
        let Some(seq) = places[at].seq else {
            waiting.push(at);
            continue;
        };
        if seq < next {
            below = true;
            continue;
        }
        for one in waiting.drain(..) {
            if next < seq {
                places[one].seq = Some(next);
                next += 1;
            }
        }
        if next < seq {
            flaws.0.push(LogFlaw::Missing { from: next, to: seq - 1 });
        }
        next = seq + 1;
    }
    for one in waiting {
        places[one].seq = Some(next);
        next += 1;
    }
    (next, below)
}

/// What was wrong; neighbours are told together.
#[derive(Default)]
struct Flaws(Vec<LogFlaw>);

impl Flaws {
    fn add(&mut self, seq: u64, flaw: impl Fn(u64, u64) -> LogFlaw) {
        if let Some(last) = self.0.last_mut() {
            let before = match *last {
                LogFlaw::Missing { from, to }
                | LogFlaw::Repeated { from, to }
                | LogFlaw::Ambiguous { from, to }
                | LogFlaw::Moved { from, to }
                    if to + 1 == seq =>
                {
                    Some((from, to))
                }
                _ => None,
            };
            if let Some((from, to)) = before
                && *last == flaw(from, to)
            {
                *last = flaw(from, seq);
                return;
            }
        }
        self.0.push(flaw(seq, seq));
    }
}

fn claimed(line: &ReplayLine) -> Option<u64> {
    match line {
        ReplayLine::Line { seq, .. } | ReplayLine::Skipped { seq, .. } => *seq,
    }
}

fn with_number(mut line: ReplayLine, number: Option<u64>) -> ReplayLine {
    match &mut line {
        ReplayLine::Line { seq, .. } | ReplayLine::Skipped { seq, .. } => *seq = number,
    }
    line
}

/// Whether two lines with one number say the same.
fn same(one: &ReplayLine, other: &ReplayLine) -> bool {
    match (one, other) {
        (ReplayLine::Line { line: one, .. }, ReplayLine::Line { line: other, .. }) => {
            one.record == other.record
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use troupe_types::{Level, Line, LineError, Notice};

    fn line(seq: u64, text: &str) -> ReplayLine {
        let record = Notice { level: Level::Warning, text: text.to_owned() }.into();
        let line = Box::new(Line { seq, at: 1, record });
        ReplayLine::Line { offset: 0, len: 1, digest: 0, seq: Some(seq), line }
    }

    fn skipped(seq: Option<u64>) -> ReplayLine {
        let reason = LineError::Kind { kind: "x".to_owned() };
        ReplayLine::Skipped { offset: 0, seq, reason }
    }

    /// The numbers and texts in order, what is wrong, the next number, whether nothing is missing.
    fn ordered(lines: Vec<ReplayLine>, from: u64) -> (String, Vec<LogFlaw>, u64, bool) {
        let ordered = order(lines, from, 1000);
        let shown = ordered.lines.iter().map(|line| match line {
            ReplayLine::Line { seq, line, .. } => match &line.record {
                troupe_types::Record::Notice(body) => format!("{}{}", shown(*seq), body.text),
                _ => String::new(),
            },
            ReplayLine::Skipped { seq, .. } => format!("{}#", shown(*seq)),
        });
        (shown.collect::<Vec<_>>().join(" "), ordered.flaws, ordered.next, ordered.whole)
    }

    fn shown(seq: Option<u64>) -> String {
        seq.map_or("-".to_owned(), |seq| seq.to_string())
    }

    #[test]
    fn lines_come_in_the_order_of_their_numbers() {
        let all = |lines| ordered(lines, 3);
        let none = Vec::new();
        assert_eq!(all(vec![line(3, "a"), line(4, "b")]), ("3a 4b".into(), none, 5, true));
        let swapped = vec![line(3, "a"), line(6, "d"), line(5, "c"), line(4, "b")];
        let moved = |seq| LogFlaw::Moved { from: seq, to: seq };
        assert_eq!(all(swapped), ("3a 4b 5c 6d".into(), vec![moved(5), moved(4)], 7, false));
        let twice = vec![line(3, "a"), line(3, "a"), line(4, "b"), line(4, "b")];
        let repeated = vec![LogFlaw::Repeated { from: 3, to: 4 }];
        assert_eq!(all(twice), ("3a 4b".into(), repeated, 5, false));
        let gap = vec![line(3, "a"), line(6, "d")];
        assert_eq!(all(gap), ("3a 6d".into(), vec![LogFlaw::Missing { from: 4, to: 5 }], 7, false));
        assert!(!all(vec![line(2, "z"), line(3, "a")]).3, "one from before");
    }

    #[test]
    fn a_line_without_a_number_of_its_own_takes_the_vacant_one() {
        let ambiguous = LogFlaw::Ambiguous { from: 0, to: 0 };
        let damaged = vec![line(0, "a"), line(0, "b"), line(2, "c")];
        assert_eq!(ordered(damaged, 0).0, "0a 1b 2c");
        let beyond = vec![line(0, "a"), line(5000, "b"), line(2, "c"), line(9999, "d")];
        assert_eq!(ordered(beyond, 0), ("0a 1b 2c 3d".into(), Vec::new(), 4, true));
        let copy = vec![line(0, "a"), line(1, "b"), line(0, "x"), line(2, "c")];
        assert_eq!(ordered(copy, 0), ("0a 1b -x 2c".into(), vec![ambiguous], 3, false));
        let unreadable = vec![line(0, "a"), skipped(None), line(2, "c"), skipped(None)];
        assert_eq!(ordered(unreadable, 0).0, "0a 1# 2c 3#");
        // The whole one of two is the line.
        assert_eq!(ordered(vec![line(0, "a"), skipped(Some(1)), line(1, "b")], 0).0, "0a -# 1b");
    }
}
