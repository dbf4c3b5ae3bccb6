//! `troupe top`: the live trees of running processes, through their sockets.

use crate::{
    args::TopArgs,
    errors::{CliError, CliResult},
    output, setup,
    tree::table,
};
use serde_json::Value;
use std::{fs, io, path::Path, process::ExitCode, time::Duration};

/// How long a process has to answer.
#[cfg(unix)]
const DEADLINE: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &TopArgs, config: &crate::args::ConfigArgs) -> CliResult {
    let places = setup::places(config)?;
    let documents = ask_all(&places.runtime_dir, args.pid)?;
    if documents.is_empty() {
        let which =
            args.pid.map_or("is running".to_owned(), |pid| format!("runs as process {pid}"));
        output::error(&format!(
            "no troupe process of yours {which} ({})",
            places.runtime_dir.display()
        ));
        return Ok(ExitCode::from(1));
    }
    for (place, document) in documents.iter().enumerate() {
        if args.json {
            output::line(&document.to_string());
            continue;
        }
        if place > 0 {
            output::line("");
        }
        let up = Duration::from_millis(document["uptime_ms"].as_u64().unwrap_or(0));
        output::line(&format!(
            "process {} · troupe {} {} · up {}",
            document["pid"],
            document["version"].as_str().unwrap_or("?"),
            document["command"].as_str().unwrap_or(""),
            output::span(up),
        ));
        output::text(&table(&document["tree"]));
    }
    Ok(ExitCode::SUCCESS)
}

fn ask_all(runtime_dir: &Path, pid: Option<u32>) -> Result<Vec<Value>, CliError> {
    let entries = match fs::read_dir(runtime_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(CliError::storage(format!("{}: {error}", runtime_dir.display())));
        }
    };
    let mut sockets: Vec<(u32, std::path::PathBuf)> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "sock"))
        .filter_map(|path| Some((path.file_stem()?.to_str()?.parse().ok()?, path)))
        .filter(|(of, _)| pid.is_none_or(|pid| pid == *of))
        .collect();
    sockets.sort_unstable();
    let mut documents = Vec::new();
    for (of, path) in sockets {
        match ask(&path) {
            Ok(document) => documents.push(document),
            // Its process was killed.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                drop(fs::remove_file(&path));
            }
            Err(error) => output::warning(&format!("process {of} does not answer: {error}")),
        }
    }
    Ok(documents)
}

#[cfg(unix)]
fn ask(path: &Path) -> io::Result<Value> {
    let folder = fs::File::open(path.parent().unwrap_or(Path::new("/")))?;
    let address = crate::tree::address(path, &folder);
    let mut stream = std::os::unix::net::UnixStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut text = String::new();
    io::Read::read_to_string(&mut stream, &mut text)?;
    serde_json::from_str(&text).map_err(io::Error::other)
}

#[cfg(not(unix))]
fn ask(_: &Path) -> io::Result<Value> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "there is no `top` on this system yet"))
}
