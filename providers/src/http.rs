//! The shared HTTP clients: built when first needed, kept by what they can do.
//!
//! A plain `http://` client loads no certificate authorities and costs about 0.1 ms. The client
//! for `https://` loads the system's authorities once (some milliseconds), on first use. At most
//! one client per (TLS, proxy, connect limit) exists; in practice one or two.

use crate::{
    ConnectError,
    proxy::{Proxies, Proxy},
};
use reqwest::{Certificate, Client, Url};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use troupe_types::Endpoint;

/// What the clients may use. Read from the environment by the caller, never here.
#[derive(Debug, Clone, Default)]
pub struct HttpOptions {
    /// The proxies for hosts other than this machine.
    pub proxies: Proxies,
    /// A PEM file of certificate authorities trusted beside the system's (`SSL_CERT_FILE`,
    /// `TROUPE_CA_CERTIFICATE`).
    pub ca_file: Option<PathBuf>,
    /// The `User-Agent`; `troupe/<version>` if absent.
    pub user_agent: Option<String>,
}

#[derive(Debug, Clone)]
struct ClientKind {
    tls: bool,
    proxy: Option<Proxy>,
    connect_timeout: Duration,
}

impl ClientKind {
    /// Whether a client of one kind does for the other. A variable names one proxy.
    fn is(&self, other: &Self) -> bool {
        let variable = |kind: &Self| kind.proxy.as_ref().map(Proxy::variable);
        (self.tls, self.connect_timeout) == (other.tls, other.connect_timeout)
            && variable(self) == variable(other)
    }
}

#[derive(Debug, Default)]
struct Inner {
    options: HttpOptions,
    clients: Mutex<Vec<(ClientKind, Client)>>,
}

/// The shared HTTP clients. Cheap to make and to clone.
#[derive(Debug, Clone, Default)]
pub struct Http(Arc<Inner>);

impl Http {
    /// Clients with these options; none is built yet.
    #[must_use]
    pub fn new(options: HttpOptions) -> Self {
        Self(Arc::new(Inner { options, clients: Mutex::default() }))
    }

    /// Builds the client an endpoint needs, so that the first request does not wait for it: worth
    /// a thread's while for `https://`.
    ///
    /// # Errors
    /// As the first request would: an unusable URL or file of certificate authorities.
    pub fn prepare(&self, endpoint: &Endpoint) -> Result<(), ConnectError> {
        let url = parse_url(endpoint, &endpoint.base_url)?;
        self.client_of(self.kind(&url, endpoint.connect_timeout)).map(|_| ())
    }

    /// The proxy a request to this URL goes through.
    pub(crate) fn proxy(&self, url: &Url) -> Option<&Proxy> {
        self.0.options.proxies.of(url)
    }

    /// The client for a URL. One that has to be built first is built on another thread: that may read
    /// files.
    pub(crate) async fn client(
        &self,
        url: &Url,
        connect_timeout: Duration,
    ) -> Result<Client, ConnectError> {
        let kind = self.kind(url, connect_timeout);
        // Only the holder of the lock builds one.
        let known = self.0.clients.try_lock().ok().and_then(|clients| find(&clients, &kind));
        if let Some(client) = known {
            return Ok(client);
        }
        if !kind.tls && kind.proxy.is_none() {
            return self.client_of(kind);
        }
        let http = self.clone();
        let building = tokio::task::spawn_blocking(move || http.client_of(kind));
        building.await.unwrap_or_else(|error| {
            Err(ConnectError::Client { cause: format!("it could not be built: {error}") })
        })
    }

    fn kind(&self, url: &Url, connect_timeout: Duration) -> ClientKind {
        let proxy = self.proxy(url).cloned();
        ClientKind { tls: url.scheme() == "https", proxy, connect_timeout }
    }

    fn client_of(&self, kind: ClientKind) -> Result<Client, ConnectError> {
        let mut clients = self.0.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = find(&clients, &kind) {
            return Ok(client);
        }
        let client = build(&self.0.options, &kind)?;
        clients.push((kind, client.clone()));
        Ok(client)
    }
}

fn find(clients: &[(ClientKind, Client)], kind: &ClientKind) -> Option<Client> {
    clients.iter().find(|(known, _)| known.is(kind)).map(|(_, client)| client.clone())
}

fn build(options: &HttpOptions, kind: &ClientKind) -> Result<Client, ConnectError> {
    // Fails if one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let agent =
        options.user_agent.as_deref().unwrap_or(concat!("troupe/", env!("CARGO_PKG_VERSION")));
    let mut builder = Client::builder()
        .user_agent(agent)
        .http1_only()
        .connect_timeout(kind.connect_timeout)
        .tcp_keepalive(Duration::from_secs(30))
        // A redirect would carry the prompt to a host nobody named.
        .redirect(reqwest::redirect::Policy::none());
    // Which proxy it is, is decided here, so that a failure can name the variable.
    builder = builder.no_proxy();
    let mut tls = kind.tls;
    if let Some(proxy) = &kind.proxy {
        let url = proxy.url()?;
        tls |= url.scheme() == "https";
        let set = reqwest::Proxy::all(url);
        builder = builder.proxy(set.map_err(|error| ConnectError::Proxy {
            variable: proxy.variable(),
            cause: causes(&error.without_url()),
        })?);
    }
    // A plain connection through a plain proxy is still a plain connection.
    builder = match (&options.ca_file, tls) {
        (_, false) => builder.tls_certs_only(Vec::<Certificate>::new()),
        (Some(path), true) => builder.tls_certs_merge(read_ca(path)?),
        (None, true) => builder,
    };
    builder.build().map_err(|error| ConnectError::Client { cause: causes(&error) })
}

fn read_ca(path: &std::path::Path) -> Result<Vec<Certificate>, ConnectError> {
    let fail = |cause: String| ConnectError::Ca { path: path.display().to_string(), cause };
    let pem = crate::file::read(path).map_err(fail)?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| fail(causes(&error)))?;
    if found.is_empty() {
        return Err(fail("no PEM certificate in it".to_owned()));
    }
    Ok(found)
}

/// The URL, checked to be one that can be asked.
pub(crate) fn parse_url(endpoint: &Endpoint, text: &str) -> Result<Url, ConnectError> {
    let fail = |cause: String| ConnectError::Url {
        url: without_login(&endpoint.redact(text)),
        cause,
        key: endpoint.url_key(),
    };
    let url = Url::parse(text.trim()).map_err(|error| fail(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(fail("it must start with http:// or https://".to_owned()));
    }
    Ok(url)
}

/// A URL's text without the name and password of a user.
fn without_login(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match host.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://***@{host}{path}"),
        None => text.to_owned(),
    }
}

/// `{base_url}/{path}?{query}`. A base that was pasted with the last path on it is forgiven.
pub(crate) fn request_url(endpoint: &Endpoint, path: &str) -> Result<Url, ConnectError> {
    let mut url = parse_url(endpoint, &endpoint.base_url)?;
    let base = url.path().trim_end_matches('/');
    let base = base.strip_suffix(path).map_or(base, |rest| rest.trim_end_matches('/')).to_owned();
    url.set_path(&format!("{base}/{path}"));
    for (name, value) in &endpoint.query {
        url.query_pairs_mut().append_pair(name, value.expose());
    }
    Ok(url)
}

/// An error and its sources in one line, without the URL (it may hold a key) and repetitions.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ")
}
