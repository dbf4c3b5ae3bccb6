//! Long strings: kept in files beside the log, with a reference in the line.
//!
//! A string over [`LIMIT`] bytes becomes `{"$blob":"<file>","bytes":<length>}`. An object that has a
//! key `$blob` of its own becomes `{"$blob":null,"is":<object>}`.

use long_texts::LongTexts;
use serde_json::{Map, Value, json};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use troupe_types::{Line, LineError};

mod long_texts;

/// Strings of more bytes are kept in files.
pub(crate) const LIMIT: usize = 64 * 1024;

const KEY: &str = "$blob";
const MARK: &[u8] = b"\"$blob\":";

/// A line as it is written, and the new files it refers to.
pub(crate) struct Rendered {
    pub(crate) text: String,
    pub(crate) files: Vec<PathBuf>,
}

/// Renders a line; writes its long strings to `folder` first.
pub(crate) fn render(line: &Line, folder: &Path) -> io::Result<Rendered> {
    if let Some(text) = line.render_within(LIMIT).map_err(io::Error::other)?
        && memchr::memmem::find(text.as_bytes(), MARK).is_none()
    {
        return Ok(Rendered { text, files: Vec::new() });
    }
    let mut long = LongTexts::new(folder, line.seq);
    let text = line.render_as(&mut long)?;
    if !long.marked {
        return Ok(Rendered { text, files: long.files });
    }
    let mut body = line.record.body().map_err(io::Error::other)?;
    let mut out = Outgoing { folder, seq: line.seq, files: Vec::new() };
    out.visit(&mut body)?;
    let text = line.render_with(&body).map_err(io::Error::other)?;
    Ok(Rendered { text, files: out.files })
}

/// The file of a long string.
fn place(folder: &Path, seq: u64, number: usize) -> (String, PathBuf) {
    let name = format!("{seq}-{number}.txt");
    let path = folder.join(&name);
    (name, path)
}

/// The same for an object that has the key of references: it becomes another one, so all of the body
/// is made first.
struct Outgoing<'a> {
    folder: &'a Path,
    seq: u64,
    files: Vec<PathBuf>,
}

impl Outgoing<'_> {
    fn visit(&mut self, value: &mut Value) -> io::Result<()> {
        match value {
            Value::String(text) if text.len() > LIMIT => {
                let bytes = text.len();
                let name = self.store(text)?;
                *value = json!({ KEY: name, "bytes": bytes });
            }
            Value::Array(all) => {
                for each in all {
                    self.visit(each)?;
                }
            }
            Value::Object(object) => {
                for each in object.values_mut() {
                    self.visit(each)?;
                }
                if object.contains_key(KEY) {
                    *value = json!({ KEY: null, "is": value.take() });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn store(&mut self, text: &str) -> io::Result<String> {
        make_folder(self.folder)?;
        let (name, path) = place(self.folder, self.seq, self.files.len());
        // An earlier attempt at the same line may have left one.
        if let Err(error) = fs::write(&path, text).and_then(|()| private(&path, 0o600)) {
            let _left = fs::remove_file(&path);
            return Err(error);
        }
        self.files.push(path);
        Ok(name)
    }
}

/// Reads a line, with its long strings put back.
///
/// # Errors
/// Says what is wrong with it.
pub(crate) fn parse(text: &[u8], folder: &Path) -> Result<Line, LineError> {
    let text = std::str::from_utf8(text)?;
    if memchr::memmem::find(text.as_bytes(), KEY.as_bytes()).is_none() {
        return Line::parse(text);
    }
    let mut value: Value = serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text))?;
    if let Some(body) = value.get_mut("body") {
        restore(body, folder)?;
    }
    Line::from_value(value)
}

fn restore(value: &mut Value, folder: &Path) -> Result<(), LineError> {
    match value {
        Value::Array(all) => all.iter_mut().try_for_each(|each| restore(each, folder)),
        Value::Object(object) => match reference(object) {
            Some(Reference::File(name, bytes)) => {
                let path = folder.join(&name);
                let text = fs::read_to_string(&path).map_err(|error| long_text(&path, &error))?;
                if text.len() as u64 != bytes {
                    let error = format!("it holds {} bytes, not {bytes}", text.len());
                    return Err(long_text(&path, &io::Error::other(error)));
                }
                *value = Value::String(text);
                Ok(())
            }
            Some(Reference::Object(mut inner)) => {
                inner.values_mut().try_for_each(|each| restore(each, folder))?;
                *value = Value::Object(inner);
                Ok(())
            }
            None => object.values_mut().try_for_each(|each| restore(each, folder)),
        },
        _ => Ok(()),
    }
}

fn long_text(path: &Path, error: &io::Error) -> LineError {
    LineError::LongText { file: path.display().to_string(), error: error.to_string() }
}

enum Reference {
    /// A file and the length of its text.
    File(String, u64),
    Object(Map<String, Value>),
}

fn reference(object: &mut Map<String, Value>) -> Option<Reference> {
    match (object.get(KEY)?, object.get("is"), object.get("bytes")) {
        // A plain file name: a log from elsewhere must not name other files.
        (Value::String(name), None, Some(bytes)) if !name.contains(['/', '\\']) => {
            Some(Reference::File(name.clone(), bytes.as_u64()?))
        }
        (Value::Null, Some(Value::Object(_)), None) => match object.remove("is") {
            Some(Value::Object(inner)) => Some(Reference::Object(inner)),
            _ => None,
        },
        _ => None,
    }
}

/// Makes a folder that only the user can open.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn private(path: &Path, mode: u32) -> io::Result<()> {
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    #[cfg(not(unix))]
    let _ = (path, mode);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use troupe_types::{AssistantItem, Item, ItemCompleted, RequestId};

    fn says(text: String) -> Line {
        let item = Item::Assistant(AssistantItem { text, ..AssistantItem::default() });
        let request = RequestId::from_u128(1);
        let record = ItemCompleted { request, index: 0, item: Arc::new(item) }.into();
        Line { seq: 7, at: 1, record }
    }

    #[test]
    fn a_long_text_comes_back_to_the_byte_and_leaves_its_line_short() {
        let dir = tempfile::tempdir().unwrap();
        let all: String = (0..0x3000).filter_map(char::from_u32).collect();
        for len in [LIMIT - 1, LIMIT, LIMIT + 1, 5 * LIMIT] {
            let text: String = all
                .chars()
                .cycle()
                .scan(0, |bytes, c| {
                    *bytes += c.len_utf8();
                    (*bytes <= len).then_some(c)
                })
                .collect();
            for text in [text, "x".repeat(len)] {
                let line = says(text.clone());
                let rendered = render(&line, dir.path()).unwrap();
                assert_eq!(rendered.files.len(), usize::from(text.len() > LIMIT), "{len}");
                if let Some(file) = rendered.files.first() {
                    assert_eq!(fs::read_to_string(file).unwrap(), text);
                    assert!(rendered.text.len() < 1024);
                }
                assert_eq!(parse(rendered.text.as_bytes(), dir.path()).unwrap(), line);
            }
        }
    }
}
