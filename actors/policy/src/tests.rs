use crate::judge;
use std::path::{Path, PathBuf};
use troupe_messages::{Question, Verdict};
use troupe_types::{ApprovalPolicy, SandboxMode, SandboxSettings};

fn settings(mode: SandboxMode) -> SandboxSettings {
    SandboxSettings {
        mode,
        exclude_slash_tmp: true,
        exclude_tmpdir_env_var: true,
        ..SandboxSettings::default()
    }
}

fn command(escalate: Option<&str>) -> Question {
    Question::Command {
        argv: vec!["sh".into(), "-c".into(), "make".into()],
        cwd: "/w".into(),
        escalate: escalate.map(str::to_owned),
    }
}

#[test]
fn commands_run_inside_unless_they_ask_to_leave() {
    use ApprovalPolicy::{Never, OnRequest, Untrusted};
    use SandboxMode::{DangerFullAccess, WorkspaceWrite};
    let say = |policy: &ApprovalPolicy, mode, escalate| match judge(
        &command(escalate),
        policy,
        &settings(mode),
        Path::new("/w"),
    ) {
        Verdict::Allow => "allow",
        Verdict::AllowOutside => "outside",
        Verdict::Ask(_) => "ask",
        Verdict::Deny(_) => "deny",
    };
    assert_eq!(say(&Never, WorkspaceWrite, None), "allow");
    assert_eq!(say(&Never, WorkspaceWrite, Some("need it")), "deny");
    assert_eq!(say(&Never, DangerFullAccess, Some("need it")), "allow");
    assert_eq!(say(&OnRequest, WorkspaceWrite, None), "allow");
    assert_eq!(say(&OnRequest, WorkspaceWrite, Some("need it")), "ask");
    assert_eq!(say(&Untrusted, DangerFullAccess, None), "ask");
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
        judge(&question, &ApprovalPolicy::Never, &settings(mode), root) == Verdict::Allow
    };
    let write = SandboxMode::WorkspaceWrite;
    assert!(judged(write, root.join("src/new.rs")));
    assert!(judged(write, root.join("a/b/c.rs")));
    assert!(!judged(write, root.join(".git/hooks/pre-commit")));
    assert!(!judged(write, root.join(".troupe/config.toml")));
    assert!(!judged(write, root.join("src/../../elsewhere")));
    assert!(!judged(write, PathBuf::from("/etc/passwd")));
    #[cfg(unix)]
    assert!(!judged(write, root.join("way-out/passwd")));
    assert!(!judged(SandboxMode::ReadOnly, root.join("src/new.rs")));
    assert!(judged(SandboxMode::DangerFullAccess, PathBuf::from("/etc/passwd")));
}
