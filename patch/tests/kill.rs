//! Patches whose process is killed: after recovery the tree is wholly old or wholly new.
//!
//! The test program applies patches in copies of itself, and kills them: at every step in turn, and at
//! random moments.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a test program"
)]

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};
use troupe_patch::{
    FileSystem, Kind, RealFileSystem, Recovered, Staged, apply_journaled, parse, plan, recover,
};

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|word| word == "child") {
        return child(Path::new(&words[2]), Path::new(&words[3]), words[4].parse().unwrap());
    }
    let tests: [(&str, fn()); 8] = [
        ("every_step", every_step),
        ("random_moments", random_moments),
        ("a_living_owner_is_left_alone", living_owner),
        ("what_somebody_else_changed_is_kept", conflict),
        ("a_half_written_file_is_taken_back", half_written),
        ("somebody_elses_text_is_not_taken_for_a_half_written_one", not_half_written),
        ("a_link_put_in_the_way_is_not_followed", link_in_the_way),
        ("a_journal_that_was_broken_off_changes_nothing", broken_journal),
    ];
    for (name, test) in tests {
        test();
        println!("test {name} ... ok");
    }
}

/// Dies at a given step.
struct Mortal(AtomicUsize);

impl Mortal {
    fn step(&self) {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 1 {
            std::process::abort();
        }
    }
}

struct MortalFile<'a>(Box<dyn Staged + 'a>, &'a Mortal);

impl Staged for MortalFile<'_> {
    fn commit(&mut self) -> io::Result<()> {
        self.1.step();
        self.0.commit()
    }
    fn is_in_place(&self) -> bool {
        self.0.is_in_place()
    }
}

impl FileSystem for Mortal {
    fn kind(&self, path: &Path) -> io::Result<Kind> {
        RealFileSystem.kind(path)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealFileSystem.read(path)
    }
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        RealFileSystem.canonicalize(path)
    }
    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        RealFileSystem.read_link(path)
    }
    fn stage<'a>(
        &'a self,
        path: &Path,
        bytes: &[u8],
        like: &Path,
    ) -> io::Result<Box<dyn Staged + 'a>> {
        self.step();
        let staged = RealFileSystem.stage(path, bytes, like)?;
        Ok(Box::new(MortalFile(staged, self)))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step();
        RealFileSystem.remove(path)
    }
    fn identity(&self, path: &Path) -> Option<(u64, u64)> {
        RealFileSystem.identity(path)
    }
}

fn child(tree: &Path, journals: &Path, step: usize) {
    let fs = Mortal(AtomicUsize::new(step));
    let plan = plan(&parse(&patch()).unwrap(), tree, &fs).unwrap();
    println!("go");
    io::stdout().flush().unwrap();
    apply_journaled(&plan, &fs, journals).unwrap();
}

/// Twenty files: updated, added in new directories, deleted, moved, and one in the way of a directory;
/// and two with several names, which are written in place.
fn patch() -> String {
    let mut patch = "*** Begin Patch\n".to_owned();
    patch += "*** Update File: linked\n@@\n-b\n+linked and changed\n@@\n-last\n+the last one\n";
    patch += "*** Update File: shorter\n@@\n-b\n";
    for file in 0..8 {
        patch += &format!("*** Update File: u{file}\n@@\n a\n-b\n+changed {file}\n");
    }
    for file in 0..4 {
        patch += &format!("*** Add File: new{file}/deep/f\n+added {file}\n");
    }
    for file in 0..4 {
        patch += &format!("*** Delete File: d{file}\n");
    }
    for file in 0..3 {
        patch += &format!(
            "*** Update File: m{file}\n*** Move to: moved{file}/f\n@@\n a\n-b\n+moved {file}\n"
        );
    }
    patch += "*** Delete File: way\n*** Add File: way/f\n+in its place\n";
    patch + "*** End Patch"
}

struct Stage {
    folder: tempfile::TempDir,
    old: Tree,
    new: Tree,
}

type Tree = BTreeMap<PathBuf, (Vec<u8>, u32)>;

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut stage = Self { folder, old: Tree::new(), new: Tree::new() };
        stage.fill();
        stage.old = stage.tree();
        child(&stage.work(), &stage.journals(), 0);
        stage.new = stage.tree();
        assert_ne!(stage.old, stage.new);
        assert!(stage.no_journals());
        stage
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn journals(&self) -> PathBuf {
        self.folder.path().join("journals")
    }

    fn fill(&self) {
        let _none = fs::remove_dir_all(self.work());
        fs::create_dir(self.work()).unwrap();
        let names = (0..8).map(|n| format!("u{n}")).chain((0..4).map(|n| format!("d{n}")));
        for name in names.chain((0..3).map(|n| format!("m{n}"))).chain(["way".to_owned()]) {
            fs::write(self.work().join(&name), "a\nb\n").unwrap();
        }
        // Long enough for a kill to come while it is written.
        let long: String = (0..5_000).map(|line| format!("line {line}\n")).collect();
        fs::write(self.work().join("linked"), format!("a\nb\n{long}last\n")).unwrap();
        fs::write(self.work().join("shorter"), format!("a\nb\n{long}")).unwrap();
        for name in ["linked", "shorter"] {
            let name = self.work().join(name);
            fs::hard_link(&name, name.with_extension("again")).unwrap();
        }
        fs::set_permissions(self.work().join("shorter"), fs::Permissions::from_mode(0o4755))
            .unwrap();
        fs::set_permissions(self.work().join("u0"), fs::Permissions::from_mode(0o750)).unwrap();
        fs::set_permissions(self.work().join("m0"), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        let mut open = vec![self.work()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).unwrap().flatten() {
                let (path, data) = (entry.path(), entry.metadata().unwrap());
                if data.is_dir() {
                    open.push(path.clone());
                }
                let bytes = if data.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
                let mode = if data.is_file() { data.permissions().mode() } else { 0 };
                tree.insert(path, (bytes, mode));
            }
        }
        tree
    }

    fn no_journals(&self) -> bool {
        fs::read_dir(self.journals()).is_ok_and(|mut entries| entries.next().is_none())
    }

    fn start(&self, step: usize) -> std::process::Child {
        #[expect(clippy::disallowed_methods, reason = "a process to be killed")]
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("child").args([self.work(), self.journals()]).arg(step.to_string());
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Whether the tree is new; it must be either, and nothing else may be left.
    fn is_whole(&self, what: &str) -> bool {
        let found = recover(&self.journals());
        let failed =
            |one: &Recovered| !matches!(one, Recovered::TakenBack { .. } | Recovered::Cleared);
        assert!(!found.iter().any(failed), "{what}: {found:?}");
        assert!(recover(&self.journals()).is_empty(), "once is enough");
        assert!(self.no_journals(), "{what}");
        let tree = self.tree();
        assert!(
            tree == self.old || tree == self.new,
            "{what}: neither old nor new: {:?}",
            tree.keys()
        );
        tree == self.new
    }
}

fn every_step() {
    let stage = Stage::new();
    let mut outcomes = [0, 0];
    for step in 1.. {
        stage.fill();
        let mut child = stage.start(step);
        let finished = child.wait().unwrap().success();
        outcomes[usize::from(stage.is_whole(&format!("step {step}")))] += 1;
        if finished {
            break;
        }
    }
    assert!(outcomes[0] >= 20 && outcomes[1] >= 1, "{outcomes:?}");
}

fn random_moments() {
    let stage = Stage::new();
    stage.fill();
    let mut whole = stage.start(0);
    whole.stdout.take().unwrap().read_exact(&mut [0; 3]).unwrap();
    let began = Instant::now();
    assert!(whole.wait().unwrap().success());
    let most = began.elapsed().as_micros().max(500);
    // A plain generator will do: the moments only have to differ.
    let mut random = u128::from(std::process::id());
    let mut outcomes = [0, 0];
    for round in 0..100 {
        stage.fill();
        let mut child = stage.start(0);
        child.stdout.take().unwrap().read_exact(&mut [0; 3]).unwrap();
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let wait = Duration::from_micros(u64::try_from((random >> 33) % most).unwrap());
        let began = Instant::now();
        while began.elapsed() < wait {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        outcomes[usize::from(stage.is_whole(&format!("round {round}")))] += 1;
    }
    println!("killed at random: {} trees old, {} new", outcomes[0], outcomes[1]);
}

fn living_owner() {
    let stage = Stage::new();
    stage.fill();
    let journals = stage.journals();
    let mut child = stage.start(20);
    child.wait().unwrap();
    let journal = fs::read_dir(&journals).unwrap().next().unwrap().unwrap().path();
    let held = fs::File::open(&journal).unwrap();
    held.lock().unwrap();
    assert!(recover(&journals).is_empty());
    assert!(journal.exists());
    drop(held);
    assert!(!stage.is_whole("its owner is gone"));
}

fn conflict() {
    let stage = Stage::new();
    stage.fill();
    // Some are in place already, and some are not.
    stage.start(30).wait().unwrap();
    let changed = stage.tree().into_iter().find(|(_, (bytes, _))| bytes.starts_with(b"a\nchanged"));
    let changed = changed.unwrap().0;
    fs::write(&changed, "mine").unwrap();
    let found = recover(&stage.journals());
    let [Recovered::Conflict { paths, kept }] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(paths, std::slice::from_ref(&changed));
    assert_eq!(fs::read(&changed).unwrap(), b"mine");
    assert!(fs::read(kept).unwrap().windows(4).any(|bytes| bytes == b"a\nb\n"));
    let mut tree = stage.tree();
    let mut old = stage.old.clone();
    tree.remove(&changed);
    old.remove(&changed);
    assert_eq!(tree, old, "the rest is old");
    assert!(recover(&stage.journals()).is_empty());
}

/// A patch that was killed just before it wrote `linked`, and the text it was about to write.
fn killed_at_linked(stage: &Stage) -> (PathBuf, Vec<u8>, Vec<u8>) {
    let linked = stage.work().join("linked");
    stage.fill();
    // Everything is staged: the next step puts the first file in place, which is `linked`.
    let staged = (1..).find(|step| {
        stage.fill();
        let _none = fs::remove_dir_all(stage.journals());
        stage.start(*step).wait().unwrap();
        stage.tree()[&linked] == stage.new[&linked]
    });
    stage.fill();
    let _none = fs::remove_dir_all(stage.journals());
    stage.start(staged.unwrap()).wait().unwrap();
    let (old, new) = (stage.old[&linked].0.clone(), stage.new[&linked].0.clone());
    (linked, old, new)
}

fn half_written() {
    let stage = Stage::new();
    let (linked, old, new) = killed_at_linked(&stage);
    let journal = fs::read_dir(stage.journals()).unwrap().next().unwrap().unwrap().path();
    let journal_bytes = fs::read(&journal).unwrap();
    let most = old.len().max(new.len());
    for cut in [1, 2, 3, 100, 4096, old.len() / 2, old.len() - 1, old.len(), new.len() - 1] {
        stage.fill();
        fs::write(&journal, &journal_bytes).unwrap();
        let mut torn = new[..cut].to_vec();
        torn.extend_from_slice(old.get(cut..).unwrap_or_default());
        assert!(torn.len() <= most);
        let mut file = fs::OpenOptions::new().write(true).open(&linked).unwrap();
        file.write_all(&torn).unwrap();
        file.set_len(torn.len() as u64).unwrap();
        assert!(!stage.is_whole(&format!("half-written up to {cut}")));
        let again = fs::read(linked.with_extension("again")).unwrap();
        assert!(again == old, "the other name has the old text too");
    }
}

fn not_half_written() {
    let stage = Stage::new();
    let (linked, ..) = killed_at_linked(&stage);
    fs::write(&linked, "mine\n").unwrap();
    let found = recover(&stage.journals());
    let [Recovered::Conflict { paths, .. }] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(paths, std::slice::from_ref(&linked));
    assert_eq!(fs::read(&linked).unwrap(), b"mine\n");
}

fn link_in_the_way() {
    let stage = Stage::new();
    let (work, outside) = (stage.work(), stage.folder.path().join("outside"));
    let _none = fs::remove_dir_all(&work);
    fs::create_dir_all(work.join("sub")).unwrap();
    fs::create_dir(&outside).unwrap();
    for folder in [work.join("sub"), outside.clone()] {
        fs::write(folder.join("f"), "a\nb\n").unwrap();
        fs::write(folder.join("g"), "a\n").unwrap();
    }
    let text = "*** Begin Patch\n*** Update File: sub/f\n@@\n a\n-b\n+evil\n*** Delete File: sub/g\n*** End Patch";
    let plan = plan(&parse(text).unwrap(), &work, &RealFileSystem).unwrap();
    // After it was checked, and perhaps approved.
    fs::rename(work.join("sub"), work.join("away")).unwrap();
    std::os::unix::fs::symlink(&outside, work.join("sub")).unwrap();
    let error = apply_journaled(&plan, &RealFileSystem, &stage.journals()).unwrap_err();
    assert!(error.to_string().contains("replaced by a link"), "{error}");
    assert_eq!(fs::read(outside.join("f")).unwrap(), b"a\nb\n");
    assert!(outside.join("g").exists());
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 2);
}

fn broken_journal() {
    let stage = Stage::new();
    stage.fill();
    stage.start(20).wait().unwrap();
    let journal = fs::read_dir(stage.journals()).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&journal).unwrap();
    stage.fill();
    for length in [0, 1, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&journal, &whole[..length]).unwrap();
        assert!(!stage.is_whole("a journal that was broken off"));
    }
    fs::write(&journal, b"{\"version\":1}\ngarbage").unwrap();
    assert!(!stage.is_whole("garbage"));
}
