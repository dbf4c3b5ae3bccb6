//! The numbers of the events so far, to tell an event that is sent twice.

use crate::digest::digest;
use std::collections::HashSet;

/// See the module's documentation. An event counts as sent twice if its number and its bytes came
/// before, and the numbers of this answer do count: some servers give all events the same one.
#[derive(Default)]
pub(super) struct Numbers {
    /// They do count.
    moved: bool,
    /// Each number that was higher than all before it, with the digest of its event: almost all.
    rising: Vec<(u64, u64)>,
    /// The others, also with their digests.
    others: HashSet<(u64, u64)>,
}

impl Numbers {
    /// Takes the next event, and tells whether it is one that came before.
    pub(super) fn is_repeated(&mut self, number: Option<u64>, data: &str) -> bool {
        let Some(number) = number else { return false };
        let event = (number, digest(data.as_bytes()));
        let Some(&(last, _)) = self.rising.last() else {
            self.rising.push(event);
            return false;
        };
        if number > last {
            self.moved = true;
            self.rising.push(event);
            return false;
        }
        self.moved |= number < last;
        let known = self.rising.binary_search_by_key(&number, |(number, _)| *number);
        let again = known.is_ok_and(|at| self.rising[at] == event) || !self.others.insert(event);
        again && self.moved
    }
}

#[cfg(test)]
mod tests {
    use super::Numbers;
    use std::collections::HashSet;

    /// Plays events (number, text), and gives which of them count as sent twice.
    fn repeated(events: &[(u64, &str)]) -> Vec<bool> {
        let mut numbers = Numbers::default();
        events.iter().map(|(number, text)| numbers.is_repeated(Some(*number), text)).collect()
    }

    #[test]
    fn a_number_and_its_event_together_tell_a_repetition() {
        for (events, expected) in [
            (&[(0, "a"), (1, "b"), (1, "b"), (0, "a"), (2, "b")][..], &[0, 0, 1, 1, 0][..]),
            // Another event under a number that was given is news, once.
            (&[(0, "a"), (1, "b"), (0, "c"), (0, "c"), (1, "b")], &[0, 0, 0, 1, 1]),
            // All alike: they do not count, however often a text comes.
            (&[(7, "a"), (7, "a"), (7, "b"), (7, "a")], &[0, 0, 0, 0]),
            // Alike at first: what came then is known once they count.
            (&[(7, "a"), (7, "b"), (8, "c"), (7, "b"), (7, "a")], &[0, 0, 0, 1, 1]),
            // Falling, with gaps, and the highest there is.
            (&[(9, "a"), (5, "b"), (u64::MAX, "c"), (5, "b"), (u64::MAX, "c")], &[0, 0, 0, 1, 1]),
        ] {
            let expected: Vec<bool> = expected.iter().map(|flag| *flag == 1).collect();
            assert_eq!(repeated(events), expected, "{events:?}");
        }
        let mut numbers = Numbers::default();
        assert!((0..3).all(|_| !numbers.is_repeated(None, "a")), "no number, no repetition");
    }

    proptest::proptest! {
        /// As the definition says, whatever the order.
        #[test]
        fn it_is_what_a_set_of_all_events_tells(events in proptest::collection::vec((0_u64..6, "[ab]"), 0..40)) {
            let (mut seen, mut moved) = (HashSet::new(), false);
            let mut numbers = Numbers::default();
            for (number, text) in &events {
                moved |= *number != events[0].0;
                let again = !seen.insert((*number, text.clone())) && moved;
                proptest::prop_assert_eq!(numbers.is_repeated(Some(*number), text), again);
            }
        }
    }
}
