//! Which package may depend on which.

use crate::packages::{Dependency, Package};
use serde_json::Value;

/// What the packages of a room may depend on, of this workspace.
enum May {
    /// These.
    Only(&'static [&'static str]),
    /// Everything but front ends and tests.
    Company,
    /// Anything.
    Any,
}
use May::{Any, Company, Only};

/// The rooms. The first row whose folder fits is the package's; `*` stands for one name.
const ROOMS: &[(&str, May)] = &[
    ("messages/types", Only(&[])),
    ("messages/mailboxes", Only(&["troupe-types", "troupe-kit"])),
    ("config", Only(&["troupe-types"])),
    ("patch", Only(&["troupe-types"])),
    ("sandbox", Only(&["troupe-types"])),
    ("egress", Only(&["troupe-timer"])),
    ("shell", Only(&[])),
    ("providers", Only(&["troupe-timer", "troupe-types", "troupe-config"])),
    ("supervisor/timer", Only(&[])),
    ("supervisor/kit", Only(&["troupe-timer"])),
    ("supervisor/tree", Company),
    ("actors/*", Only(&["troupe-kit", "troupe-messages", "troupe-types"])),
    ("frontends/*", Only(&["troupe", "troupe-types", "troupe-config"])),
    ("tests", Any),
];

/// The library an actor drives, beside what its room may have.
const DRIVES: &[(&str, &str)] = &[
    ("troupe-model-stream", "troupe-providers"),
    ("troupe-tool-exec", "troupe-patch"),
    ("troupe-sandbox-actor", "troupe-sandbox"),
    ("troupe-egress-actor", "troupe-egress"),
    ("troupe-policy", "troupe-config"),
    ("troupe-policy", "troupe-sandbox"),
    ("troupe-policy", "troupe-shell"),
];

/// Arrows against the table, each with its reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("troupe-cli", "troupe-exec", "the one binary holds every front end and picks one"),
    ("troupe-cli", "troupe-patch", "the one binary is also `apply_patch`, called by that name"),
    ("troupe-cli", "troupe-egress", "`troupe sandbox` serves its command's way out"),
    ("troupe-cli", "troupe-sandbox", "the one binary is also the launcher of sandboxed commands"),
];

/// Crates from outside that belong to one package; tests may have them too.
const KEPT: &[(&str, &str)] = &[
    ("ractor", "troupe-kit"),
    ("rmcp", "troupe-mcp"),
    ("reqwest", "troupe-providers"),
    ("rustls", "troupe-providers"),
    ("figment", "troupe-config"),
    ("libc", "troupe-sandbox"),
    ("landlock", "troupe-sandbox"),
    ("seccompiler", "troupe-sandbox"),
];

/// Crates from outside that a package must not have: the words are plain data.
const NEVER: &[(&str, &str)] = &[("troupe-types", "tokio"), ("troupe-types", "ractor")];

/// Features of ractor that change its trait for every actor of the workspace.
const POISON: &[&str] = &["async-trait", "cluster"];

/// Every dependency the table does not allow, and every package it does not know.
pub(crate) fn check(packages: &[Package]) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in packages {
        let Some(may) = room(&package.folder) else {
            let (name, folder) = (&package.name, &package.folder);
            wrong.push(format!("{name} lies in `{folder}`, which is no room: add a row for it"));
            continue;
        };
        for dependency in &package.dependencies {
            if let Some(reason) = refused(package, may, dependency, packages) {
                wrong.push(format!("{} -> {}: {reason}", package.name, dependency.name));
            }
        }
    }
    wrong
}

fn room(folder: &str) -> Option<&'static May> {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => folder.strip_prefix(start).is_some_and(|name| !name.contains('/')),
        None => folder == pattern,
    };
    ROOMS.iter().find(|(pattern, _)| fits(pattern)).map(|(_, may)| may)
}

fn refused(
    package: &Package,
    may: &May,
    dependency: &Dependency,
    packages: &[Package],
) -> Option<String> {
    if !dependency.local {
        return refused_from_outside(package, may, &dependency.name);
    }
    let (from, to) = (package.name.as_str(), dependency.name.as_str());
    let target = packages.iter().find(|one| one.name == to);
    let in_folder = |folder: &str| target.is_none_or(|target| target.folder.starts_with(folder));
    let allowed = match may {
        Any => true,
        Company => !in_folder("frontends/") && !in_folder("tests"),
        Only(names) => names.contains(&to) || DRIVES.contains(&(from, to)),
    };
    if allowed || EXCEPTIONS.iter().any(|(one, other, _)| (*one, *other) == (from, to)) {
        return None;
    }
    let actors = package.folder.starts_with("actors/") && in_folder("actors/");
    Some(match actors {
        true => "no actor depends on another, they speak through mailboxes".to_owned(),
        false => format!("`{}` may not know it", package.folder),
    })
}

fn refused_from_outside(package: &Package, may: &May, name: &str) -> Option<String> {
    if NEVER.contains(&(&package.name, name)) {
        return Some("the words of the company are plain data".to_owned());
    }
    let owner = KEPT.iter().find(|(kept, _)| *kept == name).map(|(_, owner)| *owner)?;
    let allowed = package.name == owner || matches!(may, Any);
    (!allowed).then(|| format!("only {owner} may"))
}

/// Exceptions whose arrow is not there any more.
pub(crate) fn stale(packages: &[Package]) -> Vec<String> {
    let there = |from: &str, to: &str| {
        let package = packages.iter().find(|one| one.name == from);
        package.is_some_and(|one| one.dependencies.iter().any(|other| other.name == to))
    };
    let gone = EXCEPTIONS.iter().filter(|(from, to, _)| !there(from, to));
    gone.map(|(from, to, reason)| format!("{from} -> {to} ({reason})")).collect()
}

/// Features of ractor that must not be on: as they were resolved, and as they are declared.
pub(crate) fn poison(metadata: &Value, packages: &[Package]) -> Vec<String> {
    let mut wrong = Vec::new();
    for node in metadata["resolve"]["nodes"].as_array().into_iter().flatten() {
        let id = node["id"].as_str().unwrap_or_default();
        let name = id.rsplit(['#', '/']).next().unwrap_or_default();
        if name.split('@').next() != Some("ractor") {
            continue;
        }
        let on = node["features"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let on = on.filter(|feature| POISON.contains(feature));
        wrong.extend(on.map(|feature| format!("ractor/{feature} is on")));
    }
    for package in packages {
        let ractor = package.dependencies.iter().filter(|one| one.name == "ractor");
        let asked = ractor.flat_map(|one| &one.features);
        let asked = asked.filter(|feature| POISON.contains(&feature.as_str()));
        wrong.extend(asked.map(|feature| format!("{} asks for ractor/{feature}", package.name)));
    }
    wrong
}

mod refuses {
    //! The checker refuses what it is there to refuse.

    use super::{check, poison, stale};
    use crate::packages::{Package, packages};
    use serde_json::{Value, json};

    /// What cargo would say of packages with these folders and dependencies.
    fn fabricated(all: &[(&str, &str, &[&str])]) -> Value {
        let known: Vec<&str> = all.iter().map(|(name, _, _)| *name).collect();
        let dependency = |name: &&str| {
            let path = known.contains(name).then(|| format!("/w/{name}"));
            json!({"name": name, "features": [], "path": path, "kind": null})
        };
        let package = |(name, folder, dependencies): &(&str, &str, &[&str])| {
            let dependencies: Vec<Value> = dependencies.iter().map(dependency).collect();
            json!({"id": name, "name": name, "dependencies": dependencies,
                "manifest_path": format!("/w/{folder}/Cargo.toml")})
        };
        json!({
            "workspace_root": "/w",
            "workspace_members": known,
            "packages": all.iter().map(package).collect::<Vec<_>>(),
            "resolve": {"nodes": []},
        })
    }

    /// A workspace with one package of each room, and one more arrow.
    fn with(from: &str, to: &str) -> Vec<Package> {
        let rooms: [(&str, &str); 13] = [
            ("troupe-types", "messages/types"),
            ("troupe-messages", "messages/mailboxes"),
            ("troupe-config", "config"),
            ("troupe-patch", "patch"),
            ("troupe-sandbox", "sandbox"),
            ("troupe-providers", "providers"),
            ("troupe-kit", "supervisor/kit"),
            ("troupe", "supervisor/tree"),
            ("troupe-conversation", "actors/conversation"),
            ("troupe-tool-exec", "actors/tool-exec"),
            ("troupe-cli", "frontends/cli"),
            ("troupe-exec", "frontends/exec"),
            ("troupe-tests", "tests"),
        ];
        let added = [to];
        let all: Vec<_> = rooms
            .iter()
            .map(|(name, folder)| {
                let more: &[&str] = if *name == from { &added } else { &[] };
                (*name, *folder, more)
            })
            .collect();
        packages(&fabricated(&all))
    }

    #[test]
    fn every_forbidden_arrow() {
        for (from, to) in [
            ("troupe-conversation", "troupe-tool-exec"),
            ("troupe-conversation", "troupe-patch"),
            ("troupe-conversation", "troupe-config"),
            ("troupe-tool-exec", "troupe-sandbox"),
            ("troupe-tool-exec", "troupe"),
            ("troupe-types", "troupe-kit"),
            ("troupe-types", "tokio"),
            ("troupe-messages", "troupe-config"),
            ("troupe-kit", "troupe-types"),
            ("troupe-config", "troupe-providers"),
            ("troupe-patch", "troupe-sandbox"),
            ("troupe-sandbox", "troupe-config"),
            ("troupe-providers", "troupe-messages"),
            ("troupe", "troupe-exec"),
            ("troupe", "troupe-tests"),
            ("troupe-exec", "troupe-providers"),
            ("troupe-exec", "troupe-sandbox"),
            ("troupe-exec", "troupe-kit"),
            ("troupe-exec", "troupe-cli"),
            ("troupe-cli", "troupe-providers"),
            ("troupe-cli", "troupe-tests"),
            ("troupe-exec", "ractor"),
            ("troupe-conversation", "ractor"),
            ("troupe-config", "reqwest"),
            ("troupe-patch", "libc"),
        ] {
            let wrong = check(&with(from, to));
            assert_eq!(wrong.len(), 1, "{from} -> {to}: {wrong:?}");
            assert!(wrong[0].starts_with(&format!("{from} -> {to}: ")), "{wrong:?}");
        }
        let wrong = check(&with("troupe-conversation", "troupe-tool-exec"));
        assert!(wrong[0].contains("no actor depends on another"), "{wrong:?}");
    }

    #[test]
    fn nothing_that_is_allowed() {
        for (from, to) in [
            ("troupe-conversation", "troupe-messages"),
            ("troupe-tool-exec", "troupe-patch"),
            ("troupe-messages", "troupe-kit"),
            ("troupe-providers", "troupe-config"),
            ("troupe", "troupe-conversation"),
            ("troupe", "troupe-sandbox"),
            ("troupe-exec", "troupe"),
            ("troupe-cli", "troupe-exec"),
            ("troupe-tests", "troupe-providers"),
            ("troupe-tests", "reqwest"),
            ("troupe-kit", "ractor"),
            ("troupe-exec", "serde_json"),
        ] {
            assert_eq!(check(&with(from, to)), [""; 0], "{from} -> {to}");
        }
    }

    #[test]
    fn a_package_outside_the_rooms() {
        for folder in ["helpers", "actors/deep/down", "supervisor/other", "frontends"] {
            let metadata = fabricated(&[("troupe-new", folder, &[])]);
            let wrong = check(&packages(&metadata));
            assert!(wrong.len() == 1 && wrong[0].contains("is no room"), "{folder}: {wrong:?}");
        }
    }

    #[test]
    fn exceptions_without_an_arrow() {
        let wrong = stale(&with("troupe-cli", "troupe-exec"));
        assert_eq!(wrong.len(), super::EXCEPTIONS.len() - 1, "{wrong:?}");
    }

    #[test]
    fn features_that_are_resolved_or_asked_for() {
        let mut metadata = fabricated(&[("troupe-kit", "supervisor/kit", &["ractor"])]);
        assert_eq!(poison(&metadata, &packages(&metadata)), [""; 0]);
        let node = |feature: &str| {
            json!([
                {"id": "registry+https://example.org/index#ractor@0.16.5",
                    "features": ["tokio_runtime", feature]},
                {"id": "registry+https://example.org/index#other@1.0.0", "features": [feature]},
            ])
        };
        for feature in ["async-trait", "cluster"] {
            metadata["resolve"]["nodes"] = node(feature);
            let wrong = poison(&metadata, &packages(&metadata));
            assert_eq!(wrong, [format!("ractor/{feature} is on")]);
        }
        metadata["resolve"]["nodes"] = json!([]);
        metadata["packages"][0]["dependencies"][0]["features"] = json!(["cluster"]);
        let wrong = poison(&metadata, &packages(&metadata));
        assert_eq!(wrong, ["troupe-kit asks for ractor/cluster"]);
    }
}
