//! Siblings of known faults: for each kind, inputs that nobody listed, driven from outside.
//!
//! The tables are those of the test `kinds`: a row is one input and what a user would call right, and
//! `KINDS_ROW=part` runs the rows whose names hold the part.

#![cfg(target_os = "linux")]

mod cancel;
mod common;
mod deadlines;
mod disk;
mod encodings;
mod ends;
mod ids;
mod items;
mod lock;
mod memory;
mod once;
mod poison;
mod proxies;
mod retries;
mod shared_files;
mod side_by_side;
#[path = "../kinds/table.rs"]
mod table;
mod usage;
mod waiting;
mod words;
