//! A world around the machine: a writer, streams, tool execs and people that do whatever a list of
//! numbers says, in any order, and that die at any point.

use crate::core::{
    Effect, Found, Input, Live, Machine, Setup, checkpoint, context::Place, state::State,
};
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use troupe_kit::Exit;
use troupe_messages::{
    Appended, FaultKind, Gathered, ReplayLine, StorageFault, StreamFact, ToolFact,
};
use troupe_types::{
    Access, ApprovalAsk, AssistantItem, CallDetail, CallFinished, CallId, CallInput, CallItem,
    CallResult, Channel, Decision, ErrorClass, Failure, Item, Line, ModelRequest, Op, OpId,
    Outcome, Record, RequestId, RetryCause, SessionId, SessionSettings, Submission, ToolKind,
    ToolSpec, Traits, Usage,
};

/// Bytes of a line in this world.
const LINE: u64 = 100;
/// Requests after which models only talk, so that every turn ends.
const TALK_AFTER: usize = 12;

/// What is under way to the machine in its bulk lane.
enum Told {
    Stream(RequestId, StreamFact),
    StreamGone(RequestId),
    Tool(CallId, ToolFact),
    ToolGone(CallId),
    Marker(u64),
}

struct Stream {
    left: VecDeque<StreamFact>,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    New,
    Asking,
    Starting,
    Running,
    Ended,
}

struct Tool {
    item: CallItem,
    access: Access,
    stage: Stage,
    recorded: bool,
    cancelled: bool,
    answer: Option<Decision>,
    /// The end of its call, until that is in the log.
    end: Option<Box<CallFinished>>,
}

pub(crate) struct World {
    pub(crate) machine: Machine,
    settings: Arc<SessionSettings>,
    pub(crate) log: Vec<Line>,
    /// Handed to the writer.
    handed: VecDeque<(u64, Record, Option<CallId>)>,
    acknowledged: VecDeque<Appended>,
    full: bool,
    /// There is room for the ends of what runs.
    reserve: bool,
    bulk: VecDeque<Told>,
    streams: BTreeMap<RequestId, Stream>,
    tools: BTreeMap<CallId, Tool>,
    marks: VecDeque<u64>,
    incarnation: u64,
    to_gather: bool,
    to_read: Option<Vec<u64>>,
    watched: Option<(troupe_types::TurnId, Duration)>,
    pub(crate) requests: Vec<ModelRequest>,
    /// How often each call took effect; calls that change nothing are not counted.
    pub(crate) ran: HashMap<CallId, u32>,
    /// Calls that take no more effect.
    over: HashSet<CallId>,
    /// The most calls that took effect at the same time.
    pub(crate) at_once: usize,
    /// How calls ended that took effect and whose tool exec lived until its end was in the log.
    pub(crate) ended: HashMap<CallId, Outcome>,
    pub(crate) steps: u64,
    /// Lines that a disk without room refused count as never written.
    failed: bool,
}

fn spec(name: &str, traits: Traits) -> ToolSpec {
    let kind = ToolKind::Function { schema: "{}".to_owned() };
    ToolSpec { name: name.to_owned(), description: String::new(), kind, traits }
}

impl World {
    /// A world in which so many calls may run at once, and commands beside each other or not.
    pub(crate) fn new(most: u32, side_by_side: bool) -> Self {
        let settings = Arc::new(SessionSettings {
            cwd: "/w".into(),
            stream_retries: 3,
            auto_compact_tokens: Some(1_000),
            turn_timeout_ms: Some(60_000),
            max_parallel_calls: Some(most),
            parallel_commands: side_by_side,
            ..SessionSettings::default()
        });
        let mut world = Self {
            machine: machine(&settings, State::default(), Live::default()),
            settings,
            log: Vec::new(),
            handed: VecDeque::new(),
            acknowledged: VecDeque::new(),
            full: false,
            reserve: false,
            bulk: VecDeque::new(),
            streams: BTreeMap::new(),
            tools: BTreeMap::new(),
            marks: VecDeque::new(),
            incarnation: 1,
            to_gather: false,
            to_read: None,
            watched: None,
            requests: Vec::new(),
            ran: HashMap::new(),
            over: HashSet::new(),
            at_once: 0,
            ended: HashMap::new(),
            steps: 0,
            failed: false,
        };
        world.machine.live.first = true;
        world.step(|machine, out| machine.step(Input::Started, out));
        world
    }

    fn step(&mut self, with: impl FnOnce(&mut Machine, &mut Vec<Effect>)) {
        self.steps += 1;
        let mut effects = Vec::new();
        with(&mut self.machine, &mut effects);
        for effect in effects {
            self.carry_out(effect);
        }
        if std::mem::take(&mut self.failed) {
            self.crash();
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Append { seq, record, notify, .. } => {
                if let Record::CallFinished(body) = record.as_ref() {
                    self.over.insert(body.call);
                }
                self.handed.push_back((seq, *record, notify));
            }
            Effect::StartStream(plan) => {
                let request = plan.request.request;
                let over = |stream: &Stream| stream.left.is_empty();
                assert!(self.streams.values().all(over), "one at a time: {:?}", self.last_lines());
                let left = self.answer(&plan.request);
                self.requests.push(plan.request);
                self.streams.insert(request, Stream { left });
            }
            Effect::CancelStream(request) => {
                if self.streams.remove(&request).is_some() {
                    self.bulk.push_back(Told::StreamGone(request));
                }
            }
            Effect::StartTool(plan) => {
                let call = plan.call.call;
                let tool = Tool {
                    access: access(&plan.call.tool),
                    item: plan.call,
                    stage: Stage::New,
                    recorded: false,
                    cancelled: false,
                    answer: plan.answer,
                    end: None,
                };
                assert!(self.tools.insert(call, tool).is_none(), "one tool exec for a call");
                let most = self.settings.parallel_calls();
                let busy = self.tools.values().filter(|tool| tool.stage != Stage::Ended).count();
                assert!(busy <= most, "at most {most}: {:?}", self.last_lines());
            }
            Effect::CancelTool(call) => {
                if let Some(tool) = self.tools.get_mut(&call) {
                    tool.cancelled = true;
                }
            }
            Effect::Report(call) => self.report(call),
            Effect::Release(call) => self.let_go(call),
            Effect::Answer(call, decision) => {
                if let Some(tool) = self.tools.get_mut(&call) {
                    tool.answer = Some(decision);
                }
            }
            Effect::Mark => {
                self.marks.push_back(self.incarnation);
                self.bulk.push_back(Told::Marker(self.incarnation));
            }
            Effect::Watch(turn, span) => self.watched = Some((turn, span)),
            Effect::ReadContext(offsets) => self.to_read = Some(offsets),
            Effect::Gather => self.to_gather = true,
            Effect::RetryLog => self.full = false,
            Effect::Fail(_) => self.failed = true,
            Effect::Reply(..)
            | Effect::Refuse(_)
            | Effect::Rest(_)
            | Effect::Warm
            | Effect::Pause(_) => {}
        }
    }

    /// What a model says: steps that depend on how much was asked already.
    fn answer(&self, request: &ModelRequest) -> VecDeque<StreamFact> {
        let number = self.requests.len();
        let id = request.request;
        let text = |index: u32, text: &str| StreamFact::ItemDone {
            index,
            item: Arc::new(Item::Assistant(AssistantItem {
                text: text.to_owned(),
                ..AssistantItem::default()
            })),
        };
        let call = |index: u32, tool: &str| StreamFact::ItemDone {
            index,
            item: Arc::new(Item::Call(CallItem {
                call: CallId::new(),
                wire_id: format!("w{number}-{index}"),
                id: None,
                tool: tool.to_owned(),
                input: CallInput::Text(String::new()),
                opaque: None,
            })),
        };
        let part = |text: &str| StreamFact::Part {
            index: 0,
            channel: Channel::Answer,
            text: text.to_owned(),
        };
        let again = || StreamFact::Retrying {
            cause: RetryCause::Cut { reason: "broke".to_owned() },
            retry: 1,
            most: 3,
            wait: Duration::ZERO,
        };
        let cut =
            || StreamFact::Cut { reason: "broke".to_owned(), wait: Duration::ZERO, retries: 1 };
        let usage = |total_tokens| Some(Usage { total_tokens, ..Usage::default() });
        let done =
            |tokens| StreamFact::Completed { usage: usage(tokens), end_turn: None, retries: 0 };
        let failure = |class| StreamFact::Failed {
            failure: Failure { class, message: "no".to_owned() },
            retries: 1,
        };
        if request.tools.is_empty() {
            // A summary.
            return match number % 4 {
                0 => [done(1)].into(),
                1 => [failure(ErrorClass::Server)].into(),
                _ => [text(0, "in short"), done(1)].into(),
            };
        }
        let asked = request.items.iter().filter(|item| matches!(***item, Item::Call(_))).count();
        let seed = u128::from(number as u64 * 7 + asked as u64) + (hash(id) % 13);
        if number % TALK_AFTER == TALK_AFTER - 1 {
            return [part("so"), text(0, "so it is"), done(1)].into();
        }
        let several = |tools: &[&str]| {
            let calls = (0..).zip(tools).map(|(index, tool)| call(index, tool));
            calls.chain([done(10)]).collect()
        };
        match seed % 14 {
            0 => [part("hm"), text(0, "hm"), done(10)].into(),
            1 => several(&["read", "read", "write"]),
            2 => several(&["ask", "write"]),
            9 => several(&["look", "read", "look", "run", "look", "write", "read"]),
            10 => several(&["run", "run", "write", "run", "read"]),
            11 => several(&["read", "ask_to_look", "look", "ask", "read", "run"]),
            12 => several(&["look", "read"].repeat(6)),
            13 => [call(0, "look"), call(1, "run"), call(2, "look"), cut()].into(),
            3 => [part("half"), cut()].into(),
            4 => [call(0, "write"), cut()].into(),
            5 => [failure(ErrorClass::ContextWindow)].into(),
            6 => [again(), text(0, "x"), done(2_000)].into(),
            7 => [call(0, "write"), done(2_000)].into(),
            _ => [text(0, "the end"), done(10)].into(),
        }
    }

    // ---- what can happen

    /// One event, by number. Some change nothing.
    pub(crate) fn happen(&mut self, number: u16) {
        let pick = usize::from(number / 32);
        match number % 32 {
            0..=7 => self.write_one(),
            8..=11 => self.acknowledge_one(),
            12..=16 => self.deliver_one(),
            17..=20 => self.stream_on(),
            // What runs takes its time, so that several do.
            21..=24 if pick.is_multiple_of(4) || !self.runs(pick / 4) => self.tool_on(pick / 4),
            25 => self.look(),
            26 => self.submit(match pick % 8 {
                0 => Op::Interrupt,
                1 => Op::Compact,
                2 => Op::Continue,
                _ => Op::prompt("do"),
            }),
            27 => self.answer_person(pick),
            28 => match pick % 6 {
                0 => self.crash(),
                1 => self.kill_tool(pick),
                2 => self.kill_stream(),
                3 => self.kill_process(),
                _ => {}
            },
            29 => self.tick(100 + u32::try_from(pick).unwrap_or(0) * 50),
            30 => {
                self.full |= pick.is_multiple_of(64);
                self.reserve = pick.is_multiple_of(128);
            }
            _ => self.look(),
        }
    }

    pub(crate) fn submit(&mut self, op: Op) {
        let submission = Submission { id: OpId::new(), op };
        self.step(|machine, out| machine.step(Input::Submit(&submission), out));
    }

    fn write_one(&mut self) {
        let Some((seq, record, notify)) = self.handed.pop_front() else { return };
        if self.full && !(self.reserve && self.machine.live.winding) {
            self.handed.clear();
            let fault = full();
            return self.step(|machine, out| machine.step(Input::NotWritten(seq, &fault), out));
        }
        if seq != self.log.len() as u64 {
            // An append of an incarnation that is gone, after its successor's.
            return;
        }
        let end = matches!(record, Record::CallFinished(_));
        self.log.push(Line { seq, at: 0, record });
        match notify {
            Some(call) if end => self.let_go(call),
            Some(call) => {
                if let Some(tool) = self.tools.get_mut(&call) {
                    tool.recorded = true;
                }
            }
            None => {}
        }
        self.acknowledged.push_back(Appended {
            seq,
            offset: Some(seq * LINE),
            len: LINE,
            digest: 0,
        });
    }

    fn acknowledge_one(&mut self) {
        if let Some(line) = self.acknowledged.pop_front() {
            self.step(|machine, out| machine.step(Input::Written(line), out));
        }
    }

    fn deliver_one(&mut self) {
        if self.machine.live.paused {
            return;
        }
        let Some(told) = self.bulk.pop_front() else { return };
        self.step(|machine, out| match &told {
            Told::Stream(id, fact) => machine.step(Input::Stream(*id, fact), out),
            Told::StreamGone(id) => machine.step(Input::StreamGone(*id, &Exit::Normal), out),
            Told::Tool(call, fact) => machine.step(Input::Tool(*call, fact), out),
            Told::ToolGone(call) => machine.step(Input::ToolGone(*call, &Exit::Normal), out),
            Told::Marker(_) => {}
        });
        if let Told::Marker(incarnation) = told
            && incarnation == self.incarnation
        {
            self.step(|machine, out| machine.step(Input::MarkerCame, out));
        }
    }

    fn stream_on(&mut self) {
        let Some((id, stream)) = self.streams.iter_mut().next() else { return };
        let id = *id;
        match stream.left.pop_front() {
            Some(fact) => self.bulk.push_back(Told::Stream(id, fact)),
            None => {
                self.streams.remove(&id);
                self.bulk.push_back(Told::StreamGone(id));
            }
        }
    }

    fn report(&mut self, call: CallId) {
        let Some(tool) = self.tools.get_mut(&call) else { return };
        // What it said last it says again.
        match tool.stage {
            Stage::Asking => tool.stage = Stage::New,
            Stage::Starting if !tool.recorded => {
                let fact = starting(tool.access);
                self.bulk.push_back(Told::Tool(call, fact));
            }
            Stage::Ended => {
                let end = tool.end.clone().expect("it has ended");
                self.bulk.push_back(Told::Tool(call, ToolFact::Finished(end)));
            }
            _ => {}
        }
    }

    fn runs(&self, pick: usize) -> bool {
        let tool = self.tools.values().nth(pick % self.tools.len().max(1));
        tool.is_some_and(|tool| tool.stage == Stage::Running)
    }

    /// The end of its call is in the log, or nobody waits for it.
    fn let_go(&mut self, call: CallId) {
        if self.tools.remove(&call).is_some() {
            self.bulk.push_back(Told::ToolGone(call));
        }
    }

    fn tool_on(&mut self, pick: usize) {
        let count = self.tools.len();
        let Some((call, tool)) = self.tools.iter_mut().nth(pick % count.max(1)) else { return };
        let call = *call;
        let finished = |outcome| {
            ToolFact::Finished(Box::new(CallFinished {
                call,
                outcome,
                result: CallResult::Nothing,
                detail: None,
                took_ms: 0,
            }))
        };
        let fact = match tool.stage {
            Stage::Ended => return,
            Stage::Running if tool.cancelled => finished(Outcome::Cancelled),
            Stage::Running => finished(Outcome::Completed),
            _ if tool.cancelled => finished(Outcome::Cancelled),
            // It needs no record: it changes nothing.
            Stage::New if tool.item.tool == "read" => {
                tool.stage = Stage::Running;
                return self.takes_effect(call);
            }
            Stage::New if tool.item.tool.starts_with("ask") && tool.answer.is_none() => {
                tool.stage = Stage::Asking;
                let ask = ApprovalAsk {
                    action: "x".to_owned(),
                    reason: String::new(),
                    leaves_sandbox: false,
                    key: String::new(),
                    rule: Vec::new(),
                };
                ToolFact::Asked { ask, access: tool.access }
            }
            Stage::Asking if tool.answer.is_none() => return,
            Stage::New | Stage::Asking => {
                tool.stage = Stage::Starting;
                starting(tool.access)
            }
            Stage::Starting if tool.recorded => {
                tool.stage = Stage::Running;
                *self.ran.entry(call).or_default() += 1;
                return self.takes_effect(call);
            }
            Stage::Starting => return,
        };
        if let ToolFact::Finished(end) = &fact {
            // Without a record of its start there is no room for its end.
            if tool.stage == Stage::Running && tool.recorded {
                self.ended.insert(call, end.outcome.clone());
            }
            tool.stage = Stage::Ended;
            tool.end = Some(end.clone());
            self.over.insert(call);
        }
        self.bulk.push_back(Told::Tool(call, fact));
    }

    /// A call takes effect: nothing runs beside it that must not, and no earlier call is left out.
    fn takes_effect(&mut self, call: CallId) {
        let side_by_side = self.settings.parallel_commands;
        let fit = |one: Access, other: Access| match one.max(other) {
            Access::Read => true,
            Access::Command => side_by_side,
            Access::Exclusive => false,
        };
        let own = self.tools[&call].access;
        let running = || self.tools.iter().filter(|(_, tool)| tool.stage == Stage::Running);
        for (other, tool) in running().filter(|(other, _)| **other != call) {
            let (what, beside) = (&self.tools[&call].item.tool, &tool.item.tool);
            assert!(fit(own, tool.access), "{what} beside {beside} ({other})");
        }
        self.at_once = self.at_once.max(running().count());
        let answer = self.log.iter().rev().map(|line| &line.record);
        let answer = answer.take_while(|record| !matches!(record, Record::RequestStarted(_)));
        let calls = answer.filter_map(|record| match record {
            Record::CallRequested(body) => Some(&body.item),
            _ => None,
        });
        let earlier = calls.skip_while(|item| item.call != call).skip(1);
        for item in earlier.filter(|item| !self.over.contains(&item.call)) {
            assert!(fit(own, access(&item.tool)), "before {item:?}: {:?}", self.last_lines());
        }
    }

    /// The tasks that the machine waits for report.
    fn look(&mut self) {
        if std::mem::take(&mut self.to_gather) {
            self.step(|machine, out| machine.step(Input::Gathered(&Gathered::default()), out));
        }
        if let Some(offsets) = self.to_read.take() {
            let entry = |offset: &u64| entry(&self.log[(offset / LINE) as usize]);
            let lines = Ok(offsets.iter().map(entry).collect());
            self.step(|machine, out| machine.step(Input::ContextRead(&lines), out));
        }
    }

    /// A tick is over, and took this much of its length.
    fn tick(&mut self, hundredths: u32) {
        if let Some((turn, tick)) = self.watched.take() {
            let took = tick * hundredths / 100;
            self.step(|machine, out| machine.step(Input::Tick(turn, took), out));
        }
    }

    fn answer_person(&mut self, pick: usize) {
        let calls = self.machine.state.core.open_calls();
        let Some(call) = calls.filter(|call| call.waits_for_person()).map(|c| c.call).next() else {
            return;
        };
        let decision = match pick % 4 {
            0 => Decision::Abort,
            _ => Decision::Approved,
        };
        self.submit(Op::Answer { call, decision });
    }

    fn kill_tool(&mut self, pick: usize) {
        let Some(call) = self.tools.keys().nth(pick % self.tools.len().max(1)).copied() else {
            return;
        };
        if let Some(tool) = self.tools.remove(&call)
            && tool.stage == Stage::Running
            && tool.item.tool != "read"
        {
            self.over.insert(call);
        }
        self.ended.remove(&call);
        self.bulk.push_back(Told::ToolGone(call));
    }

    fn kill_stream(&mut self) {
        if let Some((id, _)) = self.streams.pop_first() {
            self.bulk.push_back(Told::StreamGone(id));
        }
    }

    /// The conversation's actor dies; everything else lives on, and the writer writes what it has.
    fn crash(&mut self) {
        while !self.handed.is_empty() && !self.full {
            self.write_one();
        }
        self.handed.clear();
        self.acknowledged.clear();
        self.incarnation += 1;
        self.begin(false, false);
    }

    /// Everything dies but what is in the log.
    fn kill_process(&mut self) {
        self.handed.clear();
        self.acknowledged.clear();
        self.bulk.clear();
        self.streams.clear();
        for call in std::mem::take(&mut self.tools).into_keys() {
            self.ended.remove(&call);
        }
        self.full = false;
        self.incarnation = 1;
        self.begin(true, true);
    }

    fn begin(&mut self, first: bool, held: bool) {
        (self.to_gather, self.to_read, self.watched) = (false, None, None);
        let mut state = State::default();
        let mut after = 0;
        let found = self.log.iter().rev().find_map(|line| match &line.record {
            Record::Checkpoint(body) => Some((line.seq, body)),
            _ => None,
        });
        if let Some((seq, body)) = found {
            state = checkpoint::read(body).expect("a checkpoint can be read");
            after = seq + 1;
        }
        for line in self.log.iter().filter(|line| line.seq >= after) {
            let place = Place { offset: line.seq * LINE, digest: 0 };
            state.apply(line.seq, Some(place), &line.record);
        }
        state.core.next_seq = self.log.len() as u64;
        let open = |id: &&RequestId| state.core.open_request(**id).is_some();
        let stream = self.streams.keys().find(open).copied();
        let live = Live {
            first,
            held,
            written: state.core.next_seq,
            stream,
            tools: self.tools.keys().copied().collect(),
            found: Found::default(),
            storage: self.full.then(full),
            winding: self.full,
            ..Live::default()
        };
        self.machine = machine(&self.settings, state, live);
        self.step(|machine, out| machine.step(Input::Started, out));
    }

    /// The kinds of the last lines, and what is under way, for a failure's text.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        let kinds = self.log.iter().rev().take(40).rev();
        let kinds = kinds.map(|line| match &line.record {
            Record::Notice(body) => body.text.clone(),
            Record::RequestFinished(body) => format!("{:?}", body.result),
            Record::TurnFinished(body) => format!("turn {:?}", body.result),
            other => other.kind().to_owned(),
        });
        let live = format!(
            "handed {} acks {} bulk {} streams {} tools {} paused {} settled {} held {}",
            self.handed.len(),
            self.acknowledged.len(),
            self.bulk.len(),
            self.streams.len(),
            self.tools.len(),
            self.machine.live.paused,
            self.machine.live.settled,
            self.machine.live.held,
        );
        kinds.chain([live]).collect()
    }

    /// Lets everything that is under way come to its end.
    pub(crate) fn settle(&mut self) {
        self.full = false;
        self.submit(Op::Continue);
        for round in 0.. {
            assert!(round < 20_000, "it does not come to an end: {:?}", self.last_lines());
            let before = (self.steps, self.log.len(), self.requests.len());
            for number in [0, 8, 12, 17, 25] {
                self.happen(number);
            }
            for tool in 0..self.tools.len() {
                self.tool_on(tool);
            }
            self.answer_person(1);
            let quiet = self.handed.is_empty()
                && self.acknowledged.is_empty()
                && self.bulk.is_empty()
                && self.streams.is_empty()
                && self.tools.is_empty();
            if quiet && before == (self.steps, self.log.len(), self.requests.len()) {
                return;
            }
        }
    }
}

fn machine(settings: &Arc<SessionSettings>, state: State, live: Live) -> Machine {
    let setup = Setup {
        session: SessionId::from_u128(1),
        parent: None,
        settings: Arc::clone(settings),
        source: "test".into(),
        version: "0",
        boot: "".into(),
        tools: [
            spec("read", Traits::ReadOnly),
            spec("look", Traits::Command),
            spec("run", Traits::Command),
            spec("ask", Traits::Command),
            spec("ask_to_look", Traits::Command),
            spec("write", Traits::Effects),
        ]
        .into(),
    };
    Machine { setup, state, live }
}

/// What a call of this tool may change.
fn access(tool: &str) -> Access {
    match tool {
        "read" | "look" | "ask_to_look" => Access::Read,
        "run" | "ask" => Access::Command,
        _ => Access::Exclusive,
    }
}

fn starting(access: Access) -> ToolFact {
    ToolFact::Starting { detail: CallDetail::Tool { summary: "x".to_owned() }, access }
}

fn full() -> StorageFault {
    StorageFault { kind: FaultKind::Full, message: "full".to_owned() }
}

fn entry(line: &Line) -> ReplayLine {
    let (seq, line) = (Some(line.seq), Box::new(line.clone()));
    ReplayLine::Line { offset: line.seq * LINE, len: LINE, digest: 0, seq, line }
}

fn hash(id: RequestId) -> u128 {
    id.to_string().bytes().fold(7u128, |sum, byte| sum.wrapping_mul(31) + u128::from(byte))
}
