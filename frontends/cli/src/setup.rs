//! From the command line to the library: configuration, places, provider, model.

use crate::{
    args::{ColorArg, ConfigArgs, SandboxArg},
    errors::CliError,
    output,
};
use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    time::Duration,
};
use troupe::{
    Asked, Http, Setup, ask_for_models,
    config::{Config, LoadOptions, Loaded, Places, load, shown_url},
    discover,
    policy::Pipeline,
};
use troupe_types::SandboxMode;

/// The remedies for a missing provider; the lines can be added to the end of the file.
fn no_provider(loaded: &Loaded, offer: &str) -> String {
    format!(
        "\
no provider of models is configured. Do one of these:
  - set OPENAI_API_KEY to use OpenAI
  - use a model server on this machine: --oss{offer}
  - add your server to the end of {}, and choose it with -c model_provider=mine:

[model_providers.mine]
base_url = \"https://models.example.com/v1\"
wire_api = \"chat\"
env_key = \"MINE_API_KEY\"
",
        loaded.places.config_file.display()
    )
}

/// The working directory of a session, which has to be text: it is noted.
pub(crate) fn working_directory(given: Option<&Path>) -> Result<PathBuf, CliError> {
    let real = directory(given)?;
    if real.to_str().is_none() {
        return Err(CliError::config(format!(
            "the name of the directory {} is not UTF-8, so a session cannot note it: rename it, or \
             reach it by a bind mount",
            real.display()
        )));
    }
    Ok(real)
}

/// A directory: the given one, or the current one; links resolved.
pub(crate) fn directory(given: Option<&Path>) -> Result<PathBuf, CliError> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => std::env::current_dir().map_err(|error| {
            CliError::config(format!("the current directory cannot be used: {error}"))
        })?,
    };
    let real = std::fs::canonicalize(&path).map_err(|error| {
        CliError::config(format!("the directory {} cannot be used: {error}", path.display()))
    })?;
    if !real.is_dir() {
        return Err(CliError::config(format!("{} is not a directory", path.display())));
    }
    Ok(real)
}

/// Features of other programs are accepted for their sake, and it is told that they do nothing.
fn features_without_effect(args: &ConfigArgs) {
    for (flag, names) in [("--enable", &args.enable), ("--disable", &args.disable)] {
        for name in names {
            output::warning(&format!(
                "{flag} {name}: troupe has no feature of this name, so it changes nothing"
            ));
        }
    }
}

/// Reads the configuration and says what is odd about it.
pub(crate) fn read(args: &ConfigArgs, cwd: &Path, flags: Vec<String>) -> Result<Loaded, CliError> {
    features_without_effect(args);
    let mut options = LoadOptions::new(cwd);
    options.overrides.clone_from(&args.overrides);
    options.overrides.extend(flags);
    options.profile.clone_from(&args.profile);
    options.ignore_user = args.ignore_user_config;
    options.strict = args.strict_config;
    let loaded = load(&options).map_err(|error| CliError::config(error.to_string()))?;
    Ok(loaded)
}

/// Warnings about the configuration, on standard error.
pub(crate) fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        output::warning(&warning.to_string());
    }
}

/// Where rules cannot be used nothing may run, and no server is asked for anything.
pub(crate) fn usable(policy: &Pipeline) -> Result<(), CliError> {
    policy.unusable().map_or(Ok(()), |why| Err(CliError::config(why)))
}

/// Where things are.
pub(crate) fn places(args: &ConfigArgs) -> Result<Places, CliError> {
    let cwd = std::env::current_dir().unwrap_or_else(|_| "/".into());
    Ok(read(args, &cwd, Vec::new())?.places)
}

/// A provider and a model, and why these.
pub(crate) struct Chosen {
    pub(crate) provider: String,
    pub(crate) why: String,
    pub(crate) model: String,
    pub(crate) stream_retries: u32,
}

/// Which provider and model are meant.
pub(crate) async fn choose(
    loaded: &Loaded,
    oss: bool,
    local: Option<&str>,
    setup: &Setup,
) -> Result<Chosen, CliError> {
    let config = &loaded.config;
    let env = |name: &str| loaded.variable(name);
    if oss || local.is_some() {
        return choose_local(loaded, local.or(config.oss_provider.as_deref()), setup).await;
    }
    let Some(choice) = config.choose_provider(&env) else {
        return Err(CliError::config(no_provider(loaded, &offer(setup).await)));
    };
    let failed = |error: troupe::config::ConfigError| CliError::config(error.to_string());
    let provider = config.provider(&choice.id, &env).map_err(failed)?;
    let model = match (&config.model, Config::default_model(&choice.id)) {
        (Some(model), _) => model.clone(),
        (None, Some(model)) => model.to_owned(),
        (None, None) => only_model(&choice.id, setup).await?,
    };
    Ok(Chosen {
        provider: choice.id,
        why: choice.why,
        model,
        stream_retries: provider.stream_max_retries,
    })
}

/// A server on this machine: the one that is named, or the first that answers.
async fn choose_local(
    loaded: &Loaded,
    wanted: Option<&str>,
    setup: &Setup,
) -> Result<Chosen, CliError> {
    let env = |name: &str| loaded.variable(name);
    let ids: Vec<&str> = match wanted {
        Some(id) => vec![id],
        None => troupe::LOCAL_SERVERS.iter().map(|(id, _)| *id).collect(),
    };
    let mut candidates = Vec::with_capacity(ids.len());
    let mut retries = Vec::with_capacity(ids.len());
    for id in ids {
        let provider = loaded.config.provider(id, &env);
        let provider = provider.map_err(|error| CliError::config(error.to_string()))?;
        retries.push((provider.id.clone(), provider.stream_max_retries));
        candidates.push((provider.id, provider.base_url));
    }
    let found = discover(&candidates, &Http::new(setup.http.clone())).await;
    let Some(server) = found.into_iter().next() else {
        let tried: Vec<String> =
            candidates.iter().map(|(id, url)| format!("  {id}: {}", shown_url(url))).collect();
        let message = format!(
            "no model server answers on this machine. Start one (`ollama serve`, LM Studio, `llama-server`); tried:\n{}",
            tried.join("\n")
        );
        return Err(CliError::Failed(troupe_types::Failure {
            class: troupe_types::ErrorClass::Config,
            message,
        }));
    };
    let model = match (&loaded.config.model, server.models.first()) {
        (Some(model), _) => model.clone(),
        (None, Some(model)) => model.clone(),
        (None, None) => {
            let text = format!(
                "{} at {} has no model: pull one, or name it with -m",
                server.id,
                shown_url(&server.base_url)
            );
            return Err(CliError::config(text));
        }
    };
    let why = format!("it answers at {}", shown_url(&server.base_url));
    let retries = retries.into_iter().find(|(id, _)| *id == server.id);
    let stream_retries = retries.map_or(0, |(_, retries)| retries);
    Ok(Chosen { provider: server.id, why, model, stream_retries })
}

/// Servers on this machine that could be used, as a hint. Never used unasked.
async fn offer(setup: &Setup) -> String {
    let found = discover(&troupe::LOCAL_SERVERS, &Http::new(setup.http.clone())).await;
    match found.first() {
        Some(server) => {
            format!(" ({} answers at {})", server.id, server.base_url)
        }
        None => String::new(),
    }
}

/// How long a server has to name its models.
const MODELS: Duration = Duration::from_secs(3);

/// The one model of a server, where none is named.
async fn only_model(id: &str, setup: &Setup) -> Result<String, CliError> {
    let endpoint = setup.endpoint(id).map_err(CliError::config)?;
    let asked = ask_for_models(&endpoint, &Http::new(setup.http.clone()), MODELS).await;
    match asked {
        Asked::Models(models) => match models.as_slice() {
            [model] => Ok(model.clone()),
            [] => Err(CliError::config(format!("provider `{id}` has no model: load one there"))),
            models => Err(CliError::config(format!(
                "provider `{id}` has several models, name one with -m: {}",
                models.join(", ")
            ))),
        },
        _ => Err(CliError::config(format!(
            "provider `{id}` needs a model: name it with -m or `model` in the configuration"
        ))),
    }
}

/// The sandbox mode's name in the configuration.
pub(crate) fn mode_name(mode: SandboxArg) -> &'static str {
    match mode {
        SandboxArg::ReadOnly => "read-only",
        SandboxArg::WorkspaceWrite => "workspace-write",
        SandboxArg::DangerFullAccess => "danger-full-access",
    }
}

/// The mode's name, as people know it.
pub(crate) fn mode_text(mode: SandboxMode) -> &'static str {
    match mode {
        SandboxMode::ReadOnly => "read-only",
        SandboxMode::WorkspaceWrite => "workspace-write",
        SandboxMode::DangerFullAccess => "danger-full-access",
    }
}

/// Whether to use colour on this stream.
pub(crate) fn color(wanted: ColorArg, stream: &impl IsTerminal) -> bool {
    match wanted {
        ColorArg::Always => true,
        ColorArg::Never => false,
        ColorArg::Auto => {
            stream.is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        }
    }
}
