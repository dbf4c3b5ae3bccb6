//! The bounded output against its plain definition.

use super::{HeadTail, cut::partial_char, truncate_text};
use proptest::prelude::*;
use troupe_types::start_of;

/// The first and last bytes of a stream, by definition.
fn naive(stream: &[u8], budget: usize) -> (Vec<u8>, Vec<u8>) {
    if stream.len() <= budget {
        let (head, tail) = stream.split_at(stream.len().min(budget / 2));
        return (head.to_vec(), tail.to_vec());
    }
    let tail = budget - budget / 2;
    (stream[..budget / 2].to_vec(), stream[stream.len() - tail..].to_vec())
}

fn pushed(stream: &[u8], budget: usize, chunk: usize) -> HeadTail {
    let mut kept = HeadTail::new(budget);
    stream.chunks(chunk).for_each(|part| kept.push(part));
    kept
}

fn mixed_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..400),
        "[a-zé€𝄞\n]{0,120}".prop_map(String::into_bytes),
        ("[a-z€\n]{0,60}", proptest::collection::vec(0x7F_u8..0xFF, 0..40))
            .prop_map(|(text, bytes)| [text.as_bytes(), &bytes, text.as_bytes()].concat()),
    ]
}

proptest! {
    #[test]
    fn any_chunking_keeps_the_same(
        stream in mixed_bytes(),
        budget in 0_usize..300,
        sizes in proptest::collection::vec(1_usize..90, 1..20),
    ) {
        let mut kept = HeadTail::new(budget);
        let mut rest = stream.as_slice();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (part, after) = rest.split_at((*size).min(rest.len()));
            kept.push(part);
            rest = after;
        }
        prop_assert_eq!(kept.parts(), naive(&stream, budget));
        prop_assert_eq!(kept.total_bytes(), stream.len() as u64);
        prop_assert_eq!(kept.dropped_bytes(), stream.len().saturating_sub(budget) as u64);
        let lines = stream.split_inclusive(|byte| *byte == b'\n').count();
        prop_assert_eq!(kept.total_lines(), lines as u64);
    }

    #[test]
    fn what_is_printed_stays_within_its_budget(
        stream in mixed_bytes(),
        budget in 0_usize..300,
        tokens in 0_usize..80,
    ) {
        let kept = pushed(&stream, budget, 37);
        let printed = kept.printed(tokens);
        prop_assert!(printed.head.len() + printed.tail.len() <= tokens * 4);
        let whole = String::from_utf8_lossy(&stream);
        if stream.len() <= budget && whole.len() <= tokens * 4 {
            prop_assert_eq!((printed.head, printed.omitted), (whole.into_owned(), 0));
        } else {
            prop_assert!(printed.omitted > 0);
            prop_assert!(whole.starts_with(&printed.head));
            prop_assert!(whole.ends_with(&printed.tail));
        }
    }

    #[test]
    fn omitted_are_the_bytes_left_out(text in "[a-zé€𝄞\n]{0,200}", tokens in 0_usize..40) {
        let printed = pushed(text.as_bytes(), 1 << 20, 50).printed(tokens);
        let kept = printed.head.len() + printed.tail.len();
        prop_assert_eq!(printed.omitted, (text.len() - kept) as u64);
    }

    #[test]
    fn truncated_text_is_a_start_and_an_end(text in "[a-zé€𝄞\n]{0,200}", tokens in 0_usize..60) {
        let short = truncate_text(&text, tokens);
        if text.len() <= tokens * 4 {
            prop_assert_eq!(short, text);
        } else {
            let head = format!("Total output lines: {}\n\n", text.lines().count());
            let body = short.strip_prefix(&head).unwrap();
            let (first, rest) = body.split_once('…').unwrap();
            let (marker, last) = rest.split_once('…').unwrap();
            prop_assert!(first.len() + last.len() <= tokens * 4);
            prop_assert!(text.starts_with(first) && text.ends_with(last));
            let removed = (text.len() - first.len() - last.len()).div_ceil(4);
            prop_assert_eq!(marker, format!("{removed} tokens truncated"));
        }
    }

    #[test]
    fn partial_characters_are_seen(text in "[aé€𝄞]{1,8}", cut in 0_usize..32) {
        let bytes = &text.as_bytes()[..cut.min(text.len())];
        let expected = bytes.len() - start_of(&text, bytes.len()).len();
        prop_assert_eq!(partial_char(bytes), expected);
    }
}

#[test]
fn head_and_tail_are_apart() {
    let stream: String = (1..=1000).map(|n| format!("line {n}\n")).collect();
    let printed = pushed(stream.as_bytes(), 1 << 20, 4096).printed(10);
    assert_eq!(
        (printed.head.as_str(), printed.tail.as_str()),
        ("line 1\nline 2\nline 3", "\nline 999\nline 1000\n")
    );
    assert_eq!((printed.omitted, printed.lines), (stream.len() as u64 - 40, 1000));
}

#[test]
fn a_character_split_between_chunks_is_whole() {
    let printed = pushed("aé€𝄞".as_bytes(), 100, 1).printed(100);
    assert_eq!((printed.head.as_str(), printed.omitted), ("aé€𝄞", 0));
}

#[test]
fn memory_stays_within_the_budget() {
    let mut kept = HeadTail::new(1000);
    for _ in 0..10_000 {
        kept.push(&[b'x'; 4096]);
    }
    let (head, tail) = kept.parts();
    assert_eq!((head.len(), tail.len(), kept.total_bytes()), (500, 500, 40_960_000));
}
