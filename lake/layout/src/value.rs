//! Values as path elements.

/// A value as part of a path element: letters, digits and `-_.~` stay, everything else is percent-encoded as UTF-8, and so are the dots
/// of a value of nothing but dots. No value can leave its place in the path, and Hive-style readers decode it.
pub fn encode_value(value: &str) -> String {
    let only_dots = !value.is_empty() && value.bytes().all(|b| b == b'.');
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) || (byte == b'.' && !only_dots) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The value behind a percent-encoded text; what is not a valid escape stays as it is.
pub fn decode_value(text: &str) -> String {
    let hex = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] == b'%'
            && let (Some(high), Some(low)) = (hex(bytes.get(i + 1)), hex(bytes.get(i + 2)))
        {
            out.push((high * 16 + low) as u8);
            i += 3;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What Hive, Spark and Athena write and read in the place of null.
pub const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The path element `name=value`. `None` (null) and the empty text become `null_marker`, as in Hive, which has no place for either.
pub fn element(name: &str, value: Option<&str>, null_marker: &str) -> String {
    let value = value.filter(|v| !v.is_empty()).map_or_else(|| null_marker.to_owned(), |v| encode_marked(v, null_marker));
    format!("{}={value}", encode_value(name))
}

/// A value that is text and not null. What readers take for null (`null` in any case, Hive's word, the marker) has its first byte encoded:
/// DuckDB compares before it decodes (pyarrow after, so that it takes the text that is its `null_fallback` for null all the same).
fn encode_marked(value: &str, null_marker: &str) -> String {
    let encoded = encode_value(value);
    let marked = value.eq_ignore_ascii_case("null") || value == HIVE_NULL || value == null_marker;
    match value.bytes().next() {
        Some(first) if marked && !encoded.starts_with('%') => format!("%{first:02X}{}", &encoded[1..]),
        _ => encoded,
    }
}

/// The name and the value of a path element `name=value`; `None` if it is not one (no `=`, or more than one, as DuckDB reads it).
pub fn parse_element(element: &str) -> Option<(String, String)> {
    let (name, value) = element.split_once('=')?;
    (!name.is_empty() && !value.contains('=')).then(|| (decode_value(name), decode_value(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dangerous_values_stay_in_their_place() {
        for (value, want) in [
            ("17", "17"),
            ("..", "%2E%2E"),
            (".", "%2E"),
            ("a.b", "a.b"),
            ("a/b", "a%2Fb"),
            ("a=b", "a%3Db"),
            ("\0", "%00"),
            ("ü", "%C3%BC"),
            ("a b", "a%20b"),
            ("100%", "100%25"),
            ("2024-01-02T03:04", "2024-01-02T03%3A04"),
        ] {
            assert_eq!(encode_value(value), want);
        }
        assert_eq!(element("k", None, "null"), "k=null");
        assert_eq!(element("k", Some(""), "__HIVE_DEFAULT_PARTITION__"), "k=__HIVE_DEFAULT_PARTITION__");
        for (value, want) in [
            ("null", "k=%6Eull"),
            ("NULL", "k=%4EULL"),
            (HIVE_NULL, "k=%5F_HIVE_DEFAULT_PARTITION__"),
            ("none", "k=%6Eone"),
            ("nulls", "k=nulls"),
        ] {
            assert_eq!(element("k", Some(value), "none"), want);
            assert_eq!(parse_element(want), Some(("k".to_owned(), value.to_owned())));
        }
        assert_eq!(
            (parse_element("k=a%2Fb"), parse_element("k=a=b"), parse_element("plain")),
            (Some(("k".into(), "a/b".into())), None, None)
        );
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_and_has_no_separator(value in any::<String>()) {
            let text = encode_value(&value);
            prop_assert!(text.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b'='));
            prop_assert_eq!(decode_value(&text), value);
        }
    }
}
