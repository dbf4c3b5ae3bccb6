//! How the tool is described to a model: a short text, and a grammar for models that take one.

/// What a model is told about the tool. At most 700 bytes.
pub const TOOL_DESCRIPTION: &str = "\
Edits files. Send one patch; it is checked as a whole before anything is written.
For each file one header: `*** Add File: P` (then its lines, each with `+`), `*** Delete File: P`, \
or `*** Update File: P` (optionally followed by `*** Move to: Q`). An update has chunks: `@@` or \
`@@ a line above`, then lines that start with a blank (context), `-` (old) or `+` (new); give about \
3 context lines, chunks in file order. End a chunk with `*** End of File` to match only there.
*** Begin Patch
*** Update File: src/main.rs
@@ fn main() {
     let name = read();
-    greet();
+    greet(name);
*** End Patch";

/// The language in Lark's notation, for tools whose input is constrained by a grammar. It is
/// stricter than [`crate::parse`]: what it admits always parses.
pub const LARK_GRAMMAR: &str = r#"start: "*** Begin Patch" NL hunk+ "*** End Patch" NL?

hunk: new_file | gone_file | changed_file

new_file: "*** Add File: " PATH NL new_line*
new_line: "+" TEXT? NL
gone_file: "*** Delete File: " PATH NL
changed_file: "*** Update File: " PATH NL moved? chunk+
moved: "*** Move to: " PATH NL

chunk: "@@" (" " TEXT)? NL line+ at_end?
line: (" " | "-" | "+") TEXT? NL
at_end: "*** End of File" NL

PATH: /[^\s][^\r\n]*/
TEXT: /[^\r\n]+/
NL: "\n"
"#;
