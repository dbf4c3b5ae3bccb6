//! `list_dir` on real folders.

use super::{folder, stops, text, text_within};

#[test]
fn levels_of_a_folder() {
    let dir = folder(&[
        ("b.txt", b""),
        (".hidden", b""),
        (".git/HEAD", b""),
        ("a/inner/deep.txt", b""),
        ("a/z.txt", b""),
        ("empty/", b""),
    ]);
    let table = [
        (r#"{"depth":1}"#, "@/\n.git/\n.hidden\na/\nb.txt\nempty/"),
        ("", "@/\n.git/\n.hidden\na/\n  inner/\n  z.txt\nb.txt\nempty/"),
        (r#"{"path":"a","depth":3}"#, "@/a/\ninner/\n  deep.txt\nz.txt"),
        (r#"{"path":"empty"}"#, "@/empty/\n[the directory is empty]"),
        (r#"{"depth":1,"limit":2}"#, "@/\n.git/\n.hidden\n[3 more entries; next offset 3]"),
        (r#"{"depth":1,"offset":4}"#, "@/\nb.txt\nempty/"),
        (r#"{"depth":1,"offset":9}"#, "error: @ has only 5 entries: offset 9 is past its end"),
        (r#"{"path":"b.txt"}"#, "error: @/b.txt is not a directory: use read_file"),
        (r#"{"path":"aa"}"#, "error: @/aa does not exist (there is @ but no aa in it)"),
        (r#"{"path":".git"}"#, "@/.git/\nHEAD"),
    ];
    for (arguments, expected) in table {
        assert_eq!(text(dir.path(), "list_dir", arguments), expected, "{arguments}");
    }
}

#[test]
fn a_large_folder_below_does_not_hide_the_rest() {
    let names: Vec<String> = (0..130).map(|n| format!("many/f{n:03}")).collect();
    let mut files: Vec<(&str, &[u8])> =
        names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    files.push(("zz", b""));
    let dir = folder(&files);
    let shown = text(dir.path(), "list_dir", "");
    assert!(shown.ends_with("  f099\n  … 30 more in many/\nzz"), "{shown}");
    let whole = text(dir.path(), "list_dir", r#"{"path":"many"}"#);
    assert_eq!(whole.lines().count(), 131);
}

#[test]
fn a_listing_stays_within_its_budget() {
    let names: Vec<String> = (0..300).map(|n| format!("file-with-a-name-{n:03}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let dir = folder(&files);
    let shown = text_within(dir.path(), 500, "list_dir", "");
    assert!(shown.len() <= 2000, "{}", shown.len());
    let last = shown.lines().count() - 2;
    let note = format!("[{} more entries; next offset {}]", 300 - last, last + 1);
    assert_eq!(shown.lines().last(), Some(note.as_str()));
    assert!(stops(dir.path(), "list_dir", "", 0));
}

#[cfg(unix)]
#[test]
fn links_sockets_and_odd_names() {
    let dir = folder(&[("target/", b""), ("target/x", b""), ("a\nb", b"")]);
    std::os::unix::fs::symlink("target", dir.path().join("link")).unwrap();
    std::os::unix::fs::symlink("gone", dir.path().join("broken")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("sock")).unwrap();
    assert_eq!(
        text(dir.path(), "list_dir", ""),
        "@/\na\\nb\nbroken -> gone\nlink -> target\nsock (a socket)\ntarget/\n  x"
    );
    assert_eq!(text(dir.path(), "list_dir", r#"{"path":"link"}"#), "@/link/\nx");
}
