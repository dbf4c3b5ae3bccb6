//! Finding the lines of a chunk in a file, in four passes from strict to forgiving.
//!
//! A whole pass is made before the next, so an exact match further down wins over a loose one
//! nearby. Cost: four times lines × pattern at worst; most comparisons end at the first line.

use crate::lines::Line;

type Same = fn(&str, &str) -> bool;

const PASSES: [Same; 4] = [
    |a, b| a == b,
    |a, b| a.trim_end() == b.trim_end(),
    |a, b| a.trim() == b.trim(),
    |a, b| a.trim().chars().map(plain).eq(b.trim().chars().map(plain)),
];

/// The first line at or after `from` where `pattern` begins. With `at_end` only the last possible
/// place counts. An empty pattern is found at `from`.
pub(crate) fn find(
    lines: &[Line<'_>],
    pattern: &[&str],
    from: usize,
    at_end: bool,
) -> Option<usize> {
    if pattern.is_empty() {
        return Some(from);
    }
    let last = lines.len().checked_sub(pattern.len())?;
    let first = if at_end { last.max(from) } else { from };
    PASSES.iter().find_map(|same| {
        (first..=last).find(|&at| {
            let here = lines[at..].iter().zip(pattern);
            here.into_iter().all(|(line, wanted)| same(line.text, wanted))
        })
    })
}

/// Typographic dashes, quotes and blanks as the ASCII a keyboard has.
fn plain(c: char) -> char {
    match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        '\u{a0}' | '\u{2002}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
        other => other,
    }
}
