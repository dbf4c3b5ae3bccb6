//! Token counts, in the members of both wires and of the vendors that have their own.

use crate::json::Count;
use serde::Deserialize;
use serde_json::value::RawValue;
use troupe_types::Usage;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct WireUsage<'a> {
    prompt_tokens: Count,
    input_tokens: Count,
    completion_tokens: Count,
    output_tokens: Count,
    total_tokens: Count,
    #[serde(borrow)]
    prompt_tokens_details: Option<&'a RawValue>,
    #[serde(borrow)]
    input_tokens_details: Option<&'a RawValue>,
    #[serde(borrow)]
    completion_tokens_details: Option<&'a RawValue>,
    #[serde(borrow)]
    output_tokens_details: Option<&'a RawValue>,
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

impl WireUsage<'_> {
    /// Reads a member; `None` if it holds no counts.
    pub(crate) fn read(raw: &RawValue) -> Option<Usage> {
        // A list would be read as the members in their order.
        let object = raw.get().starts_with('{');
        let wire = object.then(|| serde_json::from_str::<WireUsage<'_>>(raw.get()).ok())??;
        let input = wire.prompt_tokens.0.or(wire.input_tokens.0);
        let output = wire.completion_tokens.0.or(wire.output_tokens.0);
        input.or(output).or(wire.total_tokens.0)?;
        Some(wire.usage(input.unwrap_or_default(), output.unwrap_or_default()))
    }

    fn usage(self, input_tokens: u64, output_tokens: u64) -> Usage {
        let details = |raw: Option<&RawValue>| {
            let read = raw.and_then(|raw| serde_json::from_str::<Option<Details>>(raw.get()).ok());
            read.flatten().unwrap_or_default()
        };
        let input = details(self.prompt_tokens_details.or(self.input_tokens_details));
        let output = details(self.completion_tokens_details.or(self.output_tokens_details));
        // One count under two names, of which one may be a mere 0.
        let most = |counts: &[Count]| counts.iter().filter_map(|count| count.0).max().unwrap_or(0);
        Usage {
            input_tokens,
            cached_input_tokens: most(&[
                input.cached_tokens,
                self.prompt_cache_hit_tokens,
                self.cached_tokens,
                self.cache_read_input_tokens,
            ]),
            cache_write_input_tokens: most(&[
                input.cache_write_tokens,
                self.cache_creation_input_tokens,
            ]),
            output_tokens,
            reasoning_output_tokens: most(&[output.reasoning_tokens, self.reasoning_tokens]),
            total_tokens: self.total_tokens.0.unwrap_or(input_tokens.saturating_add(output_tokens)),
        }
    }
}
