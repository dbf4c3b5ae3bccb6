//! Appending: each decision is a record, applied at once and written behind; what must not happen
//! before it is written waits here.

use crate::{Conversation, WINDOW, checkpoint};
use troupe_kit::Context;
use troupe_messages::{
    Appended, ConversationMessage, Durability, FaultKind, Notify, RecorderMessage, StorageFault,
};
use troupe_types::{CallId, Decision, ErrorClass, Failure, OpId, Record, RequestId};

type Cx = Context<ConversationMessage>;

/// A checkpoint is due after so many lines, or so many bytes, but not before the log has grown by
/// twice the answer that is still coming: each checkpoint carries it.
const CHECKPOINT_LINES: u64 = 256;
const CHECKPOINT_BYTES: u64 = 1024 * 1024;

/// What happens once a line is written.
#[derive(Debug)]
pub(crate) enum After {
    /// The operation is accepted: whoever submitted it is told.
    Accepted(OpId),
    /// The stream of this request is started.
    Stream(RequestId),
    /// The tool exec of this call is told the answer.
    Answer(CallId, Decision),
    /// The turn is over: the context is let go.
    Idle,
}

impl Conversation {
    /// Appends a record.
    pub(crate) fn append(&mut self, record: impl Into<Record>, cx: &mut Cx) {
        self.append_with(record.into(), Durability::Written, None, None, cx);
    }

    /// Appends a record, and does `after` once it is written.
    pub(crate) fn append_then(&mut self, record: impl Into<Record>, after: After, cx: &mut Cx) {
        self.append_with(record.into(), Durability::Written, None, Some(after), cx);
    }

    pub(crate) fn append_with(
        &mut self,
        record: Record,
        durability: Durability,
        notify: Option<Notify>,
        after: Option<After>,
        cx: &mut Cx,
    ) {
        let seq = self.state.core.next_seq;
        self.state.apply(seq, None, &record);
        if let Some(after) = after {
            self.waiting.push_back((seq, after));
        }
        self.since_checkpoint.0 += 1;
        cx.send(
            &self.args.recorder,
            RecorderMessage::Append { seq, record: Box::new(record), durability, notify },
        );
        self.regulate(cx);
    }

    /// How many lines are under way.
    fn under_way(&self) -> u64 {
        self.state.core.next_seq.saturating_sub(self.written)
    }

    pub(crate) fn on_written(&mut self, line: Appended, cx: &mut Cx) {
        if line.seq < self.written {
            return;
        }
        self.written = line.seq + 1;
        self.since_checkpoint.1 += line.len;
        let place = self.state.context.partition_point(|entry| entry.seq < line.seq);
        if let Some(entry) = self.state.context.get_mut(place)
            && entry.seq == line.seq
            && line.offset.is_some()
        {
            entry.offset = line.offset;
        }
        while let Some((_, after)) = self.waiting.pop_front_if(|(seq, _)| *seq < self.written) {
            self.carry_out(after, cx);
        }
        self.checkpoint_if_due(cx);
        self.regulate(cx);
        self.advance(cx);
    }

    fn carry_out(&mut self, after: After, cx: &mut Cx) {
        match after {
            After::Accepted(op) => {
                let seq = self.state.core.accepted(op).unwrap_or_default();
                for reply in self.accepted.remove(&op).unwrap_or_default() {
                    cx.reply(&reply, Ok(seq));
                }
            }
            After::Stream(request) => self.start_stream(request, cx),
            After::Answer(call, decision) => self.pass_answer(call, decision, cx),
            After::Idle => self.let_context_go(),
        }
    }

    fn checkpoint_due(&self) -> bool {
        let (lines, bytes) = self.since_checkpoint;
        (lines >= CHECKPOINT_LINES || bytes >= CHECKPOINT_BYTES)
            && bytes >= 2 * self.state.core.open_bytes()
    }

    /// Writes a checkpoint when one is due and the place of every line is known.
    fn checkpoint_if_due(&mut self, cx: &mut Cx) {
        if self.checkpoint_due() && self.under_way() == 0 {
            // What is written counts from here on, also where the state cannot be written.
            self.since_checkpoint = (0, 0);
            match checkpoint::write(&self.state) {
                Some(checkpoint) => self.append(checkpoint, cx),
                None => tracing::error!("no checkpoint: a place in the context is unknown"),
            }
        }
    }

    /// Pauses or resumes the bulk lane: with too many lines under way, and until a due checkpoint
    /// can be written, nothing more is taken in.
    pub(crate) fn regulate(&mut self, cx: &mut Cx) {
        let under_way = self.under_way();
        let wanted = self.storage.is_some()
            || under_way > WINDOW
            || (self.paused && under_way > WINDOW / 2)
            || (self.checkpoint_due() && under_way > 0);
        if wanted != self.paused {
            self.paused = wanted;
            if wanted { cx.pause_bulk() } else { cx.resume_bulk() }
        }
    }

    /// The log cannot be written: the state is ahead of it, so nothing more is decided. What
    /// streams and tools still say waits in the bulk lane; the next operation tries again.
    pub(crate) fn on_not_written(&mut self, seq: u64, fault: &StorageFault, cx: &mut Cx) {
        if seq < self.written || self.storage.is_some() {
            return;
        }
        if fault.kind == FaultKind::Gap {
            // An append was lost on the way: what is in the log decides.
            return cx.fail(format!("the log lacks a line: {fault}"));
        }
        tracing::error!(%fault, "the log cannot be written");
        self.storage = Some(fault.clone());
        self.waiting.clear();
        let failure = storage_failure(fault);
        for reply in self.accepted.drain().flat_map(|(_, replies)| replies) {
            cx.reply(&reply, Err(failure.clone()));
        }
        if let Some((_, stream)) = &self.stream {
            cx.send(stream, troupe_messages::StreamMessage::Cancel);
        }
        self.regulate(cx);
    }
}

pub(crate) fn storage_failure(fault: &StorageFault) -> Failure {
    Failure { class: ErrorClass::Storage, message: fault.message.clone() }
}
