//! Any text as a file of rules, ours and Codex's: what is taken over is a file of ours.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use troupe_policy::{RuleBook, import_codex};

fuzz_target!(|text: &str| {
    let _ = RuleBook::default().add(text, Path::new("rules.toml"));
    if let Ok((ours, _)) = import_codex(text) {
        // Self-tests and empty prefixes may be refused; that it is TOML of ours may not.
        if let Err(error) = RuleBook::default().add(&ours, Path::new("translation")) {
            let why = error.to_string();
            assert!(why.contains("match") || why.contains("prefix") || why.contains("reason"), "{why}");
        }
    }
});
