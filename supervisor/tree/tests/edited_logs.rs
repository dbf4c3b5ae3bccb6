//! Whatever is done to the lines of a log: no call that had begun is begun again, and no item that
//! can be read leaves the context.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use proptest::prelude::*;
use std::{fs, path::Path};
use troupe_conversation::Fold;
use troupe_recorder::{LogPath, LogReader, parse_line};
use troupe_types::{
    Access, AssistantItem, CallDetail, CallFinished, CallId, CallInput, CallItem, CallRequested,
    CallResult, CallStarted, Channel, Content, Item, ItemAdded, ItemCompleted, Line, Op,
    OpAccepted, Outcome, Record, RequestFinished, RequestId, RequestOutcome, RequestStarted,
    SessionCreated, SessionId, Submission, TextPart, TurnFinished, TurnId, TurnStarted, UserItem,
    line_digest,
};

/// Cases of one run of the property; `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(3000)
}

/// Writes a log as a conversation does.
#[derive(Default)]
struct Writer {
    fold: Fold,
    lines: Vec<String>,
    bytes: u64,
}

impl Writer {
    fn write(&mut self, record: impl Into<Record>) {
        let seq = self.lines.len() as u64;
        let line = Line { seq, at: 1_764_090_000_000 + seq, record: record.into() };
        let text = line.render().unwrap();
        self.fold.apply(seq, self.bytes, line_digest(text.as_bytes()), &line.record);
        self.bytes += text.len() as u64;
        self.lines.push(text.trim_end().to_owned());
    }

    fn checkpoint(&mut self) {
        let checkpoint = self.fold.checkpoint(self.bytes).unwrap();
        self.write(checkpoint);
    }

    fn begin(&mut self, text: &str) -> TurnId {
        let submission = Submission::new(Op::prompt(text));
        let (op, turn) = (submission.id, TurnId::new());
        self.write(OpAccepted { submission });
        self.write(TurnStarted { turn, op, provider: "p".into(), model: "m".into() });
        let item = Item::User(UserItem { content: vec![Content::text(text)] });
        self.write(ItemAdded { op: Some(op), item });
        turn
    }

    fn request(&mut self, turn: TurnId) -> RequestId {
        let request = RequestId::new();
        self.write(RequestStarted { request, turn, compaction: false, boot: String::new() });
        request
    }

    fn call(&mut self, request: RequestId, tool: &str) -> CallId {
        let call = CallId::new();
        let input = CallInput::Json(format!("{{\"command\":\"{call}\"}}"));
        let wire_id = format!("call_{call}");
        let item = CallItem { call, wire_id, id: None, tool: tool.to_owned(), input, opaque: None };
        self.write(CallRequested { request, index: 0, item });
        call
    }

    fn start(&mut self, call: CallId) {
        let argv = vec!["sh".to_owned(), call.to_string()];
        let detail = CallDetail::Command { argv, cwd: "/".into(), outside: false };
        self.write(CallStarted { call, detail, access: Access::Exclusive });
    }

    fn finish(&mut self, call: CallId) {
        let content = vec![Content::text(format!("out of {call}"))];
        let result = CallResult::Content { content };
        let outcome = Outcome::Completed;
        self.write(CallFinished { call, outcome, result, detail: None, took_ms: 1 });
    }

    fn end(&mut self, request: RequestId) {
        let result = RequestOutcome::Completed;
        self.write(RequestFinished { request, result, usage: None, end_turn: None, retries: 0 });
    }

    fn turn(&mut self, number: usize) {
        let turn = self.begin(&format!("prompt {number}"));
        let request = self.request(turn);
        let call = self.call(request, "shell");
        self.start(call);
        self.finish(call);
        self.end(request);
        let request = self.request(turn);
        let text = format!("answer {number}");
        let item = Item::Assistant(AssistantItem { text, ..AssistantItem::default() });
        self.write(ItemCompleted { request, index: 0, item: item.into() });
        self.end(request);
        self.write(TurnFinished {
            turn,
            result: Outcome::Completed,
            no_final_message: false,
            usage: None,
            uncounted: 1,
        });
    }
}

/// Three turns and one that was broken off: of its calls one has finished, two have begun, one has
/// not (the only one that is not a command).
fn log(last_checkpoint: bool) -> Vec<String> {
    let mut log = Writer::default();
    log.write(SessionCreated {
        session: SessionId::from_u128(7),
        parent: None,
        source: "test".into(),
        cwd: "/".into(),
        version: "0".into(),
    });
    log.turn(0);
    log.turn(1);
    log.checkpoint();
    log.turn(2);
    let turn = log.begin("the last prompt");
    let request = log.request(turn);
    let call = log.call(request, "shell");
    log.start(call);
    log.finish(call);
    for _ in 0..2 {
        let call = log.call(request, "shell");
        log.start(call);
    }
    if last_checkpoint {
        log.checkpoint();
    }
    log.call(request, "plan");
    // More lines than edits: that the last ones are missing cannot be told.
    for number in 0..5 {
        let text = format!("part {number} ");
        log.write(TextPart { request, index: 9, channel: Channel::Answer, text });
    }
    log.lines
}

#[derive(Debug, Clone)]
enum Edit {
    Delete(usize),
    Double(usize, usize),
    Swap(usize, usize),
    Damage(usize, usize, u8),
    Spaces(usize),
    Order(usize),
    Return(usize),
    Blank(usize),
    AllReturns,
}

fn edit() -> impl Strategy<Value = Edit> {
    let line = 0..1000_usize;
    prop_oneof![
        3 => line.clone().prop_map(Edit::Delete),
        3 => (line.clone(), line.clone()).prop_map(|(one, to)| Edit::Double(one, to)),
        3 => (line.clone(), line.clone()).prop_map(|(one, two)| Edit::Swap(one, two)),
        6 => (line.clone(), any::<usize>(), prop::sample::select(b"\0\"}{:,0189abx ".to_vec()))
            .prop_map(|(line, at, byte)| Edit::Damage(line, at, byte)),
        2 => line.clone().prop_map(Edit::Spaces),
        2 => line.clone().prop_map(Edit::Order),
        1 => line.clone().prop_map(Edit::Return),
        1 => line.prop_map(Edit::Blank),
        1 => Just(Edit::AllReturns),
    ]
}

fn apply(lines: &mut Vec<Vec<u8>>, edit: &Edit) {
    let count = lines.len();
    let reformed = |line: &Vec<u8>, form: &dyn Fn(serde_json::Value) -> String| {
        serde_json::from_slice(line).map_or_else(|_| line.clone(), |value| form(value).into_bytes())
    };
    match *edit {
        Edit::Delete(line) => drop(lines.remove(line % count)),
        Edit::Double(line, to) => lines.insert(to % count, lines[line % count].clone()),
        Edit::Swap(one, two) => lines.swap(one % count, two % count),
        Edit::Damage(line, at, byte) => {
            let line = &mut lines[line % count];
            if !line.is_empty() {
                let at = at % line.len();
                line[at] = byte;
            }
        }
        Edit::Spaces(line) => {
            let spaced = |value| serde_json::to_string_pretty(&value).unwrap().replace('\n', " ");
            lines[line % count] = reformed(&lines[line % count], &spaced);
        }
        Edit::Order(line) => {
            lines[line % count] = reformed(&lines[line % count], &|value| value.to_string());
        }
        Edit::Return(line) => lines[line % count].push(b'\r'),
        Edit::Blank(line) => lines.insert(line % count, Vec::new()),
        Edit::AllReturns => lines.iter_mut().for_each(|line| line.push(b'\r')),
    }
}

/// Records that are part of the context.
fn is_item(record: &Record) -> bool {
    matches!(
        record,
        Record::ItemAdded(_)
            | Record::ItemCompleted(_)
            | Record::CallRequested(_)
            | Record::CallFinished(_)
    )
}

fn check(dir: &Path, original: &[String], edits: &[Edit]) {
    let mut lines: Vec<Vec<u8>> = original.iter().map(|line| line.clone().into_bytes()).collect();
    edits.iter().for_each(|edit| apply(&mut lines, edit));
    let path = LogPath::new(dir, SessionId::from_u128(7));
    let text: Vec<u8> = lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
    fs::write(path.file(), &text).unwrap();
    let reader = LogReader::open(&path).unwrap().unwrap();
    let replay = reader.replay(None).unwrap();
    assert_eq!(reader.next_seq().unwrap(), replay.next_seq, "{edits:?}: one truth");
    if replay.later.is_some() {
        // It is not written to, and nothing is run.
        return;
    }
    let fold = Fold::replayed(&replay).unwrap();
    let begun_again: Vec<_> = fold.not_begun().filter(|(_, tool)| *tool == "shell").collect();
    assert!(begun_again.is_empty(), "{edits:?}: {begun_again:?}");
    let read = |line: &[u8]| parse_line(std::str::from_utf8(line).ok()?, &path).ok();
    let line_at = |place: u64| {
        let rest = &text[usize::try_from(place).unwrap()..];
        read(rest.split(|byte| *byte == b'\n').next().unwrap())
    };
    let context: Vec<Record> = fold
        .places()
        .iter()
        .map(|place| line_at(*place).unwrap_or_else(|| panic!("{edits:?}: no line at {place}")))
        .map(|line| line.record)
        .collect();
    for line in lines.iter().filter_map(|line| read(line)) {
        assert!(line.seq < replay.next_seq || line.seq >= reader.end(), "{edits:?}");
        if is_item(&line.record) {
            assert!(context.contains(&line.record), "{edits:?}: {:?} is gone", line.record);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_run_twice_and_nothing_readable_is_lost(
        last_checkpoint in any::<bool>(),
        edits in prop::collection::vec(edit(), 0..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        check(dir.path(), &log(last_checkpoint), &edits);
    }
}
