//! Reading Codex's rule files: the calls `prefix_rule(…)` in them, with literal arguments.
//!
//! The files are programs in a small Python; what people have in them are such calls, one after the
//! other. Anything else is named, not guessed at.

use std::fmt::Write as _;

/// What cannot be taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct ImportError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub why: String,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Text(String),
    List(Vec<Value>),
    Name(String),
}

/// Translates a file of rules; gives the text of one of ours, and what was left out of it.
///
/// # Errors
/// When the text cannot be read.
pub fn import_codex(text: &str) -> Result<(String, Vec<String>), ImportError> {
    let mut reader = Reader { text, place: 0 };
    let mut out = String::new();
    let mut left = Vec::new();
    while let Some(name) = reader.call()? {
        let line = reader.line();
        let arguments = reader.arguments()?;
        if name != "prefix_rule" {
            left.push(format!("line {line}: {name}(…) has no counterpart"));
            continue;
        }
        rule(&arguments, &mut out).map_err(|why| ImportError { line, why })?;
    }
    Ok((out, left))
}

fn rule(arguments: &[(String, Value)], out: &mut String) -> Result<(), String> {
    let find = |name: &str| arguments.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let Some(Value::List(pattern)) = find("pattern") else {
        return Err("prefix_rule has no `pattern` that is a list".to_owned());
    };
    let prefix: Vec<String> = pattern.iter().map(toml).collect::<Result<_, _>>()?;
    let decision = match find("decision") {
        None => "allow",
        Some(Value::Text(text)) => match text.as_str() {
            "allow" => "allow",
            "prompt" => "ask",
            "forbidden" => "deny",
            other => return Err(format!("the decision `{other}` is not known")),
        },
        Some(_) => return Err("`decision` is not a text".to_owned()),
    };
    out.push_str("[[rule]]\n");
    let _ = writeln!(out, "prefix = [{}]\ndecision = \"{decision}\"", prefix.join(", "));
    if let Some(reason @ Value::Text(_)) = find("justification") {
        let _ = writeln!(out, "reason = {}", toml(reason)?);
    }
    for (theirs, ours) in [("match", "match"), ("not_match", "not_match")] {
        if let Some(Value::List(examples)) = find(theirs) {
            let texts: Vec<String> = examples.iter().map(example).collect::<Result<_, _>>()?;
            let _ = writeln!(out, "{ours} = [{}]", texts.join(", "));
        }
    }
    out.push('\n');
    Ok(())
}

fn toml(value: &Value) -> Result<String, String> {
    match value {
        Value::Text(text) => Ok(toml::Value::String(text.clone()).to_string()),
        Value::List(values) => {
            let texts: Vec<String> = values.iter().map(toml).collect::<Result<_, _>>()?;
            Ok(format!("[{}]", texts.join(", ")))
        }
        Value::Name(name) => Err(format!("`{name}` is not a literal")),
    }
}

/// An example is a command line, or a list of its words.
fn example(value: &Value) -> Result<String, String> {
    let Value::List(words) = value else { return toml(value) };
    let quoted: Vec<String> = words
        .iter()
        .map(|word| match word {
            Value::Text(text) => Ok(format!("'{}'", text.replace('\'', "'\\''"))),
            other => Err(format!("an example holds {other:?}")),
        })
        .collect::<Result<_, _>>()?;
    toml(&Value::Text(quoted.join(" ")))
}

struct Reader<'a> {
    text: &'a str,
    place: usize,
}

/// How deep lists may be.
const MAX_DEPTH: usize = 8;

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.place..).unwrap_or("")
    }

    fn line(&self) -> usize {
        self.text.get(..self.place).unwrap_or("").matches('\n').count() + 1
    }

    fn error<T>(&self, why: &str) -> Result<T, ImportError> {
        Err(ImportError { line: self.line(), why: why.to_owned() })
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.place += c.len_utf8();
        Some(c)
    }

    /// Blanks and comments.
    fn skip(&mut self) {
        while let Some(c) = self.peek() {
            if c == '#' {
                while self.peek().is_some_and(|c| c != '\n') {
                    self.next();
                }
            } else if c.is_whitespace() || c == ';' {
                self.next();
            } else {
                break;
            }
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek().filter(|c| c.is_alphanumeric() || *c == '_') {
            name.push(c);
            self.next();
        }
        name
    }

    /// The name of the next call, up to its bracket.
    fn call(&mut self) -> Result<Option<String>, ImportError> {
        self.skip();
        if self.peek().is_none() {
            return Ok(None);
        }
        let name = self.name();
        self.skip();
        if name.is_empty() || self.next() != Some('(') {
            return self.error("only calls such as prefix_rule(…) are understood here");
        }
        Ok(Some(name))
    }

    /// `name = value` up to the closing bracket.
    fn arguments(&mut self) -> Result<Vec<(String, Value)>, ImportError> {
        let mut arguments = Vec::new();
        loop {
            self.skip();
            match self.peek() {
                Some(')') => {
                    self.next();
                    return Ok(arguments);
                }
                Some(',') => {
                    self.next();
                }
                None => return self.error("a call is not closed"),
                Some(_) => {
                    let name = self.name();
                    self.skip();
                    if name.is_empty() || self.next() != Some('=') {
                        return self.error("arguments have to be given as `name = value`");
                    }
                    arguments.push((name, self.value(0)?));
                }
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, ImportError> {
        self.skip();
        match self.peek() {
            Some('[' | '(') if depth < MAX_DEPTH => {
                self.next();
                let mut values = Vec::new();
                loop {
                    self.skip();
                    match self.peek() {
                        Some(']' | ')') => {
                            self.next();
                            return Ok(Value::List(values));
                        }
                        Some(',') => {
                            self.next();
                        }
                        None => return self.error("a list is not closed"),
                        Some(_) => values.push(self.value(depth + 1)?),
                    }
                }
            }
            Some('"' | '\'') => Ok(Value::Text(self.string()?)),
            Some(c) if c.is_alphanumeric() || c == '_' => Ok(Value::Name(self.name())),
            _ => self.error("a value is not understood"),
        }
    }

    fn string(&mut self) -> Result<String, ImportError> {
        let quote = self.next().unwrap_or('"');
        let mut text = String::new();
        loop {
            match self.next() {
                None | Some('\n') => return self.error("a text is not closed"),
                Some(c) if c == quote => return Ok(text),
                Some('\\') => match self.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some(c @ ('\\' | '"' | '\'')) => text.push(c),
                    _ => return self.error("an escape is not understood"),
                },
                Some(c) => text.push(c),
            }
        }
    }
}
