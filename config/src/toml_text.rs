//! TOML that can be pasted: strings and keys, quoted as they have to be.

/// A text as a basic string of TOML, in one line.
#[must_use]
pub fn toml_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            other if other.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(other))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// Names as a dotted key of TOML; those that need quotes have them.
#[must_use]
pub fn toml_key<T: AsRef<str>>(path: &[T]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let names = path.iter().map(|name| match name.as_ref() {
        name if !name.is_empty() && name.chars().all(plain) => name.to_owned(),
        name => toml_string(name),
    });
    names.collect::<Vec<_>>().join(".")
}

/// A list of texts, in one line.
#[must_use]
pub fn toml_list<T: AsRef<str>>(texts: &[T]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| toml_string(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            names in proptest::collection::vec(any::<String>(), 1..4),
            text in any::<String>(),
        ) {
            let line = format!("{} = {}", toml_key(&names), toml_string(&text));
            prop_assert!(!line.contains('\n'));
            let mut value: toml::Value = toml::from_str(&line).unwrap();
            for name in &names {
                value = value.get(name).unwrap().clone();
            }
            prop_assert_eq!(value.as_str(), Some(text.as_str()));
        }
    }
}
