//! A complete program around the library: one session, one prompt, what happens.

use troupe::{
    Opening, Setup, Troupe,
    config::{LoadOptions, load},
    types::{Event, Item, Op, Record},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Commands are started through this very program.
    troupe::run_if_launcher();
    let cwd = std::env::current_dir()?;
    let mut options = LoadOptions::new(&cwd);
    options.overrides = std::env::args().skip(1).collect();
    let loaded = load(&options)?;
    let provider = loaded.config.model_provider.clone().unwrap_or_else(|| "openai".into());
    let model = loaded.config.model.clone().unwrap_or_else(|| "gpt-5.5".into());
    let settings = loaded.config.session_settings(&cwd, &provider, &model, 5, &loaded.places)?;

    let troupe = Troupe::start(Setup::new(&loaded));
    let conversation = troupe.open(Opening::new(settings)).await?;
    let mut events = conversation.events();
    conversation.submit(Op::prompt("List the files here.")).await?;
    while let Some(event) = events.next().await {
        let Event::Durable(line) = event else { continue };
        match line.record {
            Record::ItemCompleted(body) => {
                if let Item::Assistant(item) = body.item {
                    println!("{}", item.text);
                }
            }
            Record::TurnFinished(_) => break,
            _ => {}
        }
    }
    conversation.close().await;
    troupe.stop().await;
    Ok(())
}
