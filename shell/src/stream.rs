//! The little languages of `sed` and `awk`: whether a program in them only prints.

/// Why a `sed` script does more than print; `None` if it does not. What is not understood is
/// reported as well.
pub(crate) fn sed(script: &str) -> Option<String> {
    let mut sed = Sed { rest: script };
    loop {
        sed.skip(|c| c.is_whitespace() || c == ';' || c == '}');
        if sed.rest.is_empty() {
            return None;
        }
        if let Err(why) = sed.command() {
            return Some(why);
        }
    }
}

struct Sed<'a> {
    rest: &'a str,
}

impl Sed<'_> {
    fn skip(&mut self, what: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(what);
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn command(&mut self) -> Result<(), String> {
        let odd = || "its script is not understood".to_owned();
        self.address()?;
        self.skip(char::is_whitespace);
        if self.rest.starts_with(',') {
            self.next();
            self.skip(char::is_whitespace);
            self.skip(|c| c == '+' || c == '~');
            self.address()?;
        }
        self.skip(|c| c.is_whitespace() || c == '!');
        match self.next().ok_or_else(odd)? {
            '{' => Ok(()),
            '=' | 'd' | 'D' | 'g' | 'G' | 'h' | 'H' | 'l' | 'n' | 'N' | 'p' | 'P' | 'x' | 'z'
            | 'F' => {
                self.skip(|c| c == ' ' || c.is_ascii_digit());
                self.end()
            }
            'q' | 'Q' | 'L' => {
                self.skip(|c| c == ' ' || c.is_ascii_digit());
                self.end()
            }
            // Labels, texts, comments and files to read go on to the end of the line.
            ':' | 'b' | 't' | 'T' => {
                self.skip(|c| !matches!(c, '\n' | ';' | '}'));
                Ok(())
            }
            'a' | 'i' | 'c' | '#' | 'r' | 'R' => {
                let mut before = ' ';
                while let Some(c) = self.next() {
                    if c == '\n' && before != '\\' {
                        break;
                    }
                    before = c;
                }
                Ok(())
            }
            's' => {
                let end = self.next().filter(|c| *c != '\\' && *c != '\n').ok_or_else(odd)?;
                self.until(end)?;
                self.until(end)?;
                let flags: String =
                    self.rest.chars().take_while(|c| !matches!(c, '\n' | ';' | '}')).collect();
                if flags.contains(['e', 'w']) {
                    return Err("its substitution runs a program or writes a file".to_owned());
                }
                if flags.contains(|c: char| !(c.is_ascii_digit() || "gpiImM \t#".contains(c))) {
                    return Err(odd());
                }
                self.rest = &self.rest[flags.len()..];
                Ok(())
            }
            'y' => {
                let end = self.next().ok_or_else(odd)?;
                self.until(end)?;
                self.until(end)?;
                self.end()
            }
            'w' | 'W' => Err("its script writes a file".to_owned()),
            'e' => Err("its script runs a program".to_owned()),
            _ => Err(odd()),
        }
    }

    fn end(&mut self) -> Result<(), String> {
        self.skip(|c| c == ' ' || c == '\t');
        match self.rest.chars().next() {
            None | Some('\n' | ';' | '}' | '#') => Ok(()),
            Some(_) => Err("its script is not understood".to_owned()),
        }
    }

    fn address(&mut self) -> Result<(), String> {
        match self.rest.chars().next() {
            Some('0'..='9' | '$') => {
                self.skip(|c| c.is_ascii_digit() || c == '~' || c == '$');
            }
            Some('/') => {
                self.next();
                self.until('/')?;
                self.skip(|c| c == 'I' || c == 'M');
            }
            Some('\\') => {
                self.next();
                let end = self.next().unwrap_or('/');
                self.until(end)?;
                self.skip(|c| c == 'I' || c == 'M');
            }
            _ => {}
        }
        Ok(())
    }

    /// Up to a delimiter that is neither escaped nor in brackets. Where sed would see the end at
    /// another place (brackets are no matter in a replacement), what follows is not understood.
    fn until(&mut self, end: char) -> Result<(), String> {
        while let Some(c) = self.next() {
            if c == '\\' {
                self.next();
            } else if c == end {
                return Ok(());
            } else if c == '[' && self.rest.contains(']') && end != ']' {
                // The delimiter in a set: which is meant differs, so it is not judged.
                let inside = self.rest.split(']').next().unwrap_or("");
                if inside.contains(end) {
                    return Err("its script is not understood".to_owned());
                }
            }
        }
        Err("its script is not understood".to_owned())
    }
}

/// Why an `awk` program does more than print; `None` if it does not.
pub(crate) fn awk(program: &str) -> Option<String> {
    for word in ["system", "getline", "@", "close", "fflush", "popen", "extension", "ENVIRON["] {
        if program.contains(word) && word != "ENVIRON[" {
            return Some(format!("its program uses {word}"));
        }
    }
    if program.replace("||", "").contains('|') {
        return Some("its program uses a pipe".to_owned());
    }
    // Outside of braces it compares; inside it may as well write.
    let mut depth = 0;
    let writes = program.chars().any(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        c == '>' && depth != 0
    });
    if writes || program.contains(">>") {
        return Some("its program writes a file".to_owned());
    }
    None
}
