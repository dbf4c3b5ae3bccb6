//! The packages of the workspace, as `cargo metadata` tells.

use serde_json::Value;
use std::process::Output;
use troupe_tests::binary;

/// One package of the workspace.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its folder, from the workspace's root, with `/`.
    pub(crate) folder: String,
    /// What it declares: of all kinds, for all systems.
    pub(crate) dependencies: Vec<Dependency>,
}

/// One declared dependency.
#[derive(Debug, Clone)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) features: Vec<String>,
    /// Whether it lies in this workspace.
    pub(crate) local: bool,
}

/// All of `cargo metadata` for this system.
///
/// # Panics
/// If cargo refuses.
pub(crate) fn metadata() -> Value {
    // The crates are there, for this test was built from them; those of other systems are not.
    let mut output = ask(&["--offline"]);
    if !output.status.success() {
        // A single package was built: the others' crates may still be missing.
        output = ask(&[]);
    }
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata failed:\n{told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn ask(more: &[&str]) -> Output {
    let version = binary::cargo().arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let arguments = ["metadata", "--format-version", "1", "--locked", "--filter-platform", host];
    binary::cargo().args(arguments).args(more).output().unwrap()
}

/// The members of the workspace.
pub(crate) fn packages(metadata: &Value) -> Vec<Package> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let root = text(&metadata["workspace_root"]);
    let members = list(&metadata["workspace_members"]);
    let ours = list(&metadata["packages"]).into_iter().filter(|one| members.contains(&one["id"]));
    ours.map(|one| {
        let manifest = text(&one["manifest_path"]);
        let folder = manifest.trim_start_matches(&root).trim_end_matches("Cargo.toml");
        let dependencies = list(&one["dependencies"]);
        Package {
            name: text(&one["name"]),
            folder: folder.replace('\\', "/").trim_matches('/').to_owned(),
            dependencies: dependencies
                .iter()
                .map(|dependency| Dependency {
                    name: text(&dependency["name"]),
                    features: list(&dependency["features"]).iter().map(text).collect(),
                    local: dependency["path"].is_string(),
                })
                .collect(),
        }
    })
    .collect()
}
