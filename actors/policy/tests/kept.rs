//! Rules that a person answers with: kept for the next question, and for the next run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::{path::Path, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use troupe_kit::{ChildSpec, Company, Context, Kit, Life, Mailbox, Order, Role, Root, StartError};
use troupe_messages::{PolicyMessage, Question, ToolMessage, Verdict};
use troupe_policy::{Pipeline, Policy, RuleBook};
use troupe_types::{ApprovalPolicy, CallId, SandboxMode, SandboxSettings};

struct Asker(mpsc::Sender<Verdict>);

impl Role for Asker {
    type Message = ToolMessage;
    type Args = mpsc::Sender<Verdict>;

    async fn start(out: mpsc::Sender<Verdict>, _: Life<ToolMessage>) -> Result<Self, StartError> {
        Ok(Self(out))
    }

    fn handle(&mut self, message: &ToolMessage, cx: &mut Context<ToolMessage>) {
        let ToolMessage::Judged(judged) = message else { panic!("{message:?}") };
        let (out, verdict) = (self.0.clone(), judged.verdict.clone());
        cx.run(move || out.try_send(verdict).unwrap());
    }
}

struct Stage {
    root: Root,
    policy: Mailbox<PolicyMessage>,
    asker: Mailbox<ToolMessage>,
    verdicts: mpsc::Receiver<Verdict>,
}

fn argv(script: &str) -> Vec<String> {
    vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()]
}

impl Stage {
    fn new(rules: &Path) -> Self {
        let kit = Kit::default();
        let policy = Mailbox::new(&kit, "root/policy", 4);
        let asker = Mailbox::new(&kit, "root/asker", 4);
        let (out, verdicts) = mpsc::channel(10);
        let pipeline = Pipeline {
            rules: Some(RuleBook::load(&[rules.to_owned()])),
            kept: Some(rules.join("approved.toml")),
            ..Pipeline::default()
        };
        let company = Company::new(&kit, "root", Order::Reverse)
            .with(ChildSpec::of::<Policy>("policy", &policy, Arc::new(pipeline)).build())
            .with(ChildSpec::of::<Asker>("asker", &asker, out).build());
        Self { root: Root::start(company), policy, asker, verdicts }
    }

    async fn judge(&mut self, script: &str) -> Verdict {
        let judge = PolicyMessage::Judge {
            call: CallId::new(),
            question: Question::Command { argv: argv(script), cwd: "/".into(), escalate: None },
            approval: ApprovalPolicy::Untrusted,
            sandbox: Box::new(SandboxSettings {
                mode: SandboxMode::WorkspaceWrite,
                ..Default::default()
            }),
            cwd: "/".into(),
            approved: Vec::new(),
            tool: self.asker.clone(),
        };
        self.policy.tell(judge).unwrap();
        tokio::time::timeout(Duration::from_secs(20), self.verdicts.recv()).await.unwrap().unwrap()
    }

    fn keep(&self, prefix: &[&str], script: &str) {
        let prefix = prefix.iter().map(|word| (*word).to_owned()).collect();
        let keep = PolicyMessage::Keep { prefix, argv: argv(script), cwd: "/".into() };
        self.policy.tell(keep).unwrap();
    }
}

#[tokio::test]
async fn what_is_answered_with_a_rule_is_not_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules");
    let mut stage = Stage::new(&rules);
    assert!(matches!(stage.judge("git commit -m x").await, Verdict::Ask(_)));
    stage.keep(&["git", "commit"], "git commit -m x");
    stage.keep(&["git", "commit"], "git commit -m x");
    assert_eq!(stage.judge("git commit -m y").await, Verdict::Allow);
    assert!(matches!(stage.judge("git push").await, Verdict::Ask(_)));
    let file = rules.join("approved.toml");
    let began = std::time::Instant::now();
    // Nobody reports that it is written.
    while !std::fs::read_to_string(&file).is_ok_and(|text| text.contains("commit")) {
        assert!(began.elapsed() < Duration::from_secs(20), "it is not written down");
        tokio::task::yield_now().await;
    }
    stage.root.stop().await;
    assert_eq!(std::fs::read_to_string(&file).unwrap().matches("[[rule]]").count(), 1);
    let mut next = Stage::new(&rules);
    assert_eq!(next.judge("git commit -m z").await, Verdict::Allow);
}

#[tokio::test]
async fn what_may_run_anything_is_never_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(folder.path());
    for (prefix, script) in [
        (vec!["python3"], "python3 x.py"),
        (vec!["bash"], "bash"),
        (vec!["git"], "git commit"),
        (vec!["git", "push"], "git commit"),
        (vec![], "git commit"),
        (vec!["mkdir"], "mkdir a; $X"),
    ] {
        stage.keep(&prefix, script);
        assert!(matches!(stage.judge(script).await, Verdict::Ask(_)), "{script}");
    }
    stage.root.stop().await;
    assert!(!folder.path().join("approved.toml").exists());
}
