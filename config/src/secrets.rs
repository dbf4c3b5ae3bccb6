//! What may be a secret: told by the name of a setting, or by how a value looks.

use std::borrow::Cow;

/// Parts of names whose values are not shown.
const PARTS: [&str; 7] = ["key", "token", "secret", "password", "authorization", "auth", "cookie"];

/// How the keys of well-known services begin.
const KEY_STARTS: [&str; 16] = [
    "sk-",
    "sk_",
    "pk-",
    "pk_",
    "rk_",
    "gsk_",
    "csk-",
    "hf_",
    "xai-",
    "AIza",
    "nvapi-",
    "pplx-",
    "ghp_",
    "github_pat_",
    "glpat-",
    "r8_",
];

/// The shortest text that is taken for a key by its beginning, and the shortest run of letters and
/// digits that is taken for one by its mixture.
const SHORTEST: usize = 8;
const RUN: usize = 20;
/// Digits and letters that such a run has at least, each.
const MIXTURE: usize = 4;

/// Whether a name says that its value is a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let counts = ["token_limit", "output_tokens"].iter().any(|part| name.contains(part));
    !counts && PARTS.iter().any(|part| name.contains(part))
}

/// Whether a line of a file, up to its `=`, leads to values that may be secrets.
pub(crate) fn may_hold_secrets(text: &str) -> bool {
    let tables = ["headers", "query_params", "shell_environment_policy", "mcp_servers"];
    is_secret(text) || tables.iter().any(|table| text.contains(table))
}

/// Whether a text looks like a key or token, whatever the setting is called that it stands in.
#[must_use]
pub fn looks_like_key(text: &str) -> bool {
    let words = text.split(|c: char| c.is_whitespace() || "\"'`=,;()[]{}<>@/?&:".contains(c));
    words.into_iter().any(|word| {
        let begins = KEY_STARTS.iter().any(|start| word.starts_with(start));
        let mixed = word.split(|c: char| !c.is_ascii_alphanumeric()).any(|run| {
            let digits = run.bytes().filter(u8::is_ascii_digit).count();
            run.len() >= RUN && digits >= MIXTURE && run.len() - digits >= MIXTURE
        });
        begins && word.len() >= SHORTEST || mixed
    })
}

/// A value as it may be printed: `***` if it looks like a key.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    if looks_like_key(text) { "***".into() } else { text.into() }
}

/// A URL as it may be printed: without a user's name and password, and without values of the
/// query that are secrets.
#[must_use]
pub fn shown_url(url: &str) -> String {
    let (base, query) = match url.split_once('?') {
        Some((base, query)) => (base, Some(query)),
        None => (url, None),
    };
    let mut out = match base.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            match host.rsplit_once('@') {
                Some((_, host)) => format!("{scheme}://***@{host}{path}"),
                None => base.to_owned(),
            }
        }
        None => base.to_owned(),
    };
    if let Some(query) = query {
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, value)) if is_secret(name) || looks_like_key(value) => {
                format!("{name}=***")
            }
            _ => pair.to_owned(),
        });
        out.push('?');
        out.push_str(&pairs.collect::<Vec<_>>().join("&"));
    }
    if looks_like_key(&out) { "***".to_owned() } else { out }
}

/// Whether a text can be the name of an environment variable.
pub(crate) fn is_variable_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !looks_like_key(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_from_names() {
        for key in [
            "sk-abcdef",
            "sk-proj-AbC_123-xyz",
            "gsk_Ab12Cd34Ef56Gh78",
            "hf_abcdefgh",
            "AIzaSyA1234567",
            "0123456789abcdef0123456789abcdef",
            "Bearer sk-abcdef12",
            "http://u:sk-abcdef12@host/v1",
        ] {
            assert!(looks_like_key(key), "{key}");
            assert!(!is_variable_name(key), "{key}");
        }
        for name in [
            "gpt-5.5",
            "claude-sonnet-4-20250514",
            "Qwen/Qwen2.5-Coder-32B-Instruct",
            "workspace-write",
            "/home/user/projects/something",
            "model_auto_compact_token_limit",
            "0199c0de-0000-7000-8000-000000000000",
        ] {
            assert!(!looks_like_key(name), "{name}");
        }
        for name in ["OPENAI_API_KEY", "my_key", "_x", "AZURE_OPENAI_API_KEY_2"] {
            assert!(is_variable_name(name), "{name}");
        }
        for wrong in ["", "MY KEY", "1KEY", "a=b", "$MY_KEY", "${MY_KEY}"] {
            assert!(!is_variable_name(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (url, shown) in [
            ("https://a.example/v1", "https://a.example/v1"),
            ("https://user:pass@a.example/v1", "https://***@a.example/v1"),
            (
                "https://a.example/v1?api-version=1&key=x",
                "https://a.example/v1?api-version=1&key=***",
            ),
            ("sk-abcdefgh", "***"),
        ] {
            assert_eq!(shown_url(url), shown);
        }
    }
}
