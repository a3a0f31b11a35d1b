//! What a key, a prefix and metadata may look like. The rules are the same for every store, so that a lake can move between them.

use lakefeed_core::{Error, Result, shorten};

/// The beginning of the names of the store's own files: temporary ones and the probe. They are hidden from listings.
pub(crate) const OWN: &str = ".lakefeed-";

/// Amazon S3 User Guide, "Naming Amazon S3 objects": at most 1024 bytes of UTF-8.
const MAX_KEY_BYTES: usize = 1024;

/// Amazon S3 User Guide, "Working with object metadata": at most 2 KB of user-defined metadata.
const MAX_METADATA_BYTES: usize = 2048;

/// Whether the last element of a key is one of the store's own names.
pub(crate) fn is_own(key: &str) -> bool {
    key.rsplit('/').next().is_some_and(|name| name.starts_with(OWN))
}

/// Puts a folder in front of a key or prefix.
pub(crate) fn join(folder: &str, key: &str) -> String {
    if folder.is_empty() { key.to_owned() } else { format!("{folder}/{key}") }
}

/// Refuses a key that a store could not hold, or that could leave the store.
pub(crate) fn check(key: &str) -> Result<()> {
    let fault = |expected: &str| Err(Error::fatal(format!("the key '{}' of an object: {expected}", shorten(key.as_bytes()))));
    if key.is_empty() {
        return fault("expected at least one character");
    }
    check_elements(key, key.split('/'))?;
    if key.split('/').any(|element| element.starts_with(OWN)) {
        return fault("elements that begin with '.lakefeed-' are the store's own; choose another name");
    }
    Ok(())
}

/// As [`check`] for a prefix: it may be empty, and may end in the middle of an element.
pub(crate) fn check_prefix(prefix: &str) -> Result<()> {
    let folders = prefix.rsplit_once('/').map(|(folder, _)| folder.split('/'));
    check_elements(prefix, folders.into_iter().flatten())
}

fn check_elements<'a>(key: &str, mut elements: impl Iterator<Item = &'a str>) -> Result<()> {
    let fault = |expected: &str| Err(Error::fatal(format!("the key '{}' of an object: {expected}", shorten(key.as_bytes()))));
    if key.len() > MAX_KEY_BYTES {
        return fault("expected at most 1024 bytes, as in S3; shorten the names of topic and partition values");
    }
    // XML, in which S3 answers a listing, can't hold control characters.
    if key.chars().any(char::is_control) {
        return fault("expected no control characters; percent-encode them");
    }
    if elements.any(|element| matches!(element, "" | "." | "..")) {
        return fault("expected a relative path without empty elements, '.' and '..'; percent-encode what comes from data");
    }
    Ok(())
}

/// Refuses metadata that an S3 header could not hold as it is.
pub(crate) fn check_metadata(key: &str, metadata: &[(&str, String)]) -> Result<()> {
    let fault = |name: &str, expected: &str| Err(Error::fatal(format!("the metadata '{name}' of '{key}': {expected}")));
    let mut bytes = 0;
    for (name, value) in metadata {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return fault(name, "expected a name of a-z, 0-9 and '-'");
        }
        if value.trim() != value || !value.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            return fault(name, "expected a value of printable ASCII characters without blanks at its ends");
        }
        bytes += name.len() + value.len();
    }
    if bytes > MAX_METADATA_BYTES {
        return fault("", &format!("expected at most {MAX_METADATA_BYTES} bytes in all, found {bytes}"));
    }
    Ok(())
}

/// The content type that goes with the extension of a key.
pub(crate) fn content_type(key: &str) -> &'static str {
    match key.rsplit('.').next().unwrap_or_default() {
        // Registered with IANA.
        "parquet" => "application/vnd.apache.parquet",
        "json" => "application/json",
        "jsonl" | "ndjson" => "application/x-ndjson",
        "csv" => "text/csv",
        "txt" => "text/plain",
        "avro" => "application/avro",
        "gz" => "application/gzip",
        _ => "application/octet-stream",
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
pub(crate) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_that_leave_the_store_or_do_not_fit_are_refused() {
        for key in ["a", "a/b.parquet", "a=b/c+0+1", "ü/%2F/ x", "..a/b..", "a/...", ".hidden"] {
            check(key).expect(key);
        }
        let long = "x".repeat(1025);
        for key in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/.", "a\0b", "a\nb", ".lakefeed-1.tmp", "a/.lakefeed-x/b", &long]
        {
            assert!(check(key).is_err(), "{key:?} was accepted");
        }
    }

    #[test]
    fn prefixes_may_end_anywhere() {
        for prefix in ["", "a", "a/", "a/b", "a/.", ".."] {
            check_prefix(prefix).expect(prefix);
        }
        for prefix in ["/", "/a", "../", "a/../b", "a//", "\0"] {
            assert!(check_prefix(prefix).is_err(), "{prefix:?} was accepted");
        }
    }

    #[test]
    fn metadata_must_survive_a_header() {
        check_metadata("k", &[("first-offset", "12 = x".into()), ("a1", String::new())]).expect("good");
        for (name, value) in [("", "x"), ("First", "x"), ("a_b", "x"), ("a", "ü"), ("a", "x\ny"), ("a", " x")] {
            assert!(check_metadata("k", &[(name, value.to_owned())]).is_err(), "{name} = {value:?} was accepted");
        }
        assert!(check_metadata("k", &[("a", "x".repeat(2048))]).is_err());
    }

    proptest! {
        #[test]
        fn an_accepted_key_stays_below_the_root(key in "[./a-c\\\\]{0,12}") {
            if check(&key).is_ok() {
                let path = std::path::Path::new("/root").join(&key);
                let normal = path.components().all(|c| matches!(c, std::path::Component::RootDir | std::path::Component::Normal(_)));
                prop_assert!(path.starts_with("/root") && normal && path.components().count() >= 3);
            }
        }
    }
}
