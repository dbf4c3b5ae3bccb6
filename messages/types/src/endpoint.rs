//! Where a model is served and how it is spoken to: plain, resolved values.
//!
//! Nothing here looks anything up; keys and headers arrive as values. Secrets are never printed, and are
//! taken out of every text that comes from a server ([`Endpoint::redact`]).

use crate::{Secret, Wire};
use std::{fmt, path::PathBuf, time::Duration};

/// A server of models, fully resolved.
#[derive(Clone)]
pub struct Endpoint {
    /// The provider's id in the configuration (`openai`, `ollama` …).
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// The protocol.
    pub wire: Wire,
    /// The URL up to and including the version (`https://api.openai.com/v1`).
    pub base_url: String,
    /// The key, sent as `Authorization: Bearer …`.
    pub key: Option<Secret>,
    /// The environment variable the key comes from; named in error texts.
    pub key_env: Option<String>,
    /// Further request headers. An `authorization` or `api-key` here replaces the bearer header.
    pub headers: Vec<(String, Secret)>,
    /// Query parameters of every request (Azure's `api-version`).
    pub query: Vec<(String, Secret)>,
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
    /// The script of [`Wire::Rehearsal`]; the built-in one if absent.
    pub script: Option<PathBuf>,
    /// Whether this is Azure, which wants answers stored; see [`Endpoint::looks_like_azure`].
    pub azure: bool,
}

impl Endpoint {
    /// An endpoint without key, with the default deadlines and retries.
    pub fn new(id: impl Into<String>, wire: Wire, base_url: impl Into<String>) -> Self {
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

    /// Another URL. Whether it is Azure's is judged anew.
    pub fn set_url(&mut self, base_url: impl Into<String>) {
        self.base_url = base_url.into();
        self.azure = Self::looks_like_azure(&self.name, &self.base_url);
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
        let host = host_of(&self.base_url).to_ascii_lowercase();
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
        let values = self.headers.iter().chain(&self.query).map(|(_, value)| value);
        let mut clean = text.to_owned();
        for secret in self.key.iter().chain(values) {
            let secret = secret.expose().trim();
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
        let names = |pairs: &[(String, Secret)]| -> Vec<String> {
            pairs.iter().map(|(name, _)| name.clone()).collect()
        };
        f.debug_struct("Endpoint")
            .field("id", &self.id)
            .field("wire", &self.wire)
            .field("base_url", &self.base_url)
            .field("key", &self.key.is_some())
            .field("key_env", &self.key_env)
            .field("headers", &names(&self.headers))
            .field("query", &names(&self.query))
            .field("azure", &self.azure)
            .finish_non_exhaustive()
    }
}

/// The host of a URL; empty if there is none.
fn host_of(url: &str) -> &str {
    let Some((_, rest)) = url.trim().split_once("://") else { return "" };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Secret, Wire};

    #[test]
    fn secrets_are_never_printed() {
        let mut endpoint = Endpoint::new("x", Wire::Chat, "http://h/v1");
        endpoint.key = Some(Secret::new("sk-0123456789"));
        endpoint.headers = vec![("api-key".to_owned(), Secret::new("header-secret"))];
        endpoint.query = vec![("sig".to_owned(), Secret::new("query-secret"))];
        let shown = format!("{endpoint:?}");
        assert!(shown.contains("api-key") && shown.contains("sig"));
        assert!(!shown.contains("secret\"") && !shown.contains("sk-"));
        let text = endpoint.redact("sk-0123456789 header-secret query-secret");
        assert_eq!(text, "*** *** ***");
    }

    #[test]
    fn azure_and_openai_are_known_by_name_or_host() {
        assert!(Endpoint::looks_like_azure("Azure", ""));
        assert!(Endpoint::looks_like_azure("x", "https://me.openai.azure.com/openai"));
        assert!(!Endpoint::looks_like_azure("x", "https://api.openai.com/v1"));
        for (url, openai) in [
            ("https://api.openai.com/v1", true),
            ("https://eu.API.OpenAI.com:443/v1", true),
            ("https://user:word@api.openai.com", true),
            ("https://notopenai.com/v1", false),
            ("http://127.0.0.1:8080/v1", false),
            ("http://h/?x=@api.openai.com", false),
            ("http://api.openai.com@evil.example/v1", false),
            ("api.openai.com", false),
        ] {
            assert_eq!(Endpoint::new("x", Wire::Responses, url).is_openai(), openai, "{url}");
        }
    }
}
