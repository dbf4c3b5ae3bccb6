//! One value of every variant, with every optional field both there and absent.

use crate::*;

pub(super) fn session() -> SessionId {
    SessionId::from_u128(0x0199_c0de_0000_7000_8000_0000_0000_0001)
}

pub(super) fn turn() -> TurnId {
    TurnId::from_u128(0x0199_c0de_0000_7000_8000_0000_0000_0002)
}

pub(super) fn op() -> OpId {
    OpId::from_u128(0x0199_c0de_0000_7000_8000_0000_0000_0003)
}

pub(super) fn request() -> RequestId {
    RequestId::from_u128(0x0199_c0de_0000_7000_8000_0000_0000_0004)
}

pub(super) fn call() -> CallId {
    CallId::from_u128(0x0199_c0de_0000_7000_8000_0000_0000_0005)
}

pub(super) fn contents() -> Vec<Content> {
    vec![Content::text("hello"), Content::Image { url: "data:image/png;base64,AA==".into() }]
}

pub(super) fn opaque() -> Opaque {
    Opaque { wire: Wire::Responses, json: r#"{"type":"reasoning","id":"rs_1"}"#.into() }
}

pub(super) fn call_item() -> CallItem {
    CallItem {
        call: call(),
        wire_id: "call_1".into(),
        id: Some("fc_1".into()),
        tool: "shell".into(),
        input: CallInput::Json(r#"{"command":"ls"}"#.into()),
        opaque: None,
    }
}

pub(super) fn items() -> Vec<Item> {
    vec![
        Item::User(UserItem { content: contents() }),
        Item::Context(ContextItem {
            kind: ContextKind::Environment,
            role: Role::Developer,
            text: "cwd: /work".into(),
            files: vec!["/work/AGENTS.md".into()],
        }),
        Item::Assistant(AssistantItem { text: "Done.".into(), ..AssistantItem::default() }),
        Item::Assistant(AssistantItem {
            id: Some("msg_1".into()),
            text: "Do".into(),
            phase: Some("final_answer".into()),
            cut: true,
        }),
        Item::Reasoning(ReasoningItem::default()),
        Item::Reasoning(ReasoningItem {
            id: Some("rs_1".into()),
            summary: vec!["A look.".into()],
            content: vec!["raw".into()],
            opaque: Some(opaque()),
        }),
        Item::Call(call_item()),
        Item::Call(CallItem { id: None, input: CallInput::Text("patch".into()), ..call_item() }),
        Item::Output(OutputItem {
            call: call(),
            outcome: Outcome::Completed,
            content: contents(),
            exit_code: None,
        }),
        Item::Summary(SummaryItem { text: "So far.".into() }),
        Item::Opaque(OpaqueItem { kind: "web_search_call".into(), opaque: opaque() }),
        Item::Call(CallItem { opaque: Some(opaque()), ..call_item() }),
        Item::Output(OutputItem {
            call: call(),
            outcome: Outcome::Completed,
            content: Vec::new(),
            exit_code: Some(2),
        }),
    ]
}

pub(super) fn outcomes() -> Vec<Outcome> {
    vec![
        Outcome::Completed,
        Outcome::failed(ErrorClass::RateLimit, "wait a moment"),
        Outcome::Cancelled,
        Outcome::TimedOut,
        Outcome::Lost,
    ]
}

pub(super) fn classes() -> Vec<ErrorClass> {
    use ErrorClass::*;
    vec![
        Config,
        Auth,
        Network,
        RateLimit,
        Quota,
        ContextWindow,
        InvalidRequest,
        Server,
        NoAnswer,
        Storage,
        Sandbox,
        Denied,
        Tool,
        Timeout,
        Internal,
    ]
}

pub(super) fn decisions() -> Vec<Decision> {
    vec![
        Decision::Approved,
        Decision::ApprovedForSession,
        Decision::ApprovedWithRule { prefix: vec!["git".into(), "push".into()] },
        Decision::Denied { reason: "not now".into() },
        Decision::Abort,
    ]
}

pub(super) fn ops() -> Vec<Op> {
    vec![
        Op::prompt("hello"),
        Op::Prompt {
            content: contents(),
            output_schema: Some(serde_json::json!({ "type": "object" })),
        },
        Op::Interrupt,
        Op::Answer { call: call(), decision: Decision::Approved },
        Op::Continue,
        Op::Compact,
        Op::EndProcess { process: None },
        Op::EndProcess { process: Some(7) },
    ]
}

pub(super) fn policies() -> Vec<ApprovalPolicy> {
    vec![
        ApprovalPolicy::Untrusted,
        ApprovalPolicy::OnRequest,
        ApprovalPolicy::Granular(Granular { rules: true, ..Granular::default() }),
        ApprovalPolicy::Never,
    ]
}

pub(super) fn details() -> Vec<CallDetail> {
    let argv = vec!["bash".into(), "-c".into(), "ls".into()];
    let file = FileChanged {
        path: "/work/a".into(),
        kind: FileChangeKind::Update,
        moved_to: Some("/work/b".into()),
        diff: "@@ -1 +1 @@\n-a\n+b\n".into(),
    };
    let plain = FileChanged {
        kind: FileChangeKind::Add,
        moved_to: None,
        diff: String::new(),
        ..file.clone()
    };
    vec![
        CallDetail::Command { argv: argv.clone(), cwd: "/work".into(), outside: false },
        CallDetail::Command { argv, cwd: "/work".into(), outside: true },
        CallDetail::Interact { process: 7, command: "cat".into(), input: "hi\n".into() },
        CallDetail::Plan,
        CallDetail::Patch { changes: vec![file, plain] },
        CallDetail::Tool { summary: "read src/main.rs".into() },
    ]
}

/// Nothing at its default in the first; little in the others.
pub(super) fn command_results() -> Vec<CallResult> {
    let printed = Printed { head: "a\n".into(), omitted: 9, tail: "z\n".into(), lines: 5 };
    let path = || "/out/1.out".into();
    let full = CommandResult {
        end: CommandEnd::Exited { code: -1 },
        wall_ms: 1234,
        output: printed,
        read_from: Some(7),
        kept: Some(Kept::Whole { path: path() }),
        strays: 2,
        sandbox: vec!["the network is off for commands".into()],
        not_written: Some(NotWritten::ReadOnly),
        refused_hosts: vec![RefusedHost {
            host: "example.org".into(),
            port: 443,
            reason: "no rule allows it".into(),
        }],
        most_tokens: Some(100),
    };
    let plain = |end| CommandResult::new(end, 0, Printed::default());
    let start = Some(Kept::Start { path: path(), bytes: 64 << 20, reason: None });
    let failed = Some(Kept::Failed { reason: "the disk is full".into() });
    let all = vec![
        full,
        plain(CommandEnd::Signalled { signal: 9 }),
        CommandResult { kept: start, ..plain(CommandEnd::TimedOut { limit_ms: 500 }) },
        CommandResult { kept: failed, ..plain(CommandEnd::Cancelled) },
        plain(CommandEnd::Running { process: 12 }),
        plain(CommandEnd::Lost),
    ];
    all.into_iter().map(|result| CallResult::Command(Box::new(result))).collect()
}

pub(super) fn results() -> Vec<RequestOutcome> {
    vec![
        RequestOutcome::Completed,
        RequestOutcome::Cut { reason: "the connection broke".into(), wait_ms: None },
        RequestOutcome::Cut { reason: "the server is busy".into(), wait_ms: Some(1500) },
        RequestOutcome::Failed(Failure { class: ErrorClass::Auth, message: "no key".into() }),
        RequestOutcome::Cancelled,
    ]
}

pub(super) fn usage() -> Usage {
    Usage {
        input_tokens: 100,
        cached_input_tokens: 40,
        cache_write_input_tokens: 5,
        output_tokens: 20,
        reasoning_output_tokens: 7,
        total_tokens: 120,
    }
}

pub(super) fn progress() -> Vec<Progress> {
    vec![
        Progress::CallOutput { call: call(), offset: 4096, text: "warning\n".into() },
        Progress::ActorRestarted { path: "troupe/policy".into(), reason: "panicked".into() },
    ]
}

/// Nothing at its default.
pub(super) fn settings() -> SessionSettings {
    SessionSettings {
        cwd: "/work".into(),
        provider: "openai".into(),
        model: "m".into(),
        approval: ApprovalPolicy::Granular(Granular { rules: true, ..Granular::default() }),
        sandbox: SandboxSettings {
            mode: SandboxMode::WorkspaceWrite,
            writable_roots: vec!["/data".into()],
            network: true,
            allow_hosts: vec!["*.example.com:443".into()],
            deny_hosts: vec!["bad.example.com".into()],
            exclude_tmpdir_env_var: true,
            exclude_slash_tmp: true,
            allow_unenforced: true,
            without_userns: WithoutUserns::UnprotectedNames,
            deny_read: vec!["/keys".into()],
            deny_read_only_listed: true,
            limits: CommandLimits {
                processes: Some(9),
                memory: Some(1 << 30),
                file_size: Some(1 << 20),
                open_files: Some(64),
            },
        },
        effort: Some("high".into()),
        summary: Some("auto".into()),
        verbosity: Some("low".into()),
        max_output_tokens: Some(4096),
        instructions: Some("Be brief.".into()),
        developer_instructions: Some("Use tabs.".into()),
        environment_context: true,
        project_docs: ProjectDocs {
            max_bytes: 1024,
            fallback_names: vec!["NOTES.md".into()],
            root_markers: vec![".hg".into()],
            user_dir: Some("/home/user/.troupe".into()),
        },
        tool_output_tokens: 10_000,
        context_window: Some(200_000),
        auto_compact_tokens: Some(180_000),
        compact_prompt: Some("Summarise.".into()),
        turn_timeout_ms: Some(60_000),
        stream_retries: 5,
        max_retry_wait_ms: Some(300_000),
        login_shell: true,
        max_parallel_calls: Some(4),
        parallel_commands: true,
    }
}

/// At least one record of each kind, in the order of a session.
pub(super) fn records() -> Vec<Record> {
    let mut all = opening();
    all.extend(calls());
    all.extend(endings());
    all
}

fn opening() -> Vec<Record> {
    let created = SessionCreated {
        session: session(),
        parent: None,
        source: "exec".into(),
        cwd: "/work".into(),
        version: "0.1.0".into(),
    };
    let fork = SessionCreated { parent: Some(session()), ..created.clone() };
    let part = |channel| TextPart { request: request(), index: 1, channel, text: "Do".into() };
    let started =
        RequestStarted { request: request(), turn: turn(), compaction: false, boot: "b00t".into() };
    vec![
        created.into(),
        fork.into(),
        SessionOpened { settings: Box::new(settings()) }.into(),
        OpAccepted { submission: Submission { id: op(), op: Op::prompt("hello") } }.into(),
        TurnStarted { turn: turn(), op: op(), provider: "openai".into(), model: "m".into() }.into(),
        ItemAdded { op: Some(op()), item: items().remove(0) }.into(),
        ItemAdded { op: None, item: items().remove(1) }.into(),
        started.clone().into(),
        RequestStarted { compaction: true, ..started }.into(),
        part(Channel::Answer).into(),
        part(Channel::Reasoning).into(),
        ItemCompleted { request: request(), index: 1, item: items().remove(2).into() }.into(),
    ]
}

fn calls() -> Vec<Record> {
    let ask = ApprovalAsk {
        action: "rm -r build".into(),
        reason: "to start afresh".into(),
        leaves_sandbox: true,
        key: "command".into(),
        rule: vec!["git".into(), "push".into()],
    };
    let inside = ApprovalAsk { leaves_sandbox: false, ..ask.clone() };
    let finished = CallFinished {
        call: call(),
        outcome: Outcome::Completed,
        result: CallResult::Content { content: contents() },
        detail: Some(details().remove(1)),
        took_ms: 12,
    };
    let lost = CallFinished { outcome: Outcome::Lost, detail: None, ..finished.clone() };
    let ran = CallFinished { result: command_results().remove(0), ..finished.clone() };
    let step = |status| PlanStep { step: "look".into(), status };
    vec![
        CallRequested { request: request(), index: 2, item: call_item() }.into(),
        ApprovalAsked { call: call(), ask }.into(),
        ApprovalAsked { call: call(), ask: inside }.into(),
        ApprovalAnswered { call: call(), decision: Decision::Approved }.into(),
        CallStarted { call: call(), detail: details().remove(0), access: Access::Command }.into(),
        CallStarted { call: call(), detail: details().remove(1), access: Access::Exclusive }.into(),
        finished.into(),
        ran.into(),
        lost.into(),
        PlanUpdated {
            call: call(),
            explanation: Some("as asked".into()),
            plan: vec![
                step(StepStatus::Completed),
                step(StepStatus::InProgress),
                step(StepStatus::Pending),
            ],
        }
        .into(),
        PlanUpdated { call: call(), explanation: None, plan: Vec::new() }.into(),
        HostDecided {
            call: call(),
            host: "example.com".into(),
            port: 443,
            allowed: false,
            reason: "no rule allows it".into(),
        }
        .into(),
        ProcessEnded {
            call: call(),
            process: 7,
            outcome: Outcome::Completed,
            exit_code: Some(1),
            took_ms: 1200,
            busy_ms: Some(30),
        }
        .into(),
        ProcessEnded {
            call: call(),
            process: 7,
            outcome: Outcome::Lost,
            exit_code: None,
            took_ms: 0,
            busy_ms: None,
        }
        .into(),
    ]
}

fn endings() -> Vec<Record> {
    let finished = RequestFinished {
        request: request(),
        result: RequestOutcome::Completed,
        usage: Some(usage()),
        end_turn: Some(false),
        retries: 2,
    };
    let plain = RequestFinished { usage: None, end_turn: None, retries: 0, ..finished.clone() };
    let retried = |cause| {
        RequestRetried { request: request(), cause, retry: 2, most: 5, wait_ms: 400 }.into()
    };
    let ended = TurnFinished {
        turn: turn(),
        result: Outcome::Completed,
        no_final_message: false,
        usage: Some(usage()),
        uncounted: 0,
    };
    let notice = |level| Notice { level, text: "the server is busy".into() };
    vec![
        finished.into(),
        plain.into(),
        retried(RetryCause::Failed(Failure {
            class: ErrorClass::Server,
            message: "it is busy".into(),
        })),
        retried(RetryCause::Cut { reason: "the connection broke".into() }),
        retried(RetryCause::Silent),
        notice(Level::Warning).into(),
        notice(Level::Error).into(),
        SandboxWeaker { ways: vec!["the network is not held".into()] }.into(),
        Compacted { replacement: vec![items().remove(9)] }.into(),
        TurnWorked { turn: turn(), worked_ms: 1500, timed_out: false }.into(),
        TurnWorked { turn: turn(), worked_ms: 2000, timed_out: true }.into(),
        ended.clone().into(),
        TurnFinished { no_final_message: true, usage: None, uncounted: 2, ..ended }.into(),
        Checkpoint::new(500, vec![LinePlace { offset: 120, seq: 3, digest: 77 }], "{}".into())
            .into(),
        LogFlaws {
            flaws: vec![
                LogFlaw::Missing { from: 3, to: 4 },
                LogFlaw::Repeated { from: 5, to: 5 },
                LogFlaw::Ambiguous { from: 6, to: 6 },
                LogFlaw::Moved { from: 7, to: 9 },
                LogFlaw::Empty,
                LogFlaw::Unusable { offset: 12, reason: LineError::Kind { kind: "x".into() } },
            ],
            more: 2,
        }
        .into(),
        Mended { bytes: 17, kept_in: "session.torn".into() }.into(),
    ]
}
