//! `grep_files` on real trees.

use super::{folder, stops, text, text_within};

#[test]
fn searches() {
    let dir = folder(&[
        ("src/a.rs", b"fn one() {}\nlet x = 1;\nfn two() {}\n"),
        ("src/deep/b.rs", b"// fn three\n"),
        ("c.txt", b"fn in text\r\nend\r\n"),
        (".github/ci.yml", b"run: fn\n"),
        (".git/config", b"fn\n"),
        (".gitignore", b"ignored/\n*.log\n"),
        ("ignored/x.rs", b"fn ignored\n"),
        ("y.log", b"fn log\n"),
        ("bin", b"fn\0\n"),
    ]);
    let table = [
        (
            r#"{"pattern":"fn"}"#,
            ".github/ci.yml:1:run: fn\nc.txt:1:fn in text\nsrc/a.rs:1:fn one() {}\nsrc/a.rs:3:fn two() {}\nsrc/deep/b.rs:1:// fn three",
        ),
        (r#"{"pattern":"^fn \\w+$","path":"src"}"#, "No matches in 2 files."),
        (r#"{"pattern":"^fn t"}"#, "src/a.rs:3:fn two() {}"),
        (r#"{"pattern":"text$"}"#, "c.txt:1:fn in text"),
        (r#"{"pattern":"(?i)FN ONE"}"#, "src/a.rs:1:fn one() {}"),
        (r#"{"pattern":"fn","path":"src/deep"}"#, "src/deep/b.rs:1:// fn three"),
        (r#"{"pattern":"fn","path":"c.txt"}"#, "c.txt:1:fn in text"),
        (r#"{"pattern":"fn","path":"y.log"}"#, "y.log:1:fn log"),
        (
            r#"{"pattern":"fn t","include":"*.rs"}"#,
            "src/a.rs:3:fn two() {}\nsrc/deep/b.rs:1:// fn three",
        ),
        (r#"{"pattern":"fn t","include":"src/*.rs"}"#, "src/a.rs:3:fn two() {}"),
        (r#"{"pattern":"fn","include":["*.{txt,yml}","!c.*"]}"#, ".github/ci.yml:1:run: fn"),
        (r#"{"pattern":"fn","include":"*.log"}"#, "No matches in 0 files."),
        (
            r#"{"pattern":"fn","limit":2}"#,
            ".github/ci.yml:1:run: fn\nc.txt:1:fn in text\n[first 2 matches, there are more: narrow the search or raise limit]",
        ),
        (
            r#"{"pattern":"one|let|two","limit":3}"#,
            "src/a.rs:1:fn one() {}\nsrc/a.rs:2:let x = 1;\nsrc/a.rs:3:fn two() {}",
        ),
        (
            r#"{"pattern":"let|fn three","context":1}"#,
            "src/a.rs-1-fn one() {}\nsrc/a.rs:2:let x = 1;\nsrc/a.rs-3-fn two() {}\n--\nsrc/deep/b.rs:1:// fn three",
        ),
        (r#"{"pattern":"fn","path":"bin"}"#, "error: cannot search @/bin: it is a binary file"),
        (r#"{"pattern":"fn","path":"scr"}"#, "error: @/scr does not exist (similar in @: src)"),
    ];
    for (arguments, expected) in table {
        assert_eq!(text(dir.path(), "grep_files", arguments), expected, "{arguments}");
    }
}

#[test]
fn places_that_do_not_touch_are_set_apart() {
    let dir = folder(&[("a", b"x\n1\n2\n3\nx\n4\n5\n6\nx\n"), ("b", b"x\n")]);
    let table = [
        (
            r#"{"pattern":"x","context":1}"#,
            "a:1:x\na-2-1\n--\na-4-3\na:5:x\na-6-4\n--\na-8-6\na:9:x\n--\nb:1:x",
        ),
        (
            r#"{"pattern":"x","context":1,"limit":1}"#,
            "a:1:x\na-2-1\n[first 1 matches, there are more: narrow the search or raise limit]",
        ),
        (
            r#"{"pattern":"x","context":1,"limit":2}"#,
            "a:1:x\na-2-1\n--\na-4-3\na:5:x\na-6-4\n[first 2 matches, there are more: narrow the search or raise limit]",
        ),
    ];
    for (arguments, expected) in table {
        assert_eq!(text(dir.path(), "grep_files", arguments), expected, "{arguments}");
    }
}

#[test]
fn a_pattern_that_is_no_regex_is_explained() {
    let dir = folder(&[]);
    let shown = text(dir.path(), "grep_files", r#"{"pattern":"foo(bar"}"#);
    assert!(shown.contains("error:\n    foo(bar\nerror: unclosed group"), "{shown}");
    assert!(shown.contains("Rust regex"), "{shown}");
    let shown = text(dir.path(), "grep_files", r#"{"pattern":"a[b-a]"}"#);
    assert!(shown.contains("error:\n    a[b-a]\n      ^^^\nerror: invalid"), "{shown}");
    let shown = text(dir.path(), "grep_files", r#"{"pattern":"(?=x)"}"#);
    assert!(shown.contains("look-around"), "{shown}");
    let shown = text(dir.path(), "grep_files", r#"{"pattern":"a\\nb"}"#);
    assert!(shown.contains("not allowed"), "{shown}");
    let shown = text(dir.path(), "grep_files", r#"{"pattern":"a","include":"{a"}"#);
    assert!(shown.starts_with("error: `include` is not a glob"), "{shown}");
}

#[test]
fn a_binary_file_takes_its_matches_back() {
    // The NUL is far behind the first match, past the first buffer.
    let late = [b"needle\n".to_vec(), b"text\n".repeat(60_000), b"\0".to_vec()].concat();
    let dir = folder(&[("a", b"needle a\n"), ("late", &late), ("z", b"needle z\n")]);
    let shown = text(dir.path(), "grep_files", r#"{"pattern":"needle"}"#);
    assert_eq!(shown, "a:1:needle a\nz:1:needle z");
}

#[test]
fn long_lines_and_many_matches_stay_within_the_budget() {
    let long = format!("{}é{}\n", "x".repeat(399), "y".repeat(1000));
    let many = "match\n".repeat(2000);
    let dir = folder(&[("a", long.as_bytes()), ("b", many.as_bytes()), ("c", b"caf\xE9 match\n")]);
    let shown = text(dir.path(), "grep_files", r#"{"pattern":"xy|xé"}"#);
    assert_eq!(shown, format!("a:1:{}…[1002 more bytes]", "x".repeat(399)));
    let shown = text_within(dir.path(), 300, "grep_files", r#"{"pattern":"match","limit":2000}"#);
    assert!(shown.len() <= 1200, "{}", shown.len());
    assert!(shown.contains("[output full after "), "{shown}");
    let shown = text(dir.path(), "grep_files", r#"{"pattern":"match","path":"c"}"#);
    assert_eq!(shown, "c:1:caf\u{FFFD} match");
}

#[test]
fn a_search_stops_when_told() {
    let big = b"line of text\n".repeat(200_000);
    let dir = folder(&[("a", &big), ("b", b"x\n")]);
    assert!(stops(dir.path(), "grep_files", r#"{"pattern":"x"}"#, 0));
    // Within one file.
    assert!(stops(dir.path(), "grep_files", r#"{"pattern":"zzz","path":"a"}"#, 5));
}

#[cfg(unix)]
#[test]
fn what_cannot_be_read_is_counted() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = folder(&[("a", b"x\n"), ("b", b"x\n")]);
    let closed = dir.path().join("b");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&closed).is_ok() {
        return super::skip::skipped(
            "what_cannot_be_read_is_counted",
            "needs a user whom permissions bind: not root",
        );
    }
    let shown = text(dir.path(), "grep_files", r#"{"pattern":"x"}"#);
    assert_eq!(shown, "a:1:x\n[1 files could not be read]");
    let shown = text(dir.path(), "grep_files", r#"{"pattern":"x","path":"b"}"#);
    assert_eq!(shown, "error: cannot search @/b: permission denied");
}
