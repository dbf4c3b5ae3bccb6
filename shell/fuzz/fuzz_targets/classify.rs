//! Any bytes as a script: it is judged, whatever they are.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::{ffi::OsStr, path::Path};
use troupe_shell::{Context, classify_script};

fuzz_target!(|bytes: &[u8]| {
    let context = Context { cwd: Path::new("/"), path: OsStr::new("") };
    if let Ok(script) = std::str::from_utf8(bytes) {
        let judged = classify_script(script, &context);
        assert!(judged.parts.iter().all(|part| part.class <= judged.class));
    }
});
