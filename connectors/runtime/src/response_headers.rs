//! `response.http.headers.config`: headers that every answer to a REST call has, in the words of Kafka Connect (KIP-577), which has them from Jetty's
//! HeaderFilter.

/// The furthest that a date may lie from the answer, in milliseconds: a hundred years.
const FURTHEST_MS: i64 = 100 * 365 * 24 * 3600 * 1000;

/// Headers that say how an answer is sent, which is not the worker's to choose.
const OF_THE_CONNECTION: [&str; 3] = ["content-length", "transfer-encoding", "connection"];

/// A header of every answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHeader {
    /// Its name, a token of HTTP (RFC 9110).
    pub name: String,
    /// What it says.
    pub value: HeaderText,
    /// Whether it stands beside others of its name, or takes their place.
    pub add: bool,
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderText {
    /// A text without control characters.
    Text(String),
    /// The time so many milliseconds after the answer.
    Date(i64),
}

/// Reads rules `[action] [header name]:[header value]` with commas between them; a rule with a comma stands in double quotes.
///
/// # Errors
/// What was expected.
pub(crate) fn response_headers(text: &str) -> Result<Vec<ResponseHeader>, String> {
    let rules = split(text)?;
    rules.iter().filter(|rule| !rule.is_empty()).map(|rule| read(rule)).collect()
}

fn read(rule: &str) -> Result<ResponseHeader, String> {
    let expected = || format!("expected '[action] [header name]:[header value]', found '{rule}'");
    let (action, header) = rule.split_once(char::is_whitespace).ok_or_else(expected)?;
    let (name, value) = header.split_once(':').ok_or_else(expected)?;
    let (name, value) = (name.trim(), value.trim());
    if value.is_empty() || value.chars().any(char::is_control) {
        return Err(expected());
    }
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!("expected the name of a header (letters, digits and hyphens), found '{name}'"));
    }
    if OF_THE_CONNECTION.iter().any(|own| name.eq_ignore_ascii_case(own)) {
        return Err(format!("expected another header than '{name}', which belongs to the connection"));
    }
    let (add, date) = match action.to_ascii_lowercase().as_str() {
        "set" => (false, false),
        "add" => (true, false),
        "setdate" => (false, true),
        "adddate" => (true, true),
        _ => return Err(format!("expected one of the actions set, add, setDate, addDate, found '{action}'")),
    };
    let value = if date {
        let ms = value.parse().ok().filter(|ms: &i64| (-FURTHEST_MS..=FURTHEST_MS).contains(ms));
        let ms =
            ms.ok_or_else(|| format!("expected the milliseconds from an answer to the date, at most a hundred years, found '{value}'"))?;
        HeaderText::Date(ms)
    } else {
        HeaderText::Text(value.to_owned())
    };
    Ok(ResponseHeader { name: name.to_owned(), value, add })
}

/// The parts between commas, without blanks around them. In double quotes a comma is one, and a backslash takes the next character as it is.
fn split(text: &str) -> Result<Vec<String>, String> {
    let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => quoted = !quoted,
            '\\' if quoted => part.extend(chars.next()),
            ',' if !quoted => parts.push(std::mem::take(&mut part).trim().to_owned()),
            char => part.push(char),
        }
    }
    if quoted {
        return Err("expected a closing double quote".into());
    }
    parts.push(part.trim().to_owned());
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_kafka_connect_does() {
        let rules = r#"add Cache-Control: no-cache, no-store, "set X-XSS-Protection: 1; mode=block", "add Cache-Control: no-store, must-revalidate", SETDATE Expires: 86400000"#;
        assert!(response_headers(rules).expect_err("a comma without quotes").contains("found 'no-store'"));
        let found = response_headers(&rules.replacen(", no-store,", ",", 1)).expect("rules");
        let rule = |add: bool, name: &str, text: &str| ResponseHeader { name: name.into(), value: HeaderText::Text(text.into()), add };
        assert_eq!(
            found,
            [
                rule(true, "Cache-Control", "no-cache"),
                rule(false, "X-XSS-Protection", "1; mode=block"),
                rule(true, "Cache-Control", "no-store, must-revalidate"),
                ResponseHeader { name: "Expires".into(), value: HeaderText::Date(86_400_000), add: false },
            ]
        );
        assert_eq!(response_headers(r#""add Link: <http://a:1/\"b\">""#), Ok(vec![rule(true, "Link", r#"<http://a:1/"b">"#)]));
        assert_eq!(response_headers(" "), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_rule_is_told() {
        for (rule, said) in [
            ("set", "expected '[action] [header name]:[header value]', found 'set'"),
            ("set X-A", "expected '[action] [header name]:[header value]'"),
            ("set X-A:", "expected '[action] [header name]:[header value]'"),
            ("put X-A: b", "set, add, setDate, addDate, found 'put'"),
            ("set X A: b", "found 'X A'"),
            ("set : b", "found ''"),
            ("set X-Ä: b", "found 'X-Ä'"),
            ("set X-A: a\tb", "expected '[action]"),
            ("set content-length: 5", "belongs to the connection"),
            ("setDate Expires: tomorrow", "the milliseconds from an answer to the date"),
            ("addDate Expires: 9223372036854775807", "at most a hundred years"),
            ("\"set X-A: b", "a closing double quote"),
        ] {
            let error = response_headers(rule).expect_err(rule);
            assert!(error.contains(said), "{rule}: {error}");
        }
    }
}
