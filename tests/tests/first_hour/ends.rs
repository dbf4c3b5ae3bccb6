//! How runs begin and end: input, signals, resume, the last words.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use troupe_tests::{
    machine,
    model_server::*,
    skip,
    stage::{Finished, Signal, Stage, Stdin},
};

/// The text of the last thing the user said in the last request.
fn asked(server: &ModelServer) -> String {
    let text = server.requests().last().unwrap().texts("user").pop().unwrap();
    text.rsplit("</environment_context>").next().unwrap().trim_start().to_owned()
}

/// The messages of the `error` items, and the type of the last line.
fn errors(finished: &Finished) -> (Vec<String>, String) {
    let lines = finished.json_lines();
    let errors = lines.iter().filter(|line| line["item"]["type"] == "error");
    let texts = errors.map(|line| line["item"]["message"].as_str().unwrap().to_owned()).collect();
    (texts, lines.last().unwrap()["type"].as_str().unwrap().to_owned())
}

fn answering() -> (ModelServer, Stage) {
    let server = ModelServer::start(Script::always(say("done")));
    let stage = Stage::new().with_model(&server);
    (server, stage)
}

// ---- standard input

#[test]
fn a_pipe_beside_a_prompt_is_read() {
    let (server, stage) = answering();
    let bytes = Stdin::Bytes(b"+ a line of a diff\n".to_vec());
    stage.troupe(["exec", "review this"]).stdin(bytes.clone()).run().assert_success();
    let block = "<stdin>\n+ a line of a diff\n</stdin>";
    assert_eq!(asked(&server), format!("review this\n\n{block}"));
    stage.troupe(["exec", "resume", "--last", "and now"]).stdin(bytes).run().assert_success();
    assert_eq!(asked(&server), format!("and now\n\n{block}"));
}

#[test]
fn a_file_beside_a_prompt_is_read() {
    let (server, stage) = answering();
    stage.write("notes.txt", "from a file");
    let script = "\"$@\" < notes.txt";
    let run = stage.troupe(["exec", "go"]).through_shell(script).run();
    run.assert_success();
    assert_eq!(asked(&server), "go\n\n<stdin>\nfrom a file\n</stdin>");
}

#[test]
fn input_that_says_nothing_adds_nothing() {
    let (server, stage) = answering();
    for stdin in [Stdin::Null, Stdin::Missing, Stdin::Bytes(Vec::new()), Stdin::Bytes(b"\n".into())]
    {
        let finished = stage.troupe(["exec", "go"]).stdin(stdin.clone()).run();
        finished.assert_success();
        assert_eq!(asked(&server), "go", "{stdin:?}");
        assert!(!finished.stderr().contains("standard input"), "{}", finished.stderr());
    }
}

#[test]
fn a_pipe_that_has_begun_is_read_to_its_end() {
    let (server, stage) = answering();
    let mut running = stage.troupe(["exec", "--json", "go"]).stdin(Stdin::Open).start();
    running.write_stdin("a");
    running.wait_stderr("</dev/null");
    running.write_stdin("b");
    running.close_stdin();
    running.wait().assert_success();
    assert_eq!(asked(&server), "go\n\n<stdin>\nab\n</stdin>");
}

#[test]
fn a_silent_pipe_is_waited_for_and_then_left_alone() {
    let (server, stage) = answering();
    for arguments in [&["exec", "go"][..], &["exec", "--json", "go"]] {
        let began = Instant::now();
        let running = stage.troupe(arguments).stdin(Stdin::Open).start();
        running.wait_stderr("waiting up to 5 s for standard input");
        running.wait_stderr("--stdin");
        assert!(began.elapsed() >= Duration::from_secs(5), "{:?}", began.elapsed());
        running.wait().assert_success();
        assert_eq!(asked(&server), "go");
    }
}

#[test]
fn a_signal_ends_the_waiting() {
    let (server, stage) = answering();
    let running = stage.troupe(["exec", "--json", "go"]).stdin(Stdin::Open).start();
    running.wait_stderr("waiting up to 5 s");
    running.signal(Signal::Interrupt);
    let finished = running.wait();
    finished.assert_code(130);
    assert_eq!(errors(&finished).1, "turn.failed");
    assert!(server.requests().is_empty());
}

#[test]
fn input_that_is_no_text_or_too_much_is_refused() {
    let (server, stage) = answering();
    for (bytes, why) in [(b"ab\xff".to_vec(), "byte 2"), (vec![b'x'; 17 << 20], "16 MiB")] {
        let finished = stage.troupe(["exec", "--json", "go"]).stdin(Stdin::Bytes(bytes)).run();
        finished.assert_code(2);
        assert!(finished.stderr().contains(why), "{}", finished.stderr());
        assert_eq!(errors(&finished).1, "turn.failed");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn a_long_prompt_is_not_echoed() {
    let (server, stage) = answering();
    let long = format!("the beginning {} the end", "x".repeat(3_000_000));
    let finished = stage.troupe(["exec", "-"]).stdin(Stdin::Bytes(long.into_bytes())).run();
    finished.assert_success();
    assert!(finished.stderr().len() < 5_000, "{} bytes", finished.stderr().len());
    assert!(finished.stderr().contains("the beginning") && finished.stderr().contains("the end"));
    assert!(asked(&server).len() > 3_000_000);
}

#[test]
#[cfg(unix)]
fn an_early_error_reads_what_its_caller_writes() {
    let stage = Stage::new();
    let script = "head -c 2000000 /dev/zero | \"$@\"; echo \"${PIPESTATUS[*]}\" > codes";
    for arguments in [
        &["exec", "--no-such-option"][..],
        &["exec", "--json", "-c", "sandbox_mode=bogus", "-"],
        &["exec", "--experimental-json", "-C", "not/there"],
        &["exec", "resume", ""],
        &["exec", "--json"],
        &["exec", "-i", "not/there.png", "--", "go"],
        &["exec", "--output-schema", "not/there.json", "go"],
    ] {
        let run = stage.troupe(arguments).through_shell(script).run();
        let codes = stage.read("codes");
        let (writer, troupe) = codes.trim().split_once(' ').unwrap();
        assert_eq!(writer, "0", "{arguments:?}: {}", run.stderr());
        assert_ne!(troupe, "0", "{arguments:?}");
    }
}

#[test]
fn an_early_error_is_not_held_up_where_nobody_writes() {
    let stage = Stage::new();
    for stdin in [Stdin::Null, Stdin::Missing, Stdin::Bytes(b"x".to_vec())] {
        let finished = stage.troupe(["exec", "--no-such-option"]).stdin(stdin).run();
        finished.assert_code(2);
        assert!(finished.took < Duration::from_secs(4), "{:?}", finished.took);
    }
    // Other commands do not take a prompt.
    let finished = stage.troupe(["sessions", "--no-such-option"]).stdin(Stdin::Open).run();
    finished.assert_code(2);
    assert!(finished.took < Duration::from_secs(4), "{:?}", finished.took);
}

#[test]
#[cfg(unix)]
fn streams_that_do_not_block_lose_nothing() {
    // As ssh, Node or a shell after such a program leaves its pipes.
    let reads = "pipe(R, W); use Fcntl; fcntl(R, F_SETFL, O_NONBLOCK); if (fork()) { close R; \
                 syswrite W, substr($ARGV[0], 0, 9); select(undef, undef, undef, 0.2); \
                 syswrite W, substr(shift @ARGV, 9); close W; wait; exit($? >> 8) } \
                 close W; shift @ARGV; open(STDIN, '<&', R); exec @ARGV";
    let perl = |stage: &Stage, text: &str, arguments: &[&str]| {
        let run = stage.troupe(arguments);
        run.behind("perl", ["-e", reads, text])
    };
    let (server, stage) = answering();
    for arguments in [&["exec", "--stdin", "go"][..], &["exec", "--json", "go"]] {
        perl(&stage, "some text in two writes", arguments).run().assert_success();
        assert_eq!(asked(&server), "go\n\n<stdin>\nsome text in two writes\n</stdin>");
    }
    perl(&stage, "a prompt in two writes", &["exec", "-"]).run().assert_success();
    assert_eq!(asked(&server), "a prompt in two writes");
    let patch = "*** Begin Patch\n*** Add File: new\n+text\n*** End Patch\n";
    perl(&stage, patch, &["apply-patch"]).run().assert_success();
    assert_eq!(stage.read("new"), "text\n");
}

#[test]
#[cfg(unix)]
fn output_that_does_not_block_comes_whole() {
    let long = "many words ".repeat(60_000);
    let server = ModelServer::start(Script::always(say(long.as_str())));
    let stage = Stage::new().with_model(&server);
    // Reads late: more than a pipe holds has to wait.
    let code = "pipe(R, W); use Fcntl; fcntl(W, F_SETFL, O_NONBLOCK); if (fork()) { close W; \
                select(undef, undef, undef, 0.5); print while <R>; wait; exit($? >> 8) } \
                close R; open(STDOUT, '>&', W); exec @ARGV";
    let finished = stage.troupe(["exec", "go"]).behind("perl", ["-e", code]).run();
    finished.assert_success();
    assert_eq!(finished.stdout().trim(), long.trim());
}

#[test]
#[cfg(unix)]
fn a_signal_before_the_handlers_ends_a_run_like_a_later_one() {
    let (server, stage) = answering();
    // A blocked signal that has come waits for the program that is executed.
    let code = "sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGTERM, SIGINT, SIGHUP)); \
                kill shift(@ARGV), $$; exec @ARGV";
    for (signal, number) in [("TERM", 15), ("INT", 2), ("HUP", 1)] {
        for arguments in [&["exec", "--json", "-"][..], &["exec", "--json", "--no-such-option"]] {
            let run = stage.troupe(arguments).behind("perl", ["-MPOSIX", "-e", code, signal]);
            let script = "head -c 2000000 /dev/zero | \"$@\"; echo \"${PIPESTATUS[*]}\" > codes";
            let finished = run.through_shell(script).run();
            let codes = stage.read("codes");
            let usage = arguments.contains(&"--no-such-option");
            let code = if usage { 2 } else { 128 + number };
            assert_eq!(codes.trim(), format!("0 {code}"), "{signal}: {}", finished.stderr());
            assert_eq!(finished.json_lines().last().unwrap()["type"], "turn.failed", "{signal}");
        }
        // What handles none is ended by it.
        let run = stage.troupe(["docs"]).behind("perl", ["-MPOSIX", "-e", code, signal]).run();
        assert_eq!((run.code(), run.stdout()), (None, String::new()), "{signal}");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn an_image_is_looked_for_here_and_then_in_the_working_directory() {
    let (server, stage) = answering();
    let png = |last: u8| [b"\x89PNG\r\n\x1a\n".as_slice(), &[last]].concat();
    stage.write("both.png", png(1));
    stage.write("sub/both.png", png(2));
    stage.write("sub/there.png", png(2));
    let shown = |path: &str| {
        let run = stage.troupe(["exec", "--json", "-C", "sub", "-i", path, "--", "go"]).run();
        run.assert_success();
        server.requests().last().unwrap().body.to_string()
    };
    // The last byte of the two, in base64.
    let (here, there) = ("GgoB\"", "GgoC\"");
    assert!(shown("both.png").contains(here));
    assert!(shown("there.png").contains(there));
    let nested = stage.work().join("sub/there.png");
    assert!(shown(nested.to_str().unwrap()).contains(there));
    let asked = server.requests().len();
    let run = stage.troupe(["exec", "--json", "-C", "sub", "-i", "none.png", "--", "go"]).run();
    run.assert_code(3);
    let text = run.stderr();
    let sub = stage.work().join("sub");
    for place in [stage.work().display().to_string(), sub.display().to_string()] {
        assert!(text.contains(&place), "{text}");
    }
    // What is there is not passed over for another one.
    stage.write("text.png", "no image");
    stage.write("sub/text.png", png(2));
    stage.troupe(["exec", "-C", "sub", "-i", "text.png", "--", "go"]).run().assert_code(3);
    assert_eq!(server.requests().len(), asked);
}

// ---- a session goes on

/// Runs that were ended while the model was asked, and how.
#[test]
#[cfg(unix)]
fn a_turn_that_was_ended_goes_on_without_a_prompt() {
    for (signal, times) in [
        (Signal::Interrupt, 1),
        (Signal::Interrupt, 2),
        (Signal::Terminate, 1),
        (Signal::HangUp, 1),
        (Signal::Kill, 1),
    ] {
        let gate = Gate::new();
        let server = ModelServer::start(
            Script::new().turn(say("never").wait(&gate).then(say("it is done"))),
        );
        let stage = Stage::new().with_model(&server);
        let running = stage.troupe(["exec", "--json", "the task"]).start();
        gate.wait_arrived(1);
        for _ in 0..times {
            running.signal(signal);
        }
        drop(running.wait());
        let resumed = stage.troupe(["exec", "--json", "resume", "--last"]).run();
        resumed.assert_success();
        let lines = resumed.json_lines();
        let kinds: Vec<&Value> = lines.iter().map(|line| &line["type"]).collect();
        assert_eq!(kinds[..2], ["thread.started", "turn.started"], "{signal:?}");
        let turns = kinds.iter().filter(|kind| kind.as_str().unwrap().starts_with("turn."));
        assert_eq!(turns.count(), 2, "{signal:?} {}", resumed.stdout());
        assert!(server.requests().last().unwrap().asks("the task"), "{signal:?}");
        // Now it is done, and that is said.
        let over = stage.troupe(["exec", "--json", "resume", "--last"]).run();
        over.assert_code(3);
        assert!(over.stdout().contains("was completed. Give a prompt"), "{}", over.stdout());
        gate.open();
    }
}

#[test]
fn a_turn_that_failed_is_tried_again_without_a_prompt() {
    let server = ModelServer::start(Script::new().turn(status(401).then(say("it is done"))));
    let stage = Stage::new().with_model(&server);
    stage.troupe(["exec", "--json", "the task"]).run().assert_code(4);
    let resumed = stage.troupe(["exec", "--json", "resume", "--last"]).run();
    resumed.assert_success();
    assert!(server.requests().last().unwrap().asks("the task"));
}

#[test]
fn ids_that_cannot_be_meant_are_refused() {
    let (server, stage) = answering();
    stage.troupe(["exec", "one"]).run().assert_success();
    for id in ["", " ", "..", "*", "/", "fix it"] {
        let finished = stage.troupe(["exec", "--json", "resume", id, "go on"]).run();
        finished.assert_code(2);
        assert!(finished.stderr().contains("troupe sessions list"), "{}", finished.stderr());
    }
    for blank in ["", " \n"] {
        let finished = stage.troupe(["exec", "--json", "resume", "--last", blank]).run();
        finished.assert_code(2);
        assert!(finished.stderr().contains("the prompt is empty"), "{}", finished.stderr());
    }
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_session_that_began_elsewhere_says_where_it_works_now() {
    let (_server, stage) = answering();
    stage.troupe(["exec", "one"]).run().assert_success();
    let home = stage.home();
    let finished = stage.troupe(["exec", "resume", "--last", "--all", "two"]).folder(&home).run();
    finished.assert_success();
    let work = stage.work().canonicalize().unwrap();
    assert!(finished.stderr().contains(&format!("the session began in {}", work.display())));
    let back = stage.troupe(["exec", "resume", "--last", "--all", "three"]).run();
    assert!(!back.stderr().contains("the session began in"), "{}", back.stderr());
}

#[test]
fn each_run_ends_with_how_to_go_on() {
    let server = ModelServer::start(
        Script::new().when(|request| request.asks("refused"), status(401)).otherwise(say("done")),
    );
    let stage = Stage::new().with_model(&server);
    let last =
        |finished: &Finished| finished.stderr().trim_end().lines().last().unwrap().to_owned();
    let fine = stage.troupe(["exec", "go"]).run();
    assert!(last(&fine).starts_with("to go on: troupe exec resume "), "{}", fine.stderr());
    assert!(last(&fine).ends_with(" \"…\""), "{}", fine.stderr());
    let failed = stage.troupe(["exec", "refused"]).run();
    let told = last(&failed);
    assert!(told.starts_with("to go on where it stopped: troupe exec resume "), "{told}");
    // What is printed can be run.
    let id = told.rsplit(' ').next().unwrap();
    stage.troupe(["exec", "resume", id]).run().assert_code(4);
    let unkept = stage.troupe(["exec", "--ephemeral", "go"]).run();
    assert!(!unkept.stderr().contains("to go on"), "{}", unkept.stderr());
}

// ---- the last words

fn patch() -> Value {
    json!({ "input": "*** Begin Patch\n*** Add File: new.txt\n+new\n*** End Patch\n" })
}

#[test]
fn a_run_that_could_not_write_says_so_and_what_allows_it() {
    let server =
        ModelServer::start(Script::new().turn(call("apply_patch", patch())).turn(say("fixed")));
    let stage = Stage::new().with_model(&server);
    let told = stage.troupe(["exec", "edit"]).run();
    told.assert_success();
    let text = told.stderr();
    assert_eq!(text.matches("nothing was changed").count(), 1, "{text}");
    assert!(text.contains("-s workspace-write") && text.contains("sandbox_mode = \""), "{text}");
    assert!(text.contains("the sandbox mode is read-only and nobody can be asked"), "{text}");
    let (said, last) = errors(&stage.troupe(["exec", "--json", "edit"]).run());
    assert_eq!((said.len(), last.as_str()), (1, "turn.completed"), "{said:?}");
    assert!(said[0].contains("-s workspace-write"), "{said:?}");
    let allowed = stage.troupe(["exec", "-s", "workspace-write", "edit"]).run();
    assert!(!allowed.stderr().contains("nothing was changed"), "{}", allowed.stderr());
    assert_eq!(stage.read("new.txt"), "new\n");
}

#[test]
#[cfg(target_os = "linux")]
fn a_command_that_could_not_write_is_told_like_a_patch() {
    if !machine::user_namespaces() {
        skip!("needs user namespaces: without them a refusal reads like any file permission");
    }
    for (command, refused) in [
        ("touch new.txt", true),
        ("echo x > sub/new.txt", true),
        ("git init -q here", true),
        ("ls; exit 1", false),
        ("echo 'nothing could be written'", false),
    ] {
        let server = ModelServer::start(
            Script::new().turn(call("shell", json!({ "command": command }))).turn(say("fixed")),
        );
        let stage = Stage::new().with_model(&server);
        stage.write("sub/old.txt", "old");
        let (said, last) = errors(&stage.troupe(["exec", "--json", "edit"]).run());
        let told = said.iter().filter(|text| text.contains("nothing was changed")).count();
        assert_eq!((told, last.as_str()), (usize::from(refused), "turn.completed"), "{command}");
        let text = stage.troupe(["exec", "edit"]).run();
        assert_eq!(text.stderr().matches("-s workspace-write").count(), told, "{}", text.stderr());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_write_outside_the_folders_names_what_adds_one() {
    let patch = |path: &str| {
        let text = format!("*** Begin Patch\n*** Add File: {path}\n+new\n*** End Patch\n");
        call("apply_patch", json!({ "input": text }))
    };
    let shell = |command: &str| call("shell", json!({ "command": command }));
    let narrow = [
        "-c",
        "sandbox_workspace_write.exclude_slash_tmp=true",
        "-c",
        "sandbox_workspace_write.exclude_tmpdir_env_var=true",
    ];
    // Without namespaces no command makes a file at the top of a writable folder.
    let namespaces = machine::user_namespaces();
    for (turn, told, works) in [
        (patch("../elsewhere/new.txt"), true, true),
        (patch("here.txt"), false, false),
        // No folder that is added allows this.
        (patch(".git/hooks/pre-commit"), false, false),
        (shell("touch ../elsewhere/new.txt"), true, namespaces),
        (shell("touch here.txt"), false, false),
        (shell("ls ../elsewhere; exit 1"), false, false),
    ] {
        let server = ModelServer::start(Script::new().turn(turn).turn(say("done")));
        let stage = Stage::new().with_model(&server);
        std::fs::create_dir(stage.root().join("elsewhere")).unwrap();
        let run = |more: &[&str]| {
            let first = ["exec", "-s", "workspace-write"];
            stage.troupe(first.iter().chain(&narrow).chain(more)).run()
        };
        let finished = run(&["--json", "edit"]);
        let remedies = ["--add-dir DIR", "sandbox_workspace_write.writable_roots"];
        let names = |text: &str| remedies.iter().filter(|word| text.contains(*word)).count();
        let expected = if told { 2 } else { 0 };
        let (said, last) = errors(&finished);
        assert_eq!(last, "turn.completed");
        assert_eq!(names(&said.concat()), expected, "{said:?}");
        let model = server.requests()[1].outputs()[0].1.clone();
        assert_eq!(names(&model), expected, "{model}");
        assert!(!finished.stderr().contains("-s workspace-write"), "{}", finished.stderr());
        // The remedy works.
        let added = run(&["--add-dir", "../elsewhere", "edit"]);
        assert_eq!(names(&added.stderr()), 0, "{}", added.stderr());
        assert_eq!(stage.root().join("elsewhere/new.txt").exists(), works);
        if !told {
            continue;
        }
        let people = run(&["edit"]).stderr();
        assert_eq!(people.matches("troupe exec --add-dir DIR").count(), 1, "{people}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn processes_that_end_with_the_run_are_named() {
    let server = ModelServer::start(
        Script::new()
            .turn(call("exec_command", json!({ "cmd": "sleep 300", "yield_time_ms": 250 })))
            .turn(say("it runs")),
    );
    let stage = Stage::new().with_model(&server);
    let told = stage.troupe(["exec", "start it"]).run();
    assert!(told.stderr().contains("`sleep 300` is ended now, with the run"), "{}", told.stderr());
    let (said, last) = errors(&stage.troupe(["exec", "--json", "start it"]).run());
    assert!(said.iter().any(|text| text.contains("`sleep 300` is ended now")), "{said:?}");
    assert_eq!(last, "turn.completed");
    stage.assert_no_process_left();
}

#[test]
fn a_long_silence_has_a_sign_of_life() {
    let gate = Gate::new();
    let server = ModelServer::start(Script::always(say("done").wait(&gate)));
    let stage = Stage::new().with_model(&server);
    let running = stage.troupe(["exec", "go"]).start();
    running.wait_stderr("the model has not answered for");
    gate.open();
    running.wait().assert_success();
}

// ---- slips of the command line

#[test]
fn words_that_are_commands_elsewhere_are_no_prompts() {
    let (server, stage) = answering();
    let help = stage.troupe(["exec", "help"]).run();
    help.assert_success();
    assert!(help.stdout().contains("Usage: troupe exec"), "{}", help.stdout());
    for word in ["review", "fork"] {
        let finished = stage.troupe(["exec", word]).run();
        finished.assert_code(2);
        assert!(finished.stderr().contains(&format!("troupe exec -- {word}")));
    }
    assert!(server.requests().is_empty());
    for word in ["help", "review", "resume"] {
        stage.troupe(["exec", "--", word]).run().assert_success();
        assert_eq!(asked(&server), word);
    }
}

#[test]
fn a_task_without_its_command_is_told_the_command() {
    let stage = Stage::new();
    for (words, hint) in [
        (&["fix it"][..], "troupe exec \"fix it\"\n"),
        (&["resume"], "troupe exec resume --last"),
        (&["review"], "troupe exec \"review …\""),
        (&["--json", "fix it"], "troupe exec --json \"fix it\"\n"),
        (&["-s", "workspace-write", "fix it"], "troupe exec -s workspace-write \"fix it\"\n"),
        (&["-C", ".", "--", "fix it"], "troupe exec -C . -- \"fix it\"\n"),
        (&["--json", "exec", "fix it"], "troupe exec --json \"fix it\"\n"),
        (&["session", "list"], "did you mean: troupe sessions\n"),
        (&["exce", "fix it"], "did you mean: troupe exec"),
    ] {
        let finished = stage.troupe(words).run();
        finished.assert_code(2);
        assert!(finished.stderr().contains(hint), "{}", finished.stderr());
        assert!(!finished.stderr().contains("'e'"), "{}", finished.stderr());
    }
    // What `exec` does not take either, or what belongs to another command, is no task.
    for words in [&["--no-such", "x"][..], &["--json", "sessions", "list"], &["sessions", "foo"]] {
        let finished = stage.troupe(words).run();
        finished.assert_code(2);
        assert!(!finished.stderr().contains("troupe exec"), "{}", finished.stderr());
    }
}

#[test]
fn features_of_other_programs_are_warned_about() {
    let (_server, stage) = answering();
    let arguments =
        ["exec", "--enable", "this", "--disable", "that", "--thread-source", "me", "go"];
    let finished = stage.troupe(arguments).run();
    finished.assert_success();
    for flag in ["--enable this", "--disable that"] {
        assert!(finished.stderr().contains(&format!("warning: {flag}")), "{}", finished.stderr());
    }
    let list = stage.troupe(["sessions", "list", "--json"]).run();
    assert_eq!(list.json_lines()[0]["source"], "me");
    let before = stage.troupe(["--enable", "this", "exec", "--enable", "that", "go"]).run();
    before.assert_success();
    let list = stage.troupe(["--disable=this", "sessions", "--enable=that", "list"]).run();
    list.assert_success();
    for (finished, flags) in
        [(before, ["--enable this", "--enable that"]), (list, ["--disable this", "--enable that"])]
    {
        for flag in flags {
            let warning = format!("warning: {flag}");
            assert_eq!(finished.stderr().matches(&warning).count(), 1, "{}", finished.stderr());
        }
    }
}

#[test]
fn a_wrong_key_is_named_by_where_it_came_from() {
    let server = ModelServer::start(Script::always(status(401)));
    let stage = Stage::new();
    for name in ["OPENAI_API_KEY", "CODEX_API_KEY"] {
        let run =
            stage.troupe(["exec", "-c", &format!("openai_base_url=\"{}\"", server.url()), "x"]);
        // The one that is set for this program alone comes first.
        let finished = run.env("OPENAI_API_KEY", "sk-one").env(name, "sk-two").run();
        finished.assert_code(4);
        assert!(finished.stderr().contains(&format!("the key in {name}")), "{}", finished.stderr());
        // The built-in provider needs no table.
        assert!(!finished.stderr().contains("model_providers"), "{}", finished.stderr());
        let sent = server.requests();
        assert_eq!(sent.last().unwrap().header("authorization"), Some("Bearer sk-two"));
    }
}
