//! The beginning of an incarnation: what the replay found is told, and what lives is waited for.

use super::{Effect, Effects, Machine};
use troupe_types::{LogFlaws, Mended};

/// The most flaws that are told one by one.
const MOST_FLAWS: usize = 20;

impl Machine {
    pub(crate) fn on_started(&mut self, out: &mut Effects) {
        if self.live.first && self.other_boot() {
            // The last lines before the power went may be missing.
            self.state.core.doubt_open_calls();
        }
        let core = &self.state.core;
        let begun = core.open_calls().filter(|call| call.started).map(|call| call.call);
        self.live.begun = begun.filter(|call| self.live.tools.contains(call)).collect();
        if core.turn.is_none() && core.background.iter().all(|process| process.ended) {
            // Nothing is open: nothing to wait for.
            self.live.settled = true;
        } else {
            out.push(Effect::Mark);
        }
        if self.live.read_only.is_some() || self.live.storage.is_some() {
            return;
        }
        let found = std::mem::take(&mut self.live.found);
        if let Some((bytes, kept_in)) = found.mended {
            self.append(Mended { bytes, kept_in }, out);
        }
        if !found.flaws.is_empty() {
            let mut flaws = found.flaws;
            let more = flaws.len().saturating_sub(MOST_FLAWS) as u64;
            flaws.truncate(MOST_FLAWS);
            self.append(LogFlaws { flaws, more }, out);
        }
    }

    /// The open request began before the machine was started again.
    fn other_boot(&self) -> bool {
        let request = self.state.core.turn.as_ref().and_then(|turn| turn.request.as_ref());
        let known = |boot: &str| !boot.is_empty() && !self.setup.boot.is_empty();
        request.is_some_and(|r| known(&r.boot) && *r.boot != *self.setup.boot)
    }

    /// Ends the incarnation: nothing more is decided, and the next one starts from the log.
    pub(crate) fn fail(&mut self, why: String, out: &mut Effects) {
        self.live.failed = true;
        out.push(Effect::Fail(why));
    }
}
