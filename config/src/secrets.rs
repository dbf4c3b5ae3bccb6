//! Which settings may hold secrets, told by their names.

/// Parts of names whose values are not shown.
const PARTS: [&str; 7] = ["key", "token", "secret", "password", "authorization", "auth", "cookie"];

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
