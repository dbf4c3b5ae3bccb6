//! The configuration: many sources, one typed value, and the place of everything.
//!
//! Every setting is in one table (`keys`), which checks what is written, suggests what was meant
//! and makes the reference. Reading touches only files that exist and starts nothing.

mod config;
mod error;
mod file;
mod keys;
mod load;
mod meant;
mod near;
mod places;
mod provider;
mod secrets;
mod shared_file;
mod show;
mod source;
mod toml_text;

#[cfg(test)]
mod tests;

pub use config::{Config, ShellEnvironment, WorkspaceWrite};
pub use error::{ConfigError, Place};
pub use file::{MAX_SETTINGS_FILE, Unreadable, read_settings, settings_in};
pub use load::{LoadOptions, Loaded, SYSTEM_FILE, load};
pub use near::nearest_name;
pub use places::{Env, Places};
pub use provider::{Choice, ProviderTable, key_variables};
pub use secrets::{looks_like_key, shown, shown_url};
pub use shared_file::update_shared;
pub use show::{reference, show, show_json};
pub use source::Warning;
pub use toml_text::{toml_key, toml_list, toml_string};
