//! The readers of untrusted text: the parser and the recogniser of shell commands. Whatever the
//! bytes, they must end without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = troupe_patch::is_bare_patch(text);
    let _ = troupe_patch::parse(text);
    // Inside the frame the parser comes further.
    let _ = troupe_patch::parse(&format!("*** Begin Patch\n{text}\n*** End Patch"));
    if let Some(found) = troupe_patch::intercept(text) {
        let _ = troupe_patch::parse(&found.patch);
    }
});
