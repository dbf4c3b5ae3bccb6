//! Objects of a repository: which there are, and new ones whose contents are what their names say.

use flate2::read::ZlibDecoder;
use sha1::{Digest, Sha1};
use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// An object's name.
pub(super) type Name = [u8; 20];

/// Trees and commits longer than this are not read for what they name.
const MOST_READ: u64 = 64 << 20;
/// From so many on, one flush of the file system is quicker than one for each file.
const FLUSHED_ALONE: usize = 32;

/// The objects of a repository.
pub(super) struct Objects {
    folder: PathBuf,
    /// It and those it borrows from (gitrepository-layout(5), `objects/info/alternates`).
    folders: Vec<PathBuf>,
    indexes: Vec<File>,
    /// What the new ones name.
    named: HashSet<Name>,
}

impl Objects {
    pub(super) fn open(folder: PathBuf) -> Self {
        let mut folders = vec![folder.clone()];
        let others = fs::read_to_string(folder.join("info/alternates")).unwrap_or_default();
        folders.extend(others.lines().map(|line| folder.join(line)));
        let packs = folders.iter().filter_map(|folder| fs::read_dir(folder.join("pack")).ok());
        let indexes = packs
            .flat_map(|pack| pack.flatten().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "idx"))
            .filter_map(|path| File::open(path).ok());
        let indexes = indexes.collect();
        Self { folder, folders, indexes, named: HashSet::new() }
    }

    /// Takes the loose objects of `upper` over; gives how many, and those that are none.
    pub(super) fn take(&mut self, upper: &Path) -> (u32, Vec<String>) {
        let (mut taken, mut refused) = (Vec::new(), Vec::new());
        let Ok(fans) = fs::read_dir(upper) else { return (0, refused) };
        for fan in fans.flatten() {
            let start = fan.file_name().to_string_lossy().into_owned();
            let is_folder = fan.file_type().is_ok_and(|kind| kind.is_dir());
            if !is_folder || start == "info" {
                continue;
            }
            let Ok(entries) = fs::read_dir(fan.path()) else { continue };
            for entry in entries.flatten() {
                let rest = entry.file_name().to_string_lossy().into_owned();
                let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
                if start == "pack" {
                    if is_file && rest.ends_with(".pack") {
                        refused.push(format!("objects/pack/{rest} (packs stay as they are)"));
                    }
                    continue;
                }
                let Some(name) = read_name(&format!("{start}{rest}")).filter(|_| is_file) else {
                    continue;
                };
                if self.has(&name) {
                    continue;
                }
                match self.take_one(&entry.path(), &start, &rest, &name) {
                    Ok(file) => taken.push(file),
                    Err(error) => refused.push(format!("objects/{start}/{rest} ({error})")),
                }
            }
        }
        let count = u32::try_from(taken.len()).unwrap_or(u32::MAX);
        flush(&taken);
        (count, refused)
    }

    fn take_one(&mut self, from: &Path, start: &str, rest: &str, name: &Name) -> io::Result<File> {
        let mut named = Vec::new();
        let mut source = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(from)?;
        if verify(&mut source, &mut named)? != *name {
            return Err(io::Error::other("its content is not what its name says"));
        }
        source.seek(SeekFrom::Start(0))?;
        let folder = self.folder.join(start);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let temporary = folder.join(format!("tmp_obj_{rest}"));
        let mut target = File::create(&temporary)?;
        io::copy(&mut source, &mut target)?;
        target.set_permissions(fs::Permissions::from_mode(0o444))?;
        fs::rename(&temporary, folder.join(rest))?;
        self.named.extend(named);
        Ok(target)
    }

    /// Whether all that the new ones name is there.
    pub(super) fn are_complete(&mut self) -> bool {
        let named = std::mem::take(&mut self.named);
        named.iter().all(|name| self.has(name))
    }

    /// Whether the object is there.
    pub(super) fn has(&mut self, name: &Name) -> bool {
        let text = write_name(name);
        let (start, rest) = text.split_at(2);
        self.folders.iter().any(|folder| folder.join(start).join(rest).is_file())
            || self.indexes.iter_mut().any(|index| is_in(index, name).unwrap_or(false))
    }
}

/// Reads an object, gives the name its content has and the names of those it needs.
fn verify(source: &mut File, named: &mut Vec<Name>) -> io::Result<Name> {
    let mut content = ZlibDecoder::new(io::BufReader::new(source));
    let mut hash = Sha1::new();
    let mut head = Vec::new();
    loop {
        let mut byte = [0];
        content.read_exact(&mut byte)?;
        hash.update(byte);
        if byte[0] == 0 {
            break;
        }
        head.push(byte[0]);
        if head.len() > 64 {
            return Err(io::Error::other("it is no object"));
        }
    }
    let head = String::from_utf8(head).map_err(io::Error::other)?;
    let (kind, length) = head.split_once(' ').unwrap_or((&head, ""));
    let length: u64 = length.parse().map_err(io::Error::other)?;
    let keeps = kind != "blob" && length <= MOST_READ;
    let mut kept = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut count = 0;
    loop {
        let read = content.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        count += read as u64;
        if count > length {
            return Err(io::Error::other("it is longer than it says"));
        }
        hash.update(&buffer[..read]);
        if keeps {
            kept.extend_from_slice(&buffer[..read]);
        }
    }
    if count != length {
        return Err(io::Error::other("it is shorter than it says"));
    }
    match kind {
        "commit" | "tag" => named.extend(named_by_lines(&kept)),
        "tree" => named.extend(named_by_tree(&kept)),
        "blob" => {}
        _ => return Err(io::Error::other("it is of no known kind")),
    }
    Ok(hash.finalize().into())
}

fn named_by_lines(content: &[u8]) -> Vec<Name> {
    let head = content.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
    head.filter_map(|line| {
        let (key, value) = std::str::from_utf8(line).ok()?.split_once(' ')?;
        ["tree", "parent", "object"].contains(&key).then(|| read_name(value))?
    })
    .collect()
}

fn named_by_tree(mut content: &[u8]) -> Vec<Name> {
    let mut names = Vec::new();
    while let Some(end) = content.iter().position(|byte| *byte == 0) {
        let Some((name, rest)) = content[end + 1..].split_first_chunk::<20>() else { break };
        // A submodule's commit is in another repository.
        if !content.starts_with(b"160000 ") {
            names.push(*name);
        }
        content = rest;
    }
    names
}

/// Looks a name up in a pack's index, version 2 (gitformat-pack(5)).
fn is_in(index: &mut File, name: &Name) -> io::Result<bool> {
    let mut number = |place: u64| -> io::Result<u64> {
        let mut four = [0; 4];
        index.seek(SeekFrom::Start(place))?;
        index.read_exact(&mut four)?;
        Ok(u64::from(u32::from_be_bytes(four)))
    };
    if number(0)? != 0xff74_4f63 {
        return Ok(false);
    }
    let first = u64::from(name[0]);
    let mut low = if first == 0 { 0 } else { number(8 + 4 * (first - 1))? };
    let mut high = number(8 + 4 * first)?;
    while low < high {
        let middle = low.midpoint(high);
        let mut found = [0; 20];
        index.seek(SeekFrom::Start(8 + 1024 + 20 * middle))?;
        index.read_exact(&mut found)?;
        match found.cmp(name) {
            std::cmp::Ordering::Equal => return Ok(true),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    Ok(false)
}

/// What is named must be on the disk before anything names it.
fn flush(files: &[File]) {
    use std::os::fd::AsRawFd;
    if files.len() <= FLUSHED_ALONE {
        for file in files {
            let _unflushed = file.sync_data();
        }
    } else if let Some(file) = files.first() {
        // SAFETY: an open descriptor; flushes the file system it is on.
        let _unflushed = unsafe { libc::syncfs(file.as_raw_fd()) };
    }
}

/// A name from its 40 hexadecimal digits.
pub(super) fn read_name(text: &str) -> Option<Name> {
    if text.len() != 40 || !text.is_ascii() {
        return None;
    }
    let mut name = [0; 20];
    for (place, byte) in name.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(name)
}

fn write_name(name: &Name) -> String {
    name.iter().map(|byte| format!("{byte:02x}")).collect()
}
