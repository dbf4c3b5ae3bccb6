//! Token counts, in the members of both wires and of the vendors that have their own.

use crate::json::Count;
use serde::Deserialize;
use serde_json::value::RawValue;
use troupe_types::Usage;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct WireUsage {
    prompt_tokens: Count,
    input_tokens: Count,
    completion_tokens: Count,
    output_tokens: Count,
    total_tokens: Count,
    prompt_tokens_details: Option<Details>,
    input_tokens_details: Option<Details>,
    completion_tokens_details: Option<Details>,
    output_tokens_details: Option<Details>,
    /// DeepSeek.
    prompt_cache_hit_tokens: Count,
    /// Moonshot.
    cached_tokens: Count,
    /// Anthropic, through gateways.
    cache_read_input_tokens: Count,
    cache_creation_input_tokens: Count,
    reasoning_tokens: Count,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Details {
    cached_tokens: Count,
    cache_write_tokens: Count,
    reasoning_tokens: Count,
}

impl WireUsage {
    /// Reads a member; `None` if it holds no counts.
    pub(crate) fn read(raw: &RawValue) -> Option<Usage> {
        let wire = serde_json::from_str::<Option<Self>>(raw.get()).ok()??;
        let input = wire.prompt_tokens.0.or(wire.input_tokens.0);
        let output = wire.completion_tokens.0.or(wire.output_tokens.0);
        input.or(output).or(wire.total_tokens.0)?;
        Some(wire.usage(input.unwrap_or_default(), output.unwrap_or_default()))
    }

    fn usage(self, input_tokens: u64, output_tokens: u64) -> Usage {
        let input = self.prompt_tokens_details.or(self.input_tokens_details).unwrap_or_default();
        let output =
            self.completion_tokens_details.or(self.output_tokens_details).unwrap_or_default();
        let first = |counts: &[Count]| counts.iter().find_map(|count| count.0).unwrap_or_default();
        Usage {
            input_tokens,
            cached_input_tokens: first(&[
                input.cached_tokens,
                self.prompt_cache_hit_tokens,
                self.cached_tokens,
                self.cache_read_input_tokens,
            ]),
            cache_write_input_tokens: first(&[
                input.cache_write_tokens,
                self.cache_creation_input_tokens,
            ]),
            output_tokens,
            reasoning_output_tokens: first(&[output.reasoning_tokens, self.reasoning_tokens]),
            total_tokens: self.total_tokens.0.unwrap_or(input_tokens.saturating_add(output_tokens)),
        }
    }
}
