//! `https://` with an authority of one's own.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod support;

use futures_util::TryStreamExt;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
};
use support::{
    request,
    server::{open_stream, piece, read_request},
};
use troupe_providers::{Endpoint, Http, HttpOptions, ModelError, Wire, connect};
use troupe_types::{ErrorClass, ModelEvent};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

fn serve() -> SocketAddr {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let chain = vec![CertificateDer::from_pem_file(fixture("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            if read_request(&mut stream).is_some() {
                open_stream(&mut stream);
                piece(
                    &mut stream,
                    "data: {\"choices\":[{\"delta\":{\"content\":\"safe\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
                );
                piece(&mut stream, "");
            }
        }
    });
    address
}

async fn ask(address: SocketAddr, ca: Option<&str>) -> Result<Vec<ModelEvent>, ModelError> {
    let endpoint = Endpoint::new("mock", Wire::Chat, format!("https://{address}/v1"));
    let http = Http::new(HttpOptions { ca_file: ca.map(fixture), ..HttpOptions::default() });
    connect(&endpoint, &http).unwrap().stream(request("m", "x")).try_collect().await
}

#[tokio::test]
async fn a_named_authority_is_trusted_and_an_unknown_one_is_not() {
    let address = serve();
    assert_eq!(ask(address, Some("ca.pem")).await.unwrap().len(), 4);
    let error = ask(address, None).await.unwrap_err();
    assert_eq!(error.failure.class, ErrorClass::Network);
    assert!(error.to_string().contains("SSL_CERT_FILE"), "{error}");
    for (file, part) in [("missing.pem", "missing.pem"), ("server.key", "no PEM certificate")] {
        let error = ask(address, Some(file)).await.unwrap_err();
        assert_eq!(error.failure.class, ErrorClass::Config);
        assert!(error.to_string().contains(part), "{error}");
    }
}
