//! What the rows share.

use serde_json::{Value, json};
use std::{io::Write, os::unix::fs::MetadataExt, path::Path, time::Duration};
use troupe_tests::{
    binary,
    model_server::*,
    stage::{Finished, Run, Stage, Stdin},
    wait::poll,
};

/// How long a run may take: one that hangs ends its row soon.
const LIMIT: Duration = Duration::from_secs(12);

/// The settings of a provider in a file.
pub(crate) fn settings(url: &str, wire: &str) -> String {
    format!(
        "model = \"m\"\nmodel_provider = \"test\"\n[model_providers.test]\nname = \"test\"\nbase_url = \"{url}\"\nwire_api = \"{wire}\"\n"
    )
}

/// A stage whose runs find the provider in the configuration, so that anything can start them.
pub(crate) fn configured(server: &ModelServer) -> Stage {
    Stage::new().with_config(&settings(&server.url(), "responses"))
}

/// A server that says one thing, and a stage that asks it.
pub(crate) fn saying(text: &str) -> (ModelServer, Stage) {
    let server = ModelServer::start(Script::always(say(text)));
    let stage = configured(&server);
    (server, stage)
}

/// A server that plays these turns and then says that it is done, and a stage that asks it.
pub(crate) fn playing(turns: impl IntoIterator<Item = Turn>) -> (ModelServer, Stage) {
    let server = ModelServer::start(Script::new().turns(turns).otherwise(say("done")));
    let stage = configured(&server);
    (server, stage)
}

/// A call of `shell`.
pub(crate) fn shell(command: &str) -> Turn {
    call("shell", json!({ "command": command }))
}

/// A patch that adds a file.
pub(crate) fn adds(path: &str) -> Turn {
    custom("apply_patch", format!("*** Begin Patch\n*** Add File: {path}\n+text\n*** End Patch\n"))
}

/// Runs it and checks what holds for every run: no message with a lost line continuation.
pub(crate) fn go(run: Run) -> Finished {
    let finished = run.limit(LIMIT).run();
    let stderr = finished.stderr();
    let lines: Vec<&str> = stderr.lines().collect();
    for pair in lines.windows(2) {
        let rest = pair[1].trim_start_matches(' ');
        let indent = pair[1].len() - rest.len();
        let lost = indent >= 8
            && rest.starts_with(|first: char| first.is_ascii_lowercase())
            && pair[0].ends_with(|last: char| last.is_alphanumeric() || last == ',');
        assert!(!lost, "a message with a lost line continuation: {stderr}");
    }
    finished
}

/// The only terminal event: the last line.
pub(crate) fn end(finished: &Finished) -> Value {
    let lines = finished.json_lines();
    let terminal = |line: &&Value| {
        line["type"].as_str().is_some_and(|kind| ["turn.completed", "turn.failed"].contains(&kind))
    };
    let count = lines.iter().filter(terminal).count();
    assert_eq!(count, 1, "{}\n{}", finished.stdout(), finished.stderr());
    let last = lines.last().unwrap();
    assert!(terminal(&last), "{}", finished.stdout());
    last.clone()
}

/// Checks that a run failed with a code and a terminal event; returns its message.
pub(crate) fn fails(finished: &Finished, code: i32) -> String {
    finished.assert_code(code);
    let end = end(finished);
    assert_eq!(end["type"], "turn.failed", "{}", finished.stdout());
    end["error"]["message"].as_str().expect("a message").to_owned()
}

/// Checks that a run completed.
pub(crate) fn completes(finished: &Finished) -> Value {
    finished.assert_success();
    let end = end(finished);
    assert_eq!(end["type"], "turn.completed", "{}", finished.stdout());
    end
}

/// All that was told: passing errors, error items, standard error.
pub(crate) fn told(finished: &Finished) -> String {
    let mut told = finished.stderr();
    for line in finished.stdout().lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        for text in [&line["message"], &line["item"]["message"], &line["error"]["message"]] {
            told.push('\n');
            told.push_str(text.as_str().unwrap_or_default());
        }
    }
    told
}

/// The items of a type that were completed.
pub(crate) fn items(finished: &Finished, kind: &str) -> Vec<Value> {
    let lines = finished.json_lines().into_iter();
    let done =
        lines.filter(|line| line["type"] == "item.completed" && line["item"]["type"] == kind);
    done.map(|line| line["item"].clone()).collect()
}

/// The outputs that the last request hands back.
pub(crate) fn outputs(server: &ModelServer) -> Vec<String> {
    let last = server.requests().pop().expect("a request");
    last.outputs().into_iter().map(|(_, text)| text).collect()
}

/// Checks that a text holds one of the words, in any case.
pub(crate) fn any(text: &str, words: &[&str]) {
    let lower = text.to_lowercase();
    let found = words.iter().any(|word| lower.contains(&word.to_lowercase()));
    assert!(found, "none of {words:?} in: {text}");
}

/// Checks that a text holds all of the words, in any case.
pub(crate) fn all(text: &str, words: &[&str]) {
    for word in words {
        any(text, &[word]);
    }
}

/// Checks that a text holds none of the words.
pub(crate) fn none(text: &str, words: &[&str]) {
    for word in words {
        assert!(!text.contains(word), "{word:?} in: {text}");
    }
}

/// Runs the program behind a script of `sh`, which starts it as `exec "$@"`.
pub(crate) fn sh(stage: &Stage, script: &str, arguments: &[&str]) -> Run {
    let run = stage.program("sh").args(["-c", script, "sh"]).arg(binary::troupe());
    run.args(arguments)
}

/// Runs the program behind a program of perl, which starts it as `exec @ARGV`.
pub(crate) fn perl(stage: &Stage, code: &str, arguments: &[&str]) -> Run {
    let run = stage.program("perl").args(["-MPOSIX", "-e", code]).arg(binary::troupe());
    run.args(arguments)
}

/// Whether a program can be started.
pub(crate) fn there(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

/// Whether this is the superuser, by the owner of this very process.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0)
}

/// Skips where no user namespace can be made.
pub(crate) fn need_namespaces(stage: &Stage) {
    let made = stage.program("unshare").args(["-Urm", "true"]).run();
    if made.code() != Some(0) {
        super::table::skip(format!("no user namespaces: {}", made.stderr().trim()));
    }
}

/// Writes a file with all its folders.
pub(crate) fn put(path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    let path = path.as_ref();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// Makes a symbolic link, with the folders above it.
pub(crate) fn link(target: impl AsRef<Path>, path: impl AsRef<Path>) {
    std::fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(target, path).unwrap();
}

/// Makes a fifo.
pub(crate) fn fifo(path: impl AsRef<Path>) {
    std::fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    let made = std::process::Command::new("mkfifo").arg(path.as_ref()).status().unwrap();
    assert!(made.success());
}

/// Writes to a run's standard input as a caller does that is late by a little: the error of the
/// writer, if there was one, and what became of the run.
pub(crate) fn feed(run: Run, bytes: Vec<u8>) -> (std::io::Result<()>, Finished) {
    let mut running = run.stdin(Stdin::Open).limit(Duration::from_secs(20)).start();
    let _early = poll(Duration::from_millis(150), || running.has_ended().then_some(()));
    let mut pipe = running.take_stdin().expect("an open pipe");
    let (told, wrote) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(pipe.write_all(&bytes)));
    let finished = running.wait();
    let wrote = wrote.recv_timeout(Duration::from_secs(10)).expect("the writer ends");
    (wrote, finished)
}

/// A patch as a call of the custom tool.
pub(crate) fn custom_patch(text: &str) -> Turn {
    custom("apply_patch", text)
}
