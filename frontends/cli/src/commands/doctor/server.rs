//! The provider and its server: asked for its models, which needs no token.

use super::{Finding, Grade};
use std::time::Duration;
use troupe::{
    Asked, Endpoint, Http, LOCAL_SERVERS, Setup, ask_for_models,
    config::{Config, Loaded, nearest_name, shown_url},
    discover,
};

/// How long a server has to answer.
const LIMIT: Duration = Duration::from_secs(3);
/// Models that are named where one is missing.
const NAMED: usize = 8;

/// Which provider is meant, and whether its server can be used.
pub(super) fn look(loaded: &Loaded) -> Vec<Finding> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return vec![wrong("server", "unusable", format!("no runtime: {error}"))],
    };
    let found = runtime.block_on(ask(loaded));
    // A look-up of a name that hangs is not waited for.
    runtime.shutdown_background();
    found
}

fn wrong(what: &'static str, state: &'static str, text: String) -> Finding {
    Finding { what, grade: Grade::Wrong, text, state: Some(state) }
}

async fn ask(loaded: &Loaded) -> Vec<Finding> {
    let env = |name: &str| loaded.variable(name);
    let setup = Setup::new(loaded);
    let http = Http::new(setup.http.clone());
    let Some(choice) = loaded.config.choose_provider(&env) else {
        return vec![wrong("provider", "none", none_chosen(&http).await)];
    };
    let id = choice.id.as_str();
    let provider = match loaded.config.provider(id, &env) {
        Ok(provider) => provider,
        Err(error) => return vec![wrong("provider", "unusable", error.to_string())],
    };
    let url = shown_url(&provider.base_url);
    let at = if url.is_empty() { String::new() } else { format!(" at {url}") };
    let text = format!("{id}{at} ({})", choice.why);
    let chosen = Finding { what: "provider", grade: Grade::Fine, text, state: None };
    let server = match setup.endpoint(id) {
        Ok(endpoint) => {
            let model = loaded.config.model.as_deref().or(Config::default_model(id));
            judge(&endpoint, model, ask_for_models(&endpoint, &http, LIMIT).await)
        }
        Err(error) => wrong("server", "unusable", error),
    };
    vec![chosen, server]
}

/// No provider is chosen: what can be done here.
async fn none_chosen(http: &Http) -> String {
    let found = discover(&LOCAL_SERVERS, http).await;
    let local = found.first().map_or(String::new(), |server| {
        format!(
            ". {} answers at {}: `troupe exec --oss` uses it, or set model_provider = \"{}\"",
            server.id, server.base_url, server.id
        )
    });
    format!(
        "none is chosen and no key was found: set a key such as OPENAI_API_KEY, or \
         `model_provider`{local}"
    )
}

fn judge(endpoint: &Endpoint, model: Option<&str>, asked: Asked) -> Finding {
    let finding = |grade, state, text| Finding { what: "server", grade, text, state: Some(state) };
    match asked {
        Asked::Models(models) => match lacking(endpoint, model, &models) {
            None => {
                let model = model.or(models.first().map(String::as_str)).unwrap_or("");
                let text = format!("{} answers and offers the model {model}", endpoint.name);
                finding(Grade::Fine, "reachable", text)
            }
            Some(text) => finding(Grade::Wrong, "model_missing", text),
        },
        Asked::Script => {
            finding(Grade::Fine, "script", "a script is played: there is no server".to_owned())
        }
        Asked::NoList(text) => finding(Grade::Weaker, "no_model_list", text),
        Asked::Limited(text) => finding(Grade::Weaker, "rate_limited", text),
        Asked::KeyRefused(text) => finding(Grade::Wrong, "key_refused", text),
        Asked::Failing(text) => finding(Grade::Wrong, "server_error", text),
        Asked::NotAnApi(text) => finding(Grade::Wrong, "not_an_api", text),
        Asked::Unreachable(text) => finding(Grade::Wrong, "unreachable", text),
        Asked::Silent(text) => finding(Grade::Wrong, "no_answer", text),
        Asked::Unusable(text) => finding(Grade::Wrong, "unusable", text),
    }
}

/// What to do about a model that the server does not offer, or of which none is named.
fn lacking(endpoint: &Endpoint, model: Option<&str>, models: &[String]) -> Option<String> {
    let name = &endpoint.name;
    let few = || {
        let few: Vec<&str> = models.iter().take(NAMED).map(String::as_str).collect();
        let more = models.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more}", few.join(", "))
    };
    match (model, models) {
        // What is deployed there has names of its own, which are not listed.
        (Some(_), _) if endpoint.azure => None,
        (Some(model), models) if models.iter().any(|listed| is_same(listed, model)) => None,
        (_, []) => Some(format!("{name} answers and has no model: load one there")),
        (None, [_]) => None,
        (None, _) => Some(format!(
            "{name} has several models, and none is named: set `model` in the configuration, or \
             give -m. It has {}",
            few()
        )),
        (Some(model), models) => {
            let near = nearest_name(model, models.iter().map(String::as_str));
            let near = near.map_or(String::new(), |near| format!(" Did you mean {near}?"));
            Some(format!(
                "{name} answers, and does not offer the model {model}.{near} Set `model` in the \
                 configuration, or give -m. It has {}",
                few()
            ))
        }
    }
}

/// Whether a name in the list is the model's: some servers add a tag or a folder.
fn is_same(listed: &str, model: &str) -> bool {
    listed == model
        || listed.strip_suffix(":latest") == Some(model)
        || listed.strip_prefix("models/") == Some(model)
}
