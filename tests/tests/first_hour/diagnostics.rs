//! Commands that explain: doctor, policy check, sessions, configuration errors.
