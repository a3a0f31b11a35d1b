//! Errors by what happens next, and the shape of a rejected row.

use std::error::Error as StdError;
use std::fmt;

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Passing trouble (network, throttling): back off and try again. Exit code 3 when it reaches the command line.
    Retry,
    /// This row can't be used: it goes to the dead letters and the task goes on.
    Reject,
    /// The user must change a key or an argument: the message names it, its value and what is accepted. Exit code 1.
    Config,
    /// The task can't go on; the others do. Exit code 1.
    Fatal,
}

/// An error with its kind, a message for the user and the error that caused it.
///
/// The message of the cause is never pasted into the message: print the chain (see [`Error::chain`]).
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Passing trouble: see [`ErrorKind::Retry`].
    pub fn retry(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Retry, message)
    }

    /// A wrong setting: see [`ErrorKind::Config`].
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// The end of a task: see [`ErrorKind::Fatal`].
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Fatal, message)
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What happens next.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message and those of all its causes, on one line.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut source = self.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.chain())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|e| &**e as &(dyn StdError + 'static))
    }
}

/// Where in the pipeline a row was refused. The names are those of Kafka Connect (`__connect.errors.stage`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The key could not be decoded.
    KeyConverter,
    /// The value could not be decoded.
    ValueConverter,
    /// A transform refused the row.
    Transformation,
    /// The plugin refused the row (partitioning, time, type).
    TaskPut,
    /// A source refused a row of its input.
    TaskPoll,
    /// The broker refused the record.
    KafkaProduce,
}

impl Stage {
    /// The name in Kafka Connect's headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::KeyConverter => "KEY_CONVERTER",
            Self::ValueConverter => "VALUE_CONVERTER",
            Self::Transformation => "TRANSFORMATION",
            Self::TaskPut => "TASK_PUT",
            Self::TaskPoll => "TASK_POLL",
            Self::KafkaProduce => "KAFKA_PRODUCE",
        }
    }
}

/// A row of a [`Records`](crate::Records) that can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The index of the record in its `Records`.
    pub row: usize,
    /// Where it was refused.
    pub stage: Stage,
    /// The path of the field, if one is to blame.
    pub field: Option<String>,
    /// What was found (shortened), what was expected, what to do. Topic, partition and offset are added by the worker.
    pub message: String,
}

/// At most 60 characters of a value for a message, control characters escaped, with `...` where it was cut.
pub fn shorten(value: &[u8]) -> String {
    const MAX: usize = 60;
    let cut = &value[..value.len().min(MAX * 4)];
    let text = String::from_utf8_lossy(cut);
    let mut out = String::with_capacity(MAX + 3);
    let mut chars = text.chars();
    for c in chars.by_ref().take(MAX) {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    if chars.next().is_some() || cut.len() < value.len() {
        out.push_str("...");
    }
    out
}

/// Text with its control characters escaped: names from files and from records can't forge lines of a log.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_names_every_cause_once() {
        let io = std::io::Error::other("connection refused");
        let error = Error::retry("can't reach the broker at localhost:9092").with_source(io);
        assert_eq!(error.chain(), "can't reach the broker at localhost:9092: connection refused");
        assert_eq!(error.to_string(), "can't reach the broker at localhost:9092");
    }

    #[test]
    fn values_are_shortened_and_made_printable() {
        assert_eq!(shorten(b"24.5"), "24.5");
        assert_eq!(shorten(b"a\nb\0"), "a\\nb\\u{0}");
        assert_eq!(shorten(&[b'x'; 100]), format!("{}...", "x".repeat(60)));
        assert_eq!(shorten("ü".repeat(61).as_bytes()), format!("{}...", "ü".repeat(60)));
        assert_eq!(shorten(&[0xff, b'a']), "\u{fffd}a");
    }
}
