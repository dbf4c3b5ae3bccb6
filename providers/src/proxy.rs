//! Which proxy a request goes through, and the variable that says so.

use crate::ConnectError;
use ipnet::IpNet;
use reqwest::Url;
use std::{ffi::OsString, fmt, net::IpAddr};
use troupe_types::Secret;

/// The proxies of an environment: `HTTPS_PROXY` and `HTTP_PROXY` by the scheme of the URL, else
/// `ALL_PROXY`, and `NO_PROXY` for hosts that are asked directly; in capital letters or small ones.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    all: Option<Proxy>,
    http: Option<Proxy>,
    https: Option<Proxy>,
    direct: Vec<String>,
}

/// A proxy as a variable names it. The value may hold a password and is never printed.
#[derive(Clone)]
pub(crate) struct Proxy {
    variable: &'static str,
    value: Secret,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", self.variable)
    }
}

impl Proxies {
    /// The proxies that these variables name.
    pub fn new(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| {
                let value = Secret::new(text(name)?);
                let value = Secret::new(value.expose().trim());
                (!value.expose().is_empty()).then_some(Proxy { variable: name, value })
            })
        };
        // A web server hands a request's own header `Proxy` to its scripts under this name.
        let script = variable("REQUEST_METHOD").is_some();
        let http = first(if script { ["http_proxy"; 2] } else { ["HTTP_PROXY", "http_proxy"] });
        let direct = first(["NO_PROXY", "no_proxy"]);
        let direct =
            direct.as_ref().map_or("", |direct| direct.value.expose()).to_ascii_lowercase();
        let direct = direct.split([',', ' ']).filter(|entry| !entry.is_empty());
        Self {
            all: first(["ALL_PROXY", "all_proxy"]),
            http,
            https: first(["HTTPS_PROXY", "https_proxy"]),
            direct: direct.map(str::to_owned).collect(),
        }
    }

    /// The proxy for a URL. A proxy cannot reach this machine, whatever `NO_PROXY` says.
    pub(crate) fn of(&self, url: &Url) -> Option<&Proxy> {
        let by_scheme = if url.scheme() == "https" { &self.https } else { &self.http };
        let proxy = by_scheme.as_ref().or(self.all.as_ref())?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
        // The dot at the end of a whole name changes nothing.
        let host = host.trim_end_matches('.');
        let port = url.port_or_known_default().unwrap_or_default();
        let direct = is_loopback(host) || self.direct.iter().any(|entry| names(entry, host, port));
        (!direct).then_some(proxy)
    }
}

impl Proxy {
    /// The variable that names it.
    pub(crate) fn variable(&self) -> &'static str {
        self.variable
    }

    /// Its URL.
    ///
    /// # Errors
    /// The value names no proxy of a known kind.
    pub(crate) fn url(&self) -> Result<Url, ConnectError> {
        const KNOWN: [&str; 6] = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];
        let fail = |cause: String| ConnectError::Proxy { variable: self.variable, cause };
        let value = self.value.expose();
        let scheme = if value.contains("://") { "" } else { "http://" };
        let text = Secret::new(format!("{scheme}{value}"));
        let mut url = Url::parse(text.expose()).map_err(|error| fail(error.to_string()))?;
        if !KNOWN.contains(&url.scheme()) {
            return Err(fail(format!(
                "`{}` is not one of http, https, socks4, socks4a, socks5 and socks5h",
                url.scheme()
            )));
        }
        if url.host_str().unwrap_or_default().is_empty() {
            return Err(fail("it names no host".to_owned()));
        }
        if url.port_or_known_default().is_none() {
            let _ = url.set_port(Some(1080));
        }
        Ok(url)
    }

    /// What it is and where it listens, without a password.
    pub(crate) fn shown(&self) -> String {
        self.url().map_or_else(
            |_| self.variable.to_owned(),
            |url| {
                let port = url.port_or_known_default().unwrap_or_default();
                format!("{}://{}:{port}", url.scheme(), url.host_str().unwrap_or_default())
            },
        )
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether an entry of `NO_PROXY` names a host: `*`, a domain with all below it, an address, a range
/// of addresses; each but a range possibly with a port.
fn names(entry: &str, host: &str, port: u16) -> bool {
    if let Ok(range) = entry.parse::<IpNet>() {
        return host.parse::<IpAddr>().is_ok_and(|ip| range.contains(&ip));
    }
    let bare = entry.trim_matches(['[', ']']);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return host.parse() == Ok(address);
    }
    let (name, wanted) = match entry.rsplit_once(':') {
        Some((name, wanted)) if wanted.parse::<u16>().is_ok() => (name, wanted.parse::<u16>().ok()),
        _ => (entry, None),
    };
    if wanted.is_some_and(|wanted| wanted != port) {
        return false;
    }
    let name = name.trim_matches(['[', ']']).trim_start_matches('*').trim_matches('.');
    name.is_empty()
        || host == name
        || host.strip_suffix(name).is_some_and(|before| before.ends_with('.'))
}

#[cfg(test)]
mod tests;
