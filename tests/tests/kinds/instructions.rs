//! Files the model is told about: links, budgets, encodings, other names.

use super::{
    common::{all, completes, fifo, go, is_root, link, none, put, saying, told},
    table::{Row, row, table},
};
use std::{fs, time::Duration};
use troupe_tests::{
    model_server::*,
    stage::{Finished, Stage},
};

/// Runs in a folder below the workspace; what was sent, and the run.
fn sent(stage: &Stage, server: &ModelServer, folder: &str, more: &[&str]) -> (String, Finished) {
    let run =
        stage.troupe(["exec", "--json"]).args(more).arg("go").folder(stage.work().join(folder));
    let finished = go(run.limit(Duration::from_secs(15)));
    completes(&finished);
    let request = server.requests().pop().expect("a request");
    (request.body.to_string(), finished)
}

/// A file that must not reach the provider, and must be named.
fn leaks(name: &'static str, make: fn(&Stage), more: &'static [&'static str]) -> Row {
    row(format!("not sent: {name}"), move || {
        let (server, stage) = saying("ok");
        make(&stage);
        let (body, finished) = sent(&stage, &server, ".", more);
        none(&body, &["THE-SECRET"]);
        let told = told(&finished).to_uppercase();
        assert!(
            told.contains(".MD") || told.contains(".ENV") || told.contains("KEY.PEM"),
            "named to the user: {told}"
        );
    })
}

const SECRET: &str = "THE-SECRET\n";

#[test]
fn links() {
    let mut rows = vec![
        leaks(
            "~/.aws",
            |s| {
                put(s.home().join(".aws/credentials"), SECRET);
                link(s.home().join(".aws/credentials"), s.work().join("AGENTS.md"));
            },
            &[],
        ),
        leaks(
            "~/.netrc",
            |s| {
                put(s.home().join(".netrc"), SECRET);
                link(s.home().join(".netrc"), s.work().join("AGENTS.md"));
            },
            &[],
        ),
        leaks(
            "~/.git-credentials",
            |s| {
                put(s.home().join(".git-credentials"), SECRET);
                link("../home/.git-credentials", s.work().join("AGENTS.md"));
            },
            &[],
        ),
        leaks(
            "~/.config/gh",
            |s| {
                put(s.home().join(".config/gh/hosts.yml"), SECRET);
                link(s.home().join(".config/gh/hosts.yml"), s.work().join("AGENTS.md"));
            },
            &[],
        ),
        leaks(
            "a history of a shell",
            |s| {
                put(s.home().join(".bash_history"), SECRET);
                link(s.home().join(".bash_history"), s.work().join("AGENTS.md"));
            },
            &[],
        ),
        leaks(
            "a chain of links",
            |s| {
                put(s.home().join(".ssh/id"), SECRET);
                link(s.home().join(".ssh/id"), s.work().join("one"));
                link("one", s.work().join("two"));
                link("two", s.work().join("AGENTS.md"));
            },
            &[],
        ),
        leaks(
            "through a linked folder",
            |s| {
                put(s.home().join(".ssh/id"), SECRET);
                link(s.home().join(".ssh"), s.work().join("notes"));
                link("notes/id", s.work().join("AGENTS.md"));
            },
            &[],
        ),
        leaks(
            "the workspace's .env",
            |s| {
                s.write(".env", SECRET);
                link(".env", s.work().join("AGENTS.md"));
            },
            &[],
        ),
        leaks(
            "a pattern of the configuration",
            |s| {
                s.write("key.pem", SECRET);
                link("key.pem", s.work().join("AGENTS.md"));
            },
            &["-c", "sandbox_deny_read=[\"**/*.pem\"]"],
        ),
        leaks(
            "a path of the configuration",
            |s| {
                put(s.root().join("private/notes"), SECRET);
                link("../private/notes", s.work().join("AGENTS.md"));
            },
            &["-c", "sandbox_deny_read=[\"~/../private\"]"],
        ),
        leaks(
            "CLAUDE.md",
            |s| {
                put(s.home().join(".ssh/id"), SECRET);
                link(s.home().join(".ssh/id"), s.work().join("CLAUDE.md"));
            },
            &[],
        ),
        leaks(
            "a fallback name",
            |s| {
                put(s.home().join(".ssh/id"), SECRET);
                link(s.home().join(".ssh/id"), s.work().join("NOTES.md"));
            },
            &["-c", "project_doc_fallback_filenames=[\"NOTES.md\"]"],
        ),
        leaks(
            "a fallback that is a secret itself",
            |s| s.write(".env", SECRET),
            &["-c", "project_doc_fallback_filenames=[\".env\"]"],
        ),
        leaks(
            "with writing allowed",
            |s| {
                put(s.home().join(".ssh/id"), SECRET);
                link(s.home().join(".ssh/id"), s.work().join("AGENTS.md"));
            },
            &["-s", "workspace-write"],
        ),
    ];
    rows.push(row("not sent: a folder above", || {
        let (server, stage) = saying("ok");
        put(stage.home().join(".ssh/id"), SECRET);
        link(stage.home().join(".ssh/id"), stage.work().join("AGENTS.md"));
        stage.write("sub/AGENTS.md", "SUB-RULE\n");
        let (body, _finished) = sent(&stage, &server, "sub", &[]);
        none(&body, &["THE-SECRET"]);
        all(&body, &["SUB-RULE"]);
    }));
    rows.push(row("not sent: /etc/shadow", || {
        if !is_root() {
            super::table::skip("only root can read it at all");
        }
        let (server, stage) = saying("ok");
        link("/etc/shadow", stage.work().join("AGENTS.md"));
        let (body, _finished) = sent(&stage, &server, ".", &[]);
        none(&body, &["root:"]);
    }));
    rows.push(row("not sent: the environment of the process", || {
        let (server, stage) = saying("ok");
        link("/proc/self/environ", stage.work().join("AGENTS.md"));
        let run = stage.troupe(["exec", "--json", "go"]).env("SOME_TOKEN", "THE-SECRET");
        completes(&go(run));
        none(&server.requests()[0].body.to_string(), &["THE-SECRET"]);
    }));
    rows.push(row("not sent: a log of a session", || {
        let (server, stage) = saying("ok");
        completes(&go(stage.troupe(["exec", "--json", "THE-SECRET"])));
        link(stage.log().path(), stage.work().join("AGENTS.md"));
        sent(&stage, &server, ".", &["-c", "model_verbosity=low"]);
        none(&server.requests().pop().unwrap().body.to_string(), &["THE-SECRET"]);
    }));
    rows.push(row("sent: a link to notes that commands may read", || {
        let (server, stage) = saying("ok");
        put(stage.root().join("shared/rules.md"), "SHARED-RULE\n");
        link("../shared/rules.md", stage.work().join("AGENTS.md"));
        let (body, _finished) = sent(&stage, &server, ".", &[]);
        all(&body, &["SHARED-RULE"]);
    }));
    for (name, make) in [
        ("a fifo", (|s| fifo(s.work().join("AGENTS.md"))) as fn(&Stage)),
        ("a folder", |s| fs::create_dir(s.work().join("AGENTS.md")).unwrap()),
        ("a link that leads nowhere", |s| link("none", s.work().join("AGENTS.md"))),
        ("a link to itself", |s| link("AGENTS.md", s.work().join("AGENTS.md"))),
        ("a file that never ends", |s| link("/dev/zero", s.work().join("AGENTS.md"))),
        ("a terminal", |s| link("/dev/tty", s.work().join("AGENTS.md"))),
    ] {
        rows.push(row(format!("no hang: {name}"), move || {
            let (server, stage) = saying("ok");
            make(&stage);
            let (_body, finished) = sent(&stage, &server, ".", &[]);
            assert!(finished.took < Duration::from_secs(10));
            if name != "a folder" {
                all(&told(&finished), &["AGENTS.md"]);
            }
        }));
    }
    table("instructions: links", &[], rows);
}

#[test]
fn budgets() {
    let lines = |word: &str, count: usize| format!("{word}\n").repeat(count);
    let mut rows = Vec::new();
    rows.push(row("nearer files win over three levels", move || {
        let (server, stage) = saying("ok");
        stage.write("AGENTS.md", lines("ROOT", 8000));
        stage.write("a/AGENTS.md", format!("MIDDLE-FIRST\n{}", lines("mid", 5000)));
        stage.write("a/b/AGENTS.md", "NEAREST-RULE\n");
        let (body, finished) = sent(&stage, &server, "a/b", &[]);
        all(&body, &["NEAREST-RULE", "MIDDLE-FIRST"]);
        all(&told(&finished), &["AGENTS.md"]);
    }));
    rows.push(row("the nearest alone is beyond it", move || {
        let (server, stage) = saying("ok");
        stage.write("AGENTS.md", "ROOT-RULE\n");
        stage.write("a/AGENTS.md", format!("NEAREST-FIRST\n{}LAST-RULE\n", lines("x", 40_000)));
        let (body, finished) = sent(&stage, &server, "a", &[]);
        all(&body, &["NEAREST-FIRST"]);
        none(&body, &["LAST-RULE"]);
        all(&told(&finished), &["AGENTS.md"]);
    }));
    rows.push(row("a small budget of the configuration", move || {
        let (server, stage) = saying("ok");
        stage.write("AGENTS.md", format!("FIRST-RULE\n{}LAST-RULE\n", lines("x", 100)));
        let (body, finished) = sent(&stage, &server, ".", &["-c", "project_doc_max_bytes=100"]);
        all(&body, &["FIRST-RULE"]);
        none(&body, &["LAST-RULE"]);
        all(&told(&finished), &["AGENTS.md", "project_doc_max_bytes"]);
    }));
    rows.push(row("a cut is marked in the text", move || {
        let (server, stage) = saying("ok");
        stage.write("AGENTS.md", format!("FIRST-RULE\n{}", lines("rule", 20_000)));
        let (body, _finished) = sent(&stage, &server, ".", &[]);
        super::common::any(&body, &["truncated", "cut", "omitted", "left out"]);
    }));
    rows.push(row("a cut is an item of the JSON output", move || {
        let (server, stage) = saying("ok");
        stage.write("AGENTS.md", lines("rule", 20_000));
        let (_body, finished) = sent(&stage, &server, ".", &[]);
        let items = super::common::items(&finished, "error");
        assert!(
            items.iter().any(|item| item["message"].as_str().unwrap().contains("AGENTS.md")),
            "{}",
            finished.stdout()
        );
    }));
    rows.push(row("a cut is said to people", move || {
        let (_server, stage) = saying("ok");
        stage.write("AGENTS.md", lines("rule", 20_000));
        let finished = go(stage.troupe(["exec", "go"]));
        all(&finished.stderr(), &["AGENTS.md", "project_doc_max_bytes"]);
    }));
    for shift in 0..4 {
        rows.push(row(format!("no character is cut in two, at {shift}"), move || {
            let (server, stage) = saying("ok");
            stage.write("AGENTS.md", format!("{}{}", "x".repeat(shift), "🙂".repeat(20_000)));
            let (body, _finished) = sent(&stage, &server, ".", &[]);
            none(&body, &["\u{fffd}"]);
            assert!(body.matches('🙂').count() > 8000 - 100, "{}", body.matches('🙂').count());
        }));
    }
    rows.push(row("exactly the budget is whole", move || {
        let (server, stage) = saying("ok");
        stage.write("AGENTS.md", format!("{}LAST-RULE", "x".repeat(32_768 - 9)));
        let (body, finished) = sent(&stage, &server, ".", &[]);
        all(&body, &["LAST-RULE"]);
        none(&told(&finished), &["project_doc_max_bytes"]);
    }));
    rows.push(row("none at all when that is wanted", move || {
        let (server, stage) = saying("ok");
        stage.write("AGENTS.md", "THE-RULE\n");
        let (body, _finished) = sent(&stage, &server, ".", &["-c", "project_doc_max_bytes=0"]);
        none(&body, &["THE-RULE"]);
    }));
    rows.push(row("a file that fits is not warned about", move || {
        let (server, stage) = saying("ok");
        stage.write("AGENTS.md", "THE-RULE\n");
        let (body, finished) = sent(&stage, &server, ".", &[]);
        all(&body, &["THE-RULE"]);
        assert!(super::common::items(&finished, "error").is_empty(), "{}", finished.stdout());
    }));
    rows.push(row("the run says which files are used", move || {
        let (_server, stage) = saying("ok");
        stage.write("AGENTS.md", "THE-RULE\n");
        all(&go(stage.troupe(["exec", "go"])).stderr(), &["AGENTS.md"]);
    }));
    table("instructions: budgets", &[], rows);
}

#[test]
fn encodings_and_names() {
    let wide = |little: bool, text: &str| -> Vec<u8> {
        let mark = std::iter::once(0xfeff).chain(text.encode_utf16());
        mark.flat_map(|unit: u16| if little { unit.to_le_bytes() } else { unit.to_be_bytes() })
            .collect()
    };
    let no_mark: Vec<u8> = "THE-RULE\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut rows = Vec::new();
    for (name, bytes) in [
        ("UTF-16, little end first", wide(true, "THE-RULE\n")),
        ("UTF-16, big end first", wide(false, "THE-RULE\n")),
        ("UTF-16 without a mark", no_mark),
        ("a picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0THE-RULE".to_vec()),
        ("a zero in a text", b"THE-\0RULE\n".to_vec()),
        ("zeros beyond the first page", [vec![b'x'; 9000], vec![0; 100]].concat()),
    ] {
        for file in ["AGENTS.md", "sub/AGENTS.md"] {
            let bytes = bytes.clone();
            rows.push(row(format!("named and left out: {name}, {file}"), move || {
                let (server, stage) = saying("ok");
                stage.write(file, bytes);
                stage.write("sub/x", "");
                let (body, finished) = sent(&stage, &server, "sub", &[]);
                none(&body, &["\u{fffd}", "\\u0000", "THE-RULE", "T\\u0000H"]);
                all(&told(&finished), &["AGENTS.md"]);
            }));
        }
    }
    for (name, bytes) in [
        ("Latin 1", b"caf\xe9 THE-RULE\n".to_vec()),
        ("a truncated character", b"THE-RULE \xe2\x82".to_vec()),
    ] {
        rows.push(row(format!("left out, or read as it can be, and named: {name}"), move || {
            let (server, stage) = saying("ok");
            stage.write("AGENTS.md", bytes);
            let (_body, finished) = sent(&stage, &server, ".", &[]);
            all(&told(&finished), &["AGENTS.md", "UTF-8"]);
        }));
    }
    rows.push(row("a mark of UTF-8 is taken off", || {
        let (server, stage) = saying("ok");
        stage.write("AGENTS.md", "\u{feff}THE-RULE\n");
        let (body, _finished) = sent(&stage, &server, ".", &[]);
        all(&body, &["THE-RULE"]);
        none(&body, &["\u{feff}"]);
    }));
    rows.push(row("CRLF is read", || {
        let (server, stage) = saying("ok");
        stage.write("AGENTS.md", "ONE\r\nTHE-RULE\r\n");
        all(&sent(&stage, &server, ".", &[]).0, &["THE-RULE"]);
    }));
    rows.push(row("CLAUDE.md where there is no AGENTS.md", || {
        let (server, stage) = saying("ok");
        stage.write("CLAUDE.md", "CLAUDE-RULE\n");
        let (body, finished) = sent(&stage, &server, ".", &[]);
        all(&body, &["CLAUDE-RULE"]);
        let people = go(stage.troupe(["exec", "go"]));
        all(&people.stderr(), &["CLAUDE.md"]);
        drop(finished);
    }));
    rows.push(row("CLAUDE.md beside AGENTS.md is not read", || {
        let (server, stage) = saying("ok");
        stage.write("CLAUDE.md", "CLAUDE-RULE\n");
        stage.write("AGENTS.md", "AGENTS-RULE\n");
        let (body, _finished) = sent(&stage, &server, ".", &[]);
        all(&body, &["AGENTS-RULE"]);
        none(&body, &["CLAUDE-RULE"]);
    }));
    rows.push(row("CLAUDE.md of a folder below an AGENTS.md", || {
        let (server, stage) = saying("ok");
        stage.write("AGENTS.md", "AGENTS-RULE\n");
        stage.write("sub/CLAUDE.md", "CLAUDE-RULE\n");
        all(&sent(&stage, &server, "sub", &[]).0, &["AGENTS-RULE", "CLAUDE-RULE"]);
    }));
    rows.push(row("CLAUDE.md of the root above", || {
        let (server, stage) = saying("ok");
        stage.write("CLAUDE.md", "CLAUDE-RULE\n");
        stage.write("sub/x", "");
        all(&sent(&stage, &server, "sub", &[]).0, &["CLAUDE-RULE"]);
    }));
    rows.push(row("a CLAUDE.md that links to AGENTS.md is read once", || {
        let (server, stage) = saying("ok");
        stage.write("AGENTS.md", "THE-RULE\n");
        link("AGENTS.md", stage.work().join("CLAUDE.md"));
        assert_eq!(sent(&stage, &server, ".", &[]).0.matches("THE-RULE").count(), 1);
    }));
    rows.push(row("an AGENTS.md that links to CLAUDE.md is read once", || {
        let (server, stage) = saying("ok");
        stage.write("CLAUDE.md", "THE-RULE\n");
        link("CLAUDE.md", stage.work().join("AGENTS.md"));
        assert_eq!(sent(&stage, &server, ".", &[]).0.matches("THE-RULE").count(), 1);
    }));
    rows.push(row("named fallbacks come before CLAUDE.md", || {
        let (server, stage) = saying("ok");
        stage.write("CLAUDE.md", "CLAUDE-RULE\n");
        stage.write("NOTES.md", "NOTES-RULE\n");
        let more = ["-c", "project_doc_fallback_filenames=[\"NOTES.md\"]"];
        all(&sent(&stage, &server, ".", &more).0, &["NOTES-RULE"]);
    }));
    table("instructions: encodings, names", &[], rows);
}
