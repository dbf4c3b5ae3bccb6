//! What somebody meant who wrote something else.

/// How alike two names have to be.
const ALIKE: f64 = 0.8;

/// The name that is most like the text; `None` if none is like it.
pub fn nearest_name<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = names.into_iter().map(|name| (strsim::jaro_winkler(text, name), name));
    let best = scored.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (best.0 > ALIKE && best.1 != text).then_some(best.1)
}

/// `; did you mean …?` for the nearest name; empty if there is none.
pub(crate) fn did_you_mean<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest_name(text, names).map_or(String::new(), |near| format!("; did you mean `{near}`?"))
}
