//! From what the model wrote to a [`ToolCall`]: lenient where the meaning is plain, otherwise a
//! refusal that tells the model what is wrong and what is expected.

use super::{
    argv,
    call::{
        DEFAULT_TIMEOUT_MS, EXEC_YIELD_MS, ExecArgs, GrepFilesArgs, ListDirArgs, MAX_SCRIPT,
        MAX_TIMEOUT_MS, POLL_YIELD_MS, ReadFileArgs, SandboxPermissions, ShellArgs, TYPE_YIELD_MS,
        ToolCall, ViewImageArgs, WriteArgs,
    },
    fields::{Fields, Problem, as_text, kind},
    json, plan, specs,
};
use serde_json::Value;
use troupe_types::start_of;
use troupe_types::{CallInput, CallItem};

/// A call that is not run; its text is for the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolRefusal {
    /// There is no such tool.
    #[error("unsupported call: {name}. The tools are: {tools}")]
    Unknown {
        /// The name as the model wrote it, shortened.
        name: String,
        /// The names there are.
        tools: String,
    },
    /// The arguments cannot be read.
    #[error("failed to parse function arguments: {reason}. {tool} takes {expected}")]
    Arguments {
        /// The tool.
        tool: &'static str,
        /// What is wrong.
        reason: String,
        /// The arguments it takes.
        expected: &'static str,
    },
}

/// Reads a call.
///
/// # Errors
/// When there is no such tool, or its arguments cannot be read.
pub fn parse(call: &CallItem) -> Result<ToolCall, ToolRefusal> {
    let Some(tool) = canonical(&call.tool) else { return Err(unknown(&call.tool)) };
    let read = match tool {
        "shell" => shell(&call.input),
        "exec_command" => exec(&call.input),
        "write_stdin" => object(&call.input, "session_id").and_then(|f| write(&f)),
        "apply_patch" => patch(&call.input),
        "update_plan" => {
            object(&call.input, "plan").and_then(|f| plan::read(&f)).map(ToolCall::Plan)
        }
        "read_file" => object(&call.input, "path").and_then(|f| read_file(&f)),
        "list_dir" => object(&call.input, "path").and_then(|f| list_dir(&f)),
        "grep_files" => object(&call.input, "pattern").and_then(|f| grep_files(&f)),
        _ => object(&call.input, "path").and_then(|f| view_image(&f)),
    };
    read.map_err(|reason| ToolRefusal::Arguments { tool, reason, expected: specs::expected(tool) })
}

/// The tool's own name, for the names models use for it.
fn canonical(name: &str) -> Option<&'static str> {
    let name = name.trim();
    let name = name.strip_prefix("functions.").unwrap_or(name).to_ascii_lowercase();
    let own = match name.as_str() {
        "shell_command" | "local_shell" | "container.exec" | "bash" | "run_command" => "shell",
        "unified_exec" => "exec_command",
        "applypatch" | "apply-patch" => "apply_patch",
        "update-plan" => "update_plan",
        "read" => "read_file",
        "ls" | "list_directory" | "list_files" => "list_dir",
        "grep" | "rg" | "search_files" => "grep_files",
        other => other,
    };
    specs::names().find(|known| *known == own)
}

fn unknown(name: &str) -> ToolRefusal {
    let name = start_of(name, 64).to_owned();
    ToolRefusal::Unknown { name, tools: specs::names().collect::<Vec<_>>().join(", ") }
}

fn value(text: &str) -> Result<Value, Problem> {
    json::read(text).map_err(|error| error.to_string())
}

/// The arguments as an object; a bare text is its field `only`.
fn object(input: &CallInput, only: &str) -> Result<Fields, Problem> {
    match value(input.as_str())? {
        Value::Object(map) => Ok(Fields(map)),
        text @ Value::String(_) => Ok(Fields([(only.to_owned(), text)].into_iter().collect())),
        list @ Value::Array(_) if only == "plan" => {
            Ok(Fields([(only.to_owned(), list)].into_iter().collect()))
        }
        other => Err(format!("expected an object, not {}", kind(&other))),
    }
}

fn shell(input: &CallInput) -> Result<ToolCall, Problem> {
    shell_of(&command_fields(input)?)
}

fn command_fields(input: &CallInput) -> Result<Fields, Problem> {
    match input {
        CallInput::Text(script) if !script.trim_start().starts_with('{') => {
            Ok(command_only(Value::String(script.clone())))
        }
        input => match value(input.as_str())? {
            Value::Object(map) => Ok(Fields(map)),
            other @ (Value::String(_) | Value::Array(_)) => Ok(command_only(other)),
            other => Err(format!("expected an object, not {}", kind(&other))),
        },
    }
}

fn exec(input: &CallInput) -> Result<ToolCall, Problem> {
    let fields = command_fields(input)?;
    let shell = match shell_of(&fields)? {
        ToolCall::Shell(shell) => shell,
        // A patch.
        other => return Ok(other),
    };
    let (shortest, default, longest) = EXEC_YIELD_MS;
    Ok(ToolCall::Exec(ExecArgs {
        shell,
        tty: fields.flag("tty"),
        yield_ms: yield_ms(&fields)?.unwrap_or(default).clamp(shortest, longest),
        max_tokens: max_tokens(&fields)?,
    }))
}

fn write(fields: &Fields) -> Result<ToolCall, Problem> {
    let process = fields.number(&["session_id", "process_id", "process", "id"])?;
    let process = process.ok_or("missing field `session_id`")?;
    let chars = fields.text(&["chars", "input", "text", "data"])?.unwrap_or_default();
    let (shortest, default, longest) = if chars.is_empty() { POLL_YIELD_MS } else { TYPE_YIELD_MS };
    Ok(ToolCall::Write(WriteArgs {
        process,
        yield_ms: yield_ms(fields)?.unwrap_or(default).clamp(shortest, longest),
        chars,
        max_tokens: max_tokens(fields)?,
    }))
}

fn yield_ms(fields: &Fields) -> Result<Option<u64>, Problem> {
    fields.number(&["yield_time_ms", "yield_ms", "wait_ms", "timeout_ms"])
}

fn max_tokens(fields: &Fields) -> Result<Option<usize>, Problem> {
    let given = fields.number(&["max_output_tokens", "max_tokens"])?.filter(|tokens| *tokens > 0);
    Ok(given.map(|tokens| usize::try_from(tokens).unwrap_or(usize::MAX)))
}

fn shell_of(fields: &Fields) -> Result<ToolCall, Problem> {
    let command = command(fields)?;
    let workdir = fields.some_text(&["workdir", "cwd", "working_directory", "dir"])?;
    if is_patch(&command) {
        return match workdir {
            None => Ok(ToolCall::Patch(command)),
            Some(_) => Err("a patch is not a command: call apply_patch, with paths relative to the session directory".to_owned()),
        };
    }
    Ok(ToolCall::Shell(ShellArgs {
        command,
        workdir,
        timeout_ms: timeout(fields)?,
        sandbox_permissions: permissions(fields)?,
        justification: fields.some_text(&["justification"])?,
    }))
}

fn command_only(command: Value) -> Fields {
    Fields([("command".to_owned(), command)].into_iter().collect())
}

fn command(fields: &Fields) -> Result<String, Problem> {
    let names = ["command", "cmd", "script", "commands"];
    let command = match fields.value(&names) {
        Some(Value::Array(words)) => {
            let words: Option<Vec<String>> = words.iter().map(as_text).collect();
            let words = words.ok_or("`command` must be a string")?;
            match words.as_slice() {
                [program, text] if program == "apply_patch" && is_patch(text) => text.clone(),
                words => argv::script(words),
            }
        }
        _ => {
            let text = fields.required(&names)?;
            // A list of words that was written as a string.
            serde_json::from_str::<Vec<String>>(&text).map_or(text, |words| argv::script(&words))
        }
    };
    match command.trim() {
        "" => Err("`command` is empty".to_owned()),
        text if text.len() > MAX_SCRIPT => Err(format!(
            "`command` has {} KiB, and {} KiB is the most. Write what is long to a file first, in \
             parts, and let a short command use it",
            text.len() / 1024,
            MAX_SCRIPT / 1024
        )),
        text if text.contains('\0') => Err("`command` contains a NUL character".to_owned()),
        _ => Ok(command),
    }
}

fn timeout(fields: &Fields) -> Result<u64, Problem> {
    let given = match fields.number(&["timeout_ms", "timeout", "timeoutMs"])? {
        None => fields
            .number(&["timeout_seconds", "timeout_secs", "timeout_sec"])?
            .map(|seconds| seconds.saturating_mul(1000)),
        given => given,
    };
    Ok(given.filter(|ms| *ms > 0).unwrap_or(DEFAULT_TIMEOUT_MS).min(MAX_TIMEOUT_MS))
}

fn permissions(fields: &Fields) -> Result<SandboxPermissions, Problem> {
    match fields.some_text(&["sandbox_permissions"])?.as_deref() {
        None if fields.flag("with_escalated_permissions") => {
            Ok(SandboxPermissions::RequireEscalated)
        }
        None | Some("use_default" | "default") => Ok(SandboxPermissions::UseDefault),
        Some("require_escalated") => Ok(SandboxPermissions::RequireEscalated),
        Some(_) => Err("unknown `sandbox_permissions`".to_owned()),
    }
}

/// Whether a text is a patch and nothing else.
fn is_patch(text: &str) -> bool {
    text.trim_start().starts_with("*** Begin Patch")
}

fn patch(input: &CallInput) -> Result<ToolCall, Problem> {
    let bare = json::without_fence(input.as_str().trim());
    let free = matches!(input, CallInput::Text(_)) && !bare.is_empty();
    if !bare.starts_with(['{', '[', '"']) && (free || bare.contains("*** Begin Patch")) {
        return Ok(ToolCall::Patch(bare.to_owned()));
    }
    match value(bare)? {
        Value::String(text) => Ok(ToolCall::Patch(text)),
        Value::Object(map) if map.contains_key("command") || map.contains_key("cmd") => {
            command(&Fields(map)).map(ToolCall::Patch)
        }
        Value::Object(map) => Fields(map)
            .required(&["input", "patch", "diff", "content", "text"])
            .map(ToolCall::Patch),
        other => Err(format!("expected an object, not {}", kind(&other))),
    }
}

fn path(fields: &Fields) -> Result<Option<String>, Problem> {
    fields.some_text(&["path", "file_path", "dir_path", "file", "filename", "directory"])
}

fn required_path(fields: &Fields) -> Result<String, Problem> {
    path(fields)?.ok_or_else(|| "missing field `path`".to_owned())
}

/// A count of at least 1 and at most `most`, `default` where it is absent or 0.
fn count(fields: &Fields, names: &[&str], default: usize, most: usize) -> Result<usize, Problem> {
    let given = fields.number(names)?.filter(|n| *n > 0);
    Ok(given.map_or(default, |n| usize::try_from(n).unwrap_or(most)).min(most))
}

fn read_file(fields: &Fields) -> Result<ToolCall, Problem> {
    Ok(ToolCall::ReadFile(ReadFileArgs {
        path: required_path(fields)?,
        offset: fields.number(&["offset", "start_line", "line"])?.unwrap_or(1).max(1),
        limit: fields.number(&["limit", "lines"])?.filter(|n| *n > 0).unwrap_or(2000),
    }))
}

fn list_dir(fields: &Fields) -> Result<ToolCall, Problem> {
    Ok(ToolCall::ListDir(ListDirArgs {
        path: path(fields)?.unwrap_or_else(|| ".".to_owned()),
        depth: count(fields, &["depth"], 2, 10)?,
        offset: count(fields, &["offset"], 1, usize::MAX)?,
        limit: count(fields, &["limit"], 300, 5000)?,
    }))
}

fn grep_files(fields: &Fields) -> Result<ToolCall, Problem> {
    let globs = ["include", "glob"];
    let include = match fields.value(&globs) {
        Some(Value::Array(globs)) => globs.iter().filter_map(as_text).collect(),
        _ => fields.some_text(&globs)?.into_iter().collect(),
    };
    Ok(ToolCall::GrepFiles(GrepFilesArgs {
        pattern: fields
            .text(&["pattern", "query", "regex"])?
            .filter(|pattern| !pattern.is_empty())
            .ok_or("missing field `pattern`")?,
        path: path(fields)?.unwrap_or_else(|| ".".to_owned()),
        include,
        limit: count(fields, &["limit"], 100, 2000)?,
        context: count(fields, &["context"], 0, 20)?,
    }))
}

fn view_image(fields: &Fields) -> Result<ToolCall, Problem> {
    Ok(ToolCall::ViewImage(ViewImageArgs { path: required_path(fields)? }))
}
