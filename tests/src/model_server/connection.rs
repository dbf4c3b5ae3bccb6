//! One connection of a client: requests one after the other, until either side ends it.

use super::{
    Request, Wire, check_request,
    http::{self, Incoming, Unread},
    record::{Ended, Record},
    script::{Chosen, Play},
    sender::{Asked, Ending, Sender, Sent},
    turn,
};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::Instant,
};
use tokio::net::TcpStream;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) record: Record,
    pub(crate) play: Mutex<Play>,
}

/// Serves a connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, mut stream: TcpStream) {
    let connection = shared.record.change(|facts| {
        facts.connections += 1;
        facts.open_connections += 1;
        facts.connections - 1
    });
    let mut unread = Unread::default();
    let _ = stream.set_nodelay(true);
    loop {
        match http::read(&mut stream, &mut unread).await {
            Ok(Some(incoming)) => {
                let request = Arc::new(note(&shared, connection, incoming));
                if !answer(&shared, &request, &mut stream, &mut unread).await {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                let invalid = error.kind() == std::io::ErrorKind::InvalidData;
                let text = format!("connection {connection}: {error}");
                shared.record.change(|facts| facts.violations.extend(invalid.then_some(text)));
                break;
            }
        }
    }
    drop(stream);
    shared.record.change(|facts| facts.open_connections -= 1);
}

/// Records a request and checks it.
fn note(shared: &Shared, connection: usize, incoming: Incoming) -> Request {
    let Incoming { method, path, headers, body } = incoming;
    let wire = Wire::of(&method, &path);
    let body_bytes = body.len();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let at = Instant::now();
    let wrong = wire.is_model().then(|| check_request(&body).err()).flatten();
    shared.record.change(|facts| {
        let index = facts.requests.len();
        let request =
            Request { index, connection, wire, method, path, headers, body, body_bytes, at };
        facts.violations.extend(wrong.map(|error| format!("request {index}: {error}")));
        facts.requests.push(Arc::new(request.clone()));
        facts.ended.push(None);
        request
    })
}

/// Answers; `true` when the connection can go on.
async fn answer(
    shared: &Shared,
    request: &Request,
    stream: &mut TcpStream,
    unread: &mut Unread,
) -> bool {
    let chosen = choose(shared, request);
    let model = request.body["model"].as_str().unwrap_or_default();
    let streaming = !request.wire.is_model() || request.body["stream"] == true;
    let asked = Asked { wire: request.wire, model, stream: streaming, name: &chosen.name };
    let sent = Sender::new(stream, unread).send(&chosen.answer, &asked).await;
    let Sent { ending, keep_alive, missed } = sent;
    shared.record.change(|facts| {
        facts.ended[request.index] = Some(Ended { ending, at: Instant::now() });
        facts.violations.extend(missed.iter().map(|point| {
            format!("request {}: the answer ended before its scripted {point:?}", request.index)
        }));
    });
    keep_alive && ending == Ending::Sent && request.header("connection") != Some("close")
}

fn choose(shared: &Shared, request: &Request) -> Chosen {
    let mut play = shared.play.lock().unwrap();
    if let Some(chosen) = play.choose(request) {
        return chosen;
    }
    let turn = match request.wire {
        Wire::Models => {
            let entry = |id: &String| json!({"id": id, "object": "model", "owned_by": "test"});
            let list: Vec<_> = play.script.model_ids().iter().map(entry).collect();
            turn::status(200).body(json!({"object": "list", "data": list}).to_string())
        }
        Wire::Other => turn::status(404),
        Wire::Responses | Wire::Chat => {
            let text = format!(
                "request {}: nothing is scripted at position {}",
                request.index,
                request.position()
            );
            shared.record.change(|facts| facts.violations.push(text.clone()));
            turn::status(400).body(json!({"error": {"message": text}}).to_string())
        }
    };
    Chosen { answer: turn.reply(0, request), name: "unscripted".to_owned() }
}
