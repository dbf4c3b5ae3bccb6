//! Whatever way an output comes, what is shown are pieces of it, in place and in order.

use super::{News, SHOWN, Shown};
use proptest::prelude::*;
use troupe_types::OutputStream::{self, Stderr, Stdout};

fn stream(error: bool) -> OutputStream {
    if error { Stderr } else { Stdout }
}

proptest! {
    #[test]
    fn pieces_are_where_they_say(
        steps in proptest::collection::vec(
            ("[a-z€𝄞]{0,40}", 0_usize..400, any::<bool>(), any::<bool>()),
            1..30,
        ),
    ) {
        let (mut news, mut output, mut shown) = (News::default(), String::new(), Vec::new());
        for (text, times, error, take) in steps {
            let text = text.repeat(times);
            news.push(stream(error), text.as_bytes());
            output.push_str(&text);
            prop_assert!(news.held <= SHOWN);
            if take {
                shown.extend(news.take(false));
            }
        }
        shown.extend(news.take(true));
        let mut end = 0;
        for (_, offset, text) in &shown {
            prop_assert!(*offset >= end);
            end = *offset + text.len() as u64;
            let place = usize::try_from(*offset).unwrap();
            prop_assert_eq!(output.get(place..place + text.len()), Some(text.as_str()));
        }
        let whole = news.pieces.is_empty() && !news.is_fresh();
        prop_assert!(whole && end == output.len() as u64);
    }

    #[test]
    fn nothing_is_lost_of_a_slow_output(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        size in 1_usize..7,
    ) {
        let (mut news, mut shown) = (News::default(), String::new());
        for chunk in bytes.chunks(size) {
            news.push(Stdout, chunk);
            shown.extend(news.take(false).into_iter().map(|(_, _, text)| text));
        }
        shown.extend(news.take(true).into_iter().map(|(_, _, text)| text));
        prop_assert_eq!(shown, String::from_utf8_lossy(&bytes).into_owned());
    }
}

fn shown(stream: OutputStream, offset: u64, text: &str) -> Shown {
    (stream, offset, text.to_owned())
}

#[test]
fn a_split_character_waits_for_its_rest() {
    let mut news = News::default();
    news.push(Stdout, b"a\xE2\x82");
    assert_eq!(news.take(false), [shown(Stdout, 0, "a")]);
    assert!(!news.is_fresh() && news.take(false).is_empty());
    news.push(Stdout, b"\xACb");
    assert_eq!(news.take(false), [shown(Stdout, 1, "€b")]);
    // Cut off by the other stream, and by the end.
    news.push(Stdout, b"\xE2");
    news.push(Stderr, b"x\xE2");
    assert_eq!(news.take(false), [shown(Stdout, 5, "\u{FFFD}"), shown(Stderr, 6, "x")]);
    assert_eq!(news.take(true), [shown(Stderr, 7, "\u{FFFD}")]);
}

#[test]
fn of_too_much_the_latest_is_shown() {
    let mut news = News::default();
    news.push(Stderr, b"old");
    news.push(Stdout, "€".repeat(SHOWN).as_bytes());
    let all = news.take(false);
    let [(Stdout, offset, text)] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(text, &"€".repeat(SHOWN / 3));
    assert_eq!(*offset + text.len() as u64, 3 + 3 * SHOWN as u64);
    for n in 0..1000 {
        news.push(stream(n % 2 == 0), b"x");
    }
    assert_eq!(news.take(false).len(), super::PIECES);
}
