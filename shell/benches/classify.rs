//! How long it takes to judge scripts of 2 kB.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use criterion::{Criterion, criterion_group, criterion_main};
use std::{ffi::OsStr, hint::black_box, path::Path};
use troupe_shell::{Context, classify_script};

fn classify(criterion: &mut Criterion) {
    let context = Context { cwd: Path::new("/"), path: OsStr::new("/usr/bin:/bin") };
    let fill = |line: &str| line.repeat(2048 / line.len());
    let script = fill(
        "for f in $(find . -name '*.rs'); do grep -n \"fn $f\" \"$f\" | sed -n 1,5p || echo none; done\n",
    );
    let scripts = [
        ("2 kB: loops and pipelines", script.clone()),
        (
            "2 kB: plain lines",
            fill("cd src && git status --short && cargo test -p foo -- --nocapture\n"),
        ),
        (
            "2 kB: a here-document",
            format!("python3 - <<'EOF'\n{}EOF\n", fill("print('hello world', x)\n")),
        ),
        (
            "2 kB: a quoted message",
            format!("git commit -m \"{}\"", fill("some words of a message. ")),
        ),
        ("one command", "git status --short".to_owned()),
    ];
    for (name, script) in &scripts {
        criterion.bench_function(name, |bench| {
            bench.iter(|| black_box(classify_script(black_box(script), &context)));
        });
    }
    let mut parser = tree_sitter::Parser::new();
    parser.set_language(&tree_sitter_bash::LANGUAGE.into()).unwrap();
    criterion.bench_function("loops and pipelines: parsing alone", |bench| {
        bench.iter(|| black_box(parser.parse(black_box(&script), None)));
    });
}

criterion_group!(benches, classify);
criterion_main!(benches);
