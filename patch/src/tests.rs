//! The language's rules, one room for each step, over real files in a temporary directory.

mod apply;
mod chunks;
mod cli;
mod disk;
mod endings;
mod errors;
mod intercept;
mod parse;
mod plan;
mod properties;
mod scenarios;
mod seek;
mod spec;
mod tree;
