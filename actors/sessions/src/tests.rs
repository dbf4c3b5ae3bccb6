//! Through the mailbox: opening twice gives the first handle, an end frees the name, a crash keeps
//! the register.

use crate::{Args, Register, Sessions, child_name};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use troupe_kit::{
    ChildSpec, Company, Context, Fault, Kit, Life, Mailbox, Moment, Order, Role, Root, StartError,
};
use troupe_messages::{Handle, Ready, SessionsMessage};
use troupe_types::SessionId;

const PATIENCE: Duration = Duration::from_secs(10);

/// Stands in for a session's actors.
struct Idle;

impl Role for Idle {
    type Message = ();
    type Args = ();

    async fn start((): (), _: Life<()>) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn handle(&mut self, (): &(), _: &mut Context<()>) {}
}

struct Stage {
    kit: Kit,
    root: Root,
    sessions: Mailbox<SessionsMessage>,
    ended: mpsc::Receiver<Option<String>>,
    tell_end: mpsc::Sender<Option<String>>,
}

impl Stage {
    fn new() -> Self {
        let kit = Kit::default();
        let conversations = Company::new(&kit, "root/conversations", Order::Together);
        let sessions = Mailbox::new(&kit, "root/sessions", 8);
        let args =
            Args { conversations: conversations.mailbox().clone(), register: Register::default() };
        let company = Company::new(&kit, "root", Order::Reverse)
            .with(ChildSpec::of::<Sessions>("sessions", &sessions, args).build())
            .with(ChildSpec::supervisor("conversations", &conversations).build());
        let (tell_end, ended) = mpsc::channel(8);
        Self { kit, root: Root::start(company), sessions, ended, tell_end }
    }

    fn ready(&self, session: SessionId, number: u32) -> Arc<Ready> {
        let idle = Mailbox::new(&self.kit, "idle", 1);
        let company = Company::new(&self.kit, child_name(session), Order::Reverse)
            .with(ChildSpec::of::<Idle>("idle", &idle, ()).build());
        let opening = u64::from(number);
        let (sessions, tell_end) = (self.sessions.clone(), self.tell_end.clone());
        let spec = ChildSpec::supervisor(child_name(session), &company)
            .on_closed(move |reason| {
                let _refused = sessions.tell(SessionsMessage::Ended {
                    session,
                    opening,
                    reason: reason.clone(),
                });
                let _full = tell_end.try_send(reason);
            })
            .build();
        Arc::new(Ready::new(spec, opening, Arc::new(number)))
    }

    async fn open(&self, session: SessionId, number: u32) -> u32 {
        let ready = self.ready(session, number);
        loop {
            let open = |reply| SessionsMessage::Open { session, ready: Arc::clone(&ready), reply };
            if let Ok(handle) = self.sessions.call::<Handle>(PATIENCE, open).await {
                return *handle.downcast_ref().unwrap();
            }
        }
    }

    async fn close(&self, session: SessionId) {
        let close = |reply| SessionsMessage::Close { session, reply };
        self.sessions.call(PATIENCE, close).await.unwrap();
    }

    async fn list(&self) -> Vec<SessionId> {
        self.sessions.call(PATIENCE, SessionsMessage::List).await.unwrap()
    }
}

#[tokio::test]
async fn a_session_is_opened_once_and_again_after_its_end() {
    let mut stage = Stage::new();
    let session = SessionId::new();
    assert_eq!(stage.open(session, 1).await, 1);
    assert_eq!(stage.open(session, 2).await, 1, "the holder's handle");
    // The second offer was dropped unused, which is an end of its own; it is not the session's.
    assert_eq!(stage.ended.recv().await, Some(None));
    assert!(
        stage.root.view().find(&format!("conversations/{}/idle", child_name(session))).is_some()
    );
    stage.close(session).await;
    assert_eq!(stage.ended.recv().await, Some(None));
    assert_eq!(stage.list().await, []);
    assert_eq!(stage.open(session, 3).await, 3);
    stage.root.stop().await;
}

#[tokio::test]
async fn a_crash_keeps_the_register() {
    for moment in [Moment::Before, Moment::Within, Moment::After, Moment::Kill] {
        let stage = Stage::new();
        stage.kit.faults.inject(Fault { role: "root/sessions".to_owned(), at: 1, moment });
        let session = SessionId::new();
        assert_eq!(stage.open(session, 1).await, 1, "{moment:?}");
        assert_eq!(stage.open(session, 2).await, 1, "{moment:?}");
        assert_eq!(stage.list().await, [session], "{moment:?}");
        assert_eq!(stage.kit.faults.landed().len(), 1);
        stage.root.stop().await;
    }
}
