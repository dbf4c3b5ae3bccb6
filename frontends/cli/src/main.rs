//! The `troupe` program.
fn main() {}
