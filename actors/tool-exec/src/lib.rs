//! (skeleton)

pub mod output;
pub mod tools;
