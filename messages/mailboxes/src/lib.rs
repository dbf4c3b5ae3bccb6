//! One enum per role: everything that is said in the company.
//!
//! Commands are imperative, facts past tense, own timers end in `Due`. Each variant says who sends
//! it, what follows, and what if the role dies first. What has an outside rate travels in the bulk
//! lane; so does everything else of the same sender, to stay in order.

mod conversation;
mod egress;
mod orders;
mod policy;
mod recorder;
mod sandbox;
mod sessions;
mod stream;
mod tool;

pub use conversation::{ConversationMessage, Gathered, StreamFact, ToolFact};
pub use egress::{EgressMessage, Way, WayParts};
pub use orders::{Crew, Cut, Opener, StreamOrder, ToolOrder};
pub use policy::{Judged, PolicyMessage, Question, Verdict};
pub use recorder::{
    Appended, Durability, FaultKind, Notify, RecorderMessage, Replay, ReplayError, ReplayLine,
    StorageFault,
};
pub use sandbox::{
    LaunchAnswer, LaunchOrder, LaunchRefusal, Process, ProcessEnd, ProcessExit, Remarked, Remarks,
    Running, SandboxMessage,
};
pub use sessions::{Handle, Ready, SessionsMessage};
pub use stream::StreamMessage;
pub use tool::{Answered, BackgroundProcess, Interact, Interaction, ProcessNews, ToolMessage};
