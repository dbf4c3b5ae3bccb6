//! A machine with little on it, and messages for those who have the binary and nothing else.

use super::{
    common::{
        all, any, completes, go, need_namespaces, none, outputs, playing, saying, shell, told,
    },
    table::{Row, row, skip, table},
};
use std::{fs, time::Duration};
use troupe_tests::{
    binary,
    model_server::*,
    stage::{Finished, Stage},
};

/// A script that takes something away and then starts the program.
fn without(stage: &Stage, script: &str, arguments: &[&str]) -> Finished {
    need_namespaces(stage);
    let script = format!("{script}; exec \"$@\"");
    let run = stage.program("unshare").args(["-Urm", "sh", "-c", &script, "sh"]);
    go(run.arg(binary::troupe()).args(arguments).limit(Duration::from_secs(30)))
}

const EXEC: [&str; 5] = ["exec", "--json", "-s", "workspace-write", "go"];
const NO_NAMESPACES: &str = "echo 0 > /proc/sys/user/max_user_namespaces";

fn works(name: &'static str, script: &'static str) -> Row {
    row(format!("a task, {name}"), move || {
        let (server, stage) = playing([shell("echo hi"), super::common::adds("sub/new.txt")]);
        stage.write("sub/x", "");
        let finished = without(&stage, script, &EXEC);
        completes(&finished);
        assert!(outputs(&server)[0].contains("hi"), "{:?}", outputs(&server));
        assert!(stage.exists("sub/new.txt"));
        stage.assert_no_process_left();
    })
}

#[test]
fn with_little_on_it() {
    let rows = vec![
        works("no user namespaces", NO_NAMESPACES),
        works("no /etc/passwd", "mount --bind /dev/null /etc/passwd"),
        works("an empty /etc", "mount -t tmpfs none /etc"),
        works(
            "no /dev/shm",
            "mount -t tmpfs -o size=4k,mode=000 none /dev/shm 2>/dev/null || true",
        ),
        works("no certificates", "mount -t tmpfs none /etc/ssl"),
        works("no /var", "mount -t tmpfs -o ro none /var"),
        works("a /tmp that is read-only", "mount -t tmpfs none /mnt; true"),
        works("no git", "mount --bind /bin/false \"$(command -v git)\""),
        row("the demo, no user namespaces", || {
            let stage = Stage::new();
            let finished = without(&stage, NO_NAMESPACES, &["demo"]);
            finished.assert_success();
        }),
        row("the demo, no git", || {
            let stage = Stage::new();
            let finished =
                without(&stage, "mount --bind /bin/false \"$(command -v git)\"", &["demo"]);
            finished.assert_success();
        }),
        row("the demo, a home that does not exist", || {
            let stage = Stage::new();
            let run = stage.program(binary::troupe()).arg("demo").env("HOME", "/no/such/home");
            go(run).assert_success();
        }),
        row("the doctor, no user namespaces", || {
            let (_server, stage) = saying("fine");
            let finished = without(&stage, NO_NAMESPACES, &["doctor"]);
            any(&finished.stdout(), &["user namespace"]);
        }),
        row("a weaker sandbox is said, once", || {
            let (_server, stage) = playing([shell("true"), shell("true")]);
            let finished = without(&stage, NO_NAMESPACES, &["exec", "go"]);
            finished.assert_success();
            assert_eq!(finished.stderr().matches("weaker").count(), 1, "{}", finished.stderr());
        }),
        row("an empty home", || {
            let server = ModelServer::start(Script::always(say("hi")));
            let stage = Stage::new();
            let home = stage.root().join("empty");
            fs::create_dir(&home).unwrap();
            let url = format!("model_providers.x.base_url=\"{}\"", server.url());
            let run = stage.program("env").args(["-i"]).arg(format!("HOME={}", home.display()));
            let run =
                run.arg(format!("PATH={}", std::env::var("PATH").unwrap())).arg(binary::troupe());
            let run = run.args([
                "exec",
                "--json",
                "-c",
                "model=m",
                "-c",
                "model_provider=x",
                "-c",
                &url,
                "go",
            ]);
            completes(&go(run));
            assert!(home.join(".local/state/troupe/sessions").is_dir());
        }),
        row("nothing in the environment at all", || {
            let server = ModelServer::start(Script::always(say("hi")));
            let stage = Stage::new();
            let url = format!("model_providers.x.base_url=\"{}\"", server.url());
            let run = stage.program("env").args(["-i"]).arg(binary::troupe());
            let run = run.args([
                "exec",
                "--json",
                "--ephemeral",
                "-c",
                "model=m",
                "-c",
                "model_provider=x",
                "-c",
                &url,
                "go",
            ]);
            let finished = go(run);
            if finished.code() != Some(0) {
                all(&super::common::fails(&finished, 3), &["HOME"]);
            }
        }),
        row("a folder with blanks and long characters", || {
            let (server, stage) = playing([shell("pwd"), super::common::adds("new.txt")]);
            let folder = stage.root().join("a b/ü 🙂");
            fs::create_dir_all(&folder).unwrap();
            completes(&go(stage.troupe(EXEC).folder(&folder)));
            assert!(outputs(&server)[0].contains("ü 🙂") && folder.join("new.txt").exists());
        }),
        row("a very long path", || {
            let (server, stage) = playing([shell("echo hi")]);
            let folder =
                (0..12).fold(stage.root().to_owned(), |path, _| path.join("d".repeat(200)));
            fs::create_dir_all(&folder).unwrap();
            completes(&go(stage.troupe(EXEC).folder(&folder)));
            assert!(outputs(&server)[0].contains("hi"));
        }),
        row("no repository", || {
            let server =
                ModelServer::start(Script::new().turn(shell("echo hi")).otherwise(say("x")));
            let text = super::common::settings(&server.url(), "responses");
            let stage = Stage::without_git().with_config(&text);
            completes(&go(stage.troupe(EXEC)));
        }),
    ];
    table("bare: with little on it", &[], rows);
}

/// The pages of the documentation, as texts of the binary name them.
fn named_pages() -> Vec<String> {
    let pages = "(sandbox|exec|config|policy|providers|tools|failures|security|embedding|getting-started|apply-patch|performance|architecture|recipes)";
    let pattern = format!("[ -~]{{0,60}}{pages}\\.md");
    let mut grep = std::process::Command::new("grep");
    let out =
        grep.args(["-aoE", &pattern]).arg(binary::troupe()).env("LC_ALL", "C").output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn messages() {
    let mut rows = Vec::new();
    rows.push(row("no text of the binary names a file of the docs", || {
        // The pages themselves are in the binary: `troupe docs` prints them.
        let folder = fs::read_dir(binary::workspace_root().join("docs")).unwrap();
        let pages: Vec<String> =
            folder.filter_map(|page| fs::read_to_string(page.unwrap().path()).ok()).collect();
        let found: Vec<String> = named_pages()
            .into_iter()
            .filter(|text| !text.contains("://"))
            .filter(|text| !pages.iter().any(|page| page.contains(text.as_str())))
            .collect();
        assert!(found.is_empty(), "{found:#?}");
    }));
    let commands: Vec<Vec<&'static str>> = vec![
        vec![],
        vec!["exec"],
        vec!["sessions"],
        vec!["sessions", "list"],
        vec!["sessions", "show"],
        vec!["top"],
        vec!["demo"],
        vec!["config"],
        vec!["config", "show"],
        vec!["policy"],
        vec!["policy", "check"],
        vec!["policy", "import"],
        vec!["policy", "replay"],
        vec!["sandbox"],
        vec!["apply-patch"],
        vec!["recover"],
        vec!["doctor"],
        vec!["completion"],
        vec!["sessions", "rm"],
        vec!["sessions", "prune"],
    ];
    for command in commands {
        rows.push(row(format!("--help of {command:?}"), move || {
            let stage = Stage::new();
            let run = stage.program(binary::troupe()).args(&command).arg("--help");
            let finished = go(run);
            finished.assert_success();
            let text = finished.stdout();
            none(&text, &["docs/", ".md"]);
            for word in ["heed", "broken off", "mended", "whom"] {
                assert!(!text.to_lowercase().contains(word), "{word}: {text}");
            }
        }));
    }
    let failing: Vec<(&'static str, Vec<&'static str>)> = vec![
        ("", vec!["exec"]),
        ("", vec!["exec", "go"]),
        ("", vec!["exec", "-c", "model_provider=opanai", "go"]),
        ("", vec!["exec", "--oss", "go"]),
        ("", vec!["exec", "--oss", "--local-provider", "none", "go"]),
        ("model_provider = \"x\"\n", vec!["exec", "go"]),
        ("model_provider = \"x\"\n[model_providers.x]\n", vec!["exec", "go"]),
        (
            "model_provider = \"x\"\n[model_providers.x]\nbase_url = \"not a url\"\n",
            vec!["exec", "go"],
        ),
        (
            "model_provider = \"x\"\n[model_providers.x]\nbase_url = \"http://127.0.0.1:9/v1\"\nenv_key = \"NONE\"\n",
            vec!["exec", "go"],
        ),
        ("modle = \"x\"\n", vec!["config", "show", "--strict-config"]),
        ("", vec!["sandbox"]),
        ("", vec!["sandbox", "--", "no-such-program"]),
        ("sandbox_allow_hosts = [\"http://x\"]\n", vec!["sandbox", "--", "true"]),
        ("", vec!["apply-patch", "nonsense"]),
        (
            "",
            vec![
                "apply-patch",
                "*** Begin Patch\n*** Update File: none\n@@\n-a\n+b\n*** End Patch",
            ],
        ),
        ("", vec!["policy", "replay", "none"]),
        ("", vec!["policy", "import", "none"]),
        ("", vec!["sessions", "show", "none"]),
        ("", vec!["top", "--once"]),
        ("", vec!["completion", "noshell"]),
    ];
    for (config, arguments) in failing {
        rows.push(row(format!("an error of {arguments:?} with {config:?}"), move || {
            let stage = Stage::new().with_config(config);
            let finished = go(stage.program(binary::troupe()).args(&arguments));
            assert_ne!(finished.code(), Some(0), "{}", finished.stdout());
            let told = told(&finished);
            assert!(!told.trim().is_empty());
            none(&told, &["docs/", "exec.md", "sandbox.md", "config.md", "mended", "heeded"]);
        }));
    }
    table("bare: messages", &[], rows);
}

#[test]
fn pages() {
    let read = |path: &str| fs::read_to_string(binary::workspace_root().join(path)).unwrap();
    let pages = || -> Vec<String> {
        let folder = fs::read_dir(binary::workspace_root().join("docs")).unwrap();
        let names = folder.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name.ends_with(".md")).collect()
    };
    let rows = vec![
        row("the README says what is needed", move || {
            all(
                &read("README.md"),
                &[
                    "requirements",
                    "rustup",
                    "compiler",
                    "git",
                    "GB",
                    "minutes",
                    "--locked",
                    "namespace",
                ],
            );
        }),
        row("every page can be reached from the README", move || {
            let readme = read("README.md");
            let missing: Vec<String> = pages()
                .into_iter()
                .filter(|page| !readme.contains(&format!("docs/{page}")))
                .collect();
            assert!(missing.is_empty(), "{missing:?}");
        }),
        row("a page of recipes", move || {
            let pages = pages();
            let Some(page) = pages.iter().find(|page| page.contains("recipe")) else {
                panic!("no page of recipes in {pages:?}")
            };
            all(
                &read(&format!("docs/{page}")),
                &["npm", "cargo", "database", "CI", "Codex", "--json"],
            );
        }),
        row("plain words", move || {
            let mut found = Vec::new();
            for page in pages()
                .iter()
                .map(|page| format!("docs/{page}"))
                .chain(["README.md".to_owned(), "CONTRIBUTING.md".to_owned()])
            {
                let text = read(&page).to_lowercase();
                for word in [
                    "heeded",
                    "broken off",
                    "mended",
                    "whoever",
                    "held as the agent",
                    "list of texts",
                    "whom ",
                ] {
                    if text.contains(word) {
                        found.push(format!("{page}: {word}"));
                    }
                }
            }
            assert!(found.is_empty(), "{found:#?}");
        }),
        row("a short id as the docs show it", move || {
            none(&read("docs/getting-started.md"), &["show 01a2"]);
        }),
        row("the commands of the docs lock their versions", move || {
            for page in ["README.md", "docs/getting-started.md"] {
                let text = read(page);
                let open = text
                    .lines()
                    .filter(|line| line.contains("cargo install") && !line.contains("--locked"));
                assert_eq!(open.count(), 0, "{page}");
            }
        }),
        row("the code of an empty answer and the wait stand in the docs", move || {
            all(&read("docs/config.md"), &["max_retry_wait"]);
            all(&read("docs/exec.md"), &["no_final_message"]);
        }),
        row("which options of the SDK hold", move || {
            let all_pages: String =
                pages().iter().map(|page| read(&format!("docs/{page}"))).collect();
            any(&all_pages, &["thread-source", "threadSource"]);
            all(&all_pages, &["AbortError"]);
        }),
        row("telemetry and faults", move || {
            let all_pages: String =
                pages().iter().map(|page| read(&format!("docs/{page}"))).collect::<String>()
                    + &read("README.md");
            any(&all_pages, &["telemetry"]);
        }),
        row("node is named where it is needed", move || {
            if !super::common::there("node") {
                skip("no node");
            }
            any(&read("CONTRIBUTING.md"), &["node"]);
        }),
    ];
    table("bare: pages", &[], rows);
}
