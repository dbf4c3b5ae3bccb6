//! Reading calls: the lenient forms, and the refusals.

use super::{call, json, parse};
use crate::tools::{
    GrepFilesArgs, ListDirArgs, PlanArgs, ReadFileArgs, SandboxPermissions, ShellArgs, ToolCall,
    ViewImageArgs, plan_updated,
};
use proptest::prelude::*;
use troupe_types::{CallId, CallInput, PlanStep, StepStatus};

fn shell(command: &str) -> ShellArgs {
    ShellArgs {
        command: command.to_owned(),
        workdir: None,
        timeout_ms: 120_000,
        sandbox_permissions: SandboxPermissions::UseDefault,
        justification: None,
    }
}

fn refusal(tool: &str, arguments: &str) -> String {
    parse(&json(tool, arguments)).unwrap_err().to_string()
}

#[test]
fn commands_in_the_forms_models_write_them() {
    let table = [
        (r#"{"command":"ls -la"}"#, "ls -la"),
        (r#"{"cmd":"ls"}"#, "ls"),
        (r#"{"command":["bash","-lc","ls | wc"]}"#, "ls | wc"),
        (r#"{"command":["/bin/sh","-c","ls; ls"]}"#, "ls; ls"),
        (r#"{"command":"[\"bash\",\"-lc\",\"ls\"]"}"#, "ls"),
        (r#"{"command":["ls -la"]}"#, "ls -la"),
        (r#"{"command":["grep","-n","it's $x",""]}"#, r"grep -n 'it'\''s $x' ''"),
        (r#"{"command":["head","-n",5,"a"]}"#, "head -n 5 a"),
        (r#"{"command":["bash","x.sh","a b"]}"#, "bash x.sh 'a b'"),
        (r#"["ls","-l"]"#, "ls -l"),
        (r#""ls -l""#, "ls -l"),
        (r#""{\"command\":\"ls\"}""#, "ls"),
        ("```json\n{\"command\":\"ls\"}\n```", "ls"),
        (r#"{"command":"ls"}}"#, "ls"),
        ("{\"command\":\"cat <<E\n\tx\nE\"}", "cat <<E\n\tx\nE"),
        (r#"{"command":"ls","workdir":"","timeout_ms":null,"extra":[1]}"#, "ls"),
    ];
    for (arguments, expected) in table {
        let parsed = parse(&json("shell", arguments));
        assert_eq!(parsed, Ok(ToolCall::Shell(shell(expected))), "{arguments}");
    }
    let text = call("shell", CallInput::Text("echo 'a\nb'".to_owned()));
    assert_eq!(parse(&text), Ok(ToolCall::Shell(shell("echo 'a\nb'"))));
}

#[test]
fn names_models_use_for_shell() {
    for name in ["shell_command", "local_shell", "container.exec", "bash", "functions.shell"] {
        let parsed = parse(&json(name, r#"{"command":"ls"}"#));
        assert_eq!(parsed, Ok(ToolCall::Shell(shell("ls"))), "{name}");
    }
}

#[test]
fn exec_command_and_write_stdin() {
    let exec = |arguments: &str| match parse(&json("exec_command", arguments)) {
        Ok(ToolCall::Exec(exec)) => exec,
        other => panic!("{other:?}"),
    };
    let plain = exec(r#"{"cmd":"ls"}"#);
    assert_eq!((plain.shell, plain.tty, plain.yield_ms), (shell("ls"), false, 10_000));
    let full = exec(r#"{"cmd":"ls","tty":true,"yield_time_ms":1,"max_output_tokens":7}"#);
    assert_eq!((full.tty, full.yield_ms, full.max_tokens), (true, 250, Some(7)));
    assert_eq!(exec(r#"{"cmd":"ls","yield_time_ms":9e9}"#).yield_ms, 60_000);
    let write = |arguments: &str| match parse(&json("write_stdin", arguments)) {
        Ok(ToolCall::Write(write)) => (write.process, write.chars, write.yield_ms),
        other => panic!("{other:?}"),
    };
    assert_eq!(write(r#"{"session_id":12,"chars":"ls\n"}"#), (12, "ls\n".to_owned(), 250));
    assert_eq!(write(r#"{"session_id":"12"}"#), (12, String::new(), 5000));
    assert!(parse(&json("write_stdin", r#"{"chars":"x"}"#)).is_err());
    let patch = r#"{"cmd":"*** Begin Patch\n*** End Patch"}"#;
    assert!(matches!(parse(&json("exec_command", patch)), Ok(ToolCall::Patch(_))));
}

#[test]
fn shell_options() {
    let full = r#"{"command":"x","workdir":"sub","timeout_ms":"5000",
        "sandbox_permissions":"require_escalated","justification":"why"}"#;
    let expected = ShellArgs {
        workdir: Some("sub".to_owned()),
        timeout_ms: 5000,
        sandbox_permissions: SandboxPermissions::RequireEscalated,
        justification: Some("why".to_owned()),
        ..shell("x")
    };
    assert_eq!(parse(&json("shell", full)), Ok(ToolCall::Shell(expected)));
    let table = [
        (r#"{"command":"x","timeout_ms":1.5e3}"#, 1500),
        (r#"{"command":"x","timeout":2000}"#, 2000),
        (r#"{"command":"x","timeout_seconds":2}"#, 2000),
        (r#"{"command":"x","timeout_ms":0}"#, 120_000),
        (r#"{"command":"x","timeout_ms":-5}"#, 120_000),
        (r#"{"command":"x","timeout_ms":99999999999}"#, 3_600_000),
    ];
    for (arguments, timeout_ms) in table {
        let expected = ShellArgs { timeout_ms, ..shell("x") };
        assert_eq!(parse(&json("shell", arguments)), Ok(ToolCall::Shell(expected)), "{arguments}");
    }
    let old = r#"{"command":"x","with_escalated_permissions":true}"#;
    let ToolCall::Shell(args) = parse(&json("shell", old)).unwrap() else { panic!("no shell") };
    assert_eq!(args.sandbox_permissions, SandboxPermissions::RequireEscalated);
}

const PATCH: &str = "*** Begin Patch\n*** Delete File: a\n*** End Patch";

#[test]
fn patches_in_the_forms_models_write_them() {
    let object = |key: &str| serde_json::json!({ key: PATCH }).to_string();
    let fenced = format!("```patch\n{PATCH}\n```");
    let argv = serde_json::json!({ "command": ["apply_patch", PATCH] }).to_string();
    let string = serde_json::json!(PATCH).to_string();
    let table = [
        ("apply_patch", CallInput::Json(object("input"))),
        ("apply_patch", CallInput::Json(object("patch"))),
        ("apply_patch", CallInput::Json(argv.clone())),
        ("apply_patch", CallInput::Json(string)),
        ("apply_patch", CallInput::Json(PATCH.to_owned())),
        ("apply_patch", CallInput::Json(fenced)),
        ("apply_patch", CallInput::Text(PATCH.to_owned())),
        ("apply_patch", CallInput::Text(object("input"))),
        ("shell", CallInput::Json(argv)),
        ("shell", CallInput::Json(object("command"))),
    ];
    for (tool, input) in table {
        let parsed = parse(&call(tool, input.clone()));
        assert_eq!(parsed, Ok(ToolCall::Patch(PATCH.to_owned())), "{tool} {input:?}");
    }
    let heredoc = format!("apply_patch <<'EOF'\n{PATCH}\nEOF");
    let parsed = parse(&call("apply_patch", CallInput::Json(heredoc.clone())));
    assert_eq!(parsed, Ok(ToolCall::Patch(heredoc)));
    // Its paths would mean something else there.
    let elsewhere = serde_json::json!({ "command": PATCH, "workdir": "sub" }).to_string();
    assert!(refusal("shell", &elsewhere).contains("call apply_patch"));
}

#[test]
fn plans_in_the_forms_models_write_them() {
    let plan = |steps: &[(&str, StepStatus)]| {
        let step = |(step, status): &(&str, StepStatus)| PlanStep {
            step: (*step).to_owned(),
            status: *status,
        };
        PlanArgs { explanation: None, plan: steps.iter().map(step).collect() }
    };
    use StepStatus::{Completed, InProgress, Pending};
    let table = [
        (
            r#"{"plan":[{"step":"a","status":"completed"},{"step":"b","status":"in_progress"}]}"#,
            plan(&[("a", Completed), ("b", InProgress)]),
        ),
        (
            r#"{"plan":[{"step":"a","status":"in-progress"},{"step":"b","status":"in_progress"}]}"#,
            plan(&[("a", InProgress), ("b", InProgress)]),
        ),
        (
            r#"{"plan":["a",{"content":"b","status":"Done"}]}"#,
            plan(&[("a", Pending), ("b", Completed)]),
        ),
        (r#"{"plan":"[{\"step\":\"a\"}]"}"#, plan(&[("a", Pending)])),
        (r#"[{"step":"a","status":"todo"}]"#, plan(&[("a", Pending)])),
        (r#"{"plan":[]}"#, plan(&[])),
    ];
    for (arguments, expected) in table {
        let parsed = parse(&json("update_plan", arguments));
        assert_eq!(parsed, Ok(ToolCall::Plan(expected)), "{arguments}");
    }
    let text = refusal("update_plan", r#"{"plan":[{"step":"a","status":"half"}]}"#);
    assert!(text.contains("unknown status \"half\""), "{text}");
    let said = PlanArgs { explanation: Some("why".to_owned()), ..plan(&[("a", Pending)]) };
    let record = plan_updated(CallId::from_u128(7), said.clone());
    assert_eq!((record.explanation, record.plan), (said.explanation, said.plan));
}

#[test]
fn arguments_of_the_tools_that_look() {
    let path = |path: &str| path.to_owned();
    let table = [
        (
            json("read_file", r#"{"path":"a","offset":"12","limit":3.0}"#),
            ToolCall::ReadFile(ReadFileArgs { path: path("a"), offset: 12, limit: 3 }),
        ),
        (
            json("read_file", r#"{"file_path":"a","offset":0,"limit":0}"#),
            ToolCall::ReadFile(ReadFileArgs { path: path("a"), offset: 1, limit: 2000 }),
        ),
        (
            json("list_dir", ""),
            ToolCall::ListDir(ListDirArgs { path: path("."), depth: 2, offset: 1, limit: 300 }),
        ),
        (
            json("ls", r#"{"dir_path":"a","depth":99,"offset":5,"limit":99999}"#),
            ToolCall::ListDir(ListDirArgs { path: path("a"), depth: 10, offset: 5, limit: 5000 }),
        ),
        (
            json("grep_files", r#"{"pattern":" x","include":["*.rs","!a.rs"],"context":2}"#),
            ToolCall::GrepFiles(GrepFilesArgs {
                pattern: path(" x"),
                path: path("."),
                include: vec![path("*.rs"), path("!a.rs")],
                limit: 100,
                context: 2,
            }),
        ),
        (
            json("view_image", r#""a.png""#),
            ToolCall::ViewImage(ViewImageArgs { path: path("a.png") }),
        ),
    ];
    for (item, expected) in table {
        assert_eq!(parse(&item), Ok(expected), "{item:?}");
    }
}

#[test]
fn refusals_say_what_is_wrong_and_what_is_expected() {
    let table = [
        (
            refusal("read_file", "{\"path\":\n tru}"),
            "failed to parse function arguments: expected ident at line 2 column 5. read_file takes {\"path\": string, \"offset\"?: integer, \"limit\"?: integer}",
        ),
        (
            refusal("view_image", ""),
            "failed to parse function arguments: missing field `path`. view_image takes {\"path\": string}",
        ),
        (
            refusal("view_image", "[1]"),
            "failed to parse function arguments: expected an object, not an array. view_image takes {\"path\": string}",
        ),
        (
            refusal("view_image", r#"{"path":{}}"#),
            "failed to parse function arguments: `path` must be a string, not an object. view_image takes {\"path\": string}",
        ),
        (
            refusal("look", "{}"),
            "unsupported call: look. The tools are: shell, exec_command, write_stdin, apply_patch, update_plan, read_file, list_dir, grep_files, view_image",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(text, expected);
    }
    for (tool, arguments, part) in [
        ("shell", r#"{"command":"ls"#, "EOF while parsing a string at line 1 column 14"),
        ("shell", r#"{"command":"ls"} and {"command":"rm"}"#, "trailing characters at line 1"),
        ("shell", r#"{"command":" "}"#, "missing field `command`"),
        ("shell", r#"{"command":[]}"#, "`command` is empty"),
        (
            "shell",
            r#"{"command":"x","sandbox_permissions":"all"}"#,
            "unknown `sandbox_permissions`",
        ),
        ("shell", "{\"command\":\"a\\u0000b\"}", "NUL character"),
        (
            "read_file",
            r#"{"path":"a","offset":"two"}"#,
            "`offset` must be a whole number, not \"two\"",
        ),
        ("grep_files", r#"{"pattern":""}"#, "missing field `pattern`"),
        ("apply_patch", "", "missing field `input`"),
        ("apply_patch", "{\"input\":\"*** Begin Patch\\n", "EOF while parsing"),
        ("update_plan", "{}", "missing field `plan`"),
    ] {
        let text = refusal(tool, arguments);
        assert!(text.contains(part), "{tool} {arguments}: {text}");
    }
}

#[test]
fn summaries_are_one_line() {
    let long = "x ".repeat(500);
    let table = [
        (json("read_file", r#"{"path":"src/main.rs"}"#), "read src/main.rs"),
        (json("read_file", r#"{"path":"a","offset":9}"#), "read a from line 9"),
        (json("list_dir", ""), "list ."),
        (json("grep_files", r#"{"pattern":"fn"}"#), "search . for fn"),
        (json("update_plan", r#"{"plan":["a"]}"#), "update the plan (1 steps)"),
        (json("shell", r#"{"command":"a\n b"}"#), "a b"),
    ];
    for (item, expected) in table {
        assert_eq!(parse(&item).unwrap().summary(), expected);
    }
    let item = json("shell", &serde_json::json!({ "command": long }).to_string());
    assert!(parse(&item).unwrap().summary().len() < 170);
}

fn arguments() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just("\""),
        Just("\\"),
        Just(":"),
        Just(","),
        Just("\n"),
        Just("```"),
        Just("command"),
        Just("path"),
        Just("plan"),
        Just("input"),
        Just("*** Begin Patch"),
        Just("null"),
        Just("-1e999"),
        Just("é"),
        Just("\0"),
        Just(" "),
    ];
    prop_oneof![".{0,80}", proptest::collection::vec(word, 0..20).prop_map(|words| words.concat())]
}

proptest! {
    #[test]
    fn no_arguments_make_it_panic(tool in 0_usize..8, text in arguments(), free in any::<bool>()) {
        let names = crate::tools::specs();
        let name = names.get(tool).map_or(text.as_str(), |spec| spec.name.as_str());
        let input = if free { CallInput::Text(text.clone()) } else { CallInput::Json(text.clone()) };
        match parse(&call(name, input)) {
            Ok(call) => prop_assert!(call.summary().len() < 200),
            Err(refusal) => prop_assert!(!refusal.to_string().is_empty()),
        }
    }

    #[test]
    fn proper_json_means_what_it_says(command in ".*[a-z].*", fence in any::<bool>()) {
        prop_assume!(!command.contains('\0') && !command.starts_with("*** Begin Patch"));
        let object = serde_json::json!({ "command": command }).to_string();
        let text = if fence { format!("```json\n{object}\n```") } else { object };
        prop_assert_eq!(parse(&json("shell", &text)), Ok(ToolCall::Shell(shell(&command))));
    }

    #[test]
    fn raw_line_breaks_in_strings_are_read_as_such(lines in "[a-z\n\t\r]*x[a-z\n\t\r]*") {
        let text = format!("{{\"command\":\"{lines}\"}}");
        prop_assert_eq!(parse(&json("shell", &text)), Ok(ToolCall::Shell(shell(&lines))));
    }
}
