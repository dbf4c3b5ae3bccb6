//! Programs whose arguments are a language of their own.

use crate::{
    Class,
    judge::{Judge, Verdict},
    options, stream,
    table::{Options, Rule},
    words::Word,
};

/// Programs that change something unless one of these letters says otherwise.
const NEEDS: &[(&str, &str)] = &[
    ("unzip", "lvZt"),
    ("gzip", "lt"),
    ("xz", "lt"),
    ("bzip2", "t"),
    ("zstd", "lt"),
    ("man", "fkw"),
    ("top", "b"),
    ("crontab", "l"),
    ("zipinfo", ""),
];

/// Judges a program of a kind of its own; `None` if the table has it.
pub(crate) fn judge(name: &str, arguments: &[Word], judge: &mut Judge<'_>) -> Option<Verdict> {
    Some(match name {
        "find" => find(arguments, judge),
        "sed" | "gsed" => sed(arguments),
        "awk" | "gawk" | "mawk" | "nawk" => awk(arguments),
        "tar" | "gtar" | "bsdtar" => tar(arguments),
        "rm" => rm(arguments),
        "chmod" | "chown" | "chgrp" => recursive_rights(arguments),
        "truncate" | "cp" | "mv" | "ln" | "tee" | "install" | "touch" | "mkdir" => {
            writes(arguments)
        }
        "date" => date(arguments),
        "test" | "[" | "printf" => texts(name, arguments),
        "read" => reads(arguments),
        "set" => set(arguments),
        "shopt" | "getopts" | "unalias" => {
            Verdict::unknown("it changes how the shell reads what follows")
        }
        "ssh" | "scp" | "rsync" | "curl" | "wget" => network(name, arguments),
        _ => return None,
    })
}

/// Whether a program does no more than looking without one of its letters.
pub(crate) fn lacks_its_option(name: &str, arguments: &[Word]) -> bool {
    let Some((_, letters)) = NEEDS.iter().find(|(known, _)| *known == name) else { return false };
    let long = ["--list", "--test", "--help", "--version"];
    let has = arguments.iter().take_while(|word| word.text != "--").any(|word| {
        long.contains(&word.text.as_str())
            || word.text.starts_with('-')
                && !word.text.starts_with("--")
                && word.text.contains(|c| letters.contains(c))
    });
    !letters.is_empty() && !has
}

fn dynamic(arguments: &[Word]) -> Option<Verdict> {
    let word = arguments.iter().find(|word| word.opaque)?;
    Some(Verdict::unknown(&format!("{} could become an option when it runs", word.text)))
}

fn find(arguments: &[Word], judge: &mut Judge<'_>) -> Verdict {
    let mut verdict = Verdict::looks("find only looks, with these tests");
    let others: Vec<Word> =
        arguments.iter().filter(|word| !word.text.contains("{}")).cloned().collect();
    if let Some(unknown) = dynamic(&others) {
        verdict = unknown;
    }
    let mut words = arguments.iter().enumerate();
    while let Some((place, word)) = words.next() {
        let found = match word.text.as_str() {
            "-delete" => Verdict::destroys("find -delete removes files"),
            "-fprint" | "-fprint0" | "-fprintf" | "-fls" => Verdict::writes("find writes a file"),
            "-exec" | "-execdir" | "-ok" | "-okdir" => {
                let inner: Vec<Word> = arguments[place + 1..]
                    .iter()
                    .take_while(|word| word.text != ";" && word.text != "+")
                    .map(
                        |word| {
                            if word.text.contains("{}") { found_path(word) } else { word.clone() }
                        },
                    )
                    .collect();
                judge.words(&inner);
                for _ in 0..inner.len() {
                    words.next();
                }
                continue;
            }
            text if text.starts_with('-') && !is_test(text) => {
                Verdict::unknown(&format!("{text} of find is not known"))
            }
            _ => continue,
        };
        if found.class > verdict.class {
            verdict = found;
        }
    }
    verdict
}

/// What stands for a file that was found: its path begins with one of the starting points.
fn found_path(word: &Word) -> Word {
    Word { text: word.text.clone(), literal: false, opaque: false }
}

fn is_test(text: &str) -> bool {
    const TESTS: &[&str] = &[
        "-name",
        "-iname",
        "-path",
        "-ipath",
        "-wholename",
        "-iwholename",
        "-regex",
        "-iregex",
        "-regextype",
        "-lname",
        "-ilname",
        "-type",
        "-xtype",
        "-size",
        "-empty",
        "-newer",
        "-mtime",
        "-ctime",
        "-atime",
        "-mmin",
        "-cmin",
        "-amin",
        "-daystart",
        "-user",
        "-group",
        "-uid",
        "-gid",
        "-nouser",
        "-nogroup",
        "-perm",
        "-readable",
        "-writable",
        "-executable",
        "-links",
        "-inum",
        "-samefile",
        "-maxdepth",
        "-mindepth",
        "-depth",
        "-d",
        "-mount",
        "-xdev",
        "-prune",
        "-quit",
        "-print",
        "-print0",
        "-printf",
        "-ls",
        "-o",
        "-or",
        "-a",
        "-and",
        "-not",
        "-true",
        "-false",
        "-follow",
        "-L",
        "-H",
        "-P",
        "-noleaf",
        "-ignore_readdir_race",
        "-fstype",
        "-used",
        "-warn",
        "-nowarn",
        "-O0",
        "-O1",
        "-O2",
        "-O3",
        "-help",
        "--help",
        "--version",
        "-E",
        "-X",
        "-s",
        "-x",
    ];
    TESTS.contains(&text)
        || text.starts_with("-newer")
        || text[1..].starts_with(|c: char| c.is_ascii_digit())
}

const SED: Options = Options {
    short: "nErsuz",
    valued: "el",
    long: &[
        "quiet",
        "silent",
        "expression=",
        "regexp-extended",
        "separate",
        "unbuffered",
        "null-data",
        "posix",
        "sandbox",
        "debug",
        "line-length=",
        "help",
        "version",
    ],
    operands: usize::MAX,
};

fn sed(arguments: &[Word]) -> Verdict {
    let in_place = |word: &&Word| {
        let text = word.text.as_str();
        text.starts_with("--i")
            || text.starts_with('-') && !text.starts_with("--") && {
                // `-ne 's/i/x/'` has its script apart; letters after `e` are the script.
                let letters: String =
                    text[1..].chars().take_while(|c| !"efl".contains(*c)).collect();
                letters.contains(['i', 'I'])
            }
    };
    if arguments.iter().take_while(|word| word.text != "--").any(|word| in_place(&word)) {
        return Verdict::writes("sed edits files in place");
    }
    if let Err(why) = options::check(arguments, &SED) {
        return Verdict::unknown(&why);
    }
    let mut scripts = Vec::new();
    let mut words = arguments.iter();
    let mut operand = None;
    while let Some(word) = words.next() {
        let text = word.text.as_str();
        if text == "-e"
            || text == "--expression"
            || (text.starts_with('-') && !text.starts_with("--") && text.ends_with('e'))
        {
            scripts.extend(words.next());
        } else if text.starts_with("--expression=")
            || (text.starts_with('-')
                && text.len() > 1
                && text.contains('e')
                && !text.starts_with("--"))
        {
            // A script in the same word: rare enough not to be judged.
            return Verdict::unknown("its script is joined to its option");
        } else if text == "-l" || text == "--line-length" {
            words.next();
        } else if !text.starts_with('-') && operand.is_none() {
            operand = Some(word);
        }
    }
    if scripts.is_empty() {
        scripts.extend(operand);
    }
    if scripts.is_empty() {
        return Verdict::unknown("sed has no script");
    }
    for script in scripts {
        if !script.literal && script.text.contains(['$', '`']) && !is_plain_sed(script) {
            return Verdict::unknown("its script is not known before it runs");
        }
        if let Some(why) = stream::sed(&script.text) {
            let class = if why.contains("writes") || why.contains("runs") {
                Class::Dangerous
            } else {
                Class::Unknown
            };
            return Verdict::of(class, why);
        }
    }
    Verdict::looks("sed only prints")
}

/// A script with patterns of the shell's in it that are none: quoted text has no expansions.
fn is_plain_sed(script: &Word) -> bool {
    script.literal
}

fn awk(arguments: &[Word]) -> Verdict {
    let mut words = arguments.iter();
    let program = loop {
        let Some(word) = words.next() else { return Verdict::unknown("awk has no program") };
        if word.opaque {
            return Verdict::unknown("its program is not known before it runs");
        }
        match word.text.as_str() {
            "-F" | "-v" => {
                words.next();
            }
            "--" => match words.next() {
                Some(word) => break word,
                None => return Verdict::unknown("awk has no program"),
            },
            "--version" | "-W" => return Verdict::unknown("an option of awk that is not known"),
            text if text.starts_with("-F") || text.starts_with("-v") => {}
            text if text.starts_with('-') => {
                return Verdict::unknown(&format!("{text} of awk may run or write something"));
            }
            _ => break word,
        }
    };
    if !program.literal {
        return Verdict::unknown("its program is not known before it runs");
    }
    match stream::awk(&program.text) {
        Some(why) => {
            let class = if why.contains("system") || why.contains("pipe") {
                Class::Dangerous
            } else {
                Class::Unknown
            };
            Verdict::of(class, why)
        }
        None => Verdict::looks("awk only prints"),
    }
}

fn tar(arguments: &[Word]) -> Verdict {
    const HARMLESS: &[&str] = &[
        "--list",
        "--verbose",
        "--gzip",
        "--bzip2",
        "--xz",
        "--zstd",
        "--file",
        "--exclude",
        "--wildcards",
        "--force-local",
        "--numeric-owner",
        "--full-time",
        "--totals",
        "--directory",
        "--no-recursion",
        "--null",
        "--strip-components",
    ];
    const RUNS: &[&str] = &[
        "--checkpoint-action",
        "--to-command",
        "--use-compress-program",
        "--rsh-command",
        "--rmt-command",
        "--info-script",
        "--new-volume-script",
        "--use",
        "--checkpoint",
    ];
    let starts = |text: &str, names: &[&str]| {
        let name = text.split('=').next().unwrap_or(text);
        names.iter().any(|known| known.starts_with(name))
    };
    let texts: Vec<&str> = arguments.iter().map(|word| word.text.as_str()).collect();
    let long = texts.iter().filter(|text| text.starts_with("--") && text.len() > 2);
    if long.clone().any(|text| starts(text, RUNS)) {
        return Verdict::dangerous("this option makes tar run a program");
    }
    if let Some(unknown) = dynamic(arguments) {
        return unknown;
    }
    let letters: String = texts
        .iter()
        .enumerate()
        .filter(|(place, text)| {
            *place == 0 && !text.starts_with("--")
                || text.starts_with('-') && !text.starts_with("--")
        })
        .map(|(_, text)| text.trim_start_matches('-'))
        .collect();
    if letters.contains(['I', 'F']) {
        return Verdict::dangerous("this option makes tar run a program");
    }
    let remote = texts.iter().any(|text| text.contains(':')) && !texts.contains(&"--force-local");
    let lists = letters.contains('t') || texts.contains(&"--list");
    let known = letters.chars().all(|c| "tvfzjJaOC".contains(c))
        && long.clone().all(|text| starts(text, HARMLESS));
    if lists && known && !remote && !letters.contains('C') {
        return Verdict::looks("tar only lists");
    }
    if remote || lists {
        return Verdict::unknown("tar with these options may do more than list");
    }
    Verdict::writes("tar writes files")
}

fn rm(arguments: &[Word]) -> Verdict {
    let mut options = arguments.iter().take_while(|word| word.text != "--");
    let hard = options.any(|word| {
        word.opaque
            || word.text.starts_with("--r")
            || word.text.starts_with("--f")
            || word.text.starts_with("--no-preserve")
            || (word.text.starts_with('-')
                && !word.text.starts_with("--")
                && word.text.contains(['r', 'R', 'f']))
    });
    let own = arguments.iter().filter(|word| !word.text.starts_with('-')).all(is_own_path)
        && !arguments.iter().any(|word| word.opaque);
    if hard && !own || arguments.iter().any(reaches_system) {
        Verdict::destroys("it removes more than named files and folders of the project")
    } else {
        Verdict::writes("it removes files")
    }
}

/// Whether a path names something inside of the project, or a temporary file: no pattern, no way
/// out, not all of it, and nothing hidden.
fn is_own_path(word: &Word) -> bool {
    let text = word.text.trim_start_matches("./").trim_end_matches('/');
    let inside = text.strip_prefix("/tmp/").unwrap_or(text);
    // A pattern below a folder that is named is that folder's.
    let first = inside.split('/').next().unwrap_or("");
    !word.opaque
        && !word.text.contains(['$', '`'])
        && !first.contains(['*', '?', '[', '{'])
        && !inside.is_empty()
        && !inside.starts_with(['/', '~', '.'])
        && !inside.split('/').any(|part| part == ".." || part == ".git")
}

fn recursive_rights(arguments: &[Word]) -> Verdict {
    let recursive = arguments.iter().any(|word| {
        word.text.starts_with("--rec")
            || word.text.starts_with('-') && !word.text.starts_with("--") && word.text.contains('R')
    });
    let opens = arguments.iter().any(|word| {
        ["777", "0777", "a+rwx", "u+s", "+s", "4755", "6755"].contains(&word.text.as_str())
    });
    if opens
        || arguments.iter().any(reaches_system)
        || recursive && arguments.iter().any(|word| word.opaque)
    {
        Verdict::dangerous("it changes rights of what is not the project's, or opens it to all")
    } else {
        Verdict::writes("it changes rights")
    }
}

fn writes(arguments: &[Word]) -> Verdict {
    if arguments.iter().any(reaches_system) {
        Verdict::dangerous(
            "it writes what belongs to the system, or what shells and other programs start from",
        )
    } else {
        Verdict::writes("it changes files")
    }
}

/// Whether a path is the system's, or is read by programs when they start.
pub(crate) fn reaches_system(word: &Word) -> bool {
    const STARTS: &[&str] = &[
        "/etc",
        "/usr",
        "/bin",
        "/sbin",
        "/lib",
        "/boot",
        "/dev/",
        "/sys",
        "/proc",
        "/var/spool/cron",
        "/root/.",
        "/opt",
        "/var/lib",
        "/Library",
        "/System",
    ];
    const NAMES: &[&str] = &[
        ".bashrc",
        ".bash_profile",
        ".bash_login",
        ".profile",
        ".zshrc",
        ".zprofile",
        ".zshenv",
        ".zlogin",
        ".inputrc",
        ".vimrc",
        ".gitconfig",
        "authorized_keys",
        ".ssh/config",
        ".ssh/rc",
        ".netrc",
        ".npmrc",
        ".git/config",
        ".git/hooks",
        "crontab",
        ".config/autostart",
        ".config/systemd",
        ".config/fish",
        ".pam_environment",
        ".xprofile",
        ".xinitrc",
        ".tmux.conf",
        ".local/bin",
        ".cargo/bin",
        ".cargo/config",
    ];
    let text = word.text.trim_end_matches('/');
    let text = if text.is_empty() && !word.text.is_empty() { "/" } else { text };
    let whole = [
        "/", "~", "$HOME", "${HOME}", "/*", "~/*", "$HOME/*", "..", "/home", "/var", "/root",
        "/Users", ".",
    ];
    let harmless = ["/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty"].contains(&text)
        || text.starts_with("/dev/fd/");
    !harmless
        && (whole.contains(&text) && text != "."
            || STARTS.iter().any(|start| text.starts_with(start))
            || NAMES.iter().any(|name| text.contains(name)))
}

fn date(arguments: &[Word]) -> Verdict {
    let Some(Rule::Options(allowed)) = crate::table::rule("date") else {
        return Verdict::unknown("date is not known");
    };
    if let Err(why) = options::check(arguments, &allowed) {
        return Verdict::unknown(&why);
    }
    let mut skip = false;
    for word in arguments {
        let text = word.text.as_str();
        if std::mem::take(&mut skip) {
            continue;
        }
        skip = matches!(text, "-d" | "-r" | "--date" | "--reference" | "--rfc-3339");
        if !text.starts_with('-') && !text.starts_with('+') && !skip {
            return Verdict::dangerous("date sets the clock");
        }
    }
    Verdict::looks("it prints the date")
}

fn texts(name: &str, arguments: &[Word]) -> Verdict {
    if arguments
        .iter()
        .any(|word| crate::walk::is_suspicious(&word.text) && word.text.contains('['))
    {
        return Verdict::unknown("an index that may run a command");
    }
    if name == "printf"
        && arguments.first().is_none_or(|word| word.text.starts_with("-v") || word.opaque)
    {
        return Verdict::unknown("printf may set a variable");
    }
    Verdict::looks("it only looks")
}

fn reads(arguments: &[Word]) -> Verdict {
    let odd = |word: &Word| {
        !word.literal || crate::table::is_dangerous_variable(&word.text) || word.text.contains('[')
    };
    if arguments.iter().any(odd) {
        return Verdict::unknown("it sets a variable that changes what programs do");
    }
    Verdict::looks("it sets a variable")
}

fn set(arguments: &[Word]) -> Verdict {
    const HARMLESS: &[&str] = &[
        "-e", "-u", "-x", "-eu", "-ex", "-eux", "-euo", "-euxo", "-exuo", "-o", "+e", "+x", "+u",
        "-f", "-v", "-n", "pipefail", "errexit", "nounset", "xtrace", "noglob",
    ];
    if arguments.iter().all(|word| HARMLESS.contains(&word.text.as_str())) {
        Verdict::looks("it sets an option of the shell")
    } else {
        Verdict::unknown("it sets options or arguments of the shell")
    }
}

fn network(name: &str, arguments: &[Word]) -> Verdict {
    if arguments.len() == 1 && matches!(arguments[0].text.as_str(), "--version" | "-V") {
        return Verdict::looks("it prints its version");
    }
    let text = |word: &Word| word.text.clone();
    let risky = match name {
        "rsync" => arguments.iter().map(text).any(|t| {
            t == "-e"
                || t.starts_with("--rsh")
                || t.starts_with("--rsync-path")
                || t.starts_with("--delete")
        }),
        "ssh" | "scp" => true,
        _ => arguments.iter().map(text).any(|t| {
            t.starts_with("--upload-file")
                || t == "-T"
                || t == "-d"
                || t.starts_with("--data")
                || t == "-F"
                || t.starts_with("--post")
        }),
    };
    if risky {
        Verdict::dangerous("it runs something elsewhere, or sends data there")
    } else {
        Verdict::unknown("it talks to other machines")
    }
}
