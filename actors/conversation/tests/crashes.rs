//! Every role around a turn, crashed at every message in every way: the transcript is that of an
//! undisturbed run, or names what is lost; nothing takes effect twice; the session goes on.

#![allow(clippy::unwrap_used, reason = "a test")]

mod stage;

use stage::{Beat, Stage, answer, call, calls, outputs, says};
use std::collections::HashSet;
use troupe_kit::{Fault, Moment};
use troupe_types::{Item, ModelRequest};

/// Two steps with several calls each, some of which run side by side, then an answer in parts.
fn script(request: &ModelRequest) -> Vec<Beat> {
    match outputs(request) {
        0 => {
            let mut beats = says(0, "first a look");
            beats.extend([call(1, "read", "r1"), call(2, "read_slow", "r2")]);
            beats.extend([call(3, "look", "l1"), call(4, "look", "l2"), Beat::End(10)]);
            beats
        }
        4 => calls(&[("write", "w1"), ("read", "r3"), ("run", "w2")]),
        _ => answer("all is written"),
    }
}

const ROLES: [&str; 6] = [
    "root/session/conversation",
    "root/session/recorder",
    "root/session",
    "root",
    "stream",
    "tool",
];

/// What a transcript says apart from how often it had to try.
fn essence(transcript: &[String]) -> Vec<String> {
    transcript
        .iter()
        .filter(|line| {
            !line.starts_with("notice") && !line.starts_with("Cut") && !line.starts_with("cut")
        })
        .filter(|line| !matches!(line.as_str(), "RequestStarted" | "answered"))
        .cloned()
        .collect()
}

async fn undisturbed() -> (Vec<String>, Vec<(&'static str, u64)>) {
    let stage = Stage::new(script);
    // Armed, so that messages are counted.
    stage.kit.faults.inject(Fault { role: "nobody".to_owned(), at: 1, moment: Moment::Kill });
    stage.prompt("go").await;
    stage.turns(1).await;
    let transcript = essence(&stage.log.transcript());
    stage.root.stop().await;
    let counts = stage.kit.faults.counts();
    let most = ROLES.map(|role| {
        let of = counts.iter().filter(|(path, _)| {
            *path == role
                || path.rsplit('/').next().is_some_and(|name| name.starts_with(&format!("{role}:")))
        });
        (role, of.map(|(_, count)| *count).max().unwrap_or(0))
    });
    (transcript, most.to_vec())
}

#[tokio::test]
async fn each_role_crashed_at_each_message() {
    let (expected, counts) = undisturbed().await;
    let mut landed = 0;
    for (role, count) in counts {
        assert!(count > 0, "{role} handles messages");
        for at in 1..=count {
            for moment in [Moment::Before, Moment::Within, Moment::After, Moment::Kill] {
                landed += u32::from(one_crash(&expected, role, at, moment).await);
            }
        }
    }
    assert!(landed > 200, "only {landed} faults landed");
}

async fn one_crash(expected: &[String], role: &str, at: u64, moment: Moment) -> bool {
    let stage = Stage::new(script);
    stage.kit.faults.inject(Fault { role: role.to_owned(), at, moment });
    let what = format!("{role} at {at} {moment:?}");
    stage.prompt("go").await;
    stage.turns(1).await;
    let transcript = stage.log.transcript();
    let effects = stage.effects();
    let unique: HashSet<_> = effects.iter().collect();
    assert_eq!(unique.len(), effects.len(), "{what}: done twice: {effects:?}");
    let got = essence(&transcript);
    let lost = transcript.iter().filter(|line| line.starts_with("lost")).count();
    if lost == 0 {
        let sorted = |lines: &[String]| {
            let mut lines = lines.to_vec();
            lines.sort();
            lines.dedup();
            lines
        };
        assert_eq!(sorted(&got), sorted(expected), "{what}: {transcript:#?}");
        let (looks, writes) = effects.split_at(2);
        assert_eq!(writes, ["w1", "w2"], "{what}");
        assert!(looks.iter().all(|look| look.starts_with('l')), "{what}: {looks:?}");
    }
    assert_eq!(transcript.last().unwrap(), "turn completed", "{what}: {transcript:#?}");
    for request in stage.requests() {
        paired(&request, &what);
    }
    stage.prompt("and again").await;
    stage.turns(2).await;
    let landed = !stage.kit.faults.landed().is_empty();
    stage.root.stop().await;
    landed
}

/// Each call has exactly one output behind it, and each output its call before it.
fn paired(request: &ModelRequest, what: &str) {
    let mut open = HashSet::new();
    let mut seen = HashSet::new();
    for item in &request.items {
        match &**item {
            Item::Call(call) => assert!(open.insert(call.call) && seen.insert(call.call), "{what}"),
            Item::Output(output) => assert!(open.remove(&output.call), "{what}: output alone"),
            _ => {}
        }
    }
    assert!(open.is_empty(), "{what}: {open:?} unanswered");
}
