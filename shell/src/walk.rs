//! From a script to its simple commands.

use crate::{
    MAX_SCRIPT,
    words::{self, Word, of},
};
use std::{cell::RefCell, collections::HashSet, ops::Range};
use tree_sitter::{Node, Parser};

/// How deep a script may be nested.
const MAX_DEPTH: usize = 64;
/// How many parts it may have.
const MAX_PARTS: usize = 4000;

/// Something that a script does.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) what: What,
    /// Where it is in the script.
    pub(crate) range: Range<usize>,
}

#[derive(Debug)]
pub(crate) enum What {
    /// A simple command: its words, and the variables that are set for it.
    Command { words: Vec<Word>, assigned: Vec<String> },
    /// A variable is set.
    Assign(String),
    /// A file is written to or read from.
    Redirect { writes: bool, target: Word },
    /// A condition in which arithmetic may run what texts hold.
    Test,
    /// What cannot be judged, and why.
    Odd(&'static str),
}

/// What a script does.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
    /// Functions that it defines.
    pub(crate) functions: HashSet<String>,
    /// A function that calls itself.
    pub(crate) recursive: bool,
}

thread_local! {
    static PARSER: RefCell<Option<Parser>> = RefCell::new(parser());
}

fn parser() -> Option<Parser> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_bash::LANGUAGE.into()).ok()?;
    Some(parser)
}

/// Takes a script apart; `Err` says why it cannot be done.
pub(crate) fn steps(source: &str) -> Result<Script, &'static str> {
    if source.len() > MAX_SCRIPT {
        return Err("it is too long to be judged");
    }
    // What shells and the grammar may see in different ways.
    let odd = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t')) || (c.is_whitespace() && !c.is_ascii())
    };
    if source.contains(odd) {
        return Err("it holds characters that are not what they seem");
    }
    // To a shell, characters beyond ASCII are letters like any other, but for names. The grammar's
    // scanner is not up to all of them, so it sees as many of a plain one.
    let plain: Vec<u8> =
        source.bytes().map(|byte| if byte.is_ascii() { byte } else { b'%' }).collect();
    let tree = PARSER.with_borrow_mut(|parser| parser.as_mut()?.parse(&plain, None));
    let tree = tree.ok_or("it cannot be parsed")?;
    let root = tree.root_node();
    if root.has_error() {
        return Err("it cannot be parsed");
    }
    let mut walker = Walker { source, script: Script::default(), inside: Vec::new() };
    walker.node(root, 0)?;
    Ok(walker.script)
}

struct Walker<'a> {
    source: &'a str,
    script: Script,
    /// The functions that are being defined around the place.
    inside: Vec<String>,
}

impl Walker<'_> {
    fn push(&mut self, what: What, node: Node<'_>) -> Result<(), &'static str> {
        self.script.steps.push(Step { what, range: node.byte_range() });
        if self.script.steps.len() > MAX_PARTS { Err("it has too many parts") } else { Ok(()) }
    }

    fn node(&mut self, node: Node<'_>, depth: usize) -> Result<(), &'static str> {
        if depth > MAX_DEPTH {
            return Err("it is nested too deep");
        }
        match node.kind() {
            "command" => self.command(node)?,
            "declaration_command" => self.declaration(node)?,
            "unset_command" => {
                let text = of(node, self.source);
                let plain = text
                    .split_whitespace()
                    .skip(1)
                    .all(|word| !word.starts_with('-') || word == "-v");
                if !plain || text.contains(['$', '`', '\'', '"', '[']) {
                    self.push(What::Odd("it unsets more than plain variables"), node)?;
                }
            }
            // Those in front of a command are told with it.
            "variable_assignment"
                if node.parent().is_none_or(|parent| parent.kind() != "command") =>
            {
                let name = assigned(node, self.source);
                self.push(What::Assign(name), node)?;
            }
            "for_statement" | "select_statement" => {
                if let Some(variable) = node.child_by_field_name("variable") {
                    let name = of(variable, self.source).to_owned();
                    self.push(What::Assign(name), variable)?;
                }
            }
            "function_definition" => return self.function(node, depth),
            "file_redirect" => self.redirect(node)?,
            "herestring_redirect" | "heredoc_redirect" => {}
            "test_command" => {
                let text = of(node, self.source);
                if evaluates(text) && is_suspicious(text) {
                    self.push(What::Test, node)?;
                }
            }
            "expansion" => {
                let text = of(node, self.source);
                // `${x:=y}` sets, `${x@P}` runs what x holds, `${!x}` names another.
                if text.contains(":=")
                    || text.contains('=')
                    || text.contains('@')
                    || text.starts_with("${!")
                {
                    let harmless = text == "${@}" || text.contains("[@]");
                    if !harmless || text.contains('=') || text.starts_with("${!") {
                        self.push(
                            What::Odd("an expansion that does more than insert a value"),
                            node,
                        )?;
                    }
                }
            }
            "ERROR" => return Err("it cannot be parsed"),
            _ => {}
        }
        if node.is_missing() {
            return Err("it cannot be parsed");
        }
        let mut cursor = node.walk();
        for child in node.children(&mut cursor) {
            self.node(child, depth + 1)?;
        }
        Ok(())
    }

    fn command(&mut self, node: Node<'_>) -> Result<(), &'static str> {
        let mut words = Vec::new();
        let mut names = Vec::new();
        let mut cursor = node.walk();
        for child in node.children(&mut cursor) {
            match child.kind() {
                "variable_assignment" => names.push(assigned(child, self.source)),
                "file_redirect" | "herestring_redirect" | "heredoc_redirect" | "subshell" => {}
                _ => words.push(words::read(child, self.source)),
            }
        }
        if let Some(first) = words.first()
            && self.inside.contains(&first.text)
        {
            self.script.recursive = true;
        }
        self.push(What::Command { words, assigned: names }, node)
    }

    fn declaration(&mut self, node: Node<'_>) -> Result<(), &'static str> {
        let mut cursor = node.walk();
        for child in node.children(&mut cursor) {
            match child.kind() {
                // Its children are visited as assignments.
                "variable_assignment"
                | "variable_name"
                | "declare"
                | "typeset"
                | "export"
                | "readonly"
                | "local" => {}
                _ => {
                    let word = words::read(child, self.source);
                    let harmless =
                        ["-x", "-r", "-g", "-a", "-A", "-p"].contains(&word.text.as_str());
                    if !(word.literal && harmless) {
                        return self.push(
                            What::Odd("a declaration that does more than set a value"),
                            node,
                        );
                    }
                }
            }
        }
        Ok(())
    }

    fn function(&mut self, node: Node<'_>, depth: usize) -> Result<(), &'static str> {
        let name = node.child_by_field_name("name").map(|name| of(name, self.source).to_owned());
        let name = name.unwrap_or_default();
        self.script.functions.insert(name.clone());
        self.inside.push(name);
        let mut cursor = node.walk();
        for child in node.children(&mut cursor) {
            if child.kind() != "word" {
                self.node(child, depth + 1)?;
            }
        }
        self.inside.pop();
        Ok(())
    }

    fn redirect(&mut self, node: Node<'_>) -> Result<(), &'static str> {
        let Some(target) = node.child_by_field_name("destination") else {
            // `>&-` closes.
            return Ok(());
        };
        let mut cursor = node.walk();
        let operator = node
            .children(&mut cursor)
            .find(|child| !child.is_named())
            .map_or("", |child| of(child, self.source));
        let target = words::read(target, self.source);
        let is_number =
            target.literal && target.text.trim_end_matches('-').chars().all(|c| c.is_ascii_digit());
        if operator.ends_with('&') && is_number {
            return Ok(());
        }
        let writes = !matches!(operator, "<" | "<&");
        self.push(What::Redirect { writes, target }, node)
    }
}

/// Whether a condition does arithmetic on its texts.
fn evaluates(text: &str) -> bool {
    let operators = ["((", " -eq ", " -ne ", " -lt ", " -le ", " -gt ", " -ge ", " -v "];
    operators.iter().any(|operator| text.contains(operator))
}

/// Whether arithmetic on it may run a command: `a[$(x)]` is evaluated.
pub(crate) fn is_suspicious(text: &str) -> bool {
    text.contains("$(") || text.contains('`')
}

fn assigned(node: Node<'_>, source: &str) -> String {
    let name = node.child_by_field_name("name").map_or("", |name| of(name, source));
    // An index is arithmetic.
    if is_suspicious(name) {
        "?".to_owned()
    } else {
        name.split('[').next().unwrap_or(name).to_owned()
    }
}
