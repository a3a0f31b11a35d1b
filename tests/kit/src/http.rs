//! A call of a REST interface, by hand: no client of ours is tested with itself.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The headers, names in small letters.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl HttpAnswer {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// Sends a request to `HOST:PORT` and reads the whole answer. A body goes with its length.
///
/// # Errors
/// The connection failed, or the answer did not come within `deadline` or is no HTTP.
pub fn http(
    address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>, deadline: Duration,
) -> Result<HttpAnswer, String> {
    exchange(address, method, path, headers, body, deadline).map_err(|error| format!("{method} {path} at {address}: {error}"))?
}

fn exchange(
    address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>, deadline: Duration,
) -> std::io::Result<Result<HttpAnswer, String>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(deadline))?;
    stream.set_write_timeout(Some(deadline))?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n").into_bytes();
    headers.iter().for_each(|(name, value)| request.extend(format!("{name}: {value}\r\n").bytes()));
    if let Some(body) = body {
        request.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
    }
    request.extend(b"\r\n");
    request.extend(body.unwrap_or_default());
    // A server that refuses a long body answers before it has read all of it: the answer counts.
    let sent = stream.write_all(&request);
    let mut answer = Vec::new();
    match (stream.read_to_end(&mut answer), sent) {
        (Err(error), _) | (_, Err(error)) if answer.is_empty() => return Err(error),
        _ => {}
    }
    Ok(parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| format!("no HTTP answer: {}", String::from_utf8_lossy(&answer))))
}

fn parse(text: &str) -> Option<HttpAnswer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    Some(HttpAnswer { status, headers: lines.filter_map(header).collect(), body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let answer = parse("HTTP/1.1 201 Created\r\nLocation: /a\r\nContent-Length: 2\r\n\r\n{}").expect("HTTP");
        assert_eq!((answer.status, answer.header("location"), &*answer.body), (201, Some("/a"), "{}"));
        assert_eq!(parse("nonsense"), None);
    }
}
