//! What is asked: from the command line, from standard input, with images.

use crate::named::open_named;
use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
use std::{
    io::Read,
    path::{Path, PathBuf},
};
use troupe_types::Content;

/// The largest image, in bytes.
const MAX_IMAGE: u64 = 20 * 1024 * 1024;

/// The largest prompt on standard input, in bytes: no model's window holds more.
const MAX_INPUT: u64 = 16 * 1024 * 1024;

/// Why there is no prompt.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// Nothing was given, and nobody can be asked.
    #[error(
        "no prompt: give one as an argument, or pipe it in (`troupe exec \"fix the test\"`, \
         `troupe exec - < task.md`)"
    )]
    Missing,
    /// Standard input was empty.
    #[error("no prompt: standard input is empty")]
    Empty,
    /// Standard input cannot be read.
    #[error("the prompt cannot be read from standard input: {0}")]
    Input(std::io::Error),
    /// It is too much.
    #[error(
        "the prompt on standard input has more than {} MiB: put it in a file and name that",
        MAX_INPUT / 1024 / 1024
    )]
    TooLong,
    /// It is no text.
    #[error("the prompt on standard input is not UTF-8 (byte {0} is wrong): convert it first")]
    NotText(usize),
    /// An image cannot be used.
    #[error("the image {path} cannot be used: {why}")]
    Image {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Standard input, as far as it concerns the prompt.
pub struct Input<'a> {
    /// Whether somebody types there.
    pub terminal: bool,
    /// What it gives.
    pub reader: &'a mut dyn Read,
}

/// The prompt's text. Standard input is read only if `given` is absent or `-`, or `append` asks for
/// it. For a session that goes on (`optional`), no prompt at all is `None`.
///
/// # Errors
/// When there is no prompt, or it cannot be read.
pub fn prompt_text(
    given: Option<&str>,
    append: bool,
    optional: bool,
    input: Input<'_>,
) -> Result<Option<String>, PromptError> {
    match given.filter(|text| *text != "-") {
        Some(text) if append => {
            let more = read(input.reader)?;
            if more.trim().is_empty() {
                return Ok(Some(text.to_owned()));
            }
            Ok(Some(format!("{text}\n\n<stdin>\n{}\n</stdin>", more.trim_end_matches('\n'))))
        }
        Some(text) if text.trim().is_empty() && !optional => Err(PromptError::Missing),
        Some(text) => Ok(Some(text.to_owned())),
        None if input.terminal && given.is_none() => {
            if optional {
                Ok(None)
            } else {
                Err(PromptError::Missing)
            }
        }
        None => {
            let text = read(input.reader)?;
            match (text.trim().is_empty(), optional && given.is_none()) {
                (false, _) => Ok(Some(text)),
                (true, true) => Ok(None),
                (true, false) => Err(PromptError::Empty),
            }
        }
    }
}

fn read(reader: &mut dyn Read) -> Result<String, PromptError> {
    let mut bytes = Vec::new();
    reader.take(MAX_INPUT + 1).read_to_end(&mut bytes).map_err(PromptError::Input)?;
    if bytes.len() as u64 > MAX_INPUT {
        return Err(PromptError::TooLong);
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| PromptError::NotText(error.utf8_error().valid_up_to()))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The prompt with its images.
///
/// # Errors
/// When an image cannot be read, is too large, or is none.
pub fn content(text: &str, images: &[PathBuf]) -> Result<Vec<Content>, PromptError> {
    let mut content = vec![Content::text(text)];
    for path in images {
        let url = image_url(path).map_err(|why| PromptError::Image { path: path.clone(), why })?;
        content.push(Content::Image { url });
    }
    Ok(content)
}

fn image_url(path: &Path) -> Result<String, String> {
    let file = open_named(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(MAX_IMAGE + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_IMAGE {
        return Err(format!("it has more than {} MiB", MAX_IMAGE / 1024 / 1024));
    }
    let kind = kind_of(&bytes).ok_or("it is not a PNG, JPEG, GIF or WebP image")?;
    Ok(format!("data:image/{kind};base64,{}", STANDARD.encode(&bytes)))
}

fn kind_of(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("png"),
        [0xFF, 0xD8, 0xFF, ..] => Some("jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("webp"),
        _ => None,
    }
}
