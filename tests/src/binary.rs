//! Where the programs under test are, built if need be.
//!
//! They come from the target directory the test itself runs from, in the same profile. `cargo build` is
//! asked each time a test process first needs a program, so that a test never runs an old one.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock},
};

/// The `troupe` binary: `$TROUPE_BIN` if set, else the workspace's, built on first use.
///
/// # Panics
/// If it cannot be built.
pub fn troupe() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("TROUPE_BIN") {
        Some(path) => std::fs::canonicalize(&path)
            .unwrap_or_else(|error| panic!("TROUPE_BIN={}: {error}", path.display())),
        None => {
            let place = Place::of_this_test();
            place.build(&["-p", "troupe-cli", "--bin", "troupe"]);
            place.profile.join(format!("troupe{}", std::env::consts::EXE_SUFFIX))
        }
    })
}

/// An example of a package of the workspace, built on first use.
///
/// # Panics
/// If it cannot be built.
pub fn example(package: &str, name: &str) -> PathBuf {
    static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let key = format!("{package}/{name}");
    if let Some(path) = built.get_or_insert_default().get(&key) {
        return path.clone();
    }
    let place = Place::of_this_test();
    place.build(&["-p", package, "--example", name]);
    let path =
        place.profile.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    built.get_or_insert_default().insert(key, path.clone());
    path
}

/// The root of the workspace.
#[must_use]
pub fn workspace_root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the tests are a folder of the workspace").to_owned()
}

/// `cargo`, as the one that runs this test.
#[must_use]
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace_root());
    cargo
}

/// Where cargo put this test: `TARGET[/TRIPLE]/PROFILE/deps/test-hash`.
struct Place {
    profile: PathBuf,
    arguments: Vec<String>,
}

impl Place {
    fn of_this_test() -> Self {
        let test = std::env::current_exe().expect("the path of this test");
        let deps = test.parent().filter(|deps| deps.ends_with("deps"));
        let profile = deps.and_then(Path::parent);
        let profile = profile
            .unwrap_or_else(|| panic!("{} was not built by cargo: set TROUPE_BIN", test.display()));
        Self { profile: profile.to_owned(), arguments: arguments(profile) }
    }

    fn build(&self, what: &[&str]) {
        let mut cargo = cargo();
        cargo.arg("build").arg("--quiet").args(what).args(&self.arguments);
        // Set by cargo for this test; the build would otherwise see them as changes.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_")) {
                cargo.env_remove(name);
            }
        }
        cargo.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH");
        let output = cargo.output().expect("cargo can be started");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo build {what:?} failed:\n{text}");
    }
}

/// The arguments that make cargo build into the folder `profile`.
fn arguments(profile: &Path) -> Vec<String> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let parent = profile.parent().unwrap_or(profile);
    let mut arguments = Vec::new();
    match name(profile).as_str() {
        "debug" => {}
        "release" => arguments.push("--release".to_owned()),
        other => arguments.extend(["--profile".to_owned(), other.to_owned()]),
    }
    // A folder between the target directory and the profile is that of a target triple. Cargo marks
    // a target directory that it made itself, and keeps what it knows of rustc in each.
    let marked = |mark: &str| parent.join(mark).exists();
    let triple = name(parent).matches('-').count() >= 2;
    let target = if marked("CACHEDIR.TAG") || marked(".rustc_info.json") || !triple {
        parent
    } else {
        arguments.extend(["--target".to_owned(), name(parent)]);
        parent.parent().unwrap_or(parent)
    };
    arguments.extend(["--target-dir".to_owned(), target.to_string_lossy().into_owned()]);
    arguments
}

#[cfg(test)]
mod tests;
