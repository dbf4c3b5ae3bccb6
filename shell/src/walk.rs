//! From a script to its simple commands.

use crate::{
    MAX_SCRIPT, plain,
    unread::{MAX_NESTING, MAX_PARTS, Unread},
    words::{self, Word, of},
};
use std::{
    cell::RefCell,
    collections::HashSet,
    fmt,
    ops::{ControlFlow, Range},
    time::Instant,
};
use tree_sitter::{Node, ParseOptions, ParseState, Parser, Tree, TreeCursor};

/// Something that a script does.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) what: What,
    /// Where it is in the script.
    pub(crate) range: Range<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// A simple command: its words, and the variables that are set for it.
    Command { words: Vec<Word>, assigned: Vec<String> },
    /// A variable is set.
    Assign(String),
    /// A variable is set for programs too.
    Export(String),
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
    /// It does arithmetic on variables.
    pub(crate) arithmetic: bool,
    /// It uses what `sh` need not know: there it may mean something else.
    pub(crate) beyond_sh: bool,
    /// A function that calls itself.
    pub(crate) recursive: bool,
    seen: Seen,
}

/// What a script does already, each with whether a command substitution begins with it. The same
/// command again is judged the same, so it is kept once: a script may repeat a line as often as it
/// likes.
#[derive(Default)]
struct Seen(HashSet<(What, bool)>);

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seen")
    }
}

impl Script {
    /// Adds what the script does at a place of its text, unless it does so already.
    pub(crate) fn add(
        &mut self,
        what: What,
        range: Range<usize>,
        source: &str,
    ) -> Result<(), Unread> {
        let step = Step { what, range };
        let new = self.seen.0.insert((step.what.clone(), step.is_substituted(source)));
        if new {
            self.steps.push(step);
        }
        if self.steps.len() > MAX_PARTS { Err(Unread::TooManyParts) } else { Ok(()) }
    }
}

impl Step {
    /// Whether a command substitution begins with it.
    pub(crate) fn is_substituted(&self, source: &str) -> bool {
        let before = source.get(..self.range.start).unwrap_or("");
        before.ends_with("$(") || before.ends_with('`')
    }
}

thread_local! {
    static PARSER: RefCell<Option<Parser>> = RefCell::new(parser());
}

fn parser() -> Option<Parser> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_bash::LANGUAGE.into()).ok()?;
    Some(parser)
}

/// Takes a script apart, with a grammar that may work up to `deadline`.
pub(crate) fn steps(source: &str, deadline: Instant) -> Result<Script, Unread> {
    if source.len() > MAX_SCRIPT {
        return Err(Unread::TooLong);
    }
    match plain::steps(source)? {
        Some(script) => Ok(script),
        None => parse(source, deadline),
    }
}

/// Takes a script apart with the grammar.
pub(crate) fn parse(source: &str, deadline: Instant) -> Result<Script, Unread> {
    // What shells and the grammar may see in different ways.
    if source.contains("\\\n#") {
        return Err(Unread::Comment);
    }
    let odd = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t')) || (c.is_whitespace() && !c.is_ascii())
    };
    if source.contains(odd) {
        return Err(Unread::Characters);
    }
    // To a shell, characters beyond ASCII are letters like any other, but for names. The grammar's
    // scanner is not up to all of them, so it sees as many of a plain one.
    let plain: Vec<u8> =
        source.bytes().map(|byte| if byte.is_ascii() { byte } else { b'%' }).collect();
    let tree = PARSER.with_borrow_mut(|parser| grow(parser.as_mut()?, &plain, deadline));
    let tree = tree.ok_or(Unread::TooSlow)?;
    let root = tree.root_node();
    if root.has_error() {
        return Err(Unread::Syntax);
    }
    let mut walker = Walker { source, script: Script::default(), inside: Vec::new() };
    walker.node(&mut root.walk(), "", 0)?;
    Ok(walker.script)
}

/// The tree of a text, if it is grown in time.
fn grow(parser: &mut Parser, text: &[u8], deadline: Instant) -> Option<Tree> {
    let mut go_on = |_: &ParseState| match Instant::now() < deadline {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    };
    let options = ParseOptions::new().progress_callback(&mut go_on);
    let mut read = |at: usize, _| text.get(at..).unwrap_or_default();
    let tree = parser.parse_with_options(&mut read, None, Some(options));
    // One that was stopped would go on with it at the next text.
    parser.reset();
    tree
}

struct Walker<'a> {
    source: &'a str,
    script: Script,
    /// The functions that are being defined around the place.
    inside: Vec<String>,
}

impl Walker<'_> {
    fn push(&mut self, what: What, node: Node<'_>) -> Result<(), Unread> {
        self.script.add(what, node.byte_range(), self.source)
    }

    /// What the node at the cursor does, and those below it.
    fn node(
        &mut self,
        cursor: &mut TreeCursor<'_>,
        parent: &'static str,
        depth: usize,
    ) -> Result<(), Unread> {
        let node = cursor.node();
        if depth > MAX_NESTING {
            return Err(Unread::TooDeep);
        }
        match node.kind() {
            "command" => self.command(node)?,
            "declaration_command" => self.declaration(node)?,
            "unset_command" => {
                let text = of(node, self.source);
                let plain = |word: &str| {
                    (!word.starts_with('-') || word == "-v")
                        && !crate::table::is_dangerous_variable(word)
                };
                let plain = text.split_whitespace().skip(1).all(plain);
                if !plain || text.contains(['$', '`', '\'', '"', '[']) {
                    self.push(What::Odd("it unsets more than plain variables"), node)?;
                }
            }
            // Those in front of a command are told with it.
            "variable_assignment" if parent != "command" => {
                let name = assigned(node, self.source);
                let what = if parent == "declaration_command" {
                    What::Export(name)
                } else {
                    What::Assign(name)
                };
                self.push(what, node)?;
            }
            "for_statement" | "select_statement" => {
                if let Some(variable) = node.child_by_field_name("variable") {
                    let name = of(variable, self.source).to_owned();
                    self.push(What::Assign(name), variable)?;
                }
            }
            "function_definition" => return self.function(cursor, depth),
            "file_redirect" => self.redirect(node)?,
            // Words behind it are arguments of the command.
            "heredoc_redirect" if node.child_by_field_name("argument").is_some() => {
                self.push(What::Odd("words behind a redirection"), node)?;
            }
            "herestring_redirect" | "process_substitution" | "array" => {
                self.script.beyond_sh = true;
            }
            "test_command" => {
                let text = of(node, self.source);
                self.script.beyond_sh |= text.starts_with("[[") || text.starts_with("((");
                self.script.arithmetic |= evaluates(text) && text.contains('$');
                if evaluates(text) && is_suspicious(text) {
                    self.push(What::Test, node)?;
                }
            }
            "expansion" => {
                let text = of(node, self.source);
                // Inside of double quotes these are no quotes, and not every shell agrees.
                if text.contains(['\'', '"', '`', '\\']) {
                    self.push(What::Odd("an expansion that shells read in different ways"), node)?;
                }
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
            "command_substitution" => {
                let text = of(node, self.source);
                if text.starts_with('`') && text.contains('\\') {
                    self.push(What::Odd("a substitution inside of another"), node)?;
                }
            }
            "ansi_c_string" if of(node, self.source).contains("\\'") => {
                self.push(What::Odd("a quote that shells read in different ways"), node)?;
            }
            "arithmetic_expansion" => {
                let text = of(node, self.source);
                self.script.arithmetic |= text.contains(|c: char| c.is_ascii_alphabetic());
                if text.contains("$(") && text[3..].contains("$(") || text.contains('`') {
                    self.push(What::Odd("arithmetic on what a command prints"), node)?;
                }
            }
            "ERROR" => return Err(Unread::Syntax),
            _ => {}
        }
        if node.is_missing() {
            return Err(Unread::Syntax);
        }
        self.children(cursor, depth, |_| true)
    }

    fn children(
        &mut self,
        cursor: &mut TreeCursor<'_>,
        depth: usize,
        wanted: impl Fn(Node<'_>) -> bool,
    ) -> Result<(), Unread> {
        let parent = cursor.node().kind();
        if !cursor.goto_first_child() {
            return Ok(());
        }
        loop {
            if wanted(cursor.node()) {
                self.node(cursor, parent, depth + 1)?;
            }
            if !cursor.goto_next_sibling() {
                break;
            }
        }
        cursor.goto_parent();
        Ok(())
    }

    fn command(&mut self, node: Node<'_>) -> Result<(), Unread> {
        let mut words = Vec::new();
        let mut names = Vec::new();
        let mut cursor = node.walk();
        let mut end = node.start_byte();
        for child in node.children(&mut cursor) {
            // A command ends with its line. The grammar may miss that behind a number in place of a
            // program (`a | b | 2`), and take the next command for its words.
            let between = self.source.get(end..child.start_byte()).unwrap_or("");
            if between.replace("\\\n", "").contains('\n') {
                return Err(Unread::Syntax);
            }
            end = child.end_byte();
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

    fn declaration(&mut self, node: Node<'_>) -> Result<(), Unread> {
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

    fn function(&mut self, cursor: &mut TreeCursor<'_>, depth: usize) -> Result<(), Unread> {
        let node = cursor.node();
        let name = node.child_by_field_name("name").map(|name| of(name, self.source).to_owned());
        let name = name.unwrap_or_default();
        self.script.functions.insert(name.clone());
        self.inside.push(name);
        self.children(cursor, depth, |child| child.kind() != "word")?;
        self.inside.pop();
        Ok(())
    }

    fn redirect(&mut self, node: Node<'_>) -> Result<(), Unread> {
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
        let mut places = node.walk();
        if node.children_by_field_name("destination", &mut places).count() > 1 {
            // They are arguments of the command.
            self.push(What::Odd("words behind a redirection"), node)?;
        }
        self.script.beyond_sh |= matches!(operator, "&>" | "&>>");
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
