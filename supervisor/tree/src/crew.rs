//! Makes the temporary actors of a session: model streams and tool execs.

use crate::parts::Parts;
use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{SystemTime, UNIX_EPOCH},
};
use troupe_kit::{ChildSpec, Mailbox, Restart, Ring};
use troupe_messages::{
    ConversationMessage, Crew, Opener, StreamMessage, StreamOrder, ToolMessage, ToolOrder,
};
use troupe_model_stream::ModelStream;
use troupe_providers::Provider;
use troupe_tool_exec::ToolExec;
use troupe_types::{Progress, SessionSettings};

/// What the actors of one session are made with.
pub(crate) struct SessionCrew {
    pub(crate) parts: Arc<Parts>,
    /// The path of the session's supervisor.
    pub(crate) base: Box<str>,
    pub(crate) provider: Arc<dyn Provider>,
    /// Where outputs of calls are kept.
    pub(crate) folder: PathBuf,
    pub(crate) progress: Ring<Progress>,
}

impl Crew for SessionCrew {
    fn stream(&self, order: StreamOrder) -> (ChildSpec, Mailbox<StreamMessage>) {
        let request = order.request.request;
        let name = format!("stream:{request}");
        let mailbox = Mailbox::new(&self.parts.kit, format!("{}/{name}", self.base), 1);
        let told = order.conversation.clone();
        let args = troupe_model_stream::Args {
            provider: Arc::clone(&self.provider),
            request: order.request,
            after_cut: order.after_cut,
            retries: order.retries,
            max_retries: order.settings.stream_retries,
            max_wait: order.settings.max_retry_wait(),
            conversation: order.conversation,
        };
        let spec = ChildSpec::of::<ModelStream>(name, &mailbox, args)
            .restart(Restart::Temporary)
            .on_exit(move |exit| {
                let exit = exit.clone();
                let _refused = told.tell_behind(ConversationMessage::StreamGone { request, exit });
            })
            .build();
        (spec, mailbox)
    }

    fn tool(&self, order: ToolOrder) -> (ChildSpec, Mailbox<ToolMessage>) {
        let call = order.call.call;
        let name = format!("tool:{call}");
        let mailbox = Mailbox::new(&self.parts.kit, format!("{}/{name}", self.base), 1);
        let told = order.conversation.clone();
        let args = troupe_tool_exec::Args {
            session: order.session,
            call: order.call,
            settings: order.settings,
            conversation: order.conversation,
            policy: self.parts.policy.clone(),
            sandbox: self.parts.sandbox.clone(),
            folder: self.folder.clone(),
            shell: self.parts.shell.clone(),
            approved: order.approved,
            process: order.process,
            background: order.background,
            unreadable: Arc::new(|settings| {
                let deny =
                    troupe_sandbox::deny_read(settings).map_err(|error| error.to_string())?;
                Ok(Box::new(move |path: &std::path::Path| deny.refuses(path)))
            }),
            progress: self.progress.clone(),
        };
        let spec = ChildSpec::of::<ToolExec>(name, &mailbox, args)
            .restart(Restart::Temporary)
            .on_exit(move |exit| {
                let exit = exit.clone();
                let _refused = told.tell_behind(ConversationMessage::ToolGone { call, exit });
            })
            .build();
        (spec, mailbox)
    }

    fn opener(&self, settings: &SessionSettings) -> Opener {
        let settings = settings.sandbox.clone();
        let deny = OnceLock::new();
        Box::new(move |path| {
            // Made when there is a file at all: most projects have one or none.
            let deny = deny.get_or_init(|| {
                troupe_sandbox::deny_read_always(&settings).map_err(|error| error.to_string())
            });
            let deny = deny.as_ref().map_err(Clone::clone)?;
            troupe_sandbox::open_regular(path, deny).map_err(|error| error.to_string())
        })
    }

    fn surroundings(&self) -> (String, String) {
        let name = std::path::Path::new(&*self.parts.shell).file_name();
        let shell = name.map_or_else(|| self.parts.shell.to_string(), |n| n.display().to_string());
        (shell, today())
    }
}

/// Today's date (UTC) as year-month-day.
fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (year, month, day) = civil(since.as_secs() / 86_400);
    format!("{year}-{month:02}-{day:02}")
}

/// The Gregorian date of a day since 1970 (Hinnant's `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn days_are_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(20_782), (2026, 11, 25));
    }
}
