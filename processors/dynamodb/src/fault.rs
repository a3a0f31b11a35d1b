//! Why a row can't be used, and where in it.

use lakefeed_core::{Rejected, Stage, shorten};

/// Why a row can't be used.
#[derive(Debug)]
pub(crate) struct Fault {
    stage: Stage,
    path: String,
    message: String,
}

/// The fault is boxed: it is rare, and the results of the scanner stay small.
pub(crate) type Scan<T> = Result<T, Box<Fault>>;

impl Fault {
    /// The value is not what it should be.
    pub(crate) fn value(message: String) -> Box<Self> {
        Box::new(Self { stage: Stage::ValueConverter, path: String::new(), message })
    }

    /// The record key is not what it should be.
    pub(crate) fn key(message: String) -> Box<Self> {
        Box::new(Self { stage: Stage::KeyConverter, path: String::new(), message })
    }

    /// The item can be read, but no table would take it.
    pub(crate) fn item(message: String) -> Box<Self> {
        Box::new(Self { stage: Stage::TaskPut, path: String::new(), message })
    }

    /// A value that was found where another was expected.
    pub(crate) fn unexpected(expected: &str, found: &[u8]) -> Box<Self> {
        Self::value(format!("expected {expected}, found '{}'", shorten(found)))
    }

    /// The same in another stage.
    pub(crate) fn in_stage(mut self: Box<Self>, stage: Stage) -> Box<Self> {
        self.stage = stage;
        self
    }

    /// The same with `lead` before its message.
    pub(crate) fn because(mut self: Box<Self>, lead: &str) -> Box<Self> {
        self.message.insert_str(0, lead);
        self
    }

    /// The same, seen from the map around it. `name` is JSON text, with or without its quotes.
    pub(crate) fn in_member(mut self: Box<Self>, name: &[u8]) -> Box<Self> {
        let name = name.strip_prefix(b"\"").and_then(|n| n.strip_suffix(b"\"")).unwrap_or(name);
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{}{dot}{}", shorten(name), self.path);
        self
    }

    /// The same, seen from the list around it.
    pub(crate) fn in_element(mut self: Box<Self>, index: usize) -> Box<Self> {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("[{index}]{dot}{}", self.path);
        self
    }

    /// The rejected row.
    pub(crate) fn reject(self, row: usize) -> Rejected {
        let field = (!self.path.is_empty()).then_some(self.path);
        Rejected { row, stage: self.stage, field, message: self.message }
    }
}
