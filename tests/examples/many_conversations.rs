//! Opens many conversations in one process, runs a turn of about 1 kB in each, and prints what they cost
//! while they rest: `cargo run --release -p troupe-tests --example many_conversations -- 10000`.

use std::time::Instant;
use troupe::{
    Opening, Setup, Troupe,
    config::{LoadOptions, load},
    types::{Event, Op, Record},
};

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0)
        / 1024
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    troupe::run_if_launcher();
    troupe::raise_fd_limit();
    let count: usize = std::env::args().nth(1).map_or(Ok(1000), |text| text.parse())?;
    let folder = std::env::temp_dir().join(format!("troupe-many-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let script = folder.join("script.json");
    std::fs::write(
        &script,
        format!("{{\"steps\":[{{\"text\":\"{}\"}},{{\"text\":\"again\"}}]}}", "x".repeat(700)),
    )?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let measured = runtime.block_on(run(count, &folder, &script));
    std::fs::remove_dir_all(&folder)?;
    measured
}

async fn run(
    count: usize,
    folder: &std::path::Path,
    script: &std::path::Path,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut options = LoadOptions::new(folder);
    options.variables.push(("TROUPE_HOME".into(), folder.join("home").into()));
    options.overrides = vec![
        "model_providers.many.wire_api=rehearsal".into(),
        format!("model_providers.many.script={:?}", script.display().to_string()),
    ];
    let loaded = load(&options)?;
    let settings = loaded.config.session_settings(folder, "many", "m", 5, &loaded.places)?;
    let before = resident_mb();
    let began = Instant::now();
    let troupe = Troupe::start(Setup::new(&loaded));
    let mut conversations = Vec::with_capacity(count);
    for _ in 0..count {
        let conversation = troupe.open(Opening::new(settings.clone())).await?;
        one_turn(&conversation, &"p".repeat(300)).await?;
        conversations.push(conversation);
    }
    println!(
        "{count} conversations, each after one turn: {} MB ({before} MB before), {:?}",
        resident_mb(),
        began.elapsed()
    );
    for conversation in conversations.iter().step_by((count / 20).max(1)) {
        one_turn(conversation, "and again").await?;
    }
    println!("some of them answered again: {} MB", resident_mb());
    let began = Instant::now();
    drop(conversations);
    troupe.stop().await;
    println!("stopped in {:?}: {} MB", began.elapsed(), resident_mb());
    Ok(())
}

async fn one_turn(
    conversation: &troupe::Conversation,
    text: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let accepted = conversation.submit(Op::prompt(text)).await?;
    let mut events = conversation.events_from(accepted.seq);
    while let Some(event) = events.next().await {
        if matches!(event, Event::Durable(line) if matches!(line.record, Record::TurnFinished(_))) {
            return Ok(());
        }
    }
    Err("the session was closed".into())
}
