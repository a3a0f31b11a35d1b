//! Where SQL statements end: `;` outside quotes and comments, by the rules of DuckDB's lexer.

/// A statement of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Statement<'a> {
    /// Without the `;`.
    pub(crate) sql: &'a str,
    /// Whether a `;` ends it.
    pub(crate) ended: bool,
    /// Whether its parentheses match, so that it can stand inside others.
    pub(crate) balanced: bool,
}

/// The statements of a script; what holds nothing but space and comments is none.
pub(crate) fn split(script: &str) -> Vec<Statement<'_>> {
    let bytes = script.as_bytes();
    let mut found = Vec::new();
    let (mut start, mut at) = (0, 0);
    let (mut text, mut depth, mut balanced) = (false, 0_usize, true);
    while at < bytes.len() {
        let next = token_end(script, at);
        match bytes[at] {
            b';' => {
                if text {
                    found.push(Statement { sql: script[start..at].trim(), ended: true, balanced: balanced && depth == 0 });
                }
                (start, text, depth, balanced) = (next, false, 0, true);
            }
            b'(' => (text, depth) = (true, depth + 1),
            b')' => {
                text = true;
                balanced &= depth > 0;
                depth = depth.saturating_sub(1);
            }
            b => text |= !(b.is_ascii_whitespace() || is_comment(&script[at..])),
        }
        at = next;
    }
    if text {
        found.push(Statement { sql: script[start..].trim(), ended: false, balanced: balanced && depth == 0 });
    }
    found
}

/// Whether the shell can run what was typed: nothing, or statements that all end with `;`.
pub(crate) fn is_complete(script: &str) -> bool {
    split(script).last().is_none_or(|last| last.ended)
}

fn is_comment(rest: &str) -> bool {
    rest.starts_with("--") || rest.starts_with("/*")
}

/// The end of the quoted text, comment or single character that begins at `at`; the end of the script if it is not closed.
fn token_end(script: &str, at: usize) -> usize {
    let rest = &script[at..];
    let after = |from: usize, end: &str| rest[from..].find(end).map_or(script.len(), |i| at + from + i + end.len());
    let first = rest.as_bytes()[0];
    match first {
        b'\'' => at + quoted(rest, 1, b'\'', escapes(script, at)),
        // A doubled quote ends one text and begins the next: the same for our purpose.
        b'"' => after(1, "\""),
        b'$' => match dollar_tag(script, at) {
            Some(tag) => after(tag.len(), tag),
            None => at + 1,
        },
        b'-' if is_comment(rest) => after(2, "\n"),
        b'/' if is_comment(rest) => at + block_comment(rest),
        _ => at + rest.chars().next().map_or(1, char::len_utf8),
    }
}

/// Whether the quote at `at` begins a text with backslash escapes: `e'...'`, where `e` is not the end of a name.
fn escapes(script: &str, at: usize) -> bool {
    let mut before = script[..at].bytes().rev();
    before.next().is_some_and(|b| b.eq_ignore_ascii_case(&b'e')) && !before.next().is_some_and(is_name_byte)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn quoted(rest: &str, from: usize, quote: u8, escapes: bool) -> usize {
    let bytes = rest.as_bytes();
    let mut i = from;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' if escapes => i += 1,
            b if b == quote => return i + 1,
            _ => {}
        }
        i += 1;
    }
    bytes.len()
}

/// `$$` or `$name$`, unless the dollar belongs to a name or a parameter.
fn dollar_tag(script: &str, at: usize) -> Option<&str> {
    if script[..at].bytes().next_back().is_some_and(is_name_byte) {
        return None;
    }
    let rest = &script[at..];
    let name = &rest[1..1 + rest[1..].find('$')?];
    let plain = name.bytes().all(|b| is_name_byte(b) && b != b'$') && !name.starts_with(|c: char| c.is_ascii_digit());
    plain.then(|| &rest[..name.len() + 2])
}

/// Block comments nest, as in PostgreSQL.
fn block_comment(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let (mut i, mut depth) = (2, 1);
    while i < bytes.len() && depth > 0 {
        match &bytes[i..bytes.len().min(i + 2)] {
            b"/*" => (i, depth) = (i + 2, depth + 1),
            b"*/" => (i, depth) = (i + 2, depth - 1),
            _ => i += 1,
        }
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_a_semicolon_outside_quotes_and_comments() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            (" ;; -- nothing\n /* ; */ ", &[]),
            ("SELECT 1", &["SELECT 1"]),
            ("SELECT 1; SELECT 2;", &["SELECT 1", "SELECT 2"]),
            ("SELECT ';'; SELECT \";\"", &["SELECT ';'", "SELECT \";\""]),
            ("SELECT 'it''s;'; b", &["SELECT 'it''s;'", "b"]),
            ("SELECT e'\\';'; b", &["SELECT e'\\';'", "b"]),
            ("SELECT 'a\\'; b", &["SELECT 'a\\'", "b"]),
            ("SELECT $$;$$; b", &["SELECT $$;$$", "b"]),
            ("SELECT $t$;$$;$t$; b", &["SELECT $t$;$$;$t$", "b"]),
            ("SELECT $1; SELECT $2", &["SELECT $1", "SELECT $2"]),
            ("a -- ;\n b; c", &["a -- ;\n b", "c"]),
            ("a /* ; /* ; */ ; */ b; c", &["a /* ; /* ; */ ; */ b", "c"]),
            ("SELECT 'ü;'; 'open ;", &["SELECT 'ü;'", "'open ;"]),
            ("SELECT 1 - -1; b", &["SELECT 1 - -1", "b"]),
        ];
        for (script, statements) in cases {
            assert_eq!(split(script).iter().map(|s| s.sql).collect::<Vec<_>>(), *statements, "{script}");
        }
    }

    #[test]
    fn the_shell_waits_for_the_end() {
        for (script, complete) in
            [("", true), ("SELECT 1", false), ("SELECT 1;", true), ("SELECT ';", false), ("a; b", false), ("a; -- b", true)]
        {
            assert_eq!(is_complete(script), complete, "{script}");
        }
    }

    #[test]
    fn parentheses_are_checked() {
        for (script, balanced) in [("(a)", true), ("a) b (c", false), ("(a", false), ("'('", true), ("a /* ( */", true)] {
            assert_eq!(split(script)[0].balanced, balanced, "{script}");
        }
    }
}
