//! A provider behind HTTP, on any wire.

use crate::{
    ConnectError, EventStream, Http, Provider,
    exchange::{Unsent, exchange, failed},
    http::request_url,
    wires::{WireForm, reader},
};
use reqwest::{
    Url,
    header::{
        ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    },
};
use std::sync::Arc;
use troupe_types::{Endpoint, ModelRequest, Secret, Wire};

/// What is the same in every request to one endpoint.
pub(crate) struct Client {
    endpoint: Arc<Endpoint>,
    http: Http,
    url: Url,
    headers: HeaderMap,
    form: &'static dyn WireForm,
}

impl Client {
    pub(crate) fn new(
        endpoint: &Endpoint,
        http: &Http,
        form: &'static dyn WireForm,
    ) -> Result<Self, ConnectError> {
        Ok(Self {
            url: request_url(endpoint, form.path())?,
            headers: headers(endpoint)?,
            endpoint: Arc::new(endpoint.clone()),
            http: http.clone(),
            form,
        })
    }
}

impl Provider for Client {
    fn stream(&self, request: ModelRequest) -> EventStream {
        let body = match self.form.body(&self.endpoint, &request) {
            Ok(body) => body,
            Err(error) => return failed(error),
        };
        let reader = reader(self.form, &self.endpoint, &request.tools);
        let unsent = Unsent {
            http: self.http.clone(),
            url: self.url.clone(),
            headers: self.headers.clone(),
            body,
        };
        exchange(self.endpoint.clone(), unsent, reader)
    }

    fn wire(&self) -> Wire {
        self.endpoint.wire
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// The headers of every request. Values are marked as secret, so that HTTP logs mask them.
pub(crate) fn headers(endpoint: &Endpoint) -> Result<HeaderMap, ConnectError> {
    let refuse =
        |name: &str| ConnectError::Header { provider: endpoint.id.clone(), name: name.to_owned() };
    let secret = |name: &str, value: &Secret| {
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| refuse(name))?;
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
        let bearer = Secret::new(format!("Bearer {}", key.expose().trim()));
        headers.insert(AUTHORIZATION, secret("authorization", &bearer)?);
    }
    Ok(headers)
}
