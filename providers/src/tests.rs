//! Waits and URLs.

use crate::{Endpoint, Secret, Wire, backoff, http::request_url, random};
use std::time::Duration;

#[test]
fn the_wait_doubles_with_jitter_up_to_a_limit() {
    let ms = |attempt, random| backoff(attempt, || random).as_millis();
    assert_eq!((ms(1, 0.5), ms(2, 0.5), ms(3, 0.5)), (200, 400, 800));
    assert_eq!((ms(1, 0.0), ms(1, 1.0)), (180, 220));
    assert_eq!((ms(0, 0.5), ms(100, 1.0)), (200, 30_000));
    let numbers: Vec<f64> = (0..20).map(|_| random()).collect();
    assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
    assert!(numbers.windows(2).any(|pair| pair[0] != pair[1]));
    assert!(backoff(1, random) >= Duration::from_millis(180));
}

#[test]
fn urls_are_put_together_whatever_the_base_ends_in() {
    for base in ["http://h:1/v1", "http://h:1/v1/", " http://h:1/v1/chat/completions"] {
        let endpoint = Endpoint::new("x", Wire::Chat, base);
        let url = request_url(&endpoint, "chat/completions").unwrap();
        assert_eq!(url.as_str(), "http://h:1/v1/chat/completions");
    }
    let mut endpoint = Endpoint::new("x", Wire::Responses, "https://h/openai?a=b");
    endpoint.query = vec![("api-version".to_owned(), Secret::new("2025 preview"))];
    let url = request_url(&endpoint, "responses").unwrap();
    assert_eq!(url.as_str(), "https://h/openai/responses?a=b&api-version=2025+preview");
}

#[test]
fn white_space_before_everything_is_read_the_same_in_pieces() {
    let endpoint = Endpoint::new("x", Wire::Chat, "http://h/v1");
    for body in ["\u{c}error\r\0N", " \n{\"error\":{\"message\":\"no\"}}", "\n\ndata: [DONE]\n\n"] {
        let (_, whole) = crate::read_recorded(&endpoint, &[], [body.as_bytes()]);
        let (_, pieced) = crate::read_recorded(&endpoint, &[], body.as_bytes().chunks(1));
        assert_eq!(whole, pieced, "{body:?}");
    }
}
