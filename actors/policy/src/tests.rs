use crate::{
    Case, Decided, Pipeline, Requirements, RuleBook, RuleError, Where, command_key, import_codex,
    suggest,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use troupe_messages::{Question, Verdict};
use troupe_shell::{Context, classify_script};
use troupe_types::{ApprovalPolicy, Granular, SandboxMode, SandboxSettings};

fn settings(mode: SandboxMode) -> SandboxSettings {
    SandboxSettings {
        mode,
        exclude_slash_tmp: true,
        exclude_tmpdir_env_var: true,
        ..SandboxSettings::default()
    }
}

fn command(script: &str) -> Question {
    Question::Command {
        argv: vec!["/bin/sh".into(), "-c".into(), script.into()],
        cwd: "/".into(),
        escalate: None,
    }
}

fn case(question: Question, approval: ApprovalPolicy, mode: SandboxMode) -> Case {
    Case { question, approval, sandbox: settings(mode), cwd: "/".into(), approved: Vec::new() }
}

fn with_rules(text: &str) -> Pipeline {
    let mut book = RuleBook::default();
    book.add(text, Path::new("rules/test.toml")).unwrap();
    Pipeline { rules: Some(Ok(book)), ..Pipeline::default() }
}

fn say(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::AllowOutside => "outside",
        Verdict::Ask(_) => "ask",
        Verdict::Deny(_) | Verdict::DenyWrite { .. } => "deny",
    }
}

#[test]
fn only_a_command_that_is_known_to_change_nothing_is_read_only() {
    let read_only = |question| {
        let case = case(question, ApprovalPolicy::Never, SandboxMode::WorkspaceWrite);
        Pipeline::default().judge(&case).judged().read_only
    };
    for script in
        ["sleep 1", "ls | head -3", "cat a; git status && git log", "for i in 1 2; do wc a; done"]
    {
        assert!(read_only(command(script)), "{script}");
    }
    for script in [
        "touch a",
        "cat a > b",
        "ls; make",
        "git commit -m x",
        "unknown-program",
        "cat $(",
        "eval \"$x\"",
    ] {
        assert!(!read_only(command(script)), "{script}");
    }
    let input = Question::Input {
        command: "bash".to_owned(),
        cwd: "/".into(),
        outside: false,
        input: "\n".to_owned(),
    };
    assert!(!read_only(input));
    assert!(!read_only(Question::Patch { paths: vec!["/a".into()] }));
}

fn judged(pipeline: &Pipeline, script: &str, approval: ApprovalPolicy) -> &'static str {
    say(&pipeline.judge(&case(command(script), approval, SandboxMode::WorkspaceWrite)).verdict)
}

#[test]
fn without_rules_the_class_and_the_policy_decide() {
    use ApprovalPolicy::{Never, OnRequest, Untrusted};
    let none = Pipeline::default();
    let rows = [
        ("ls -la", "allow", "allow", "allow"),
        ("touch a", "ask", "allow", "allow"),
        ("cargo test", "ask", "allow", "allow"),
        ("rm -rf build", "ask", "allow", "allow"),
        ("rm -rf /", "ask", "ask", "deny"),
        ("ls && rm -rf ~", "ask", "ask", "deny"),
        ("git reset --hard", "ask", "ask", "deny"),
        ("kill $!", "ask", "ask", "allow"),
        ("curl x | sh", "ask", "ask", "allow"),
        ("echo 'open", "ask", "ask", "allow"),
    ];
    for (script, untrusted, on_request, never) in rows {
        let said = [Untrusted, OnRequest, Never].map(|policy| judged(&none, script, policy));
        assert_eq!(said, [untrusted, on_request, never], "{script}");
    }
    let full = case(command("rm -rf /"), Never, SandboxMode::DangerFullAccess);
    assert_eq!(say(&none.judge(&full).verdict), "allow");
}

#[test]
fn leaving_the_sandbox_is_asked_about() {
    use ApprovalPolicy::{Never, OnRequest, Untrusted};
    use SandboxMode::{DangerFullAccess, WorkspaceWrite};
    let say = |policy, mode| {
        let question = Question::Command {
            argv: vec!["ls".into()],
            cwd: "/".into(),
            escalate: Some("need it".into()),
        };
        say(&Pipeline::default().judge(&case(question, policy, mode)).verdict)
    };
    assert_eq!(say(Never, WorkspaceWrite), "deny");
    assert_eq!(say(Never, DangerFullAccess), "allow");
    assert_eq!(say(OnRequest, WorkspaceWrite), "ask");
    assert_eq!(say(Untrusted, WorkspaceWrite), "ask");
    let granular = ApprovalPolicy::Granular(Granular::default());
    assert_eq!(say(granular, WorkspaceWrite), "deny");
}

const RULES: &str = r#"
[[rule]]
prefix = ["git", ["push", "fetch"]]
decision = "ask"
reason = "it reaches other machines"
match = ["git push origin main", "cd x && git fetch"]
not_match = ["git status"]

[[rule]]
prefix = ["cargo"]
decision = "allow"

[[rule]]
prefix = ["docker"]
decision = "allow"
where = "outside"

[[rule]]
prefix = ["terraform", "destroy"]
decision = "deny"
reason = "ask the platform team"
"#;

/// Scripts that cannot be taken apart, each with a part of what is said about it.
fn unread() -> Vec<(String, &'static str)> {
    let different: String = (0..=20_000).map(|n| format!("echo {n}\n")).collect();
    vec![
        ("a ".repeat(1 << 20) + "b", "longer than 2 MiB"),
        (different, "more than 20000 different parts"),
        (format!("{}git push{}", "( ".repeat(70), " )".repeat(70)), "64 levels deep"),
        (format!("{}git push", "nice ".repeat(12)), "8 levels deep"),
        ("git push 'open".to_owned(), "cannot be parsed"),
        ("echo \\\n# git push".to_owned(), "a comment"),
        (": '\u{1}'; git push".to_owned(), "not what they seem"),
    ]
}

#[test]
fn what_cannot_be_held_against_the_rules_is_refused_where_nobody_can_be_asked() {
    use ApprovalPolicy::{Never, OnRequest, Untrusted};
    use SandboxMode::{DangerFullAccess, ReadOnly, WorkspaceWrite};
    let rule =
        |decision| format!("[[rule]]\nprefix = [\"git\", \"push\"]\ndecision = \"{decision}\"\n");
    for (script, limit) in unread() {
        let told = format!("{script:.60}");
        for decision in ["deny", "ask"] {
            let rules = with_rules(&rule(decision));
            for mode in [ReadOnly, WorkspaceWrite, DangerFullAccess] {
                let Verdict::Deny(why) = rules.judge(&case(command(&script), Never, mode)).verdict
                else {
                    panic!("{told}")
                };
                assert!(why.contains(limit) && why.contains("rules/test.toml:1"), "{why}");
                assert!(why.ends_with('.') && !why.contains('\n'), "a remedy, in a line: {why}");
            }
            let none = ApprovalPolicy::Granular(Granular::default());
            assert_eq!(judged(&rules, &script, none), "deny", "{told}");
            let asks = ApprovalPolicy::Granular(Granular { rules: true, ..Granular::default() });
            for policy in [OnRequest, Untrusted, asks] {
                assert_eq!(judged(&rules, &script, policy), "ask", "{told}");
            }
        }
        // Rules of the machine hold as well.
        let mut book = RuleBook::default();
        book.add(&rule("deny"), Path::new("rules/test.toml")).unwrap();
        let required = Requirements { rules: book, ..Requirements::default() };
        let required = Pipeline { requirements: Some(Ok(required)), ..Pipeline::default() };
        assert_eq!(judged(&required, &script, Never), "deny", "{told}");
        // Where nothing is forbidden, nothing is lost; and no rule allows it.
        assert_eq!(judged(&Pipeline::default(), &script, Never), "allow", "{told}");
        let allows = "[[rule]]\nprefix = [\"git\"]\ndecision = \"allow\"\nwhere = \"outside\"\n";
        assert_eq!(judged(&with_rules(allows), &script, Never), "allow", "{told}");
    }
}

#[test]
fn a_rule_holds_for_commands_inside_of_what_is_not_understood() {
    let rules = "[[rule]]\nprefix = [\"git\", \"push\"]\ndecision = \"deny\"\n";
    let rules = with_rules(rules);
    for script in [
        "timeout --unheard-of 5 git push",
        "timeout --unheard-of 5 /usr/bin/git push",
        "nice $LEVEL git push",
        "env -S 'git push'",
        "env --unheard-of git push",
        "$SUDO git push origin main",
        "\"$SUDO\" git push",
        "fish -c 'cd x; git push'",
        "bash $FLAGS -c 'git push'",
        "eval \"$SETUP\" git push",
        "run() { \"$@\"; }; run git push",
        "./timeout --unheard-of 5 git push",
        "PATH=. timeout --unheard-of 5 git push",
    ] {
        assert_eq!(judged(&rules, script, ApprovalPolicy::Never), "deny", "{script}");
        assert_eq!(
            judged(&Pipeline::default(), script, ApprovalPolicy::Never),
            "allow",
            "{script}"
        );
    }
    for script in ["timeout --unheard-of 5 git status", "$SUDO git status", "echo git push"] {
        assert_eq!(judged(&rules, script, ApprovalPolicy::Never), "allow", "{script}");
    }
    // No rule allows what is not understood.
    let allows = with_rules("[[rule]]\nprefix = [\"cargo\"]\ndecision = \"allow\"\n");
    assert_eq!(judged(&allows, "$SUDO cargo build", ApprovalPolicy::Untrusted), "ask");
}

#[test]
fn the_strictest_rule_over_all_parts_wins() {
    use ApprovalPolicy::{Never, OnRequest, Untrusted};
    let rules = with_rules(RULES);
    assert_eq!(judged(&rules, "git push", OnRequest), "ask");
    assert_eq!(judged(&rules, "git push", Never), "deny");
    assert_eq!(judged(&rules, "git push", ApprovalPolicy::Granular(Granular::default())), "deny");
    assert_eq!(judged(&rules, "cargo build", Untrusted), "allow");
    assert_eq!(judged(&rules, "cargo build && ls", Untrusted), "allow");
    // What no rule allows is asked about all the same.
    assert_eq!(judged(&rules, "cargo build && touch x", Untrusted), "ask");
    assert_eq!(judged(&rules, "cargo build > log", Untrusted), "ask");
    assert_eq!(judged(&rules, "cargo build $(touch x)", Untrusted), "ask");
    assert_eq!(judged(&rules, "PATH=. cargo build", Untrusted), "ask");
    assert_eq!(judged(&rules, "./cargo build", Untrusted), "ask");
    // Wherever it is hidden.
    for script in [
        "terraform destroy",
        "ls; terraform destroy",
        "env A=b terraform destroy",
        "sh -c 'terraform destroy'",
        "echo $(terraform destroy)",
        "/usr/bin/terraform destroy",
        "./terraform destroy",
        "timeout 5 terraform destroy -auto-approve",
    ] {
        assert_eq!(judged(&rules, script, OnRequest), "deny", "{script}");
    }
}

#[test]
fn allowing_does_not_widen_the_sandbox_unless_the_rule_says_so() {
    let rules = with_rules(RULES);
    let outside = |script: &str| judged(&rules, script, ApprovalPolicy::OnRequest);
    assert_eq!(outside("cargo build"), "allow");
    assert_eq!(outside("docker ps"), "outside");
    // Together with something that has to stay inside, it stays inside.
    assert_eq!(outside("docker ps; cargo build"), "allow");
    assert_eq!(outside("docker ps; touch x"), "allow");
    let escalate = Question::Command {
        argv: vec!["cargo".into(), "build".into()],
        cwd: "/".into(),
        escalate: Some("why not".into()),
    };
    let asked = case(escalate, ApprovalPolicy::OnRequest, SandboxMode::WorkspaceWrite);
    assert_eq!(say(&rules.judge(&asked).verdict), "ask");
}

#[test]
fn what_was_approved_for_the_session_is_not_asked_again() {
    let pipeline = Pipeline::default();
    let asked = |script: &str, approved: Vec<String>| {
        let mut case =
            case(command(script), ApprovalPolicy::Untrusted, SandboxMode::WorkspaceWrite);
        case.approved = approved;
        pipeline.judge(&case).verdict
    };
    let Verdict::Ask(ask) = asked("touch  'a b'", Vec::new()) else { panic!("it is asked") };
    assert_eq!(ask.key, command_key(&["touch".into(), "a b".into()], Path::new("/"), false));
    // However it is written.
    assert_eq!(asked("touch \"a b\"", vec![ask.key.clone()]), Verdict::Allow);
    assert!(matches!(asked("touch other", vec![ask.key.clone()]), Verdict::Ask(_)));
    assert!(matches!(asked("touch 'a b'; ls", vec![ask.key.clone()]), Verdict::Ask(_)));
    // A rule that denies is stronger.
    let rules = with_rules("[[rule]]\nprefix = [\"touch\"]\ndecision = \"deny\"\n");
    let mut denied = case(command("touch 'a b'"), ApprovalPolicy::Untrusted, SandboxMode::ReadOnly);
    denied.approved = vec![ask.key];
    assert_eq!(say(&rules.judge(&denied).verdict), "deny");
}

#[test]
fn rules_that_cannot_be_used_say_where_and_why() {
    let wrong =
        |text: &str| RuleBook::default().add(text, Path::new("a.toml")).unwrap_err().to_string();
    assert!(
        wrong("[[rule]]\nprefix = []\ndecision = \"allow\"")
            .contains("a.toml:1: `prefix` is empty")
    );
    assert!(wrong("\n\n[[rule]]\nprefix = [[]]\ndecision = \"allow\"").starts_with("a.toml:3:"));
    assert!(wrong("[[rule]]\nprefix = [\"a\"]\ndecision = \"maybe\"").contains("maybe"));
    assert!(
        wrong("[[rule]]\nprefix = [\"a\"]\ndecision = \"ask\"\nwhere = \"outside\"")
            .contains("outside")
    );
    assert!(
        wrong("[[rule]]\nprefix = [\"a\"]\ndecision = \"ask\"\nreason = \" \"").contains("blank")
    );
    assert!(
        wrong("[[rule]]\nprefix = [\"a\"]\ndecision = \"ask\"\nmatch = [\"b\"]").contains("`b`")
    );
    assert!(
        wrong("[[rule]]\nprefix = [\"a\"]\ndecision = \"ask\"\nnot_match = [\"x; a b\"]")
            .contains("not_match")
    );
    assert!(wrong("rule = 3").contains("a.toml:1"));
    assert!(wrong("[[rule]]\nprefx = [\"a\"]").contains("prefx"));
}

/// Every stage, broken in every way: the answer is no, and says which stage.
#[test]
fn a_stage_that_fails_is_a_no() {
    let stages =
        ["requirements", "rules", "session approvals", "classification", "approval policy"];
    for stage in stages {
        for how in ["panic", "garbage"] {
            let hook: crate::Hook = Arc::new(move |name| match (name == stage, how) {
                (true, "panic") => panic!("broken on purpose"),
                (true, _) => Err(format!("{name} found garbage")),
                (false, _) => Ok(()),
            });
            let pipeline = Pipeline { hook: Some(hook), ..Pipeline::default() };
            for script in ["ls", "touch a"] {
                // What only looks is settled before the last stage.
                if script == "ls" && stage == "approval policy" {
                    continue;
                }
                let case = case(command(script), ApprovalPolicy::Never, SandboxMode::ReadOnly);
                let Verdict::Deny(why) = pipeline.judge(&case).verdict else {
                    panic!("{stage} {how}: {script} is not refused");
                };
                assert!(why.contains(stage), "{why}");
            }
        }
    }
}

#[test]
fn files_that_cannot_be_read_refuse_everything() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    std::fs::write(rules.join("good.toml"), RULES).unwrap();
    let load = || RuleBook::load(&[rules.clone(), folder.path().join("none")]);
    assert_eq!(load().unwrap().rules().len(), 4);
    std::fs::write(rules.join("zz.toml"), b"\xff\xfe").unwrap();
    let pipeline = Pipeline { rules: Some(load()), ..Pipeline::default() };
    assert_eq!(judged(&pipeline, "ls", ApprovalPolicy::Never), "deny");
    std::fs::write(folder.path().join("requirements.toml"), "sandbox_modes = 3").unwrap();
    let requirements = Requirements::load(folder.path()).transpose();
    assert!(requirements.as_ref().unwrap().is_err());
    let pipeline = Pipeline { requirements, ..Pipeline::default() };
    assert_eq!(judged(&pipeline, "ls", ApprovalPolicy::Never), "deny");
}

#[test]
fn what_the_owner_requires_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Requirements::load(folder.path()).unwrap().is_none());
    let text = "sandbox_modes = [\"read-only\"]\napproval_policies = [\"untrusted\", \"never\"]\n";
    std::fs::write(folder.path().join("requirements.toml"), text).unwrap();
    std::fs::create_dir(folder.path().join("rules")).unwrap();
    let deny = "[[rule]]\nprefix = [\"ls\"]\ndecision = \"deny\"\n";
    std::fs::write(folder.path().join("rules/a.toml"), deny).unwrap();
    let pipeline = Pipeline {
        requirements: Requirements::load(folder.path()).transpose(),
        ..with_rules("[[rule]]\nprefix = [\"ls\"]\ndecision = \"allow\"\n")
    };
    let say = |script, approval, mode| {
        say(&pipeline.judge(&case(command(script), approval, mode)).verdict)
    };
    use ApprovalPolicy::{Never, OnRequest};
    assert_eq!(say("pwd", Never, SandboxMode::ReadOnly), "allow");
    assert_eq!(say("pwd", Never, SandboxMode::WorkspaceWrite), "deny");
    assert_eq!(say("pwd", OnRequest, SandboxMode::ReadOnly), "deny");
    assert_eq!(say("ls", Never, SandboxMode::ReadOnly), "deny");
}

#[test]
fn rules_of_codex_are_taken_over() {
    let theirs = r#"
# mine
prefix_rule(
    pattern = ["git", ["push", "fetch"]],
    decision = "prompt",
    justification = "it's \"remote\"",
    match = ["git push", ["git", "fetch", "a b"]],
    not_match = ["git status"],
)
prefix_rule(pattern=["ls"])
network_rule(host = "example.com", protocol = "https", decision = "allow")
"#;
    let (ours, left) = import_codex(theirs).unwrap();
    let mut book = RuleBook::default();
    book.add(&ours, Path::new("x")).unwrap();
    assert_eq!(book.rules().len(), 2);
    assert_eq!(book.rules()[0].decision, Decided::Ask);
    assert_eq!(book.rules()[0].reason.as_deref(), Some("it's \"remote\""));
    assert_eq!(book.rules()[1].place, Where::Sandbox);
    assert!(left[0].contains("line 11") && left[0].contains("network_rule"), "{left:?}");
    for wrong in [
        "x = 1",
        "prefix_rule(pattern=[\"a\"",
        "prefix_rule(pattern=f())",
        "prefix_rule(decision=\"allow\")",
    ] {
        assert!(import_codex(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn one_rule_is_suggested_for_many_questions_but_never_for_what_runs_anything() {
    let context = Context { cwd: Path::new("/"), path: std::ffi::OsStr::new("") };
    let parts = |scripts: &[&str]| -> Vec<_> {
        scripts.iter().map(|script| classify_script(script, &context).parts).collect()
    };
    let found = suggest(&parts(&["git commit -m a", "git commit -m b", "touch x"])).unwrap();
    assert_eq!((found.prefix, found.answers), (vec!["git".to_owned(), "commit".to_owned()], 2));
    let found = suggest(&parts(&["cargo check", "cargo check -p x", "ls"])).unwrap();
    assert_eq!(found.prefix, ["cargo", "check"]);
    for never in [
        "python3 x.py",
        "bash x",
        "npx x",
        "npm run x",
        "env x",
        "sudo x",
        "find . -delete",
        "make",
        "rm -rf /",
        "cargo run",
        "node x",
        "sh -c 'touch x'",
    ] {
        let found = suggest(&parts(&[never, never]));
        let first = found.as_ref().map(|found| found.prefix[0].as_str());
        // What a wrapper runs may be suggested, but not the wrapper.
        assert!(matches!(first, None | Some("x" | "touch")), "{never}: {found:?}");
    }
}

#[test]
fn patches_stay_in_the_workspace_and_off_protected_names() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    std::fs::create_dir(root.join("src")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("/etc", root.join("way-out")).unwrap();
    let judged = |mode, path: PathBuf| {
        let question = Question::Patch { paths: vec![path] };
        let mut case = case(question, ApprovalPolicy::Never, mode);
        case.cwd = root.to_owned();
        Pipeline::default().judge(&case).verdict == Verdict::Allow
    };
    let write = SandboxMode::WorkspaceWrite;
    assert!(judged(write, root.join("src/new.rs")));
    assert!(judged(write, root.join("a/b/c.rs")));
    assert!(!judged(write, root.join(".git/hooks/pre-commit")));
    assert!(!judged(write, root.join(".troupe/config.toml")));
    assert!(!judged(write, root.join("sub/.git/config")));
    assert!(!judged(write, root.join("sub/.claude/settings.json")));
    assert!(!judged(write, root.join(".env")));
    assert!(!judged(write, root.join("src/../../elsewhere")));
    assert!(!judged(write, PathBuf::from("/etc/passwd")));
    #[cfg(unix)]
    assert!(!judged(write, root.join("way-out/passwd")));
    assert!(!judged(SandboxMode::ReadOnly, root.join("src/new.rs")));
    assert!(judged(SandboxMode::DangerFullAccess, PathBuf::from("/etc/passwd")));
}

#[test]
fn what_is_typed_is_judged_where_a_shell_would_run_it() {
    let judged = |command: &str, input: &str, outside: bool, approval: ApprovalPolicy| {
        let question = Question::Input {
            command: command.to_owned(),
            cwd: "/tmp".into(),
            outside,
            input: input.to_owned(),
        };
        let case = Case {
            question,
            approval,
            sandbox: SandboxSettings::default(),
            cwd: "/tmp".into(),
            approved: Vec::new(),
        };
        Pipeline::default().judge(&case).verdict
    };
    use ApprovalPolicy::{Never, OnRequest, Untrusted};
    // Keys alone, and programs that are no shells.
    assert_eq!(judged("bash", "\u{3}", true, OnRequest), Verdict::Allow);
    assert_eq!(judged("bash", "\r\n", false, Untrusted), Verdict::Allow);
    assert_eq!(judged("python3 -i", "print(6 * 7)\n", false, OnRequest), Verdict::Allow);
    assert!(matches!(judged("python3 -i", "print(6 * 7)\n", false, Untrusted), Verdict::Ask(_)));
    // Shells, however they are started.
    for shell in ["bash", "exec /bin/bash -i", "env FOO=1 sh", "cd x && ssh host", "$SHELL"] {
        assert_eq!(judged(shell, "ls\n", false, OnRequest), Verdict::Allow, "{shell}");
        let verdict = judged(shell, "rm -rf /\n", false, OnRequest);
        assert!(matches!(verdict, Verdict::Ask(_)), "{shell}: {verdict:?}");
        let verdict = judged(shell, "git reset --hard\n", false, Never);
        assert!(matches!(verdict, Verdict::Deny(_)), "{shell}: {verdict:?}");
    }
    // Without the sandbox every line is a way out of it.
    assert!(
        matches!(judged("python3 -i", "1\n", true, OnRequest), Verdict::Ask(ask) if ask.leaves_sandbox)
    );
    assert!(matches!(judged("bash", "ls\n", true, Never), Verdict::Deny(_)));
}

#[test]
fn a_rule_is_offered_only_for_what_may_be_allowed_for_good() {
    let offered = |script: &str| match Pipeline::default()
        .judge(&case(command(script), ApprovalPolicy::Untrusted, SandboxMode::WorkspaceWrite))
        .verdict
    {
        Verdict::Ask(ask) => ask.rule,
        other => panic!("{script}: {other:?}"),
    };
    assert_eq!(offered("git commit -m x"), ["git", "commit"]);
    assert_eq!(offered("cd sub && mkdir -p a && mkdir b"), ["mkdir"]);
    for script in [
        "python3 x.py",
        "bash x.sh",
        "npm run build",
        "cargo test",
        "rm -rf /",
        "sudo ls",
        "mkdir a && touch b",
        "make",
        "mkdir $X; $Y",
    ] {
        assert_eq!(offered(script), Vec::<String>::new(), "{script}");
    }
}

#[test]
fn files_that_cannot_be_read_refuse_every_kind_of_action() {
    let error = || RuleError { file: "/r/bad.toml".into(), line: Some(2), why: "no".to_owned() };
    let rules = Pipeline { rules: Some(Err(error())), ..Pipeline::default() };
    let requirements = Pipeline { requirements: Some(Err(error())), ..Pipeline::default() };
    let input = |input: &str| Question::Input {
        command: "bash".to_owned(),
        cwd: "/work".into(),
        outside: false,
        input: input.to_owned(),
    };
    for question in [
        command("ls"),
        Question::Patch { paths: vec!["/work/a".into()] },
        input("make\n"),
        input("\u{3}"),
        Question::Harmless,
    ] {
        for pipeline in [&rules, &requirements] {
            let case = case(question.clone(), ApprovalPolicy::Never, SandboxMode::DangerFullAccess);
            let report = pipeline.judge(&case);
            let Verdict::Deny(why) = &report.verdict else { panic!("{question:?}: {report:?}") };
            assert!(why.contains("/r/bad.toml:2: no"), "{why}");
            assert_eq!(report.stage, "files");
        }
        let open = case(question, ApprovalPolicy::Never, SandboxMode::DangerFullAccess);
        assert_eq!(Pipeline::default().judge(&open).verdict, Verdict::Allow);
    }
}
