//! A patch of 1,000 hunks over 200 files: checked and applied.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use std::fmt::Write as _;
use troupe_patch::{RealFileSystem, apply, apply_journaled, parse, plan};

const FILES: usize = 200;
const CHUNKS: usize = 5;

fn tree() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut patch = "*** Begin Patch\n".to_owned();
    for file in 0..FILES {
        let lines: String = (0..200).map(|line| format!("line {line} of {file}\n")).collect();
        std::fs::write(folder.path().join(format!("f{file}.txt")), lines).unwrap();
        writeln!(patch, "*** Update File: f{file}.txt").unwrap();
        for chunk in 0..CHUNKS {
            let line = chunk * 30 + 10;
            writeln!(
                patch,
                "@@\n line {} of {file}\n-line {line} of {file}\n+changed {line}",
                line - 1
            )
            .unwrap();
        }
    }
    patch.push_str("*** End Patch");
    (folder, patch)
}

fn apply_all(criterion: &mut Criterion) {
    let journals = tempfile::tempdir().unwrap();
    for journaled in [false, true] {
        let name = if journaled { "with a journal" } else { "without a journal" };
        criterion.bench_function(name, |bench| {
            bench.iter_batched(
                tree,
                |(folder, text)| {
                    let patch = parse(&text).unwrap();
                    let plan = plan(&patch, folder.path(), &RealFileSystem).unwrap();
                    if journaled {
                        apply_journaled(&plan, &RealFileSystem, journals.path()).unwrap();
                    } else {
                        apply(&plan, &RealFileSystem).unwrap();
                    }
                    folder
                },
                BatchSize::PerIteration,
            );
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = apply_all
}
criterion_main!(benches);
