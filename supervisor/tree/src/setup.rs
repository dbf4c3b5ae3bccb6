//! What a company is started with.

use std::{ffi::OsString, path::PathBuf, sync::Arc};
use troupe_config::{Config, Loaded, key_variables};
use troupe_kit::Faults;
use troupe_policy::{KEPT_RULES, Pipeline, Requirements, RuleBook};
use troupe_providers::{Endpoint, HttpOptions, Proxies};
use troupe_recorder::LogHook;
use troupe_sandbox::{Credentials, EnvInherit, EnvPolicy};

/// Looks up an environment variable: where the keys of providers are.
pub type Variables = Arc<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// What a company is started with.
#[derive(Clone)]
pub struct Setup {
    /// Where session logs are.
    pub sessions_dir: PathBuf,
    /// The configuration: sessions name its providers.
    pub config: Arc<Config>,
    /// Where keys are looked up.
    pub variables: Variables,
    /// What the HTTP clients may use.
    pub http: HttpOptions,
    /// What commands find in their environment.
    pub environment: EnvPolicy,
    /// What decides on what may run.
    pub policy: Pipeline,
    /// The shell commands run in; by default the user's.
    pub shell: Option<PathBuf>,
    /// The program that starts commands; by default this one, which then has to call
    /// [`crate::run_if_launcher`] first.
    pub launcher: Option<PathBuf>,
    /// Faults to inject, for tests and demonstrations.
    pub faults: Faults,
    /// Asked at each step of writing a log, for tests.
    pub log_hook: Option<Arc<dyn LogHook>>,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("sessions_dir", &self.sessions_dir).finish_non_exhaustive()
    }
}

impl Setup {
    /// As the configuration says.
    #[must_use]
    pub fn new(loaded: &Loaded) -> Self {
        let config = &loaded.config;
        let policy = &config.shell_environment_policy;
        let variables = loaded.clone();
        Self {
            sessions_dir: loaded.places.sessions_dir.clone(),
            config: Arc::new(config.clone()),
            variables: Arc::new(move |name| variables.variable(name)),
            http: HttpOptions {
                proxies: Proxies::new(|name| loaded.variable(name)),
                ca_file: ["TROUPE_CA_CERTIFICATE", "SSL_CERT_FILE"]
                    .iter()
                    .find_map(|name| loaded.variable(name))
                    .map(PathBuf::from),
                user_agent: None,
            },
            environment: EnvPolicy {
                inherit: match policy.inherit.as_deref() {
                    Some("all") => EnvInherit::All,
                    Some("none") => EnvInherit::None,
                    _ => EnvInherit::Core,
                },
                ignore_default_excludes: policy.ignore_default_excludes,
                exclude: policy.exclude.clone(),
                set: policy.set.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
                include_only: policy.include_only.clone(),
                bin_dir: None,
                credentials: Credentials::new(
                    key_variables(config)
                        .iter()
                        .filter_map(|name| loaded.variable(name)?.into_string().ok()),
                ),
                withheld: key_variables(config),
            },
            policy: pipeline(loaded),
            shell: None,
            launcher: None,
            faults: Faults::default(),
            log_hook: None,
        }
    }

    /// The provider with this id.
    ///
    /// # Errors
    /// When there is none, or its key is missing; the text says what helps.
    pub fn endpoint(&self, id: &str) -> Result<Endpoint, String> {
        let variables = |name: &str| (self.variables)(name);
        self.config.provider(id, &variables).map_err(|error| error.to_string())
    }
}

/// The rules of the user, and what the machine's owner requires. What cannot be read refuses
/// everything, with the reason.
#[must_use]
pub fn pipeline(loaded: &Loaded) -> Pipeline {
    Pipeline {
        requirements: Requirements::load(&loaded.places.system_dir).transpose(),
        rules: Some(RuleBook::load(&[loaded.places.config_dir.join("rules")])),
        kept: Some(loaded.places.config_dir.join("rules").join(KEPT_RULES)),
        hook: None,
    }
}
