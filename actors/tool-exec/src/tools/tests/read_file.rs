//! `read_file` on real files.

use super::{folder, stops, text, text_within};
use std::fs;

#[test]
fn pages_of_a_file() {
    let lines: String = (1..=10).map(|n| format!("line {n}\n")).collect();
    let dir = folder(&[("a.txt", lines.as_bytes()), ("open.txt", b"a\n\nc")]);
    let table = [
        (r#"{"path":"open.txt"}"#, "L1: a\nL2: \nL3: c"),
        (
            r#"{"path":"a.txt","limit":2}"#,
            "L1: line 1\nL2: line 2\n[lines 1-2 of 10; next offset 3]",
        ),
        (
            r#"{"path":"a.txt","offset":4,"limit":1}"#,
            "L4: line 4\n[lines 4-4 of 10; next offset 5]",
        ),
        (r#"{"path":"a.txt","offset":9}"#, "L9: line 9\nL10: line 10"),
        (r#"{"path":"a.txt","offset":10,"limit":1}"#, "L10: line 10"),
        (r#"{"path":"open.txt","offset":3,"limit":1}"#, "L3: c"),
        (
            r#"{"path":"a.txt","offset":11}"#,
            "error: @/a.txt has only 10 lines: offset 11 is past its end",
        ),
        (
            r#"{"path":"open.txt","offset":9}"#,
            "error: @/open.txt has only 3 lines: offset 9 is past its end",
        ),
    ];
    for (arguments, expected) in table {
        assert_eq!(text(dir.path(), "read_file", arguments), expected, "{arguments}");
    }
}

#[test]
fn what_is_odd_about_a_text_is_noted() {
    let long = [vec![b'x'; 1999], "é".repeat(600).into_bytes(), b"\nend\n".to_vec()].concat();
    let dir = folder(&[
        ("crlf", b"a\r\nb\r\n"),
        ("latin", b"caf\xE9\n"),
        ("bom", b"\xEF\xBB\xBFa\n"),
        ("only-bom", b"\xEF\xBB\xBF"),
        ("empty", b""),
        ("mz", "MZ grüßt\n".as_bytes()),
        ("long", &long),
    ]);
    let table = [
        ("crlf", "L1: a\nL2: b\n[lines end with CRLF]"),
        ("latin", "L1: caf\u{FFFD}\n[bytes that are not UTF-8 are shown as \u{FFFD}]"),
        ("bom", "L1: a\n[the file begins with a byte order mark]"),
        ("only-bom", "[the file is empty]"),
        ("empty", "[the file is empty]"),
        ("mz", "L1: MZ grüßt"),
    ];
    for (name, expected) in table {
        assert_eq!(text(dir.path(), "read_file", &format!("{{\"path\":\"{name}\"}}")), expected);
    }
    let shown = text(dir.path(), "read_file", r#"{"path":"long"}"#);
    let cut = format!("L1: {}…[1200 more bytes in this line]\nL2: end", "x".repeat(1999));
    assert_eq!(shown, cut);
}

#[test]
fn what_is_not_text_is_refused_with_its_kind() {
    let dir = folder(&[
        ("sub/", b""),
        ("a.png", b"\x89PNG\r\n\x1A\nrest"),
        ("prog", b"\x7FELF\0\0"),
        ("nul", b"abc\0def"),
        ("wide", b"\xFF\xFEa\0b\0"),
        ("doc.pdf", b"%PDF-1.4 text"),
    ]);
    let table = [
        ("sub", "error: @/sub is a directory: use list_dir"),
        ("a.png", "error: @/a.png is not UTF-8 text but PNG image (12 bytes): use view_image"),
        (
            "prog",
            "error: @/prog is not UTF-8 text but ELF program or library (6 bytes): use shell with a program for such files",
        ),
        (
            "nul",
            "error: @/nul is not UTF-8 text but binary data (7 bytes): use shell with a program for such files",
        ),
        (
            "wide",
            "error: @/wide is not UTF-8 text but UTF-16 text (6 bytes): convert it with iconv -f UTF-16 -t UTF-8",
        ),
        (
            "doc.pdf",
            "error: @/doc.pdf is not UTF-8 text but PDF document (13 bytes): use shell with a program for such files",
        ),
    ];
    for (name, expected) in table {
        assert_eq!(text(dir.path(), "read_file", &format!("{{\"path\":\"{name}\"}}")), expected);
    }
}

#[test]
fn a_missing_file_brings_similar_names() {
    let dir = folder(&[("src/main.rs", b""), ("src/model.rs", b""), ("src/zzz", b"")]);
    let table = [
        ("src/mian.rs", "error: @/src/mian.rs does not exist (similar in @/src: main.rs)"),
        ("src/main.py", "error: @/src/main.py does not exist (similar in @/src: main.rs)"),
        ("scr/main.rs", "error: @/scr/main.rs does not exist (similar in @: src)"),
        ("src/qqqqqq", "error: @/src/qqqqqq does not exist (there is @/src but no qqqqqq in it)"),
        ("src/main.rs/x", "error: @/src/main.rs/x does not exist (similar in @/src: main.rs)"),
    ];
    for (name, expected) in table {
        let shown = text(dir.path(), "read_file", &format!("{{\"path\":\"{name}\"}}"));
        assert!(shown.starts_with(expected.trim_end_matches(')')), "{shown}\n{expected}");
    }
}

#[test]
fn a_page_stays_within_its_budget_and_tells_how_to_go_on() {
    let lines: String = (1..=5000).map(|n| format!("this is line {n}\n")).collect();
    let dir = folder(&[("a.txt", lines.as_bytes())]);
    let mut next = 1;
    let mut seen = 0;
    while seen < 5000 {
        let arguments = format!("{{\"path\":\"a.txt\",\"offset\":{next},\"limit\":9999}}");
        let page = text_within(dir.path(), 5000, "read_file", &arguments);
        assert!(page.len() <= 20_000, "{}", page.len());
        for line in page.lines().filter(|line| line.starts_with('L')) {
            seen += 1;
            assert_eq!(line, format!("L{seen}: this is line {seen}"));
        }
        if seen < 5000 {
            let note =
                format!("[lines {next}-{seen} of 5000; output full; next offset {}]", seen + 1);
            assert_eq!(page.lines().last(), Some(note.as_str()));
        }
        next = seen + 1;
    }
}

#[test]
fn a_huge_file_is_not_held_in_memory() {
    let dir = folder(&[]);
    let path = dir.path().join("huge");
    // Sparse: one line of 3 GB without its end, more than is counted.
    let file = fs::File::create(&path).unwrap();
    std::io::Write::write_all(&mut &file, &[b"a\n".repeat(5000), vec![b'b'; 20_000]].concat())
        .unwrap();
    file.set_len(3_000_000_000).unwrap();
    let shown = text(dir.path(), "read_file", r#"{"path":"huge","limit":2}"#);
    assert_eq!(shown, "L1: a\nL2: a\n[lines 1-2 of a large file; next offset 3]");
    assert!(stops(dir.path(), "read_file", r#"{"path":"huge","offset":9000}"#, 20));
}

#[cfg(unix)]
#[test]
fn a_device_is_refused_unread() {
    let dir = folder(&[]);
    let shown = text(dir.path(), "read_file", r#"{"path":"/dev/zero"}"#);
    assert_eq!(shown, "error: /dev/zero is a device, not a file: use shell");
}
