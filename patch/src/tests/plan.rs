//! What a plan says before anything is written.

use std::path::PathBuf;

use super::tree::Tree;
use crate::ChangeKind;

#[test]
fn each_change_carries_both_contents_and_a_diff_with_one_line_of_context() {
    let tree = Tree::new(&[("f", "1\n2\n3\n4\n5\n6\n"), ("gone", "x\n")]);
    let plan = tree
        .plan("*** Update File: f\n@@\n-3\n+three\n*** Delete File: gone\n*** Add File: n\n+new\n")
        .unwrap();
    let [update, delete, add] = plan.changes() else { panic!("{:?}", plan.changes()) };

    assert_eq!(update.kind, ChangeKind::Update);
    assert_eq!(update.path, tree.path("f"));
    assert_eq!(update.before.as_deref(), Some(b"1\n2\n3\n4\n5\n6\n".as_slice()));
    assert_eq!(update.after.as_deref(), Some(b"1\n2\nthree\n4\n5\n6\n".as_slice()));
    insta::assert_snapshot!(update.diff_with_header(), @r"
    --- f
    +++ f
    @@ -2,3 +2,3 @@
     2
    -3
    +three
     4
    ");
    assert_eq!((&delete.kind, delete.after.as_deref()), (&ChangeKind::Delete, None));
    insta::assert_snapshot!(delete.diff_with_header(), @r"
    --- gone
    +++ /dev/null
    @@ -1 +0,0 @@
    -x
    ");
    assert_eq!((&add.kind, add.before.as_deref()), (&ChangeKind::Add, None));
    assert!(!add.overwrites);
    insta::assert_snapshot!(add.diff_with_header(), @r"
    --- /dev/null
    +++ n
    @@ -0,0 +1 @@
    +new
    ");
}

#[test]
fn a_move_is_one_change_with_both_places() {
    let tree = Tree::new(&[("a", "x\n"), ("b", "in the way\n")]);
    let plan = tree.plan("*** Update File: a\n*** Move to: b\n@@\n-x\n+y\n").unwrap();
    let [change] = plan.changes() else { panic!("{:?}", plan.changes()) };
    let kind = ChangeKind::Move { to: tree.path("b"), to_display: "b".to_owned() };
    assert_eq!((&change.kind, change.overwrites), (&kind, true));
    assert_eq!(change.after.as_deref(), Some(b"y\n".as_slice()));
    assert_eq!(plan.touched_paths(), [tree.path("a"), tree.path("b")]);
    assert_eq!(plan.summary().modified, ["b"]);
}

#[test]
fn an_add_over_a_file_says_that_it_overwrites() {
    let tree = Tree::new(&[("f", "old\n")]);
    let plan = tree.plan("*** Add File: f\n+new\n").unwrap();
    assert_eq!(plan.changes()[0].kind, ChangeKind::Add);
    assert!(plan.changes()[0].overwrites);
}

#[test]
fn paths_are_made_absolute_by_text_and_dots_taken_out() {
    let tree = Tree::new(&[("f", "x\n")]);
    let absolute = tree.path("sub/abs").display().to_string();
    let plan =
        tree.plan(&format!("*** Add File: nowhere/.././new\n*** Add File: {absolute}\n")).unwrap();
    let paths: Vec<PathBuf> = plan.changes().iter().map(|change| change.path.clone()).collect();
    assert_eq!(paths, [tree.path("new"), tree.path("sub/abs")]);
    assert_eq!(plan.changes()[0].display, "nowhere/.././new");
}

#[test]
fn a_path_that_climbs_out_is_shown_where_it_leads() {
    let tree = Tree::new(&[]);
    let outside = tree.root().parent().unwrap().join("somebody-elses");
    let plan = tree.plan("*** Add File: ../somebody-elses\n").unwrap();
    assert_eq!(plan.touched_paths(), [outside]);
}

#[test]
fn a_later_hunk_sees_what_an_earlier_one_left() {
    let tree = Tree::new(&[("f", "a\nb\n")]);
    let hunks = "*** Update File: f\n@@\n-a\n+A\n*** Update File: ./f\n@@\n-A\n+Z\n";
    let plan = tree.plan(hunks).unwrap();
    assert_eq!(plan.changes().len(), 1, "one file, one change");
    assert_eq!(plan.repeated_paths(), [tree.path("f")]);
    assert_eq!(plan.changes()[0].after.as_deref(), Some(b"Z\nb\n".as_slice()));
}

#[test]
fn planning_writes_nothing() {
    let tree = Tree::new(&[("f", "a\n"), ("g", "b\n")]);
    let before = tree.files();
    tree.plan(
        "*** Update File: f\n*** Move to: deep/er/f\n@@\n-a\n+b\n*** Delete File: g\n\
         *** Add File: x/y\n+z\n",
    )
    .unwrap();
    assert_eq!(tree.files(), before);
}

#[test]
fn a_file_may_be_replaced_by_a_directory_with_files() {
    let tree = Tree::new(&[("d", "file\n")]);
    tree.patch("*** Delete File: d\n*** Add File: d/inside\n+x\n").unwrap();
    assert_eq!(tree.names(), ["d/", "d/inside"]);
}

#[test]
fn a_place_cannot_be_a_file_and_a_directory() {
    let tree = Tree::new(&[("file", "x\n"), ("dir/f", "x\n")]);
    for hunks in [
        "*** Add File: file/below\n+x\n",
        "*** Add File: dir\n+x\n",
        "*** Add File: new\n*** Add File: new/below\n",
        "*** Add File: new/below\n*** Add File: new\n",
        "*** Delete File: dir\n",
        "*** Update File: file\n*** Move to: dir\n@@\n-x\n",
    ] {
        let before = tree.files();
        assert!(tree.patch(hunks).is_err(), "{hunks}");
        assert_eq!(tree.files(), before, "{hunks}");
    }
}

#[test]
fn bytes_that_are_not_text_can_be_deleted_and_replaced_but_not_updated() {
    let tree = Tree::new(&[]);
    tree.write("bin", [0xff, 0xfe, 0, b'\n']);
    assert!(tree.patch("*** Update File: bin\n@@\n-a\n+b\n").is_err());
    let plan = tree.plan("*** Delete File: bin\n").unwrap();
    assert_eq!(plan.changes()[0].unified_diff, "Binary files differ\n");
    tree.patch("*** Add File: bin\n+text\n").unwrap();
    assert_eq!(tree.read("bin"), "text\n");
}

#[test]
fn a_deleted_file_cannot_be_updated_afterwards_but_added_again() {
    let tree = Tree::new(&[("f", "a\n")]);
    assert!(tree.patch("*** Delete File: f\n*** Update File: f\n@@\n-a\n").is_err());
    assert!(tree.patch("*** Delete File: f\n*** Delete File: f\n").is_err());
    tree.patch("*** Delete File: f\n*** Add File: f\n+b\n").unwrap();
    assert_eq!(tree.read("f"), "b\n");
}
