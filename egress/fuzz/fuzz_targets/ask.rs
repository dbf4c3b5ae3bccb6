//! What a client may send first, and what a configuration may say: nothing panics, what is read is
//! what a second reading of the same bytes and more gives, and a host that is denied is denied.

#![no_main]

use libfuzzer_sys::fuzz_target;
use troupe_egress::{Host, Rules, Verdict, read_greeting, read_head, read_request};

fuzz_target!(|bytes: &[u8]| {
    let more = [bytes, b"\0\r\n\r\nmore"].concat();
    if let Ok(Some(asked)) = read_head(bytes) {
        assert!(asked.head <= bytes.len() && asked.port > 0);
        let again = read_head(&more);
        assert_eq!(again.as_ref().ok().and_then(Option::as_ref), Some(&asked));
        if let Some(forward) = &asked.forward {
            // What goes out is one whole head for one host.
            let text = String::from_utf8_lossy(forward);
            let hosts = text.lines().filter(|line| line.to_ascii_lowercase().starts_with("host:"));
            assert_eq!(hosts.count(), 1, "{text}");
            assert!(text.ends_with("Connection: close\r\n\r\n"));
            assert_eq!(text.matches("\r\n\r\n").count(), 1, "{text}");
        }
    }
    if let Ok(Some(length)) = read_greeting(bytes) {
        assert!(length <= bytes.len());
    }
    if let Ok(Some((host, port, length))) = read_request(bytes) {
        assert!(length <= bytes.len() && port > 0);
        let rule = host.to_string();
        if let Ok(rules) = Rules::new(&["*:*".to_owned()], &[rule]) {
            assert!(matches!(rules.host(&host, port), Verdict::Refused(_)));
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let (rule, host) = text.split_once('\n').unwrap_or((text, text));
        if let (Ok(rules), Some(host)) =
            (Rules::new(&["*:*".to_owned()], &[rule.to_owned()]), Host::parse(host))
        {
            let _ = rules.host(&host, 443);
        }
    }
});
