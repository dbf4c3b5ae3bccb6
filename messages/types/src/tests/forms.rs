//! Each form as it stands in a log or on a wire. A changed snapshot is a changed format: old logs
//! have to be read by the new form, or [`FORMAT`] goes up.

use super::samples::*;
use crate::*;
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeSet, fmt::Debug};

/// The forms, one a line. Each reads back as what it was.
fn forms<T: Serialize + DeserializeOwned + PartialEq + Debug>(values: &[T]) -> String {
    let mut text = String::new();
    for value in values {
        let form = serde_json::to_string(value).unwrap();
        assert_eq!(&serde_json::from_str::<T>(&form).unwrap(), value, "{form}");
        text.push_str(&form);
        text.push('\n');
    }
    text
}

/// Checks that the samples hold every variant. A new variant does not compile until it is listed.
macro_rules! holds_all {
    ($samples:expr, $kind:ident: $($variant:ident)*) => {{
        fn name(value: &$kind) -> &'static str {
            match value { $($kind::$variant { .. } => stringify!($variant),)* }
        }
        let samples = &$samples;
        let seen: BTreeSet<_> = samples.iter().map(name).collect();
        assert_eq!(seen, BTreeSet::from([$(stringify!($variant)),*]), "samples of {}", stringify!($kind));
        forms(samples)
    }};
}

#[test]
fn every_kind_of_record_as_a_line() {
    let mut seen = BTreeSet::new();
    let mut text = String::new();
    for (seq, record) in (0..).zip(records()) {
        seen.insert(record.kind());
        let line = Line { seq, at: 1_764_090_000_123 + seq, record };
        let rendered = line.render().unwrap();
        assert_eq!(Line::parse(&rendered).unwrap(), line);
        text.push_str(&rendered);
    }
    assert_eq!(seen, Record::KINDS.iter().copied().collect());
    insta::assert_snapshot!(text);
}

#[test]
fn every_item() {
    insta::assert_snapshot!(
        holds_all!(items(), Item: User Context Assistant Reasoning Call Output Summary Opaque)
    );
}

#[test]
fn every_operation() {
    insta::assert_snapshot!(
        holds_all!(ops(), Op: Prompt Interrupt Answer Continue Compact EndProcess)
    );
}

#[test]
fn every_outcome() {
    let outcomes = holds_all!(outcomes(), Outcome: Completed Failed Cancelled TimedOut Lost);
    let results = holds_all!(results(), RequestOutcome: Completed Cut Failed Cancelled);
    let classes = holds_all!(
        classes(),
        ErrorClass: Config Auth Network RateLimit Quota ContextWindow InvalidRequest Server NoAnswer Storage
            Sandbox Denied Tool Timeout Internal
    );
    insta::assert_snapshot!(format!("{outcomes}\n{results}\n{classes}"));
}

#[test]
fn every_decision_and_policy() {
    let decisions = holds_all!(decisions(), Decision: Approved ApprovedForSession ApprovedWithRule Denied Abort);
    let policies = holds_all!(policies(), ApprovalPolicy: Untrusted OnRequest Granular Never);
    insta::assert_snapshot!(format!("{decisions}\n{policies}"));
}

#[test]
fn every_detail_of_a_call() {
    insta::assert_snapshot!(holds_all!(details(), CallDetail: Command Patch Interact Plan Tool));
}

#[test]
fn every_result_of_a_call() {
    let mut all = command_results();
    let not_written = CallResult::NotWritten { why: NotWritten::Outside };
    all.extend([CallResult::text("done"), CallResult::Nothing, not_written]);
    insta::assert_snapshot!(holds_all!(all, CallResult: Nothing Content Command NotWritten));
}

#[test]
fn progress_of_every_kind() {
    insta::assert_snapshot!(holds_all!(progress(), Progress: CallOutput ActorRestarted));
}

#[test]
fn usage_and_settings() {
    let all = [
        serde_json::to_string_pretty(&usage()).unwrap(),
        serde_json::to_string_pretty(&settings()).unwrap(),
        serde_json::to_string_pretty(&SessionSettings::default()).unwrap(),
    ];
    assert_eq!(serde_json::from_str::<Usage>(&all[0]).unwrap(), usage());
    assert_eq!(serde_json::from_str::<SessionSettings>(&all[1]).unwrap(), settings());
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn names_without_a_body() {
    let all = [
        holds_all!(
            [
                ContextKind::Permissions,
                ContextKind::Developer,
                ContextKind::ProjectDocs,
                ContextKind::Environment,
                ContextKind::Interrupted,
                ContextKind::Note,
            ],
            ContextKind: Permissions Developer ProjectDocs Environment Interrupted Note
        ),
        holds_all!([Role::Developer, Role::User], Role: Developer User),
        holds_all!(
            [Wire::Responses, Wire::Chat, Wire::Rehearsal], Wire: Responses Chat Rehearsal
        ),
        holds_all!(
            [SandboxMode::ReadOnly, SandboxMode::WorkspaceWrite, SandboxMode::DangerFullAccess],
            SandboxMode: ReadOnly WorkspaceWrite DangerFullAccess
        ),
        holds_all!(
            [WithoutUserns::RefuseNewTopLevel, WithoutUserns::UnprotectedNames],
            WithoutUserns: RefuseNewTopLevel UnprotectedNames
        ),
        holds_all!(
            [FileChangeKind::Add, FileChangeKind::Delete, FileChangeKind::Update],
            FileChangeKind: Add Delete Update
        ),
    ];
    insta::assert_snapshot!(all.concat());
}

#[test]
fn the_older_name_of_a_policy_is_read() {
    let policy: ApprovalPolicy = serde_json::from_str(r#""on-failure""#).unwrap();
    assert_eq!(policy, ApprovalPolicy::OnRequest);
}

#[test]
fn settings_of_an_older_program_get_the_defaults() {
    let read: SessionSettings = serde_json::from_str(r#"{"model":"m"}"#).unwrap();
    assert_eq!(read, SessionSettings { model: "m".into(), ..SessionSettings::default() });
    let read: Usage = serde_json::from_str(r#"{"input_tokens":3}"#).unwrap();
    assert_eq!(read, Usage { input_tokens: 3, ..Usage::default() });
}

#[test]
fn usage_adds_up_and_is_billed_without_what_was_cached() {
    let mut sum = usage();
    sum += usage();
    assert_eq!((sum.input_tokens, sum.cache_write_input_tokens, sum.total_tokens), (200, 10, 240));
    assert_eq!((sum.cached_input_tokens, sum.reasoning_output_tokens), (80, 14));
    assert_eq!(usage().blended(), 80);
    let odd = Usage { cached_input_tokens: 9, output_tokens: 1, ..Usage::default() };
    assert_eq!(odd.blended(), 1, "a provider that counts wrongly");
}

#[test]
fn ids_sort_by_age_and_say_what_they_are() {
    let all: Vec<CallId> = (0..1000).map(|_| CallId::new()).collect();
    assert!(all.is_sorted(), "later ids are greater, also within one millisecond");
    assert!(all[0].made_at_ms() > 1_700_000_000_000);
    assert_eq!(CallId::from_u128(1).made_at_ms(), 0);
    let text = session().to_string();
    assert_eq!(text, "0199c0de-0000-7000-8000-000000000001");
    assert_eq!(text.parse::<SessionId>().unwrap(), session());
    let error = "yesterday".parse::<SessionId>().unwrap_err().to_string();
    assert!(error.contains("`yesterday` is not a session id"), "{error}");
}

#[test]
fn lengths_of_time_are_read_at_a_glance() {
    use std::time::Duration;
    for (ms, text) in [
        (0, "0 s"),
        (1, "0.1 s"),
        (184, "0.2 s"),
        (1_000, "1 s"),
        (3_170, "3.2 s"),
        (9_950, "10 s"),
        (30_000, "30 s"),
        (59_100, "1 min"),
        (65_000, "1 min 5 s"),
        (300_000, "5 min"),
        (300_001, "5 min 1 s"),
        (3_600_000, "1 h"),
        (86_400_000, "24 h"),
        (172_800_000, "2 days"),
        (180_000_000, "2 days 2 h"),
        (40_000_000_000, "more than a year"),
    ] {
        assert_eq!(Span(Duration::from_millis(ms)).to_string(), text, "{ms}");
    }
    assert_eq!(Span(Duration::MAX).to_string(), "more than a year");
}

#[test]
fn what_nobody_can_see_says_nothing() {
    for text in ["", " ", "\n\t", "\u{a0}", "\u{200b}", "\u{feff}\u{2060}", "\u{1b}\0"] {
        assert!(!says_something(text), "{text:?}");
    }
    for text in ["x", " . ", "\u{1f44d}", "\u{200b}x", "字"] {
        assert!(says_something(text), "{text:?}");
    }
}
