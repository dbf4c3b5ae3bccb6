//! `troupe apply-patch [PATCH]`, and the program under the name `apply_patch`.

use std::{ffi::OsString, process::ExitCode};
use troupe_config::Places;
use troupe_exec::Patient;

pub(crate) fn run(args: &[OsString]) -> ExitCode {
    let cwd = match std::env::current_dir() {
        Ok(cwd) => cwd,
        Err(error) => {
            crate::output::error(&format!("the current directory cannot be used: {error}"));
            return ExitCode::from(1);
        }
    };
    let places = Places::find(&|name| std::env::var_os(name));
    let journals = places.map(|places| troupe_patch::journals(Some(&places.sessions_dir)));
    if let Some(folder) = &journals {
        super::recover::tell(&troupe_patch::recover(folder));
    }
    let code = troupe_patch::run_cli(
        args,
        &mut Patient(std::io::stdin().lock()),
        &mut Patient(std::io::stdout().lock()),
        &mut Patient(std::io::stderr().lock()),
        &cwd,
        journals.as_deref(),
    );
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
