//! `troupe docs`: the pages of the manual, which are part of the program.

use crate::{
    errors::{CliError, CliResult},
    output,
};
use std::process::ExitCode;
use troupe_config::nearest_name;

/// A page: its topic, what it is about, its text.
struct Page {
    topic: &'static str,
    about: &'static str,
    text: &'static str,
}

macro_rules! page {
    ($topic:literal, $about:literal) => {
        Page {
            topic: $topic,
            about: $about,
            text: include_str!(concat!("../../../../docs/", $topic, ".md")),
        }
    };
}

const PAGES: &[Page] = &[
    page!("getting-started", "a model, a first task, what to use day by day"),
    page!("recipes", "npm, cargo, pip, databases, CI, coming from Codex, scripts"),
    page!("exec", "tasks in scripts and CI: prompts, output, JSON, exit codes, resume"),
    page!("sessions", "logs of sessions: finding, showing and removing them"),
    page!("instructions", "files that tell the model about a project: AGENTS.md, CLAUDE.md"),
    page!("sandbox", "what commands may read, write and reach"),
    page!("policy", "what may run: rules, approval, checking a command"),
    page!("providers", "servers of models and what they need"),
    page!("tools", "what the model can do"),
    page!("instructions", "files that tell the model how to work: AGENTS.md and others"),
    page!("apply-patch", "the form of patches"),
    page!("failures", "what happens when something fails"),
    page!("security", "what is promised, and what is not"),
    page!("embedding", "the library"),
];

/// The page that is made from the table of settings.
const CONFIG: (&str, &str) = ("config", "every setting");

pub(crate) fn run(topic: Option<&str>) -> CliResult {
    let Some(topic) = topic else {
        output::text(&topics());
        return Ok(ExitCode::SUCCESS);
    };
    let topic = topic.trim().trim_start_matches("docs/").trim_end_matches(".md");
    if topic == CONFIG.0 {
        output::text(&troupe_config::reference());
        return Ok(ExitCode::SUCCESS);
    }
    match PAGES.iter().find(|page| page.topic == topic) {
        Some(page) => {
            output::text(page.text);
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let names = PAGES.iter().map(|page| page.topic).chain([CONFIG.0]);
            let near = nearest_name(topic, names);
            let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            Err(CliError::Usage(format!(
                "there is no page `{topic}`{near}\n{}",
                topics().trim_end()
            )))
        }
    }
}

fn topics() -> String {
    let all = PAGES.iter().map(|page| (page.topic, page.about)).chain([CONFIG]);
    let lines = all.map(|(topic, about)| format!("  {topic:<16} {about}\n"));
    format!("troupe docs TOPIC prints a page:\n{}", lines.collect::<String>())
}
