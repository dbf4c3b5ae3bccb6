//! The texts that the model is shown of calls, however they end.

use super::samples::{call, command_results};
use crate::*;
use proptest::prelude::*;

fn finished(outcome: Outcome, result: CallResult) -> CallFinished {
    CallFinished { call: call(), outcome, result, detail: None, took_ms: 0 }
}

fn text(finished: &CallFinished) -> String {
    let [Content::Text { text }] = &finished.for_model()[..] else { panic!("{finished:?}") };
    text.clone()
}

fn printed(text: &str) -> Printed {
    Printed { head: text.into(), lines: text.lines().count() as u64, ..Printed::default() }
}

fn command(end: CommandEnd, strays: u32, output: &str) -> CallFinished {
    let result = CommandResult { strays, ..CommandResult::new(end, 1234, printed(output)) };
    finished(Outcome::Completed, CallResult::Command(Box::new(result)))
}

#[test]
fn commands() {
    let table = [
        (
            CommandEnd::Exited { code: 0 },
            0,
            "Exit code: 0\nWall time: 1.2 seconds\nOutput:\nhello\n",
        ),
        (
            CommandEnd::Signalled { signal: 9 },
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
        (
            CommandEnd::Running { process: 12 },
            0,
            "Process running with session ID 12\nWall time: 1.2 seconds\nOutput:\nhello\n",
        ),
        (
            CommandEnd::Lost,
            0,
            "Process lost: it was ended, its exit code is unknown\nWall time: 1.2 seconds\nOutput:\nhello\n",
        ),
    ];
    for (end, strays, expected) in table {
        assert_eq!(text(&command(end, strays, "hello\n")), expected);
    }
}

#[test]
fn a_cut_output_names_its_lines_and_the_file() {
    let Some(CallResult::Command(result)) = command_results().into_iter().next() else { panic!() };
    let whole = finished(Outcome::Completed, CallResult::Command(result));
    assert_eq!(
        text(&whole),
        "Exit code: -1\nWall time: 1.2 seconds\nTotal output lines: 5\nWhole output: /out/1.out\n2 background processes of the command were ended\nOutput:\na\n…3 tokens truncated…z\nSandbox: the network is off for commands.\nHosts that it was refused:\n  example.org:443 (no rule allows it)\nThe user allows hosts with sandbox_allow_hosts."
    );
}

#[test]
fn what_became_of_a_long_output() {
    let path = || "/tmp/out.log".into();
    assert_eq!(Kept::Whole { path: path() }.sentence(), "Whole output: /tmp/out.log");
    let start = Kept::Start { path: path(), bytes: 64 << 20, reason: None };
    assert_eq!(start.sentence(), "First 64 MiB of the output: /tmp/out.log");
    let reason = Some("the disk is full".to_owned());
    let start = Kept::Start { path: path(), bytes: 24 << 10, reason };
    assert_eq!(
        start.sentence(),
        "First 24 KiB of the output: /tmp/out.log (the rest could not be kept: the disk is full)"
    );
    let failed = Kept::Failed { reason: "the disk is full".into() };
    assert_eq!(failed.sentence(), "The whole output could not be kept: the disk is full");
}

#[test]
fn calls_of_which_nothing_came() {
    let table = [
        (Outcome::Cancelled, "aborted by user"),
        (Outcome::TimedOut, "aborted: the turn's time was up before it began"),
        (Outcome::failed(ErrorClass::Denied, "not allowed"), "not allowed"),
    ];
    for (outcome, expected) in table {
        assert_eq!(text(&finished(outcome, CallResult::Nothing)), expected);
    }
    let lost = text(&finished(Outcome::Lost, CallResult::Nothing));
    assert!(lost.starts_with("lost: ") && lost.ends_with("Look before you go on."), "{lost}");
    assert!(!lost.contains("  ") && !lost.contains('\n'), "{lost}");
    let CallFinished { result, .. } = command(CommandEnd::Lost, 0, "half");
    let with_output = text(&finished(Outcome::Lost, result));
    assert_eq!(with_output, format!("{lost}\nOutput so far:\nhalf"));
}

#[test]
fn what_is_left_out_is_a_line_of_its_own() {
    let cut = |head: &str, tail: &str| {
        Printed { head: head.into(), omitted: 9, tail: tail.into(), lines: 5 }.text()
    };
    assert_eq!(cut("a", "z\n"), "a\n[9 bytes of output left out]\nz\n");
    assert_eq!(cut("a\n", "z"), "a\n[9 bytes of output left out]\nz");
    assert_eq!(cut("", ""), "[9 bytes of output left out]\n");
    assert_eq!(printed("all of it").text(), "all of it");
}

proptest! {
    #[test]
    fn what_the_model_wants_at_most_is_kept_to(output in "[a-zé€𝄞\n]{0,200}", tokens in 0_usize..60) {
        let mut call = command(CommandEnd::Exited { code: 0 }, 0, &output);
        if let CallResult::Command(result) = &mut call.result {
            result.most_tokens = Some(tokens);
        }
        let text = text(&call);
        let (_, shown) = text.split_once("\nOutput:\n").unwrap();
        if output.len() <= tokens * 4 {
            prop_assert_eq!(shown, output);
        } else {
            let (first, rest) = shown.split_once('…').unwrap();
            let (marker, last) = rest.split_once('…').unwrap();
            prop_assert!(first.len() + last.len() <= tokens * 4);
            prop_assert!(output.starts_with(first) && output.ends_with(last));
            let removed = (output.len() - first.len() - last.len()).div_ceil(4);
            prop_assert_eq!(marker, format!("{removed} tokens truncated"));
        }
    }
}
