//! Kinds of faults that people met: for each a table of siblings, driven from outside.
//!
//! A row is one input. A table runs all of its rows and names every one that fails. What cannot
//! be tried on this machine says so on standard error and is counted as skipped.
//!
//! `KINDS_ROW=part` runs the rows whose names hold the part; `KINDS_RECORD=file` appends what
//! became of each row to a file.

#![cfg(target_os = "linux")]

mod bare;
mod common;
mod diagnostics;
mod empty;
mod ends;
mod guards;
mod inherited;
mod instructions;
mod patches;
mod piped;
mod printed;
mod scripts;
mod sdk;
mod sessions;
mod table;
mod waits;
