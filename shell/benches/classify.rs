//! How long it takes to judge a script of 2 kB.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use criterion::{Criterion, criterion_group, criterion_main};
use std::{ffi::OsStr, hint::black_box, path::Path};
use troupe_shell::{Context, classify_script};

fn classify(criterion: &mut Criterion) {
    let context = Context { cwd: Path::new("/"), path: OsStr::new("/usr/bin:/bin") };
    let line = "for f in $(find . -name '*.rs'); do grep -n \"fn $f\" \"$f\" | sed -n 1,5p || echo none; done\n";
    let script = line.repeat(2048 / line.len());
    criterion.bench_function("a script of 2 kB", |bench| {
        bench.iter(|| black_box(classify_script(black_box(&script), &context)));
    });
    let mut parser = tree_sitter::Parser::new();
    parser.set_language(&tree_sitter_bash::LANGUAGE.into()).unwrap();
    criterion.bench_function("parsing alone", |bench| {
        bench.iter(|| black_box(parser.parse(black_box(&script), None)));
    });
    criterion.bench_function("one command", |bench| {
        bench.iter(|| black_box(classify_script(black_box("git status --short"), &context)));
    });
}

criterion_group!(benches, classify);
criterion_main!(benches);
