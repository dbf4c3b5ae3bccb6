//! A host that ends what its first turn left in the background: prints the records of processes.
//!
//! `background_host SETTING=VALUE…`

use troupe::{
    Opening, Setup, Troupe,
    config::{LoadOptions, load},
    types::{Event, Op, Record},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    troupe::run_if_launcher();
    let cwd = std::env::current_dir()?;
    let mut options = LoadOptions::new(&cwd);
    options.overrides = std::env::args().skip(1).collect();
    let loaded = load(&options)?;
    let settings = loaded.config.session_settings(&cwd, "test", "m", 5, &loaded.places)?;
    let troupe = Troupe::start(Setup::new(&loaded));
    let conversation = troupe.open(Opening::new(settings)).await?;
    let mut events = conversation.events();
    conversation.submit(Op::prompt("go")).await?;
    while let Some(event) = events.next().await {
        let Event::Durable(line) = event else { continue };
        match line.record {
            Record::TurnFinished(_) => {
                conversation.submit(Op::EndProcess { process: None }).await?;
            }
            Record::ProcessEnded(ended) => {
                println!("{} {:?}", ended.process, ended.outcome);
                break;
            }
            _ => {}
        }
    }
    troupe.stop().await;
    Ok(())
}
