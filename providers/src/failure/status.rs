//! Errors a server reports, by status or inside a stream.

use super::{
    body::{ServerError, words},
    content_type, retry_after,
};
use crate::{
    ModelError, Retry,
    unpacked::{Body, BodyError},
};
use reqwest::{
    Response, StatusCode,
    header::{HeaderMap, LOCATION},
};
use std::time::{Duration, SystemTime};
use troupe_timer::within;
use troupe_types::{Endpoint, ErrorClass, Wire};

/// Body read of a refusal, in bytes, and the time for it.
const MAX_BODY: usize = 64 << 10;
const BODY_LIMIT: Duration = Duration::from_secs(10);

const QUOTA: [&str; 7] = [
    "usage_limit_reached",
    "insufficient_quota",
    "usage_not_included",
    "billing_hard_limit_reached",
    "quota_exceeded",
    "insufficient_credits",
    "billing_error",
];
const WINDOW_CODES: [&str; 3] =
    ["context_length_exceeded", "exceed_context_size_error", "exceed_context_size"];
const WINDOW_WORDS: [&str; 8] = [
    "context_length_exceeded",
    "maximum context length",
    "exceeds the available context",
    "exceed_context_size",
    "greater than the context length",
    "context window",
    "prompt is too long",
    "exceeds the context",
];
const MODEL_CODES: [&str; 6] = [
    "model_not_found",
    "model_not_available",
    "model_not_supported",
    "unknown_model",
    "invalid_model",
    "deploymentnotfound",
];
/// With the word `model`, said by a server that knows its models but not this one.
const MODEL_WORDS: [&str; 9] = [
    "not found",
    "not exist",
    "not a valid model",
    "invalid model",
    "unknown model",
    "no such model",
    "model is not available",
    "unable to access model",
    "not have access to",
];
/// What no later attempt will change, also where the server calls it its own failure.
const PERMANENT_CODES: [&str; 5] = [
    "invalid_request_error",
    "not_supported_error",
    "not_found_error",
    "unsupported",
    "not_implemented",
];
/// Attempts after a failure with status 500 while the server answers the same: some pass, but one
/// that stays is no overload, which has statuses of its own. What its words say is not judged.
const SAME_500: Retry = Retry::Doubtful { most: 2 };
const IMAGE_WORDS: [&str; 3] =
    ["does not represent a valid image", "invalid image", "could not process image"];

/// The server answered with a status other than success.
pub(crate) async fn refused(endpoint: &Endpoint, response: Response) -> ModelError {
    let (status, headers) = (response.status(), response.headers().clone());
    if status.is_redirection() {
        return refusal(endpoint, status, &headers, &ServerError::default());
    }
    let said = said(Body::new(response)).await;
    refusal(endpoint, status, &headers, &said)
}

/// The error of a refusal with this status, these headers and this body.
pub(crate) fn refusal(
    endpoint: &Endpoint,
    status: StatusCode,
    headers: &HeaderMap,
    said: &ServerError,
) -> ModelError {
    if status.is_redirection() {
        let to = headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("?");
        return moved(endpoint, status, to);
    }
    let after = retry_after::from_headers(headers, SystemTime::now());
    let html = content_type(headers).starts_with("text/html");
    let mut error = by_status(endpoint, status, said, after, html);
    error.failure.message = endpoint.redact(&error.failure.message);
    error.status = Some(status.as_u16());
    error
}

/// What the body of a refusal says.
async fn said(mut body: Body) -> ServerError {
    let mut bytes: Vec<u8> = Vec::new();
    let reading = async {
        while bytes.len() < MAX_BODY {
            match body.chunk().await {
                Ok(Some(piece)) => {
                    let piece = piece.as_ref();
                    bytes.extend_from_slice(&piece[..piece.len().min(MAX_BODY - bytes.len())]);
                }
                Err(error @ BodyError::Compressed(_)) => return Err(error),
                Ok(None) | Err(BodyError::Broken(_)) => break,
            }
        }
        Ok(())
    };
    match within(BODY_LIMIT, reading).await {
        Ok(Err(error)) => {
            ServerError { message: format!("no words: {error}"), ..ServerError::default() }
        }
        _ => ServerError::from_body(&bytes),
    }
}

fn moved(endpoint: &Endpoint, status: StatusCode, to: &str) -> ModelError {
    let mut error = ModelError::never(
        ErrorClass::InvalidRequest,
        endpoint.redact(&format!(
            "{}: moved to {to} ({status}); redirects are not followed, set `{}`",
            endpoint.name,
            endpoint.url_key()
        )),
    );
    error.status = Some(status.as_u16());
    error
}

fn by_status(
    endpoint: &Endpoint,
    status: StatusCode,
    said: &ServerError,
    after: Option<Duration>,
    html: bool,
) -> ModelError {
    let name = &endpoint.name;
    let text = if said.message.is_empty() {
        format!("{name}: {status}")
    } else {
        format!("{name}: {} ({status})", words(endpoint, &said.message))
    };
    let after = after.or_else(|| named_wait(said));
    let wait = after.map_or(Retry::Backoff, Retry::After);
    match status.as_u16() {
        400 | 403 | 404 | 422 if is_model(said) => model_not_found(status.as_u16() == 403, text),
        401 | 403 => ModelError::never(ErrorClass::Auth, unauthorised(endpoint, &text)),
        402 => ModelError::never(ErrorClass::Quota, text),
        429 if said.has_code(&QUOTA) => {
            ModelError::never(ErrorClass::Quota, with_reset(text, said.resets_at))
        }
        429 => ModelError::new(ErrorClass::RateLimit, wait, text),
        408 | 409 | 425 => ModelError::new(ErrorClass::Server, wait, text),
        // llama.cpp and some gateways report an overlong prompt as their own failure.
        _ if is_window(said) => ModelError::never(ErrorClass::ContextWindow, text),
        501 | 505 => ModelError::never(ErrorClass::InvalidRequest, text),
        500 if said.has_code(&PERMANENT_CODES) => {
            ModelError::never(ErrorClass::InvalidRequest, text)
        }
        500 if after.is_none() => ModelError::new(ErrorClass::Server, SAME_500, text),
        500.. => ModelError::new(ErrorClass::Server, wait, text),
        404 | 405 => ModelError::never(ErrorClass::InvalidRequest, not_found(endpoint, text, html)),
        _ => ModelError::never(ErrorClass::InvalidRequest, with_image_hint(text)),
    }
}

/// The wait that the body names, in a member of its own or in words.
fn named_wait(said: &ServerError) -> Option<Duration> {
    said.retry_after.or_else(|| retry_after::from_text(&said.message))
}

fn unauthorised(endpoint: &Endpoint, text: &str) -> String {
    let setting = endpoint.config_key("env_key");
    // A built-in provider has its variables without a table.
    let by = if endpoint.id == "openai" { String::new() } else { format!(" (`{setting}`)") };
    match (&endpoint.key_env, &endpoint.key) {
        (Some(env), Some(_)) => format!("{text}; is the key in {env}{by} right?"),
        (Some(env), None) => format!("{text}; set {env} to a key{by}"),
        (None, Some(_)) => format!("{text}; is the key right?"),
        (None, None) => format!("{text}; no key was sent: name its variable in `{setting}`"),
    }
}

fn with_reset(text: String, resets_at: Option<u64>) -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
    match resets_at.filter(|&at| at > now) {
        Some(at) => format!("{text}; renewed in {} min", (at - now).div_ceil(60)),
        None => text,
    }
}

fn not_found(endpoint: &Endpoint, text: String, html: bool) -> String {
    if html || endpoint.wire == Wire::Responses {
        let other = if endpoint.wire == Wire::Responses { "chat" } else { "responses" };
        format!(
            "{text}; is `{}` right (it mostly ends in /v1), and does the server speak this wire (`{} = \"{other}\"` is the other)?",
            endpoint.url_key(),
            endpoint.config_key("wire_api"),
        )
    } else {
        text
    }
}

/// The server does not have the model, or not for this key.
fn model_not_found(refused: bool, text: String) -> ModelError {
    let class = if refused { ErrorClass::Auth } else { ErrorClass::InvalidRequest };
    let text = format!(
        "{text}; is the model's name right for this server? Name another with `-m` or the setting \
         `model`"
    );
    ModelError::never(class, text)
}

fn is_model(said: &ServerError) -> bool {
    let text = said.message.to_ascii_lowercase();
    let words = text.contains("model") && MODEL_WORDS.iter().any(|words| text.contains(words));
    let claude = said.has_code(&["not_found_error"]) && text.starts_with("model:");
    !is_window(said) && (said.has_code(&MODEL_CODES) || words || claude)
}

fn with_image_hint(text: String) -> String {
    let lower = text.to_ascii_lowercase();
    if IMAGE_WORDS.iter().any(|words| lower.contains(words)) {
        format!("{text}; an image of the conversation cannot be read by the model")
    } else {
        text
    }
}

fn is_window(said: &ServerError) -> bool {
    let text = said.message.to_ascii_lowercase();
    said.has_code(&WINDOW_CODES) || WINDOW_WORDS.iter().any(|words| text.contains(words))
}

/// An error object inside a stream or document that began with success.
pub(crate) fn in_stream(endpoint: &Endpoint, said: &ServerError) -> ModelError {
    let name = &endpoint.name;
    let text = match words(endpoint, &said.message).as_str() {
        "" => format!("{name}: the answer failed ({})", said.codes),
        message => match said.codes.split(' ').find(|code| !code.is_empty()) {
            Some(code) if !message.contains(code) => format!("{name}: {message} ({code})"),
            _ => format!("{name}: {message}"),
        },
    };
    let mut error = by_code(endpoint, said, text);
    error.failure.message = endpoint.redact(&error.failure.message);
    error
}

fn by_code(endpoint: &Endpoint, said: &ServerError, text: String) -> ModelError {
    const INVALID: [&str; 5] = [
        "invalid_prompt",
        "bio_policy",
        "cyber_policy",
        "content_filter",
        "content_policy_violation",
    ];
    const REFUSED: [&str; 5] = ["400", "404", "422", "invalid_request_error", "badrequesterror"];
    const AUTH: [&str; 5] =
        ["401", "403", "invalid_api_key", "authentication_error", "permission_error"];
    const LIMIT: [&str; 3] = ["rate_limit_exceeded", "rate_limit_error", "429"];
    let wait = named_wait(said).map_or(Retry::Backoff, Retry::After);
    if said.has_code(&QUOTA) || said.has_code(&["402"]) {
        ModelError::never(ErrorClass::Quota, with_reset(text, said.resets_at))
    } else if is_window(said) {
        ModelError::never(ErrorClass::ContextWindow, text)
    } else if said.has_code(&INVALID) {
        ModelError::never(ErrorClass::InvalidRequest, text)
    } else if said.has_code(&LIMIT) {
        ModelError::new(ErrorClass::RateLimit, wait, text)
    } else if said.has_code(&MODEL_CODES) || (said.has_code(&REFUSED) && is_model(said)) {
        model_not_found(false, text)
    } else if said.has_code(&AUTH) {
        ModelError::never(ErrorClass::Auth, unauthorised(endpoint, &text))
    } else if said.has_code(&REFUSED) {
        ModelError::never(ErrorClass::InvalidRequest, with_image_hint(text))
    } else if said.has_code(&["500"]) && said.has_code(&PERMANENT_CODES) {
        ModelError::never(ErrorClass::InvalidRequest, text)
    } else if said.has_code(&["500"]) && wait == Retry::Backoff {
        ModelError::new(ErrorClass::Server, SAME_500, text)
    } else {
        ModelError::new(ErrorClass::Server, wait, text)
    }
}
