//! Arbitrary values for the properties: every shape of record, with awkward texts.

use super::samples;
use crate::*;
use proptest::{collection::vec, option, prelude::*};
use serde_json::Value;

/// Texts that quoting can get wrong, and any others.
pub(super) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        Just(String::new()),
        Just("\n\r\t\"\\/\u{0}\u{7f}\u{2028}\u{2029}\u{feff}\u{1f3ad}".to_owned()),
        Just(r#"{"seq":0,"kind":"Mended"}"#.to_owned()),
    ]
}

prop_compose! {
    fn call()(value in any::<u128>()) -> CallId { CallId::from_u128(value) }
}

prop_compose! {
    fn request()(value in any::<u128>()) -> RequestId { RequestId::from_u128(value) }
}

fn access() -> impl Strategy<Value = Access> {
    one_of(vec![Access::Read, Access::Command, Access::Exclusive])
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![text().prop_map(Content::text), text().prop_map(|url| Content::Image { url })]
}

fn one_of<T: Clone + std::fmt::Debug + 'static>(all: Vec<T>) -> impl Strategy<Value = T> {
    proptest::sample::select(all)
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let failed = (one_of(samples::classes()), text())
        .prop_map(|(class, message)| Outcome::Failed(Failure { class, message }));
    prop_oneof![one_of(samples::outcomes()), failed]
}

prop_compose! {
    fn opaque()(
        wire in one_of(vec![Wire::Responses, Wire::Chat, Wire::Rehearsal]),
        json in text(),
    ) -> Opaque {
        Opaque { wire, json }
    }
}

prop_compose! {
    fn call_item()(
        call in call(),
        wire_id in text(),
        id in option::of(text()),
        tool in text(),
        input in prop_oneof![text().prop_map(CallInput::Json), text().prop_map(CallInput::Text)],
        opaque in option::of(opaque()),
    ) -> CallItem {
        CallItem { call, wire_id, id, tool, input, opaque }
    }
}

prop_compose! {
    fn reasoning()(
        id in option::of(text()),
        summary in vec(text(), 0..3),
        content in vec(text(), 0..3),
        opaque in option::of(opaque()),
    ) -> ReasoningItem {
        ReasoningItem { id, summary, content, opaque }
    }
}

fn item() -> impl Strategy<Value = Item> {
    let assistant = (option::of(text()), text(), option::of(text()), any::<bool>())
        .prop_map(|(id, text, phase, cut)| AssistantItem { id, text, phase, cut });
    let output = (call(), outcome(), vec(content(), 0..3), option::of(any::<i32>()));
    let output = output.prop_map(|(call, outcome, content, exit_code)| OutputItem {
        call,
        outcome,
        content,
        exit_code,
    });
    prop_oneof![
        one_of(samples::items()),
        vec(content(), 0..3).prop_map(|content| Item::User(UserItem { content })),
        assistant.prop_map(Item::Assistant),
        reasoning().prop_map(Item::Reasoning),
        call_item().prop_map(Item::Call),
        output.prop_map(Item::Output),
        text().prop_map(|text| Item::Summary(SummaryItem { text })),
        (text(), opaque()).prop_map(|(kind, opaque)| Item::Opaque(OpaqueItem { kind, opaque })),
    ]
}

/// JSON as a schema has it. Not `null`: that says the same as no schema.
fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(text(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn submission() -> impl Strategy<Value = Submission> {
    let prompt = (vec(content(), 0..3), option::of(schema()))
        .prop_map(|(content, output_schema)| Op::Prompt { content, output_schema });
    let denied = text().prop_map(|reason| Decision::Denied { reason });
    let answer = (call(), prop_oneof![one_of(samples::decisions()), denied])
        .prop_map(|(call, decision)| Op::Answer { call, decision });
    let op = prop_oneof![one_of(samples::ops()), prompt, answer];
    (any::<u128>(), op).prop_map(|(id, op)| Submission { id: OpId::from_u128(id), op })
}

fn detail() -> impl Strategy<Value = CallDetail> {
    let command = (vec(text(), 0..4), text(), any::<bool>())
        .prop_map(|(argv, cwd, outside)| CallDetail::Command { argv, cwd: cwd.into(), outside });
    let kinds = vec![FileChangeKind::Add, FileChangeKind::Delete, FileChangeKind::Update];
    let file = (text(), one_of(kinds), option::of(text()), text()).prop_map(
        |(path, kind, moved_to, diff)| FileChanged {
            path: path.into(),
            kind,
            moved_to: moved_to.map(Into::into),
            diff,
        },
    );
    prop_oneof![
        command,
        vec(file, 0..3).prop_map(|changes| CallDetail::Patch { changes }),
        text().prop_map(|summary| CallDetail::Tool { summary }),
        (any::<u64>(), text(), text()).prop_map(|(process, command, input)| {
            CallDetail::Interact { process, command, input }
        }),
    ]
}

prop_compose! {
    fn usage()(counts in any::<[u64; 6]>()) -> Usage {
        Usage {
            input_tokens: counts[0],
            cached_input_tokens: counts[1],
            cache_write_input_tokens: counts[2],
            output_tokens: counts[3],
            reasoning_output_tokens: counts[4],
            total_tokens: counts[5],
        }
    }
}

prop_compose! {
    fn settings()(
        cwd in text(),
        model in text(),
        approval in one_of(samples::policies()),
        instructions in option::of(text()),
        roots in vec(text(), 0..3),
        window in option::of(any::<u64>()),
        flags in any::<[bool; 3]>(),
    ) -> SessionSettings {
        let mut settings = samples::settings();
        settings.cwd = cwd.into();
        settings.model = model;
        settings.approval = approval;
        settings.instructions = instructions;
        settings.sandbox.writable_roots = roots.into_iter().map(Into::into).collect();
        settings.sandbox.network = flags[0];
        settings.environment_context = flags[1];
        settings.login_shell = flags[2];
        settings.context_window = window;
        settings
    }
}

fn call_result() -> impl Strategy<Value = CallResult> {
    let printed = (text(), any::<u64>(), text(), any::<u64>())
        .prop_map(|(head, omitted, tail, lines)| Printed { head, omitted, tail, lines });
    let command = (any::<i32>(), any::<u64>(), printed, vec(text(), 0..3)).prop_map(
        |(code, wall_ms, output, sandbox)| {
            let end = CommandEnd::Exited { code };
            let result = CommandResult { sandbox, ..CommandResult::new(end, wall_ms, output) };
            CallResult::Command(Box::new(result))
        },
    );
    prop_oneof![
        one_of(samples::command_results()),
        command,
        vec(content(), 0..3).prop_map(|content| CallResult::Content { content }),
        Just(CallResult::Nothing),
        Just(CallResult::NotWritten { why: NotWritten::ReadOnly }),
    ]
}

fn finished() -> impl Strategy<Value = Record> {
    let call = (call(), outcome(), call_result(), option::of(detail()), any::<u64>()).prop_map(
        |(call, outcome, result, detail, took_ms)| {
            CallFinished { call, outcome, result, detail, took_ms }.into()
        },
    );
    let cut = text().prop_map(|reason| RequestOutcome::Cut { reason, wait_ms: None });
    let request = (
        request(),
        prop_oneof![one_of(samples::results()), cut],
        option::of(usage()),
        option::of(any::<bool>()),
        any::<u32>(),
    )
        .prop_map(|(request, result, usage, end_turn, retries)| {
            RequestFinished { request, result, usage, end_turn, retries }.into()
        });
    prop_oneof![call, request]
}

fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        one_of(samples::records()),
        finished(),
        submission().prop_map(|submission| OpAccepted { submission }.into()),
        settings().prop_map(|value| SessionOpened { settings: Box::new(value) }.into()),
        item().prop_map(|item| ItemAdded { op: None, item }.into()),
        (request(), any::<u32>(), item()).prop_map(|(request, index, item)| ItemCompleted {
            request,
            index,
            item: item.into()
        }
        .into()),
        (request(), any::<u32>(), call_item()).prop_map(|(request, index, item)| CallRequested {
            request,
            index,
            item
        }
        .into()),
        (request(), any::<u32>(), text()).prop_map(|(request, index, text)| {
            TextPart { request, index, channel: Channel::Answer, text }.into()
        }),
        (call(), detail(), access()).prop_map(|(call, detail, access)| CallStarted {
            call,
            detail,
            access
        }
        .into()),
        vec(item(), 0..4).prop_map(|replacement| Compacted { replacement }.into()),
        (any::<u64>(), vec(any::<(u64, u64, u32)>(), 0..9), text()).prop_map(
            |(at, lines, state)| {
                Checkpoint::new(at, lines.into_iter().map(LinePlace::from).collect(), state).into()
            }
        ),
    ]
}

prop_compose! {
    /// Any line a program could write.
    pub(super) fn line()(
        seq in any::<u64>(),
        at in any::<u64>(),
        record in record(),
    ) -> Line {
        Line { seq, at, record }
    }
}
