//! A provider behind HTTP, on either wire.

use crate::{
    ConnectError, EventStream, Http, ModelError, Provider, calls, chat,
    endpoint::Endpoint,
    events::Decode,
    exchange::{Unsent, exchange, failed},
    http::request_url,
    reader::Reader,
    responses,
};
use reqwest::{
    Url,
    header::{
        ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    },
};
use std::sync::Arc;
use troupe_types::{ModelRequest, ToolSpec, Wire};

/// What is the same in every request to one endpoint.
pub(crate) struct Client {
    endpoint: Arc<Endpoint>,
    http: Http,
    url: Url,
    headers: HeaderMap,
    wire: HttpWire,
}

/// A wire that goes over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpWire {
    Responses,
    Chat,
}

impl Client {
    pub(crate) fn new(
        endpoint: &Endpoint,
        http: &Http,
        wire: HttpWire,
    ) -> Result<Self, ConnectError> {
        let path = match wire {
            HttpWire::Responses => "responses",
            HttpWire::Chat => "chat/completions",
        };
        Ok(Self {
            url: request_url(endpoint, path)?,
            headers: headers(endpoint)?,
            endpoint: Arc::new(endpoint.clone()),
            http: http.clone(),
            wire,
        })
    }

    fn body(&self, request: &ModelRequest) -> Result<Vec<u8>, ModelError> {
        match self.wire {
            HttpWire::Responses => responses::body::body(&self.endpoint, request),
            HttpWire::Chat => chat::body::body(&self.endpoint, request),
        }
    }
}

/// What reads an answer on this wire.
pub(crate) fn reader(endpoint: &Arc<Endpoint>, wire: HttpWire, tools: &[ToolSpec]) -> Reader {
    let custom = calls::custom_names(tools);
    let decoder: Box<dyn Decode> = match wire {
        HttpWire::Responses => Box::new(responses::decode::Decoder::new(endpoint.clone(), custom)),
        HttpWire::Chat => Box::new(chat::decode::Decoder::new(endpoint.clone(), custom)),
    };
    Reader::new(endpoint.clone(), decoder)
}

impl Provider for Client {
    fn stream(&self, request: ModelRequest) -> EventStream {
        let body = match self.body(&request) {
            Ok(body) => body,
            Err(error) => return failed(error),
        };
        let reader = reader(&self.endpoint, self.wire, &request.tools);
        let unsent = Unsent {
            http: self.http.clone(),
            url: self.url.clone(),
            headers: self.headers.clone(),
            body,
        };
        exchange(self.endpoint.clone(), unsent, reader)
    }

    fn wire(&self) -> Wire {
        match self.wire {
            HttpWire::Responses => Wire::Responses,
            HttpWire::Chat => Wire::Chat,
        }
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// The headers of every request. Values are marked as secret, so that HTTP logs mask them.
pub(crate) fn headers(endpoint: &Endpoint) -> Result<HeaderMap, ConnectError> {
    let refuse =
        |name: &str| ConnectError::Header { provider: endpoint.id.clone(), name: name.to_owned() };
    let secret = |name: &str, value: &str| {
        let mut value = HeaderValue::from_str(value).map_err(|_| refuse(name))?;
        value.set_sensitive(true);
        Ok(value)
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    // Compressors hold words back.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for (name, value) in &endpoint.headers {
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse(name))?;
        headers.insert(header, secret(name, value)?);
    }
    let own = headers.contains_key(AUTHORIZATION) || headers.contains_key("api-key");
    if let Some(key) = endpoint.key.as_ref().filter(|_| !own) {
        let bearer = format!("Bearer {}", key.expose().trim());
        headers.insert(AUTHORIZATION, secret("authorization", &bearer)?);
    }
    Ok(headers)
}
