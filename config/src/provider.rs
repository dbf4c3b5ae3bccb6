//! Providers: the built-in ones, the user's, and which one is meant.

use crate::{
    Config, ConfigError, config::expand_home, near::did_you_mean, places::Env, secrets::shown,
    toml_text::toml_key,
};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt, path::PathBuf};

/// A value that is never printed.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret with this value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// What a provider speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wire {
    /// OpenAI Responses.
    #[default]
    Responses,
    /// OpenAI Chat Completions.
    Chat,
    /// A script.
    Rehearsal,
}

/// `[model_providers.x]`.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is documented in the reference of settings")]
pub struct ProviderTable {
    pub name: Option<String>,
    pub base_url: Option<String>,
    pub wire_api: Option<Wire>,
    pub env_key: Option<String>,
    pub env_key_instructions: Option<String>,
    pub experimental_bearer_token: Option<Secret>,
    pub query_params: BTreeMap<String, String>,
    pub http_headers: BTreeMap<String, String>,
    pub env_http_headers: BTreeMap<String, String>,
    pub request_max_retries: Option<u32>,
    pub stream_max_retries: Option<u32>,
    pub connect_timeout_ms: Option<u64>,
    pub first_byte_timeout_ms: Option<u64>,
    pub stream_idle_timeout_ms: Option<u64>,
    pub script: Option<PathBuf>,
}

// Headers and query parameters may hold secrets.
impl fmt::Debug for ProviderTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderTable").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A provider, resolved: keys and headers are read from the environment.
#[derive(Clone, Default)]
pub struct ProviderConfig {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What it speaks.
    pub wire: Wire,
    /// Its URL up to the version; empty for a script.
    pub base_url: String,
    /// The key.
    pub key: Option<Secret>,
    /// The variable it comes from.
    pub key_env: Option<String>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Further query parameters.
    pub query: Vec<(String, String)>,
    /// How often a request without an answer is sent again.
    pub request_max_retries: u32,
    /// How often a broken answer is taken up again.
    pub stream_max_retries: u32,
    /// In milliseconds.
    pub connect_timeout_ms: u64,
    /// In milliseconds.
    pub first_byte_timeout_ms: u64,
    /// In milliseconds.
    pub stream_idle_timeout_ms: u64,
    /// The script.
    pub script: Option<PathBuf>,
    /// The model where none is configured.
    pub default_model: Option<&'static str>,
}

impl fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderConfig").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A provider that is there without configuration.
struct BuiltIn {
    id: &'static str,
    name: &'static str,
    url: &'static str,
    wire: Wire,
    env_key: Option<&'static str>,
    model: Option<&'static str>,
}

impl BuiltIn {
    /// It is what its name says: no table changes where its key goes.
    fn is_fixed(&self) -> bool {
        self.id == "openai"
    }

    /// The built-in values where the table says nothing.
    fn with(&self, table: ProviderTable) -> ProviderTable {
        ProviderTable {
            name: table.name.or_else(|| Some(self.name.to_owned())),
            base_url: table.base_url.or_else(|| Some(self.url.to_owned())),
            wire_api: table.wire_api.or(Some(self.wire)),
            env_key: table.env_key.or_else(|| self.env_key.map(str::to_owned)),
            ..table
        }
    }
}

const fn local(id: &'static str, name: &'static str, url: &'static str) -> BuiltIn {
    BuiltIn { id, name, url, wire: Wire::Chat, env_key: None, model: None }
}

/// Servers on this machine are asked for their models.
const BUILT_IN: [BuiltIn; 6] = [
    BuiltIn {
        id: "openai",
        name: "OpenAI",
        url: "https://api.openai.com/v1",
        wire: Wire::Responses,
        env_key: Some("OPENAI_API_KEY"),
        model: Some("gpt-5.5"),
    },
    local("ollama", "Ollama", "http://127.0.0.1:11434/v1"),
    local("lmstudio", "LM Studio", "http://127.0.0.1:1234/v1"),
    local("llamacpp", "llama.cpp", "http://127.0.0.1:8080/v1"),
    local("vllm", "vLLM", "http://127.0.0.1:8000/v1"),
    BuiltIn {
        id: "rehearsal",
        name: "the built-in rehearsal",
        url: "",
        wire: Wire::Rehearsal,
        env_key: None,
        model: Some("rehearsal"),
    },
];

/// The environment variables that stand for a provider, in the order they are looked at.
const KEYS_THAT_CHOOSE: [(&str, &str); 2] =
    [("CODEX_API_KEY", "openai"), ("OPENAI_API_KEY", "openai")];

/// Which provider is meant, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its id.
    pub id: String,
    /// Why it is this one, for people.
    pub why: String,
}

impl Config {
    /// The provider that is meant; `None` if nothing says so.
    #[must_use]
    pub fn choose_provider(&self, env: Env<'_>) -> Option<Choice> {
        if let Some(id) = &self.model_provider {
            return Some(Choice { id: id.clone(), why: "model_provider says so".to_owned() });
        }
        let set = |name: &str| env(name).is_some_and(|value| !value.is_empty());
        let chosen = KEYS_THAT_CHOOSE.iter().find(|(name, _)| set(name));
        chosen.map(|(name, id)| Choice { id: (*id).to_owned(), why: format!("{name} is set") })
    }

    /// The provider with this id, its key read from the environment.
    ///
    /// # Errors
    /// When there is none, it has no URL, or its key is not set.
    pub fn provider(&self, id: &str, env: Env<'_>) -> Result<ProviderConfig, ConfigError> {
        let built_in = BUILT_IN.iter().find(|known| known.id == id);
        let own = self.model_providers.get(id);
        let table = match (own, built_in) {
            (Some(_), Some(known)) if known.is_fixed() => return Err(fixed()),
            (Some(table), Some(known)) => known.with(table.clone()),
            (Some(table), None) => table.clone(),
            (None, Some(known)) => known.with(ProviderTable::default()),
            (None, None) => return Err(self.unknown(id)),
        };
        let mut provider = resolve(id, &table, env)?;
        provider.default_model = built_in.and_then(|known| known.model);
        if id == "openai" {
            if let Some(url) = &self.openai_base_url {
                provider.base_url.clone_from(url);
            } else if let Some(url) = env("OPENAI_BASE_URL").and_then(|url| url.into_string().ok())
            {
                provider.base_url = url;
            }
            // Set for this program alone, so it goes before the one that every program uses.
            if let Some(key) = read_key("CODEX_API_KEY", env) {
                provider.key = Some(key);
                provider.key_env = Some("CODEX_API_KEY".to_owned());
            }
        }
        if let (Some(name), None, false) =
            (&provider.key_env, &provider.key, provider.headers.iter().any(carries_a_key))
        {
            let help =
                table.env_key_instructions.map_or(String::new(), |text| format!(" ({text})"));
            return Err(ConfigError::of(format!(
                "the key of provider `{id}` is missing: set the environment variable {name}{help}"
            )));
        }
        Ok(provider)
    }

    fn unknown(&self, id: &str) -> ConfigError {
        let ids: Vec<&str> = BUILT_IN
            .iter()
            .map(|known| known.id)
            .chain(self.model_providers.keys().map(String::as_str))
            .collect();
        let near = did_you_mean(id, ids.iter().copied());
        let near = if near.is_empty() { ".".to_owned() } else { near };
        let message = format!(
            "unknown provider `{}`{near} There are {}. To add it, put this into your configuration, \
             with its URL:\n\n[{}]\nbase_url = \"http://127.0.0.1:8080/v1\"\n",
            shown(id),
            ids.join(", "),
            toml_key(&["model_providers", &shown(id)]),
        );
        ConfigError::of(message)
    }
}

fn fixed() -> ConfigError {
    let message = "the built-in provider `openai` cannot be changed by a table: set \
         openai_base_url to reach it elsewhere, or give your provider another name";
    ConfigError::of(message)
}

/// Whether a header stands for the key.
fn carries_a_key((name, _): &(String, String)) -> bool {
    ["authorization", "api-key", "x-api-key"].contains(&name.to_ascii_lowercase().as_str())
}

fn resolve(id: &str, table: &ProviderTable, env: Env<'_>) -> Result<ProviderConfig, ConfigError> {
    let base_url = table.base_url.clone().unwrap_or_default();
    let wire = table.wire_api.unwrap_or_default();
    if base_url.trim().is_empty() && wire != Wire::Rehearsal {
        let message = format!(
            "provider `{id}` has no URL: set {}",
            toml_key(&["model_providers", id, "base_url"])
        );
        return Err(ConfigError::of(message));
    }
    let from_env = table.env_http_headers.iter().filter_map(|(header, variable)| {
        let value = env(variable)?.into_string().ok().filter(|value| !value.trim().is_empty())?;
        Some((header.clone(), value))
    });
    let pairs = |map: &BTreeMap<String, String>| -> Vec<(String, String)> {
        map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let key = table.env_key.as_deref().and_then(|name| read_key(name, env));
    let token = table.experimental_bearer_token.clone().filter(|_| key.is_none());
    Ok(ProviderConfig {
        id: id.to_owned(),
        name: table.name.clone().unwrap_or_else(|| id.to_owned()),
        wire,
        base_url,
        // The variable is not to blame for a key that stands in the file.
        key_env: table.env_key.clone().filter(|_| token.is_none()),
        key: key.or(token),
        headers: pairs(&table.http_headers).into_iter().chain(from_env).collect(),
        query: pairs(&table.query_params),
        request_max_retries: table.request_max_retries.unwrap_or(4),
        stream_max_retries: table.stream_max_retries.unwrap_or(5),
        connect_timeout_ms: table.connect_timeout_ms.unwrap_or(10_000),
        first_byte_timeout_ms: table.first_byte_timeout_ms.unwrap_or(300_000),
        stream_idle_timeout_ms: table.stream_idle_timeout_ms.unwrap_or(300_000),
        script: table.script.as_deref().map(expand_home),
        default_model: None,
    })
}

fn read_key(name: &str, env: Env<'_>) -> Option<Secret> {
    let value = env(name)?.into_string().ok()?;
    let value = value.trim();
    (!value.is_empty()).then(|| Secret::new(value))
}

/// The environment variables that hold keys of providers: they never reach a command.
#[must_use]
pub fn key_variables(config: &Config) -> Vec<String> {
    let own = config
        .model_providers
        .values()
        .flat_map(|table| table.env_key.iter().chain(table.env_http_headers.values()).cloned());
    let built_in = BUILT_IN.iter().filter_map(|known| known.env_key).chain(["CODEX_API_KEY"]);
    own.chain(built_in.map(str::to_owned)).collect()
}
