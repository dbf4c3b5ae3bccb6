//! One source of settings: read, checked against the table, with the place of each value.

use crate::{
    error::{ConfigError, Place},
    keys::{self, Form, Key, Known, Who},
    meant::{Meant, is_top_level, meant, nearest_table},
    near::did_you_mean,
    secrets::{is_variable_name, looks_like_key, shown},
    toml_text::{toml_key, toml_string},
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
        Known::Key(Key { form: Form::Text | Form::Path | Form::Variable, .. }) => {
            // Quotes are allowed, and taken off.
            parse_value(text).filter(Value::is_str).unwrap_or(plain)
        }
        Known::Key(Key { form: Form::Map | Form::Variables, name, .. })
            if name.split('.').count() < path.len() =>
        {
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
            let known = keys::look_up(&names);
            self.misplaced(&names, &known, name.span());
            match (known, value.get_ref()) {
                (
                    Known::Table | Known::Key(Key { form: Form::Map | Form::Variables, .. }),
                    DeValue::Table(inner),
                ) => self.table(path, inner)?,
                (Known::Unknown, value) => {
                    let table = matches!(value, DeValue::Table(_));
                    let place = self.place(name.span());
                    let heading = self.first_heading();
                    unknown(place, &names, table, heading, self.rules, &mut self.source)?;
                }
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

    /// The line of the first table's heading, from 1.
    fn first_heading(&self) -> Option<usize> {
        let place = self.text.lines().position(|line| line.trim_start().starts_with('['))?;
        Some(place + 1)
    }

    /// Warns of a setting below the heading of a table that takes any name.
    fn misplaced(&mut self, names: &[&str], known: &Known, span: Range<usize>) {
        let [.., last] = names else { return };
        let takes_any = match known {
            Known::Key(key) if names.len() > key.name.split('.').count() => true,
            // What is below tables without effect is not looked at.
            Known::Key(key) => key.form == Form::Any && key.meaning.is_empty(),
            Known::Table | Known::Unknown => false,
        };
        if names.len() < 2 || !takes_any || !is_top_level(last) {
            return;
        }
        let table = toml_key(&names[..names.len() - 1]);
        let message = format!(
            "`{last}` stands in the table [{table}], where it is not the setting of that name. If \
             the setting is meant, move the line above the first table{}",
            in_line(self.first_heading())
        );
        let place = self.place(span);
        self.source.warnings.push(ConfigError::at(place, message));
    }
}

fn in_line(heading: Option<usize>) -> String {
    heading.map_or(String::new(), |line| format!(" (line {line})"))
}

/// An unknown name: a warning, or an error where that is wanted. `heading` is the line of the first
/// table's heading where the source is a file.
fn unknown(
    place: Place,
    names: &[&str],
    table: bool,
    heading: Option<usize>,
    rules: Rules<'_>,
    source: &mut Source,
) -> Result<(), ConfigError> {
    let shown: Vec<_> = names.iter().map(|name| shown(name)).collect();
    let name = toml_key(&shown);
    let help = match meant(names, table) {
        None => String::new(),
        Some(Meant::Near(near) | Meant::Elsewhere(near)) => format!("; did you mean `{near}`?"),
        Some(Meant::TopLevel(near)) => match (names, heading) {
            ([parents @ .., _], Some(_)) if !parents.is_empty() => format!(
                ": the line stands in the table [{}], and `{near}` belongs to none. Move it above \
                 the first table{}",
                toml_key(parents),
                in_line(heading)
            ),
            _ => format!("; did you mean `{near}`?"),
        },
        Some(Meant::ProviderKey) => provider_key(names),
    };
    let problem = ConfigError::at(place, format!("unknown setting `{name}`{help}"));
    if rules.strict {
        return Err(problem);
    }
    source.warnings.push(problem);
    Ok(())
}

/// Where a provider's key belongs.
fn provider_key(names: &[&str]) -> String {
    let (table, variable) = match names {
        ["model_providers", id, _] => (toml_key(&["model_providers", *id]), variable_for(id)),
        _ => ("model_providers.NAME".to_owned(), "MY_KEY".to_owned()),
    };
    format!(
        ": a key does not belong into the file. Put it into an environment variable, and name that \
         in [{table}]: env_key = {}",
        toml_string(&variable)
    )
}

/// A name of a variable for the key of a provider.
fn variable_for(id: &str) -> String {
    let name: String = id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect();
    let name = format!("{name}_API_KEY");
    if is_variable_name(&name) { name } else { "MY_KEY".to_owned() }
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
        Known::Unknown => {
            return unknown(place, path, value.is_table(), None, rules, source);
        }
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
                let message = format!("`{}` must be a table", toml_key(path));
                return Err(ConfigError::at(place, message));
            }
        },
    };
    if rules.project && key.from == Who::User {
        let message = format!(
            "`{}` is not taken from a project: it decides over credentials, commands or the \
             sandbox. Put it in your own configuration",
            toml_key(path)
        );
        source.warnings.push(ConfigError::at(place, message));
        return Ok(());
    }
    let whole = key.name.split('.').count() == path.len();
    if let Err(expected) = fits(key.form, &value, whole) {
        let table = match path {
            [name] if value.is_table() => nearest_table(name),
            _ => None,
        };
        let help =
            table.map_or(String::new(), |table| format!("; did you mean the table [{table}]?"));
        let message = format!("`{}` must be {expected}{help}", toml_key(path));
        return Err(ConfigError::at(place, message));
    }
    if key.meaning.is_empty() {
        let message = format!("`{}` has no effect in troupe so far", toml_key(path));
        source.warnings.push(ConfigError::at(place.clone(), message));
    }
    let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
    match value {
        // Each entry has a place of its own, since sources are merged entry by entry.
        Value::Table(table) if matches!(key.form, Form::Map | Form::Variables) => {
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
        Form::Names => return fits_names(value),
        Form::Map if whole => {
            value.as_table().is_some_and(|table| table.values().all(Value::is_str))
        }
        Form::Map if value.is_str() => true,
        Form::Map => return Err(expected(Form::Text, value)),
        Form::Variable => is_variable(value),
        Form::Variables if whole => match value.as_table() {
            Some(table) => match table.values().find(|value| !is_variable(value)) {
                None => true,
                Some(wrong) => return Err(expected(Form::Variable, wrong)),
            },
            None => false,
        },
        Form::Variables if is_variable(value) => true,
        Form::Variables => return Err(expected(Form::Variable, value)),
        Form::Approval => return fits_approval(value, whole),
    };
    if fine { Ok(()) } else { Err(expected(form, value)) }
}

/// A pattern that no name can match would leave out nothing, without a word.
fn fits_names(value: &Value) -> Result<(), String> {
    let fits = |text: &str| {
        let odd = |c: char| c.is_whitespace() || c.is_control() || "[]{}^$|\\=+,;:/\"'".contains(c);
        !text.is_empty() && !text.contains(odd)
    };
    let values = value.as_array().filter(|values| values.iter().all(Value::is_str));
    let values = values.ok_or_else(|| expected(Form::Names, value))?;
    match values.iter().filter_map(Value::as_str).find(|text| !fits(text)) {
        None => Ok(()),
        Some(wrong) if looks_like_key(wrong) => {
            Err("patterns of names of environment variables; one of them looks like a key itself"
                .to_owned())
        }
        Some(wrong) => Err(format!(
            "patterns of names of environment variables, with * and ? (\"AWS_*\"), which \
             {wrong:?} is not"
        )),
    }
}

fn is_variable(value: &Value) -> bool {
    value.as_str().is_some_and(is_variable_name)
}

fn expected(form: Form, value: &Value) -> String {
    match form {
        Form::Text | Form::Path => "a string in quotes".to_owned(),
        Form::Flag => "true or false".to_owned(),
        Form::Number { min, max: i64::MAX } => format!("a whole number from {min} on"),
        Form::Number { min, max } => format!("a whole number from {min} to {max}"),
        Form::Names | Form::Texts | Form::Paths => {
            "a list of strings, such as [\"one\", \"other\"]".to_owned()
        }
        Form::Map => "a table of strings".to_owned(),
        Form::Variables => "a table of names of environment variables".to_owned(),
        // The value is not shown: it may be the secret.
        Form::Variable if value.as_str().is_some_and(looks_like_key) => {
            "the name of an environment variable, such as \"MY_KEY\"; what stands there looks like \
             a key itself. Put the key into a variable, and the variable's name here"
                .to_owned()
        }
        Form::Variable => {
            "the name of an environment variable: letters, digits and _, such as \"MY_KEY\""
                .to_owned()
        }
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
    format!("one of {}{}", choices.join(", "), did_you_mean(text, choices.iter().copied()))
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
