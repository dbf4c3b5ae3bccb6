//! The live tree as data.

use crate::Phase;
use std::time::Duration;

/// One lane of a mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneView {
    /// How many messages wait.
    pub depth: usize,
    /// How many waited at most.
    pub high_water: usize,
    /// How long the first one has been waiting.
    pub oldest: Option<Duration>,
}

/// One role of the live tree.
#[derive(Debug, Clone)]
pub struct NodeView {
    /// Its name below its supervisor.
    pub name: String,
    /// Where it stands.
    pub phase: Phase,
    /// Which incarnation it is, from 1; 0 before the first.
    pub incarnation: u64,
    /// How often it was started again.
    pub restarts: u64,
    /// How its last failed incarnation ended.
    pub last_error: Option<String>,
    /// The lane for orders and answers.
    pub control: LaneView,
    /// The lane for what has an outside rate.
    pub bulk: LaneView,
    /// Messages handled.
    pub handled: u64,
    /// How long messages waited, on average.
    pub wait: Duration,
    /// How long handlers took, on average.
    pub handling: Duration,
    /// The longest any handler took.
    pub handling_max: Duration,
    /// Tasks that the incarnation owns.
    pub tasks: usize,
    /// Its children, if it is a supervisor.
    pub children: Vec<NodeView>,
}

impl NodeView {
    /// The node at a path such as `conversations/conversation:…/recorder`, from this one.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Self> {
        let mut node = self;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            node = node.children.iter().find(|child| child.name == name)?;
        }
        Some(node)
    }

    /// Calls `visit` for this node and all below it, with the depth.
    pub fn walk(&self, visit: &mut dyn FnMut(usize, &Self)) {
        fn go(node: &NodeView, depth: usize, visit: &mut dyn FnMut(usize, &NodeView)) {
            visit(depth, node);
            for child in &node.children {
                go(child, depth + 1, visit);
            }
        }
        go(self, 0, visit);
    }
}
