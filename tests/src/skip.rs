//! What a machine does not allow to test is said, and counted; and what is asked most often of it.
//!
//! One line on standard error for each, past the test harness, which hides the output of tests that
//! pass: `SKIPPED 3: bad_input::a_disk_that_fills_up: needs user namespaces`. The number counts all
//! tests of one `cargo test`, over its test programs; the lines are also in `tmp/skipped.txt` of the
//! target directory.
//!
//! This file stands alone, so that packages below this one can include it.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// Whether this process gets user and mount namespaces, without which the sandbox is weaker.
#[must_use]
pub fn user_namespaces() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        let mut probe = Command::new("unshare");
        probe.args(["-Urm", "true"]).stdin(Stdio::null());
        probe.stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    })
}

/// Says and counts what cannot be tested here, and what it would need.
pub fn skipped(what: &str, needs: &str) {
    let program = std::env::current_exe().unwrap_or_default();
    let program = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let program = program.rsplit_once('-').map_or(program.as_str(), |(name, _)| name);
    let line = format!("{program}::{what}: {needs}");
    let number = count(&line).map_or_else(|_| "?".to_owned(), |number| number.to_string());
    // Not `eprintln!`: that is what the harness keeps to itself.
    drop(writeln!(std::io::stderr().lock(), "SKIPPED {number}: {line}"));
}

/// Adds a line to the list of this run of cargo, and says how many there are.
fn count(line: &str) -> std::io::Result<usize> {
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(list()?)?;
    file.lock()?;
    let run = format!("# {}", this_run());
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    if text.lines().next() != Some(run.as_str()) {
        text = format!("{run}\n");
    }
    text += line;
    text.push('\n');
    rewrite(&mut file, &text)?;
    Ok(text.lines().count() - 1)
}

fn rewrite(file: &mut File, text: &str) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

/// `TARGET/tmp/skipped.txt`, or the file that `TROUPE_SKIPPED` names. This program is in
/// `TARGET[/TRIPLE]/PROFILE/deps`.
fn list() -> std::io::Result<PathBuf> {
    if let Some(path) = std::env::var_os("TROUPE_SKIPPED") {
        return Ok(path.into());
    }
    let program = std::env::current_exe()?;
    let marks = ["CACHEDIR.TAG", ".rustc_info.json"];
    let marked = |folder: &&Path| marks.iter().any(|mark| folder.join(mark).exists());
    let target = program.ancestors().find(marked).or_else(|| program.ancestors().nth(3));
    let folder = target.ok_or_else(|| std::io::Error::other("not built by cargo"))?.join("tmp");
    std::fs::create_dir_all(&folder)?;
    Ok(folder.join("skipped.txt"))
}

/// What tells one run of cargo from the next: the process that started this one, and when it began.
fn this_run() -> String {
    #[cfg(unix)]
    let parent = std::os::unix::process::parent_id();
    #[cfg(not(unix))]
    let parent = 0;
    let stat = std::fs::read_to_string(format!("/proc/{parent}/stat")).unwrap_or_default();
    // The name, in brackets, may hold anything; the start is the 20th field after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    format!("{parent} {}", fields.split_whitespace().nth(19).unwrap_or_default())
}
