//! Everything that can go wrong with a request, as [`ModelError`]s with a text that helps.

mod body;
mod retry_after;
mod status;
#[cfg(test)]
mod tests;

use body::is_page;
pub(crate) use body::{ServerError, is_error, words};
pub(crate) use status::{in_stream, refusal, refused};

use crate::{
    ModelError, Retry, http::causes, proxy::Proxy, reader::MAX_ANSWER, sse::MAX_EVENT,
    unpacked::BodyError,
};
use reqwest::{
    Url,
    header::{CONTENT_TYPE, HeaderMap},
};
use std::net::IpAddr;
use troupe_types::{Endpoint, ErrorClass};

/// No connection, or it broke before there was an answer.
pub(crate) fn unreachable(
    endpoint: &Endpoint,
    url: &Url,
    proxy: Option<&Proxy>,
    error: reqwest::Error,
) -> ModelError {
    let (host, port) =
        (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
    let at = format!("{} at {host}:{port}", endpoint.name);
    if let Some(proxy) = proxy {
        return no_way(endpoint, &at, proxy, error);
    }
    let limit = endpoint.connect_timeout;
    let key = endpoint.url_key();
    if error.is_connect() && error.is_timeout() {
        return ModelError::backoff(
            ErrorClass::Network,
            format!(
                "cannot reach {at}: no connection within {limit:?} (`{}`); the URL is set by `{key}`",
                endpoint.config_key("connect_timeout_ms"),
            ),
        );
    }
    // What the layers above say of a connection that cannot be made is that it cannot be made.
    let error = error.without_url();
    let cause = if error.is_connect() { innermost(&error) } else { causes(&error) };
    let cause = endpoint.redact(&cause);
    if is_unknown_name(&cause) {
        // The name of a server that has just been set up may still be on its way.
        return ModelError::new(
            ErrorClass::Network,
            Retry::Doubtful { most: 1 },
            format!(
                "cannot reach {at}: no such host is known: is its name spelled right? The URL is set by `{key}`"
            ),
        );
    }
    let hint = if cause.contains("ertificate") {
        "if your own authority signed it, name its PEM file in SSL_CERT_FILE; the URL is set by"
    } else if is_near(url) {
        "is it running? The URL is set by"
    } else {
        "are host and port right, and is there a way to them? The URL is set by"
    };
    ModelError::backoff(ErrorClass::Network, format!("cannot reach {at}: {cause}; {hint} `{key}`"))
}

/// The proxy is not there, or does not lead to the server.
fn no_way(endpoint: &Endpoint, at: &str, proxy: &Proxy, error: reqwest::Error) -> ModelError {
    let (shown, variable) = (proxy.shown(), proxy.variable());
    let cause = if error.is_connect() && error.is_timeout() {
        format!("no connection within {:?}", endpoint.connect_timeout)
    } else {
        let error = error.without_url();
        let cause = if error.is_connect() { innermost(&error) } else { causes(&error) };
        endpoint.redact(&cause)
    };
    let text = format!(
        "cannot reach {at} through the proxy {shown} ({variable}): {cause}; does the proxy run, and may it reach the server? Correct {variable}, or name the host in NO_PROXY to do without"
    );
    ModelError::backoff(ErrorClass::Network, text)
}

/// A refusal that may be the proxy's own.
pub(crate) fn behind(proxy: Option<&Proxy>, mut error: ModelError) -> ModelError {
    let Some(proxy) = proxy else { return error };
    let (shown, variable) = (proxy.shown(), proxy.variable());
    match error.status {
        Some(407) => {
            error.failure.class = ErrorClass::Auth;
            error.failure.message.push_str(&format!(
                "; the proxy {shown} ({variable}) wants credentials: {variable} takes them as http://name:password@host:port"
            ));
        }
        Some(502..=504) => {
            error
                .failure
                .message
                .push_str(&format!("; it came through the proxy {shown} ({variable})"));
        }
        _ => {}
    }
    error
}

/// The text of the last cause.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// Whether the resolver answered that there is no such name. The system's resolver has a code for
/// it, but the standard library passes on its words only (glibc, musl, macOS and BSD, Windows).
fn is_unknown_name(cause: &str) -> bool {
    const WORDS: [&str; 5] = [
        "Name or service not known",
        "Name does not resolve",
        "nodename nor servname provided",
        "No address associated with",
        "No such host is known",
    ];
    WORDS.iter().any(|words| cause.contains(words))
}

/// Whether the server is on this machine or in the network around it, so that the user may have
/// to start it.
fn is_near(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(ip)) => {
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
        }
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
        }
        // A name without a dot is one of the local network's.
        Err(_) => {
            let name = host.trim_end_matches('.').to_ascii_lowercase();
            let local = [".localhost", ".local", ".lan", ".internal", ".home.arpa"];
            !name.contains('.') || local.iter().any(|end| name.ends_with(end))
        }
    }
}

/// The server took the request and said nothing.
pub(crate) fn late_first_byte(endpoint: &Endpoint) -> ModelError {
    let key = endpoint.config_key("first_byte_timeout_ms");
    let (name, limit) = (&endpoint.name, endpoint.first_byte_timeout);
    ModelError::backoff(
        ErrorClass::Timeout,
        format!("{name}: no answer within {limit:?} (`{key}`)"),
    )
}

/// The rest of an answer cannot be read.
pub(crate) fn unreadable(endpoint: &Endpoint, error: &BodyError) -> ModelError {
    let cause = endpoint.redact(&error.to_string());
    match error {
        BodyError::Broken(_) => ModelError::cut(endpoint, Some(&cause)),
        BodyError::Compressed(_) => ModelError::never(
            ErrorClass::Server,
            format!("{}: the answer cannot be read: {cause}", endpoint.name),
        ),
    }
}

/// The server stopped in the middle.
pub(crate) fn idle(endpoint: &Endpoint) -> ModelError {
    let key = endpoint.config_key("stream_idle_timeout_ms");
    let (name, limit) = (&endpoint.name, endpoint.idle_timeout);
    ModelError::backoff(
        ErrorClass::Timeout,
        format!("{name}: nothing more arrived for {limit:?} (`{key}`)"),
    )
}

/// The answer holds calls that cannot be told apart, or not all of one. Which the model meant is not
/// guessed; another answer may be whole.
pub(crate) fn unclear(endpoint: &Endpoint, what: &str) -> ModelError {
    let text = format!(
        "{}: the answer cannot be understood: {what}; the fault is the server's, or a gateway's before it",
        endpoint.name
    );
    ModelError::new(ErrorClass::Server, Retry::Doubtful { most: 1 }, text)
}

/// The error of an answer that reached a limit of tokens before its first word, in thoughts or
/// nothing at all. Asking again would end in the same way.
pub(crate) fn silent_limit(endpoint: &Endpoint) -> ModelError {
    let text = format!(
        "{}: the answer reached the limit of output tokens or of the model's window before its first word; raise the limit (`model_max_output_tokens`, or the server's own), or let the model think less (`model_reasoning_effort`)",
        endpoint.name
    );
    ModelError::never(ErrorClass::NoAnswer, text)
}

/// The error of an answer that a rule of the provider stopped.
pub(crate) fn stopped(endpoint: &Endpoint, reason: &str) -> ModelError {
    let name = &endpoint.name;
    let text = match reason {
        "max_output_tokens" | "length" | "max_tokens" => format!(
            "{name}: the answer reached the limit of output tokens or of the model's window and is incomplete; ask for less at a time, or raise the server's limit"
        ),
        "content_filter" => format!("{name}: the provider's content filter stopped the answer"),
        "safety" | "recitation" | "blocklist" | "prohibited_content" | "spii" => {
            format!("{name}: the provider's content filter stopped the answer ({reason})")
        }
        reason => format!("{name}: the answer is incomplete, reason: {reason}"),
    };
    ModelError::never(ErrorClass::InvalidRequest, text)
}

/// A single event is beyond all reason.
pub(crate) fn too_large(endpoint: &Endpoint) -> ModelError {
    let mib = MAX_EVENT >> 20;
    ModelError::never(
        ErrorClass::Server,
        format!("{}: one event of the answer is larger than {mib} MiB", endpoint.name),
    )
}

/// The answer does not come to its end.
pub(crate) fn endless(endpoint: &Endpoint) -> ModelError {
    let mib = MAX_ANSWER >> 20;
    ModelError::never(
        ErrorClass::Server,
        format!("{}: the answer is larger than {mib} MiB and has no end", endpoint.name),
    )
}

/// The server answered with success and something that is no answer.
pub(crate) fn not_events(endpoint: &Endpoint, content_type: &str, body: &[u8]) -> ModelError {
    let (name, key) = (&endpoint.name, endpoint.url_key());
    let said = words(endpoint, &ServerError::from_body(body).message);
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let message = format!(
        "{name}: the answer ({content_type}) holds no event that can be understood{said}; does `{key}` name an API (it mostly ends in /v1)?"
    );
    if content_type.starts_with("text/html") || is_page(body) {
        ModelError::never(ErrorClass::InvalidRequest, message)
    } else {
        ModelError::backoff(ErrorClass::Network, message)
    }
}

/// The content type of an answer, for error texts.
pub(crate) fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("no content type")
}
