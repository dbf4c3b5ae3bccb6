//! Token counts.

use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// Tokens used, as the provider counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Input tokens, cached ones included.
    pub input_tokens: u64,
    /// Input tokens read from the provider's cache.
    pub cached_input_tokens: u64,
    /// Input tokens written to the provider's cache.
    pub cache_write_input_tokens: u64,
    /// Output tokens, reasoning included.
    pub output_tokens: u64,
    /// Output tokens spent on reasoning.
    pub reasoning_output_tokens: u64,
    /// Input and output together.
    pub total_tokens: u64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        // The counts are what servers say: any number.
        let add = |count: &mut u64, more: u64| *count = count.saturating_add(more);
        add(&mut self.input_tokens, other.input_tokens);
        add(&mut self.cached_input_tokens, other.cached_input_tokens);
        add(&mut self.cache_write_input_tokens, other.cache_write_input_tokens);
        add(&mut self.output_tokens, other.output_tokens);
        add(&mut self.reasoning_output_tokens, other.reasoning_output_tokens);
        add(&mut self.total_tokens, other.total_tokens);
    }
}

impl Usage {
    /// What was paid for in full: input that was not cached, and output.
    #[must_use]
    pub fn blended(&self) -> u64 {
        self.input_tokens
            .saturating_sub(self.cached_input_tokens)
            .saturating_add(self.output_tokens)
    }
}
