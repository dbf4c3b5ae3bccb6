//! Appending: each decision is a record, applied at once and written behind; what must not happen
//! before it is written waits here.

use super::{Effect, Effects, Machine, checkpoint, context::Place};
use crate::WINDOW;
use troupe_messages::{Appended, Durability};
use troupe_types::{CallId, Decision, OpId, Record, RequestId};

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
    /// The call takes effect.
    Begun(CallId),
    /// The tool exec of this call need not keep its end any more.
    Release(CallId),
    /// The call is closed without its tool exec, which goes.
    Dismiss(CallId),
    /// The turn is over: the context is let go.
    Idle,
}

impl Machine {
    /// Appends a record.
    pub(crate) fn append(&mut self, record: impl Into<Record>, out: &mut Effects) {
        self.append_with(record.into(), Durability::Written, None, None, out);
    }

    /// Appends a record, and does `after` once it is written.
    pub(crate) fn append_then(
        &mut self,
        record: impl Into<Record>,
        after: After,
        out: &mut Effects,
    ) {
        self.append_with(record.into(), Durability::Written, None, Some(after), out);
    }

    pub(crate) fn append_with(
        &mut self,
        record: Record,
        durability: Durability,
        notify: Option<CallId>,
        after: Option<After>,
        out: &mut Effects,
    ) {
        let seq = self.state.core.next_seq;
        self.state.apply(seq, None, &record);
        if let Some(after) = after {
            self.live.waiting.push_back((seq, after));
        }
        self.live.since_checkpoint.0 += 1;
        out.push(Effect::Append { seq, record: Box::new(record), durability, notify });
        self.regulate(out);
    }

    /// How many lines are under way.
    pub(crate) fn under_way(&self) -> u64 {
        self.state.core.next_seq.saturating_sub(self.live.written)
    }

    pub(crate) fn on_written(&mut self, line: Appended, out: &mut Effects) {
        if line.seq < self.live.written {
            return;
        }
        self.live.written = line.seq + 1;
        self.live.since_checkpoint.1 += line.len;
        let place = self.state.context.partition_point(|entry| entry.seq < line.seq);
        if let Some(entry) = self.state.context.get_mut(place)
            && entry.seq == line.seq
            && let Some(offset) = line.offset
        {
            entry.place = Some(Place { offset, digest: line.digest });
        }
        if let Some(offset) = line.offset {
            self.live.end = Some(offset + line.len);
        }
        let written = self.live.written;
        while let Some((_, after)) = self.live.waiting.pop_front_if(|(seq, _)| *seq < written) {
            self.carry_out(after, out);
        }
        self.checkpoint_if_due(out);
        self.regulate(out);
    }

    fn carry_out(&mut self, after: After, out: &mut Effects) {
        match after {
            After::Accepted(op) => {
                let seq = self.state.core.accepted(op).unwrap_or_default();
                out.push(Effect::Reply(op, Ok(seq)));
            }
            After::Stream(request) => self.start_stream(request, out),
            After::Answer(call, decision) => self.pass_answer(call, decision, out),
            After::Begun(call) => {
                if self.live.tools.contains(&call) {
                    self.live.begun.insert(call);
                }
            }
            After::Release(call) => out.push(Effect::Release(call)),
            After::Dismiss(call) => out.extend([Effect::CancelTool(call), Effect::Release(call)]),
            After::Idle => self.let_context_go(),
        }
    }

    fn checkpoint_due(&self) -> bool {
        let (lines, bytes) = self.live.since_checkpoint;
        (lines >= CHECKPOINT_LINES || bytes >= CHECKPOINT_BYTES)
            && bytes >= 2 * self.state.core.open_bytes()
    }

    /// Writes a checkpoint when one is due and the place of every line is known.
    fn checkpoint_if_due(&mut self, out: &mut Effects) {
        if self.checkpoint_due() && self.under_way() == 0 && self.live.storage.is_none() {
            // What is written counts from here on, also where the state cannot be written.
            self.live.since_checkpoint = (0, 0);
            match self.live.end.and_then(|at| checkpoint::write(&self.state, at)) {
                Some(checkpoint) => self.append(checkpoint, out),
                None => tracing::debug!("no checkpoint: a place in the context is unknown"),
            }
        }
    }

    /// Pauses or resumes the bulk lane: with too many lines under way, and until a due checkpoint
    /// can be written, nothing more is taken in.
    pub(crate) fn regulate(&mut self, out: &mut Effects) {
        let under_way = self.under_way();
        // While the log cannot be written, what ends is still heard of.
        let wanted = self.live.storage.is_none()
            && (under_way > WINDOW
                || (self.live.paused && under_way > WINDOW / 2)
                || (self.checkpoint_due() && under_way > 0));
        if wanted != self.live.paused {
            self.live.paused = wanted;
            out.push(Effect::Pause(wanted));
        }
    }
}
