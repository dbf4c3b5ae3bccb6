//! Compaction: a summary replaces the context when it fills the model's window, or when asked.

use super::{Effects, Machine, context::assemble, drive::user_text};
use crate::prompt::{COMPACT_PROMPT, SUMMARY_PREFIX};
use std::sync::Arc;

use troupe_types::{
    Compacted, Content, ContextKind, ErrorClass, Item, Outcome, SummaryItem, UserItem,
};

/// Bytes of the user's messages that stay in the context (20,000 tokens at 4 bytes).
const USER_BYTES: usize = 80_000;
/// How often a summarisation that does not fit is tried with less.
const SHRINKS: usize = 8;

impl Machine {
    /// Whether the context has reached the limit at which it is summarised.
    pub(crate) fn is_context_full(&self) -> bool {
        let settings = &self.setup.settings;
        let of_window = settings.context_window.map(|window| window / 10 * 9);
        let limit = match (settings.auto_compact_tokens, of_window) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        };
        limit.is_some_and(|limit| limit > 0 && self.state.core.context_tokens >= limit)
    }

    pub(crate) fn start_compaction(&mut self, out: &mut Effects) -> bool {
        if self.state.context.iter().any(|entry| entry.items.is_none()) {
            return false;
        }
        if self.state.context.is_empty() {
            self.finish_turn(Outcome::Completed, out);
            return true;
        }
        self.append_request(true, out)
    }

    /// A request did not fit: leaves out more of the oldest items, unless that was tried enough.
    pub(crate) fn shrink(&mut self, compaction: bool) -> bool {
        let tried = self.state.core.turn.as_ref().is_some_and(|turn| turn.compacted);
        if !compaction {
            return !tried;
        }
        let items = self.state.context.len();
        self.live.compact_skip += (items / SHRINKS).max(1);
        self.live.compact_skip < items
    }

    pub(crate) fn items_to_summarise(&self) -> Vec<Arc<Item>> {
        let skip = self.live.compact_skip.min(self.state.context.len());
        let mut items = assemble(&self.state.context[skip..]);
        // The output of a call that was left out would stand alone; assembling drops it.
        let prompt = self.setup.settings.compact_prompt.as_deref().unwrap_or(COMPACT_PROMPT);
        items.push(Arc::new(user_text(prompt)));
        items
    }

    /// The summary is there: it becomes the context, with what the host and the user said.
    pub(crate) fn replace_context(&mut self, out: &mut Effects) -> bool {
        let request = self.state.core.turn.as_ref().and_then(|turn| turn.request.as_ref());
        let summary = request.and_then(|request| request.summary.clone()).unwrap_or_default();
        let only = self.state.core.turn.as_ref().is_some_and(|turn| turn.compact_only);
        if summary.trim().is_empty() {
            let why = "the model gave no summary; the context is unchanged".to_owned();
            self.finish_turn(Outcome::failed(ErrorClass::Server, why), out);
            return true;
        }
        let replacement = self.replacement(&summary);
        self.append(Compacted { replacement }, out);
        if only {
            self.finish_turn(Outcome::Completed, out);
        }
        true
    }

    fn replacement(&self, summary: &str) -> Vec<Item> {
        let items = || self.state.context.iter().flat_map(|entry| entry.items.iter().flatten());
        let told = |item: &&Arc<Item>| match &***item {
            Item::Context(item) => {
                !matches!(item.kind, ContextKind::Interrupted | ContextKind::Note)
            }
            _ => false,
        };
        let mut replacement: Vec<Item> =
            items().filter(told).map(|item| item.as_ref().clone()).collect();
        let mut left = USER_BYTES;
        let mut said = Vec::new();
        for item in items().collect::<Vec<_>>().into_iter().rev() {
            let Item::User(user) = &**item else { continue };
            let bytes: usize = user.content.iter().filter_map(Content::as_text).map(str::len).sum();
            if bytes <= left {
                left -= bytes;
                said.push(Item::User(user.clone()));
            } else {
                said.push(Item::User(cut_middle(user, left)));
                break;
            }
        }
        replacement.extend(said.into_iter().rev());
        replacement.push(Item::Summary(SummaryItem { text: format!("{SUMMARY_PREFIX}{summary}") }));
        replacement
    }
}

/// The beginning and the end of a long message.
fn cut_middle(user: &UserItem, bytes: usize) -> UserItem {
    let text: String = user.content.iter().filter_map(Content::as_text).collect();
    let head = text.floor_char_boundary(bytes / 2);
    let tail = text.ceil_char_boundary(text.len() - (bytes / 2).min(text.len()));
    let cut = tail.saturating_sub(head);
    let text = format!("{}…{cut} bytes left out…{}", &text[..head], &text[tail..]);
    UserItem { content: vec![Content::text(text)] }
}
