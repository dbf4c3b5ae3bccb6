//! Patches: what they do not touch stays as it is, byte for byte and inode for inode.

use super::{
    common::{any, configured, custom_patch, go, is_root, need_namespaces},
    table::{Row, row, skip, table},
};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};
use troupe_tests::{
    binary,
    model_server::*,
    stage::{Finished, Stage},
};

fn patch(body: &str) -> String {
    format!("*** Begin Patch\n{body}*** End Patch\n")
}

fn update(hunks: &str) -> String {
    patch(&format!("*** Update File: f\n{hunks}"))
}

fn apply(stage: &Stage, patch: &str) -> Finished {
    go(stage.program(binary::troupe()).arg("apply-patch").arg(patch))
}

/// The bytes of the file `f` before and after.
fn bytes(
    name: &'static str,
    before: &'static str,
    hunks: &'static str,
    after: &'static str,
) -> Row {
    row(name, move || {
        let stage = Stage::new();
        stage.write("f", before);
        let finished = apply(&stage, &update(hunks));
        finished.assert_success();
        assert_eq!(stage.read("f"), after, "{}", finished.stderr());
        // The same through a call of the model.
        stage.write("f", before);
        let script = Script::new().turn(custom_patch(&update(hunks))).otherwise(say("done"));
        let server = ModelServer::start(script);
        let stage = configured(&server);
        stage.write("f", before);
        go(stage.troupe(["exec", "--json", "-s", "workspace-write", "go"])).assert_success();
        assert_eq!(stage.read("f"), after);
    })
}

#[test]
fn last_lines() {
    let rows = vec![
        bytes("a line in the middle", "a\nb\nc\nlast", "@@\n a\n-b\n+B\n c\n", "a\nB\nc\nlast"),
        bytes("a line that goes", "a\nb\nlast", "@@\n a\n-b\n last\n", "a\nlast"),
        bytes("a line that comes first", "a\nlast", "@@\n+new\n a\n", "new\na\nlast"),
        bytes("the last line as context", "a\nb\nlast", "@@\n-b\n+B\n last\n", "a\nB\nlast"),
        bytes(
            "the last line as context, tied to the end",
            "a\nb\nlast",
            "@@\n-b\n+B\n last\n*** End of File\n",
            "a\nB\nlast",
        ),
        bytes(
            "two hunks before it",
            "a\nb\nc\nd\nlast",
            "@@\n-a\n+A\n b\n@@\n-c\n+C\n d\n",
            "A\nb\nC\nd\nlast",
        ),
        bytes(
            "a header before the hunk",
            "fn x\n a\n b\nlast",
            "@@ fn x\n- a\n+ A\n",
            "fn x\n A\n b\nlast",
        ),
        bytes("blanks at the last line", "a\nlast  ", "@@\n-a\n+A\n", "A\nlast  "),
        bytes("CRLF", "a\r\nb\r\nlast", "@@\n-a\n+A\n b\n", "A\r\nb\r\nlast"),
        bytes("one line is all there is beside it", "x\ny", "@@\n-x\n+X\n", "X\ny"),
        bytes("a long character at the end", "a\né", "@@\n-a\n+A\n", "A\né"),
        bytes("several line ends at the end stay", "a\nb\n\n\n", "@@\n-a\n+A\n b\n", "A\nb\n\n\n"),
        bytes("a line end that is there stays", "a\nb\n", "@@\n-a\n+A\n", "A\nb\n"),
        bytes(
            "lines after it: the old last line ends",
            "a\nlast",
            "@@\n last\n+more\n",
            "a\nlast\nmore\n",
        ),
        row("moved", || {
            let stage = Stage::new();
            stage.write("f", "a\nlast");
            let text = patch("*** Update File: f\n*** Move to: g/h\n@@\n-a\n+A\n");
            apply(&stage, &text).assert_success();
            assert_eq!(stage.read("g/h"), "A\nlast");
            assert!(!stage.exists("f"));
        }),
        row("under the name apply_patch, in a command", || {
            let script = Script::new().turn(super::common::shell("bash -c 'cat p | apply_patch'"));
            let server = ModelServer::start(script.otherwise(say("done")));
            let stage = configured(&server);
            stage.write("f", "a\nlast");
            stage.write("p", update("@@\n-a\n+A\n"));
            go(stage.troupe(["exec", "--json", "-s", "workspace-write", "go"])).assert_success();
            assert_eq!(stage.read("f"), "A\nlast");
        }),
        row("on standard input", || {
            let stage = Stage::new();
            stage.write("f", "a\nlast");
            let text = update("@@\n-a\n+A\n");
            let run = stage.program(binary::troupe()).arg("apply-patch");
            go(run.stdin(troupe_tests::stage::Stdin::Bytes(text.into_bytes()))).assert_success();
            assert_eq!(stage.read("f"), "A\nlast");
        }),
    ];
    table("patches: last lines", &[], rows);
}

#[test]
fn mixed_line_ends() {
    let rows = vec![
        bytes("an LF line among CRLF", "a\r\nb\nc\r\n", "@@\n a\n-b\n+B\n c\n", "a\r\nB\nc\r\n"),
        bytes("others keep theirs", "a\r\nb\nc\r\nd\n", "@@\n-d\n+D\n", "a\r\nb\nc\r\nD\n"),
        bytes("a CRLF line among LF", "a\nb\r\nc\n", "@@\n-c\n+C\n", "a\nb\r\nC\n"),
        bytes(
            "a CRLF line is replaced in place",
            "a\nb\r\nc\n",
            "@@\n a\n-b\n+B\n c\n",
            "a\nB\r\nc\n",
        ),
        bytes("a lone CR inside of a line", "a\rx\nb\n", "@@\n-b\n+B\n", "a\rx\nB\n"),
        bytes("a lone CR at the end of the file", "a\nb\r", "@@\n-a\n+A\n", "A\nb\r"),
        bytes("CR, LF and CRLF", "a\rb\nc\r\nd\n", "@@\n-d\n+D\n", "a\rb\nc\r\nD\n"),
        bytes(
            "context across kinds",
            "a\r\nb\nc\r\nd\n",
            "@@\n a\n b\n-c\n+C\n d\n",
            "a\r\nb\nC\r\nd\n",
        ),
        bytes(
            "a line that comes into CRLF",
            "a\r\nb\r\n",
            "@@\n a\n+new\n b\n",
            "a\r\nnew\r\nb\r\n",
        ),
        bytes("a line that goes from CRLF", "a\r\nb\r\nc\r\n", "@@\n a\n-b\n c\n", "a\r\nc\r\n"),
        bytes("CR before CRLF", "a\r\r\nb\r\n", "@@\n-b\n+B\n", "a\r\r\nB\r\n"),
        row("a patch that is CRLF itself, on an LF file", || {
            let stage = Stage::new();
            stage.write("f", "a\nb\n");
            let text = update("@@\n-a\n+A\n b\n").replace('\n', "\r\n");
            apply(&stage, &text).assert_success();
            assert_eq!(stage.read("f"), "A\nb\n");
        }),
        row("a patch that is CRLF itself, on a CRLF file", || {
            let stage = Stage::new();
            stage.write("f", "a\r\nb\r\n");
            let text = update("@@\n-a\n+A\n b\n").replace('\n', "\r\n");
            apply(&stage, &text).assert_success();
            assert_eq!(stage.read("f"), "A\r\nb\r\n");
        }),
    ];
    table("patches: line ends", &[], rows);
}

/// Gives a file away; skips where that cannot be, as in a namespace of one user.
fn give(path: impl AsRef<std::path::Path>, user: Option<u32>, group: Option<u32>) {
    if let Err(error) = std::os::unix::fs::chown(path, user, group) {
        skip(format!("files cannot be given away here: {error}"));
    }
}

/// After a patch: the fact is as before, or nothing was changed and the refusal names the file.
fn kept_or_refused<T: PartialEq + std::fmt::Debug>(
    stage: &Stage,
    finished: &Finished,
    before: &str,
    facts: (T, T),
) {
    if finished.code() == Some(0) {
        assert_eq!(facts.0, facts.1, "not kept, and not said: {}", finished.stderr());
        assert_eq!(stage.read("f"), before.replace("one", "two"));
    } else {
        assert_eq!(stage.read("f"), before, "refused, and yet changed");
        any(&finished.stderr(), &["f"]);
    }
}

const HUNK: &str = "@@\n-one\n+two\n";

fn python(stage: &Stage, code: &str) -> String {
    let run = go(stage.program("python3").args(["-c", code]));
    if run.code() != Some(0) {
        skip(format!("python3: {}", run.stderr().lines().last().unwrap_or_default()));
    }
    run.stdout()
}

#[test]
fn what_files_are() {
    let mut rows = Vec::new();
    for mode in [0o2644, 0o2755, 0o4755, 0o1644, 0o600, 0o444, 0o777, 0o6711] {
        rows.push(row(format!("mode {mode:o}"), move || {
            let stage = Stage::new();
            stage.write("f", "one\n");
            let path = stage.work().join("f");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let finished = apply(&stage, &update(HUNK));
            let now = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
            kept_or_refused(&stage, &finished, "one\n", (mode, now));
        }));
    }
    rows.push(row("a new file in a set-gid folder", || {
        if !is_root() {
            skip("only root can give a folder to another group");
        }
        let stage = Stage::new();
        stage.write("shared/x", "");
        let folder = stage.work().join("shared");
        give(&folder, None, Some(12));
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o2775)).unwrap();
        apply(&stage, &patch("*** Add File: shared/new\n+x\n*** Add File: shared/sub/deep\n+x\n"))
            .assert_success();
        assert_eq!(fs::metadata(folder.join("new")).unwrap().gid(), 12);
        assert_eq!(fs::metadata(folder.join("sub")).unwrap().gid(), 12);
        assert_eq!(fs::metadata(folder.join("sub")).unwrap().mode() & 0o2000, 0o2000);
        assert_eq!(fs::metadata(folder.join("sub/deep")).unwrap().gid(), 12);
    }));
    rows.push(row("an updated file in a set-gid folder keeps its group", || {
        if !is_root() {
            skip("only root can give files away");
        }
        let stage = Stage::new();
        stage.write("f", "one\n");
        give(stage.work(), None, Some(12));
        fs::set_permissions(stage.work(), fs::Permissions::from_mode(0o2775)).unwrap();
        let finished = apply(&stage, &update(HUNK));
        let gid = fs::metadata(stage.work().join("f")).unwrap().gid();
        kept_or_refused(&stage, &finished, "one\n", (0, gid));
    }));
    rows.push(row("another owner", || {
        if !is_root() {
            skip("only root can give files away");
        }
        let stage = Stage::new();
        stage.write("f", "one\n");
        let path = stage.work().join("f");
        give(&path, Some(1), Some(12));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o2755)).unwrap();
        let finished = apply(&stage, &update(HUNK));
        let data = fs::metadata(&path).unwrap();
        let now = (data.uid(), data.gid(), data.mode() & 0o7777);
        kept_or_refused(&stage, &finished, "one\n", ((1, 12, 0o2755), now));
    }));
    for links in [2, 3] {
        rows.push(row(format!("a file of {links} names"), move || {
            let stage = Stage::new();
            stage.write("f", "one\n");
            let path = stage.work().join("f");
            for at in 1..links {
                fs::hard_link(&path, stage.work().join(format!("g{at}"))).unwrap();
            }
            let finished = apply(&stage, &update(HUNK));
            let count = fs::metadata(&path).unwrap().nlink();
            kept_or_refused(&stage, &finished, "one\n", (links, count));
            assert_eq!(stage.read("g1"), stage.read("f"));
        }));
    }
    rows.push(row("a name outside of the workspace", || {
        let stage = Stage::new();
        stage.write("f", "one\n");
        fs::hard_link(stage.work().join("f"), stage.root().join("other")).unwrap();
        let finished = apply(&stage, &update(HUNK));
        let now = fs::read_to_string(stage.root().join("other")).unwrap();
        kept_or_refused(&stage, &finished, "one\n", (stage.read("f"), now));
    }));
    rows.push(row("a file of two names, through a call of the model", || {
        let script = Script::new().turn(custom_patch(&update(HUNK))).otherwise(say("done"));
        let server = ModelServer::start(script);
        let stage = configured(&server);
        stage.write("f", "one\n");
        fs::hard_link(stage.work().join("f"), stage.work().join("g")).unwrap();
        go(stage.troupe(["exec", "--json", "-s", "workspace-write", "go"])).assert_success();
        assert_eq!(stage.read("f"), stage.read("g"));
    }));
    rows.push(row("a hard-linked file is deleted by one name", || {
        let stage = Stage::new();
        stage.write("f", "one\n");
        fs::hard_link(stage.work().join("f"), stage.work().join("g")).unwrap();
        apply(&stage, &patch("*** Delete File: f\n")).assert_success();
        assert_eq!(stage.read("g"), "one\n");
    }));
    rows.push(row("a hard-linked file is moved", || {
        let stage = Stage::new();
        stage.write("f", "one\n");
        fs::hard_link(stage.work().join("f"), stage.work().join("g")).unwrap();
        let finished =
            apply(&stage, &patch("*** Update File: f\n*** Move to: h\n@@\n-one\n+two\n"));
        if finished.code() == Some(0) {
            assert_eq!((stage.read("h"), stage.exists("f")), ("two\n".to_owned(), false));
        } else {
            assert_eq!((stage.read("f"), stage.exists("h")), ("one\n".to_owned(), false));
        }
    }));
    rows.push(row("a symbolic link stays a link", || {
        let stage = Stage::new();
        stage.write("target", "one\n");
        super::common::link("target", stage.work().join("f"));
        let finished = apply(&stage, &update(HUNK));
        let is_link = fs::symlink_metadata(stage.work().join("f")).unwrap().is_symlink();
        kept_or_refused(&stage, &finished, "one\n", (true, is_link));
    }));
    for (name, attribute) in
        [("of the user", "user.note"), ("of the user, long", "user.a.long.name")]
    {
        rows.push(row(format!("an extended attribute {name}"), move || {
            let stage = Stage::new();
            stage.write("f", "one\n");
            python(&stage, &format!("import os; os.setxattr('f', '{attribute}', b'v\\x00w')"));
            let finished = apply(&stage, &update(HUNK));
            let now = python(&stage, "import os; print(os.listxattr('f'))");
            kept_or_refused(&stage, &finished, "one\n", (format!("['{attribute}']\n"), now));
        }));
    }
    rows.push(row("an extended attribute of a file that is moved", || {
        let stage = Stage::new();
        stage.write("f", "one\n");
        python(&stage, "import os; os.setxattr('f', 'user.note', b'v')");
        apply(&stage, &patch("*** Update File: f\n*** Move to: g\n@@\n-one\n+two\n"))
            .assert_success();
        assert_eq!(python(&stage, "import os; print(os.getxattr('g','user.note'))"), "b'v'\n");
    }));
    rows.push(row("an access list", || {
        let stage = Stage::new();
        stage.write("f", "one\n");
        let set = "import os,struct; e=[(1,6,0xffffffff),(2,4,1234),(4,4,0xffffffff),(16,6,0xffffffff),(32,4,0xffffffff)]; os.setxattr('f','system.posix_acl_access',struct.pack('<I',2)+b''.join(struct.pack('<HHI',*x) for x in e))";
        python(&stage, set);
        let read = "import os; print(os.getxattr('f','system.posix_acl_access') if 'system.posix_acl_access' in os.listxattr('f') else None)";
        let before = python(&stage, read);
        let finished = apply(&stage, &update(HUNK));
        let after = python(&stage, read);
        kept_or_refused(&stage, &finished, "one\n", (before, after));
    }));
    rows.push(row("capabilities of a file", || {
        if !is_root() {
            skip("only root can give capabilities");
        }
        let stage = Stage::new();
        stage.write("f", "one\n");
        python(&stage, "import os,struct; os.setxattr('f','security.capability',struct.pack('<IIIII',0x02000001,1<<10,0,0,0))");
        let finished = apply(&stage, &update(HUNK));
        let now = python(&stage, "import os; print(os.listxattr('f'))");
        kept_or_refused(&stage, &finished, "one\n", ("['security.capability']\n".to_owned(), now));
    }));
    table("patches: what files are", &[], rows);
}

/// Runs a script of mounts in the workspace, then the patch as `$1`, then another script.
fn mounted(stage: &Stage, before: &str, patch: &str, after: &str) -> Finished {
    need_namespaces(stage);
    let script = format!("{before}; \"$0\" apply-patch \"$1\" >&2; echo rc=$?; {after}");
    let run = stage.program("unshare").args(["-Urm", "sh", "-c", &script]);
    go(run.arg(binary::troupe()).arg(patch))
}

#[test]
fn mounts() {
    let two = || {
        let stage = Stage::new();
        stage.write("real", "one\n");
        stage.write("f", "one\n");
        stage.write("other", "one\n");
        stage
    };
    let rows = vec![
        row("the last line of a mounted file stays", move || {
            let stage = two();
            stage.write("real", "one\nlast");
            let seen = mounted(&stage, "mount --bind real f", &update(HUNK), "true");
            assert!(seen.stdout().contains("rc=0"), "{}{}", seen.stdout(), seen.stderr());
            assert_eq!(stage.read("real"), "two\nlast");
        }),
        row("a file that gets shorter", move || {
            let stage = two();
            stage.write("real", "one\nline\nline\nline\n");
            let hunk = "@@\n one\n-line\n-line\n line\n";
            let seen = mounted(&stage, "mount --bind real f", &update(hunk), "true");
            assert!(seen.stdout().contains("rc=0"), "{}", seen.stderr());
            assert_eq!(stage.read("real"), "one\nline\n");
        }),
        row("one of two files is a mount", move || {
            let stage = two();
            let text = patch(
                "*** Update File: other\n@@\n-one\n+two\n*** Update File: f\n@@\n-one\n+two\n",
            );
            let seen = mounted(&stage, "mount --bind real f", &text, "true");
            assert!(seen.stdout().contains("rc=0"), "{}", seen.stderr());
            assert_eq!((stage.read("real"), stage.read("other")), ("two\n".into(), "two\n".into()));
        }),
        row("a read-only mount refuses, and the other file stays", move || {
            let stage = two();
            let text = patch(
                "*** Update File: other\n@@\n-one\n+two\n*** Update File: f\n@@\n-one\n+two\n",
            );
            let mounts = "mount --bind real f && mount -o remount,bind,ro f";
            let seen = mounted(&stage, mounts, &text, "true");
            assert!(!seen.stdout().contains("rc=0"), "{}", seen.stdout());
            assert_eq!((stage.read("real"), stage.read("other")), ("one\n".into(), "one\n".into()));
        }),
        row("a mount is deleted: refused before anything is written", move || {
            let stage = two();
            let text = patch("*** Update File: other\n@@\n-one\n+two\n*** Delete File: f\n");
            let seen = mounted(&stage, "mount --bind real f", &text, "true");
            assert!(!seen.stdout().contains("rc=0"), "{}", seen.stdout());
            assert_eq!((stage.read("real"), stage.read("other")), ("one\n".into(), "one\n".into()));
        }),
        row("a mount is moved: refused before anything is written", move || {
            let stage = two();
            let text = patch(
                "*** Update File: other\n@@\n-one\n+two\n*** Update File: f\n*** Move to: g\n@@\n-one\n+two\n",
            );
            let seen = mounted(&stage, "mount --bind real f", &text, "true");
            assert!(!seen.stdout().contains("rc=0"), "{}", seen.stdout());
            assert_eq!((stage.read("real"), stage.read("other")), ("one\n".into(), "one\n".into()));
            assert!(!stage.exists("g"));
        }),
        row("a file is moved onto a mount", move || {
            let stage = two();
            let text = patch("*** Update File: other\n*** Move to: f\n@@\n-one\n+two\n");
            let seen = mounted(&stage, "mount --bind real f", &text, "true");
            if seen.stdout().contains("rc=0") {
                assert_eq!((stage.read("real"), stage.exists("other")), ("two\n".into(), false));
            } else {
                assert_eq!(
                    (stage.read("real"), stage.read("other")),
                    ("one\n".into(), "one\n".into())
                );
            }
        }),
        row("an added file over a mount", move || {
            let stage = two();
            let text = patch("*** Add File: f\n+two\n");
            let seen = mounted(&stage, "mount --bind real f", &text, "cat f");
            let out = seen.stdout();
            assert!(!out.contains("rc=0") || out.contains("two"), "{out}{}", seen.stderr());
        }),
        row("a folder that is a mount", move || {
            let stage = two();
            stage.write("real.d/f", "one\n");
            stage.write("d/x", "");
            let text = patch("*** Update File: d/f\n@@\n-one\n+two\n*** Add File: d/g\n+x\n");
            let seen = mounted(&stage, "mount --bind real.d d", &text, "true");
            assert!(seen.stdout().contains("rc=0"), "{}", seen.stderr());
            assert_eq!(stage.read("real.d/f"), "two\n");
            assert!(stage.exists("real.d/g"));
        }),
        row("a move from one file system to another", move || {
            let stage = two();
            fs::create_dir(stage.work().join("d")).unwrap();
            let text = patch("*** Update File: f\n*** Move to: d/g\n@@\n-one\n+two\n");
            let seen = mounted(&stage, "mount -t tmpfs none d", &text, "cat d/g");
            assert!(seen.stdout().contains("rc=0\ntwo"), "{}{}", seen.stdout(), seen.stderr());
            assert!(!stage.exists("f"));
        }),
        row("a mounted file with two names", move || {
            let stage = two();
            fs::hard_link(stage.work().join("real"), stage.work().join("real2")).unwrap();
            let seen = mounted(&stage, "mount --bind real f", &update(HUNK), "true");
            let now = (stage.read("real"), stage.read("real2"));
            assert_eq!(now.0, now.1, "{}", seen.stderr());
        }),
        row("mode and owner of a mounted file", move || {
            let stage = two();
            let path = stage.work().join("real");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o2751)).unwrap();
            let seen = mounted(&stage, "mount --bind real f", &update(HUNK), "true");
            let mode = fs::metadata(&path).unwrap().mode() & 0o7777;
            if seen.stdout().contains("rc=0") {
                assert_eq!((mode, stage.read("real")), (0o2751, "two\n".to_owned()));
            } else {
                assert_eq!(stage.read("real"), "one\n");
            }
        }),
    ];
    table("patches: mounts", &[], rows);
}
