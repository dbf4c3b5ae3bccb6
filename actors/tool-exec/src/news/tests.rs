//! Whatever way an output comes, what is shown are pieces of it, in place and in order.

use super::{News, SHOWN};
use proptest::prelude::*;

proptest! {
    #[test]
    fn pieces_are_where_they_say(
        steps in proptest::collection::vec(("[a-z€𝄞]{0,40}", 0_usize..400, any::<bool>()), 1..30),
    ) {
        let (mut news, mut output, mut shown) = (News::default(), String::new(), Vec::new());
        for (text, times, take) in steps {
            let text = text.repeat(times);
            news.push(text.as_bytes());
            output.push_str(&text);
            prop_assert!(news.latest.len() <= SHOWN);
            if take {
                shown.extend(news.take());
            }
        }
        shown.extend(news.take());
        let mut end = 0;
        for (offset, text) in &shown {
            prop_assert!(*offset >= end);
            end = *offset + text.len() as u64;
            let place = usize::try_from(*offset).unwrap();
            prop_assert_eq!(output.get(place..place + text.len()), Some(text.as_str()));
        }
        prop_assert!(!news.is_fresh() && end == output.len() as u64);
    }
}

#[test]
fn of_too_much_the_latest_is_shown() {
    let mut news = News::default();
    news.push(b"old");
    news.push("€".repeat(SHOWN).as_bytes());
    let (offset, text) = news.take().unwrap();
    assert_eq!(text, "€".repeat(SHOWN / 3));
    assert_eq!(offset + text.len() as u64, 3 + 3 * SHOWN as u64);
    assert_eq!(news.take(), None);
}
