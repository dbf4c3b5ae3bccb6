//! What is asked: from the command line, from standard input, with images.

use crate::{
    named::open_named,
    sessions::size,
    stdin::{Incoming, Source, StandardInput},
};
use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
use std::{
    fs::File,
    future::Future,
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout_at};
use troupe_types::Content;

/// The largest image, in bytes.
const MAX_IMAGE: u64 = 20 * 1024 * 1024;

/// How long a pipe beside a prompt has for its first byte or its end.
const FIRST_BYTE: Duration = Duration::from_secs(5);

/// After how long the waiting is told, and told again.
const TOLD_AFTER: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(10), Duration::from_secs(60)];

/// Why there is no prompt.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// Nothing was given, and nobody can be asked.
    #[error(
        "no prompt: give one as an argument, or pipe it in (`troupe exec \"fix the test\"`, \
         `troupe exec - < task.md`)"
    )]
    Missing,
    /// The prompt that was given says nothing.
    #[error(
        "the prompt is empty (a variable that is not set?): give one, or with `resume` leave it \
         out to go on with what was interrupted"
    )]
    Blank,
    /// Standard input was empty.
    #[error("no prompt: standard input is empty")]
    Empty,
    /// Standard input cannot be read.
    #[error("standard input cannot be read: {0}")]
    Input(std::io::Error),
    /// It is too much.
    #[error(
        "standard input has more than {} MiB: put it in a file and name that in the prompt",
        Incoming::MOST / 1024 / 1024
    )]
    TooLong,
    /// It is no text.
    #[error(
        "standard input is not UTF-8 (byte {0} is wrong): convert it first, or leave it out with \
         `</dev/null`"
    )]
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

/// What the command line says of the prompt.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// The argument.
    pub given: Option<&'a str>,
    /// Standard input belongs to it, however long it takes (`--stdin`).
    pub append: bool,
    /// There need not be one: the session goes on with what was interrupted.
    pub optional: bool,
}

/// The prompt's text; `None` where there need not be one.
///
/// Without an argument, or with `-`, it is standard input. Beside an argument a pipe has 5 s for
/// its first byte or its end; what comes is read whole and appended, and `tell` is told of the
/// waiting.
///
/// # Errors
/// When there is no prompt, or it cannot be read.
pub async fn prompt_text(
    asked: Asked<'_>,
    input: &StandardInput,
    tell: &mut dyn FnMut(&str),
) -> Result<Option<String>, PromptError> {
    match asked.given.filter(|text| *text != "-") {
        Some(text) if text.trim().is_empty() => Err(PromptError::Blank),
        Some(text) => {
            let more = beside(asked.append, input, tell).await?;
            Ok(Some(more.map_or_else(|| text.to_owned(), |more| with_block(text, &more))))
        }
        None => alone(asked, input, tell).await,
    }
}

fn with_block(text: &str, more: &str) -> String {
    format!("{text}\n\n<stdin>\n{}\n</stdin>", more.trim_end_matches('\n'))
}

/// Standard input beside a prompt, if it says something.
async fn beside(
    append: bool,
    input: &StandardInput,
    tell: &mut dyn FnMut(&str),
) -> Result<Option<String>, PromptError> {
    let wanted = append || matches!(input.source(), Source::Stream | Source::File);
    if !wanted {
        return Ok(None);
    }
    let text =
        if append { Some(read(input, tell).await?) } else { read_if_begun(input, tell).await? };
    Ok(text.filter(|text| !text.trim().is_empty()))
}

/// Standard input in place of a prompt.
async fn alone(
    asked: Asked<'_>,
    input: &StandardInput,
    tell: &mut dyn FnMut(&str),
) -> Result<Option<String>, PromptError> {
    let optional = asked.optional && asked.given.is_none() && !asked.append;
    if asked.given.is_none() && input.source() == Source::Terminal {
        return if optional { Ok(None) } else { Err(PromptError::Missing) };
    }
    let text =
        if optional { read_if_begun(input, tell).await? } else { Some(read(input, tell).await?) };
    match text.filter(|text| !text.trim().is_empty()) {
        Some(text) => Ok(Some(text)),
        None if optional => Ok(None),
        None => Err(PromptError::Empty),
    }
}

/// All of it, however long it takes.
async fn read(input: &StandardInput, tell: &mut dyn FnMut(&str)) -> Result<String, PromptError> {
    let mut incoming = input.incoming().map_err(PromptError::Input)?;
    let seen = incoming.clone();
    told_while(incoming.whole(), tell, || reading(input.source(), seen.bytes())).await;
    text_of(&incoming)
}

/// All of it, if its first byte or its end comes in time.
async fn read_if_begun(
    input: &StandardInput,
    tell: &mut dyn FnMut(&str),
) -> Result<Option<String>, PromptError> {
    let until = Instant::now() + FIRST_BYTE;
    let Ok(mut incoming) = input.incoming() else { return Ok(None) };
    let begun = timeout_at(until, incoming.begun());
    if told_while(begun, tell, waiting).await.is_err() {
        input.give_up();
        tell(
            "nothing came on standard input within 5 s, so nothing was read from it; the run goes \
             on without it (--stdin waits for as long as it takes)",
        );
        return Ok(None);
    }
    let seen = incoming.clone();
    told_while(incoming.whole(), tell, || reading(input.source(), seen.bytes())).await;
    match text_of(&incoming) {
        // Whatever it is, it was not meant as input.
        Err(PromptError::Input(error)) if incoming.bytes() == 0 => {
            tell(&format!("standard input cannot be read, the run goes on without it: {error}"));
            Ok(None)
        }
        text => text.map(Some),
    }
}

fn waiting() -> String {
    "waiting up to 5 s for standard input, which is an open pipe (`</dev/null` skips this)"
        .to_owned()
}

fn reading(source: Source, bytes: u64) -> String {
    match (source, bytes) {
        (Source::Terminal, _) => {
            "reading the prompt from the terminal; Ctrl-D on an empty line ends it".to_owned()
        }
        (_, 0) => {
            "waiting for standard input to begin and to end (`</dev/null` skips this)".to_owned()
        }
        (_, bytes) => format!(
            "reading standard input to its end, {} so far (`</dev/null` skips this)",
            size(bytes)
        ),
    }
}

/// Waits for `work`, and tells now and then that it does.
async fn told_while<T>(
    work: impl Future<Output = T>,
    tell: &mut dyn FnMut(&str),
    what: impl Fn() -> String,
) -> T {
    let mut work = std::pin::pin!(work);
    let mut waits = TOLD_AFTER.into_iter();
    let mut wait = TOLD_AFTER[0];
    loop {
        wait = waits.next().unwrap_or(wait);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = sleep(wait) => tell(&what()),
        }
    }
}

fn text_of(incoming: &Incoming) -> Result<String, PromptError> {
    let bytes = incoming.take().map_err(PromptError::Input)?;
    if bytes.len() as u64 > Incoming::MOST {
        return Err(PromptError::TooLong);
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| PromptError::NotText(error.utf8_error().valid_up_to()))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The images as content. A path starts from the folder of this process, and where there is no such
/// file, from the working directory.
///
/// # Errors
/// When one cannot be read, is too large, or is none.
pub fn images(paths: &[PathBuf], cwd: &Path) -> Result<Vec<Content>, PromptError> {
    let image = |path: &PathBuf| match image_url(path, cwd) {
        Ok(url) => Ok(Content::Image { url }),
        Err(why) => Err(PromptError::Image { path: path.clone(), why }),
    };
    paths.iter().map(image).collect()
}

/// Opens an image where it is first found.
fn open_image(path: &Path, cwd: &Path) -> Result<File, String> {
    let here = match open_named(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && path.is_relative() => error,
        opened => return opened.map_err(|error| error.to_string()),
    };
    match open_named(&cwd.join(path)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = std::env::current_dir().unwrap_or_default();
            Err(match folder == cwd {
                true => here.to_string(),
                false => format!(
                    "it is neither in {} nor in the working directory, {}",
                    folder.display(),
                    cwd.display()
                ),
            })
        }
        opened => opened.map_err(|error| error.to_string()),
    }
}

fn image_url(path: &Path, cwd: &Path) -> Result<String, String> {
    let file = open_image(path, cwd)?;
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
