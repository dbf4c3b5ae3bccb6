//! `troupe sandbox -- CMD`: one command, held as a mode says.

use crate::{
    args::{ConfigArgs, SandboxArgs},
    errors::{CliError, CliResult},
    output, setup,
};
use std::{net::TcpListener, process::ExitCode, sync::Arc};
use troupe::Setup;
use troupe_egress::{Decision, Rules, serve};
use troupe_sandbox::{
    Command, Exit, LaunchError, PROXY_ENV, ResolveError, Surveyor, check, child_env, enforcement,
    resolve, run_under,
};
use troupe_types::{ErrorClass, Failure, SandboxMode, SandboxSettings};

pub(crate) fn run(args: SandboxArgs, config: &ConfigArgs) -> CliResult {
    let cwd = setup::directory(args.cd.as_deref())?;
    let mode = setup::mode_name(args.sandbox);
    let loaded = setup::read(config, &cwd, vec![format!("sandbox_mode={mode}")])?;
    setup::warn(&loaded);
    let settings = loaded
        .config
        .session_settings(&cwd, "", "", 0, &loaded.places)
        .map_err(|error| CliError::config(error.to_string()))?;
    let company = Setup::new(&loaded);
    setup::usable(&company.policy)?;
    let failed = |error: ResolveError| CliError::config(error.to_string());
    let rules = Arc::new(hosts(&settings.sandbox)?);
    check(&settings.sandbox).map_err(|error| CliError::config(error.to_string()))?;
    let mut profile = resolve(&settings.sandbox, &cwd, &Surveyor::default()).map_err(failed)?;
    if profile.proxied && profile.sandboxed {
        profile.doors = rules.doors();
    }
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
        for door in &profile.doors {
            output::line(&format!("leads to this machine's own loopback: {door}"));
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
    if profile.proxied {
        more.extend(PROXY_ENV);
    } else if !profile.network && profile.sandboxed {
        more.push(("TROUPE_SANDBOX_NETWORK_DISABLED", "1"));
    }
    let env = child_env(&company.environment, std::env::vars_os(), &more);
    let command = Command { argv: args.command, env, cwd, ..Command::default() };
    let offline = profile.sandboxed && !profile.network && !profile.proxied;
    match run_under(command, profile, |proxy, doors| way_out(proxy, doors, rules)) {
        Ok(exit) => {
            let code = exit.shell_code();
            if offline && failed_itself(exit) {
                output::error(&network_is_off(&settings.sandbox));
            }
            Ok(ExitCode::from(u8::try_from(code).unwrap_or(255)))
        }
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

/// Whether the command failed by itself: no signal ended it or its last part, and there was such a
/// program. 128 is git's own, 255 ssh's.
fn failed_itself(exit: Exit) -> bool {
    const SIGNALS: std::ops::RangeInclusive<i32> = 129..=192;
    matches!(exit, Exit::Code(code) if ![0, 126, 127].contains(&code) && !SIGNALS.contains(&code))
}

/// Said when a command failed without a network: whether it wanted one cannot be known.
fn network_is_off(settings: &SandboxSettings) -> String {
    let mode = if settings.mode == SandboxMode::ReadOnly { "-s workspace-write " } else { "" };
    format!(
        "troupe sandbox: the command failed, and the network is off in this sandbox. If that is \
         why, allow the hosts it needs, -c 'sandbox_allow_hosts=[\"example.com\"]', or all, \
         {mode}-c sandbox_workspace_write.network_access=true"
    )
}

fn hosts(settings: &SandboxSettings) -> Result<Rules, CliError> {
    Rules::new(&settings.allow_hosts, &settings.deny_hosts)
        .map_err(|error| CliError::config(error.to_string()))
}

/// Serves the command's way out on a thread of its own, until this process ends. What is refused is
/// said on standard error.
fn way_out(proxy: TcpListener, doors: Vec<TcpListener>, rules: Arc<Rules>) {
    let told = |decision: Decision| {
        if !decision.allowed {
            let Decision { host, port, reason, .. } = decision;
            output::error(&format!("troupe sandbox: {host}:{port} is refused: {reason}"));
        }
    };
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = |listener: TcpListener| {
                listener.set_nonblocking(true)?;
                tokio::net::TcpListener::from_std(listener)
            };
            let doors = doors.into_iter().map(listener).collect::<Result<_, _>>()?;
            serve(listener(proxy)?, doors, rules, told, std::future::pending()).await;
            Ok::<(), std::io::Error>(())
        })
    };
    // Without it the command reaches nobody.
    let name = "troupe-egress".to_owned();
    drop(std::thread::Builder::new().name(name).spawn(work));
}
