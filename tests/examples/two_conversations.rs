//! Two conversations in one process: one is interrupted, the other one goes on to its end.

use troupe::config::{LoadOptions, load};
use troupe::types::{Event, Op, Outcome, Record};
use troupe::{Events, Opening, Setup, Troupe};

/// Reads events until one is wanted.
async fn until<T>(events: &mut Events, wanted: impl Fn(&Record) -> Option<T>) -> Option<T> {
    while let Some(event) = events.next().await {
        let Event::Durable(line) = event else { continue };
        if let Some(found) = wanted(&line.record) {
            return Some(found);
        }
    }
    None // The session was closed.
}

/// How a turn ended, once it has.
fn end(record: &Record) -> Option<Outcome> {
    let Record::TurnFinished(body) = record else { return None };
    Some(body.result.clone())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    troupe::run_if_launcher();
    let cwd = std::env::current_dir()?;
    let mut options = LoadOptions::new(&cwd);
    options.overrides = std::env::args().skip(1).collect();
    let loaded = load(&options)?;
    let config = &loaded.config;
    let provider = config.model_provider.as_deref().unwrap_or("openai");
    let model = config.model.as_deref().unwrap_or("gpt-5.5");
    let settings = config.session_settings(&cwd, provider, model, 5, &loaded.places)?;

    let troupe = Troupe::start(Setup::new(&loaded));
    let slow = troupe.open(Opening::new(settings.clone())).await?;
    let quick = troupe.open(Opening::new(settings)).await?;
    let (mut slow_events, mut quick_events) = (slow.events(), quick.events());

    slow.submit(Op::prompt("Wait for five minutes.")).await?;
    let started = |record: &Record| matches!(record, Record::CallStarted(_)).then_some(());
    until(&mut slow_events, started).await;
    quick.submit(Op::prompt("Say hello.")).await?;
    println!("quick: {:?}", until(&mut quick_events, end).await);
    slow.submit(Op::Interrupt).await?;
    println!("slow: {:?}", until(&mut slow_events, end).await);
    troupe.stop().await; // Every actor and process is gone when this returns.
    Ok(())
}
