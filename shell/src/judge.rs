//! From the steps of a script to what it does.

use crate::{
    Class, Context, Judgement, Kind, Part, git, options, programs,
    resolve::{Found, Resolver},
    table::{
        self, INTERPRETERS, OTHER_SHELLS, Rule, SHELLS, is_dangerous_variable, is_harmless_variable,
    },
    unread::{MAX_COMMANDS, PATIENCE, Unread},
    walk::{self, What},
    words::Word,
    wrappers::{self, Floor},
};
use std::{collections::HashSet, path::PathBuf, time::Instant};

/// What one command does.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) class: Class,
    pub(crate) why: String,
    /// Whether it may take work away for good.
    pub(crate) destroys: bool,
    /// Whether its words may be a command that it runs, in a way that is not understood.
    pub(crate) hides: bool,
}

impl Verdict {
    pub(crate) fn of(class: Class, why: String) -> Self {
        Self { class, why, destroys: false, hides: false }
    }

    pub(crate) fn looks(why: &str) -> Self {
        Self::of(Class::ReadOnly, why.to_owned())
    }

    pub(crate) fn writes(why: &str) -> Self {
        Self::of(Class::Write, why.to_owned())
    }

    pub(crate) fn unknown(why: &str) -> Self {
        Self::of(Class::Unknown, why.to_owned())
    }

    pub(crate) fn dangerous(why: &str) -> Self {
        Self::of(Class::Dangerous, why.to_owned())
    }

    /// The same of a program whose words may be a command that it runs.
    pub(crate) fn hiding(self) -> Self {
        Self { hides: true, ..self }
    }

    pub(crate) fn destroys(why: &str) -> Self {
        Self { destroys: true, ..Self::dangerous(why) }
    }
}

/// Judges one command line.
pub(crate) struct Judge<'a> {
    resolver: Resolver<'a>,
    parts: Vec<Part>,
    unread: Option<Unread>,
    functions: HashSet<String>,
    /// The shell may know no more than POSIX says.
    posix: bool,
    depth: usize,
    /// Until when the grammar may work, on all scripts of the line together.
    deadline: Instant,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(context: &'a Context<'a>) -> Self {
        Self {
            resolver: Resolver::new(context),
            parts: Vec::new(),
            unread: None,
            functions: HashSet::new(),
            posix: false,
            depth: 0,
            deadline: Instant::now() + PATIENCE,
        }
    }

    pub(crate) fn script(mut self, script: &str) -> Judgement {
        self.steps(script);
        self.finish()
    }

    pub(crate) fn argv(mut self, words: Vec<Word>) -> Judgement {
        let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        self.command(words, &[], &text);
        self.finish()
    }

    fn finish(self) -> Judgement {
        let worst = self.parts.iter().map(|part| part.class).max().unwrap_or_default();
        let class = if self.unread.is_none() { worst } else { worst.max(Class::Unknown) };
        Judgement { class, parts: self.parts, unread: self.unread }
    }

    /// Judges the commands of a script, and adds them to the parts.
    fn steps(&mut self, source: &str) {
        self.depth += 1;
        if self.depth > MAX_COMMANDS {
            self.cannot(source, Unread::CommandsTooDeep);
            self.depth -= 1;
            return;
        }
        match walk::steps(source, self.deadline) {
            Ok(script) => {
                self.functions.extend(script.functions);
                // What a variable holds is evaluated as arithmetic: `a[$(x)]` runs x.
                let reads = |step: &walk::Step| match &step.what {
                    What::Command { words, .. } => {
                        words.first().is_some_and(|word| {
                            matches!(word.text.as_str(), "read" | "mapfile" | "readarray")
                        }) || step.is_substituted(source)
                    }
                    _ => false,
                };
                let planted = source.contains("[$(") || source.contains("[`");
                if script.arithmetic && (planted || script.steps.iter().any(reads)) {
                    let why = Verdict::unknown("arithmetic on what is read from elsewhere");
                    self.part(Kind::Odd, source, why);
                }
                if self.posix && script.beyond_sh {
                    let why = Verdict::unknown("it uses what `sh` may read in another way");
                    self.part(Kind::Odd, source, why);
                }
                if script.recursive {
                    let why = Verdict::dangerous("a function that calls itself may never end");
                    self.part(Kind::Odd, source, why);
                }
                for step in script.steps {
                    let text = source.get(step.range).unwrap_or("");
                    self.step(step.what, text);
                }
            }
            Err(why) => self.cannot(source, why),
        }
        self.depth -= 1;
    }

    fn cannot(&mut self, source: &str, why: Unread) {
        self.unread = self.unread.or(Some(why));
        self.part(Kind::Odd, source, Verdict::unknown(&why.to_string()));
    }

    /// Adds what is no command.
    fn part(&mut self, kind: Kind, text: &str, verdict: Verdict) {
        let Verdict { class, why, destroys, hides } = verdict;
        let text = text.to_owned();
        self.parts.push(Part {
            kind,
            words: Vec::new(),
            text,
            class,
            why,
            destroys,
            hides,
            program: None,
            elsewhere: false,
        });
    }

    fn step(&mut self, what: What, text: &str) {
        match what {
            What::Command { words, assigned } => self.command(words, &assigned, text),
            What::Export(name) if !is_harmless_variable(&name) => {
                let why = format!("{name} may change what programs do");
                self.part(Kind::Odd, text, Verdict::unknown(&why));
            }
            What::Export(_) => {}
            What::Assign(name) if is_dangerous_variable(&name) => {
                let why = format!("{name} changes which programs run, or how");
                self.part(Kind::Odd, text, Verdict::unknown(&why));
            }
            What::Assign(_) => {}
            What::Redirect { writes, target } => {
                if let Some(verdict) = redirect(writes, &target) {
                    self.part(Kind::Redirect, text, verdict);
                }
            }
            What::Test => {
                let why = "a condition whose arithmetic may run a command";
                self.part(Kind::Odd, text, Verdict::unknown(why));
            }
            What::Odd(why) => self.part(Kind::Odd, text, Verdict::unknown(why)),
        }
    }

    fn command(&mut self, words: Vec<Word>, assigned: &[String], text: &str) {
        let place = self.parts.len();
        let (mut verdict, program, mut elsewhere) = self.verdict(&words);
        let dangerous = assigned.iter().find(|name| !is_harmless_variable(name));
        // Which program runs is not known then.
        elsewhere |= dangerous.is_some();
        if let Some(name) = dangerous
            && verdict.class < Class::Unknown
        {
            let hides = verdict.hides;
            verdict = Verdict::unknown(&format!("{name} changes which programs run, or how"));
            verdict.hides = hides;
        }
        let Verdict { class, why, destroys, hides } = verdict;
        // Before what runs inside of it.
        let (kind, text) = (Kind::Command, text.to_owned());
        self.parts.insert(
            place,
            Part { kind, words, text, class, why, destroys, hides, program, elsewhere },
        );
    }

    /// Judges the words of a command inside another.
    pub(crate) fn words(&mut self, words: &[Word]) {
        self.depth += 1;
        let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        if self.depth > MAX_COMMANDS {
            self.cannot(&text, Unread::CommandsTooDeep);
        } else {
            self.command(words.to_vec(), &[], &text);
        }
        self.depth -= 1;
    }

    fn verdict(&mut self, words: &[Word]) -> (Verdict, Option<PathBuf>, bool) {
        let Some((name, arguments)) = words.split_first() else {
            return (Verdict::looks("it sets variables"), None, false);
        };
        if !name.literal || name.text.is_empty() {
            let why = "which program runs is not known before it runs";
            return (Verdict::unknown(why).hiding(), None, false);
        }
        if self.functions.contains(&name.text) {
            let why = "a function of the script, which is judged where it is defined";
            return (Verdict::looks(why).hiding(), None, false);
        }
        let program = match self.resolver.find(&name.text) {
            Found::Trusted(path) => Some(path),
            Found::Missing => None,
            Found::Elsewhere(path) => {
                let base = base_name(&name.text);
                let known = self.known(base, arguments);
                let why =
                    format!("{} is not a program of the system's: {}", name.text, path.display());
                let known = known.unwrap_or_else(|| Verdict::unknown(""));
                let (class, hides) = (known.class.max(Class::Unknown), known.hides);
                return (Verdict { hides, ..Verdict::of(class, why) }, Some(path), true);
            }
        };
        let base = base_name(&name.text).to_owned();
        // What a link of the system's leads to: `vi` may be anything.
        let verdict = self.known(&base, arguments);
        let unknown = || Verdict::unknown(&format!("{base} is not known"));
        (verdict.unwrap_or_else(unknown), program, false)
    }

    /// Judges a program by its name; `None` if it is not known.
    fn known(&mut self, name: &str, arguments: &[Word]) -> Option<Verdict> {
        if SHELLS.contains(&name) {
            return Some(self.shell(name, arguments));
        }
        if OTHER_SHELLS.contains(&name) {
            return Some(Verdict::unknown("a shell that is not understood").hiding());
        }
        let interpreter = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        if INTERPRETERS.contains(&name) || INTERPRETERS.contains(&interpreter) {
            return Some(interprets(arguments));
        }
        match name {
            "git" => return Some(git::judge(arguments)),
            "eval" => return Some(self.eval(arguments)),
            "env" => return Some(self.env(arguments)),
            "command"
                if arguments
                    .first()
                    .is_some_and(|word| matches!(word.text.as_str(), "-v" | "-V")) =>
            {
                return Some(Verdict::looks("it says where a program is"));
            }
            "trap" => return Some(self.trap(arguments)),
            "exec" if arguments.is_empty() => return Some(Verdict::looks("it redirects")),
            _ => {}
        }
        if let Some(wrapper) = wrappers::find(name) {
            return Some(self.wrapper(wrapper, arguments));
        }
        if let Some(verdict) = programs::judge(name, arguments, self) {
            return Some(verdict);
        }
        let lacks = programs::lacks_its_option(name, arguments);
        Some(match table::rule(name)? {
            Rule::Looks => Verdict::looks("it only looks"),
            Rule::Options(allowed) => match options::check(arguments, &allowed) {
                Ok(()) if !lacks => Verdict::looks("it only looks, with these options"),
                _ if lacks && table::otherwise(name).is_none() => Verdict::unknown(
                    "without an option that says otherwise it changes files, or runs a program",
                ),
                checked => match (table::otherwise(name), checked) {
                    (Some(Rule::Dangerous(why)), _) => Verdict::dangerous(why),
                    (Some(Rule::Writes(why)), _) => Verdict::writes(why),
                    (_, Err(why)) => Verdict::unknown(&why),
                    (_, Ok(())) => Verdict::unknown("it may do more than look"),
                },
            },
            Rule::Writes(why) => Verdict::writes(why),
            Rule::Dangerous(why) => Verdict::dangerous(why),
            Rule::Runs(why) => match arguments {
                [only] if matches!(only.text.as_str(), "--version" | "-V" | "-version") => {
                    Verdict::looks("it prints its version")
                }
                [only] if name == "go" && only.text == "version" => {
                    Verdict::looks("it prints its version")
                }
                _ => Verdict::unknown(why),
            },
        })
    }

    fn wrapper(&mut self, wrapper: &wrappers::Wrapper, arguments: &[Word]) -> Verdict {
        let mut inner = match wrapper.inner(arguments) {
            Ok(inner) => inner,
            Err(why) => {
                // Its own class, or what any of the words would be as a program.
                let dangerous = arguments.iter().any(|word| {
                    matches!(table::rule(base_name(&word.text)), Some(Rule::Dangerous(_)))
                        || word.text == "rm"
                });
                let verdict =
                    if dangerous { Verdict::dangerous(&why) } else { Verdict::unknown(&why) };
                return verdict.hiding();
            }
        };
        if inner.is_empty() {
            return match (wrapper.floor, wrapper.name) {
                (Floor::Nothing, "xargs") => Verdict::looks("xargs echoes"),
                (Floor::Nothing, _) => Verdict::looks("it runs nothing"),
                _ => Verdict::dangerous(
                    "a shell with other rights, or something else that is not known",
                ),
            };
        }
        if wrapper.name == "xargs" {
            inner.push(Word::unknown("(what it reads)"));
        }
        // A command line as one word.
        let joined = matches!(wrapper.name, "watch" | "parallel")
            || inner.len() == 1 && inner[0].text.contains(' ');
        if joined && inner.iter().all(|word| word.literal) {
            let script = inner.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
            self.steps(&script);
        } else {
            self.words(&inner);
        }
        let class = match wrapper.floor {
            Floor::Nothing => Class::ReadOnly,
            Floor::Writes => Class::Write,
            Floor::Unknown => Class::Unknown,
        };
        Verdict::of(class, format!("{} runs another program", wrapper.name))
    }

    fn env(&mut self, arguments: &[Word]) -> Verdict {
        let (inner, why) = wrappers::env(arguments);
        if !inner.is_empty() {
            self.words(&inner);
        }
        match why {
            Some(why) => {
                let dangerous = arguments.iter().any(|word| {
                    word.text.split_whitespace().any(|w| w == "rm" || w == "sh" || w == "bash")
                });
                let class = if dangerous { Class::Dangerous } else { Class::Unknown };
                Verdict::of(class, why).hiding()
            }
            None if inner.is_empty() => Verdict::looks("it prints the environment"),
            None => Verdict::looks("env runs another program"),
        }
    }

    fn eval(&mut self, arguments: &[Word]) -> Verdict {
        if arguments.iter().all(|word| word.literal) {
            let script =
                arguments.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
            self.steps(&script);
            return Verdict::looks("eval runs its arguments");
        }
        Verdict::dangerous("eval runs what is not known before").hiding()
    }

    /// What a trap runs is judged like what stands beside it.
    fn trap(&mut self, arguments: &[Word]) -> Verdict {
        match arguments.first() {
            None => Verdict::looks("it lists traps"),
            Some(word) if word.literal && matches!(word.text.as_str(), "" | "-" | "-l" | "-p") => {
                Verdict::looks("it resets or ignores signals of this shell")
            }
            Some(word) if word.literal && !word.text.starts_with('-') => {
                self.steps(&word.text);
                Verdict::looks("it runs its argument later")
            }
            Some(_) => Verdict::dangerous("it runs later what is not known before").hiding(),
        }
    }

    /// `sh -c SCRIPT` and its like.
    fn shell(&mut self, name: &str, arguments: &[Word]) -> Verdict {
        let mut words = arguments.iter();
        let mut odd = false;
        while let Some(word) = words.next() {
            let text = word.text.as_str();
            if word.opaque {
                return Verdict::dangerous("which script it runs is not known").hiding();
            }
            if matches!(text, "--version" | "--help") {
                return Verdict::looks("it prints its version");
            }
            if matches!(text, "-o" | "+o" | "-O" | "+O" | "--rcfile" | "--init-file") {
                odd = true;
                words.next();
            } else if text.starts_with("--") || text.starts_with('+') {
                odd = true;
            } else if text.starts_with('-') && text.len() > 1 {
                if text[1..].contains('c') {
                    let Some(script) = words.next() else { break };
                    if !script.literal {
                        return Verdict::dangerous("the script it runs is not known").hiding();
                    }
                    // An interactive or restricted shell, or one with options, may read other files first.
                    odd |= !text[1..].chars().all(|c| "clexuo".contains(c)) || text.contains('o');
                    let before =
                        std::mem::replace(&mut self.posix, !matches!(name, "bash" | "zsh" | "ksh"));
                    self.steps(&script.text);
                    self.posix = before;
                    let class = if odd { Class::Unknown } else { Class::ReadOnly };
                    return Verdict::of(class, format!("{name} runs a script"));
                }
                odd |= !text[1..].chars().all(|c| "lexu".contains(c));
                if text.contains('s') {
                    return Verdict::dangerous("a shell that runs what it reads");
                }
            } else {
                return Verdict::unknown("it runs a script that is not seen here");
            }
        }
        let _ = odd;
        Verdict::dangerous("a shell that runs what it reads")
    }
}

fn interprets(arguments: &[Word]) -> Verdict {
    match arguments {
        [only] if matches!(only.text.as_str(), "--version" | "-V" | "-v" | "-version") => {
            Verdict::looks("it prints its version")
        }
        [] => Verdict::dangerous("it runs what it reads"),
        [only] if only.text == "-" => Verdict::dangerous("it runs what it reads"),
        _ => Verdict::unknown("it runs a program that is not seen here"),
    }
}

fn redirect(writes: bool, target: &Word) -> Option<Verdict> {
    let text = target.text.as_str();
    if text.starts_with("/dev/tcp") || text.starts_with("/dev/udp") {
        return Some(Verdict::dangerous("it talks to another machine"));
    }
    if !writes {
        return None;
    }
    let harmless = ["/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty"].contains(&text)
        || text.starts_with("/dev/fd/");
    if target.literal && harmless {
        return None;
    }
    if programs::reaches_system(target) {
        return Some(Verdict::dangerous(
            "it writes what belongs to the system, or what programs start from",
        ));
    }
    Some(Verdict::writes("it writes a file"))
}

fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
