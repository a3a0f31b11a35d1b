//! What DuckDB's errors mean for the user.

use lakefeed_core::{Error, ErrorKind};

/// The error of a statement the user wrote.
pub(crate) fn of_query(error: &duckdb::Error) -> Error {
    let text = error.to_string();
    Error::new(kind(&text), "the query failed").with_source(text)
}

/// The error of something of ours, without the piece of SQL that the user did not write.
pub(crate) fn of_ours(message: impl Into<String>, error: &duckdb::Error) -> Error {
    let text = error.to_string();
    Error::new(kind(&text), message).with_source(first_lines(&text))
}

/// The text before DuckDB's hints and the excerpt of the SQL.
pub(crate) fn first_lines(text: &str) -> String {
    let text = text.split("\n\nLINE ").next().unwrap_or(text);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).take(2).collect();
    lines.join("; ")
}

/// Whether trying again can help: the other side was not reached or had a trouble of its own.
pub(crate) fn kind(text: &str) -> ErrorKind {
    let remote = text.starts_with("IO Error") || text.starts_with("HTTP Error");
    let passing =
        ["Could not connect", "Could not resolve", "Could not establish", "Connection", "imeout", "timed out", "(HTTP 5", "HTTP 429"];
    if remote && passing.iter().any(|sign| text.contains(sign)) { ErrorKind::Retry } else { ErrorKind::Config }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_passing_trouble_is_worth_another_try() {
        for (text, retry) in [
            ("IO Error: Could not connect to server error for HTTP GET to 'http://127.0.0.1:1/lake/'", true),
            ("HTTP Error: HTTP GET error reading 's3://b' in region 'x' (HTTP 503 Service Unavailable)", true),
            ("HTTP Error: HTTP GET error reading 's3://b' in region 'x' (HTTP 403 Forbidden)", false),
            ("Catalog Error: Table with name Connection does not exist!", false),
        ] {
            assert_eq!(kind(text) == ErrorKind::Retry, retry, "{text}");
        }
    }

    #[test]
    fn our_own_sql_is_cut_off() {
        assert_eq!(first_lines("HTTP Error: 404\n\nNoSuchBucket: x\n\n* See y\n\nLINE 1: from"), "HTTP Error: 404; NoSuchBucket: x");
        assert_eq!(first_lines("a\n\nLINE 1: from"), "a");
    }
}
