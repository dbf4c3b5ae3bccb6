//! Why a script could not be taken apart: the limit it meets, and what helps.

use crate::MAX_SCRIPT;
use serde::Serialize;
use std::{fmt, time::Duration};

/// How deep a script may be nested.
pub(crate) const MAX_NESTING: usize = 64;
/// How deep commands may be inside of others (`sh -c "sh -c …"`).
pub(crate) const MAX_COMMANDS: usize = 8;
/// How many different parts a script may have.
pub(crate) const MAX_PARTS: usize = 20_000;
/// How long the grammar may take for one command line. Texts that are not scripts at all can make it
/// slow; most scripts of a megabyte take a tenth of this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Why a script could not be taken apart. What it runs is then not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unread {
    /// It is longer than [`MAX_SCRIPT`].
    TooLong,
    /// It has too many different parts.
    TooManyParts,
    /// Its constructs are nested too deep.
    TooDeep,
    /// Commands are nested too deep inside of others.
    CommandsTooDeep,
    /// The grammar takes too long.
    TooSlow,
    /// The grammar does not accept it.
    Syntax,
    /// A line that goes on with what looks like a comment: shells read it in different ways.
    Comment,
    /// Control characters, or spaces that are none.
    Characters,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "it is longer than {} MiB", MAX_SCRIPT >> 20),
            Self::TooManyParts => write!(f, "it has more than {MAX_PARTS} different parts"),
            Self::TooDeep => write!(f, "it is nested more than {MAX_NESTING} levels deep"),
            Self::CommandsTooDeep => {
                write!(f, "its commands run others more than {MAX_COMMANDS} levels deep")
            }
            Self::TooSlow => write!(f, "parsing it takes longer than {} s", PATIENCE.as_secs()),
            Self::Syntax => f.write_str("it cannot be parsed as a script of bash"),
            Self::Comment => {
                f.write_str("it has a line that goes on with what looks like a comment")
            }
            Self::Characters => f.write_str("it holds characters that are not what they seem"),
        }
    }
}

impl Unread {
    /// What helps, as a sentence.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::TooLong | Self::TooManyParts | Self::TooSlow => {
                "Split it into several smaller commands."
            }
            Self::TooDeep | Self::CommandsTooDeep => {
                "Split it into several commands that are nested less."
            }
            Self::Syntax => "Correct its syntax, or write it in a plainer way.",
            Self::Comment => "Take the backslash before the comment away.",
            Self::Characters => {
                "Write it without control characters and special spaces (with $'\\xNN' in quotes)."
            }
        }
    }
}
