//! git: which of its commands only look.

use crate::{Class, judge::Verdict, words::Word};

/// Commands that only look, whatever their options but [`RUNS`].
const LOOKS: &[&str] = &[
    "status",
    "log",
    "diff",
    "show",
    "shortlog",
    "describe",
    "rev-parse",
    "rev-list",
    "ls-files",
    "ls-tree",
    "cat-file",
    "blame",
    "annotate",
    "grep",
    "name-rev",
    "merge-base",
    "for-each-ref",
    "show-ref",
    "version",
    "whatchanged",
    "cherry",
    "count-objects",
    "diff-tree",
    "diff-index",
    "diff-files",
    "check-ignore",
    "check-attr",
    "show-branch",
    "range-diff",
    "check-ref-format",
    "verify-commit",
    "verify-tag",
    "merge-tree",
];
/// Long options that write a file or run a program. git takes any beginning of them.
const RUNS: &[&str] = &[
    "output",
    "output-directory",
    "ext-diff",
    "textconv",
    "open-files-in-pager",
    "exec",
    "upload-pack",
    "receive-pack",
    "show-signature",
    "filters",
    "paginate",
    "config-env",
    "git-dir",
    "work-tree",
    "exec-path",
    "write-tree",
    "batch-command",
];
/// Options that begin like those and do neither.
const HARMLESS: &[&str] = &[
    "text",
    "exclude",
    "exclude-standard",
    "exclude-per-directory",
    "output-indicator-new",
    "output-indicator-old",
    "output-indicator-context",
    "extended-regexp",
    "files-with-matches",
];
const WRITES: &[&str] = &[
    "add",
    "commit",
    "checkout",
    "switch",
    "restore",
    "merge",
    "rebase",
    "cherry-pick",
    "revert",
    "tag",
    "branch",
    "stash",
    "init",
    "mv",
    "apply",
    "am",
    "notes",
    "worktree",
    "fetch",
    "rm",
    "sparse-checkout",
    "archive",
    "format-patch",
    "bundle",
    "pack-refs",
    "remote",
    "update-index",
    "commit-tree",
    "write-tree",
    "hash-object",
    "mktag",
    "mktree",
];
const DANGEROUS: &[&str] = &[
    "filter-branch",
    "filter-repo",
    "gc",
    "prune",
    "repack",
    "reflog",
    "update-ref",
    "clean",
    "push",
    "replace",
    "fast-import",
];

/// Those of them that take work away which is in no commit.
const LOSES: &[&str] = &["reset", "checkout", "switch", "restore", "rm", "clean"];

pub(crate) fn judge(arguments: &[Word]) -> Verdict {
    let unknown = |why: String| Verdict::of(Class::Unknown, why);
    let mut words = arguments.iter();
    let command = loop {
        let Some(word) = words.next() else {
            return Verdict::looks("git alone prints its help");
        };
        if word.opaque {
            return unknown(format!("{} is not known before it runs", word.text));
        }
        match word.text.as_str() {
            "--no-pager" | "-P" | "--no-optional-locks" | "--literal-pathspecs" | "--bare" => {}
            "--version" | "-v" => return Verdict::looks("it prints its version"),
            "-c" | "--config-env" => {
                return unknown("git -c can make git run programs".to_owned());
            }
            option if option.starts_with('-') => {
                let rest: Vec<&Word> = words.clone().collect();
                let class =
                    rest.iter().find_map(|word| severity(&word.text)).unwrap_or(Class::Unknown);
                let why = format!("git {option} makes it work on something else");
                return Verdict::of(class.max(Class::Unknown), why);
            }
            _ => break word,
        }
    };
    if !command.literal {
        return unknown(format!("{} is not known before it runs", command.text));
    }
    let rest: Vec<&Word> = words.collect();
    let name = command.text.as_str();
    if let Some(why) = destroys(name, &rest) {
        return Verdict { destroys: LOSES.contains(&name), ..Verdict::dangerous(&why) };
    }
    if let Some(word) = rest.iter().take_while(|word| word.text != "--").find(|word| word.opaque) {
        return unknown(format!("{} could become an option when it runs", word.text));
    }
    if let Some(option) =
        rest.iter().take_while(|word| word.text != "--").find(|word| runs(name, &word.text))
    {
        return unknown(format!("git {name} {} writes a file or runs a program", option.text));
    }
    if LOOKS.contains(&name) || lists(name, &rest) {
        return Verdict::looks("it only looks at the repository");
    }
    match severity(name) {
        Some(class) => {
            Verdict::of(class, format!("git {name} changes the repository or its files"))
        }
        None => unknown(format!("git {name} is not known")),
    }
}

fn severity(name: &str) -> Option<Class> {
    if DANGEROUS.contains(&name) {
        Some(Class::Dangerous)
    } else if WRITES.contains(&name) {
        Some(Class::Write)
    } else {
        None
    }
}

fn runs(command: &str, option: &str) -> bool {
    // `git grep -Oless`: opens a pager.
    if command == "grep"
        && option.starts_with('-')
        && !option.starts_with("--")
        && option.contains('O')
    {
        return true;
    }
    if option.contains("%G") {
        return true;
    }
    let Some(long) = option.strip_prefix("--") else { return false };
    let name = long.split('=').next().unwrap_or(long);
    !name.is_empty() && !HARMLESS.contains(&name) && RUNS.iter().any(|runs| runs.starts_with(name))
}

/// Whether a command that can change something only lists here.
fn lists(name: &str, rest: &[&Word]) -> bool {
    let texts: Vec<&str> = rest.iter().map(|word| word.text.as_str()).collect();
    let only = |allowed: &[&str]| {
        texts.iter().all(|text| {
            allowed.contains(text)
                || ["--format=", "--sort=", "--color="].iter().any(|start| text.starts_with(start))
        })
    };
    match name {
        "branch" => {
            only(&[
                "-a",
                "-r",
                "-v",
                "-vv",
                "-av",
                "-avv",
                "-rv",
                "--all",
                "--remotes",
                "--list",
                "-l",
                "--show-current",
                "--verbose",
                "--merged",
                "--no-merged",
                "--no-color",
                "--no-column",
            ]) || is_listing(&texts, &["--list", "-l", "--contains", "--points-at"])
        }
        "tag" => {
            only(&["-l", "--list", "-n"])
                || is_listing(&texts, &["--list", "-l", "--contains", "--points-at"])
        }
        "remote" => {
            only(&["-v", "--verbose"])
                || texts.first() == Some(&"get-url")
                    && texts.len() == 2
                    && !texts[1].starts_with('-')
        }
        "stash" => matches!(texts.first(), Some(&"list" | &"show")),
        "reflog" => {
            texts.is_empty()
                || texts.first() == Some(&"show")
                || texts.iter().all(|text| text.starts_with("-n") || *text == "HEAD")
        }
        "worktree" => texts.first() == Some(&"list"),
        "notes" => matches!(texts.first(), None | Some(&"list" | &"show")),
        "config" => {
            let asks = ["--get", "--get-all", "--get-regexp", "--list", "-l", "get", "list"];
            let plain = [
                "--global",
                "--local",
                "--system",
                "--show-origin",
                "--show-scope",
                "--name-only",
                "-z",
                "--null",
                "--includes",
            ];
            let mut left = texts.iter().skip_while(|text| plain.contains(text));
            left.next().is_some_and(|first| asks.contains(first))
                && texts.iter().all(|text| {
                    !text.starts_with('-') || asks.contains(text) || plain.contains(text)
                })
        }
        "bundle" => matches!(texts.first(), Some(&"verify" | &"list-heads")),
        "sparse-checkout" => texts == ["list"],
        _ => false,
    }
}

/// A branch or tag command with patterns, but no option that changes anything.
fn is_listing(texts: &[&str], marks: &[&str]) -> bool {
    let known = ["-a", "-r", "-v", "-vv", "--all", "--remotes", "-n", "-i", "--ignore-case"];
    texts.iter().any(|text| marks.contains(text))
        && texts.iter().all(|text| {
            !text.starts_with('-')
                || marks.contains(text)
                || known.contains(text)
                || ["--format=", "--sort=", "--color="].iter().any(|start| text.starts_with(start))
        })
}

fn destroys(name: &str, rest: &[&Word]) -> Option<String> {
    let has = |options: &[&str]| rest.iter().any(|word| options.contains(&word.text.as_str()));
    let short = |letter: char| {
        rest.iter().any(|word| {
            word.text.starts_with('-') && !word.text.starts_with("--") && word.text.contains(letter)
        })
    };
    let first = rest.first().map(|word| word.text.as_str());
    let bad = match name {
        "reset" => {
            has(&["--hard", "--merge", "--keep"])
                || rest.iter().any(|word| word.text.starts_with("--h"))
        }
        "checkout" => {
            short('f')
                || has(&["--force", "--", "."])
                || rest.iter().any(|word| word.text.starts_with("--force"))
        }
        "switch" => short('f') || has(&["--force", "--discard-changes"]),
        "restore" => !has(&["--staged", "-S"]) || has(&["--worktree", "-W"]),
        "branch" => {
            short('D') || short('d') || has(&["--delete", "--force"]) || short('f') || short('M')
        }
        "tag" => short('d') || has(&["--delete", "--force"]) || short('f'),
        "stash" => matches!(first, Some("drop" | "clear")),
        "reflog" => matches!(first, Some("expire" | "delete")),
        "rm" => short('f') || short('r') || has(&["--force"]),
        "worktree" => matches!(first, Some("remove" | "prune")),
        "remote" => matches!(first, Some("remove" | "rm" | "prune" | "set-url" | "add")),
        "submodule" | "bisect" | "difftool" | "mergetool" | "instaweb" | "daemon"
        | "http-backend" | "send-email" | "credential" => {
            !matches!(first, Some("status" | "log" | "view" | "terms"))
        }
        "rebase" => short('x') || rest.iter().any(|word| word.text.starts_with("--exec")),
        "config" => !lists(name, rest),
        "clean" => !has(&["-n", "--dry-run", "-nd", "-dn", "-ndx"]) || short('f'),
        _ => false,
    };
    bad.then(|| format!("git {name} with these options discards work, or makes git run programs"))
}
