//! The effective settings with their origins, and the reference of all there are.

use crate::{
    Loaded,
    keys::{Form, KEYS, Key, Who},
    secrets::{is_secret, shown, shown_url},
    toml_text::{toml_key, toml_string},
};
use std::{collections::BTreeMap, fmt::Write};
use toml::Value;

/// The widest value that has its origin on the same line.
const WIDEST: usize = 60;

/// A value as TOML in one line, with secrets masked.
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
                format!("{} = {}", toml_key(&[name]), masked(&path, value))
            });
            format!("{{ {} }}", inner.collect::<Vec<_>>().join(", "))
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(|value| masked(path, value)).collect();
            format!("[{}]", values.join(", "))
        }
        Value::String(text) if name.ends_with("url") => toml_string(&shown_url(text)),
        Value::String(text) => toml_string(&shown(text)),
        other => other.to_string(),
    }
}

/// Each effective value with where it comes from, as TOML that can be used, secrets masked. With
/// `all`, what is built in follows, as comments.
#[must_use]
pub fn show(loaded: &Loaded, all: bool) -> String {
    let set: Vec<(String, String)> = effective(loaded)
        .into_iter()
        .map(|(name, (value, origin))| (format!("{name} = {value}"), origin))
        .collect();
    let mut out = table(&set);
    if !all {
        let what = if set.is_empty() { "nothing is set; " } else { "" };
        out.push_str(&format!("# {what}`troupe config show --all` adds what is built in\n"));
        return out;
    }
    let idle = KEYS.iter().filter(|key| !key.meaning.is_empty() && !key.name.contains('*'));
    let defaults = idle.filter_map(|key| {
        let set = loaded.leaves.iter().any(|leaf| leaf.path.join(".").starts_with(key.name));
        (!set && !key.default.is_empty())
            .then(|| (format!("# {} = {}", key.name, built_in(key)), "built in".to_owned()))
    });
    out.push_str(&table(&defaults.collect::<Vec<_>>()));
    out
}

/// A built-in value: as TOML where it is one, otherwise in words and in brackets.
fn built_in(key: &Key) -> String {
    let default = key.default;
    let text = match key.form {
        Form::Choice(choices) => choices.contains(&default),
        Form::Approval => default == "on-request",
        Form::Text => default.contains("://"),
        _ => false,
    };
    if text {
        toml_string(default)
    } else if toml::from_str::<toml::Table>(&format!("v = {default}")).is_ok() {
        default.to_owned()
    } else {
        format!("({default})")
    }
}

/// Lines with their origins in a column; of a long line it stands above.
fn table(lines: &[(String, String)]) -> String {
    let short = lines.iter().map(|(line, _)| line.chars().count()).filter(|wide| *wide <= WIDEST);
    let width = short.max().unwrap_or(0);
    let rows = lines.iter().map(|(line, origin)| {
        let origin = origin.replace(char::is_control, "\u{fffd}");
        if line.chars().count() > WIDEST {
            format!("# {origin}\n{line}\n")
        } else {
            format!("{line:<width$}  # {origin}\n")
        }
    });
    rows.collect()
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
    values.into_iter().map(|(path, value)| (toml_key(&path), value)).collect()
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
        "\nAccepted, so that a copied file works, but without effect so far:\n{}.\n",
        idle.chunks(4).map(|some| some.join(", ")).collect::<Vec<_>>().join(",\n")
    );
    debug_assert!(tail.is_ok(), "a string takes all");
    out
}

fn form_text(form: Form) -> String {
    match form {
        Form::Text => "string".to_owned(),
        Form::Path => "path".to_owned(),
        Form::Flag => "boolean".to_owned(),
        Form::Number { min, max: i64::MAX } => format!("number from {min}"),
        Form::Number { min, max } => format!("number, {min} to {max}"),
        Form::Choice(choices) => {
            choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ")
        }
        Form::Texts => "list of strings".to_owned(),
        Form::Paths => "list of paths".to_owned(),
        Form::Names => "list of patterns of names".to_owned(),
        Form::Map => "table of strings".to_owned(),
        Form::Variable => "name of a variable".to_owned(),
        Form::Variables => "table of names of variables".to_owned(),
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
   `[projects.\"/path/of/it\"]` with `trust_level = \"trusted\"` in your own file (a run that finds such a project prints the lines)
6. the environment: `TROUPE_MODEL=…`, and `TROUPE_SANDBOX_WORKSPACE_WRITE__NETWORK_ACCESS=true` for a setting in a table
7. `-c key=value` (the value is TOML, else a string) and flags

Relative paths in a file start from its folder, those of `-c` and of the environment from the working directory, those of
other flags from the folder in which `troupe` is started. An image (`-i`) that is not there is looked for in the working
directory. `~/` is your home.

`troupe config show` prints what you have set and where each value comes from, as TOML; `--all` adds what is built in. An
unknown setting is a warning with what was probably meant, and an error under `--strict-config`. A setting that belongs to no
table has to stand above the first `[table]` of the file: below one it would belong to that. The names are those of Codex
where the meaning is the same.

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
