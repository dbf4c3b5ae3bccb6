//! The `troupe` program: the command line, and what each command does.

mod args;
mod bin_dir;
mod commands;
mod ending;
mod errors;
mod hints;
mod output;
mod panics;
mod setup;
mod signals;
mod tree;

use args::{Cli, Command, ConfigCommand, DebugCommand};
use clap::Parser;
use ending::Manner;
use errors::CliResult;
use std::{ffi::OsString, path::Path, process::ExitCode};
use troupe_exec::StandardInput;

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
        troupe_sandbox::let_signals_in();
        return commands::apply_patch::run(&words.collect::<Vec<OsString>>());
    }
    panics::install();
    let input = StandardInput::of_process();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            drop(error.print());
            return ExitCode::SUCCESS;
        }
        Err(error) => return ending::refused(&error, &input),
    };
    log();
    let manner = Manner::of(&cli);
    match panics::caught(|| run(cli, &input)) {
        Ok(code) => code,
        Err(error) => manner.end(&error, &input),
    }
}

fn run(cli: Cli, input: &StandardInput) -> CliResult {
    // `exec` lets them in once it listens; the others do nothing about them.
    if !matches!(cli.command, Command::Exec(_)) {
        troupe_sandbox::let_signals_in();
    }
    let before = cli.config;
    match cli.command {
        Command::Exec(mut args) => {
            let config = before.and(std::mem::take(&mut args.config));
            commands::exec::run(*args, &config, input)
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
