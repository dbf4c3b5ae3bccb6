//! Commands that explain: doctor, policy check, sessions, configuration errors.

mod config;
mod doctor;
mod policy;
mod sessions;
