//! Patches inside shell commands: what is recognised, and all that is not.

use std::path::Path;

use super::tree::framed;
use crate::{Intercepted, intercept, intercept_argv, is_bare_patch, parse};

fn body() -> String {
    framed("*** Add File: f\n+$HOME `x` \\ \"\n")
}

fn script(head: &str, delimiter: &str) -> String {
    format!("{head}\n{}{delimiter}\n", body())
}

fn argv(words: &[&str]) -> Option<Intercepted> {
    intercept_argv(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
}

#[test]
fn a_here_document_is_taken_as_it_stands() {
    for head in [
        "apply_patch <<'EOF'",
        "apply_patch <<\"EOF\"",
        "apply_patch <<EOF",
        "apply_patch<<'EOF'",
        "applypatch  << 'EOF'  ",
        "\n  apply_patch <<'EOF'",
    ] {
        let found = intercept(&script(head, "EOF")).unwrap_or_else(|| panic!("{head}"));
        assert_eq!(found, Intercepted { cd: None, patch: body() }, "{head}");
        assert!(parse(&found.patch).is_ok());
    }
    assert!(intercept(&script("apply_patch <<'PATCH_1'", "PATCH_1")).is_some());
}

#[test]
fn a_directory_change_in_front_is_understood() {
    for (head, directory) in [
        ("cd sub && apply_patch <<'EOF'", "sub"),
        ("cd  ../a-b/c.d  &&  apply_patch <<'EOF'", "../a-b/c.d"),
        ("cd \"my dir\" && apply_patch <<'EOF'", "my dir"),
        ("cd 'a $b' && apply_patch <<'EOF'", "a $b"),
        ("cd /abs&&apply_patch <<'EOF'", "/abs"),
        ("cd \u{fc}ber && apply_patch <<EOF", "\u{fc}ber"),
    ] {
        let found = intercept(&script(head, "EOF")).unwrap_or_else(|| panic!("{head}"));
        assert_eq!(found.cd.as_deref(), Some(Path::new(directory)), "{head}");
        assert_eq!(found.patch, body());
    }
}

#[test]
fn anything_else_on_the_line_is_an_ordinary_command() {
    for head in [
        "apply_patch --x <<'EOF'",
        "apply_patch f <<'EOF'",
        "apply_patch <<'EOF' | cat",
        "apply_patch <<'EOF' && ls",
        "apply_patch <<'EOF'; ls",
        "apply_patch <<'EOF' > log",
        "apply_patch <<'EOF' # why",
        "apply_patch <<-'EOF'",
        "apply_patch <<<'EOF'",
        "apply_patch < EOF",
        "apply_patch <<'E'OF",
        "apply_patch <<'EOF\"",
        "apply_patch <<$EOF",
        "apply_patch <<",
        "apply_patchx <<'EOF'",
        "./apply_patch <<'EOF'",
        "echo x; apply_patch <<'EOF'",
        "sudo apply_patch <<'EOF'",
        "X=1 apply_patch <<'EOF'",
        "(apply_patch <<'EOF')",
        "cd a; apply_patch <<'EOF'",
        "cd a || apply_patch <<'EOF'",
        "cd a | apply_patch <<'EOF'",
        "cd a & apply_patch <<'EOF'",
        "cd a b && apply_patch <<'EOF'",
        "cd a && cd b && apply_patch <<'EOF'",
        "cd && apply_patch <<'EOF'",
        "cd - && apply_patch <<'EOF'",
        "cd -P && apply_patch <<'EOF'",
        "cd '' && apply_patch <<'EOF'",
        "cd ~ && apply_patch <<'EOF'",
        "cd ~/x && apply_patch <<'EOF'",
        "cd $HOME && apply_patch <<'EOF'",
        "cd \"$HOME\" && apply_patch <<'EOF'",
        "cd \"`pwd`\" && apply_patch <<'EOF'",
        "cd \"a\\b\" && apply_patch <<'EOF'",
        "cd a* && apply_patch <<'EOF'",
        "cd a\\ b && apply_patch <<'EOF'",
        "cd 'a'b && apply_patch <<'EOF'",
        "cd {a,b} && apply_patch <<'EOF'",
        "cd a\n&& apply_patch <<'EOF'",
    ] {
        assert_eq!(intercept(&script(head, "EOF")), None, "{head}");
    }
}

#[test]
fn nothing_but_blank_lines_may_follow_the_end() {
    let text = script("apply_patch <<'EOF'", "EOF");
    assert!(intercept(&format!("{text}\n  \n")).is_some());
    assert_eq!(intercept(&format!("{text}ls\n")), None);
    assert_eq!(intercept(&script("apply_patch <<'EOF'", "OEF")), None, "no end");
    assert_eq!(intercept(&script("apply_patch <<'EOF'", " EOF")), None, "the end is indented");
    assert_eq!(intercept(&script("apply_patch <<'EOF'", "EOF ")), None, "the end has a blank");
    assert_eq!(intercept("apply_patch <<'EOF'"), None);
}

#[test]
fn windows_line_ends_are_understood() {
    let text = script("cd d && apply_patch <<'EOF'", "EOF").replace('\n', "\r\n");
    let found = intercept(&text).unwrap();
    assert!(parse(&found.patch).is_ok());
}

#[test]
fn the_shells_and_their_flags() {
    let text = script("apply_patch <<'EOF'", "EOF");
    for words in [
        ["bash", "-lc", &text].as_slice(),
        &["/bin/bash", "-c", &text],
        &["zsh", "-lc", &text],
        &["sh", "-c", &text],
        &["pwsh", "-Command", &text],
        &["powershell.exe", "-NoProfile", "-command", &text],
        &[r"C:\Windows\System32\cmd.exe", "/C", &text],
    ] {
        assert_eq!(argv(words).map(|found| found.patch), Some(body()), "{words:?}");
    }
    for words in [
        ["bash", "-x", &text].as_slice(),
        &["bash", "-lc", &text, "arg"],
        &["bash", "-l", "-c", &text],
        &["fish", "-c", &text],
        &["env", "bash", "-c", &text],
        &["pwsh", &text],
        &["pwsh", "-File", &text],
        &["bash"],
        &[],
    ] {
        assert_eq!(argv(words), None, "{words:?}");
    }
}

#[test]
fn the_command_itself_takes_one_argument() {
    for program in ["apply_patch", "applypatch", "/x/bin/apply_patch"] {
        let found = argv(&[program, &body()]);
        assert_eq!(found, Some(Intercepted { cd: None, patch: body() }));
    }
    assert_eq!(argv(&["apply_patch"]), None);
    assert_eq!(argv(&["apply_patch", &body(), "more"]), None);
}

#[test]
fn a_patch_without_a_command_is_told_apart() {
    assert!(is_bare_patch(&body()));
    assert!(is_bare_patch(&format!("\u{feff}\n  {}", body())));
    assert!(!is_bare_patch("echo '*** Begin Patch'"));
    assert!(!is_bare_patch(&script("apply_patch <<'EOF'", "EOF")));
    assert!(!is_bare_patch(""));
}
