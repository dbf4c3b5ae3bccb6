//! A complete program around the library: one session, one prompt, what the model answers.

use troupe::config::{LoadOptions, load};
use troupe::types::{Event, Item, Op, Outcome, Record};
use troupe::{Opening, Setup, Troupe};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    troupe::run_if_launcher(); // Commands are started through this very program.
    let cwd = std::env::current_dir()?;
    let mut options = LoadOptions::new(&cwd);
    options.overrides = std::env::args().skip(1).collect(); // such as model_provider=openai
    let loaded = load(&options)?;
    let (provider, model) = (&loaded.config.model_provider, &loaded.config.model);
    let (provider, model) =
        (provider.as_deref().unwrap_or("openai"), model.as_deref().unwrap_or("gpt-5.5"));
    let settings = loaded.config.session_settings(&cwd, provider, model, 5, &loaded.places)?;

    let troupe = Troupe::start(Setup::new(&loaded));
    let conversation = troupe.open(Opening::new(settings)).await?;
    let mut events = conversation.events();
    conversation.submit(Op::prompt("List the files here.")).await?;
    while let Some(event) = events.next().await {
        let Event::Durable(line) = event else { continue };
        match line.record {
            Record::ItemCompleted(body) => {
                let Item::Assistant(item) = &*body.item else { continue };
                println!("{}", item.text);
            }
            Record::TurnFinished(body) => match body.result {
                Outcome::Completed => break,
                other => return Err(format!("the turn did not complete: {other:?}").into()),
            },
            _ => {}
        }
    }
    troupe.stop().await;
    Ok(())
}
