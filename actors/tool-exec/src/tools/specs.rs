//! What the model is told about each tool. Every request carries all of it, so it is short.

use troupe_types::{ToolKind, ToolSpec, Traits};

/// One tool's text.
struct Text {
    name: &'static str,
    traits: Traits,
    description: &'static str,
    /// The `properties` of its schema.
    properties: &'static str,
    /// The `required` list of its schema.
    required: &'static str,
    /// Its arguments, as a refusal names them.
    expected: &'static str,
}

const TEXTS: [Text; 9] = [
    Text {
        name: "shell",
        traits: Traits::Command,
        description: "Runs a shell script and returns its exit code and output (stdout and stderr together; long output is cut in the middle). stdin is empty. Background processes end with it. Prefer workdir to cd.",
        properties: r#""command":{"type":"string"},"workdir":{"type":"string","description":"default: session directory"},"timeout_ms":{"type":"integer","description":"default 120000"},"sandbox_permissions":{"type":"string","enum":["use_default","require_escalated"],"description":"require_escalated asks the user to run outside the sandbox"},"justification":{"type":"string","description":"with require_escalated: one question to the user saying why"}"#,
        required: r#""command""#,
        expected: r#"{"command": string, "workdir"?: string, "timeout_ms"?: integer, "sandbox_permissions"?: "use_default" or "require_escalated", "justification"?: string}"#,
    },
    Text {
        name: "exec_command",
        traits: Traits::Command,
        description: "Runs a shell script that may outlast the call: servers, watchers, interactive programs. Returns what it prints within yield_time_ms and, if it still runs, a session id for write_stdin.",
        properties: r#""cmd":{"type":"string"},"workdir":{"type":"string"},"tty":{"type":"boolean","description":"on a terminal, to type into"},"yield_time_ms":{"type":"integer","description":"default 10000"},"sandbox_permissions":{"type":"string","enum":["use_default","require_escalated"]},"justification":{"type":"string"}"#,
        required: r#""cmd""#,
        expected: r#"{"cmd": string, "workdir"?: string, "tty"?: boolean, "yield_time_ms"?: integer, "sandbox_permissions"?: "use_default" or "require_escalated", "justification"?: string}"#,
    },
    Text {
        name: "write_stdin",
        traits: Traits::Effects,
        description: "Types into a process of exec_command and returns what it printed since; with empty chars it only waits. \\u0003 interrupts.",
        properties: r#""session_id":{"type":"integer"},"chars":{"type":"string"},"yield_time_ms":{"type":"integer","description":"default 250, or 5000 with empty chars"}"#,
        required: r#""session_id""#,
        expected: r#"{"session_id": integer, "chars"?: string, "yield_time_ms"?: integer}"#,
    },
    Text {
        name: "apply_patch",
        traits: Traits::Effects,
        description: "Edits files. Input:\n*** Begin Patch\n*** Update File: src/a.py\n@@ def f():\n context line\n-old line\n+new line\n*** Add File: b.txt\n+every line starts with +\n*** Delete File: c.txt\n*** End Patch\nAn update may have `*** Move to: new/path` as its second line. Each chunk starts with @@, optionally followed by a line above it (function or class) to find the place, then lines starting with a space (kept), - or +; give 3 kept lines around a change. `*** End of File` after a chunk ties it to the end. Paths are relative.",
        properties: r#""input":{"type":"string","description":"the whole patch"}"#,
        required: r#""input""#,
        expected: r#"{"input": string}, the whole patch from *** Begin Patch to *** End Patch"#,
    },
    Text {
        name: "update_plan",
        traits: Traits::Effects,
        description: "Shows the user your plan. Send all steps each time, at most one in_progress.",
        properties: r#""explanation":{"type":"string"},"plan":{"type":"array","items":{"type":"object","properties":{"step":{"type":"string"},"status":{"type":"string","enum":["pending","in_progress","completed"]}},"required":["step","status"],"additionalProperties":false}}"#,
        required: r#""plan""#,
        expected: r#"{"explanation"?: string, "plan": [{"step": string, "status": "pending", "in_progress" or "completed"}]}"#,
    },
    Text {
        name: "read_file",
        traits: Traits::ReadOnly,
        description: "Returns lines of a text file, each as `L<number>: text`.",
        properties: r#""path":{"type":"string"},"offset":{"type":"integer","description":"first line, from 1"},"limit":{"type":"integer","description":"default 2000 lines"}"#,
        required: r#""path""#,
        expected: r#"{"path": string, "offset"?: integer, "limit"?: integer}"#,
    },
    Text {
        name: "list_dir",
        traits: Traits::ReadOnly,
        description: "Lists a directory, hidden entries too, sorted; directories end with /.",
        properties: r#""path":{"type":"string","description":"default: session directory"},"depth":{"type":"integer","description":"levels, default 2"},"offset":{"type":"integer","description":"first entry, from 1"},"limit":{"type":"integer","description":"default 300 entries"}"#,
        required: "",
        expected: r#"{"path"?: string, "depth"?: integer, "offset"?: integer, "limit"?: integer}"#,
    },
    Text {
        name: "grep_files",
        traits: Traits::ReadOnly,
        description: "Searches file contents line by line, skipping binary and git-ignored files. Returns `path:line:text`, context lines as `path-line-text`.",
        properties: r#""pattern":{"type":"string","description":"Rust regex; (?i) ignores case"},"path":{"type":"string","description":"file or directory, default: session directory"},"include":{"type":"string","description":"glob such as *.rs or src/**/*.{ts,tsx}"},"limit":{"type":"integer","description":"default 100 matches"},"context":{"type":"integer","description":"lines around each match, default 0"}"#,
        required: r#""pattern""#,
        expected: r#"{"pattern": string, "path"?: string, "include"?: string, "limit"?: integer, "context"?: integer}"#,
    },
    Text {
        name: "view_image",
        traits: Traits::ReadOnly,
        description: "Shows you a PNG, JPEG, GIF or WebP file.",
        properties: r#""path":{"type":"string"}"#,
        required: r#""path""#,
        expected: r#"{"path": string}"#,
    },
];

/// The tools as the model is told about them, in a fixed order.
#[must_use]
pub fn specs() -> Vec<ToolSpec> {
    TEXTS.iter().map(Text::spec).collect()
}

/// What the tool called `name` (one of [`specs`]) promises.
#[must_use]
pub fn traits(name: &str) -> Option<Traits> {
    TEXTS.iter().find(|text| text.name == name).map(|text| text.traits)
}

/// The names of all tools.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TEXTS.iter().map(|text| text.name)
}

/// The arguments of the tool called `name`, for a refusal.
pub(super) fn expected(name: &str) -> &'static str {
    TEXTS.iter().find(|text| text.name == name).map_or("other arguments", |text| text.expected)
}

impl Text {
    fn spec(&self) -> ToolSpec {
        let schema = format!(
            r#"{{"type":"object","properties":{{{}}},"required":[{}],"additionalProperties":false}}"#,
            self.properties, self.required
        );
        ToolSpec {
            name: self.name.to_owned(),
            description: self.description.to_owned(),
            kind: ToolKind::Function { schema },
            traits: self.traits,
        }
    }
}
