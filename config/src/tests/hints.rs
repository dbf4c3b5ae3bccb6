//! Hints: what is printed can be pasted, and what is meant is found.

use super::Stage;
use crate::{load, show};
use std::{fs, path::Path};

/// The lines of TOML in a text: after a blank line, up to the end.
fn pasted(text: &str) -> String {
    let (_, toml) = text.split_once("\n\n").unwrap_or_else(|| panic!("no lines: {text}"));
    toml.to_owned()
}

fn append(stage: &Stage, text: &str) {
    let file = stage.folder.path().join("home/config.toml");
    let before = fs::read_to_string(&file).unwrap();
    fs::write(file, format!("{before}{text}")).unwrap();
}

#[test]
fn the_lines_that_trust_a_project_can_be_pasted() {
    let names =
        ["plain", "with space", "a\"quote", "it's", "back\\slash", "dot.ted", "ünï", "a\nb"];
    for name in names {
        for before in [
            "",
            "model = \"m\"",
            "[sandbox_limits]\nprocesses = 1\n",
            "[projects.\"/x\"]\ntrust_level = \"trusted\"\n",
        ] {
            let stage = Stage::new(before);
            append(&stage, "\n");
            let project = stage.folder.path().join(name);
            let inner = project.join("inner");
            fs::create_dir_all(project.join(".git")).unwrap();
            for folder in [&project, &inner] {
                fs::create_dir_all(folder.join(".troupe")).unwrap();
                fs::write(folder.join(".troupe/config.toml"), "model_verbosity = \"low\"\n")
                    .unwrap();
            }
            let read = || {
                let home = stage.folder.path().join("home").display().to_string();
                load(&crate::LoadOptions {
                    cwd: inner.clone(),
                    variables: vec![("TROUPE_HOME".into(), home.into())],
                    overrides: Vec::new(),
                    profile: None,
                    ignore_user: false,
                    strict: true,
                    system_file: Path::new("/nonexistent/config.toml"),
                })
                .unwrap()
            };
            let loaded = read();
            assert_eq!((loaded.trusted, loaded.warnings.len()), (Some(false), 1), "{name}");
            let text = loaded.warnings[0].to_string();
            assert!(text.contains(&loaded.places.config_file.display().to_string()), "{text}");
            append(&stage, &pasted(&text));
            let loaded = read();
            assert_eq!((loaded.trusted, loaded.warnings.len()), (Some(true), 0), "{name}");
            assert_eq!(loaded.config.model_verbosity.as_deref(), Some("low"));
        }
    }
}

#[test]
fn a_project_that_is_not_trusted_on_purpose_is_not_offered() {
    let stage = Stage::new("");
    stage.project("model = \"theirs\"\n");
    append(&stage, &format!("[projects.{:?}]\ntrust_level = \"untrusted\"\n", stage.work()));
    let warnings = stage.warnings();
    assert!(warnings[0].contains("/home/config.toml:2:15 says `untrusted`"), "{warnings:?}");
    assert!(!warnings[0].contains("[projects"), "{warnings:?}");
}

#[test]
fn an_entry_is_offered_where_a_table_cannot_be_added() {
    let stage = Stage::new("projects = { \"/x\" = { trust_level = \"trusted\" } }\n");
    stage.project("model = \"theirs\"\n");
    let entry = pasted(&stage.load().unwrap().warnings[0].to_string());
    let file = stage.folder.path().join("home/config.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, text.replace("{ \"/x\"", &format!("{{ {}, \"/x\"", entry.trim()))).unwrap();
    assert_eq!(stage.load().unwrap().trusted, Some(true));
}

#[test]
fn the_lines_that_add_a_provider_can_be_pasted() {
    for id in ["zzzz", "my server", "a.b", "q\"x"] {
        let stage = Stage::new("model = \"m\"\n");
        let error = stage.load().unwrap().config.provider(id, &|_| None).unwrap_err().to_string();
        assert!(error.contains(". There are openai"), "{error}");
        append(&stage, &pasted(&error));
        let provider = stage.load().unwrap().config.provider(id, &|_| None).unwrap();
        assert_eq!(provider.base_url, "http://127.0.0.1:8080/v1");
    }
}

#[test]
fn a_setting_below_a_heading_is_told_where_it_belongs() {
    let sub = "[model_providers.mine]\nbase_url = \"http://x/v1\"\n\n";
    for (heading, line) in [
        (sub, "sandbox_allow_hosts = [\"a.example\"]"),
        (sub, "model = \"m\""),
        (sub, "sandbox_mode = \"workspace-write\""),
        ("[sandbox_limits]\n", "approval_policy = \"never\""),
        ("[projects.\"/x\"]\ntrust_level = \"trusted\"\n", "model_verbosity = \"low\""),
        ("[shell_environment_policy.set]\n", "sandbox_mode = \"workspace-write\""),
        ("[model_providers.mine.http_headers]\n", "model = \"m\""),
        ("[mcp_servers.x]\ncommand = \"x\"\n", "model = \"m\""),
        ("[tui]\n", "model = \"m\""),
    ] {
        let name = line.split(' ').next().unwrap();
        let warnings = Stage::new(&format!("# mine\n{heading}{line}\n")).warnings().join("\n");
        for part in [format!("`{name}`"), "above the first table (line 2)".to_owned()] {
            assert!(warnings.contains(&part), "{heading}{line}: {warnings}");
        }
        // Where the warning says, it is right.
        let right = Stage::new(&format!("{line}\n{heading}"));
        assert!(!right.warnings().join("\n").contains("above the first"), "{line}");
    }
    // A profile holds the same settings.
    let profile = Stage::new("profile = \"p\"\n[profiles.p]\nmodel = \"m\"\n");
    assert_eq!(profile.warnings(), [""; 0]);
}

#[test]
fn what_was_meant_is_found_in_other_tables_too() {
    for (text, near) in [
        ("network_access = true", "sandbox_workspace_write.network_access"),
        ("writable_roots = []", "sandbox_workspace_write.writable_roots"),
        ("sandbox_workspace_write_network_access = true", "sandbox_workspace_write.network_access"),
        ("env_key = \"X\"", "model_providers.NAME.env_key"),
        ("base_url = \"http://x\"", "model_providers.NAME.base_url"),
        ("[sandbox_workspace_writ]\nnetwork_access = true", "sandbox_workspace_write"),
        ("[model_provider.x]\nbase_url = \"http://x\"", "[model_providers]"),
        ("[profile.x]\nmodel = \"m\"", "[profiles]"),
        ("[project.\"/x\"]\ntrust_level = \"trusted\"", "projects"),
        ("[model_providers.x]\nurl = \"http://x\"", "model_providers.x.base_url"),
        ("[model_providers.x]\nbase_ur = \"http://x\"", "model_providers.x.base_url"),
        ("[model_providers.x]\nsandbox_alow_hosts = []", "sandbox_allow_hosts"),
        ("[model_providers.\"a b\"]\nwire = \"chat\"", "model_providers.\"a b\".wire_api"),
        ("[sandbox_limits]\nproceses = 1", "sandbox_limits.processes"),
        ("[projects.\"/x\"]\ntrust = \"trusted\"", "projects.\"/x\".trust_level"),
    ] {
        let stage = Stage::new(&format!("{text}\n"));
        let said = match stage.load() {
            Ok(loaded) => loaded.warnings.iter().map(ToString::to_string).collect(),
            Err(error) => error.to_string(),
        };
        assert!(said.contains(near), "{text}: {said}");
    }
}

#[test]
fn a_key_in_the_file_is_never_printed_and_the_mistake_is_named() {
    const KEYS: [&str; 4] =
        ["sk-abcdef", "gsk_Ab12Cd34Ef56Gh78", "0123456789abcdef0123456789abcdef", "AIzaSyA1234567"];
    for key in KEYS {
        for (text, part) in [
            (format!("[model_providers.x]\nenv_key = \"{key}\""), "a key itself"),
            (
                format!("[model_providers.x]\nenv_http_headers = {{ A = \"{key}\" }}"),
                "a key itself",
            ),
            (format!("[model_providers.x.env_http_headers]\nA = \"{key}\""), "a key itself"),
            (format!("[model_providers.x]\napi_key = \"{key}\""), "env_key = \"X_API_KEY\""),
            (format!("[model_providers.\"a b\"]\ntoken = \"{key}\""), "env_key = \"A_B_API_KEY\""),
            (format!("api_key = \"{key}\""), "env_key = \"MY_KEY\""),
            (format!("OPENAI_API_KEY = \"{key}\""), "env_key"),
            (format!("profile = \"{key}\""), "profile"),
            (format!("sandbox_mode = \"{key}\""), "must be one of"),
            (format!("sandbox_limits = \"{key}\""), "must be a table"),
            (format!("turn_timeout_ms = \"{key}\""), "whole number"),
            (format!("modle = \"{key}\""), "did you mean `model`"),
            (format!("model = \"{key}"), "config.toml:1:"),
            (format!("model = {key}"), "config.toml:1:"),
            (format!("writable_roots = [\"a\", \"{key}\"]"), "writable_roots"),
        ] {
            let stage = Stage::new(&format!("{text}\n"));
            let said = match stage.load() {
                Ok(loaded) => loaded.warnings.iter().map(ToString::to_string).collect(),
                Err(error) => error.to_string(),
            };
            assert!(said.contains(part) && !said.contains(key), "{text}: {said}");
        }
        // Set where nothing is wrong with it, it is not shown either.
        let stage = Stage::new(&format!(
            "model = \"{key}\"\nmodel_provider = \"{key}\"\nopenai_base_url = \"http://u:{key}@h/v1\"\n"
        ));
        let loaded = stage.load().unwrap();
        let unknown = loaded.config.provider(key, &|_| None).unwrap_err();
        let all = format!("{}{}{unknown}", show(&loaded, true), crate::show_json(&loaded));
        assert!(!all.contains(key), "{all}");
    }
    let mut stage = Stage::new("");
    for option in ["sk-abcdefgh", "sk-abcdefgh=1", "model_providers.x.env_key=sk-abcdefgh"] {
        stage.overrides = vec![option];
        let said = match stage.load() {
            Ok(loaded) => loaded.warnings.iter().map(ToString::to_string).collect(),
            Err(error) => error.to_string(),
        };
        assert!(!said.is_empty() && !said.contains("sk-abcdefgh"), "{option}: {said}");
    }
    let variable = Stage::new("").env("TROUPE_MODEL_PROVIDERS__X__ENV_KEY", "sk-abcdefgh");
    assert!(!variable.error().contains("sk-abcdefgh"));
}

#[test]
fn what_is_shown_is_a_configuration() {
    let text = "model = \"it's \\\"mine\\\"\\n\"\napproval_policy = { granular = { rules = true } }\n\
        [model_providers.\"a b\"]\nbase_url = \"http://x/v1\"\nhttp_headers = { \"X.Team\" = \"a\" }\n\
        [sandbox_workspace_write]\nwritable_roots = [\"/a b\", \"/c\\\"d\"]\nnetwork_access = true\n\
        [projects.\"/with \\\"quote\"]\ntrust_level = \"trusted\"\n\
        [profiles.p]\nmodel = \"b\"\n[profiles.p.sandbox_workspace_write]\nnetwork_access = true\n\
        [shell_environment_policy]\nset = { A = \"tab\\t\" }\nexclude = [\"a_rather_long_pattern_of_names_*\", \"another_rather_long_pattern_*\"]\n";
    let stage = Stage::new(text);
    let before = stage.load().unwrap();
    for all in [false, true] {
        let shown = show(&before, all);
        let again = Stage::new(&shown).load().unwrap_or_else(|error| panic!("{error}\n{shown}"));
        let values = |loaded: &crate::Loaded| {
            let leaves =
                loaded.leaves.iter().map(|leaf| (leaf.path.clone(), leaf.value.to_string()));
            let mut leaves: Vec<_> = leaves.collect();
            leaves.sort();
            leaves
        };
        assert!(again.warnings.is_empty(), "{:?}", again.warnings);
        // The table of a profile comes back as its entries.
        assert_eq!(format!("{:?}", again.config), format!("{:?}", before.config), "{shown}");
        assert!(all || values(&again).len() == values(&before).len(), "{shown}");
        // One column of origins, and no line that breaks it.
        let columns: Vec<usize> = shown
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rfind("  # "))
            .collect();
        assert!(columns.windows(2).all(|two| two[0] == two[1]), "{shown}");
        assert!(shown.contains("built in\n"), "{shown}");
        assert_eq!(shown.contains("# sandbox_mode"), all, "{shown}");
    }
    // A built-in value that stands as TOML is TOML of its setting.
    let shown = show(&Stage::new("").load().unwrap(), true);
    let lines = shown.lines().filter_map(|line| line.strip_prefix("# "));
    let lines: Vec<&str> =
        lines.filter(|line| line.contains(" = ") && !line.contains(" = (")).collect();
    assert!(lines.len() > 20 && lines.iter().any(|line| line.starts_with("sandbox_mode")));
    for line in lines {
        let stage = Stage::new(&format!("{line}\n"));
        let loaded = stage.load().unwrap_or_else(|error| panic!("{error}"));
        assert!(loaded.warnings.is_empty(), "{line}: {:?}", loaded.warnings);
    }
    assert!(show(&Stage::new("").load().unwrap(), false).lines().count() == 1);
}
