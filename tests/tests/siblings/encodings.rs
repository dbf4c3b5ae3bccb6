//! Bodies that were compressed unasked, and characters.

use super::{
    common::*,
    table::{row, skip, table},
};
use serde_json::json;
use std::{
    io::Write,
    process::{Command, Stdio},
};
use troupe_tests::model_server::*;

/// What a program of Python makes of `data`: it writes bytes to `out`.
fn python(code: &str, data: &[u8]) -> Vec<u8> {
    let code = format!(
        "import sys,gzip,zlib\ndata=sys.stdin.buffer.read()\nout=sys.stdout.buffer.write\n{code}"
    );
    let mut python = Command::new("python3");
    python.args(["-c", &code]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = python.spawn() else { skip("needs python3") };
    child.stdin.take().unwrap().write_all(data).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

const GZIP: &str = "out(gzip.compress(data))";

fn encoded(turn: Turn, encoding: &str) -> Turn {
    turn.header("content-encoding", encoding)
}

#[test]
fn answers() {
    let mut rows = Vec::new();
    for (name, encoding, code) in [
        (
            "two members",
            "gzip",
            "h=len(data)//2; out(gzip.compress(data[:h])+gzip.compress(data[h:]))",
        ),
        ("in capitals", "GZIP", GZIP),
        ("by its old name", "x-gzip", GZIP),
        ("beside identity", "identity, gzip", GZIP),
        ("zlib", "deflate", "out(zlib.compress(data))"),
        (
            "bare deflate",
            "deflate",
            "c=zlib.compressobj(9,zlib.DEFLATED,-15); out(c.compress(data)+c.flush())",
        ),
        (
            "flushed at each event",
            "gzip",
            "c=zlib.compressobj(9,zlib.DEFLATED,31)\nfor e in data.split(b'\\n\\n'): out(c.compress(e+b'\\n\\n')+c.flush(zlib.Z_SYNC_FLUSH))\nout(c.flush())",
        ),
        (
            "with a name and a comment",
            "gzip",
            "import io\nb=io.BytesIO()\nf=gzip.GzipFile('name.txt','wb',9,b)\nf.write(data)\nf.close()\nout(b.getvalue())",
        ),
        ("stored, not compressed", "gzip", "out(gzip.compress(data,0))"),
        ("identity", "identity", "out(data)"),
        ("none", "none", "out(data)"),
        ("an empty header", "", "out(data)"),
        ("utf-8", "utf-8", "out(data)"),
    ] {
        for wire in WIRES {
            rows.push(row(format!("{wire:?}: read: {name}"), move || {
                let bytes = python(code, answer(wire, "hello wörld").as_bytes());
                let ran = first(wire, encoded(stream(bytes), encoding));
                ran.completes_saying("hello wörld");
                assert_eq!(ran.server.requests().len(), 1, "{}", ran.told());
            }));
        }
    }
    // Read, or named: both are right.
    for (name, encoding, code) in [
        ("a header of gzip and a plain body", Some("gzip"), "out(data)"),
        ("gzip and no header", None, GZIP),
        ("gzip twice", Some("gzip, gzip"), "out(gzip.compress(gzip.compress(data)))"),
        (
            "gzip twice and one in the header",
            Some("gzip"),
            "out(gzip.compress(gzip.compress(data)))",
        ),
    ] {
        for wire in WIRES {
            rows.push(row(format!("{wire:?}: read or named: {name}"), move || {
                let bytes = python(code, answer(wire, "hello wörld").as_bytes());
                let turn = stream(bytes);
                let turn =
                    encoding.map_or(turn.clone(), |encoding| encoded(turn.clone(), encoding));
                let ran = only(wire, turn);
                if ran.finished.code() == Some(0) {
                    ran.completes_saying("hello wörld");
                } else {
                    ran.fails_telling(&["gzip"]);
                }
            }));
        }
    }
    for (encoding, word) in
        [("br", "br"), ("zstd", "zstd"), ("compress", "compress"), ("gzip, br", "br")]
    {
        rows.push(row(format!("named, and asked for once: {encoding}"), move || {
            for wire in WIRES {
                let ran = first(
                    wire,
                    encoded(stream(b"\x28\xb5\x2f\xfd\x04\x00\x81\xff".to_vec()), encoding),
                );
                ran.fails_telling(&[word]);
                assert!(ran.server.requests().len() <= 2, "{}", ran.told());
            }
        }));
        rows.push(row(format!("an error is named by its number, too: {encoding}"), move || {
            let turn = encoded(
                fault(422, "application/json", b"\x8b\x02\x80\xff\xfe\x03".to_vec()),
                encoding,
            );
            only(Wire::Chat, turn).fails_telling(&[word, "422"]);
        }));
    }
    for wire in WIRES {
        rows.push(row(
            format!("{wire:?}: a compressed answer that is cut short is asked for again"),
            move || {
                let whole = python(GZIP, (answer(wire, "hello ") + &"x".repeat(9000)).as_bytes());
                let cut =
                    encoded(stream(whole[..whole.len() - 20].to_vec()), "gzip").close_delimited();
                let ran = first(wire, cut);
                ends(&ran.finished, 0);
            },
        ));
        rows.push(row(
            format!("{wire:?}: a compressed answer that breaks in the middle of its words"),
            move || {
                let text: Vec<String> = (0..400).map(|n| format!("w{}", n * 7919 % 1000)).collect();
                let whole = python(GZIP, answer(wire, &text.join(" ")).as_bytes());
                let half =
                    encoded(stream(whole[..whole.len() / 2].to_vec()), "gzip").close_delimited();
                let ran = first(wire, half.then(say("done")));
                ends(&ran.finished, 0);
                assert!(ran.said().concat().ends_with("done"), "{:?}", ran.said());
                assert_eq!(retries(&ran.finished).len(), 1, "{}", ran.told());
            },
        ));
        rows.push(row(format!("{wire:?}: compressed, one byte at a time"), move || {
            let bytes = python(GZIP, answer(wire, "hello wörld").as_bytes());
            // Bytes in one piece are sent at a point of an empty stream.
            let turn = encoded(events([]).raw_at(0, bytes), "gzip").chunks_of(1);
            first(wire, turn).completes_saying("hello wörld");
        }));
        rows.push(row(
            format!("{wire:?}: characters are whole, whatever the type says of them"),
            move || {
                let turn = body("text/event-stream; charset=ISO-8859-1", answer(wire, "ä€😀"));
                first(wire, turn).completes_saying("ä€😀");
                let turn = events([]).raw_at(0, answer(wire, "ä€😀")).chunks_of(1);
                first(wire, turn).completes_saying("ä€😀");
            },
        ));
    }
    table("siblings: encodings of answers", &[], rows);
}

#[test]
fn errors() {
    let mut rows = Vec::new();
    const WANTED: &str = "the vault is closed on Sundays";
    for (name, encoding, code, words) in [
        ("cut short", "gzip", "out(gzip.compress(data)[:-9])", vec!["422"]),
        ("only its head", "gzip", "out(gzip.compress(data)[:10])", vec!["422"]),
        (
            "damaged",
            "gzip",
            "g=bytearray(gzip.compress(data)); g[14]^=255; out(bytes(g))",
            vec!["422"],
        ),
        (
            "in two members",
            "gzip",
            "out(gzip.compress(data[:9])+gzip.compress(data[9:]))",
            vec![WANTED],
        ),
        (
            "bare deflate",
            "deflate",
            "c=zlib.compressobj(9,zlib.DEFLATED,-15); out(c.compress(data)+c.flush())",
            vec![WANTED],
        ),
        ("not compressed at all", "gzip", "out(data)", vec!["422"]),
        ("by its old name", "X-Gzip", GZIP, vec![WANTED]),
        (
            "a page",
            "gzip",
            "out(gzip.compress(b'<html><title>Vault closed</title></html>'))",
            vec!["HTML", "Vault closed"],
        ),
        ("empty", "gzip", "pass", vec!["422"]),
        (
            "two hundred megabytes of nothing",
            "gzip",
            "out(gzip.compress(bytes(200<<20)))",
            vec!["422"],
        ),
    ] {
        rows.push(row(format!("422: {name}"), move || {
            let value = json!({ "error": { "message": WANTED } }).to_string();
            let turn =
                encoded(fault(422, "application/json", python(code, value.as_bytes())), encoding);
            only(Wire::Responses, turn).fails_telling(&words);
        }));
    }
    rows.push(row("422: a compressed body that is not named so is not shown as it is", || {
        let value = json!({ "error": { "message": WANTED } }).to_string();
        only(Wire::Chat, fault(422, "application/json", python(GZIP, value.as_bytes())))
            .fails_telling(&["422"]);
    }));
    rows.push(row("429: the wait in a compressed body is read", || {
        let value =
            json!({ "error": { "message": "slow down. Please try again in 1.5s" } }).to_string();
        let turn = encoded(fault(429, "application/json", python(GZIP, value.as_bytes())), "gzip");
        let ran = first(Wire::Chat, turn.then(say("done")));
        ends(&ran.finished, 0);
        assert_eq!(retries(&ran.finished), [(1, 1500)], "{}", ran.told());
    }));
    table("siblings: encodings of errors", &[], rows);
}
