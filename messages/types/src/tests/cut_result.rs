//! Results that are cut to the room there is for them.

use crate::*;

fn finished(result: CallResult) -> CallFinished {
    let detail = Some(CallDetail::Tool { summary: "x".to_owned() });
    CallFinished { call: CallId::new(), outcome: Outcome::Completed, result, detail, took_ms: 1 }
}

#[test]
fn an_output_keeps_its_start_and_its_end_and_counts_the_rest() {
    let head = "é".repeat(50_000);
    for tail in [String::new(), "ü".repeat(10)] {
        let printed = Printed { head: head.clone(), omitted: 7, tail: tail.clone(), lines: 1 };
        let all = (head.len() + tail.len() + 7) as u64;
        let command = CommandResult::new(CommandEnd::Exited { code: 0 }, 1, printed);
        let cut = finished(CallResult::Command(Box::new(command))).cut(1000);
        let output = &cut.result.command().unwrap().output;
        assert!(output.head.len() + output.tail.len() <= 1000);
        assert!(output.head.len() > 400 && output.head.chars().all(|c| c == 'é'));
        assert!(!output.tail.is_empty());
        assert_eq!(all, output.omitted + (output.head.len() + output.tail.len()) as u64);
    }
}

#[test]
fn texts_say_what_is_left_out_and_images_are_whole_or_gone() {
    let content = vec![
        Content::text("y".repeat(5000)),
        Content::Image { url: "data:image/png;base64,".to_owned() + &"A".repeat(5000) },
        Content::Image { url: "https://example.org/a.png".to_owned() },
    ];
    let cut = finished(CallResult::Content { content }).cut(1000);
    let CallResult::Content { content } = &cut.result else { panic!("{cut:?}") };
    assert!(content[0].as_text().unwrap().contains("…4000 bytes left out…"));
    assert!(content[1].as_text().unwrap().contains("the disk was full"));
    assert_eq!(content[2].as_text(), None);
}

#[test]
fn what_is_short_stays_as_it_is() {
    let short = finished(CallResult::text("done"));
    assert_eq!(short.cut(1000), short);
}
