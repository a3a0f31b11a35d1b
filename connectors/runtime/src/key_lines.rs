//! In which line of a JSON file a key stands.

use std::collections::BTreeMap;

/// The lines of all names of members, counted from 1; of one that is there twice the last, whose value holds. The text is valid JSON.
pub(crate) fn of_json(text: &str) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    let (mut line, mut at) = (1, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        match bytes[at] {
            b'\n' => line += 1,
            b'"' => {
                let end = end_of_text(bytes, at);
                let named = text.get(end..).is_some_and(|rest| rest.trim_ascii_start().starts_with(':'));
                if let Some(Ok(name)) = named.then(|| serde_json::from_str(text.get(at..end).unwrap_or_default())) {
                    lines.insert(name, line);
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    lines
}

/// Behind the text that begins at a quote.
fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_values() {
        let lines = of_json("{\n\"a\": \"b\\\": c\",\n\n \"b\"\n:{\"c\\u0064\":\"a\"}, \"a\": 1}");
        assert_eq!(lines, [("a", 5), ("b", 4), ("cd", 5)].map(|(name, line)| (name.to_owned(), line)).into());
        assert_eq!(of_json("\"never ends"), BTreeMap::new());
    }
}
