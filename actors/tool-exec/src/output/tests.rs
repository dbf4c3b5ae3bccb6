//! The bounded output against its plain definition.

use super::{
    CommandEnd, HeadTail, Kept, ShellReport,
    cut::{partial_char, start_of},
    shell_text, truncate_text,
};
use proptest::prelude::*;
use std::{path::Path, time::Duration};

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
    fn render_stays_within_its_budget(
        stream in mixed_bytes(),
        budget in 0_usize..300,
        tokens in 0_usize..80,
    ) {
        let kept = pushed(&stream, budget, 37);
        let rendered = kept.render(tokens);
        let marker = format!("…{} tokens truncated…", rendered.removed_tokens);
        let header = if rendered.truncated { marker.len() } else { 0 };
        prop_assert!(rendered.text.len() <= tokens * 4 + header);
        prop_assert_eq!(rendered.truncated, rendered.text.contains(&marker));
        let whole = String::from_utf8_lossy(&stream);
        if stream.len() <= budget && whole.len() <= tokens * 4 {
            prop_assert_eq!(rendered.text, whole.into_owned());
        } else {
            prop_assert!(rendered.truncated);
            let (head, tail) = rendered.text.split_once(&marker).unwrap();
            prop_assert!(whole.starts_with(head));
            prop_assert!(whole.ends_with(tail));
        }
    }

    #[test]
    fn removed_tokens_are_the_bytes_left_out(text in "[a-zé€𝄞\n]{0,200}", tokens in 0_usize..40) {
        let rendered = pushed(text.as_bytes(), 1 << 20, 50).render(tokens);
        let marker = format!("…{} tokens truncated…", rendered.removed_tokens);
        let kept = rendered.text.len() - if rendered.truncated { marker.len() } else { 0 };
        prop_assert_eq!(rendered.removed_tokens, ((text.len() - kept) as u64).div_ceil(4));
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
fn head_and_tail_meet_in_a_marker() {
    let stream: String = (1..=1000).map(|n| format!("line {n}\n")).collect();
    let rendered = pushed(stream.as_bytes(), 1 << 20, 4096).render(10);
    assert_eq!(
        rendered.text,
        "line 1\nline 2\nline 3…2214 tokens truncated…\nline 999\nline 1000\n"
    );
    assert_eq!((rendered.total_lines, rendered.total_bytes), (1000, stream.len() as u64));
}

#[test]
fn a_character_split_between_chunks_is_whole() {
    let rendered = pushed("aé€𝄞".as_bytes(), 100, 1).render(100);
    assert_eq!(rendered.text, "aé€𝄞");
    assert!(!rendered.truncated);
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

fn report(output: &HeadTail, end: CommandEnd, strays: u32) -> ShellReport<'_> {
    let kept = Some(Kept::Whole(Path::new("/tmp/out.log")));
    ShellReport { end, wall: Duration::from_millis(1234), strays, output, kept }
}

#[test]
fn shell_texts() {
    let mut short = HeadTail::default();
    short.push(b"hello\n");
    let table = [
        (CommandEnd::Exited(0), 0, "Exit code: 0\nWall time: 1.2 seconds\nOutput:\nhello\n"),
        (
            CommandEnd::Exited(137),
            1,
            "Exit code: 137\nWall time: 1.2 seconds\n1 background process of the command was ended\nOutput:\nhello\n",
        ),
        (
            CommandEnd::TimedOut { limit_ms: 500 },
            3,
            "Exit code: 124\nWall time: 1.2 seconds\n3 background processes of the command were ended\nOutput:\ncommand timed out after 500 milliseconds\nhello\n",
        ),
        (
            CommandEnd::Cancelled,
            0,
            "Exit code: 130\nWall time: 1.2 seconds\nOutput:\ncommand stopped by the user\nhello\n",
        ),
    ];
    for (end, strays, expected) in table {
        assert_eq!(shell_text(&report(&short, end, strays), 100), expected);
    }
}

#[test]
fn a_truncated_command_names_its_lines_and_the_file() {
    let mut long = HeadTail::new(64);
    long.push("0123456789\n".repeat(100).as_bytes());
    assert_eq!(
        shell_text(&report(&long, CommandEnd::Exited(1), 0), 4),
        "Exit code: 1\nWall time: 1.2 seconds\nTotal output lines: 100\nWhole output: /tmp/out.log\nOutput:\n01234567…271 tokens truncated…3456789\n"
    );
}

#[test]
fn what_became_of_a_long_output() {
    let path = Path::new("/tmp/out.log");
    assert_eq!(Kept::Whole(path).to_string(), "Whole output: /tmp/out.log");
    let start = Kept::Start(path, 64 << 20);
    assert_eq!(start.to_string(), "First 64 MiB of the output: /tmp/out.log");
    let failed = Kept::Failed("the disk is full");
    assert_eq!(failed.to_string(), "The whole output could not be kept: the disk is full");
}
