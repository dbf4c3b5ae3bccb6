//! Waits are bounded and told; an answer that says nothing is no success.
