//! Writes long strings to files while their line is written, so that no copy of them is made.

use super::{KEY, LIMIT, make_folder, place, private};
use serde_json::ser::{CharEscape, Formatter};
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// A form of JSON in which long strings are references; see the module above.
pub(super) struct LongTexts<'a> {
    folder: &'a Path,
    seq: u64,
    /// The files so far.
    pub(super) files: Vec<PathBuf>,
    /// An object has the key of references, and has to be written in another way.
    pub(super) marked: bool,
    in_key: bool,
    /// The string at hand, as long as it is short.
    text: Vec<u8>,
    /// The file of the string at hand, its name, and its bytes so far.
    long: Option<(BufWriter<File>, String, u64)>,
}

impl<'a> LongTexts<'a> {
    /// For line `seq`, whose long strings go to this folder.
    pub(super) fn new(folder: &'a Path, seq: u64) -> Self {
        Self {
            folder,
            seq,
            files: Vec::new(),
            marked: false,
            in_key: false,
            text: Vec::new(),
            long: None,
        }
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.long.is_none() && (self.in_key || self.text.len() + bytes.len() <= LIMIT) {
            self.text.extend_from_slice(bytes);
            return Ok(());
        }
        let (file, _, len) = match &mut self.long {
            Some(long) => long,
            None => {
                let opened = self.open()?;
                self.long.insert(opened)
            }
        };
        *len += bytes.len() as u64;
        file.write_all(bytes)
    }

    fn open(&mut self) -> io::Result<(BufWriter<File>, String, u64)> {
        make_folder(self.folder)?;
        let (name, path) = place(self.folder, self.seq, self.files.len());
        // An earlier attempt at the same line may have left one.
        let file = File::create(&path)?;
        private(&path, 0o600)?;
        self.files.push(path);
        let mut file = BufWriter::with_capacity(LIMIT, file);
        let begun = std::mem::take(&mut self.text);
        file.write_all(&begun)?;
        Ok((file, name, begun.len() as u64))
    }
}

impl Formatter for &mut LongTexts<'_> {
    fn begin_string<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.text.clear();
        Ok(())
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        _: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        self.add(fragment.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        _: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        self.add(&[match escape {
            CharEscape::Quote => b'"',
            CharEscape::ReverseSolidus => b'\\',
            CharEscape::Solidus => b'/',
            CharEscape::Backspace => 8,
            CharEscape::FormFeed => 12,
            CharEscape::LineFeed => b'\n',
            CharEscape::CarriageReturn => b'\r',
            CharEscape::Tab => b'\t',
            CharEscape::AsciiControl(byte) => byte,
        }])
    }

    fn end_string<W: ?Sized + Write>(&mut self, mut writer: &mut W) -> io::Result<()> {
        if let Some((mut file, name, bytes)) = self.long.take() {
            file.flush()?;
            return write!(writer, "{{\"{KEY}\":\"{name}\",\"bytes\":{bytes}}}");
        }
        self.marked |= self.in_key && self.text == KEY.as_bytes();
        let text = std::str::from_utf8(&self.text).map_err(io::Error::other)?;
        serde_json::to_writer(&mut writer, text).map_err(io::Error::from)
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.in_key = true;
        if first { Ok(()) } else { writer.write_all(b",") }
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.in_key = false;
        Ok(())
    }
}
