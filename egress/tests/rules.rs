//! Rules and the messages of clients, whatever stands in them.

#![allow(clippy::unwrap_used, reason = "a test")]

use proptest::prelude::*;
use troupe_egress::{Host, Rules, Verdict, read_greeting, read_head, read_request};

fn rules(allow: &[&str], deny: &[&str]) -> Rules {
    let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    Rules::new(&own(allow), &own(deny)).unwrap()
}

fn allows(rules: &Rules, host: &str, port: u16) -> bool {
    matches!(rules.host(&Host::parse(host).unwrap(), port), Verdict::Allowed(_))
}

#[test]
fn names_and_ports() {
    let rules = rules(
        &[
            "example.com",
            "*.example.org:443",
            "db.test:5000-5010",
            "any.test:*",
            "10.0.0.0/8:80",
            "[fd00::1]:1",
        ],
        &["bad.example.org", "any.test:22"],
    );
    for (host, port, allowed) in [
        ("example.com", 443, true),
        ("example.com", 80, true),
        ("EXAMPLE.com.", 443, true),
        ("example.com", 22, false),
        ("www.example.com", 443, false),
        ("notexample.com", 443, false),
        ("example.com.evil.test", 443, false),
        ("example.org", 443, false),
        ("a.b.example.org", 443, true),
        ("a.b.example.org", 80, false),
        ("xexample.org", 443, false),
        ("bad.example.org", 443, false),
        ("db.test", 5000, true),
        ("db.test", 5011, false),
        ("any.test", 9999, true),
        ("any.test", 22, false),
        ("10.1.2.3", 80, true),
        ("10.1.2.3", 81, false),
        ("11.1.2.3", 80, false),
        ("[fd00::1]", 1, true),
        ("::ffff:10.1.2.3", 80, true),
        ("nothing.test", 443, false),
    ] {
        assert_eq!(allows(&rules, host, port), allowed, "{host}:{port}");
    }
    assert!(!allows(&Rules::default(), "example.com", 443));
}

#[test]
fn an_address_is_one_however_it_is_written() {
    let rules = rules(&["*:*"], &["[::ffff:1.1.1.1]", "::ffff:8.0.0.0/104"]);
    for host in ["1.1.1.1", "[::ffff:1.1.1.1]", "8.8.8.8", "[::ffff:8.8.8.8]"] {
        assert!(!allows(&rules, host, 443), "{host}");
    }
    assert!(allows(&rules, "9.9.9.9", 443));
}

#[test]
fn what_is_no_rule_says_why() {
    for text in [
        "",
        "http://x",
        "a/b",
        "x:y",
        "x:9-1",
        "x:99999",
        "a b",
        "*x",
        "a..b",
        "ex*mple.com",
        "10.0.0.0/40",
    ] {
        let error = Rules::new(&[text.to_owned()], &[]).unwrap_err();
        assert!(error.to_string().starts_with(&format!("sandbox_allow_hosts: {text:?}: ")));
        let error = Rules::new(&["*".to_owned()], &[text.to_owned()]).unwrap_err();
        assert!(error.to_string().starts_with(&format!("sandbox_deny_hosts: {text:?}: ")));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = (read_head(&bytes), read_greeting(&bytes), read_request(&bytes));
    }

    #[test]
    fn no_text_makes_a_rule_panic(text in "\\PC{0,40}", host in "\\PC{0,40}", port: u16) {
        if let (Ok(rules), Some(host)) = (Rules::new(&[text.clone(), "*:*".to_owned()], &[text]), Host::parse(&host)) {
            // What is denied is denied, whatever is allowed.
            if matches!(rules.host(&host, port), Verdict::Allowed(_)) {
                prop_assert!(false, "{host} is denied by the same rule");
            }
        }
    }

    #[test]
    fn a_head_is_the_same_however_it_comes(path in "[a-z]{0,20}", cut in 0usize..80) {
        let whole = format!("GET http://example.com:8080/{path} HTTP/1.1\r\nA: b\r\n\r\n");
        let cut = cut.min(whole.len() - 1);
        prop_assert_eq!(read_head(&whole.as_bytes()[..cut]), Ok(None));
        let asked = read_head(whole.as_bytes()).unwrap().unwrap();
        prop_assert_eq!((asked.port, asked.head), (8080, whole.len()));
    }
}

#[test]
fn doors_are_the_addresses_of_loopback_that_rules_allow() {
    let doors = |allow: &[&str], deny: &[&str]| {
        let own = |rules: &[&str]| rules.iter().map(|rule| (*rule).to_owned()).collect::<Vec<_>>();
        let doors = Rules::new(&own(allow), &own(deny)).unwrap().doors();
        doors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(doors(&["127.0.0.1:5432"], &[]), ["127.0.0.1:5432"]);
    assert_eq!(doors(&["127.0.0.5:5432"], &[]), ["127.0.0.5:5432"]);
    assert_eq!(doors(&["localhost:5432"], &[]), ["127.0.0.1:5432", "[::1]:5432"]);
    assert_eq!(doors(&["[::1]:1-2", "::1"], &[]), ["[::1]:1", "[::1]:2", "[::1]:80", "[::1]:443"]);
    // Those that are named come before those that are found.
    assert_eq!(doors(&["localhost:*", "127.0.0.1:9"], &[])[0], "127.0.0.1:9");
    assert_eq!(doors(&["localhost:7-8"], &["127.0.0.1:7", "[::1]"]), ["127.0.0.1:8"]);
    assert_eq!(doors(&["localhost:7"], &["localhost"]), ["127.0.0.1:7"; 0]);
    // No rule names loopback here.
    for rule in ["*:*", "10.0.0.0/8:1", "example.com:1", "*.localhost:1", "127.0.0.1:0"] {
        assert!(doors(&[rule], &[]).is_empty(), "{rule}");
    }
    // Of many ports, those that something listens at.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    if cfg!(target_os = "linux") {
        assert!(doors(&["127.0.0.0/8:*"], &[]).contains(&format!("127.0.0.1:{port}")));
        let denied = format!("127.0.0.1:{port}");
        assert!(!doors(&["127.0.0.0/8:*"], &[&denied]).contains(&denied));
    }
}
