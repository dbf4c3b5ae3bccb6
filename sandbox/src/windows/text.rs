//! Command lines and environments as Windows takes them.

use std::{
    ffi::{OsStr, OsString},
    os::windows::ffi::OsStrExt,
};

const QUOTE: u16 = b'"' as u16;
const BACKSLASH: u16 = b'\\' as u16;

/// A text that ends with a zero.
pub(super) fn wide(text: &OsStr) -> Vec<u16> {
    text.encode_wide().chain([0]).collect()
}

/// The command line of these arguments, as programs built with Microsoft's runtime take it apart:
/// backslashes count double before a quote only. It ends with a zero.
pub(super) fn command_line(argv: &[OsString]) -> Vec<u16> {
    let mut line = Vec::new();
    for (number, argument) in argv.iter().enumerate() {
        if number > 0 {
            line.push(u16::from(b' '));
        }
        let units: Vec<u16> = argument.encode_wide().collect();
        let plain = |unit: &u16| !b" \t\n\x0b\"".map(u16::from).contains(unit);
        if !units.is_empty() && units.iter().all(plain) {
            line.extend(units);
            continue;
        }
        line.push(QUOTE);
        let mut backslashes = 0;
        for unit in units {
            match unit {
                BACKSLASH => backslashes += 1,
                QUOTE => {
                    // Those before a quote, and the quote's own.
                    line.extend(std::iter::repeat_n(BACKSLASH, backslashes + 1));
                    backslashes = 0;
                }
                _ => backslashes = 0,
            }
            line.push(unit);
        }
        line.extend(std::iter::repeat_n(BACKSLASH, backslashes));
        line.push(QUOTE);
    }
    line.push(0);
    line
}

/// The block of an environment: sorted by name as the system sorts, each entry ends with a zero, and
/// so does the block.
pub(super) fn environment(env: &[(OsString, OsString)]) -> Vec<u16> {
    let mut sorted: Vec<_> = env.iter().collect();
    sorted.sort_by_key(|(name, _)| name.to_string_lossy().to_uppercase());
    let mut block = Vec::new();
    for (name, value) in sorted {
        block.extend(name.encode_wide());
        block.push(u16::from(b'='));
        block.extend(value.encode_wide());
        block.push(0);
    }
    if block.is_empty() {
        block.push(0);
    }
    block.push(0);
    block
}

#[cfg(test)]
mod tests {
    use super::command_line;
    use std::ffi::OsString;

    #[test]
    fn arguments_come_back_as_they_were() {
        for (argv, line) in [
            (vec!["a", "b c", ""], r#"a "b c" """#),
            (vec!["a\\b", "c\\"], r"a\b c\"),
            (vec!["a b\\"], r#""a b\\""#),
            (vec!["say \"hi\""], r#""say \"hi\"""#),
            (vec!["a\\\"b"], r#""a\\\"b""#),
        ] {
            let argv: Vec<OsString> = argv.into_iter().map(OsString::from).collect();
            let made = command_line(&argv);
            assert_eq!(String::from_utf16(&made[..made.len() - 1]).unwrap(), line);
        }
    }
}
