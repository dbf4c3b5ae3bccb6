//! Sources, their order, their errors.

mod hints;

use crate::{ConfigError, LoadOptions, Loaded, SYSTEM_FILE, load, reference, show};
use proptest::prelude::*;
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};
use troupe_types::SandboxMode;

struct Stage {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
    overrides: Vec<&'static str>,
    strict: bool,
}

impl Stage {
    fn new(user: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("home")).unwrap();
        fs::create_dir_all(folder.path().join("work/.git")).unwrap();
        fs::write(folder.path().join("home/config.toml"), user).unwrap();
        Self { folder, variables: Vec::new(), overrides: Vec::new(), strict: false }
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn project(&self, text: &str) {
        fs::create_dir_all(self.work().join(".troupe")).unwrap();
        fs::write(self.work().join(".troupe/config.toml"), text).unwrap();
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        let home = self.folder.path().join("home").display().to_string();
        let own = [("TROUPE_HOME".to_owned(), home)];
        let all = self.variables.iter().cloned().chain(own);
        load(&LoadOptions {
            cwd: self.work(),
            variables: all.map(|(name, value)| (OsString::from(name), value.into())).collect(),
            overrides: self.overrides.iter().map(|text| (*text).to_owned()).collect(),
            profile: None,
            ignore_user: false,
            strict: self.strict,
            system_file: &self.folder.path().join("system.toml"),
        })
    }

    /// The text with the folder's name taken out.
    fn shown(&self, text: &str) -> String {
        text.replace(&self.folder.path().display().to_string(), "")
    }

    fn error(&self) -> String {
        self.shown(&self.load().unwrap_err().to_string())
    }

    fn warnings(&self) -> Vec<String> {
        let loaded = self.load().unwrap();
        loaded.warnings.iter().map(|warning| self.shown(&warning.to_string())).collect()
    }
}

#[test]
fn errors_show_file_line_column_and_the_line() {
    let wrong = Stage::new("model = \"m\"\n\nsandbox_mode = \"workspace\"\n");
    insta::assert_snapshot!(wrong.error(), @r#"
    /home/config.toml:3:16: `sandbox_mode` must be one of read-only, workspace-write, danger-full-access; did you mean `workspace-write`?
    3 | sandbox_mode = "workspace"
      |                ^^^^^^^^^^^
    "#);
    let broken = Stage::new("model = \"m\"\nmodel_provider = openai\n");
    insta::assert_snapshot!(broken.error(), @"
    /home/config.toml:2:18: string values must be quoted, expected literal string
    2 | model_provider = openai
      |                  ^^^^^^
    ");
    let deep = Stage::new("[model_providers.x]\n\tstream_max_retries = 1000\n");
    insta::assert_snapshot!(deep.error(), @"
    /home/config.toml:2:23: `model_providers.x.stream_max_retries` must be a whole number from 0 to 100
    2 | 	stream_max_retries = 1000
      | 	                     ^^^^
    ");
    let variable = Stage::new("").env("TROUPE_HIDE_AGENT_REASONING", "maybe");
    insta::assert_snapshot!(variable.error(), @"environment variable TROUPE_HIDE_AGENT_REASONING: `hide_agent_reasoning` must be true or false");
    let mut option = Stage::new("");
    option.overrides = vec!["approval_policy=ask"];
    insta::assert_snapshot!(option.error(), @"-c approval_policy: `approval_policy` must be one of untrusted, on-request, never");
}

#[test]
fn unknown_settings_are_warned_about_with_the_nearest_name() {
    let mut stage = Stage::new("modle = \"m\"\n[sandbox_workspace_write]\nnetwork = true\n");
    insta::assert_debug_snapshot!(stage.warnings(), @r#"
    [
        "/home/config.toml:1:1: unknown setting `modle`; did you mean `model`?\n1 | modle = \"m\"\n  | ^^^^^",
        "/home/config.toml:3:1: unknown setting `sandbox_workspace_write.network`; did you mean `sandbox_workspace_write.network_access`?\n3 | network = true\n  | ^^^^^^^",
    ]
    "#);
    stage.strict = true;
    assert!(stage.error().starts_with("/home/config.toml:1:1: unknown setting `modle`"));
}

#[test]
fn a_later_source_wins() {
    let mut stage = Stage::new("model = \"user\"\nmodel_verbosity = \"low\"\n");
    fs::write(stage.folder.path().join("system.toml"), "model = \"system\"\nturn_timeout_ms = 5\n")
        .unwrap();
    let config = stage.load().unwrap().config;
    assert_eq!((config.model.as_deref(), config.turn_timeout_ms), (Some("user"), Some(5)));
    stage = stage
        .env("TROUPE_MODEL", "variable")
        .env("TROUPE_SANDBOX_WORKSPACE_WRITE__NETWORK_ACCESS", "true");
    let config = stage.load().unwrap().config;
    assert_eq!(config.model.as_deref(), Some("variable"));
    assert!(config.sandbox_workspace_write.network_access);
    stage.overrides = vec![
        "model=\"option\"",
        "model_providers.x.base_url=http://x/v1",
        "sandbox_mode=read-only",
    ];
    let config = stage.load().unwrap().config;
    assert_eq!(config.model.as_deref(), Some("option"));
    assert_eq!(config.model_providers["x"].base_url.as_deref(), Some("http://x/v1"));
    assert_eq!(config.sandbox_mode, Some(SandboxMode::ReadOnly));
    assert_eq!(config.model_verbosity.as_deref(), Some("low"));
}

#[test]
fn a_profile_stands_between_the_user_and_the_project() {
    let stage = Stage::new(
        "model = \"a\"\nprofile = \"p\"\n[profiles.p]\nmodel = \"b\"\nmodel_verbosity = \"high\"\n[profiles.p.sandbox_workspace_write]\nnetwork_access = true\n",
    );
    let config = stage.load().unwrap().config;
    assert_eq!(config.model.as_deref(), Some("b"));
    assert!(config.sandbox_workspace_write.network_access);
    let wrong = Stage::new("profile = \"q\"\n");
    assert_eq!(
        wrong.error(),
        "there is no profile `q`. There are none: add the table [profiles.q]"
    );
    let wrong = Stage::new(
        "profile = \"fst\"\n[profiles.fast]\nmodel = \"a\"\n[profiles.slow]\nmodel = \"b\"\n",
    );
    let said = "there is no profile `fst`; did you mean `fast`? There are: fast, slow";
    assert_eq!(wrong.error(), said);
}

#[test]
fn a_project_is_read_only_if_trusted_and_never_for_what_is_dangerous() {
    let stage = Stage::new("");
    let project = "model = \"theirs\"\nopenai_base_url = \"http://evil\"\nsandbox_mode = \"danger-full-access\"\n[model_providers.x]\nbase_url = \"http://evil\"\n";
    stage.project(project);
    let loaded = stage.load().unwrap();
    assert_eq!((loaded.config.model, loaded.trusted), (None, Some(false)));
    assert!(stage.warnings()[0].contains("not trusted"));

    let user = format!("[projects.{:?}]\ntrust_level = \"trusted\"\n", stage.work());
    fs::write(stage.folder.path().join("home/config.toml"), user).unwrap();
    let loaded = stage.load().unwrap();
    assert_eq!(loaded.config.model.as_deref(), Some("theirs"));
    assert!(loaded.config.openai_base_url.is_none() && loaded.config.model_providers.is_empty());
    assert!(loaded.config.sandbox_mode.is_none());
    assert_eq!(loaded.warnings.len(), 3);
    let wanted = "/work/.troupe/config.toml:2:19: `openai_base_url` is not taken";
    assert!(stage.warnings().iter().any(|warning| warning.starts_with(wanted)));
}

#[test]
fn a_clone_inside_a_trusted_folder_is_not_trusted() {
    let stage = Stage::new("");
    stage.project("model = \"theirs\"\n");
    let user = format!("[projects.{:?}]\ntrust_level = \"trusted\"\n", stage.folder.path());
    fs::write(stage.folder.path().join("home/config.toml"), user).unwrap();
    let loaded = stage.load().unwrap();
    assert_eq!((loaded.config.model, loaded.trusted), (None, Some(false)));
}

#[test]
fn a_profile_can_be_named_anywhere_but_in_a_project() {
    let mut stage = Stage::new("[profiles.p]\nmodel = \"b\"\n[profiles.q]\nmodel = \"c\"\n");
    assert_eq!(stage.load().unwrap().config.model, None);
    stage = stage.env("TROUPE_PROFILE", "p");
    assert_eq!(stage.load().unwrap().config.model.as_deref(), Some("b"));
    stage.overrides = vec!["profile=q"];
    assert_eq!(stage.load().unwrap().config.model.as_deref(), Some("c"));
}

#[test]
fn nothing_that_is_printed_for_developers_holds_a_secret() {
    let stage = Stage::new("[model_providers.x]\nbase_url = \"http://x\"\nhttp_headers = { A = \"s3cret\" }\nexperimental_bearer_token = \"s3cret\"\n[shell_environment_policy.set]\nB = \"s3cret\"\n").env("C", "s3cret");
    let loaded = stage.load().unwrap();
    let provider = loaded.config.provider("x", &|_| None).unwrap();
    let text = format!("{loaded:?} {:?} {provider:?}", loaded.config);
    assert!(!text.contains("s3cret"), "{text}");
}

#[test]
fn an_error_shows_no_secret_that_stands_on_its_line() {
    for text in [
        "[model_providers.x]\nexperimental_bearer_token = \"s3cret\n",
        "[model_providers.x.http_headers]\nA = \"s3cret\" B\n",
        "[model_providers.x]\nhttp_headers = { A = \"s3cret\", B = 5 }\n",
        "[shell_environment_policy.set]\nB = [\"s3cret\"]\n",
    ] {
        let error = Stage::new(text).error();
        assert!(error.contains("config.toml:2:") && !error.contains("s3cret"), "{error}");
    }
    let hostile = Stage::new("model = \"\u{1b}[2J\"\n");
    assert!(!hostile.error().contains('\u{1b}'), "{}", hostile.error());
}

#[test]
fn relative_paths_start_from_where_they_are_written() {
    let mut stage = Stage::new(
        "model_instructions_file = \"rules.md\"\n[profiles.p]\nmodel_instructions_file = \"../p.md\"\n[sandbox_workspace_write]\nwritable_roots = [\"data\", \"~/x\", \"/y\"]\n",
    );
    let home = stage.folder.path().join("home");
    let config = stage.load().unwrap().config;
    assert_eq!(config.model_instructions_file, Some(home.join("rules.md")));
    let roots = [home.join("data"), "~/x".into(), "/y".into()];
    assert_eq!(config.sandbox_workspace_write.writable_roots, roots);
    stage.overrides = vec!["profile=p"];
    let config = stage.load().unwrap().config;
    assert_eq!(config.model_instructions_file, Some(home.join("../p.md")));
    stage.overrides = vec!["model_instructions_file=here.md"];
    let config = stage.load().unwrap().config;
    assert_eq!(config.model_instructions_file, Some(stage.work().join("here.md")));
}

#[test]
fn what_is_shown_is_what_is_merged() {
    let mut stage = Stage::new(
        "approval_policy = \"never\"\n[model_providers.x]\nhttp_headers = { A = \"1\", B = \"2\" }\n[projects.\"/a.b\"]\ntrust_level = \"trusted\"\n",
    );
    stage.overrides = vec![
        "model_providers.x.http_headers.B=3",
        "approval_policy.granular.rules=true",
        "profiles.p.experimental_bearer_token=s3cret",
    ];
    let loaded = stage.load().unwrap();
    let headers = &loaded.config.model_providers["x"].http_headers;
    assert_eq!((headers["A"].expose(), headers["B"].expose()), ("1", "3"));
    let built_in = |line: &&str| !line.ends_with("# built in");
    let shown = self::show(&loaded, true);
    let shown: Vec<&str> = shown.lines().filter(built_in).collect();
    insta::assert_snapshot!(stage.shown(&shown.join("\n")));
}

#[test]
fn a_table_adds_to_a_local_server_and_openai_is_what_it_says() {
    let stage = Stage::new(
        "[model_providers.ollama]\nstream_max_retries = 1\n[model_providers.openai]\nbase_url = \"http://elsewhere/v1\"\n[model_providers.x]\nbase_url = \"http://x/v1\"\nenv_key = \"X_KEY\"\nhttp_headers = { Version = \"1\" }\n[model_providers.y]\nbase_url = \"http://y/v1\"\nenv_key = \"X_KEY\"\nhttp_headers = { Authorization = \"Basic 1\" }\n",
    );
    let config = stage.load().unwrap().config;
    let ollama = config.provider("ollama", &|_| None).unwrap();
    assert_eq!(ollama.base_url, "http://127.0.0.1:11434/v1");
    assert_eq!((ollama.wire, ollama.stream_max_retries), (troupe_types::Wire::Chat, 1));
    let openai = config.provider("openai", &|_| Some("k".into())).unwrap_err();
    assert!(openai.to_string().contains("openai_base_url"), "{openai}");
    let missing = config.provider("x", &|_| None).unwrap_err();
    assert!(missing.to_string().contains("X_KEY"), "{missing}");
    assert!(config.provider("y", &|_| None).is_ok());
}

#[test]
fn a_work_tree_is_trusted_as_its_repository_is() {
    let stage = Stage::new("");
    let (work, main) = (stage.work(), stage.folder.path().join("main"));
    let entry = main.join(".git/worktrees/w");
    fs::create_dir_all(&entry).unwrap();
    fs::remove_dir(work.join(".git")).unwrap();
    fs::write(work.join(".git"), format!("gitdir: {}\n", entry.display())).unwrap();
    stage.project("model = \"theirs\"\n");
    let user = format!("[projects.{main:?}]\ntrust_level = \"trusted\"\n");
    fs::write(stage.folder.path().join("home/config.toml"), user).unwrap();
    // Only the folder says so.
    assert_eq!(stage.load().unwrap().trusted, Some(false));
    let back = work.join(".git").display().to_string();
    fs::write(entry.join("gitdir"), format!("{back}\n")).unwrap();
    assert_eq!(stage.load().unwrap().trusted, Some(true));
}

#[test]
fn a_copied_file_mostly_works() {
    let stage = Stage::new(
        r#"
        model = "gpt-5.5"
        model_provider = "azure"
        approval_policy = { granular = { sandbox_approval = true, rules = false } }
        sandbox_mode = "workspace-write"
        notify = ["notify-send", "done"]
        model_reasoning_effort = "high"
        project_doc_fallback_filenames = ["CLAUDE.md"]

        [sandbox_workspace_write]
        network_access = true
        writable_roots = ["/data"]

        [model_providers.azure]
        name = "Azure"
        base_url = "https://x.openai.azure.com/openai"
        env_key = "AZURE_OPENAI_API_KEY"
        query_params = { api-version = "2025-04-01-preview" }
        wire_api = "responses"

        [mcp_servers.docs]
        command = "docs-server"
        args = ["--stdio"]
        env = { A = "b" }

        [shell_environment_policy]
        inherit = "all"
        exclude = ["AWS_*"]
        set = { CI = "1" }

        [tui]
        notifications = true
        "#,
    );
    let loaded = stage.load().unwrap();
    let texts: Vec<_> = loaded.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert!(texts.iter().all(|text| text.contains("no effect in troupe so far")), "{texts:?}");
    let key = |name: &str| (name == "AZURE_OPENAI_API_KEY").then(|| OsString::from("the-key"));
    let provider = loaded.config.provider("azure", &key).unwrap();
    let (name, version) = &provider.query[0];
    assert_eq!((name.as_str(), version.expose()), ("api-version", "2025-04-01-preview"));
    assert_eq!(provider.key.unwrap().expose(), "the-key");
    let settings =
        loaded.config.session_settings(Path::new("/w"), "azure", "m", 5, &loaded.places).unwrap();
    assert!(settings.sandbox.network);
    assert_eq!(settings.project_docs.fallback_names, ["CLAUDE.md"]);
}

#[test]
fn a_provider_that_cannot_be_used_says_what_helps() {
    let stage = Stage::new(
        "[model_providers.x]\nenv_key = \"X_KEY\"\nbase_url = \"http://x\"\n[model_providers.y]\nname = \"y\"\n",
    );
    let config = stage.load().unwrap().config;
    let error = |id: &str| config.provider(id, &|_| None).unwrap_err().to_string();
    insta::assert_snapshot!(error("openia"), @r#"
    unknown provider `openia`; did you mean `openai`? There are openai, ollama, lmstudio, llamacpp, vllm, rehearsal, x, y. To add it, put this into your configuration, with its URL:

    [model_providers.openia]
    base_url = "http://127.0.0.1:8080/v1"
    "#);
    insta::assert_snapshot!(error("x"), @"the key of provider `x` is missing: set the environment variable X_KEY");
    insta::assert_snapshot!(error("y"), @"provider `y` has no URL: set model_providers.y.base_url");
    assert_eq!(config.choose_provider(&|_| None), None);
    let choice = config.choose_provider(&|name| (name == "OPENAI_API_KEY").then(|| "k".into()));
    assert_eq!(choice.unwrap().id, "openai");
}

#[test]
fn what_is_shown_names_origins_and_no_secret() {
    let mut stage = Stage::new(
        "model = \"m\"\n[model_providers.x]\nexperimental_bearer_token = \"s3cret\"\nhttp_headers = { Authorization = \"s3cret\", X-Team = \"a\" }\nenv_key = \"X_KEY\"\n",
    );
    stage.overrides = vec!["shell_environment_policy.set.API_TOKEN=s3cret"];
    let shown = stage.shown(&show(&stage.load().unwrap(), true));
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("model = \"m\""), "{shown}");
    assert!(shown.contains("# /home/config.toml:1:9"), "{shown}");
    assert!(shown.contains("# -c shell_environment_policy.set.API_TOKEN"), "{shown}");
    assert!(shown.contains("# built in"), "{shown}");
}

#[test]
fn the_reference_in_the_documents_is_this_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, reference()).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == reference(),
        "run this test with UPDATE_DOCS=1 to write docs/config.md anew"
    );
    assert!(written.contains(SYSTEM_FILE));
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(text in "[a-z_.\\[\\]=\"'{}0-9#\\n ]{0,200}") {
        let _ = Stage::new(&text).load();
    }

    #[test]
    fn no_override_makes_it_panic(text in "\\PC{0,60}") {
        let mut stage = Stage::new("");
        stage.overrides = vec![Box::leak(text.into_boxed_str())];
        let _ = stage.load();
    }
}
