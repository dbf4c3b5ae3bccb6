//! What stands in the manifests: versions once, at the root; panics unwind; lints everywhere.

use toml::{Table, Value};

/// A manifest's or cargo configuration's profiles: a panic that aborts ends every actor at once.
pub(crate) fn check_root(manifest: &Table) -> Vec<String> {
    let mut wrong = Vec::new();
    let profiles = manifest.get("profile").and_then(Value::as_table);
    for (name, profile) in profiles.into_iter().flatten() {
        if profile.get("panic").is_some_and(|panic| panic.as_str() != Some("unwind")) {
            wrong.push(format!("profile `{name}`: panics must unwind, or nothing is supervised"));
        }
    }
    let flags = manifest.values().map(ToString::to_string).collect::<String>();
    if flags.replace(' ', "").contains("panic=abort") {
        wrong.push("a compiler flag sets panic=abort: nothing is supervised then".to_owned());
    }
    wrong
}

/// A member's manifest: its dependencies come from the root, its lints too or their like.
pub(crate) fn check_member(folder: &str, manifest: &Table) -> Vec<String> {
    let mut wrong = Vec::new();
    for (table, dependencies) in tables(manifest) {
        for (name, value) in dependencies {
            if value.get("workspace") != Some(&Value::Boolean(true)) {
                let remedy = "the root pins it: write `workspace = true`";
                wrong.push(format!("{folder}: `{name}` in [{table}]: {remedy}"));
            }
        }
    }
    if manifest.contains_key("profile") || manifest.contains_key("patch") {
        wrong.push(format!("{folder}: cargo ignores [profile] and [patch] outside the root"));
    }
    let lints = manifest.get("lints");
    let lint = |group: &str, name: &str| lints?.get(group)?.get(name)?.as_str();
    let inherited = lints.and_then(|lints| lints.get("workspace")) == Some(&Value::Boolean(true));
    if !inherited && lint("rust", "unsafe_code") != Some("deny") {
        wrong.push(format!("{folder}: no lints: write `[lints]` with `workspace = true`"));
    }
    wrong
}

/// Every table of dependencies with its name.
fn tables(manifest: &Table) -> Vec<(String, &Table)> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let mut found = Vec::new();
    for kind in KINDS {
        if let Some(table) = manifest.get(kind).and_then(Value::as_table) {
            found.push((kind.to_owned(), table));
        }
        let targets = manifest.get("target").and_then(Value::as_table);
        for (target, place) in targets.into_iter().flatten() {
            if let Some(table) = place.get(kind).and_then(Value::as_table) {
                found.push((format!("target.{target}.{kind}"), table));
            }
        }
    }
    found
}

mod refuses {
    use super::{check_member, check_root};

    #[test]
    fn a_panic_that_aborts_in_any_profile() {
        let root = |text: &str| check_root(&text.parse().unwrap()).len();
        assert_eq!(root("[profile.release]\npanic = \"unwind\"\nlto = true"), 0);
        assert_eq!(root("[profile.release]\npanic = \"abort\""), 1);
        assert_eq!(root("[profile.dist]\ninherits = \"release\"\npanic = \"abort\""), 1);
        assert_eq!(root("[profile.release]\npanic = \"immediate-abort\""), 1);
        assert_eq!(root("[build]\nrustflags = [\"-C\", \"panic=abort\"]"), 1);
        assert_eq!(root("[target.x86_64-unknown-linux-gnu]\nrustflags = \"-Cpanic=abort\""), 1);
    }

    const GOOD: &str = r#"
        [lints]
        workspace = true
        [dependencies]
        serde.workspace = true
        [dev-dependencies]
        tokio = { workspace = true, features = ["test-util"] }
        [target.'cfg(target_os = "linux")'.dependencies]
        landlock.workspace = true
    "#;

    fn member(text: &str) -> Vec<String> {
        check_member("room", &text.parse().unwrap())
    }

    #[test]
    fn a_version_outside_the_root() {
        assert_eq!(member(GOOD), [""; 0]);
        let good = "workspace = true, features";
        for bad in ["version = \"1\", features", "git = \"x\", features", "path = \"..\", features"]
        {
            let wrong = member(&GOOD.replace(good, bad));
            assert!(wrong.len() == 1 && wrong[0].contains("`tokio` in [dev-"), "{bad}: {wrong:?}");
        }
        let wrong = member(&GOOD.replace("serde.workspace = true", "serde = \"1\""));
        assert!(wrong.len() == 1 && wrong[0].contains("`serde` in [dependencies]"), "{wrong:?}");
        let wrong = member(&GOOD.replace("landlock.workspace = true", "landlock = \"0.4\""));
        assert!(wrong.len() == 1 && wrong[0].contains("`landlock` in [target."), "{wrong:?}");
    }

    #[test]
    fn a_package_without_lints_or_with_a_profile() {
        let own = "[lints.rust]\nunsafe_code = \"deny\"";
        assert_eq!(member(own), [""; 0]);
        assert_eq!(member("[dependencies]").len(), 1);
        assert_eq!(member("[lints.rust]\nunsafe_code = \"allow\"").len(), 1);
        assert_eq!(member(&format!("{own}\n[profile.release]\nlto = true")).len(), 1);
    }
}
