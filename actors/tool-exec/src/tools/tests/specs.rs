//! What the model is told: its size and its form.

use super::parse;
use crate::tools::{specs, traits};
use serde_json::{Value, json};
use troupe_types::{ToolKind, ToolSpec, Traits};

fn rendered(spec: &ToolSpec) -> Value {
    let ToolKind::Function { schema } = &spec.kind else { panic!("{} is no function", spec.name) };
    json!({
        "type": "function",
        "name": spec.name,
        "description": spec.description,
        "strict": false,
        "parameters": serde_json::from_str::<Value>(schema).unwrap(),
    })
}

#[test]
fn all_tools_together_stay_small() {
    let tools: Vec<Value> = specs().iter().map(rendered).collect();
    let size = serde_json::to_string(&tools).unwrap().len();
    assert!(size < 5000, "{size} bytes in every request");
}

#[test]
fn schemas_are_closed_objects_whose_required_fields_exist() {
    for spec in specs() {
        let tool = rendered(&spec);
        let schema = &tool["parameters"];
        assert_eq!(schema["type"], "object", "{}", spec.name);
        assert_eq!(schema["additionalProperties"], false, "{}", spec.name);
        for field in schema["required"].as_array().unwrap() {
            assert!(schema["properties"].get(field.as_str().unwrap()).is_some(), "{}", spec.name);
        }
    }
}

#[test]
fn specs_and_calls_promise_the_same() {
    let arguments =
        r#"{"command":"x","input":"x","plan":[],"path":"x","pattern":"x","session_id":1}"#;
    for spec in specs() {
        let call = parse(&super::json(&spec.name, arguments)).unwrap();
        assert_eq!(call.tool(), spec.name);
        assert_eq!(call.traits(), spec.traits);
        assert_eq!(traits(&spec.name), Some(spec.traits));
    }
    let named = |traits| -> Vec<String> {
        specs().into_iter().filter(|s| s.traits == traits).map(|s| s.name).collect()
    };
    assert_eq!(named(Traits::Command), ["shell", "exec_command"]);
    assert_eq!(named(Traits::Effects), ["write_stdin", "apply_patch", "update_plan"]);
    assert_eq!(traits("other"), None);
}
