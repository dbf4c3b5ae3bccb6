//! What somebody meant by a setting that is not known: a typing error, another table, a name of
//! another program's.

use crate::{
    keys::{
        Form::{Approval, Map, Variables},
        KEYS, Known, look_up,
    },
    near::nearest_name,
    toml_text::toml_key,
};

/// What somebody may have meant by an unknown name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meant {
    /// This setting of the same table.
    Near(String),
    /// This setting, which does not belong to a table.
    TopLevel(String),
    /// This setting, in another table. A `NAME` stands for one of the user's.
    Elsewhere(String),
    /// The key of a provider, which belongs into a variable.
    ProviderKey,
}

/// Other names for the settings of a provider.
const PROVIDER_NAMES: [(&str, &str); 12] = [
    ("url", "base_url"),
    ("endpoint", "base_url"),
    ("api_base", "base_url"),
    ("api_url", "base_url"),
    ("host", "base_url"),
    ("wire", "wire_api"),
    ("api", "wire_api"),
    ("headers", "http_headers"),
    ("query", "query_params"),
    ("api_key_env", "env_key"),
    ("api_key_env_var", "env_key"),
    ("env", "env_key"),
];

/// Names under which people write down a provider's key itself.
const KEY_NAMES: [&str; 10] = [
    "api_key",
    "apikey",
    "api-key",
    "key",
    "token",
    "api_token",
    "auth_token",
    "bearer_token",
    "secret",
    "openai_api_key",
];

/// What was meant by an unknown path; `table` if its value is a table.
pub(crate) fn meant(path: &[&str], table: bool) -> Option<Meant> {
    let (last, parents) = path.split_last()?;
    let lower = last.to_ascii_lowercase();
    if parents.first() == Some(&"model_providers") && parents.len() == 2 {
        if KEY_NAMES.contains(&lower.as_str()) {
            return Some(Meant::ProviderKey);
        }
        if let Some((_, known)) = PROVIDER_NAMES.iter().find(|(other, _)| *other == lower) {
            return Some(Meant::Near(below(parents, known)));
        }
    }
    if parents.is_empty() && KEY_NAMES.contains(&lower.as_str()) {
        return Some(Meant::ProviderKey);
    }
    // The end of the path is a setting by itself: it stands below the wrong heading.
    let misplaced = (1..path.len())
        .map(|from| &path[from..])
        .find(|rest| matches!(look_up(rest), Known::Key(key) if !key.meaning.is_empty()));
    if let Some(rest) = misplaced {
        let name = toml_key(rest);
        return Some(if rest.len() == 1 { Meant::TopLevel(name) } else { Meant::Elsewhere(name) });
    }
    if let ([], Some(known)) = (parents, flat(last)) {
        return Some(Meant::Elsewhere(known.to_owned()));
    }
    nearest(path, table).map(Meant::Near).or_else(|| elsewhere(last, parents))
}

/// The setting whose names are written with a `_` or `-` between them in place of the dot.
fn flat(name: &str) -> Option<&'static str> {
    let plain = |name: &str| name.replace(['.', '-'], "_");
    let known = KEYS.iter().filter(|key| !key.meaning.is_empty() && key.name.contains('.'));
    known.map(|key| key.name).find(|known| plain(known) == plain(name))
}

/// The known name that is most like the last of `path`, in the same table.
fn nearest(path: &[&str], table: bool) -> Option<String> {
    let (last, parents) = path.split_last()?;
    let candidates = |wanted: &dyn Fn(bool) -> bool| {
        let parts = KEYS.iter().filter_map(|key| {
            let parts: Vec<&str> = key.name.split('.').collect();
            let part = *parts.get(parents.len())?;
            let same = parts.iter().zip(parents).all(|(part, name)| *part == "*" || part == name);
            let is_table =
                parts.len() > parents.len() + 1 || matches!(key.form, Map | Variables | Approval);
            (same && !part.contains('*') && wanted(is_table)).then_some(part)
        });
        nearest_name(last, parts.collect::<Vec<_>>())
    };
    // A table is more likely to be another table, and a value another value.
    let best = candidates(&|is_table| is_table == table).or_else(|| candidates(&|_| true))?;
    Some(below(parents, best))
}

/// The setting of another table whose last name is this one, or much like it.
fn elsewhere(last: &str, parents: &[&str]) -> Option<Meant> {
    let known = KEYS.iter().filter(|key| !key.meaning.is_empty() && !key.name.contains("**"));
    let ends = known.map(|key| (key.name.rsplit('.').next().unwrap_or(key.name), key.name));
    let same: Vec<(&str, &str)> = ends.filter(|(end, _)| *end != "*").collect();
    let end = match same.iter().find(|(end, _)| *end == last) {
        Some((end, _)) => end,
        None => nearest_name(last, same.iter().map(|(end, _)| *end))
            .filter(|near| strsim::jaro_winkler(last, near) > 0.92)?,
    };
    let (_, name) = same.iter().find(|(known, _)| *known == end)?;
    Some(match name.contains('.') {
        true => Meant::Elsewhere(name.replace('*', "NAME")),
        false if parents.is_empty() => Meant::Near((*name).to_owned()),
        false => Meant::TopLevel((*name).to_owned()),
    })
}

/// A table whose name is like this one.
pub(crate) fn nearest_table(name: &str) -> Option<&'static str> {
    let tables = KEYS.iter().filter_map(|key| key.name.split_once('.').map(|(table, _)| table));
    nearest_name(name, tables)
}

/// Whether a name is that of a setting outside of all tables.
pub(crate) fn is_top_level(name: &str) -> bool {
    KEYS.iter().any(|key| key.name == name && !key.meaning.is_empty())
}

fn below(parents: &[&str], name: &str) -> String {
    toml_key(&parents.iter().copied().chain([name]).collect::<Vec<_>>())
}
