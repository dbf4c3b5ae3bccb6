//! What is wrong with the configuration, where, and what helps.

use crate::secrets::{looks_like_key, may_hold_secrets};
use std::{fmt, ops::Range};

/// A place in a source of settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, the environment variable, or the option.
    pub source: String,
    /// Line and column, from 1, where the source is a file.
    pub position: Option<(usize, usize)>,
    /// The text of the line, and how many characters are meant.
    excerpt: Option<(String, usize)>,
}

impl Place {
    /// A place that is no file.
    pub(crate) fn named(source: impl Into<String>) -> Self {
        Self { source: source.into(), position: None, excerpt: None }
    }

    /// A place in a file's text.
    pub(crate) fn in_text(source: &str, text: &str, span: Range<usize>) -> Self {
        let start = text.floor_char_boundary(span.start);
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |place| place + 1);
        let line = text[line_start..].lines().next().unwrap_or("");
        let column = text[line_start..start].chars().count() + 1;
        let end = text.floor_char_boundary(span.end.max(start)).min(line_start + line.len());
        let wide = text.get(start..end).map_or(1, |meant| meant.chars().count()).max(1);
        let number = before.matches('\n').count() + 1;
        // The line is shown to help; a secret on it is not.
        let table = before[..line_start].rfind("\n[").map_or(0, |place| place + 1);
        let table = text[table..].lines().next().filter(|line| line.starts_with('['));
        let excerpt = match line.split_once('=') {
            _ if may_hold_secrets(table.unwrap_or("")) => None,
            Some((name, _)) if may_hold_secrets(name) => None,
            _ if looks_like_key(line) => None,
            // The rest of a text over several lines.
            None if !line.trim_start().starts_with('[') && column > 1 => None,
            _ => Some((line.replace(hidden, "\u{fffd}"), wide)),
        };
        Self { source: source.to_owned(), position: Some((number, column)), excerpt }
    }
}

/// What a terminal would obey.
fn hidden(character: char) -> bool {
    character.is_control() && character != '\t'
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "{}:{line}:{column}", self.source),
            None => f.write_str(&self.source),
        }
    }
}

/// A problem with one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Where it is, if it is somewhere.
    pub place: Option<Place>,
    /// What is wrong and what helps.
    pub message: String,
}

impl ConfigError {
    pub(crate) fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place: Some(place), message: message.into() }
    }

    pub(crate) fn of(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(place) = &self.place else { return f.write_str(&self.message) };
        write!(f, "{place}: {}", self.message)?;
        if let (Some((number, column)), Some((line, wide))) = (place.position, &place.excerpt) {
            let margin = number.to_string().len();
            // Tabs stay tabs, so that the mark stands below what is meant.
            let lead: String =
                line.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            write!(f, "\n{number} | {line}\n{:margin$} | {lead}{}", "", "^".repeat(*wide))?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
