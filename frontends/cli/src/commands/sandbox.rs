//! `troupe sandbox -- CMD`: one command, held as a mode says.

use crate::{
    args::{ConfigArgs, SandboxArgs},
    errors::{CliError, CliResult},
    output, setup,
};
use std::process::ExitCode;
use troupe::Setup;
use troupe_sandbox::{
    Command, LaunchError, ResolveError, Surveyor, child_env, enforcement, resolve, run_under,
};
use troupe_types::{ErrorClass, Failure};

pub(crate) fn run(args: SandboxArgs, config: &ConfigArgs) -> CliResult {
    let cwd = setup::directory(args.cd.as_deref())?;
    let mode = setup::mode_name(args.sandbox);
    let loaded = setup::read(config, &cwd, vec![format!("sandbox_mode={mode}")])?;
    setup::warn(&loaded);
    let settings = loaded
        .config
        .session_settings(&cwd, "", "", 0, &loaded.places)
        .map_err(|error| CliError::config(error.to_string()))?;
    let failed = |error: ResolveError| CliError::config(error.to_string());
    let profile = resolve(&settings.sandbox, &cwd, &Surveyor::default()).map_err(failed)?;
    if args.explain {
        let found = enforcement(&profile);
        output::line(&format!("mode: {mode}"));
        for root in &profile.roots {
            output::line(&format!("writable: {}", root.path.display()));
        }
        for repository in &profile.repositories {
            output::line(&format!("git, in a copy: {}", repository.display()));
        }
        for denied in &profile.denied {
            output::line(&format!("unreadable: {}", denied.display()));
        }
        for layer in &found.layers {
            output::line(&format!("layer: {layer}"));
        }
        for weaker in &found.weaker {
            output::line(&format!("weaker: {weaker}"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    if args.command.is_empty() {
        return Err(CliError::Usage("no command: troupe sandbox -- CMD [ARGUMENT]…".to_owned()));
    }
    let mut more = vec![("TROUPE_SANDBOX", mode)];
    if !profile.network && profile.sandboxed {
        more.push(("TROUPE_SANDBOX_NETWORK_DISABLED", "1"));
    }
    let environment = Setup::new(&loaded).environment;
    let env = child_env(&environment, std::env::vars_os(), &more);
    let command = Command { argv: args.command, env, cwd, terminal: false };
    match run_under(command, profile) {
        Ok(exit) => Ok(ExitCode::from(u8::try_from(exit.shell_code()).unwrap_or(255))),
        // As a shell would: there is no such program.
        Err(LaunchError::Program(text)) => {
            output::error(&format!("troupe sandbox: {text}"));
            Ok(ExitCode::from(127))
        }
        Err(error) => {
            let class = ErrorClass::Sandbox;
            Err(CliError::Failed(Failure { class, message: error.to_string() }))
        }
    }
}
