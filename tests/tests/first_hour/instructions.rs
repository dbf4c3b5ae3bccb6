//! Files that the model is told about.

use serde_json::Value;
use std::{fs, path::Path};
use troupe_tests::{
    model_server::*,
    stage::{Finished, Stage},
};

/// What one run sent and said.
struct Told {
    sent: String,
    finished: Finished,
}

impl Told {
    /// The texts of the `error` items of a JSON run.
    fn warnings(&self) -> Vec<String> {
        let items = self.finished.json_lines().into_iter().map(|line| line["item"].clone());
        let errors = items.filter(|item| item["type"] == "error");
        errors.map(|item| item["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    #[track_caller]
    fn warns(&self, parts: &[&str]) {
        let warnings = self.warnings();
        let found = warnings.iter().any(|text| parts.iter().all(|part| text.contains(part)));
        assert!(found, "{parts:?} in {warnings:#?}");
    }
}

struct Project {
    server: ModelServer,
    stage: Stage,
}

impl Project {
    fn new() -> Self {
        let server = ModelServer::start(Script::always(say("done")));
        let stage = Stage::new().with_model(&server);
        Self { server, stage }
    }

    fn run(&self, arguments: &[&str]) -> Told {
        self.run_in(".", arguments)
    }

    fn run_in(&self, folder: &str, arguments: &[&str]) -> Told {
        let folder = self.stage.work().join(folder);
        let run = self.stage.troupe(["exec", "--json"]).args(arguments).arg("go").folder(folder);
        self.told(run.run())
    }

    fn told(&self, finished: Finished) -> Told {
        finished.assert_success();
        let requests = self.server.requests();
        let sent = requests.last().unwrap().items().iter().map(Value::to_string).collect();
        Told { sent, finished }
    }

    /// A file below the home directory.
    fn at_home(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.stage.home().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }
}

const SECRET: &str = "the-secret-of-this-test";

/// A run with this set-up sends no secret and says which file it left out.
#[cfg(unix)]
#[track_caller]
fn keeps_the_secret(project: &Project, told: &Told, file: &str) {
    assert!(!told.sent.contains(SECRET), "{file} leaked");
    told.warns(&[file, "is not used"]);
    project.server.set_script(Script::always(say("done")));
}

#[test]
#[cfg(unix)]
fn a_link_to_what_is_not_read_is_not_sent_and_is_named() {
    use std::os::unix::fs::symlink;
    let homes = [".ssh/id", ".aws/credentials", ".netrc", ".config/gh/hosts.yml", ".bash_history"];
    for secret in homes {
        let names = ["AGENTS.md", "AGENTS.override.md", "CLAUDE.md", "NOTES.md"];
        // All names with one secret, one name with all secrets.
        for name in &names[..if secret == ".ssh/id" { 4 } else { 1 }] {
            let project = Project::new();
            let secret = project.at_home(secret, SECRET);
            symlink(secret, project.stage.work().join(name)).unwrap();
            let told = project.run(&["-c", "project_doc_fallback_filenames=[\"NOTES.md\"]"]);
            keeps_the_secret(&project, &told, name);
            if *name == "AGENTS.md" {
                let told = project.run(&["-s", "danger-full-access"]);
                keeps_the_secret(&project, &told, name);
            }
        }
    }
}

#[test]
#[cfg(unix)]
fn links_on_the_way_and_chains_of_links_are_followed_before_they_are_judged() {
    use std::os::unix::fs::symlink;
    let project = Project::new();
    project.at_home(".ssh/AGENTS.md", SECRET);
    let work = project.stage.work();
    // A folder of the project that is a link.
    symlink(project.stage.home().join(".ssh"), work.join("folder")).unwrap();
    symlink("folder/AGENTS.md", work.join("one")).unwrap();
    symlink("one", work.join("AGENTS.md")).unwrap();
    let told = project.run(&[]);
    keeps_the_secret(&project, &told, "AGENTS.md");
    // What a pattern denies.
    fs::remove_file(work.join("AGENTS.md")).unwrap();
    project.stage.write("inner/.env", SECRET);
    symlink("inner/.env", work.join("AGENTS.md")).unwrap();
    let told = project.run(&[]);
    keeps_the_secret(&project, &told, "AGENTS.md");
    // What the user denies.
    fs::remove_file(work.join("AGENTS.md")).unwrap();
    project.stage.write("private/notes", SECRET);
    symlink("private/notes", work.join("AGENTS.md")).unwrap();
    let denied = format!("sandbox_deny_read=[\"{}\"]", work.join("private").display());
    let told = project.run(&["-c", &denied]);
    keeps_the_secret(&project, &told, "AGENTS.md");
    assert!(project.run(&[]).sent.contains(SECRET), "it may be read where nobody denies it");
}

#[test]
#[cfg(target_os = "linux")]
fn what_the_program_itself_keeps_is_not_sent() {
    use std::os::unix::fs::symlink;
    let project = Project::new();
    fs::write(project.stage.troupe_home().join("auth.json"), format!("{{\"x\":\"{SECRET}\"}}"))
        .unwrap();
    let work = project.stage.work();
    for target in [
        project.stage.troupe_home().join("auth.json").as_path(),
        Path::new("/proc/self/environ"),
        Path::new("/proc/thread-self/environ"),
        Path::new("/proc/self/cmdline"),
        Path::new("/proc/version"),
    ] {
        let _none = fs::remove_file(work.join("AGENTS.md"));
        symlink(target, work.join("AGENTS.md")).unwrap();
        let run = project.stage.troupe(["exec", "--json", "go"]).env("THE_KEY", SECRET);
        let told = project.told(run.run());
        keeps_the_secret(&project, &told, "AGENTS.md");
        assert!(!told.sent.contains("Linux version"), "{target:?}");
    }
}

#[test]
#[cfg(unix)]
fn the_users_own_file_is_judged_as_well() {
    let project = Project::new();
    let secret = project.at_home(".ssh/id", SECRET);
    let own = project.stage.troupe_home().join("AGENTS.md");
    std::os::unix::fs::symlink(secret, own).unwrap();
    let told = project.run(&[]);
    keeps_the_secret(&project, &told, "AGENTS.md");
}

#[test]
#[cfg(unix)]
fn a_hard_link_to_what_is_not_read_is_not_sent() {
    let project = Project::new();
    let work = project.stage.work();
    let secret = project.at_home(".ssh/deep/id", SECRET);
    fs::hard_link(secret, work.join("AGENTS.md")).unwrap();
    let told = project.run(&[]);
    keeps_the_secret(&project, &told, "AGENTS.md");
    fs::remove_file(work.join("AGENTS.md")).unwrap();
    project.stage.write(".env", SECRET);
    fs::hard_link(work.join(".env"), work.join("AGENTS.md")).unwrap();
    let told = project.run(&[]);
    keeps_the_secret(&project, &told, "AGENTS.md");
    // A harmless file may have several names.
    fs::remove_file(work.join("AGENTS.md")).unwrap();
    project.stage.write("README.md", "plain words");
    fs::hard_link(work.join("README.md"), work.join("AGENTS.md")).unwrap();
    let told = project.run(&[]);
    assert!(told.sent.contains("plain words"));
    assert_eq!(told.warnings(), Vec::<String>::new());
}

#[test]
#[cfg(target_os = "linux")]
fn a_mount_of_what_is_not_read_is_not_sent() {
    let mounts = [
        ("a file", ".ssh/id", ".ssh/id", "AGENTS.md"),
        ("its folder", ".ssh/AGENTS.md", ".ssh", "pkg"),
        ("a folder in it", ".ssh/deep/AGENTS.md", ".ssh/deep", "pkg"),
    ];
    for (what, secret, from, to) in mounts {
        let project = Project::new();
        project.at_home(secret, SECRET);
        let (work, home) = (project.stage.work(), project.stage.home());
        if to == "pkg" {
            fs::create_dir(work.join("pkg")).unwrap();
        } else {
            fs::write(work.join(to), "").unwrap();
        }
        let script = "mount --bind \"$1\" \"$2\" && cd \"$3\" && shift 3 && exec \"$@\"";
        let folder = if to == "pkg" { work.join("pkg") } else { work.clone() };
        let mut arguments: Vec<std::ffi::OsString> =
            ["-rm", "sh", "-c", script, "sh"].map(Into::into).to_vec();
        arguments.extend([home.join(from), work.join(to), folder].map(Into::into));
        let run = project.stage.troupe(["exec", "--json", "go"]);
        let finished = run.under("unshare", arguments).run();
        if finished.code() != Some(0) && finished.stderr().contains("unshare") {
            troupe_tests::skip!("needs mount namespaces");
        }
        let told = project.told(finished);
        assert!(!told.sent.contains(SECRET), "{what}");
        told.warns(&["AGENTS.md", "is not used", "another name"]);
    }
}

#[test]
#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "the standard library cannot make a pipe")]
fn what_is_no_file_is_named_and_holds_nothing_up() {
    use std::os::unix::{fs::symlink, net::UnixListener};
    let project = Project::new();
    let work = project.stage.work();
    let made = std::process::Command::new("mkfifo").arg(work.join("AGENTS.md")).status().unwrap();
    assert!(made.success());
    project.stage.write("CLAUDE.md", "the other file");
    let told = project.run(&[]);
    told.warns(&["AGENTS.md", "a named pipe"]);
    assert!(told.sent.contains("the other file"), "the folder's next name is tried");
    for (target, what) in [("/dev/zero", "a device"), ("/dev/tty", "a device"), ("sub", "a folder")]
    {
        fs::remove_file(work.join("AGENTS.md")).unwrap();
        fs::create_dir_all(work.join("sub")).unwrap();
        symlink(target, work.join("AGENTS.md")).unwrap();
        project.run(&[]).warns(&["AGENTS.md", what]);
    }
    fs::remove_file(work.join("AGENTS.md")).unwrap();
    let _socket = UnixListener::bind(work.join("AGENTS.md")).unwrap();
    project.run(&[]).warns(&["AGENTS.md", "a socket"]);
    fs::remove_file(work.join("AGENTS.md")).unwrap();
    symlink("nowhere", work.join("AGENTS.md")).unwrap();
    project.run(&[]).warns(&["AGENTS.md", "No such file"]);
}

#[test]
fn the_nearest_file_takes_the_budget_first_and_cuts_are_told() {
    let project = Project::new();
    project.stage.write("AGENTS.md", format!("ROOT-BEGIN\n{}ROOT-END\n", "rule\n".repeat(8000)));
    project.stage.write("a/AGENTS.md", "MIDDLE\n");
    project.stage.write("a/b/AGENTS.md", "NEAREST\n");
    let told = project.run_in("a/b", &[]);
    assert!(told.sent.contains("NEAREST") && told.sent.contains("MIDDLE"));
    assert!(told.sent.contains("ROOT-BEGIN") && !told.sent.contains("ROOT-END"));
    assert!(told.sent.contains("AGENTS.md is cut"), "the model is told");
    told.warns(&["AGENTS.md is cut", "of 40020 bytes", "project_doc_max_bytes"]);
    let at = |text: &str| told.sent.find(text).unwrap();
    assert!(at("ROOT-BEGIN") < at("MIDDLE") && at("MIDDLE") < at("NEAREST"), "the nearest is last");
    // No room at all.
    let told = project.run_in("a/b", &["-c", "project_doc_max_bytes=7"]);
    assert!(told.sent.contains("NEAREST") && !told.sent.contains("ROOT-BEGIN"));
    assert_eq!(told.warnings().len(), 2, "{:#?}", told.warnings());
    told.warns(&["a/AGENTS.md (7 bytes) is left out"]);
    told.warns(&["work/AGENTS.md (40020 bytes) is left out"]);
    // Nothing is wanted, and nothing is said.
    let told = project.run_in("a/b", &["-c", "project_doc_max_bytes=0"]);
    assert!(!told.sent.contains("NEAREST"));
    assert!(told.warnings().is_empty());
    // The text output says it as well.
    let run = project.stage.troupe(["exec", "-c", "project_doc_max_bytes=20", "go"]);
    assert!(run.run().stderr().contains("warning: "), "told to people too");
}

#[test]
fn a_cut_comes_between_characters_and_what_fits_is_not_cut() {
    let project = Project::new();
    project.stage.write("AGENTS.md", "äöü€\n");
    let told = project.run(&["-c", "project_doc_max_bytes=8"]);
    assert!(told.sent.contains("äöü\\n[") && !told.sent.contains('\u{fffd}'), "{}", told.sent);
    let told = project.run(&["-c", "project_doc_max_bytes=9"]);
    assert!(told.sent.contains("äöü€"));
    assert!(told.warnings().is_empty(), "{:#?}", told.warnings());
}

#[test]
fn files_in_other_encodings_are_named_and_left_out() {
    let utf_16 = |text: &str, mark: &[u8]| {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        mark.iter().copied().chain(units).collect::<Vec<u8>>()
    };
    let left_out: [(Vec<u8>, &str); 4] = [
        (utf_16("use tabs and be kind\n", b"\xFF\xFE"), "UTF-16"),
        (utf_16("use tabs and be kind\n", b""), "UTF-16"),
        (b"\x7FELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3E\0".to_vec(), "binary"),
        (b"\x89PNG\r\n\x1A\n\xFF\xD8\xFF\x01\x02\x03".to_vec(), "not text"),
    ];
    for (bytes, what) in left_out {
        let project = Project::new();
        project.stage.write("AGENTS.md", bytes);
        let told = project.run(&[]);
        told.warns(&["AGENTS.md is not used", what]);
        assert!(!told.sent.contains("<INSTRUCTIONS>"), "{what}");
    }
    let project = Project::new();
    project.stage.write("AGENTS.md", b"\xEF\xBB\xBFwith a mark\n");
    let told = project.run(&[]);
    assert!(told.sent.contains("with a mark") && !told.sent.contains('\u{feff}'));
    assert!(told.warnings().is_empty());
    project.stage.write("AGENTS.md", b"na\xEFve words that are long enough\n");
    let told = project.run(&[]);
    assert!(told.sent.contains("words that are long enough"));
    told.warns(&["AGENTS.md is not all UTF-8"]);
}

#[test]
fn claude_md_is_read_where_a_folder_has_no_agents_md() {
    let project = Project::new();
    project.stage.write("CLAUDE.md", "OF-CLAUDE-AT-THE-ROOT\n");
    project.stage.write("pkg/CLAUDE.md", "OF-CLAUDE-IN-PKG\n");
    project.stage.write("pkg/AGENTS.md", "OF-AGENTS-IN-PKG\n");
    let told = project.run_in("pkg", &[]);
    assert!(told.sent.contains("OF-CLAUDE-AT-THE-ROOT") && told.sent.contains("OF-AGENTS-IN-PKG"));
    assert!(!told.sent.contains("OF-CLAUDE-IN-PKG"));
}

#[test]
fn the_run_says_which_files_it_used() {
    let project = Project::new();
    fs::write(project.stage.troupe_home().join("AGENTS.md"), "mine\n").unwrap();
    project.stage.write("AGENTS.md", "root\n");
    project.stage.write("pkg/CLAUDE.md", "package\n");
    let run = project.stage.troupe(["exec", "go"]).folder(project.stage.work().join("pkg")).run();
    let line =
        run.stderr().lines().find(|line| line.starts_with("instructions:")).unwrap().to_owned();
    assert!(line.ends_with("troupe/AGENTS.md, ../AGENTS.md, CLAUDE.md"), "{line}");
    let bare = Project::new().stage.troupe(["exec", "go"]).run();
    assert!(!bare.stderr().contains("instructions:"));
}

#[test]
#[cfg(target_os = "linux")]
fn the_tools_show_no_process_either() {
    let paths = ["/proc/self/environ", "/proc/thread-self/cmdline", "/proc/1/status"];
    let turns = paths.map(|path| call("read_file", serde_json::json!({ "path": path })));
    let server = ModelServer::start(Script::new().turns(turns).turn(say("done")));
    let stage = Stage::new().with_model(&server).with_env("THE_KEY", SECRET);
    stage.troupe(["exec", "-s", "danger-full-access", "go"]).run().assert_success();
    for (_, output) in server.requests().pop().unwrap().outputs() {
        assert!(output.contains("it may hold secrets"), "{output}");
    }
}

#[test]
#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "the standard library cannot make a pipe")]
fn pipes_with_a_name_are_refused_where_a_file_is_named_and_those_of_a_shell_are_read() {
    let project = Project::new();
    let pipe = project.stage.work().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for option in ["--image", "--output-schema"] {
        let finished = project.stage.troupe(["exec", option, "pipe", "--", "go"]).run();
        assert_ne!(finished.code(), Some(0));
        assert!(finished.stderr().contains("a named pipe"), "{}", finished.stderr());
    }
    let schema = r#"exec "$@" --output-schema <(echo '{"type":"string"}') go"#;
    let run = project.stage.troupe(["exec"]).under("bash", ["-c", schema, "bash"]).run();
    run.assert_success();
}
