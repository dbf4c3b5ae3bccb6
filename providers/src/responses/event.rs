//! One event of a Responses stream, as it is written.

use super::slots::Named;
use crate::{
    json::{self, Count, Name},
    plain::{Plain, PlainValue},
};
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// The members of all events that matter; others are passed over unread.
#[derive(Default)]
pub(super) struct Event<'a> {
    pub(super) kind: Name<'a>,
    pub(super) sequence_number: Count,
    output_index: Count,
    pub(super) item_id: Name<'a>,
    content_index: Count,
    summary_index: Count,
    /// A piece, as it is written.
    delta: Option<&'a str>,
    /// The whole of what came in pieces.
    pub(super) text: Option<&'a RawValue>,
    pub(super) refusal: Option<&'a RawValue>,
    pub(super) arguments: Option<&'a RawValue>,
    pub(super) input: Option<&'a RawValue>,
    pub(super) part: Option<&'a RawValue>,
    pub(super) item: Option<&'a RawValue>,
    pub(super) response: Option<&'a RawValue>,
}

impl<'a> Event<'a> {
    /// Reads an event.
    pub(super) fn read(json: &'a str) -> serde_json::Result<Self> {
        if let Some(event) = Self::plain(json) {
            return Ok(event);
        }
        let mut event = Self::default();
        let mut deserializer = serde_json::Deserializer::from_str(json);
        Reading(&mut event).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(event)
    }

    /// Reads an event that brings a piece: almost all do, and they are plain. `None` for any other.
    fn plain(json: &'a str) -> Option<Self> {
        let mut event = Self::default();
        let mut members = Plain::open(json)?;
        loop {
            match Member::named(members.name()?) {
                Member::Kind => event.kind = Name(members.value()?.simple()?.into()),
                Member::ItemId => event.item_id = Name(members.value()?.simple()?.into()),
                Member::SequenceNumber => event.sequence_number = count(members.value()?)?,
                Member::OutputIndex => event.output_index = count(members.value()?)?,
                Member::ContentIndex => event.content_index = count(members.value()?)?,
                Member::SummaryIndex => event.summary_index = count(members.value()?)?,
                Member::Delta => {
                    let PlainValue::Text(piece, _) = members.value()? else { return None };
                    event.delta = Some(piece);
                }
                Member::Other => {
                    members.value()?;
                }
                _ => return None,
            }
            if !members.more()? {
                return Some(event);
            }
        }
    }

    /// The piece that it brings; empty if there is none.
    pub(super) fn piece(&self) -> Cow<'a, str> {
        self.delta.and_then(json::string).unwrap_or_default()
    }

    /// The place of its item that it names.
    pub(super) fn place(&self) -> Option<u32> {
        number(self.output_index)
    }

    /// What it says of whose it is.
    pub(super) fn named(&self) -> Named<'_> {
        Named { id: &self.item_id.0, place: self.place() }
    }

    /// The part of its item that it is about: parts of summaries and of content are counted apart.
    pub(super) fn part(&self) -> u32 {
        match (number(self.summary_index), number(self.content_index)) {
            (Some(summary), _) => summary.saturating_mul(2).saturating_add(1),
            (None, content) => content.unwrap_or_default().saturating_mul(2),
        }
    }
}

fn count(value: PlainValue<'_>) -> Option<Count> {
    let PlainValue::Number(number) = value else { return None };
    Some(Count(Some(number)))
}

fn number(count: Count) -> Option<u32> {
    count.0.and_then(|count| u32::try_from(count).ok())
}

/// Reads the members into their places. There are events by the ten thousand, and a derived reader
/// compares each name with all names there are and moves the whole event about.
struct Reading<'e, 'a>(&'e mut Event<'a>);

impl<'de> DeserializeSeed<'de> for Reading<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let event = self.0;
        while let Some(member) = members.next_key()? {
            match member {
                Member::Kind => event.kind = members.next_value()?,
                Member::SequenceNumber => event.sequence_number = members.next_value()?,
                Member::OutputIndex => event.output_index = members.next_value()?,
                Member::ItemId => event.item_id = members.next_value()?,
                Member::ContentIndex => event.content_index = members.next_value()?,
                Member::SummaryIndex => event.summary_index = members.next_value()?,
                Member::Delta => {
                    let delta: Option<&RawValue> = members.next_value()?;
                    event.delta = delta.map(RawValue::get);
                }
                Member::Text => event.text = members.next_value()?,
                Member::Refusal => event.refusal = members.next_value()?,
                Member::Arguments => event.arguments = members.next_value()?,
                Member::Input => event.input = members.next_value()?,
                Member::Part => event.part = members.next_value()?,
                Member::Item => event.item = members.next_value()?,
                Member::Response => event.response = members.next_value()?,
                Member::Other => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// A member by its name.
enum Member {
    Kind,
    SequenceNumber,
    OutputIndex,
    ItemId,
    ContentIndex,
    SummaryIndex,
    Delta,
    Text,
    Refusal,
    Arguments,
    Input,
    Part,
    Item,
    Response,
    Other,
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(MemberVisitor)
    }
}

struct MemberVisitor;

impl Visitor<'_> for MemberVisitor {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<Member, E> {
        Ok(Member::named(name))
    }
}

impl Member {
    fn named(name: &str) -> Self {
        // By length first: then one or two comparisons are enough.
        match (name.len(), name) {
            (4, "type") => Self::Kind,
            (4, "text") => Self::Text,
            (4, "part") => Self::Part,
            (4, "item") => Self::Item,
            (5, "delta") => Self::Delta,
            (5, "input") => Self::Input,
            (7, "item_id") => Self::ItemId,
            (7, "refusal") => Self::Refusal,
            (8, "response") => Self::Response,
            (9, "arguments") => Self::Arguments,
            (12, "output_index") => Self::OutputIndex,
            (13, "content_index") => Self::ContentIndex,
            (13, "summary_index") => Self::SummaryIndex,
            (15, "sequence_number") => Self::SequenceNumber,
            _ => Self::Other,
        }
    }
}
