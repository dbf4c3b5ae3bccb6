//! One file per command.

pub(crate) mod apply_patch;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod docs;
pub(crate) mod doctor;
pub(crate) mod exec;
pub(crate) mod grow_log;
pub(crate) mod policy;
pub(crate) mod recover;
pub(crate) mod sandbox;
pub(crate) mod sessions;
pub(crate) mod top;
