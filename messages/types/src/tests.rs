//! The wire forms: each is pinned, survives a round trip, and reads what newer programs add.

mod forms;
mod generate;
mod lines;
mod samples;
