//! Words of a command, as the shell sees them: quotes taken off, and what is left open said.

use serde::Serialize;
use tree_sitter::Node;

/// A word of a command.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Word {
    /// Its text without quotes; where it holds expansions, these stand as in the script.
    pub text: String,
    /// Whether that is all of it: no expansion changes it when it runs.
    pub literal: bool,
    /// Whether it could become an option, or several words, when it runs.
    #[serde(skip)]
    pub opaque: bool,
}

impl Word {
    /// A word that is what it says.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        Self { text: text.to_owned(), literal: true, opaque: false }
    }

    /// A word of which nothing is known.
    pub(crate) fn unknown(text: &str) -> Self {
        Self { text: text.to_owned(), literal: false, opaque: true }
    }
}

/// Reads the word that a node stands for.
pub(crate) fn read(node: Node<'_>, source: &str) -> Word {
    let mut reader =
        Reader { source, text: String::new(), literal: true, splits: false, first: None };
    reader.node(node, false);
    let dynamic_start = reader.first == Some(false);
    let empty_then_dynamic = reader.text.is_empty() && !reader.literal;
    Word {
        opaque: reader.splits || dynamic_start || empty_then_dynamic,
        text: reader.text,
        literal: reader.literal,
    }
}

struct Reader<'a> {
    source: &'a str,
    text: String,
    literal: bool,
    /// Whether an expansion may be split into several words.
    splits: bool,
    /// Whether the first character is known.
    first: Option<bool>,
}

impl Reader<'_> {
    fn push(&mut self, text: &str) {
        if !text.is_empty() {
            self.first.get_or_insert(true);
            self.text.push_str(text);
        }
    }

    fn push_dynamic(&mut self, node: Node<'_>, quoted: bool) {
        self.first.get_or_insert(false);
        self.literal = false;
        self.splits |= !quoted;
        self.text.push_str(of(node, self.source));
    }

    fn node(&mut self, node: Node<'_>, quoted: bool) {
        match node.kind() {
            "word"
            | "number"
            | "variable_name"
            | "special_variable_name"
            | "test_operator"
            | "regex"
            | "extglob_pattern" => {
                let text = of(node, self.source);
                self.unquoted(text);
                // Numbers may hold expansions (`10#$x`).
                if node.named_child_count() > 0 {
                    self.literal = false;
                    self.splits = true;
                }
            }
            "raw_string" => {
                let text = of(node, self.source);
                self.first.get_or_insert(true);
                self.push(
                    text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')).unwrap_or(text),
                );
            }
            "ansi_c_string" => match ansi_c(of(node, self.source)) {
                Some(text) => self.push(&text),
                None => self.push_dynamic(node, true),
            },
            "string" | "translated_string" => self.string(node),
            "concatenation" | "command_name" => {
                let mut end = node.start_byte();
                let mut cursor = node.walk();
                for child in node.children(&mut cursor) {
                    // What the grammar has no node for (a lone `$`, say).
                    let between = self.source.get(end..child.start_byte()).unwrap_or("").to_owned();
                    self.unquoted(&between);
                    end = child.end_byte();
                    self.node(child, quoted);
                }
                let rest = self.source.get(end..node.end_byte()).unwrap_or("").to_owned();
                self.unquoted(&rest);
            }
            "{" | "}" | "[" | "]" | "," | ".." | "$" | "`" => {
                let text = of(node, self.source);
                self.unquoted(text);
            }
            _ => self.push_dynamic(node, quoted),
        }
    }

    /// Text outside of quotes: backslashes go, patterns and braces stay open.
    fn unquoted(&mut self, text: &str) {
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            match c {
                '\\' => match characters.next() {
                    // A line that goes on.
                    Some('\n') | None => {}
                    Some(escaped) => self.push(&escaped.to_string()),
                },
                '*' | '?' | '[' | '{' | '}' | '(' | ')' => {
                    self.literal = false;
                    if matches!(c, '{' | '(') {
                        self.splits = true;
                    }
                    self.first.get_or_insert(false);
                    self.text.push(c);
                }
                '~' if self.text.is_empty() => {
                    // The home directory: a path, so no option.
                    self.literal = false;
                    self.push("~");
                }
                c => self.push(&c.to_string()),
            }
        }
    }

    fn string(&mut self, node: Node<'_>) {
        let mut cursor = node.walk();
        let mut end = node.start_byte();
        for child in node.children(&mut cursor) {
            let between = self.source.get(end..child.start_byte()).unwrap_or("");
            self.quoted(between);
            end = child.end_byte();
            match child.kind() {
                "\"" => {
                    // An empty start is a start: `""-rf` begins with a dash all the same.
                }
                "$" => self.push("$"),
                "string_content" => self.quoted(of(child, self.source)),
                _ => self.push_dynamic(child, true),
            }
        }
    }

    /// Text inside double quotes.
    fn quoted(&mut self, text: &str) {
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            match (c, characters.peek().copied()) {
                ('\\', Some('\n')) => {
                    characters.next();
                }
                ('\\', Some(next @ ('$' | '`' | '"' | '\\'))) => {
                    characters.next();
                    self.push(&next.to_string());
                }
                (c, _) => self.push(&c.to_string()),
            }
        }
    }
}

pub(crate) fn of<'a>(node: Node<'_>, source: &'a str) -> &'a str {
    source.get(node.byte_range()).unwrap_or("")
}

/// The text of `$'…'` (bash(1), QUOTING); `None` if it is not text.
fn ansi_c(text: &str) -> Option<String> {
    let inner = text.strip_prefix("$'")?.strip_suffix('\'')?;
    let mut bytes = Vec::new();
    let mut characters = inner.chars().peekable();
    let number =
        |characters: &mut std::iter::Peekable<std::str::Chars<'_>>, radix, most, start: &str| {
            let mut digits = start.to_owned();
            while digits.len() < most && characters.peek().is_some_and(|c| c.is_digit(radix)) {
                digits.extend(characters.next());
            }
            u32::from_str_radix(&digits, radix).ok()
        };
    while let Some(c) = characters.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escaped = characters.next()?;
        let byte = match escaped {
            'a' => 7,
            'b' => 8,
            'e' | 'E' => 27,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            '\\' | '\'' | '"' | '?' => u32::from(escaped),
            'x' => number(&mut characters, 16, 2, "")?,
            '0'..='7' => number(&mut characters, 8, 3, &escaped.to_string())?,
            'u' | 'U' => {
                let most = if escaped == 'u' { 4 } else { 8 };
                let c = char::from_u32(number(&mut characters, 16, most, "")?)?;
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        };
        // The text ends at the first zero.
        bytes.push(u8::try_from(byte).ok().filter(|byte| *byte != 0)?);
    }
    String::from_utf8(bytes).ok()
}
