//! The rules of the event stream format, and its bounds.

use super::{MAX_EVENT, SseParser, TooLarge};

fn events(pieces: &[&[u8]]) -> Vec<(String, String)> {
    let mut parser = SseParser::default();
    let mut found = Vec::new();
    let mut sink = |name: &str, data: &[u8]| {
        found.push((name.to_owned(), String::from_utf8_lossy(data).into_owned()));
    };
    for piece in pieces {
        parser.feed(piece, &mut sink).unwrap();
    }
    parser.finish(&mut sink).unwrap();
    found
}

#[test]
fn lines_end_in_any_way_and_fields_are_told_apart() {
    type Case = (&'static [u8], &'static [(&'static str, &'static str)]);
    let cases: &[Case] = &[
        (b"data: a\n\ndata:b\n\n", &[("", "a"), ("", "b")]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", &[("", "a"), ("", "b")]),
        (b"data: a\r\rdata: b\r\r", &[("", "a"), ("", "b")]),
        (b"data: a\r\n\ndata: b\n\n", &[("", "a"), ("", "b")]),
        (b"data: a\n\r\ndata: b\r\n\r", &[("", "a"), ("", "b")]),
        (b"data: a\ndata: b\n\n", &[("", "a\nb")]),
        (b"data\ndata:\n\n", &[("", "\n")]),
        (b"data:  two blanks\n\n", &[("", " two blanks")]),
        (b"event: x\ndata: 1\n\ndata: 2\n\n", &[("x", "1"), ("", "2")]),
        (b": comment\nid: 1\nretry: 5\nother: x\ndatabase: y\n\n", &[]),
        (b"event: alone\n\n", &[]),
        (b"\xEF\xBB\xBFdata: marked\n\n", &[("", "marked")]),
        (b"error: {}\n\n", &[("error", "{}")]),
        (b"data: no end", &[("", "no end")]),
        (b"data: no blank line\n", &[("", "no blank line")]),
        (b"\n\n\n", &[]),
    ];
    for (bytes, expected) in cases {
        let expected: Vec<_> =
            expected.iter().map(|(name, data)| ((*name).to_owned(), (*data).to_owned())).collect();
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(events(&[bytes]), expected, "{text:?}");
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(events(&single), expected, "{text:?} byte by byte");
    }
}

#[test]
fn an_event_is_bounded_over_lines_and_pieces() {
    let mut parser = SseParser::default();
    let piece = vec![b'x'; 8 << 20];
    let mut fed = 0;
    parser.feed(b"data: ", &mut |_, _| ()).unwrap();
    let result = loop {
        match parser.feed(&piece, &mut |_, _| ()) {
            Ok(()) => fed += piece.len(),
            Err(error) => break error,
        }
    };
    assert_eq!(result, TooLarge);
    assert!(fed <= MAX_EVENT, "{fed}");
    let mut parser = SseParser::default();
    let line = [b"data: ", &piece[..], b"\n"].concat();
    let refused = (0..9).find(|_| parser.feed(&line, &mut |_, _| ()).is_err());
    assert_eq!(refused, Some(7));
}

#[test]
fn a_large_event_gives_its_memory_back() {
    let mut parser = SseParser::default();
    let line = [b"data: ", &vec![b'x'; 4 << 20][..], b"\n\n"].concat();
    let mut size = 0;
    for piece in line.chunks(1 << 16) {
        parser.feed(piece, &mut |_, data| size = data.len()).unwrap();
    }
    assert_eq!(size, 4 << 20);
    assert!(parser.line.capacity() + parser.data.capacity() < 1 << 18);
}
