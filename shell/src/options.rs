//! Whether the arguments of a program are among those that only look.

use crate::{table::Options, words::Word};

/// Checks arguments (without the program's name); `Err` says what is not among them.
pub(crate) fn check(arguments: &[Word], allowed: &Options) -> Result<(), String> {
    let mut operands = 0;
    let mut only_operands = false;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word.opaque && !only_operands {
            return Err(format!("{} could become an option when it runs", word.text));
        }
        if only_operands || !word.text.starts_with('-') || word.text == "-" {
            // An opaque word may become any number of them.
            let more = if word.opaque { usize::MAX / 2 } else { 1 };
            operands = usize::saturating_add(operands, more);
        } else if word.text == "--" {
            only_operands = true;
        } else if let Some(long) = word.text.strip_prefix("--") {
            long_option(long, allowed, &mut words)?;
        } else {
            short_options(&word.text[1..], allowed, &mut words)?;
        }
        if operands > allowed.operands {
            return Err("it has more arguments than it looks at".to_owned());
        }
    }
    Ok(())
}

fn long_option<'a>(
    option: &str,
    allowed: &Options,
    words: &mut impl Iterator<Item = &'a Word>,
) -> Result<(), String> {
    let unknown = || format!("--{option} is not among the options that only look");
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    let found = allowed.long.iter().find(|known| known.trim_end_matches(['=', '?']) == name);
    let Some(found) = found else { return Err(unknown()) };
    if found.ends_with('=') && value.is_none() {
        words.next();
    }
    Ok(())
}

fn short_options<'a>(
    letters: &str,
    allowed: &Options,
    words: &mut impl Iterator<Item = &'a Word>,
) -> Result<(), String> {
    let mut rest = letters.chars();
    while let Some(letter) = rest.next() {
        if allowed.valued.contains(letter) {
            if rest.as_str().is_empty() {
                words.next();
            }
            return Ok(());
        }
        if !allowed.short.contains(letter) {
            return Err(format!("-{letter} is not among the options that only look"));
        }
    }
    Ok(())
}
