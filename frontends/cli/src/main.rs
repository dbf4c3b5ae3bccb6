//! The `troupe` program: the command line, and what each command does.

mod args;
mod bin_dir;
mod commands;
mod errors;
mod output;
mod panics;
mod setup;
mod signals;
mod tree;

use args::{Cli, Command, ConfigCommand, DebugCommand};
use clap::Parser;
use errors::CliResult;
use std::{ffi::OsString, path::Path, process::ExitCode};
use troupe_exec::JsonEvents;

fn main() -> ExitCode {
    // Before anything else: the same program starts commands, and applies patches by that name.
    troupe::run_if_launcher();
    troupe_sandbox::put_in_order();
    troupe_sandbox::with_enough_stack(program)
}

fn program() -> ExitCode {
    let mut words = std::env::args_os();
    let own = words.next().unwrap_or_default();
    if Path::new(&own).file_stem().is_some_and(|name| name == "apply_patch") {
        return commands::apply_patch::run(&words.collect::<Vec<OsString>>());
    }
    panics::install();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    log();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            output::error(&format!("error: {}", error.message()));
            ExitCode::from(error.code())
        }
    }
}

/// The command line cannot be used, or asks for help. Whoever reads JSON lines gets a last one.
fn refused(error: &clap::Error) -> ExitCode {
    let json = |word: OsString| word == "--json" || word == "--experimental-json";
    if error.use_stderr() && std::env::args_os().any(json) {
        output::line(&JsonEvents::failed(error.to_string().trim_end()).to_string());
    }
    drop(error.print());
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn run(cli: Cli) -> CliResult {
    let before = cli.config;
    match cli.command {
        Command::Exec(mut args) => {
            let config = before.and(std::mem::take(&mut args.config));
            commands::exec::run(*args, &config)
        }
        Command::Sessions { config, command } => {
            commands::sessions::run(command, &before.and(config))
        }
        Command::Top(mut args) => {
            let config = before.and(std::mem::take(&mut args.config));
            commands::top::run(&args, &config)
        }
        Command::Demo(args) => commands::demo::run(&args),
        Command::Config { command: ConfigCommand::Show { config, json, all } } => {
            commands::config::show(&before.and(config), json, all)
        }
        Command::Config { command: ConfigCommand::Reference } => Ok(commands::config::reference()),
        Command::Policy { command } => commands::policy::run(command, &before),
        Command::Sandbox(mut args) => {
            let config = before.and(std::mem::take(&mut args.config));
            commands::sandbox::run(args, &config)
        }
        Command::ApplyPatch { patch } => {
            let patch: Vec<OsString> = patch.map(OsString::from).into_iter().collect();
            Ok(commands::apply_patch::run(&patch))
        }
        Command::Recover { config, json } => commands::recover::run(&before.and(config), json),
        Command::Doctor { config, json } => commands::doctor::run(&before.and(config), json),
        Command::Docs { topic } => commands::docs::run(topic.as_deref()),
        Command::Completion { shell } => {
            commands::completion::run(shell);
            Ok(ExitCode::SUCCESS)
        }
        Command::Debug(DebugCommand::GrowLog { config, mb }) => {
            commands::grow_log::run(mb, &before.and(config))
        }
    }
}

/// `TROUPE_LOG` names a filter (such as `debug`); what it lets through goes to standard error.
fn log() {
    let Ok(filter) = std::env::var("TROUPE_LOG") else { return };
    let filter = tracing_subscriber::EnvFilter::new(filter);
    let installed = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
    debug_assert!(installed.is_ok(), "the first subscriber");
}
