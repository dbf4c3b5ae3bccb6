//! The items of one answer, each known by its ids and by what it says, never by its place.
//!
//! Servers and gateways number two items alike, name one item twice (as an event, and again in the
//! last one), give it another id each time, or none. An item's place in our events is its slot's.

use super::{
    kinds::Kind,
    wire::{Listed, Said, WireItem},
};

/// One item.
pub(super) struct Slot {
    pub(super) kind: Kind,
    /// The item's id, the call's id and the tool's name; empty where they are not known.
    pub(super) id: String,
    pub(super) call_id: String,
    pub(super) name: String,
    /// The place the server names.
    place: Option<u32>,
    /// Words of a message, or arguments of a call, that came in pieces; and those it began with.
    pub(super) text: String,
    begun: String,
    /// The parts of the text that have come, so that none is taken twice.
    parts: Vec<u32>,
    /// Paragraphs of a thought that have begun.
    pub(super) paragraphs: u32,
    /// What the complete item says.
    pub(super) said: Option<Said>,
    /// Words that came under the id of an item that was complete.
    pub(super) late: String,
}

/// Whose a piece is.
pub(super) enum Owner {
    Slot(usize),
    /// An item that is complete: the piece is a repetition, or the start of another under its id.
    Complete(usize),
    /// One of several calls, and there is no telling which.
    Unknown,
}

/// What a complete item is to those known so far.
pub(super) enum Place {
    /// It completes this one.
    Slot(usize),
    /// It has been taken already.
    Known,
    /// It may be one that has been taken, or another; there is no telling.
    Ambiguous,
}

/// The items so far.
#[derive(Default)]
pub(super) struct Slots(pub(super) Vec<Slot>);

/// The ids an event names.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) id: &'a str,
    pub(super) place: Option<u32>,
}

impl Slots {
    fn push(&mut self, kind: Kind, named: Named<'_>) -> usize {
        self.0.push(Slot {
            kind,
            id: named.id.to_owned(),
            call_id: String::new(),
            name: String::new(),
            place: named.place,
            text: String::new(),
            begun: String::new(),
            paragraphs: 0,
            parts: Vec::new(),
            said: None,
            late: String::new(),
        });
        self.0.len() - 1
    }

    /// An item has begun. One that is named again is not another.
    pub(super) fn begin(&mut self, item: &WireItem<'_>, place: Option<u32>) {
        let kind = item.kind();
        let again = |slot: &Slot| {
            slot.kind == kind
                && (same(&slot.call_id, item.call_id())
                    || (!differ(&slot.call_id, item.call_id()) && same(&slot.id, item.id())))
        };
        if self.0.iter().any(again) {
            return;
        }
        let at = self.push(kind, Named { id: item.id(), place });
        let slot = &mut self.0[at];
        slot.call_id.push_str(item.call_id());
        slot.name.push_str(item.name());
        slot.begun = item.text().into_owned();
    }

    /// Whose a piece of an item of this kind is: the one with its id, else the open one at its place,
    /// else the last open one, else a new one.
    pub(super) fn owner(&mut self, is: fn(Kind) -> bool, new: Kind, named: Named<'_>) -> Owner {
        let open = |slot: &Slot| slot.said.is_none() && is(slot.kind);
        let with_id = |slot: &Slot| same(&slot.id, named.id);
        let here = |slot: &Slot| named.place.is_some() && slot.place == named.place;
        if let Some(at) = self.0.iter().rposition(|slot| open(slot) && with_id(slot)) {
            return Owner::Slot(at);
        }
        if let Some(at) = self.0.iter().rposition(|slot| is(slot.kind) && with_id(slot)) {
            return Owner::Complete(at);
        }
        let mut candidates: Vec<usize> = self.find(|slot| open(slot) && here(slot));
        if candidates.is_empty() {
            // Either of the two may go without a place.
            candidates =
                self.find(|slot| open(slot) && (named.place.is_none() || slot.place.is_none()));
        }
        match candidates[..] {
            [] if new.is_call() => {
                let complete = |slot: &Slot| is(slot.kind) && here(slot);
                match self.0.iter().rposition(complete) {
                    Some(at) => Owner::Complete(at),
                    None => Owner::Slot(self.push(new, named)),
                }
            }
            [] => Owner::Slot(self.push(new, named)),
            [_, _, ..] if new.is_call() => Owner::Unknown,
            [.., at] => {
                self.0[at].place = self.0[at].place.or(named.place);
                Owner::Slot(at)
            }
        }
    }

    fn find(&self, wanted: impl Fn(&Slot) -> bool) -> Vec<usize> {
        (0..self.0.len()).filter(|&at| wanted(&self.0[at])).collect()
    }

    /// Whether some of this part of a message has come under its id, so that the whole of it is no
    /// news. Does not read the words, which may be long.
    pub(super) fn has_heard(&self, id: &str, part: u32) -> bool {
        let message = |slot: &&Slot| slot.kind == Kind::Message && same(&slot.id, id);
        self.0.iter().filter(message).any(|slot| slot.parts.contains(&part))
    }

    /// The open message of which all has come that this item says.
    pub(super) fn come(&self, item: &WireItem<'_>) -> Option<usize> {
        let this = |slot: &Slot| {
            slot.said.is_none() && slot.kind == Kind::Message && same(&slot.id, item.id())
        };
        let at = self.0.iter().position(this)?;
        let text = self.0[at].gathered();
        (!text.is_empty() && item.is_message_of(text)).then_some(at)
    }

    /// Where an item belongs that an event says is complete.
    pub(super) fn place(&mut self, item: &WireItem<'_>, said: &Said, place: Option<u32>) -> Place {
        for slot in self.0.iter().filter(|slot| slot.said.as_ref() == Some(said)) {
            match slot.again(item, place) {
                Again::Yes => return Place::Known,
                Again::Unknown => return Place::Ambiguous,
                Again::No => {}
            }
        }
        let at = self.open_for(item, place).unwrap_or_else(|| {
            let named = Named { id: item.id(), place };
            self.push(item.kind(), named)
        });
        Place::Slot(at)
    }

    /// The item that has begun and that this one completes.
    fn open_for(&self, item: &WireItem<'_>, place: Option<u32>) -> Option<usize> {
        let kind = item.kind();
        let begun = |slot: &Slot| {
            slot.said.is_none() && (slot.kind == kind || (slot.kind.is_call() && kind.is_call()))
        };
        let open = |slot: &Slot| begun(slot) && !differ(&slot.call_id, item.call_id());
        let by = |wanted: &dyn Fn(&Slot) -> bool| {
            self.0.iter().position(|slot| open(slot) && wanted(slot))
        };
        by(&|slot| same(&slot.call_id, item.call_id()))
            .or_else(|| by(&|slot| same(&slot.id, item.id())))
            .or_else(|| by(&|slot| place.is_some() && slot.place == place))
            .or_else(|| {
                by(&|slot| {
                    (place.is_none() || slot.place.is_none()) && !differ(&slot.name, item.name())
                })
            })
            // OpenAI gives a search for tools another id of the call when it is complete.
            .or_else(|| self.0.iter().position(|slot| begun(slot) && same(&slot.id, item.id())))
    }

    /// What the items are that the last event lists, which are all of the answer: those that have
    /// come already are found by their ids, by what they say, and last by their order.
    pub(super) fn listed(&mut self, items: &[Listed<'_>]) -> Vec<Place> {
        let events = self.0.len();
        let mut taken = vec![false; events];
        let mut places: Vec<Option<Place>> = items.iter().map(|_| None).collect();
        for rule in [Slot::has_ids, Slot::says, Slot::is_like] {
            for (place, listed) in places.iter_mut().zip(items) {
                // Under one id any number of items may be known.
                let found = place
                    .is_none()
                    .then(|| (0..events).find(|&at| !taken[at] && rule(&self.0[at], listed)));
                if let Some(at) = found.flatten() {
                    taken[at] = true;
                    let slot = &self.0[at];
                    let other = |known| known != listed.said() && listed.said().is_whole();
                    *place = Some(match &slot.said {
                        None => Place::Slot(at),
                        Some(known) if slot.kind.is_call() && other(known) => Place::Ambiguous,
                        Some(_) => Place::Known,
                    });
                }
            }
        }
        let rest = places.into_iter().zip(items);
        rest.map(|(place, listed)| match place {
            Some(Place::Slot(at)) => {
                self.0[at].said.get_or_insert_with(|| listed.said().clone());
                Place::Slot(at)
            }
            Some(place) => place,
            None => self.new_in_list(listed),
        })
        .collect()
    }

    /// An item that only the list names, unless the list names it twice.
    fn new_in_list(&mut self, listed: &Listed<'_>) -> Place {
        let (item, said) = (&listed.item, listed.said());
        for slot in self.0.iter().filter(|slot| slot.said.as_ref() == Some(said)) {
            match slot.again(item, None) {
                Again::Yes => return Place::Known,
                Again::Unknown => return Place::Ambiguous,
                Again::No => {}
            }
        }
        let at = self.push(item.kind(), Named { id: item.id(), place: None });
        self.0[at].call_id.push_str(item.call_id());
        self.0[at].said = Some(said.clone());
        Place::Slot(at)
    }
}

enum Again {
    Yes,
    No,
    Unknown,
}

impl Slot {
    /// Whether an item that says the same is this one, named again.
    fn again(&self, item: &WireItem<'_>, place: Option<u32>) -> Again {
        let placed = match (self.place, place) {
            (Some(a), Some(b)) if a == b => Some(true),
            (Some(_), Some(_)) => Some(false),
            _ => None,
        };
        if !self.kind.is_call() {
            let same_id = same(&self.id, item.id()) || placed == Some(true);
            let no_ids = self.id.is_empty() && item.id().is_empty();
            let yes = same_id || (no_ids && placed.is_none());
            return if yes { Again::Yes } else { Again::No };
        }
        if same(&self.call_id, item.call_id()) {
            return Again::Yes;
        }
        if differ(&self.call_id, item.call_id()) {
            return Again::No;
        }
        if same(&self.id, item.id()) {
            return Again::Yes;
        }
        match placed {
            _ if differ(&self.id, item.id()) => Again::No,
            Some(true) => Again::Yes,
            Some(false) => Again::No,
            None => Again::Unknown,
        }
    }

    fn has_ids(&self, listed: &Listed<'_>) -> bool {
        let item = &listed.item;
        let kind = item.kind();
        if kind.is_call() && self.kind.is_call() {
            let id = same(&self.id, item.id()) && !differ(&self.call_id, item.call_id());
            let again = |known: &Said| known == listed.said() || !listed.said().is_whole();
            return (same(&self.call_id, item.call_id()) || id)
                && self.said.as_ref().is_none_or(again);
        }
        self.kind == kind && same(&self.id, item.id())
    }

    fn says(&self, listed: &Listed<'_>) -> bool {
        self.kind == listed.item.kind()
            && self.said.as_ref().is_some_and(|known| known == listed.said())
    }

    /// Another version of this item: what is not a call follows the order of its kind.
    fn is_like(&self, listed: &Listed<'_>) -> bool {
        let item = &listed.item;
        let kind = item.kind();
        if kind.is_call() && self.kind.is_call() {
            let open = self.said.is_none() && !differ(&self.name, item.name());
            return same(&self.call_id, item.call_id())
                || (open && !differ(&self.call_id, item.call_id()));
        }
        self.kind == kind
    }

    /// The words or arguments that have come so far.
    pub(super) fn gathered(&self) -> &str {
        if self.text.is_empty() { &self.begun } else { &self.text }
    }

    /// Takes what has come: the item is complete.
    pub(super) fn take_gathered(&mut self) -> String {
        let (text, begun) = (std::mem::take(&mut self.text), std::mem::take(&mut self.begun));
        let mut gathered = if text.is_empty() { begun } else { text };
        gathered.shrink_to_fit();
        gathered
    }

    /// Whether a whole part of the text has come.
    pub(super) fn is_heard(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Takes a piece of one part of the text.
    pub(super) fn add(&mut self, part: u32, piece: &str) {
        self.hear(part);
        self.text.push_str(piece);
    }

    /// Takes a whole part of the text, unless its pieces have come. Returns whether it is new.
    pub(super) fn add_whole(&mut self, part: u32, text: &str) -> bool {
        let new = self.hear(part);
        if new {
            self.text.push_str(text);
        }
        new
    }

    /// Notes that a part of the text comes, and returns whether none of it has come before.
    pub(super) fn hear(&mut self, part: u32) -> bool {
        let new = !self.parts.contains(&part);
        if new {
            self.parts.push(part);
        }
        new
    }
}

/// Whether both are there and equal.
fn same(a: &str, b: &str) -> bool {
    !a.is_empty() && a == b
}

/// Whether both are there and not equal.
pub(super) fn differ(a: &str, b: &str) -> bool {
    !a.is_empty() && !b.is_empty() && a != b
}
