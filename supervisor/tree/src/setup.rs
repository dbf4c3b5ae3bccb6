//! What a company is started with.

use std::{path::PathBuf, sync::Arc};
use troupe_config::{Config, ProviderConfig};
use troupe_kit::Faults;
use troupe_providers::{Endpoint, HttpOptions};
use troupe_recorder::{LogHook, ScribesOptions};

/// What a company is started with.
#[derive(Clone)]
pub struct Setup {
    /// Where session logs are.
    pub sessions_dir: PathBuf,
    /// The configuration; sessions name its providers.
    pub config: Arc<Config>,
    /// What the HTTP clients may use.
    pub http: HttpOptions,
    /// The shell commands run in; by default the user's.
    pub shell: Option<PathBuf>,
    /// Faults to inject, for tests and demonstrations.
    pub faults: Faults,
    /// Told of each step of writing a log, for tests.
    pub log_hook: Option<Arc<dyn LogHook>>,
}
