//! Guards that cannot do their work stop the run.

use std::{fs, path::Path};
use troupe_tests::{
    model_server::{ModelServer, Script, say},
    stage::{Finished, Stage},
};

const BAD_RULE: &str = "[[rule]]\nprefx = [\"x\"]\ndecision = \"allow\"\n";

/// Makes something unusable at a path; says what the message must name beside the path.
struct Breakage {
    name: &'static str,
    make: fn(&Path),
    says: &'static str,
}

fn fifo(path: &Path) {
    #[expect(clippy::disallowed_methods, reason = "a test makes a named pipe")]
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo");
}

#[cfg(unix)]
fn dangling(path: &Path) {
    std::os::unix::fs::symlink("/nowhere/at/all", path).unwrap();
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::write(path, bytes).unwrap();
}

/// What can be wrong with any file of settings.
#[cfg(unix)]
const OF_ANY_FILE: [Breakage; 7] = [
    Breakage { name: "syntax", make: |path| write(path, "\n[[rule\n"), says: ":2" },
    Breakage { name: "not UTF-8", make: |path| write(path, b"# a\n# \xff\n"), says: ":2" },
    Breakage {
        name: "too large",
        make: |path| write(path, "#".repeat((1 << 20) + 1)),
        says: "larger than 1024 KiB",
    },
    Breakage { name: "a folder", make: |path| fs::create_dir(path).unwrap(), says: "a folder" },
    Breakage { name: "a named pipe", make: fifo, says: "a named pipe" },
    Breakage { name: "a link to nothing", make: dangling, says: "/nowhere/at/all" },
    Breakage {
        name: "too deep",
        make: |path| write(path, format!("x = {}", "[".repeat(200_000))),
        says: ":1",
    },
];

/// A run that does nothing but say why, as a person and as a program reads it.
fn ends_before_its_first_request(break_it: impl Fn(&Stage), says: &[&str], what: &str) {
    for arguments in [&["exec", "go"][..], &["exec", "--json", "go"]] {
        let server = ModelServer::start(Script::new().turn(say("never asked")));
        let stage = Stage::new().with_model(&server);
        break_it(&stage);
        let finished = stage.troupe(arguments).run();
        assert_eq!(finished.code(), Some(3), "{what}: {}", told(&finished));
        for part in says {
            assert!(finished.stderr().contains(part), "{what}, {part}: {}", told(&finished));
        }
        assert!(server.requests().is_empty(), "{what}: no request is made");
        assert!(stage.logs().is_empty(), "{what}: no session was begun");
        if arguments.contains(&"--json") {
            let last = finished.json_lines().pop().unwrap();
            assert_eq!(last["type"], "turn.failed", "{what}");
            assert!(last["error"]["message"].as_str().unwrap().contains(says[0]), "{what}");
        }
    }
}

fn told(finished: &Finished) -> String {
    format!("{}\n{}", finished.stdout(), finished.stderr())
}

#[test]
#[cfg(unix)]
fn rules_that_cannot_be_used_end_a_run_before_its_first_request() {
    let field = Breakage {
        name: "an unknown field",
        make: |path| write(path, BAD_RULE),
        says: ":2: unknown field `prefx`",
    };
    for Breakage { name, make, says } in OF_ANY_FILE.iter().chain([&field]) {
        for file in ["bad.toml", "approved.toml"] {
            let place = format!("rules/{file}");
            let break_it = |stage: &Stage| {
                fs::create_dir(stage.troupe_home().join("rules")).unwrap();
                make(&stage.troupe_home().join(&place));
            };
            ends_before_its_first_request(break_it, &[&place, says], name);
        }
    }
}

#[test]
#[cfg(unix)]
fn a_folder_of_rules_that_cannot_be_listed_ends_a_run() {
    use std::os::unix::fs::PermissionsExt;
    let says = ["troupe/rules"];
    let at = |stage: &Stage| stage.troupe_home().join("rules");
    ends_before_its_first_request(|stage| dangling(&at(stage)), &says, "a link to nothing");
    ends_before_its_first_request(|stage| write(&at(stage), ""), &says, "a file");
    ends_before_its_first_request(|stage| fifo(&at(stage)), &says, "a named pipe");
    let closed = |path: &Path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
        fs::read_dir(path).is_err() && fs::File::open(path).is_err()
    };
    // Root can read everything.
    let probe = tempfile::tempdir().unwrap();
    if closed(probe.path()) {
        let folder = |stage: &Stage| {
            fs::create_dir(at(stage)).unwrap();
            closed(&at(stage));
        };
        ends_before_its_first_request(folder, &says, "a folder of mode 000");
        let file = |stage: &Stage| {
            fs::create_dir(at(stage)).unwrap();
            write(&at(stage).join("a.toml"), "");
            closed(&at(stage).join("a.toml"));
        };
        ends_before_its_first_request(file, &["rules/a.toml"], "a file of mode 000");
    }
}

#[test]
#[cfg(unix)]
fn other_commands_say_the_same_of_rules_that_cannot_be_used() {
    let stage = Stage::new();
    fs::create_dir(stage.troupe_home().join("rules")).unwrap();
    write(&stage.troupe_home().join("rules/bad.toml"), BAD_RULE);
    for arguments in [
        &["policy", "check", "--", "ls"][..],
        &["policy", "check", "--json", "--", "ls"],
        &["sandbox", "--", "touch", "made"],
    ] {
        let finished = stage.troupe(arguments).run();
        assert_eq!(finished.code(), Some(3), "{arguments:?}: {}", told(&finished));
        assert!(told(&finished).contains("bad.toml:2: unknown field"), "{}", told(&finished));
    }
    assert!(!stage.exists("made"));
}

#[test]
#[cfg(unix)]
fn rules_of_an_editor_at_work_are_no_rules() {
    let server = ModelServer::start(Script::new().turn(say("done")));
    let stage = Stage::new().with_model(&server);
    fs::create_dir(stage.troupe_home().join("rules")).unwrap();
    dangling(&stage.troupe_home().join("rules/.#mine.toml"));
    write(&stage.troupe_home().join("rules/mine.toml~"), "[[");
    stage.troupe(["exec", "go"]).run().assert_success();
}

#[test]
#[cfg(unix)]
fn a_configuration_that_cannot_be_used_ends_a_run_and_never_holds_it_up() {
    for Breakage { name, make, says } in &OF_ANY_FILE {
        let break_it = |stage: &Stage| make(&stage.troupe_home().join("config.toml"));
        ends_before_its_first_request(break_it, &["config.toml", says], name);
    }
    let device = |stage: &Stage| {
        std::os::unix::fs::symlink("/dev/zero", stage.troupe_home().join("config.toml")).unwrap();
    };
    ends_before_its_first_request(device, &["config.toml", "a device"], "a device");
}

#[test]
#[cfg(unix)]
fn instructions_that_cannot_be_read_end_a_run_and_never_hold_it_up() {
    let named = |make: fn(&Path), says: &str| {
        let break_it = |stage: &Stage| {
            make(&stage.troupe_home().join("rules.md"));
            let config = "model_instructions_file = \"rules.md\"\n";
            write(&stage.troupe_home().join("config.toml"), config);
        };
        ends_before_its_first_request(break_it, &["model_instructions_file", says], says);
    };
    named(fifo, "a named pipe");
    named(dangling, "/nowhere/at/all");
    named(|path| fs::create_dir(path).unwrap(), "a folder");
    named(|_| (), "no such file");
}

#[test]
#[cfg(unix)]
fn a_trusted_projects_configuration_that_cannot_be_used_ends_a_run() {
    let break_it = |stage: &Stage, make: fn(&Path), trusted: bool| {
        let work = stage.work().canonicalize().unwrap();
        let trust = format!("[projects.\"{}\"]\ntrust_level = \"trusted\"\n", work.display());
        write(&stage.troupe_home().join("config.toml"), if trusted { trust.as_str() } else { "" });
        fs::create_dir(stage.work().join(".troupe")).unwrap();
        make(&stage.work().join(".troupe/config.toml"));
    };
    for Breakage { name, make, says } in &OF_ANY_FILE {
        let says = [".troupe/config.toml", says];
        ends_before_its_first_request(|stage| break_it(stage, *make, true), &says, name);
        // What is not used need not be readable.
        let server = ModelServer::start(Script::new().turn(say("done")));
        let stage = Stage::new().with_model(&server);
        break_it(&stage, *make, false);
        let finished = stage.troupe(["exec", "go"]).run();
        assert_eq!(finished.code(), Some(0), "{name}: {}", told(&finished));
        assert!(finished.stderr().contains("the project is not trusted"), "{}", told(&finished));
    }
}
