//! Nothing is run twice and nothing readable is lost, whatever was done to the log.

use super::{
    common::*,
    table::{row, skip, table},
};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};
use troupe_tests::{
    model_server::*,
    stage::{Signal, Stage},
};

/// A session whose process was killed while its one command ran; one turn was complete before.
fn broken_off(wire: Wire) -> (ModelServer, Stage) {
    let script = Script::new()
        .when(|request| request.asks("AGAIN"), say("again"))
        .when(|request| request.asks("the third PROMPT"), say("third answer"))
        .turn(say("first answer"))
        .turn(shell("echo RAN >> marks; exec sleep 100").call_id("call_x"))
        .otherwise(say("done"));
    let server = ModelServer::start(script);
    let stage = Stage::new().with_wire(&server, wire);
    ends(&exec(&stage).arg("the first PROMPT").run(), 0);
    let mut running = exec(&stage).args(["resume", "--last", "the second PROMPT"]).start();
    wait_written(&stage, "marks");
    running.signal(Signal::Kill);
    running.kill_tree();
    drop(running.wait());
    (server, stage)
}

fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn at(lines: &[Vec<u8>], kind: &str) -> usize {
    let wanted = format!("\"kind\":\"{kind}\"");
    let has = |line: &Vec<u8>| String::from_utf8_lossy(line).contains(&wanted);
    lines.iter().position(has).unwrap_or_else(|| panic!("no {kind}"))
}

fn replace(line: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(line).into_owned();
    assert!(text.contains(from), "{from} is not in {text}");
    text.replacen(from, to, 1).into_bytes()
}

/// What a program makes of the log.
fn filter(program: &str, arguments: &[&str], data: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = command.spawn() else { skip(format!("needs {program}")) };
    let mut pipe = child.stdin.take().unwrap();
    let data = data.to_vec();
    let writer = std::thread::spawn(move || pipe.write_all(&data));
    let output = child.wait_with_output().unwrap();
    drop(writer.join());
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

/// Every line as JSON, changed.
fn each(text: &[u8], change: impl Fn(&mut Value)) -> Vec<u8> {
    let mut new = Vec::new();
    for line in lines(text) {
        let mut value: Value = serde_json::from_slice(&line).unwrap();
        change(&mut value);
        new.extend(format!("{value}\n").into_bytes());
    }
    new
}

type Edit = fn(&[u8]) -> Vec<u8>;

/// Edits after which all is still readable: the session goes on as if nothing had been done.
const HARMLESS: [(&str, Edit); 13] = [
    ("jq with sorted keys", |text| filter("jq", &["-S", "-c", "."], text)),
    ("jq", |text| filter("jq", &["-c", "."], text)),
    ("Python's escapes of other letters", |text| {
        filter(
            "python3",
            &["-c", "import sys,json\nfor l in sys.stdin: print(json.dumps(json.loads(l)))"],
            text,
        )
    }),
    ("escaped slashes", |text| String::from_utf8_lossy(text).replace('/', "\\/").into_bytes()),
    ("a byte order mark and other line ends", |text| {
        [b"\xef\xbb\xbf".to_vec(), String::from_utf8_lossy(text).replace('\n', "\r\n").into_bytes()]
            .concat()
    }),
    ("a byte order mark on each line", |text| {
        lines(text).into_iter().flat_map(|line| [b"\xef\xbb\xbf".to_vec(), line].concat()).collect()
    }),
    ("blanks and tabs around each line", |text| {
        String::from_utf8_lossy(text)
            .lines()
            .map(|line| format!("\t {line} \t\n"))
            .collect::<String>()
            .into_bytes()
    }),
    ("blank lines between the lines", |text| {
        String::from_utf8_lossy(text).replace('\n', "\n\n  \n").into_bytes()
    }),
    ("the last line without its end", |text| text[..text.len() - 1].to_vec()),
    ("fields that nobody knows", |text| {
        each(text, |line| line["note"] = json!({ "by": "a reviewer" }))
    }),
    ("all lines twice in a row", |text| {
        lines(text).into_iter().flat_map(|line| [line.clone(), line].concat()).collect()
    }),
    ("the whole log twice", |text| [text, text].concat()),
    ("line ends that change from line to line", |text| {
        let mut new = Vec::new();
        for (n, line) in lines(text).into_iter().enumerate() {
            new.extend(&line[..line.len() - 1]);
            new.extend(if n % 2 == 0 { &b"\r\n"[..] } else { &b"\n"[..] });
        }
        new
    }),
];

/// Edits that take something away: no call runs again, and something is told.
const HARMFUL: [(&str, Edit); 19] = [
    ("jq over many lines", |text| filter("jq", &["."], text)),
    ("UTF-16", |text| {
        String::from_utf8_lossy(text).encode_utf16().flat_map(u16::to_le_bytes).collect()
    }),
    ("sorted by their text", |text| {
        let mut all = lines(text);
        all.sort();
        all.concat()
    }),
    ("from the end to the beginning", |text| {
        let mut all = lines(text);
        all.reverse();
        all.concat()
    }),
    ("two faults: the start is gone, the request stands twice under another number", |text| {
        let mut all = lines(text);
        let start = all.remove(at(&all, "CallStarted"));
        let request = all[at(&all, "CallRequested")].clone();
        let mut value: Value = serde_json::from_slice(&request).unwrap();
        value["seq"] = serde_json::from_slice::<Value>(&start).unwrap()["seq"].clone();
        all.push(format!("{value}\n").into_bytes());
        all.concat()
    }),
    ("the start has another call's id", |text| {
        let mut all = lines(text);
        let n = at(&all, "CallStarted");
        let mut value: Value = serde_json::from_slice(&all[n]).unwrap();
        value["body"]["call"] = json!("01a2274e-d686-773f-9e25-000000000000");
        all[n] = format!("{value}\n").into_bytes();
        all.concat()
    }),
    ("the request has another call's id", |text| {
        let mut all = lines(text);
        let n = at(&all, "CallRequested");
        let mut value: Value = serde_json::from_slice(&all[n]).unwrap();
        value["body"]["item"]["call"] = json!("01a2274e-d686-773f-9e25-000000000000");
        all[n] = format!("{value}\n").into_bytes();
        all.concat()
    }),
    ("the number of the start is a text that is none", |text| {
        let mut all = lines(text);
        let n = at(&all, "CallStarted");
        all[n] = replace(&all[n], "\"seq\":", "\"seq\":\"x\",\"old\":");
        all.concat()
    }),
    ("the start has two numbers", |text| {
        let mut all = lines(text);
        let n = at(&all, "CallStarted");
        all[n] = replace(&all[n], "\"seq\":", "\"seq\":0,\"seq\":");
        all.concat()
    }),
    ("the kind of the start is not known", |text| {
        let mut all = lines(text);
        let n = at(&all, "CallStarted");
        all[n] = replace(&all[n], "\"CallStarted\"", "\"CallBegun\"");
        all.concat()
    }),
    ("the start without its body", |text| {
        let mut all = lines(text);
        let n = at(&all, "CallStarted");
        let mut value: Value = serde_json::from_slice(&all[n]).unwrap();
        value.as_object_mut().unwrap().remove("body");
        all[n] = format!("{value}\n").into_bytes();
        all.concat()
    }),
    ("the start and all behind it, cut by a file system check", |text| {
        let mut all = lines(text);
        let n = at(&all, "CallStarted");
        let length = all.split_off(n).concat().len();
        [all.concat(), vec![0; length]].concat()
    }),
    ("a block of NULs in the place of the start", |text| {
        let mut all = lines(text);
        let n = at(&all, "CallStarted");
        all[n] = vec![0; all[n].len()];
        all.concat()
    }),
    ("a comment behind the start", |text| {
        let mut all = lines(text);
        let n = at(&all, "CallStarted");
        all[n] = replace(&all[n], "}\n", "}, // looked at\n");
        all.concat()
    }),
    ("a bracket in front of the file", |text| [b"[", text].concat()),
    ("conflict marks around the start", |text| {
        let mut all = lines(text);
        let n = at(&all, "CallStarted");
        all.insert(n + 1, b"=======\n>>>>>>> other\n".to_vec());
        all.insert(n, b"<<<<<<< HEAD\n".to_vec());
        all.concat()
    }),
    ("numbers that all begin at one hundred", |text| {
        each(text, |line| line["seq"] = json!(line["seq"].as_u64().unwrap() + 100))
    }),
    ("all numbers zero", |text| each(text, |line| line["seq"] = json!(0))),
    ("the end of the turn before is gone and the start is damaged", |text| {
        let mut all = lines(text);
        let n = at(&all, "CallStarted");
        all[n].truncate(20);
        all[n].push(b'\n');
        let n = at(&all, "TurnFinished");
        all.remove(n);
        all.concat()
    }),
];

#[test]
fn edited_logs() {
    let mut rows = Vec::new();
    for (number, (name, edit)) in HARMLESS.into_iter().enumerate() {
        rows.push(row(format!("harmless: {name}"), move || {
            let (server, stage) = broken_off(WIRES[number % 2]);
            let text = fs::read(stage.log().path()).unwrap();
            fs::write(stage.log().path(), edit(&text)).unwrap();
            let resumed = resume(&stage, &[]);
            ends(&resumed, 0);
            assert_eq!(stage.read("marks"), "RAN\n");
            let request = server.requests().pop().unwrap();
            assert!(request.asks("the first PROMPT") && request.asks("the second PROMPT"));
            assert_eq!(request.texts("assistant")[0], "first answer");
            assert!(
                request.output("call_x").unwrap().starts_with("lost"),
                "{:?}",
                request.outputs()
            );
            ends(&resume(&stage, &["AGAIN"]), 0);
        }));
    }
    for (number, (name, edit)) in HARMFUL.into_iter().enumerate() {
        rows.push(row(format!("harmful: {name}"), move || {
            let (server, stage) = broken_off(WIRES[number % 2]);
            let text = fs::read(stage.log().path()).unwrap();
            fs::write(stage.log().path(), edit(&text)).unwrap();
            let before = server.requests().len();
            // A prompt: whatever became of the turn, there is something to do.
            let id = stage.log().session();
            let resumed = exec(&stage).args(["resume", &id, "the third PROMPT"]).limit(LIMIT).run();
            assert_eq!(stage.read("marks"), "RAN\n", "{}", resumed.stdout());
            let code = resumed.code().unwrap();
            assert!(code == 0 || (3..10).contains(&code), "{code}: {}", told(&resumed));
            let ended = end(&resumed)["type"] == "turn.completed";
            assert_eq!(ended, code == 0, "{}", resumed.stdout());
            if code == 0 {
                // Where no damage can be seen, the call is lost all the same, and shown so.
                let seen = !warnings(&resumed).is_empty() || resumed.stdout().contains("lost: ");
                assert!(seen, "not a word of it: {}", resumed.stdout());
                assert!(server.requests().len() > before);
                assert!(server.requests().pop().unwrap().asks("the third PROMPT"));
            } else {
                assert!(!told(&resumed).trim().is_empty());
            }
            // And it stays so.
            let again = exec(&stage).args(["resume", &id, "AGAIN"]).limit(LIMIT).run();
            assert_eq!(stage.read("marks"), "RAN\n", "{}", again.stdout());
            assert_eq!(again.code(), resumed.code(), "{}", told(&again));
        }));
    }
    for (name, text) in [
        ("empty", ""),
        ("one line end", "\n"),
        ("no JSON at all", "hello\nworld\n"),
        ("JSON of something else", "{\"name\":\"x\"}\n[]\n3\n"),
    ] {
        rows.push(row(format!("a log that holds nothing of a session: {name}"), move || {
            let (_server, stage) = broken_off(Wire::Responses);
            let id = stage.log().session();
            fs::write(stage.log().path(), text).unwrap();
            let resumed = exec(&stage).args(["resume", &id, "the third PROMPT"]).limit(LIMIT).run();
            assert_eq!(stage.read("marks"), "RAN\n");
            let code = resumed.code().unwrap();
            assert!(code == 0 || (3..10).contains(&code), "{code}: {}", told(&resumed));
            assert!(
                !warnings(&resumed).is_empty() || code != 0,
                "not a word of it: {}",
                resumed.stdout()
            );
        }));
    }
    table("siblings: edited logs", &[], rows);
}

/// Many steps, so that there are checkpoints.
fn long(wire: Wire) -> (ModelServer, Stage) {
    let steps =
        (0..55).map(|step| shell(&format!("echo out-{step}-ä")).call_id(format!("call_{step}")));
    let server = ModelServer::start(Script::new().turns(steps).otherwise(say("done")));
    let stage = Stage::new().with_wire(&server, wire);
    ends(&exec(&stage).arg("the PROMPT").run(), 0);
    (server, stage)
}

#[test]
fn checkpoints() {
    let mut rows = Vec::new();
    let edits: [(&str, Edit); 12] = [
        ("one digit of it is changed", |text| {
            let mut all = lines(text);
            let n = at(&all, "Checkpoint");
            let line = String::from_utf8_lossy(&all[n]).into_owned();
            let digit = line.rfind(|c: char| c.is_ascii_digit()).unwrap();
            let other = if line.as_bytes()[digit] == b'7' { "3" } else { "7" };
            all[n] = format!("{}{other}{}", &line[..digit], &line[digit + 1..]).into_bytes();
            all.concat()
        }),
        ("it is gone", |text| {
            let mut all = lines(text);
            let n = at(&all, "Checkpoint");
            all.remove(n);
            all.concat()
        }),
        ("it stands at the end once more, under the next number", |text| {
            let mut all = lines(text);
            let mut value: Value = serde_json::from_slice(&all[at(&all, "Checkpoint")]).unwrap();
            let last: Value = serde_json::from_slice(all.last().unwrap()).unwrap();
            value["seq"] = json!(last["seq"].as_u64().unwrap() + 1);
            all.push(format!("{value}\n").into_bytes());
            all.concat()
        }),
        ("it holds nothing", |text| {
            let mut all = lines(text);
            let n = at(&all, "Checkpoint");
            let mut value: Value = serde_json::from_slice(&all[n]).unwrap();
            value["body"] = json!({});
            all[n] = format!("{value}\n").into_bytes();
            all.concat()
        }),
        ("all its lists are empty", |text| {
            let mut all = lines(text);
            let n = at(&all, "Checkpoint");
            let mut value: Value = serde_json::from_slice(&all[n]).unwrap();
            for (_, field) in value["body"].as_object_mut().unwrap() {
                if field.is_array() {
                    *field = json!([]);
                }
            }
            all[n] = format!("{value}\n").into_bytes();
            all.concat()
        }),
        ("it stands first", |text| {
            let mut all = lines(text);
            let n = at(&all, "Checkpoint");
            let line = all.remove(n);
            all.insert(0, line);
            all.concat()
        }),
        ("two lines of the same length before it have changed places", |text| {
            let mut all = lines(text);
            let n = at(&all, "CallFinished");
            let m = (n + 1..all.len()).find(|m| all[*m].len() == all[n].len()).unwrap_or(n + 4);
            all.swap(n, m);
            all.concat()
        }),
        ("an output before it was blacked out, to the same length", |text| {
            String::from_utf8_lossy(text).replace("out-7-", "***-7-").into_bytes()
        }),
        ("all but it has other line ends", |text| {
            let mut all = lines(text);
            for line in &mut all {
                if !String::from_utf8_lossy(line).contains("\"Checkpoint\"") {
                    line.pop();
                    line.extend(b"\r\n");
                }
            }
            all.concat()
        }),
        ("Python's escapes", |text| {
            filter(
                "python3",
                &[
                    "-c",
                    "import sys,json\nfor l in sys.stdin: print(json.dumps(json.loads(l),separators=(',',':')))",
                ],
                text,
            )
        }),
        ("a line before it is doubled and one behind it is torn", |text| {
            let mut all = lines(text);
            all.insert(3, all[2].clone());
            [all.concat(), b"{\"seq\":".to_vec()].concat()
        }),
        ("sorted keys", |text| filter("jq", &["-S", "-c", "."], text)),
    ];
    for (number, (name, edit)) in edits.into_iter().enumerate() {
        rows.push(row(format!("checkpoint: {name}"), move || {
            let (server, stage) = long(WIRES[number % 2]);
            let text = fs::read(stage.log().path()).unwrap();
            fs::write(stage.log().path(), edit(&text)).unwrap();
            ends(&resume(&stage, &["AGAIN"]), 0);
            let request = server.requests().pop().unwrap();
            assert!(request.asks("the PROMPT") && request.asks("AGAIN"));
            let outputs = request.outputs();
            assert_eq!(outputs.len(), 55);
            for (step, (id, output)) in outputs.iter().enumerate() {
                assert_eq!(*id, format!("call_{step}"));
                assert!(output.contains(&format!("-{step}-ä")), "{step}: {output}");
            }
        }));
    }
    rows.push(row("beside the log: a long output that is gone or cut", || {
        for cut in [false, true] {
            let server = ModelServer::start(
                Script::new()
                    .turn(shell("echo RAN >> marks; seq 40000"))
                    .turn(say("y".repeat(80_000)))
                    .otherwise(say("done")),
            );
            let stage = Stage::new().with_model(&server);
            ends(&exec(&stage).arg("the PROMPT").run(), 0);
            let beside = stage.log().path().with_extension("d");
            for file in fs::read_dir(&beside).unwrap().flatten() {
                if cut {
                    fs::write(file.path(), "cut").unwrap();
                } else {
                    fs::remove_file(file.path()).unwrap();
                }
            }
            let resumed = resume(&stage, &["AGAIN"]);
            ends(&resumed, 0);
            assert!(!warnings(&resumed).is_empty(), "not a word of it: {}", resumed.stdout());
            assert!(server.requests().pop().unwrap().asks("the PROMPT"));
            assert_eq!(stage.read("marks"), "RAN\n");
        }
    }));
    table("siblings: checkpoints", &[], rows);
}
