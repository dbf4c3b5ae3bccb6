//! What every implementation of the language agrees on: a tree, a patch, and the tree afterwards.
//!
//! The cases are those of the public suite of the language, told in our words. One differs on
//! purpose: where a later hunk fails, the suite wants what came before it to stay; here nothing does.

use super::tree::Tree;

struct Scenario {
    name: &'static str,
    before: &'static [(&'static str, &'static str)],
    patch: &'static str,
    /// `None` if the patch is refused: then the tree is as before.
    after: Option<&'static [(&'static str, &'static str)]>,
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a new file",
        before: &[],
        patch: "*** Begin Patch\n*** Add File: readme\n+first\n+second\n*** End Patch\n",
        after: Some(&[("readme", "first\nsecond\n")]),
    },
    Scenario {
        name: "several operations, one of them in a new folder",
        before: &[("keep", "a\nb\n"), ("old", "gone\n")],
        patch: "*** Begin Patch\n*** Add File: deep/new\n+n\n*** Delete File: old\n*** Update File: keep\n@@\n-b\n+B\n*** End Patch\n",
        after: Some(&[("deep/new", "n\n"), ("keep", "a\nB\n")]),
    },
    Scenario {
        name: "several chunks in one file",
        before: &[("f", "1\n2\n3\n4\n")],
        patch: "*** Begin Patch\n*** Update File: f\n@@\n-2\n+two\n@@\n-4\n+four\n*** End Patch\n",
        after: Some(&[("f", "1\ntwo\n3\nfour\n")]),
    },
    Scenario {
        name: "a move into a folder that is not there",
        before: &[("from/f", "x\n"), ("from/g", "other\n")],
        patch: "*** Begin Patch\n*** Update File: from/f\n*** Move to: to/deep/f\n@@\n-x\n+y\n*** End Patch\n",
        after: Some(&[("from/g", "other\n"), ("to/deep/f", "y\n")]),
    },
    Scenario {
        name: "a patch of nothing",
        before: &[("f", "a\n")],
        patch: "*** Begin Patch\n*** End Patch\n",
        after: None,
    },
    Scenario {
        name: "lines that are not there",
        before: &[("f", "a\nb\n")],
        patch: "*** Begin Patch\n*** Update File: f\n@@\n-zz\n+b\n*** End Patch\n",
        after: None,
    },
    Scenario {
        name: "the deletion of a missing file",
        before: &[("f", "a\n")],
        patch: "*** Begin Patch\n*** Delete File: missing\n*** End Patch\n",
        after: None,
    },
    Scenario {
        name: "an update without a chunk",
        before: &[("f", "a\n")],
        patch: "*** Begin Patch\n*** Update File: f\n*** End Patch\n",
        after: None,
    },
    Scenario {
        name: "the update of a missing file",
        before: &[("f", "a\n")],
        patch: "*** Begin Patch\n*** Update File: missing\n@@\n-a\n+b\n*** End Patch\n",
        after: None,
    },
    Scenario {
        name: "a move onto a file",
        before: &[("from/f", "x\n"), ("from/g", "other\n"), ("to/f", "in the way\n")],
        patch: "*** Begin Patch\n*** Update File: from/f\n*** Move to: to/f\n@@\n-x\n+y\n*** End Patch\n",
        after: Some(&[("from/g", "other\n"), ("to/f", "y\n")]),
    },
    Scenario {
        name: "an add onto a file",
        before: &[("f", "old\n")],
        patch: "*** Begin Patch\n*** Add File: f\n+new\n*** End Patch\n",
        after: Some(&[("f", "new\n")]),
    },
    Scenario {
        name: "the deletion of a folder",
        before: &[("folder/f", "a\n")],
        patch: "*** Begin Patch\n*** Delete File: folder\n*** End Patch\n",
        after: None,
    },
    Scenario {
        name: "a header that is none",
        before: &[("f", "a\n")],
        patch: "*** Begin Patch\n*** Change File: f\n*** End Patch\n",
        after: None,
    },
    Scenario {
        name: "the replacement of a last line without an end gets one",
        before: &[("f", "unended")],
        patch: "*** Begin Patch\n*** Update File: f\n@@\n-unended\n+one\n+two\n*** End Patch\n",
        after: Some(&[("f", "one\ntwo\n")]),
    },
    // In the public suite `new` stays.
    Scenario {
        name: "a later hunk that fails takes the earlier ones with it",
        before: &[],
        patch: "*** Begin Patch\n*** Add File: new\n+n\n*** Update File: missing\n@@\n-a\n+b\n*** End Patch\n",
        after: None,
    },
    Scenario {
        name: "a chunk of new lines alone",
        before: &[("f", "a\nb\n")],
        patch: "*** Begin Patch\n*** Update File: f\n@@\n+c\n+d\n*** End Patch\n",
        after: Some(&[("f", "a\nb\nc\nd\n")]),
    },
    Scenario {
        name: "blanks before a file's header",
        before: &[("f", "a\n")],
        patch: "*** Begin Patch\n   *** Update File: f\n@@\n-a\n+b\n*** End Patch\n",
        after: Some(&[("f", "b\n")]),
    },
    Scenario {
        name: "blanks around the whole text",
        before: &[("f", "a\n")],
        patch: "  *** Begin Patch\n*** Update File: f\n@@\n-a\n+b\n*** End Patch  \n",
        after: Some(&[("f", "b\n")]),
    },
    Scenario {
        name: "blanks after the first marker and before the last",
        before: &[("f", "a\n")],
        patch: "*** Begin Patch  \n*** Update File: f\n@@\n-a\n+b\n  *** End Patch\n",
        after: Some(&[("f", "b\n")]),
    },
    Scenario {
        name: "letters beyond ASCII",
        before: &[("f", "eins\nÜbermut über 3 €\n")],
        patch: "*** Begin Patch\n*** Update File: f\n@@\n eins\n-Übermut über 3 €\n+Übermut über 3 € 🙂\n*** End Patch \n",
        after: Some(&[("f", "eins\nÜbermut über 3 € 🙂\n")]),
    },
    Scenario {
        name: "the deletion of a file",
        before: &[("f", "a\n"), ("g", "b\n")],
        patch: "*** Begin Patch\n*** Delete File: f\n*** End Patch\n",
        after: Some(&[("g", "b\n")]),
    },
    Scenario {
        name: "a chunk that only removes",
        before: &[("f", "1\n2\n3\n")],
        patch: "*** Begin Patch\n*** Update File: f\n@@\n 1\n-2\n 3\n*** End Patch\n",
        after: Some(&[("f", "1\n3\n")]),
    },
    Scenario {
        name: "a chunk tied to the end",
        before: &[("f", "a\nb\n")],
        patch: "*** Begin Patch\n*** Update File: f\n@@\n a\n-b\n+B\n*** End of File\n*** End Patch\n",
        after: Some(&[("f", "a\nB\n")]),
    },
];

#[test]
fn every_scenario_ends_as_it_should() {
    for Scenario { name, before, patch, after } in SCENARIOS {
        let tree = Tree::new(before);
        let outcome = tree.patch_text(patch);
        assert_eq!(outcome.is_ok(), after.is_some(), "{name}: {outcome:?}");
        let found: Vec<_> =
            tree.files().into_iter().filter(|(name, _)| !name.ends_with('/')).collect();
        let wanted: Vec<_> = (after.unwrap_or(before).iter())
            .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
            .collect();
        assert_eq!(found, wanted, "{name}");
    }
}
