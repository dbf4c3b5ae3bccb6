//! What an index (gitformat-index(5)) says of files, without what it remembers of their times and
//! places: that is all that looking at a repository changes in it.

/// The entries of an index: mode, object, flags and name of each. `None` if it cannot be read here.
pub(super) fn entries(index: &[u8]) -> Option<Vec<Entry>> {
    let number = |at: usize| -> Option<u32> {
        Some(u32::from_be_bytes(index.get(at..at + 4)?.try_into().ok()?))
    };
    if !index.starts_with(b"DIRC") {
        return None;
    }
    let (version, count) = (number(4)?, number(8)?);
    if !(2..=4).contains(&version) {
        return None;
    }
    let mut found = Vec::new();
    let mut at = HEAD;
    for _ in 0..count {
        let mode = number(at + 24)?;
        let fixed = index.get(at + 40..at + 62)?;
        let (object, flags) = (fixed[..20].to_vec(), u16::from_be_bytes([fixed[20], fixed[21]]));
        let more = if flags & EXTENDED == 0 { 0 } else { 2 };
        let extended = index.get(at + 62..at + 62 + more)?.to_vec();
        let start = at + 62 + more;
        let name = if version == 4 {
            let previous = found.last().map_or(&[][..], |entry: &Entry| &entry.name);
            let (cut, length) = varint(index.get(start..)?)?;
            let rest = until_zero(index.get(start + length..)?)?;
            at = start + length + rest.len() + 1;
            [previous.get(..previous.len().checked_sub(cut)?)?, rest].concat()
        } else {
            let name = until_zero(index.get(start..)?)?;
            // At least one zero follows, up to a multiple of eight.
            at += (62 + more + name.len()) / 8 * 8 + 8;
            name.to_vec()
        };
        found.push(Entry { mode, object, flags, extended, name });
    }
    // What is kept in another file cannot be compared here.
    let rest = index.get(at..)?;
    (!rest.windows(4).any(|four| four == b"link")).then_some(found)
}

/// Bytes before the first entry.
const HEAD: usize = 12;
/// The flag that says that there are more flags.
const EXTENDED: u16 = 0x4000;

/// What an index says of one file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    mode: u32,
    object: Vec<u8>,
    flags: u16,
    extended: Vec<u8>,
    name: Vec<u8>,
}

fn until_zero(bytes: &[u8]) -> Option<&[u8]> {
    bytes.iter().position(|byte| *byte == 0).map(|end| &bytes[..end])
}

/// A number as offsets in packs are written, and how many bytes it takes.
fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = usize::from(bytes.first()? & 0x7f);
    let mut length = 1;
    while bytes[length - 1] & 0x80 != 0 {
        let byte = bytes.get(length)?;
        value = value.checked_add(1)?.checked_mul(128)?.checked_add(usize::from(byte & 0x7f))?;
        length += 1;
    }
    Some((value, length))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    /// An index of these versions' form: entries with a name, a time and an object.
    fn index(version: u32, files: &[(&str, u8, u8)]) -> Vec<u8> {
        let count = u32::try_from(files.len()).unwrap();
        let mut out = [b"DIRC".as_slice(), &version.to_be_bytes(), &count.to_be_bytes()].concat();
        let mut previous = "";
        for (name, time, object) in files {
            let start = out.len();
            out.extend([*time; 24]);
            out.extend(0o100_644u32.to_be_bytes());
            out.extend([*time; 12]);
            out.extend([*object; 20]);
            let length = u16::try_from(name.len()).unwrap();
            let more = version == 3 && *object == 3;
            out.extend((length | if more { EXTENDED } else { 0 }).to_be_bytes());
            out.extend(more.then_some([0x20, 0]).into_iter().flatten());
            if version == 4 {
                let shared = previous.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
                let cut = previous.len() - shared;
                if cut > 127 {
                    out.push(0x80 | u8::try_from((cut - 128) >> 7).unwrap());
                }
                out.push(u8::try_from(cut % 128).unwrap());
                out.extend(name[shared..].bytes().chain([0]));
                previous = name;
            } else {
                out.extend(name.bytes().chain([0]));
                while !(out.len() - start).is_multiple_of(8) {
                    out.push(0);
                }
            }
        }
        out.extend([b"TREE".as_slice(), &0u32.to_be_bytes(), &[7; 20]].concat());
        out
    }

    #[test]
    fn times_do_not_count_and_everything_else_does() {
        let long = "d/".repeat(150) + "end";
        for version in [2, 3, 4] {
            let of = |files: &[(&str, u8, u8)]| entries(&index(version, files)).unwrap();
            let one = of(&[("a", 1, 1), ("ab/cdefg", 1, 2), (&long, 1, 3), ("x", 1, 4)]);
            assert_eq!(one.len(), 4);
            assert_eq!(one[2].name, long.as_bytes());
            assert_eq!(one[3].name, b"x");
            assert_eq!(one, of(&[("a", 9, 1), ("ab/cdefg", 8, 2), (&long, 7, 3), ("x", 1, 4)]));
            assert_ne!(one, of(&[("a", 1, 2), ("ab/cdefg", 1, 2), (&long, 1, 3), ("x", 1, 4)]));
            assert_ne!(one, of(&[("a", 1, 1), ("ab/cdefg", 1, 2), (&long, 1, 3)]));
        }
        for name in ["a", "ab", "abcdefg", "abcdefgh", "abcdefghi", "abcdefghij", "abcdefghijk"] {
            let two = [(name, 1, 1), ("z", 1, 2)];
            assert_eq!(entries(&index(2, &two)).unwrap()[1].name, b"z", "{name}");
        }
    }

    #[test]
    fn what_is_cut_or_of_another_form_is_not_compared() {
        let whole = index(2, &[("a", 1, 1), ("b", 1, 2)]);
        for length in 0..HEAD + 2 * 64 {
            assert_eq!(entries(&whole[..length]), None, "{length}");
        }
        assert_eq!(entries(&index(5, &[])), None);
        let mut split = whole;
        split.extend(b"link\0\0\0\0");
        assert_eq!(entries(&split), None);
    }
}
