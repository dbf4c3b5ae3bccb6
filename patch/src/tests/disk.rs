//! What the real file system keeps: permissions, links, whole files.

use std::fs;
use std::path::Path;

use super::tree::Tree;
use crate::{FileSystem, RealFileSystem};

#[test]
fn a_replaced_file_is_a_new_one_so_that_a_reader_keeps_the_old() {
    let tree = Tree::new(&[("f", "old\n")]);
    let mut reader = fs::File::open(tree.path("f")).unwrap();
    tree.patch("*** Update File: f\n@@\n-old\n+new\n").unwrap();
    let seen = std::io::read_to_string(&mut reader).unwrap();
    assert_eq!((seen.as_str(), tree.read("f").as_str()), ("old\n", "new\n"));
    assert_eq!(tree.names(), ["f"], "no temporary file stays");
}

#[test]
fn a_staged_file_that_is_dropped_takes_its_directories_along() {
    let tree = Tree::new(&[("kept/f", "")]);
    let place = tree.path("kept/x/y/z");
    drop(RealFileSystem.stage(&place, b"text", &place).unwrap());
    assert_eq!(tree.names(), ["kept/", "kept/f"]);
}

#[test]
fn write_atomic_creates_and_replaces() {
    let tree = Tree::new(&[]);
    RealFileSystem.write_atomic(&tree.path("d/f"), b"1").unwrap();
    RealFileSystem.write_atomic(&tree.path("d/f"), b"2").unwrap();
    assert_eq!((tree.names(), tree.read("d/f")), (vec!["d/".into(), "d/f".into()], "2".into()));
}

#[test]
fn names_as_long_as_the_system_allows_can_be_written() {
    let name = "n".repeat(255);
    let tree = Tree::new(&[]);
    tree.patch(&format!("*** Add File: {name}\n+x\n")).unwrap();
    tree.patch(&format!("*** Update File: {name}\n@@\n-x\n+y\n")).unwrap();
    assert_eq!(tree.read(&name), "y\n");
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().mode() & 0o7777
    }

    fn set_mode(tree: &Tree, name: &str, mode: u32) {
        fs::set_permissions(tree.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn permissions_are_kept_by_updates_replacements_and_moves() {
        let tree =
            Tree::new(&[("run", "a\n"), ("secret", "a\n"), ("moved", "a\n"), ("target", "")]);
        set_mode(&tree, "run", 0o755);
        set_mode(&tree, "secret", 0o600);
        set_mode(&tree, "moved", 0o711);
        tree.patch(
            "*** Update File: run\n@@\n-a\n+b\n*** Add File: secret\n+b\n\
             *** Update File: moved\n*** Move to: target\n@@\n-a\n+b\n",
        )
        .unwrap();
        assert_eq!(mode(&tree.path("run")), 0o755);
        assert_eq!(mode(&tree.path("secret")), 0o600);
        assert_eq!(mode(&tree.path("target")), 0o711);
    }

    #[test]
    fn special_bits_are_kept() {
        let tree = Tree::new(&[("f", "a\n"), ("moved", "a\n"), ("linked", "a\n")]);
        fs::hard_link(tree.path("linked"), tree.path("linked2")).unwrap();
        let modes = [("f", 0o6755), ("moved", 0o2711), ("linked", 0o4750)];
        modes.iter().for_each(|(name, mode)| set_mode(&tree, name, *mode));
        tree.patch(
            "*** Update File: f\n@@\n-a\n+b\n*** Update File: linked\n@@\n-a\n+b\n\
             *** Update File: moved\n*** Move to: target\n@@\n-a\n+b\n",
        )
        .unwrap();
        assert_eq!(mode(&tree.path("f")), 0o6755);
        assert_eq!(mode(&tree.path("target")), 0o2711);
        assert_eq!(mode(&tree.path("linked2")), 0o4750);
        assert_eq!(tree.read("linked2"), "b\n");
    }

    #[test]
    fn hard_links_stay_linked() {
        let tree = Tree::new(&[("a", "one\ntwo\n"), ("c", "x\n")]);
        fs::hard_link(tree.path("a"), tree.path("b")).unwrap();
        tree.patch("*** Update File: a\n@@\n-one\n+ONE\n*** Delete File: c\n").unwrap();
        assert_eq!((tree.read("a"), tree.read("b")), ("ONE\ntwo\n".into(), "ONE\ntwo\n".into()));
        assert_eq!(tree.path("a").metadata().unwrap().nlink(), 2);
        assert_eq!(tree.names(), ["a", "b"]);
        // Shorter as well as longer.
        tree.patch("*** Update File: b\n@@\n-ONE\n-two\n+1\n").unwrap();
        assert_eq!(tree.read("a"), "1\n");
        // A whole new text keeps the names together too.
        tree.patch("*** Add File: a\n+new\n").unwrap();
        assert_eq!(tree.read("b"), "new\n");
    }

    #[test]
    fn two_hard_links_in_one_patch_are_one_file() {
        let tree = Tree::new(&[("a", "one\ntwo\n")]);
        fs::hard_link(tree.path("a"), tree.path("b")).unwrap();
        tree.patch("*** Update File: a\n@@\n-one\n+ONE\n*** Update File: b\n@@\n-two\n+TWO\n")
            .unwrap();
        assert_eq!((tree.read("a"), tree.read("b")), ("ONE\nTWO\n".into(), "ONE\nTWO\n".into()));
        // One name goes, the other is changed.
        tree.patch("*** Update File: a\n@@\n-ONE\n+1\n*** Delete File: b\n").unwrap();
        assert_eq!((tree.names(), tree.read("a")), (vec!["a".to_owned()], "1\nTWO\n".into()));
    }

    #[test]
    fn a_move_that_would_part_hard_links_is_refused_before_anything_is_written() {
        let tree = Tree::new(&[("a", "one\n"), ("c", "x\n")]);
        fs::hard_link(tree.path("a"), tree.path("b")).unwrap();
        let before = tree.files();
        let error = tree
            .patch("*** Update File: c\n@@\n-x\n+y\n*** Update File: a\n*** Move to: z\n@@\n one\n")
            .unwrap_err();
        assert!(error.contains("several names (hard links)"), "{error}");
        assert!(error.contains("Nothing was written"), "{error}");
        assert_eq!(tree.files(), before);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn extended_attributes_are_kept_by_replacements_moves_and_writes_in_place() {
        use rustix::fs::{XattrFlags, getxattr, setxattr};
        let tree = Tree::new(&[("f", "a\n"), ("moved", "a\n"), ("linked", "a\n")]);
        fs::hard_link(tree.path("linked"), tree.path("linked2")).unwrap();
        let set = |name: &str| {
            setxattr(tree.path(name), "user.mark", b"kept", XattrFlags::empty()).is_ok()
        };
        if !["f", "moved", "linked"].into_iter().all(set) {
            println!("skipped: this file system has no extended attributes");
            return;
        }
        tree.patch(
            "*** Update File: f\n@@\n-a\n+b\n*** Update File: linked\n@@\n-a\n+b\n\
             *** Update File: moved\n*** Move to: target\n@@\n-a\n+b\n",
        )
        .unwrap();
        for name in ["f", "target", "linked2"] {
            let mut value = [0; 8];
            let length = getxattr(tree.path(name), "user.mark", value.as_mut_slice()).unwrap();
            assert_eq!((&value[..length], tree.read(name).as_str()), (b"kept".as_slice(), "b\n"));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn access_lists_are_kept_and_those_a_folder_gives_are_not_added() {
        use rustix::fs::{XattrFlags, getxattr, setxattr};
        // Version 2; owner rw, user 12345 rw, group r, mask rw, others none.
        let entry = |tag: u16, permissions: u16, id: u32| {
            [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        let none = u32::MAX;
        let list = [
            2_u32.to_le_bytes().to_vec(),
            entry(1, 6, none),
            entry(2, 6, 12345),
            entry(4, 4, none),
            entry(16, 6, none),
            entry(32, 0, none),
        ]
        .concat();
        let tree = Tree::new(&[("f", "a\n"), ("folder/plain", "a\n")]);
        let set = |name: &str, attribute: &str| {
            setxattr(tree.path(name), attribute, &list, XattrFlags::empty())
        };
        if set("f", "system.posix_acl_access").is_err() {
            println!("skipped: this file system has no access lists");
            return;
        }
        set("folder", "system.posix_acl_default").unwrap();
        tree.patch("*** Update File: f\n@@\n-a\n+b\n*** Update File: folder/plain\n@@\n-a\n+b\n")
            .unwrap();
        let mut value = [0; 256];
        let length =
            getxattr(tree.path("f"), "system.posix_acl_access", value.as_mut_slice()).unwrap();
        assert_eq!(&value[..length], list);
        let added =
            getxattr(tree.path("folder/plain"), "system.posix_acl_access", value.as_mut_slice());
        assert!(added.is_err());
    }

    #[test]
    fn a_file_in_a_folder_that_takes_no_new_ones_is_written_in_place() {
        let tree = Tree::new(&[("folder/f", "a\n")]);
        set_mode(&tree, "folder", 0o555);
        tree.patch("*** Update File: folder/f\n@@\n-a\n+b\n").unwrap();
        set_mode(&tree, "folder", 0o755);
        assert_eq!(tree.read("folder/f"), "b\n");
        assert_eq!(tree.names(), ["folder/", "folder/f"]);
    }

    #[test]
    fn a_new_file_gets_the_permissions_any_program_would_give() {
        let tree = Tree::new(&[("usual", "")]);
        tree.patch("*** Add File: new\n+x\n").unwrap();
        assert_eq!(mode(&tree.path("new")), mode(&tree.path("usual")));
    }

    #[test]
    fn an_update_through_a_link_changes_its_target_and_keeps_the_link() {
        let tree = Tree::new(&[("real", "a\n")]);
        symlink("real", tree.path("link")).unwrap();
        let plan = tree.plan("*** Update File: link\n@@\n-a\n+b\n").unwrap();
        assert_eq!(plan.touched_paths(), [tree.path("link"), tree.path("real")]);
        tree.patch("*** Update File: link\n@@\n-a\n+b\n").unwrap();
        assert_eq!(fs::read_link(tree.path("link")).unwrap(), Path::new("real"));
        assert_eq!(tree.read("real"), "b\n");
    }

    #[test]
    fn two_names_of_one_file_are_one_file() {
        let tree = Tree::new(&[("real", "a\nb\n")]);
        symlink("real", tree.path("link")).unwrap();
        tree.patch("*** Update File: real\n@@\n-a\n+A\n*** Update File: link\n@@\n-b\n+B\n")
            .unwrap();
        assert_eq!(tree.read("real"), "A\nB\n");
    }

    #[test]
    fn deleting_or_moving_a_link_leaves_the_file_it_points_to_alone() {
        let tree = Tree::new(&[("real", "a\n")]);
        symlink("real", tree.path("link")).unwrap();
        tree.patch("*** Update File: link\n*** Move to: copy\n@@\n-a\n+b\n").unwrap();
        assert_eq!((tree.read("real"), tree.read("copy")), ("a\n".into(), "b\n".into()));
        assert!(!tree.has("link"));

        symlink("real", tree.path("link")).unwrap();
        symlink("nowhere", tree.path("dangling")).unwrap();
        tree.patch("*** Delete File: link\n*** Delete File: dangling\n").unwrap();
        assert_eq!(tree.names(), ["copy", "real"]);
    }

    #[test]
    fn a_link_out_of_the_directory_is_shown_with_the_place_it_leads_to() {
        let outside = Tree::new(&[("f", "a\n")]);
        let tree = Tree::new(&[]);
        symlink(outside.root(), tree.path("dir")).unwrap();
        symlink(outside.path("f"), tree.path("file")).unwrap();
        let plan = tree.plan("*** Add File: dir/new\n+x\n*** Delete File: file\n").unwrap();
        assert!(plan.touched_paths().contains(&outside.path("new")));
        let plan = tree.plan("*** Update File: file\n@@\n-a\n+b\n").unwrap();
        assert!(plan.touched_paths().contains(&outside.path("f")));
    }

    #[test]
    fn nothing_is_created_through_a_dangling_link_that_leads_outside() {
        let outside = Tree::new(&[]);
        let tree = Tree::new(&[]);
        symlink(outside.path("new"), tree.path("out")).unwrap();
        let error = tree.patch("*** Add File: out\n+x\n").unwrap_err();
        assert!(error.contains("outside the working directory"), "{error}");
        assert!(outside.names().is_empty());

        // Inside the working directory it is an ordinary new file.
        symlink("new", tree.path("in")).unwrap();
        tree.patch("*** Add File: in\n+x\n").unwrap();
        assert_eq!(tree.read("new"), "x\n");
    }

    #[test]
    fn links_in_a_circle_are_an_error_not_a_hang() {
        let tree = Tree::new(&[]);
        symlink("b", tree.path("a")).unwrap();
        symlink("a", tree.path("b")).unwrap();
        assert!(tree.patch("*** Add File: a\n+x\n").is_err());
        assert!(tree.patch("*** Update File: a\n@@\n-x\n").is_err());
    }

    #[expect(clippy::disallowed_methods, reason = "the standard library cannot make a pipe")]
    #[test]
    fn a_pipe_is_refused_without_waiting_for_a_writer() {
        let tree = Tree::new(&[]);
        let made = std::process::Command::new("mkfifo").arg(tree.path("pipe")).status().unwrap();
        assert!(made.success());
        for hunks in
            ["*** Update File: pipe\n@@\n-x\n", "*** Delete File: pipe\n", "*** Add File: pipe\n"]
        {
            let error = tree.patch(hunks).unwrap_err();
            assert!(error.contains("is not a file"), "{error}");
        }
    }

    #[test]
    fn a_read_only_file_is_refused_to_an_ordinary_user() {
        let tree = Tree::new(&[("f", "a\n")]);
        set_mode(&tree, "f", 0o444);
        let may_write = fs::OpenOptions::new().write(true).open(tree.path("f")).is_ok();
        let outcome = tree.patch("*** Update File: f\n@@\n-a\n+b\n");
        // The superuser may write everything, here as with any editor.
        assert_eq!(outcome.is_ok(), may_write);
        assert_eq!(mode(&tree.path("f")), 0o444);
        assert_eq!(tree.names(), ["f"]);
    }
}
