//! The policy under a root, and somebody who asks.

use std::{path::Path, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use troupe_kit::{
    ChildSpec, Company, Context, Faults, Kit, Life, Mailbox, Order, Role, Root, StartError,
};
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

pub(crate) struct Stage {
    pub(crate) root: Root,
    pub(crate) faults: Faults,
    policy: Mailbox<PolicyMessage>,
    asker: Mailbox<ToolMessage>,
    verdicts: mpsc::Receiver<Verdict>,
}

pub(crate) fn argv(script: &str) -> Vec<String> {
    vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()]
}

impl Stage {
    pub(crate) fn new(pipeline: Pipeline) -> Self {
        let kit = Kit::default();
        let policy = Mailbox::new(&kit, "root/policy", 4);
        let asker = Mailbox::new(&kit, "root/asker", 4);
        let (out, verdicts) = mpsc::channel(1000);
        let company = Company::new(&kit, "root", Order::Reverse)
            .with(ChildSpec::of::<Policy>("policy", &policy, Arc::new(pipeline)).build())
            .with(ChildSpec::of::<Asker>("asker", &asker, out).build());
        Self { root: Root::start(company), faults: kit.faults, policy, asker, verdicts }
    }

    pub(crate) fn with_rules(rules: &Path) -> Self {
        Self::new(Pipeline {
            rules: Some(RuleBook::load(&[rules.to_owned()])),
            kept: Some(rules.join("approved.toml")),
            ..Pipeline::default()
        })
    }

    /// Asks whether a script may run.
    pub(crate) fn ask(&self, call: CallId, script: &str) {
        let judge = PolicyMessage::Judge {
            call,
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
    }

    /// The next answer.
    pub(crate) async fn verdict(&mut self) -> Verdict {
        tokio::time::timeout(Duration::from_secs(20), self.verdicts.recv()).await.unwrap().unwrap()
    }

    pub(crate) async fn judge(&mut self, script: &str) -> Verdict {
        self.ask(CallId::new(), script);
        self.verdict().await
    }

    pub(crate) fn keep(&self, prefix: &[&str], script: &str) {
        let prefix = prefix.iter().map(|word| (*word).to_owned()).collect();
        let keep = PolicyMessage::Keep { prefix, argv: argv(script), cwd: "/".into() };
        self.policy.tell(keep).unwrap();
    }
}
