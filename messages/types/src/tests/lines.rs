//! Lines of a log: what is written is read, and what cannot be read says why.

use super::{
    generate::{line, text},
    samples,
};
use crate::*;
use proptest::prelude::*;
use serde_json::{Value, json};

proptest! {
    #[test]
    fn what_is_rendered_is_one_line_that_parses_to_itself(line in line()) {
        let rendered = line.render().unwrap();
        prop_assert_eq!(rendered.find('\n'), Some(rendered.len() - 1), "one newline, at the end");
        prop_assert_eq!(&Line::parse(&rendered).unwrap(), &line);
        prop_assert_eq!(&Line::parse(rendered.trim_end()).unwrap(), &line);
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in text()) {
        let _ = Line::parse(&text);
    }

    #[test]
    fn a_damaged_line_is_parsed_or_refused(
        line in line(),
        at in any::<prop::sample::Index>(),
        length in 0_usize..8,
        other in prop_oneof![text(), "[{}\\[\\]\",:0-9nulltrue]{0,4}"],
    ) {
        let mut characters: Vec<char> = line.render().unwrap().chars().collect();
        let from = at.index(characters.len());
        let to = (from + length).min(characters.len());
        characters.splice(from..to, other.chars());
        let damaged: String = characters.into_iter().collect();
        let _ = Line::parse(&damaged);
    }

    #[test]
    fn a_line_cut_anywhere_is_refused(line in line(), at in any::<prop::sample::Index>()) {
        let rendered = line.render().unwrap();
        let whole = rendered.trim_end();
        let mut end = at.index(whole.len());
        while !whole.is_char_boundary(end) {
            end -= 1;
        }
        let refused = matches!(Line::parse(&whole[..end]), Err(LineError::Form { .. }));
        prop_assert!(refused);
    }

    /// The quick way to a line's head and the general one never tell different things.
    #[test]
    fn the_head_of_a_line_is_that_of_the_whole_line(
        line in line(),
        form in 0_usize..4,
        at in any::<prop::sample::Index>(),
        other in "[{}\\[\\]\",:0-9 a-z]{0,3}",
        damaged in any::<bool>(),
    ) {
        let rendered = line.render().unwrap();
        let value: Value = serde_json::from_str(&rendered).unwrap();
        let mut text = match form {
            0 => rendered.clone(),
            1 => serde_json::to_string_pretty(&value).unwrap().replace('\n', " "),
            2 => format!("\u{feff}{}\r\n", rendered.trim_end()),
            _ => format!("  {value}  "),
        };
        if damaged {
            let mut characters: Vec<char> = text.chars().collect();
            let from = at.index(characters.len());
            characters.splice(from..(from + 2).min(characters.len()), other.chars());
            text = characters.into_iter().collect();
        }
        match Line::parse(&text) {
            Ok(parsed) => {
                let head = LineHead::parse(text.as_bytes());
                let head = head.map(|head| (head.seq, head.version <= FORMAT, head.kind));
                prop_assert_eq!(head, Some((parsed.seq, true, parsed.record.kind().into())));
                prop_assert_eq!(later_version(text.as_bytes()), None);
            }
            Err(LineError::Version { version }) => {
                prop_assert_eq!(later_version(text.as_bytes()), Some(version));
            }
            Err(_) => {}
        }
        if form == 0 && !damaged {
            prop_assert!(LineHead::written_by_us(&rendered.as_bytes()[..rendered.len().min(160)]).is_some());
        }
    }

    /// Line ends do not matter to a digest; what stands in the line does.
    #[test]
    fn a_digest_tells_one_changed_byte(
        line in line(),
        at in any::<prop::sample::Index>(),
        other in any::<u8>(),
    ) {
        let rendered = line.render().unwrap().into_bytes();
        let digest = line_digest(&rendered);
        let whole = rendered.trim_ascii_end();
        prop_assert_eq!(line_digest(whole), digest);
        prop_assert_eq!(line_digest(&[whole, b"\r\n"].concat()), digest);
        let mut changed = whole.to_vec();
        let at = at.index(whole.len() - 1);
        changed[at] = other;
        prop_assert_eq!(line_digest(&changed) == digest, changed == whole);
    }

    #[test]
    fn fields_of_a_newer_program_are_ignored(line in line()) {
        let mut value: Value = serde_json::from_str(&line.render().unwrap()).unwrap();
        extend(&mut value);
        prop_assert_eq!(Line::parse(&value.to_string()).unwrap(), line);
    }
}

/// Adds a field to every object, except to those whose keys are data.
fn extend(value: &mut Value) {
    match value {
        Value::Object(map) => {
            // The name of an enum's variant, not a field.
            let named = map.len() == 1
                && ["json", "text", "granular"].iter().any(|key| map.contains_key(*key));
            for (key, value) in map.iter_mut() {
                if key != "output_schema" {
                    extend(value);
                }
            }
            if !named {
                map.insert("from_the_future".to_owned(), json!({ "deep": [1, null] }));
            }
        }
        Value::Array(list) => list.iter_mut().for_each(extend),
        _ => {}
    }
}

#[test]
fn a_field_is_really_added_everywhere() {
    let line = Line { seq: 0, at: 0, record: samples::records().remove(2) };
    let mut value: Value = serde_json::from_str(&line.render().unwrap()).unwrap();
    extend(&mut value);
    let count = value.to_string().matches("from_the_future").count();
    // Line, body, settings, granular, sandbox, its limits, project documents.
    assert_eq!(count, 7, "{value}");
}

#[test]
fn a_later_version_is_named_whatever_else_it_holds() {
    let later = FORMAT + 1;
    let texts = [
        format!(r#"{{"seq":7,"at":1,"v":{later},"kind":"Mended","body":{{}}}}"#),
        format!(r#"{{"seq":7,"at":1,"v":{later},"kind":"Unheard","body":[1]}}"#),
        format!(r#"{{"seq":"7a","v":{later},"said":{{}}}}"#),
    ];
    for text in texts {
        let error = Line::parse(&text).unwrap_err();
        assert!(matches!(error, LineError::Version { version } if version == later), "{error:?}");
        let expected = format!(
            "written in form {later}, this program reads up to {FORMAT}: use a newer troupe"
        );
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn an_unknown_kind_is_named() {
    for kind in ["Applauded", r"Appl\u0061uded"] {
        let text = format!(r#"{{"seq":7,"at":1,"v":1,"kind":"{kind}","body":{{}}}}"#);
        let error = Line::parse(&text).unwrap_err();
        assert!(matches!(&error, LineError::Kind { kind } if kind == "Applauded"), "{error:?}");
        assert_eq!(error.to_string(), "unknown kind of record `Applauded`");
    }
}

#[test]
fn the_order_of_the_fields_and_the_spaces_do_not_matter() {
    let text = r#" { "body" : {"kept_in":"x.torn","bytes":3}, "v": 1, "kind":"\u004dended", "at":5, "seq":4 } "#;
    let line = Line::parse(text).unwrap();
    let record = Mended { bytes: 3, kept_in: "x.torn".into() }.into();
    assert_eq!(line, Line { seq: 4, at: 5, record });
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let cases = [
        ("", "EOF"),
        ("{}", "missing field `seq`"),
        ("[]", "invalid"),
        (r#"{"seq":0,"at":0,"v":1,"kind":"Mended"}"#, "missing field `body`"),
        (r#"{"seq":0,"at":0,"v":1,"kind":"Mended","body":{"bytes":1}}"#, "missing field `kept_in`"),
        (r#"{"seq":-1,"at":0,"v":1,"kind":"Mended","body":{}}"#, "expected u64"),
        (
            r#"{"seq":0,"at":0,"v":1,"kind":"Notice","body":{"level":"shout","text":""}}"#,
            "unknown variant `shout`",
        ),
    ];
    for (text, part) in cases {
        let error = Line::parse(text).unwrap_err();
        assert!(matches!(error, LineError::Form { .. }), "{text}: {error:?}");
        assert!(error.to_string().contains(part), "{text}: {error}");
        assert!(error.to_string().starts_with("not a line of a session log: "), "{error}");
    }
}

/// Earlier logs have what the model was shown where now the result is.
#[test]
fn earlier_ends_of_calls_are_read() {
    let id = "0199c0de-0000-7000-8000-000000000005";
    let detail = json!({"type": "command", "argv": ["a"], "cwd": "/", "exit_code": 3, "strays": 1});
    let content = json!([{"type": "text", "text": "Exit code: 3"}]);
    let outcome = json!({"outcome": "completed"});
    let body =
        json!({"call": id, "outcome": outcome, "content": content, "detail": detail, "took_ms": 1});
    let text = json!({"seq": 0, "at": 0, "v": 1, "kind": "CallFinished", "body": body}).to_string();
    let Record::CallFinished(finished) = Line::parse(&text).unwrap().record else { panic!() };
    assert_eq!(finished.for_model(), [Content::text("Exit code: 3")]);
    assert!(matches!(finished.detail, Some(CallDetail::Command { .. })));
}

/// Bodies with the required fields only, as the first version wrote them: they are read for ever.
#[test]
fn optional_fields_may_be_absent() {
    let id = "0199c0de-0000-7000-8000-000000000005";
    let bodies = [
        ("SessionCreated", json!({"session": id, "source": "exec", "cwd": "/", "version": "0"})),
        ("SessionOpened", json!({"settings": {}})),
        ("OpAccepted", json!({"submission": {"id": id, "op": {"type": "prompt", "content": []}}})),
        ("ItemAdded", json!({"item": {"type": "reasoning"}})),
        ("ItemAdded", json!({"item": {"type": "assistant", "text": ""}})),
        ("RequestStarted", json!({"request": id, "turn": id})),
        ("ApprovalAsked", json!({"call": id, "ask": {"action": "", "reason": ""}})),
        ("CallStarted", json!({"call": id, "detail": {"type": "command", "argv": [], "cwd": "/"}})),
        (
            "CallFinished",
            json!({"call": id, "outcome": {"outcome": "lost"}, "content": [], "took_ms": 0}),
        ),
        ("PlanUpdated", json!({"call": id, "plan": []})),
        ("RequestFinished", json!({"request": id, "result": {"outcome": "cancelled"}})),
        ("TurnFinished", json!({"turn": id, "result": {"outcome": "timed_out"}, "usage": {}})),
        ("Checkpoint", json!({})),
    ];
    for (kind, body) in bodies {
        let text = json!({"seq": 0, "at": 0, "v": 1, "kind": kind, "body": body}).to_string();
        let line = Line::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(line.record.kind(), kind);
    }
}
