//! The effective settings with their origins, and the reference of all there are.

use crate::{
    Loaded,
    keys::{Form, KEYS, Who},
    secrets::is_secret,
};
use std::{collections::BTreeMap, fmt::Write};
use toml::Value;

fn masked(path: &[String], value: &Value) -> String {
    let name = path.join(".").to_ascii_lowercase();
    // A variable's name is no secret; its value is, and so is a header.
    let named = name.ends_with("env_key") || name.contains("env_http_headers");
    let header =
        name.contains("http_headers") || name.contains("query_params") || name.contains(".set.");
    let secret = path.last().is_some_and(|last| is_secret(last));
    if !named && secret && (header || value.is_str()) {
        return "\"***\"".to_owned();
    }
    match value {
        Value::Table(table) => {
            let inner = table.iter().map(|(name, value)| {
                let path: Vec<String> = path.iter().cloned().chain([name.clone()]).collect();
                format!("{name} = {}", masked(&path, value))
            });
            format!("{{ {} }}", inner.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Each effective value with where it comes from, secrets masked; then those that are built in.
#[must_use]
pub fn show(loaded: &Loaded) -> String {
    let mut out = String::new();
    for (name, (value, origin)) in effective(loaded) {
        line(&mut out, &format!("{name} = {value}"), &origin);
    }
    for key in KEYS.iter().filter(|key| !key.meaning.is_empty() && !key.name.contains('*')) {
        let set = loaded.leaves.iter().any(|leaf| leaf.path.join(".").starts_with(key.name));
        if !set && !key.default.is_empty() {
            line(&mut out, &format!("{} = {}", key.name, key.default), "built in");
        }
    }
    out
}

fn line(out: &mut String, text: &str, origin: &str) {
    let written = writeln!(out, "{text:<48} # {origin}");
    debug_assert!(written.is_ok(), "a string takes all");
}

/// The same as JSON: an object of `{value, origin}` by name, of what is set.
#[must_use]
pub fn show_json(loaded: &Loaded) -> serde_json::Value {
    let entries = effective(loaded).into_iter().map(|(name, (value, origin))| {
        (name, serde_json::json!({ "value": value, "origin": origin }))
    });
    serde_json::Value::Object(entries.collect())
}

fn effective(loaded: &Loaded) -> BTreeMap<String, (String, String)> {
    let mut values = BTreeMap::new();
    for leaf in &loaded.leaves {
        // A text that takes the place of a table, or the other way round.
        values.retain(|path: &Vec<String>, _| {
            *path == leaf.path || !(path.starts_with(&leaf.path) || leaf.path.starts_with(path))
        });
        let value = masked(&leaf.path, &leaf.value);
        values.insert(leaf.path.clone(), (value, leaf.place.to_string()));
    }
    values.into_iter().map(|(path, value)| (dotted(&path), value)).collect()
}

/// A path as it would be written.
fn dotted(path: &[String]) -> String {
    let bare = |name: &String| {
        let fine = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        !name.is_empty() && name.chars().all(fine)
    };
    let names = path.iter().map(|name| if bare(name) { name.clone() } else { format!("{name:?}") });
    names.collect::<Vec<_>>().join(".")
}

/// Every setting, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(HEAD);
    for key in KEYS.iter().filter(|key| !key.meaning.is_empty()) {
        let form = form_text(key.form);
        let from = if key.from == Who::User { " Not taken from a project." } else { "" };
        let default = if key.default.is_empty() { "–" } else { key.default };
        let row = writeln!(out, "| `{}` | {form} | {default} | {}{from} |", key.name, key.meaning);
        debug_assert!(row.is_ok(), "a string takes all");
    }
    let idle: Vec<String> = KEYS
        .iter()
        .filter(|key| key.meaning.is_empty())
        .map(|key| format!("`{}`", key.name.trim_end_matches(".**").trim_end_matches(".*")))
        .collect();
    let tail = write!(
        out,
        "\nAccepted, so that a copied file works, but without effect so far: {}.\n",
        idle.join(", ")
    );
    debug_assert!(tail.is_ok(), "a string takes all");
    out
}

fn form_text(form: Form) -> String {
    match form {
        Form::Text => "text".to_owned(),
        Form::Path => "path".to_owned(),
        Form::Flag => "flag".to_owned(),
        Form::Number { min, max: i64::MAX } => format!("number from {min}"),
        Form::Number { min, max } => format!("number, {min} to {max}"),
        Form::Choice(choices) => {
            choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ")
        }
        Form::Texts => "list of texts".to_owned(),
        Form::Paths => "list of paths".to_owned(),
        Form::Map => "table of texts".to_owned(),
        Form::Approval => "`untrusted`, `on-request`, `never` or a table".to_owned(),
        Form::Any => "table".to_owned(),
    }
}

const HEAD: &str = "\
# Configuration

Settings are read from these places; a later one wins:

1. built-in values
2. `/etc/troupe/config.toml`
3. your own file: `$TROUPE_HOME/config.toml`, otherwise `$XDG_CONFIG_HOME/troupe/config.toml`, otherwise `~/.config/troupe/config.toml`
4. the profile of your file that `profile` or `-p` names
5. `.troupe/config.toml` of the project, from its root down to the working directory, if you trust it:
   `[projects.\"/path/of/it\"]` with `trust_level = \"trusted\"` in your own file
6. the environment: `TROUPE_MODEL=…`, and `TROUPE_SANDBOX_WORKSPACE_WRITE__NETWORK_ACCESS=true` for a setting in a table
7. `-c key=value` (the value is TOML, else a text) and flags

Relative paths in a file start from its folder, others from the working directory; `~/` is your home.

`troupe config show` prints what is in force and where each value comes from. An unknown setting is a warning with the
nearest known name, and an error under `--strict-config`. The names are those of Codex where the meaning is the same.

`TROUPE_HOME` moves everything: configuration, sessions, sockets. Otherwise session logs are in
`$XDG_STATE_HOME/troupe/sessions` (`~/.local/state/troupe/sessions`).

```toml
model = \"qwen3:8b\"
model_provider = \"here\"
sandbox_mode = \"workspace-write\"

[model_providers.here]
base_url = \"http://127.0.0.1:11434/v1\"
wire_api = \"chat\"
```

| setting | form | default | meaning |
| --- | --- | --- | --- |
";
