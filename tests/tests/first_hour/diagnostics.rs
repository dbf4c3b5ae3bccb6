//! Commands that explain: doctor, policy check, sessions, configuration errors.

mod doctor;
mod policy;
mod sessions;
