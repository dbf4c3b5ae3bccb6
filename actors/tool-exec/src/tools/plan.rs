//! `update_plan`: reading it, and what it becomes.

use super::{
    call::PlanArgs,
    fields::{Fields, Problem, kind},
};
use serde_json::Value;
use troupe_types::start_of;
use troupe_types::{CallId, PlanStep, PlanUpdated, StepStatus};

/// What the model is told after `update_plan`.
pub const PLAN_REPLY: &str = "Plan updated";

/// The record of a changed plan. More than one step in progress is taken as it is.
#[must_use]
pub fn plan_updated(call: CallId, args: PlanArgs) -> PlanUpdated {
    PlanUpdated { call, explanation: args.explanation, plan: args.plan }
}

pub(super) fn read(fields: &Fields) -> Result<PlanArgs, Problem> {
    let names = ["plan", "steps", "todos"];
    let steps = match fields.value(&names) {
        Some(Value::Array(steps)) => steps.iter().map(step).collect::<Result<_, _>>()?,
        // Some models write the list as a string of JSON.
        Some(Value::String(text)) => match serde_json::from_str::<Vec<Value>>(text) {
            Ok(steps) => steps.iter().map(step).collect::<Result<_, _>>()?,
            Err(error) => return Err(format!("`plan` must be an array: {error}")),
        },
        Some(other) => return Err(format!("`plan` must be an array, not {}", kind(other))),
        None => return Err("missing field `plan`".to_owned()),
    };
    Ok(PlanArgs { explanation: fields.some_text(&["explanation"])?, plan: steps })
}

fn step(value: &Value) -> Result<PlanStep, Problem> {
    match value {
        Value::String(step) => Ok(PlanStep { step: step.clone(), status: StepStatus::Pending }),
        Value::Object(map) => {
            let fields = Fields(map.clone());
            let step = fields.required(&["step", "content", "title", "text", "description"])?;
            Ok(PlanStep { step, status: status(&fields)? })
        }
        other => Err(format!("a step must be an object, not {}", kind(other))),
    }
}

fn status(fields: &Fields) -> Result<StepStatus, Problem> {
    let Some(text) = fields.some_text(&["status"])? else { return Ok(StepStatus::Pending) };
    match text.trim().to_ascii_lowercase().replace(['-', ' '], "_").as_str() {
        "pending" | "todo" | "not_started" => Ok(StepStatus::Pending),
        "in_progress" | "doing" | "active" => Ok(StepStatus::InProgress),
        "completed" | "complete" | "done" => Ok(StepStatus::Completed),
        _ => Err(format!(
            "unknown status \"{}\": use pending, in_progress or completed",
            start_of(&text, 40)
        )),
    }
}
