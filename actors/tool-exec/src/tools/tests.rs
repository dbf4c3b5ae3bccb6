//! The tools on real folders and files.

mod grep_files;
mod list_dir;
mod parse;
mod read_file;
#[allow(dead_code, unreachable_pub, clippy::disallowed_methods)]
#[path = "../../../../tests/src/skip.rs"]
mod skip;
mod specs;
mod view_image;

use super::{Scope, ToolCall, ToolError, parse::parse, run_read_only};
use std::{fs, path::Path};
use tempfile::TempDir;
use troupe_types::{CallId, CallInput, CallItem, Content};

/// A call as a model makes it.
fn call(tool: &str, input: CallInput) -> CallItem {
    let wire_id = "call_1".to_owned();
    CallItem {
        call: CallId::from_u128(7),
        wire_id,
        id: None,
        tool: tool.to_owned(),
        input,
        opaque: None,
    }
}

/// A call with JSON arguments.
fn json(tool: &str, arguments: &str) -> CallItem {
    call(tool, CallInput::Json(arguments.to_owned()))
}

/// A folder with these files; a name that ends with `/` is a folder.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        if name.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    dir
}

fn run(tool: &str, arguments: &str, scope: Scope<'_>) -> Result<Vec<Content>, ToolError> {
    run_read_only(&parse(&json(tool, arguments)).unwrap(), scope)
}

/// The text of a result or of its error, with the folder's own path as `@`.
fn text(cwd: &Path, tool: &str, arguments: &str) -> String {
    text_within(cwd, 10_000, tool, arguments)
}

fn text_within(cwd: &Path, tokens: usize, tool: &str, arguments: &str) -> String {
    let text = match run(tool, arguments, Scope::new(cwd, tokens, &|| false)) {
        Ok(content) => content[0].as_text().unwrap().to_owned(),
        Err(error) => format!("error: {error}"),
    };
    text.replace(cwd.to_str().unwrap(), "@")
}

/// Whether the call ends once it is stopped after `asked` questions.
fn stops(cwd: &Path, tool: &str, arguments: &str, asked: u32) -> bool {
    let left = std::cell::Cell::new(asked);
    let cancelled = || left.replace(left.get().saturating_sub(1)) == 0;
    run(tool, arguments, Scope::new(cwd, 10_000, &cancelled)).is_err_and(|e| e.is_cancelled())
}

#[test]
fn tools_with_effects_are_not_run() {
    let dir = folder(&[]);
    let patch = ToolCall::Patch("*** Begin Patch".to_owned());
    let error = run_read_only(&patch, Scope::new(dir.path(), 10, &|| false)).unwrap_err();
    assert_eq!(error.to_string(), "apply_patch is not a tool that only looks");
}

#[test]
fn paths_resolve_in_one_place() {
    let cwd = Path::new("/work");
    let table = [
        ("a.txt", "/work/a.txt"),
        ("./a/./b.txt", "/work/a/b.txt"),
        ("../a", "/work/../a"),
        ("/etc/hosts", "/etc/hosts"),
        (".", "/work"),
        ("a\n", "/work/a"),
        ("~name", "/work/~name"),
    ];
    for (path, expected) in table {
        assert_eq!(super::resolve(cwd, path), Path::new(expected), "{path}");
    }
    assert_eq!(super::resolve(cwd, "~/x"), std::env::home_dir().unwrap().join("x"));
}
