//! `troupe doctor`: what works here, what does not, and what helps.

mod server;

use crate::{
    args::ConfigArgs,
    errors::{CliError, CliResult},
    output, setup,
};
use serde_json::json;
use std::{path::Path, process::ExitCode};
use troupe::{config::Loaded, pipeline};
use troupe_egress::Rules;
use troupe_patch::journals;
use troupe_sandbox::{Surveyor, check, enforcement, resolve};
use troupe_types::{ErrorClass, Failure, SandboxMode};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Fine,
    Weaker,
    Wrong,
}

impl Grade {
    fn name(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Weaker => "weak",
            Self::Wrong => "WRONG",
        }
    }
}

/// What was found.
struct Finding {
    what: &'static str,
    grade: Grade,
    text: String,
    /// The case in one word, where programs may want to know.
    state: Option<&'static str>,
}

pub(crate) fn run(config: &ConfigArgs, as_json: bool) -> CliResult {
    let mut findings = Vec::new();
    let mut add =
        |what, grade, text: String| findings.push(Finding { what, grade, text, state: None });
    add("version", Grade::Fine, format!("troupe {} on {}", env!("CARGO_PKG_VERSION"), system()));
    let cwd = setup::directory(None)?;
    match setup::read(config, &cwd, Vec::new()) {
        Err(error) => add("configuration", Grade::Wrong, error.message().into_owned()),
        Ok(loaded) => {
            look(&loaded, &cwd, &mut add);
            findings.extend(server::look(&loaded));
        }
    }
    for Finding { what, grade, text, state } in &findings {
        let line = if as_json {
            let mut line =
                json!({ "check": what, "grade": grade.name().to_lowercase(), "text": text });
            if let (Some(object), Some(state)) = (line.as_object_mut(), state) {
                object.insert("state".to_owned(), (*state).into());
            }
            line.to_string()
        } else {
            format!("{:<5} {what}: {}", grade.name(), text.replace('\n', "\n      "))
        };
        output::line(&line);
    }
    let wrong = findings.iter().filter(|finding| finding.grade == Grade::Wrong);
    let mut wrong: Vec<&str> = wrong.map(|finding| finding.what).collect();
    wrong.dedup();
    let message = match wrong.as_slice() {
        [] => return Ok(ExitCode::SUCCESS),
        [one] => format!("one check needs attention: {one}"),
        several => format!("{} checks need attention: {}", several.len(), several.join(", ")),
    };
    Err(CliError::Failed(Failure { class: ErrorClass::Config, message }))
}

fn look(loaded: &Loaded, cwd: &Path, add: &mut impl FnMut(&'static str, Grade, String)) {
    let places = &loaded.places;
    match loaded.warnings.as_slice() {
        [] => add("configuration", Grade::Fine, places.config_dir.display().to_string()),
        warnings => warnings
            .iter()
            .for_each(|warning| add("configuration", Grade::Weaker, warning.to_string())),
    }
    match writable(&places.sessions_dir) {
        Ok(()) => add("sessions", Grade::Fine, places.sessions_dir.display().to_string()),
        Err(error) => {
            let folder = places.sessions_dir.display();
            let text =
                format!("{folder} cannot be written: {error}. Set TROUPE_HOME to another folder");
            add("sessions", Grade::Wrong, text);
        }
    }
    match pipeline(loaded).unusable() {
        None => add("rules", Grade::Fine, "they can be read".to_owned()),
        Some(why) => add("rules", Grade::Wrong, why),
    }
    sandbox(loaded, cwd, add);
    let broken_off = journals(Some(&places.sessions_dir));
    if std::fs::read_dir(broken_off).is_ok_and(|mut entries| entries.next().is_some()) {
        let text =
            "one is being applied, or a crash interrupted it: `troupe recover` takes it back";
        add("patches", Grade::Weaker, text.to_owned());
    }
}

/// What would hold a command of the configured mode, tried out.
fn sandbox(loaded: &Loaded, cwd: &Path, add: &mut impl FnMut(&'static str, Grade, String)) {
    let settings = match loaded.config.session_settings(cwd, "", "", 0, &loaded.places) {
        Ok(settings) => settings.sandbox,
        Err(error) => return add("sandbox", Grade::Wrong, error.to_string()),
    };
    if let Err(error) = Rules::new(&settings.allow_hosts, &settings.deny_hosts) {
        add("hosts", Grade::Wrong, error.to_string());
    }
    if let Err(error) = check(&settings) {
        return add("sandbox", Grade::Wrong, error.to_string());
    }
    let profile = match resolve(&settings, cwd, &Surveyor::default()) {
        Ok(profile) => profile,
        Err(error) => return add("sandbox", Grade::Wrong, error.to_string()),
    };
    let found = enforcement(&profile);
    let refused = found.layers.is_empty() && settings.mode != SandboxMode::DangerFullAccess;
    if !found.layers.is_empty() {
        add("sandbox", Grade::Fine, found.layers.join("; "));
    }
    let grade = if refused { Grade::Wrong } else { Grade::Weaker };
    found.weaker.into_iter().for_each(|weaker| add("sandbox", grade, weaker));
}

/// Whether something can be made in a folder, or in the first one above it that exists.
fn writable(folder: &Path) -> std::io::Result<()> {
    let existing = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(folder);
    let probe = existing.join(format!(".troupe-doctor-{}", std::process::id()));
    std::fs::File::create_new(&probe)?;
    std::fs::remove_file(probe)
}

fn system() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {} {}", std::env::consts::OS, std::env::consts::ARCH, release.trim())
        .trim_end()
        .to_owned()
}
