//! Asking a server for its models, to find out whether it can be used. It costs no tokens.

use crate::{
    ConnectError, Http,
    client::headers,
    connect,
    discovery::{MAX_LIST, list_of},
    failure,
    http::request_url,
    unpacked::Body,
};
use reqwest::{
    Response, StatusCode,
    header::{ACCEPT, HeaderValue},
};
use std::time::Duration;
use troupe_timer::within;
use troupe_types::{Endpoint, Wire};

/// What a server says when it is asked for its models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// It lists them.
    Models(Vec<String>),
    /// There is no server: a script is played.
    Script,
    /// It answers, and has no list of models.
    NoList(String),
    /// It limits the rate of requests just now.
    Limited(String),
    /// It takes the key for wrong, or wants one.
    KeyRefused(String),
    /// It is there, and fails.
    Failing(String),
    /// What answers is no API of a model server.
    NotAnApi(String),
    /// There is no connection.
    Unreachable(String),
    /// It took the request and did not answer in time.
    Silent(String),
    /// It cannot be asked: a URL, header, certificate or script that cannot be used.
    Unusable(String),
}

/// Asks the server of an endpoint for its models, with its key, within `limit`. The texts say what
/// helps and hold no secret.
pub async fn ask_for_models(endpoint: &Endpoint, http: &Http, limit: Duration) -> Asked {
    if endpoint.wire == Wire::Rehearsal {
        return match connect(endpoint, http) {
            Ok(_) => Asked::Script,
            Err(error) => Asked::Unusable(error.to_string()),
        };
    }
    let endpoint =
        Endpoint { connect_timeout: endpoint.connect_timeout.min(limit), ..endpoint.clone() };
    match within(limit, ask(&endpoint, http)).await {
        Ok(Ok(asked)) => asked,
        Ok(Err(error)) => Asked::Unusable(error.to_string()),
        Err(_) => Asked::Silent(format!(
            "{}: no answer within {limit:?}. Is the server busy or still loading? `{}` sets its URL",
            endpoint.name,
            endpoint.url_key()
        )),
    }
}

async fn ask(endpoint: &Endpoint, http: &Http) -> Result<Asked, ConnectError> {
    let url = request_url(endpoint, "models")?;
    let client = http.client(&url, endpoint.connect_timeout).await?;
    let mut headers = headers(endpoint)?;
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let response = match client.get(url.clone()).headers(headers).send().await {
        Ok(response) => response,
        Err(error) => {
            let text =
                failure::unreachable(endpoint, &url, http.proxy(&url), error).failure.message;
            return Ok(Asked::Unreachable(text));
        }
    };
    if !response.status().is_success() {
        return Ok(refused(endpoint, response).await);
    }
    Ok(read(endpoint, response).await)
}

async fn refused(endpoint: &Endpoint, response: Response) -> Asked {
    let status = response.status();
    let json = failure::content_type(response.headers()).contains("json");
    let text = failure::refused(endpoint, response).await.failure.message;
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Asked::KeyRefused(text),
        StatusCode::TOO_MANY_REQUESTS => Asked::Limited(text),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED if json => Asked::NoList(format!(
            "{} answers, and has no list of models ({status}), so neither key nor model were \
             checked. If runs fail, look at `{}`: it mostly ends in /v1",
            endpoint.name,
            endpoint.url_key()
        )),
        status if status.is_server_error() => Asked::Failing(text),
        status if status.is_redirection() => Asked::NotAnApi(text),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => not_an_api(endpoint, &text),
        _ => Asked::Failing(text),
    }
}

async fn read(endpoint: &Endpoint, response: Response) -> Asked {
    let kind = failure::content_type(response.headers()).to_owned();
    let (mut unpacked, mut body) = (Body::new(response), Vec::new());
    loop {
        match unpacked.chunk().await {
            Ok(Some(piece)) if body.len() + piece.as_ref().len() <= MAX_LIST => {
                body.extend_from_slice(piece.as_ref());
            }
            Ok(None) => break,
            Ok(Some(_)) => return not_an_api(endpoint, "its list of models is far too long"),
            Err(error) => {
                let cause = endpoint.redact(&error.to_string());
                return Asked::Failing(format!("{}: the answer broke off: {cause}", endpoint.name));
            }
        }
    }
    match list_of(&body) {
        Some(models) => Asked::Models(models),
        None => not_an_api(endpoint, &format!("what answers ({kind}) is no list of models")),
    }
}

fn not_an_api(endpoint: &Endpoint, what: &str) -> Asked {
    let (name, key) = (&endpoint.name, endpoint.url_key());
    let text = endpoint.redact(what);
    let text = text.strip_prefix(&format!("{name}: ")).unwrap_or(&text);
    Asked::NotAnApi(format!(
        "{name}: {text}; `{key}` has to name an API: it mostly ends in /v1, and is not the address \
         of a web page"
    ))
}
