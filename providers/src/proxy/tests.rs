//! Which variable decides for which host.

use super::Proxies;
use reqwest::Url;

fn chosen(variables: &[(&str, &str)], url: &str) -> Option<String> {
    let proxies = Proxies::new(|name| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into())
    });
    let proxy = proxies.of(&Url::parse(url).unwrap())?;
    Some(format!("{} {}", proxy.variable(), proxy.shown()))
}

#[test]
fn the_variable_of_the_scheme_decides_before_the_one_for_all() {
    const ALL: (&str, &str) = ("ALL_PROXY", "socks5h://user:secret@p");
    for (variables, url, expected) in [
        (&[][..], "https://h/v1", None),
        (&[ALL], "https://h/v1", Some("ALL_PROXY socks5h://p:1080")),
        (&[ALL, ("HTTPS_PROXY", "q:3128")], "https://h/v1", Some("HTTPS_PROXY http://q:3128")),
        (&[ALL, ("HTTPS_PROXY", "q:3128")], "http://h/v1", Some("ALL_PROXY socks5h://p:1080")),
        (&[("http_proxy", "http://q")], "http://h/v1", Some("http_proxy http://q:80")),
        (
            &[("HTTP_PROXY", ""), ("http_proxy", "http://q")],
            "http://h",
            Some("http_proxy http://q:80"),
        ),
        (&[("HTTP_PROXY", "http://q"), ("REQUEST_METHOD", "GET")], "http://h", None),
        (&[("all_proxy", "socks5://q:9")], "http://h/v1", Some("all_proxy socks5://q:9")),
        (&[ALL], "http://127.0.0.1:8080/v1", None),
        (&[ALL], "http://localhost:8080/v1", None),
        (&[ALL], "http://[::1]:8080/v1", None),
    ] {
        assert_eq!(chosen(variables, url).as_deref(), expected, "{variables:?} {url}");
    }
}

#[test]
fn hosts_are_taken_out_by_name_address_range_and_port() {
    for (direct, url, proxied) in [
        ("h", "http://h/v1", false),
        ("example.com", "http://a.example.com/v1", false),
        (".example.com", "http://example.com/v1", false),
        ("*.example.com", "http://a.example.com/v1", false),
        ("example.com", "http://notexample.com/v1", true),
        ("x, H.Example.com", "http://h.example.com", false),
        ("x y", "http://y", false),
        ("*", "https://h", false),
        ("10.0.0.0/8", "http://10.1.2.3/v1", false),
        ("10.0.0.0/8", "http://11.1.2.3/v1", true),
        ("10.1.2.3", "http://10.1.2.3:99/v1", false),
        ("fd00::1", "http://[fd00::1]:99/v1", false),
        ("h:8080", "http://h:8080", false),
        ("h:8080", "http://h:80", true),
    ] {
        for name in ["NO_PROXY", "no_proxy"] {
            let variables = [("ALL_PROXY", "http://p"), (name, direct)];
            assert_eq!(chosen(&variables, url).is_some(), proxied, "{direct} {url}");
        }
    }
}
