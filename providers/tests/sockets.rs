//! Real sockets: deadlines, refusals, breaks, cancellation, reuse.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod support;

use futures_util::{StreamExt, TryStreamExt};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::channel,
    time::{Duration, Instant},
};
use support::{
    lines, request,
    server::{Request, answer, open_stream, piece, serve, until_closed},
};
use troupe_providers::{
    Endpoint, Http, HttpOptions, ModelError, Proxies, Retry, Secret, Wire, connect, discover,
};
use troupe_types::{ErrorClass, ModelEvent, ModelRequest};

const KEY: &str = "sk-secret-0123456789";
const LONG: Duration = Duration::from_secs(20);

fn endpoint(address: SocketAddr, wire: Wire) -> Endpoint {
    let mut endpoint = Endpoint::new("mock", wire, format!("http://{address}/v1"));
    endpoint.key = Some(Secret::new(KEY));
    endpoint.key_env = Some("MOCK_KEY".to_owned());
    endpoint
}

async fn ask(endpoint: &Endpoint) -> Result<Vec<ModelEvent>, ModelError> {
    ask_with(endpoint, &Http::default(), request("m", "hello")).await
}

async fn ask_with(
    endpoint: &Endpoint,
    http: &Http,
    request: ModelRequest,
) -> Result<Vec<ModelEvent>, ModelError> {
    connect(endpoint, http).unwrap().stream(request).try_collect().await
}

const CHAT: &str = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ok\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
const RESPONSES: &str = "data: {\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n\ndata: {\"type\":\"response.output_item.done\",\"item\":{\"type\":\"message\",\"id\":\"msg_1\",\"content\":[{\"type\":\"output_text\",\"text\":\"ok\"}]}}\n\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\"}}\n\n";

fn stream_of(request: &Request) -> &'static str {
    if request.head.starts_with("POST /v1/chat/completions") { CHAT } else { RESPONSES }
}

#[tokio::test]
async fn a_request_carries_what_was_configured_and_its_answer_is_read() {
    for (wire, path, id) in [
        (Wire::Chat, "/v1/chat/completions?api-version=2025-04-01-preview", "-"),
        (Wire::Responses, "/v1/responses?api-version=2025-04-01-preview", "msg_1"),
    ] {
        let (address, requests) = serve(|stream, request| {
            open_stream(stream);
            piece(stream, stream_of(request));
            piece(stream, "");
            true
        });
        let mut endpoint = endpoint(address, wire);
        endpoint.query = vec![("api-version".to_owned(), Secret::new("2025-04-01-preview"))];
        endpoint.headers = vec![("X-Team".to_owned(), Secret::new("blue"))];
        let events = ask(&endpoint).await.unwrap();
        let seen = lines(&events);
        assert_eq!(seen[seen.len() - 2], format!("done 0 assistant {id} ok"));
        let (_, request) = requests.recv_timeout(LONG).unwrap();
        let head = request.head.to_ascii_lowercase();
        assert!(request.head.starts_with(&format!("POST {path} HTTP/1.1")), "{head}");
        assert!(head.contains(&format!("authorization: bearer {KEY}")), "{head}");
        assert!(head.contains("x-team: blue") && head.contains("user-agent: troupe/"), "{head}");
        assert!(request.body.contains("\"stream\":true"), "{}", request.body);
    }
}

#[tokio::test]
async fn one_connection_serves_one_request_after_the_other() {
    let (address, requests) = serve(|stream, request| {
        open_stream(stream);
        piece(stream, stream_of(request));
        piece(stream, "");
        true
    });
    let (endpoint, http) = (endpoint(address, Wire::Chat), Http::default());
    for _ in 0..3 {
        ask_with(&endpoint, &http, request("m", "x")).await.unwrap();
        assert_eq!(requests.recv_timeout(LONG).unwrap().0, 0, "a second connection was opened");
    }
}

#[tokio::test]
async fn silence_before_and_within_the_answer_is_limited() {
    let (address, _requests) = serve(|stream, request| {
        if request.body.contains("silent") {
            return !until_closed(stream);
        }
        open_stream(stream);
        if request.body.contains("headers") {
            return !until_closed(stream);
        }
        piece(stream, "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n");
        !until_closed(stream)
    });
    let mut endpoint = endpoint(address, Wire::Chat);
    endpoint.first_byte_timeout = Duration::from_millis(60);
    for text in ["silent", "headers"] {
        let error = ask_with(&endpoint, &Http::default(), request("m", text)).await.unwrap_err();
        assert_eq!((error.failure.class, error.retry), (ErrorClass::Timeout, Retry::Backoff));
        let text = error.to_string();
        assert!(
            text.contains("60ms") && text.contains("model_providers.mock.first_byte_timeout_ms"),
            "{text}"
        );
    }
    endpoint.first_byte_timeout = LONG;
    endpoint.idle_timeout = Duration::from_millis(70);
    let provider = connect(&endpoint, &Http::default()).unwrap();
    let events: Vec<_> = provider.stream(request("m", "begin")).collect().await;
    assert_eq!(events.len(), 3);
    let error = events[2].as_ref().unwrap_err();
    assert_eq!((error.failure.class, error.retry), (ErrorClass::Timeout, Retry::Backoff));
    let text = error.to_string();
    assert!(text.contains("70ms") && text.contains("stream_idle_timeout_ms"), "{text}");
}

#[tokio::test]
async fn silence_after_the_last_word_is_the_end() {
    let (address, _requests) = serve(|stream, _| {
        open_stream(stream);
        piece(stream, CHAT.split("data: [DONE]").next().unwrap());
        !until_closed(stream)
    });
    let mut endpoint = endpoint(address, Wire::Chat);
    endpoint.idle_timeout = Duration::from_millis(50);
    let events = ask(&endpoint).await.unwrap();
    assert!(matches!(events.last(), Some(ModelEvent::Completed { .. })));
}

#[tokio::test]
async fn a_break_after_words_that_are_all_called_the_last_is_a_cut() {
    let (address, _requests) = serve(|stream, request| {
        open_stream(stream);
        let word =
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n";
        piece(stream, word);
        request.body.contains("silent") && !until_closed(stream)
    });
    let mut endpoint = endpoint(address, Wire::Chat);
    let error = ask(&endpoint).await.unwrap_err();
    assert_eq!((error.failure.class, error.retry), (ErrorClass::Network, Retry::Backoff));
    // A server that neither says that it is done nor closes is done in the end.
    endpoint.idle_timeout = Duration::from_millis(50);
    let events = ask_with(&endpoint, &Http::default(), request("m", "silent")).await.unwrap();
    assert!(matches!(events.last(), Some(ModelEvent::Completed { .. })));
}

#[tokio::test]
async fn packed_answers_and_refusals_are_read_or_named() {
    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }
    for (encoding, status, body, expected) in [
        ("gzip", "200 OK", gzip(CHAT), Ok("done 0 assistant - ok")),
        ("", "200 OK", gzip(CHAT), Ok("done 0 assistant - ok")),
        ("gzip", "404 No", gzip("{\"error\":{\"message\":\"not loaded\"}}"), Err("not loaded")),
        ("br", "200 OK", b"\x8b\x02".to_vec(), Err("compressed (br)")),
        ("br", "500 No", b"\x8b\x02".to_vec(), Err("compressed (br)")),
        ("gzip", "200 OK", gzip(CHAT)[..40].to_vec(), Err("ended before the answer was complete")),
    ] {
        let (address, requests) = serve(move |stream, _| {
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-encoding: {encoding}\r\ncontent-length: {length}\r\n\r\n"
            );
            let _ = stream.write_all(&body);
            true
        });
        let answer = ask(&endpoint(address, Wire::Chat)).await;
        match expected {
            Ok(line) => assert!(lines(&answer.unwrap()).contains(&line.to_owned()), "{encoding}"),
            Err(part) => {
                let error = answer.unwrap_err().to_string();
                assert!(error.contains(part), "{encoding} {status}: {error}");
            }
        }
        let head = requests.recv_timeout(LONG).unwrap().1.head.to_ascii_lowercase();
        assert!(head.contains("accept-encoding: identity"), "{head}");
    }
}

#[tokio::test]
async fn no_server_is_told_with_address_and_setting() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = ask(&endpoint(free, Wire::Responses)).await.unwrap_err();
    assert_eq!((error.failure.class, error.retry), (ErrorClass::Network, Retry::Backoff));
    assert_eq!(error.status, None);
    let text = error.to_string();
    for part in [&free.to_string(), "refused", "model_providers.mock.base_url"] {
        assert!(text.contains(part), "{text}");
    }
    let nowhere = Endpoint::new("openai", Wire::Responses, "http://nowhere.invalid/v1");
    let error = ask(&nowhere).await.unwrap_err();
    let text = error.to_string();
    // Without a name server nobody can say that the name is unknown.
    let unknown = text.contains("no such host is known");
    let retry = if unknown { Retry::Doubtful { most: 1 } } else { Retry::Backoff };
    assert_eq!((error.failure.class, error.retry), (ErrorClass::Network, retry), "{text}");
    assert!(unknown || text.contains("Temporary failure"), "{text}");
    assert!(!text.contains("is it running"), "{text}");
    assert!(text.contains("nowhere.invalid:80") && text.contains("openai_base_url"), "{text}");
}

#[tokio::test]
async fn a_broken_connection_is_a_cut_after_what_had_arrived() {
    let (address, _requests) = serve(|stream, _| {
        open_stream(stream);
        piece(stream, "data: {\"type\":\"response.output_text.delta\",\"delta\":\"par\"}\n\n");
        false
    });
    let provider = connect(&endpoint(address, Wire::Responses), &Http::default()).unwrap();
    let events: Vec<_> = provider.stream(request("m", "x")).collect().await;
    assert_eq!(events.len(), 3);
    assert_eq!(events[1], Ok(ModelEvent::Text { index: 0, delta: "par".to_owned() }));
    let error = events[2].as_ref().unwrap_err();
    assert_eq!((error.failure.class, error.retry), (ErrorClass::Network, Retry::Backoff));
    assert!(error.to_string().contains("stream ended before the answer was complete"), "{error}");
}

/// Answers with the status, headers and body the user's text asks for.
fn refusing(stream: &mut TcpStream, request: &Request) -> bool {
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    let wanted = body["messages"][1]["content"].as_str().unwrap();
    let mut parts = wanted.splitn(3, '|');
    let (status, headers) = (parts.next().unwrap(), parts.next().unwrap());
    let headers = if headers.is_empty() { String::new() } else { format!("{headers}\r\n") };
    answer(stream, status, &headers, parts.next().unwrap());
    true
}

#[tokio::test]
async fn each_status_has_its_class_and_its_retry() {
    use ErrorClass::*;
    let (address, _requests) = serve(refusing);
    let (endpoint, http) = (endpoint(address, Wire::Chat), Http::default());
    let after = |ms| Retry::After(Duration::from_millis(ms));
    let cases = [
        (
            "401 No||{\"error\":{\"message\":\"Incorrect API key provided: sk-secret-0123456789\"}}",
            Auth,
            Retry::Never,
            "MOCK_KEY",
        ),
        ("403 No||{\"detail\":\"forbidden\"}", Auth, Retry::Never, "forbidden"),
        (
            "400 Bad||{\"error\":{\"message\":\"bad tool\",\"type\":\"invalid_request_error\"}}",
            InvalidRequest,
            Retry::Never,
            "bad tool",
        ),
        (
            "422 Bad||{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"field required\"}]}",
            InvalidRequest,
            Retry::Never,
            "field required",
        ),
        (
            "404 No||{\"error\":\"model 'x' not found, try pulling it first\"}",
            InvalidRequest,
            Retry::Never,
            "try pulling it",
        ),
        (
            "400 Bad||{\"error\":{\"code\":\"context_length_exceeded\",\"message\":\"too long\"}}",
            ContextWindow,
            Retry::Never,
            "too long",
        ),
        (
            "400 Bad||{\"error\":{\"code\":400,\"message\":\"request (9 tokens) exceeds the available context size (8 tokens)\",\"type\":\"exceed_context_size_error\",\"n_ctx\":8}}",
            ContextWindow,
            Retry::Never,
            "9 tokens",
        ),
        (
            "400 Bad||{\"object\":\"error\",\"message\":\"This model's maximum context length is 8 tokens.\",\"type\":\"BadRequestError\",\"code\":400}",
            ContextWindow,
            Retry::Never,
            "8 tokens",
        ),
        (
            "400 Bad||{\"error\":{\"message\":\"The image data you provided does not represent a valid image.\"}}",
            InvalidRequest,
            Retry::Never,
            "image of the conversation",
        ),
        (
            "402 Pay||{\"error\":{\"message\":\"Insufficient Balance\"}}",
            Quota,
            Retry::Never,
            "Insufficient Balance",
        ),
        (
            "429 Slow||{\"error\":{\"type\":\"usage_limit_reached\",\"message\":\"limit\",\"resets_at\":99999999999}}",
            Quota,
            Retry::Never,
            "renewed in",
        ),
        (
            "429 Slow||{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"check your plan\"}}",
            Quota,
            Retry::Never,
            "plan",
        ),
        (
            "429 Slow|retry-after: 1|{\"error\":{\"message\":\"injected\"}}",
            RateLimit,
            after(1000),
            "injected",
        ),
        ("429 Slow|retry-after-ms: 250|{}", RateLimit, after(250), "429"),
        ("429 Slow|retry-after: Sun, 06 Nov 1994 08:49:37 GMT|", RateLimit, after(0), "429"),
        (
            "429 Slow||{\"error\":{\"message\":\"Please try again in 20ms.\"}}",
            RateLimit,
            after(20),
            "20ms",
        ),
        ("429 Slow||slow down", RateLimit, Retry::Backoff, "slow down"),
        (
            "500 Oops||{\"error\":{\"message\":\"boom\"}}",
            Server,
            Retry::Doubtful { most: 2 },
            "boom",
        ),
        (
            "500 Oops||{\"error\":{\"code\":500,\"message\":\"image input is not supported - hint: mmproj\",\"type\":\"server_error\"}}",
            Server,
            Retry::Doubtful { most: 2 },
            "image input",
        ),
        (
            "500 Oops||{\"error\":{\"message\":\"no\",\"type\":\"invalid_request_error\"}}",
            InvalidRequest,
            Retry::Never,
            "no",
        ),
        ("500 Oops|retry-after: 2|{}", Server, after(2000), "500"),
        ("501 No||{}", InvalidRequest, Retry::Never, "501"),
        ("504 Late||{}", Server, Retry::Backoff, "504"),
        ("529 Busy||{\"error\":{\"type\":\"overloaded_error\"}}", Server, Retry::Backoff, "529"),
        (
            "429 Slow|retry-after: 99999999999999999999999|",
            RateLimit,
            Retry::After(Duration::MAX),
            "429",
        ),
        (
            "429 Slow||[{\"error\":{\"code\":429,\"message\":\"quota\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.Help\"},{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"34.5s\"}]}}]",
            RateLimit,
            after(34_500),
            "quota",
        ),
        ("503 Busy||{\"retry_after\":7}", Server, after(7000), "503"),
        ("503 Busy||{\"detail\":{\"retryAfterMs\":\"70\"}}", Server, after(70), "503"),
        (
            "429 Slow||{\"error\":{\"message\":\"free\",\"code\":429,\"metadata\":{\"headers\":{\"X-RateLimit-Remaining\":\"0\",\"X-RateLimit-Reset\":\"90s\"}}}}",
            RateLimit,
            after(90_000),
            "free",
        ),
        (
            "404 No||{\"error\":{\"message\":\"The model `x` does not exist or you do not have access to it.\",\"code\":\"model_not_found\"}}",
            InvalidRequest,
            Retry::Never,
            "`-m` or the setting `model`",
        ),
        (
            "404 No||{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"model: x\"}}",
            InvalidRequest,
            Retry::Never,
            "`-m`",
        ),
        (
            "400 Bad||{\"error\":{\"message\":\"x is not a valid model ID\",\"code\":400}}",
            InvalidRequest,
            Retry::Never,
            "`-m`",
        ),
        (
            "404 No||{\"error\":{\"code\":\"DeploymentNotFound\",\"message\":\"The API deployment for this resource does not exist.\"}}",
            InvalidRequest,
            Retry::Never,
            "`-m`",
        ),
        (
            "403 No||{\"error\":{\"message\":\"Project does not have access to model x\",\"code\":\"model_not_found\"}}",
            Auth,
            Retry::Never,
            "`-m`",
        ),
        (
            "503 Busy|retry-after: 2|{\"error\":{\"code\":\"server_is_overloaded\"}}",
            Server,
            after(2000),
            "503",
        ),
        (
            "502 Bad||<html><head><title>502 Bad Gateway</title></head></html>",
            Server,
            Retry::Backoff,
            "502 Bad Gateway",
        ),
        ("408 Late||", Server, Retry::Backoff, "408"),
        ("409 Conflict||", Server, Retry::Backoff, "409"),
        ("425 Early||", Server, Retry::Backoff, "425"),
        (
            "307 Moved|location: https://elsewhere.example/v1|",
            InvalidRequest,
            Retry::Never,
            "elsewhere.example",
        ),
    ];
    for (wanted, class, retry, part) in cases {
        let error = ask_with(&endpoint, &http, request("m", wanted)).await.unwrap_err();
        let text = error.to_string();
        assert_eq!((error.failure.class, error.retry), (class, retry), "{wanted}: {text}");
        assert_eq!(error.status.map(|status| status.to_string()).as_deref(), wanted.get(..3));
        assert!(text.contains(part) && text.contains("mock"), "{text}");
        assert!(!text.contains(KEY) && !format!("{error:?}").contains(KEY), "{text}");
    }
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    for talks in [false, true] {
        let (closed, gone) = channel();
        let (arrived, here) = channel();
        let (address, _requests) = serve(move |stream, _| {
            if talks {
                open_stream(stream);
                piece(stream, "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n");
            }
            arrived.send(()).unwrap();
            closed.send(until_closed(stream)).unwrap();
            false
        });
        let provider = connect(&endpoint(address, Wire::Chat), &Http::default()).unwrap();
        let mut stream = provider.stream(request("m", "x"));
        if talks {
            assert!(matches!(stream.next().await, Some(Ok(ModelEvent::Opened { .. }))));
        } else {
            let wait = tokio::time::timeout(Duration::from_millis(1), stream.next());
            assert!(wait.await.is_err());
            while here.try_recv().is_err() {
                let wait = tokio::time::timeout(Duration::from_millis(1), stream.next());
                assert!(wait.await.is_err());
            }
        }
        drop(stream);
        let begun = Instant::now();
        while gone.try_recv().is_err() {
            tokio::task::yield_now().await;
            assert!(begun.elapsed() < LONG, "the connection stays open (talks: {talks})");
        }
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn an_event_of_20_mb_arrives_whole_and_one_beyond_the_limit_is_refused() {
    let (address, _requests) = serve(|stream, request| {
        let size = if request.body.contains("beyond") { 65 << 20 } else { 20_000_000 };
        let text = "x".repeat(size);
        open_stream(stream);
        piece(
            stream,
            &format!("data: {{\"type\":\"response.output_text.delta\",\"delta\":\"{text}\"}}\n\n"),
        );
        piece(stream, "data: {\"type\":\"response.completed\",\"response\":{}}\n\n");
        piece(stream, "");
        true
    });
    let endpoint = endpoint(address, Wire::Responses);
    let events = ask(&endpoint).await.unwrap();
    assert!(matches!(&events[1], ModelEvent::Text { delta, .. } if delta.len() == 20_000_000));
    let error = ask_with(&endpoint, &Http::default(), request("m", "beyond")).await.unwrap_err();
    assert_eq!((error.failure.class, error.retry), (ErrorClass::Server, Retry::Never));
    assert!(error.to_string().contains("64 MiB"), "{error}");
}

#[tokio::test]
async fn a_document_instead_of_a_stream_is_read() {
    let (address, _requests) = serve(|stream, request| {
        let body = if request.head.contains("chat") {
            r#"{"id":"d","choices":[{"message":{"role":"assistant","content":"whole"},"finish_reason":"stop"}]}"#
        } else {
            r#"{"id":"d","object":"response","output":[{"type":"message","content":[{"type":"output_text","text":"whole"}]}]}"#
        };
        answer(stream, "200 OK", "content-type: application/json\r\n", body);
        true
    });
    for wire in [Wire::Chat, Wire::Responses] {
        let seen = lines(&ask(&endpoint(address, wire)).await.unwrap());
        assert_eq!(seen[seen.len() - 2], "done 0 assistant - whole");
    }
}

#[tokio::test]
async fn local_servers_are_found_with_their_models() {
    let (address, _requests) = serve(|stream, request| {
        if request.head.starts_with("GET /v1/models ") {
            answer(
                stream,
                "200 OK",
                "",
                r#"{"object":"list","data":[{"id":"qwen3:8b"},{"id":"gpt-oss:20b"}]}"#,
            );
        } else {
            answer(stream, "200 OK", "", "{\"hello\":1}");
        }
        true
    });
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let candidates = [
        ("dead", format!("http://{free}/v1")),
        ("ollama", format!("http://{address}/v1")),
        ("other", format!("http://{address}/elsewhere")),
    ];
    let found = discover(&candidates, &Http::default()).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].id.as_str(), found[0].models.len()), ("ollama", 2));
    assert_eq!(found[0].base_url, format!("http://{address}/v1"));
    assert_eq!(found[0].models[1], "gpt-oss:20b");
}

#[test]
fn connecting_costs_next_to_nothing_and_refuses_what_cannot_work() {
    let endpoint = Endpoint::new("local", Wire::Chat, "http://127.0.0.1:8080/v1/");
    let http = Http::new(HttpOptions::default());
    let begun = Instant::now();
    connect(&endpoint, &http).unwrap();
    assert!(begun.elapsed() < Duration::from_millis(20), "{:?}", begun.elapsed());
    for url in ["", "127.0.0.1:8080/v1", "ftp://host/v1"] {
        let endpoint = Endpoint::new("local", Wire::Chat, url);
        let error = connect(&endpoint, &http).err().expect(url).to_string();
        assert!(error.contains("model_providers.local.base_url"), "{error}");
    }
    let mut endpoint = Endpoint::new("local", Wire::Chat, "http://127.0.0.1:8080/v1");
    endpoint.key = Some(Secret::new("line\nbreak"));
    let error = connect(&endpoint, &http).err().expect("a header").to_string();
    assert!(error.contains("authorization") && !error.contains("break"), "{error}");
}

#[tokio::test]
async fn a_model_that_is_not_there_is_no_wrong_url_or_wire() {
    for (wire, body, model) in [
        (Wire::Responses, "{\"error\":{\"message\":\"model 'x' not found\"}}", true),
        (Wire::Chat, "{\"error\":\"model 'x' not found, try pulling it first\"}", true),
        (Wire::Responses, "{\"detail\":\"Not Found\"}", false),
        (Wire::Responses, "404 page not found", false),
    ] {
        let (address, _requests) = serve(move |stream, _| {
            answer(stream, "404 Not Found", "", body);
            false
        });
        let text = ask(&endpoint(address, wire)).await.unwrap_err().to_string();
        assert_eq!(text.contains("`-m`"), model, "{text}");
        assert_eq!(text.contains("speak this wire"), !model, "{text}");
    }
}

#[tokio::test]
async fn who_cannot_be_reached_is_asked_about_in_the_right_words() {
    let http = Http::default();
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let near = ask_with(&endpoint(unused, Wire::Chat), &http, request("m", "go")).await;
    let text = near.unwrap_err().to_string();
    assert!(text.contains("is it running?") && text.contains(&unused.to_string()), "{text}");
}

/// Clients that go through a proxy for every host.
fn through(proxy: &str) -> Http {
    let value = std::ffi::OsString::from(proxy);
    let proxies = Proxies::new(|name| (name == "ALL_PROXY").then(|| value.clone()));
    Http::new(HttpOptions { proxies, ..HttpOptions::default() })
}

#[tokio::test]
async fn a_server_is_asked_through_an_http_or_a_socks_proxy() {
    let far = Endpoint::new("far", Wire::Chat, "http://models.example.invalid/v1");
    let (address, requests) = serve(|stream, _| {
        open_stream(stream);
        piece(stream, CHAT);
        piece(stream, "");
        false
    });
    let http = through(&format!("http://{address}"));
    assert!(ask_with(&far, &http, request("m", "x")).await.is_ok());
    let head = requests.recv_timeout(LONG).unwrap().1.head;
    assert!(head.starts_with("POST http://models.example.invalid/v1/"), "{head}");

    // A SOCKS proxy that knows one host: itself.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socks = listener.local_addr().unwrap();
    let (asked, wanted) = channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut hello, mut to) = ([0; 2], [0; 5]);
        stream.read_exact(&mut hello).unwrap();
        stream.read_exact(&mut vec![0; hello[1].into()]).unwrap();
        stream.write_all(&[5, 0]).unwrap();
        stream.read_exact(&mut to).unwrap();
        let mut host = vec![0; usize::from(to[4]) + 2];
        stream.read_exact(&mut host).unwrap();
        asked.send(String::from_utf8_lossy(&host[..host.len() - 2]).into_owned()).unwrap();
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        support::server::read_request(&mut stream);
        open_stream(&mut stream);
        piece(&mut stream, CHAT);
        piece(&mut stream, "");
    });
    let http = through(&format!("socks5h://{socks}"));
    assert!(ask_with(&far, &http, request("m", "x")).await.is_ok());
    assert_eq!(wanted.recv_timeout(LONG).unwrap(), "models.example.invalid");
}

#[tokio::test]
async fn a_proxy_that_does_not_work_is_named_with_its_variable() {
    let far = |scheme: &str| {
        Endpoint::new("far", Wire::Chat, format!("{scheme}://models.example.invalid/v1"))
    };
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for scheme in ["http", "https"] {
        for kind in ["http", "socks5", "socks5h"] {
            let http = through(&format!("{kind}://me:hidden-word@{dead}"));
            let error = ask_with(&far(scheme), &http, request("m", "x")).await.unwrap_err();
            let text = error.to_string();
            assert_eq!(error.failure.class, ErrorClass::Network, "{text}");
            assert!(text.contains("ALL_PROXY") && !text.contains("hidden-word"), "{text}");
            assert!(text.contains(&dead.to_string()) && !text.contains("is it running"), "{text}");
        }
    }
    for (value, part) in [("gopher://p:1", "`gopher`"), ("http://", "ALL_PROXY")] {
        let error = ask_with(&far("http"), &through(value), request("m", "x")).await.unwrap_err();
        assert_eq!((error.failure.class, error.retry), (ErrorClass::Config, Retry::Never));
        assert!(error.to_string().contains(part), "{error}");
    }
    for (status, part) in [("407 Auth", "wants credentials"), ("503 No", "came through the proxy")]
    {
        let (address, _requests) = serve(move |stream, _| {
            answer(stream, status, "", "");
            true
        });
        let http = through(&format!("http://{address}"));
        let error = ask_with(&far("http"), &http, request("m", "x")).await.unwrap_err();
        assert!(
            error.to_string().contains(part) && error.to_string().contains("ALL_PROXY"),
            "{error}"
        );
    }
}
