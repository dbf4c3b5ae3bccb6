//! How a conversation begins and ends for servers that put it through a chat template.

use std::{borrow::Cow, sync::Arc};
use troupe_types::{Item, Role};

/// Said where an answer that was cut is the last item: chat templates want to end on the user.
pub(crate) const GO_ON: &str = "Your answer was cut off here. Go on from there.";

/// The texts of developer messages before anything else, and the items after them.
pub(crate) fn leading_developer(items: &[Arc<Item>], keep: bool) -> (Vec<&str>, &[Arc<Item>]) {
    let mut texts = Vec::new();
    for item in items.iter().take_while(|_| !keep) {
        match &**item {
            Item::Context(context) if context.role == Role::Developer => texts.push(&*context.text),
            _ => break,
        }
    }
    let rest = &items[texts.len()..];
    (texts, rest)
}

/// The instructions with the leading developer messages after them.
pub(crate) fn with_leading<'a>(instructions: &'a str, leading: &[&str]) -> Cow<'a, str> {
    if leading.is_empty() {
        return Cow::Borrowed(instructions);
    }
    let parts = std::iter::once(instructions).chain(leading.iter().copied());
    Cow::Owned(parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n"))
}
