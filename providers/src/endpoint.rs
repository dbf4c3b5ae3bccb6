//! Where a model is served and how it is spoken to: plain, resolved values.
//!
//! Nothing here looks anything up; keys and headers arrive as values. Secrets are masked when
//! printed and are taken out of every text that comes from a server ([`Endpoint::redact`]).

use std::{fmt, path::PathBuf, time::Duration};

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret with this value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself. Only for the request header.
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

/// Which protocol an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireApi {
    /// OpenAI Responses (`POST {base_url}/responses`).
    Responses,
    /// OpenAI Chat Completions (`POST {base_url}/chat/completions`).
    Chat,
    /// A script file; no network.
    Rehearsal,
}

/// A server of models, fully resolved.
#[derive(Clone)]
pub struct Endpoint {
    /// The provider's id in the configuration (`openai`, `ollama` …).
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// The protocol.
    pub wire: WireApi,
    /// The URL up to and including the version (`https://api.openai.com/v1`).
    pub base_url: String,
    /// The key, sent as `Authorization: Bearer …`.
    pub key: Option<Secret>,
    /// The environment variable the key comes from; named in error texts.
    pub key_env: Option<String>,
    /// Further request headers. An `authorization` or `api-key` here replaces the bearer header.
    pub headers: Vec<(String, String)>,
    /// Query parameters of every request (Azure's `api-version`).
    pub query: Vec<(String, String)>,
    /// How often a request that got no answer is sent again. Read by the stream actor.
    pub request_max_retries: u32,
    /// How often a broken answer is asked for again. Read by the stream actor.
    pub stream_max_retries: u32,
    /// Limit for DNS, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Limit from sending the request to the first byte of the answer's body.
    pub first_byte_timeout: Duration,
    /// Limit between two reads of the answer.
    pub idle_timeout: Duration,
    /// The script of [`WireApi::Rehearsal`]; the built-in one if absent.
    pub script: Option<PathBuf>,
    /// Whether this is Azure, which wants answers stored; see [`Endpoint::looks_like_azure`].
    pub azure: bool,
}

impl Endpoint {
    /// An endpoint without key, with the default deadlines and retries.
    pub fn new(id: impl Into<String>, wire: WireApi, base_url: impl Into<String>) -> Self {
        let (id, base_url) = (id.into(), base_url.into());
        Self {
            name: id.clone(),
            azure: Self::looks_like_azure(&id, &base_url),
            id,
            wire,
            base_url,
            key: None,
            key_env: None,
            headers: Vec::new(),
            query: Vec::new(),
            request_max_retries: 4,
            stream_max_retries: 5,
            connect_timeout: Duration::from_secs(10),
            first_byte_timeout: Duration::from_secs(300),
            idle_timeout: Duration::from_secs(300),
            script: None,
        }
    }

    /// Whether a provider's name or URL is one of Azure's.
    #[must_use]
    pub fn looks_like_azure(name: &str, base_url: &str) -> bool {
        const PARTS: [&str; 6] = [
            "openai.azure.",
            "cognitiveservices.azure.",
            "aoai.azure.",
            "azure-api.",
            "azurefd.",
            "windows.net/openai",
        ];
        let url = base_url.to_ascii_lowercase();
        name.eq_ignore_ascii_case("azure") || PARTS.iter().any(|part| url.contains(part))
    }

    /// Whether OpenAI itself (or Azure) answers: only there are custom tools, the developer role
    /// inside the conversation and cache keys known to work.
    #[must_use]
    pub fn is_openai(&self) -> bool {
        let host = host_of(&self.base_url);
        self.azure
            || self.name.eq_ignore_ascii_case("openai")
            || host == "openai.com"
            || host.ends_with(".openai.com")
    }

    /// The configuration key that sets the URL, for error texts.
    #[must_use]
    pub fn url_key(&self) -> String {
        if self.id == "openai" { "openai_base_url".to_owned() } else { self.config_key("base_url") }
    }

    /// The full name of one of this provider's configuration keys, for error texts.
    #[must_use]
    pub fn config_key(&self, key: &str) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if !self.id.is_empty() && self.id.chars().all(plain) {
            format!("model_providers.{}.{key}", self.id)
        } else {
            // As it has to be written.
            format!("model_providers.{:?}.{key}", self.id)
        }
    }

    /// `text` without this endpoint's key, header values and query values.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let values = self.headers.iter().chain(&self.query).map(|(_, value)| value.as_str());
        let mut clean = text.to_owned();
        for secret in self.key.iter().map(Secret::expose).chain(values) {
            // Short values are no secrets, and replacing them would garble the text.
            if secret.len() >= 8 {
                clean = clean.replace(secret, "***");
            }
        }
        clean
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |pairs: &[(String, String)]| -> Vec<String> {
            pairs.iter().map(|(name, _)| name.clone()).collect()
        };
        f.debug_struct("Endpoint")
            .field("id", &self.id)
            .field("wire", &self.wire)
            .field("base_url", &self.base_url)
            .field("key", &self.key)
            .field("key_env", &self.key_env)
            .field("headers", &names(&self.headers))
            .field("query", &names(&self.query))
            .field("azure", &self.azure)
            .finish_non_exhaustive()
    }
}

/// The host of a URL, in lower case; empty if there is none.
pub(crate) fn host_of(url: &str) -> String {
    reqwest::Url::parse(url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_ascii_lowercase))
        .unwrap_or_default()
}
