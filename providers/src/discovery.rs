//! Finding model servers on this machine.

use crate::{Http, http::request_url, unpacked::Body};
use futures_util::future::join_all;
use serde::Deserialize;
use std::time::Duration;
use troupe_timer::within;
use troupe_types::{Endpoint, Wire};

/// Where the usual local servers listen: id and base URL.
pub const LOCAL_SERVERS: [(&str, &str); 4] = [
    ("ollama", "http://127.0.0.1:11434/v1"),
    ("lmstudio", "http://127.0.0.1:1234/v1"),
    ("llamacpp", "http://127.0.0.1:8080/v1"),
    ("vllm", "http://127.0.0.1:8000/v1"),
];

/// Limits of one probe: for the connection, and for all of it.
const CONNECT: Duration = Duration::from_millis(300);
const PROBE: Duration = Duration::from_secs(2);

/// The largest list of models read, in bytes.
pub(crate) const MAX_LIST: usize = 4 << 20;

/// A server that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The id it was probed under.
    pub id: String,
    /// Its base URL.
    pub base_url: String,
    /// The models it offers, in its order; possibly none.
    pub models: Vec<String>,
}

/// Asks every candidate (id, base URL) for its models, all at once, and returns those that answered, in
/// the order of the candidates. A connection that takes more than 300 ms counts as no server.
pub async fn discover(
    candidates: &[(impl AsRef<str>, impl AsRef<str>)],
    http: &Http,
) -> Vec<Found> {
    let probes = candidates.iter().map(|(id, base_url)| {
        let mut endpoint = Endpoint::new(id.as_ref(), Wire::Chat, base_url.as_ref());
        endpoint.connect_timeout = CONNECT;
        async move {
            let models = within(PROBE, models(&endpoint, http)).await.ok()??;
            Some(Found { id: endpoint.id, base_url: endpoint.base_url, models })
        }
    });
    join_all(probes).await.into_iter().flatten().collect()
}

#[derive(Deserialize)]
struct List {
    /// OpenAI's form.
    data: Option<Vec<Model>>,
    /// Other forms.
    models: Option<Vec<Model>>,
}

#[derive(Deserialize)]
struct Model {
    id: Option<String>,
    name: Option<String>,
}

async fn models(endpoint: &Endpoint, http: &Http) -> Option<Vec<String>> {
    let url = request_url(endpoint, "models").ok()?;
    let client = http.client(&url, endpoint.connect_timeout).await.ok()?;
    let response = client.get(url).send().await.ok()?.error_for_status().ok()?;
    let mut unpacked = Body::new(response);
    let mut body = Vec::new();
    while let Some(piece) = unpacked.chunk().await.ok()? {
        body.extend_from_slice(piece.as_ref());
        if body.len() > MAX_LIST {
            return None;
        }
    }
    list_of(&body)
}

/// The names in a list of models; `None` if it is something else: another program on the port may
/// answer with any JSON.
pub(crate) fn list_of(body: &[u8]) -> Option<Vec<String>> {
    let list: List = serde_json::from_slice(body).ok()?;
    let models = list.data.or(list.models)?;
    Some(models.into_iter().filter_map(|model| model.id.or(model.name)).collect())
}
