use crate::{Class, Context, Unread, classify_argv, classify_script};
use proptest::prelude::*;
use std::{ffi::OsStr, path::Path};

fn context() -> Context<'static> {
    Context { cwd: Path::new("/"), path: OsStr::new("/usr/bin:/bin") }
}

/// Each line: the class (`R`ead-only, `W`rite, `U`nknown, `D`angerous; `!` is anything but read-only),
/// and the command line, in which `␤` is a new line.
const LINES: &str = include_str!("lines.txt");

#[test]
fn command_lines_are_of_the_class_they_are() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in LINES.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        let (expected, script) = line.split_once(' ').unwrap();
        let script = script.replace('␤', "\n");
        let judged = classify_script(&script, &context());
        let right = match expected {
            "R" => judged.class == Class::ReadOnly,
            "W" => judged.class == Class::Write,
            "U" => judged.class == Class::Unknown,
            "D" => judged.class == Class::Dangerous,
            "!" => judged.class != Class::ReadOnly,
            _ => panic!("{line}"),
        };
        count += 1;
        if !right {
            let whys: Vec<_> =
                judged.parts.iter().map(|part| format!("{}: {}", part.text, part.why)).collect();
            wrong.push(format!(
                "{expected} but {:?}: {script}\n    {}",
                judged.class,
                whys.join("; ")
            ));
        }
    }
    assert!(count > 250, "{count}");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn words_given_apart_are_judged_like_a_script() {
    let class = |argv: &[&str]| classify_argv(argv, &context()).class;
    assert_eq!(class(&["ls", "-la"]), Class::ReadOnly);
    assert_eq!(class(&["bash", "-lc", "ls | wc -l"]), Class::ReadOnly);
    assert_eq!(class(&["bash", "-lc", "ls; rm -rf /x"]), Class::Dangerous);
    assert_eq!(class(&["echo", "$(rm -rf /x)"]), Class::ReadOnly);
    assert_eq!(class(&["sh", "-c", "echo $(rm -rf /x)"]), Class::Dangerous);
    assert_ne!(class(&["./ls"]), Class::ReadOnly);
    assert_eq!(class(&[]), Class::ReadOnly);
}

#[test]
fn a_program_of_somebody_elses_is_not_the_one_of_that_name() {
    let folder = std::env::temp_dir().join(format!("troupe-shell-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("ls");
    std::fs::write(&file, "#!/bin/sh\nrm -rf ~\n").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("/bin/ls", folder.join("cat")).unwrap_or(());
    #[cfg(unix)]
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = std::env::join_paths([folder.as_path(), Path::new("/usr/bin")]).unwrap();
    let context = Context { cwd: &folder, path: &path };
    let judged = classify_script("ls", &context);
    assert_eq!(judged.class, Class::Unknown);
    assert!(judged.parts[0].why.contains("not a program of the system's"), "{judged:?}");
    assert_eq!(classify_script("wc -l x", &context).class, Class::ReadOnly);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn every_command_of_a_script_is_found() {
    let judged = classify_script("if true; then echo \"$(ls)\" | wc -l; fi > out", &context());
    let texts: Vec<_> = judged.parts.iter().map(|part| part.text.as_str()).collect();
    assert_eq!(texts, ["true", "echo \"$(ls)\"", "ls", "wc -l", "> out"]);
    assert!(judged.parsed());
    let judged = classify_script("echo 'open", &context());
    assert!(!judged.parsed());
}

#[test]
fn what_cannot_be_taken_apart_says_which_limit_it_meets() {
    let different: String = (0..=20_000).map(|n| format!("echo {n}\n")).collect();
    let rows = [
        ("a ".repeat(1 << 20) + "b", Unread::TooLong),
        (different.clone(), Unread::TooManyParts),
        (format!("{different}: \"$x\""), Unread::TooManyParts),
        (format!("{}git push{}", "( ".repeat(70), " )".repeat(70)), Unread::TooDeep),
        (format!("{}git push", "nice ".repeat(12)), Unread::CommandsTooDeep),
        ("git push 'open".to_owned(), Unread::Syntax),
        ("echo \\\n# git push".to_owned(), Unread::Comment),
        (": '\u{1}'; git push".to_owned(), Unread::Characters),
        (": '\u{a0}'; git push".to_owned(), Unread::Characters),
    ];
    for (script, wanted) in rows {
        let judged = classify_script(&script, &context());
        assert_eq!(judged.unread, Some(wanted), "{:.80}", script);
        assert!(judged.class >= Class::Unknown);
        let why = &judged.parts.last().unwrap().why;
        assert!(why.contains(&wanted.to_string()), "{why}");
    }
}

#[test]
fn a_command_ends_with_its_line() {
    let hidden = "x=\"\"; - | A | 2\n\ngit push&&2 ";
    assert_eq!(classify_script(hidden, &context()).unread, Some(Unread::Syntax));
    for fine in [
        "x=\"$y\"; git \\\n  push \\\n\\\n origin",
        "cat <<EOF | tr a b\na\nEOF\ngit push",
        "cat <<A x\n1\nA\nls",
        "ls > x \\\n 2>&1",
        "x=(a\nb) ls",
        "echo $(ls\npwd) 'a\nb' \"c\nd\"",
    ] {
        assert_eq!(classify_script(fine, &context()).unread, None, "{fine}");
    }
}

#[test]
fn the_same_command_again_is_judged_once() {
    // The grammar of a program that is not optimized is slow.
    for (more, lines) in [("", 200_000), (": \"$x\"\n", 4_000)] {
        let script = format!("{more}{}git push origin main", ": line\n".repeat(lines));
        let judged = classify_script(&script, &context());
        assert_eq!(judged.unread, None);
        let last = judged.parts.last().unwrap();
        assert_eq!(last.text, "git push origin main");
        assert!(judged.parts.len() <= 3, "{}", judged.parts.len());
    }
    // What a substitution runs may be read as arithmetic, the same command beside it may not.
    let planted = "date; x=$(date); echo $((x))";
    assert_eq!(classify_script(planted, &context()).class, Class::Unknown);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_judged(script in "\\PC{0,200}") {
        let _class = classify_script(&script, &context());
    }

    #[test]
    fn any_shell_text_is_judged(script in "[a-z \"'$(){};|&<>\\\\\n\t=\\[\\]!*?~#%@,0-9EOF-]{0,120}") {
        let _class = classify_script(&script, &context());
    }

    /// Whatever surrounds it, what destroys is found.
    #[test]
    fn nothing_hides_a_command(before in "[a-z \"'$(){};|&<>\\\\\n]{0,20}", after in "[a-z \"'$(){};|&<>\n]{0,20}") {
        let script = format!("{before}\nrm -rf /home/x\n{after}");
        let judged = classify_script(&script, &context());
        // Inside of quotes it is a text, or nothing that can be parsed.
        let quoted = before.contains(['"', '\'', '\\']) || before.contains("<<");
        prop_assert!(judged.class != Class::ReadOnly || quoted || before.contains("=("), "{script}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What is read without the grammar is what the grammar reads.
    #[test]
    fn plain_scripts_are_read_as_the_grammar_reads_them(
        script in "(([a-zA-Z0-9_./:=+,-]{1,6}|git|ls|if|in|do|time|2|-f|test|cd)( |  |\t|\n|;|&&|\\|\\|| \\| |; | && |\n\n)){0,12}"
    ) {
        if let Some(plain) = crate::plain::steps(&script).unwrap() {
            let told = format!("{script:?}");
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
            match crate::walk::parse(&script, deadline) {
                Ok(parsed) => prop_assert_eq!(format!("{plain:?}"), format!("{parsed:?}"), "{}", told),
                // The grammar's own fault, which is found.
                Err(Unread::Syntax) if script.contains('2') => {}
                Err(why) => prop_assert!(false, "{}: {}", told, why),
            }
        }
    }
}
