//! Outputs: shown as they come, kept in a file when they are long, flat in memory.

use crate::{
    puppet::{Puppet, real},
    stage::{Scene, Stage, text, within},
};
use serde_json::json;
use std::{fs, time::Duration};
use tokio::time::{Instant, timeout};
use troupe_kit::{Next, RingReader};
use troupe_messages::{ProcessExit, ToolMessage};
use troupe_types::{Outcome, Progress};

async fn launch() -> (Stage, Puppet) {
    let mut stage = Scene::new("shell", &json!({"command": "x"})).begin();
    stage.reach_launch().await;
    let (process, running) = Puppet::new(0);
    stage.launched(running);
    stage.quiet().await;
    (stage, process)
}

/// The next piece that front ends are shown.
async fn shown(reader: &mut RingReader<Progress>) -> (u64, String) {
    match within(reader.next()).await {
        Next::Item(Progress::CallOutput { offset, text, .. }) => (offset, text),
        other => panic!("{other:?}"),
    }
}

fn out(offset: u64, text: &str) -> (u64, String) {
    (offset, text.to_owned())
}

#[tokio::test(start_paused = true)]
async fn output_is_shown_as_it_comes() {
    let (mut stage, mut process) = launch().await;
    let mut reader = stage.progress.subscribe();
    let began = Instant::now();
    process.print(b"one\n").await;
    assert_eq!(shown(&mut reader).await, out(0, "one\n"));
    // The first at once, then gathered.
    assert_eq!(began.elapsed(), Duration::ZERO);
    process.print(b"two\n").await;
    stage.quiet().await;
    process.print(b"three\n").await;
    stage.quiet().await;
    process.print(b"four\n").await;
    stage.quiet().await;
    assert!(reader.try_next().is_none());
    assert_eq!(shown(&mut reader).await, out(4, "two\nthree\nfour\n"));
    let waited = began.elapsed();
    assert!((Duration::from_millis(45)..Duration::from_millis(60)).contains(&waited), "{waited:?}");
    process.print(b"five").await;
    process.end(ProcessExit::Code(0));
    assert!(text(&stage.finished().await).ends_with("one\ntwo\nthree\nfour\nfive"));
    assert_eq!(shown(&mut reader).await, out(19, "five"));
}

#[tokio::test(start_paused = true)]
async fn characters_are_shown_whole_and_bad_bytes_replaced() {
    let (mut stage, mut process) = launch().await;
    let mut reader = stage.progress.subscribe();
    let euro = "€".as_bytes();
    process.print(b"a").await;
    assert_eq!(shown(&mut reader).await, out(0, "a"));
    process.print(&[b"b", &euro[..2]].concat()).await;
    assert_eq!(shown(&mut reader).await, out(1, "b"));
    process.print(&[&euro[2..], b"\xFFc"].concat()).await;
    assert_eq!(shown(&mut reader).await, out(2, "€\u{FFFD}c"));
    process.print(&euro[..1]).await;
    process.end(ProcessExit::Code(0));
    let finished = stage.finished().await;
    assert!(text(&finished).ends_with("Output:\nab€\u{FFFD}c\u{FFFD}"), "{finished:?}");
    assert_eq!(shown(&mut reader).await, out(7, "\u{FFFD}"));
}

#[tokio::test]
async fn a_flood_is_shown_while_it_lasts() {
    let mut stage = Scene::new("shell", &json!({"command": "yes"})).begin();
    stage.reach_launch().await;
    let mut reader = stage.progress.subscribe();
    let (mut process, mut running) = Puppet::new(0);
    // There is always more of it.
    running.output = Box::new(tokio::io::repeat(b'y'));
    stage.launched(running);
    let mut end = 0;
    for _ in 0..5 {
        let (offset, text) = shown(&mut reader).await;
        assert!(text.len() <= 8 * 1024 && offset >= end, "{} at {offset}", text.len());
        end = offset + text.len() as u64;
    }
    stage.tell(ToolMessage::Cancel);
    process.killed().await;
    let finished = stage.finished().await;
    assert_eq!(finished.outcome, Outcome::Cancelled);
    assert!(text(&finished).contains("tokens truncated"));
}

#[tokio::test(start_paused = true)]
async fn a_short_output_leaves_no_file() {
    let (mut stage, mut process) = launch().await;
    process.print(&vec![b'x'; 16 * 1024]).await;
    process.end(ProcessExit::Code(0));
    let finished = stage.finished().await;
    assert!(text(&finished).ends_with(&"x".repeat(16 * 1024)));
    assert!(!stage.kept().parent().unwrap().exists());
}

#[tokio::test]
async fn a_long_output_is_kept_whole_for_its_owner_alone() {
    let (mut stage, mut process) = launch().await;
    let lines: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    process.print(lines.as_bytes()).await;
    process.end(ProcessExit::Code(0));
    let finished = stage.finished().await;
    let kept = stage.kept();
    assert_eq!(fs::read_to_string(&kept).unwrap(), lines);
    let said = text(&finished);
    let head = format!("Total output lines: 20000\nWhole output: {}\nOutput:\n", kept.display());
    assert!(said.contains(&head), "{}", &said[..400]);
    assert!(said.contains("line 0\n") && said.ends_with("line 19999\n"));
    assert!(said.len() < 10_000 * 4 + 500, "{}", said.len());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&kept) & 0o777, 0o600);
        assert_eq!(mode(kept.parent().unwrap()) & 0o777, 0o700);
    }
}

#[tokio::test]
async fn the_model_is_shown_as_much_as_the_session_allows() {
    let mut scene = Scene::new("shell", &json!({"command": "x"}));
    scene.settings.tool_output_tokens = 10;
    let mut stage = scene.begin();
    stage.reach_launch().await;
    let (mut process, running) = Puppet::new(0);
    stage.launched(running);
    process.print(&vec![b'z'; 4000]).await;
    process.end(ProcessExit::Code(0));
    let finished = stage.finished().await;
    assert_eq!(text(&finished).matches('z').count(), 40, "{finished:?}");
}

#[tokio::test]
async fn an_output_that_cannot_be_kept_breaks_nothing() {
    let (mut stage, mut process) = launch().await;
    // A file stands where the folder should be.
    fs::write(stage.kept().parent().unwrap(), "").unwrap();
    for _ in 0..40 {
        process.print(&vec![b'x'; 16 * 1024]).await;
    }
    process.print(b"the end\n").await;
    process.end(ProcessExit::Code(0));
    let finished = stage.finished().await;
    assert_eq!(finished.outcome, Outcome::Completed);
    let said = text(&finished);
    assert!(said.contains("\nThe whole output could not be kept: "), "{}", &said[..400]);
    assert!(said.ends_with("the end\n"));
}

/// A file system that hangs, as a pipe that nobody reads.
#[cfg(unix)]
#[tokio::test]
async fn a_disk_that_hangs_holds_the_output_back_and_not_the_cancel() {
    let (mut stage, mut process) = launch().await;
    let kept = stage.kept();
    fs::create_dir(kept.parent().unwrap()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test")]
    let made = std::process::Command::new("mkfifo").arg(&kept).status().unwrap();
    assert!(made.success());
    let mut printed = 0;
    let part = [b'x'; 16 * 1024];
    // Some of it waits in memory, some in the pipe; then the process has to wait.
    while timeout(Duration::from_millis(300), process.print(&part)).await.is_ok() {
        printed += part.len();
        assert!(printed < 2 * 1024 * 1024, "nothing holds the output back");
    }
    let asked = Instant::now();
    stage.tell(ToolMessage::Cancel);
    process.killed().await;
    let finished = stage.finished().await;
    assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
    assert_eq!(finished.outcome, Outcome::Cancelled);
    assert!(text(&finished).contains("could not be kept: the disk is too slow\n"));
    // Lets the writing thread go.
    drop(fs::File::open(kept).unwrap());
}

#[tokio::test]
async fn a_flood_of_fifty_megabytes_stays_flat() {
    const BYTES: u64 = 50_000_000;
    let script = format!("head -c {BYTES} /dev/zero | tr '\\0' 'x'");
    let mut stage = Scene::new("shell", &json!({"command": script})).begin();
    let order = stage.reach_launch().await;
    let before = peak_kib();
    stage.launched(real(&order));
    let finished = stage.finished().await;
    let grown = peak_kib().saturating_sub(before);
    assert!(grown < 24 * 1024, "{grown} KiB");
    assert_eq!(finished.outcome, Outcome::Completed);
    assert!(text(&finished).len() < 10_000 * 4 + 500);
    assert_eq!(fs::metadata(stage.kept()).unwrap().len(), BYTES);
}

#[tokio::test]
async fn what_is_kept_has_a_bound_and_the_rest_is_counted() {
    const MOST: u64 = 64 << 20;
    let (mut stage, mut process) = launch().await;
    let line = [&[b'x'; 64 * 1024 - 1][..], b"\n"].concat();
    for _ in 0..1100 {
        process.print(&line).await;
    }
    process.print(b"the end\n").await;
    process.end(ProcessExit::Code(0));
    let finished = stage.finished().await;
    assert_eq!(fs::metadata(stage.kept()).unwrap().len(), MOST);
    let head = format!(
        "Total output lines: 1101\nFirst 64 MiB of the output: {}\n",
        stage.kept().display()
    );
    assert!(text(&finished).contains(&head), "{}", &text(&finished)[..400]);
    assert!(text(&finished).ends_with("the end\n"));
}

#[tokio::test]
async fn what_is_kept_ends_in_a_whole_character() {
    const MOST: u64 = 64 << 20;
    let (mut stage, mut process) = launch().await;
    let line = "€".repeat(64 * 1024 / 3);
    for _ in 0..1100 {
        process.print(line.as_bytes()).await;
    }
    process.end(ProcessExit::Code(0));
    stage.finished().await;
    let kept = fs::read(stage.kept()).unwrap();
    assert!((MOST - 3..=MOST).contains(&(kept.len() as u64)), "{}", kept.len());
    assert!(std::str::from_utf8(&kept).is_ok());
}

/// The most memory that this process ever held, in KiB; 0 where the system does not tell.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
