//! Providers: the built-in ones, the user's, and which one is meant.

use crate::{
    Config, ConfigError, config::expand_home, near::did_you_mean, places::Env, secrets::shown,
    toml_text::toml_key,
};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};
use troupe_types::{Endpoint, Secret, Wire};

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
    pub query_params: BTreeMap<String, Secret>,
    pub http_headers: BTreeMap<String, Secret>,
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
    pub fn provider(&self, id: &str, env: Env<'_>) -> Result<Endpoint, ConfigError> {
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
        if id == "openai" {
            if let Some(url) = &self.openai_base_url {
                provider.set_url(url.clone());
            } else if let Some(url) = env("OPENAI_BASE_URL").and_then(|url| url.into_string().ok())
            {
                provider.set_url(url);
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

    /// The model of the provider with this id where none is configured.
    #[must_use]
    pub fn default_model(id: &str) -> Option<&'static str> {
        BUILT_IN.iter().find(|known| known.id == id)?.model
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
fn carries_a_key((name, _): &(String, Secret)) -> bool {
    ["authorization", "api-key", "x-api-key"].contains(&name.to_ascii_lowercase().as_str())
}

fn resolve(id: &str, table: &ProviderTable, env: Env<'_>) -> Result<Endpoint, ConfigError> {
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
        let value = Secret::new(env(variable)?.into_string().ok()?);
        (!value.expose().trim().is_empty()).then(|| (header.clone(), value))
    });
    let pairs = |map: &BTreeMap<String, Secret>| -> Vec<(String, Secret)> {
        map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let key = table.env_key.as_deref().and_then(|name| read_key(name, env));
    let token = table.experimental_bearer_token.clone().filter(|_| key.is_none());
    let mut endpoint = Endpoint::new(id, wire, "");
    if let Some(name) = &table.name {
        endpoint.name.clone_from(name);
    }
    endpoint.set_url(base_url);
    // The variable is not to blame for a key that stands in the file.
    endpoint.key_env = table.env_key.clone().filter(|_| token.is_none());
    endpoint.key = key.or(token);
    endpoint.headers = pairs(&table.http_headers).into_iter().chain(from_env).collect();
    endpoint.query = pairs(&table.query_params);
    endpoint.script = table.script.as_deref().map(expand_home);
    let set = |to: &mut Duration, ms: Option<u64>| *to = ms.map_or(*to, Duration::from_millis);
    set(&mut endpoint.connect_timeout, table.connect_timeout_ms);
    set(&mut endpoint.first_byte_timeout, table.first_byte_timeout_ms);
    set(&mut endpoint.idle_timeout, table.stream_idle_timeout_ms);
    // Where only the silence within an answer is bounded, so is the one before it.
    if table.first_byte_timeout_ms.is_none() {
        endpoint.first_byte_timeout = endpoint.first_byte_timeout.min(endpoint.idle_timeout);
    }
    let set = |to: &mut u32, count: Option<u32>| *to = count.unwrap_or(*to);
    set(&mut endpoint.request_max_retries, table.request_max_retries);
    set(&mut endpoint.stream_max_retries, table.stream_max_retries);
    Ok(endpoint)
}

fn read_key(name: &str, env: Env<'_>) -> Option<Secret> {
    let value = Secret::new(env(name)?.into_string().ok()?);
    let key = value.expose().trim();
    (!key.is_empty()).then(|| Secret::new(key))
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
