//! One source of settings: read, checked against the table, with the place of each value.

use crate::{
    error::{ConfigError, Place},
    keys::{self, Form, Key, Known, Who},
};
use std::{ops::Range, path::Path};
use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue},
};

/// A problem that does not stop anything.
pub type Warning = ConfigError;

/// A value and where it is.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    pub(crate) path: Vec<String>,
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// What a source says.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) warnings: Vec<Warning>,
}

/// How a source is read.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    /// Unknown settings are errors.
    pub(crate) strict: bool,
    /// It is a project's: what is not for projects is left out, with a warning.
    pub(crate) project: bool,
    /// The folder relative paths start from: the file's, or the working directory.
    pub(crate) folder: &'a Path,
}

/// Reads a file's text.
pub(crate) fn read_text(name: &str, text: &str, rules: Rules<'_>) -> Result<Source, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| {
        let span = error.span().unwrap_or(text.len()..text.len());
        let message = error.message().lines().collect::<Vec<_>>().join(": ");
        ConfigError::at(Place::in_text(name, text, span), message)
    })?;
    let mut reader = Reader { name, text, rules, source: Source::default() };
    reader.table(&mut Vec::new(), table.get_ref())?;
    Ok(reader.source)
}

/// Reads one `key = value` from elsewhere; a value that is no TOML is a text.
pub(crate) fn read_pair(
    place: &Place,
    path: &[&str],
    text: &str,
    rules: Rules<'_>,
) -> Result<Source, ConfigError> {
    let mut source = Source::default();
    let plain = Value::String(text.to_owned());
    let value = match keys::look_up(path) {
        Known::Key(Key { form: Form::Text | Form::Path, .. }) => {
            // Quotes are allowed, and taken off.
            parse_value(text).filter(Value::is_str).unwrap_or(plain)
        }
        Known::Key(Key { form: Form::Map, name, .. }) if name.split('.').count() < path.len() => {
            parse_value(text).filter(Value::is_str).unwrap_or(plain)
        }
        _ => parse_value(text).unwrap_or(plain),
    };
    check(place.clone(), path, value, rules, &mut source)?;
    Ok(source)
}

fn parse_value(text: &str) -> Option<Value> {
    let mut table: Table = toml::from_str(&format!("v = {text}")).ok()?;
    if table.len() == 1 { table.remove("v") } else { None }
}

struct Reader<'a> {
    name: &'a str,
    text: &'a str,
    rules: Rules<'a>,
    source: Source,
}

impl Reader<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        Place::in_text(self.name, self.text, span)
    }

    fn table(&mut self, path: &mut Vec<String>, table: &DeTable<'_>) -> Result<(), ConfigError> {
        for (name, value) in table {
            path.push(name.get_ref().to_string());
            let names: Vec<&str> = path.iter().map(String::as_str).collect();
            match (keys::look_up(&names), value.get_ref()) {
                (Known::Table | Known::Key(Key { form: Form::Map, .. }), DeValue::Table(inner)) => {
                    self.table(path, inner)?
                }
                (Known::Unknown, _) => self.unknown(&names, name.span())?,
                _ => {
                    let place = self.place(value.span());
                    let plain = plain(value);
                    check(place, &names, plain, self.rules, &mut self.source)?;
                }
            }
            path.pop();
        }
        Ok(())
    }

    fn unknown(&mut self, names: &[&str], span: Range<usize>) -> Result<(), ConfigError> {
        let place = self.place(span);
        unknown(place, names, self.rules, &mut self.source)
    }
}

fn unknown(
    place: Place,
    names: &[&str],
    rules: Rules<'_>,
    source: &mut Source,
) -> Result<(), ConfigError> {
    let name = names.join(".");
    let help =
        keys::nearest(names).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    let problem = ConfigError::at(place, format!("unknown setting `{name}`{help}"));
    if rules.strict {
        return Err(problem);
    }
    source.warnings.push(problem);
    Ok(())
}

fn check(
    place: Place,
    path: &[&str],
    value: Value,
    rules: Rules<'_>,
    source: &mut Source,
) -> Result<(), ConfigError> {
    let key = match keys::look_up(path) {
        Known::Key(key) => key,
        Known::Unknown => return unknown(place, path, rules, source),
        Known::Table => match value {
            // A table given as a value, for instance in `-c`.
            Value::Table(table) => {
                for (name, value) in table {
                    let below: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
                    check(place.clone(), &below, value, rules, source)?;
                }
                return Ok(());
            }
            _ => {
                let message = format!("`{}` must be a table", path.join("."));
                return Err(ConfigError::at(place, message));
            }
        },
    };
    if rules.project && key.from == Who::User {
        let message = format!(
            "`{}` is not taken from a project: it decides over credentials, commands or the \
             sandbox. Put it in your own configuration",
            path.join(".")
        );
        source.warnings.push(ConfigError::at(place, message));
        return Ok(());
    }
    let whole = key.name.split('.').count() == path.len();
    if let Err(expected) = fits(key.form, &value, whole) {
        let message = format!("`{}` must be {expected}", path.join("."));
        return Err(ConfigError::at(place, message));
    }
    if key.meaning.is_empty() {
        let message = format!("`{}` has no effect in troupe so far", path.join("."));
        source.warnings.push(ConfigError::at(place.clone(), message));
    }
    let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
    match value {
        // Each entry has a place of its own, since sources are merged entry by entry.
        Value::Table(table) if key.form == Form::Map => {
            source.leaves.extend(table.into_iter().map(|(name, value)| Leaf {
                path: path.iter().cloned().chain([name]).collect(),
                value,
                place: place.clone(),
            }));
        }
        value => {
            let value = absolute(key.form, value, rules.folder);
            source.leaves.push(Leaf { path, value, place });
        }
    }
    Ok(())
}

/// The value with its relative paths made absolute; `~/` stays.
fn absolute(form: Form, value: Value, folder: &Path) -> Value {
    match (form, value) {
        (Form::Path, Value::String(text)) if !text.is_empty() && !text.starts_with('~') => {
            Value::String(folder.join(text).display().to_string())
        }
        (Form::Paths, Value::Array(values)) => {
            Value::Array(values.into_iter().map(|one| absolute(Form::Path, one, folder)).collect())
        }
        (_, value) => value,
    }
}

/// Whether a value has the form; otherwise what is expected.
fn fits(form: Form, value: &Value, whole: bool) -> Result<(), String> {
    let texts = |values: &[Value]| values.iter().all(Value::is_str);
    let fine = match form {
        Form::Any => true,
        Form::Text | Form::Path => value.is_str(),
        Form::Flag => value.is_bool(),
        Form::Number { min, max } => value.as_integer().is_some_and(|n| (min..=max).contains(&n)),
        Form::Choice(choices) => value.as_str().is_some_and(|text| choices.contains(&text)),
        Form::Texts | Form::Paths => value.as_array().is_some_and(|values| texts(values)),
        Form::Map if whole => {
            value.as_table().is_some_and(|table| table.values().all(Value::is_str))
        }
        Form::Map if value.is_str() => true,
        Form::Map => return Err(expected(Form::Text, value)),
        Form::Approval => return fits_approval(value, whole),
    };
    if fine { Ok(()) } else { Err(expected(form, value)) }
}

fn expected(form: Form, value: &Value) -> String {
    match form {
        Form::Text | Form::Path => "a text in quotes".to_owned(),
        Form::Flag => "true or false".to_owned(),
        Form::Number { min, max: i64::MAX } => format!("a whole number from {min} on"),
        Form::Number { min, max } => format!("a whole number from {min} to {max}"),
        Form::Texts | Form::Paths => "a list of texts, such as [\"one\", \"other\"]".to_owned(),
        Form::Map => "a table of texts".to_owned(),
        Form::Choice(choices) => one_of(choices, value),
        Form::Approval | Form::Any => one_of(POLICIES, value),
    }
}

const POLICIES: &[&str] = &["untrusted", "on-request", "never"];
const GRANULAR: &[&str] =
    &["sandbox_approval", "rules", "request_permissions", "mcp_elicitations", "skill_approval"];

fn fits_approval(value: &Value, whole: bool) -> Result<(), String> {
    if !whole {
        return Ok(());
    }
    match value {
        // An older name of `on-request`.
        Value::String(text) if text == "on-failure" || POLICIES.contains(&text.as_str()) => Ok(()),
        Value::Table(table) => {
            let inner = table.get("granular").and_then(Value::as_table);
            let known = |name: &String| GRANULAR.contains(&name.as_str());
            let fine = table.len() == 1
                && inner.is_some_and(|inner| {
                    inner.keys().all(known) && inner.values().all(Value::is_bool)
                });
            if fine {
                Ok(())
            } else {
                Err(format!("a table `granular` of flags: {}", GRANULAR.join(", ")))
            }
        }
        _ => Err(expected(Form::Approval, value)),
    }
}

fn one_of(choices: &[&str], value: &Value) -> String {
    let text = value.as_str().unwrap_or("");
    let near = choices.iter().map(|choice| (strsim::jaro_winkler(text, choice), choice));
    let near =
        near.max_by(|one, other| one.0.total_cmp(&other.0)).filter(|(score, _)| *score > 0.7);
    let help = near.map_or(String::new(), |(_, choice)| format!("; did you mean `{choice}`?"));
    format!("one of {}{help}", choices.join(", "))
}

fn plain(value: &Spanned<DeValue<'_>>) -> Value {
    match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            parsed.map_or_else(|_| Value::String(number.to_string()), Value::Integer)
        }
        DeValue::Float(number) => {
            number.as_str().parse().map_or_else(|_| Value::String(number.to_string()), Value::Float)
        }
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Array(all) => Value::Array(all.iter().map(plain).collect()),
        DeValue::Table(table) => Value::Table(
            table.iter().map(|(name, value)| (name.get_ref().to_string(), plain(value))).collect(),
        ),
    }
}
