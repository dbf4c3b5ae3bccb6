//! The wire forms: each is pinned, survives a round trip, and reads what newer programs add.

mod cut_result;
mod for_model;
mod forms;
mod generate;
mod lines;
mod samples;
