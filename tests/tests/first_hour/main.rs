//! A newcomer's first hour: what people try first, and what goes wrong then.

mod bare;
mod diagnostics;
mod ends;
mod guards;
mod inherited;
mod instructions;
mod patches;
mod printed;
mod scripts;
mod waits;
mod wires;
