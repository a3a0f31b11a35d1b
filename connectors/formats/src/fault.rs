//! Why a row can't be decoded.

use lakefeed_core::{Rejected, Stage};

/// The result of every step of decoding.
pub(crate) type Result<T, E = Fault> = std::result::Result<T, E>;

/// Why a step of decoding ended.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The schema would have to grow, and this pass must not change it.
    Growth,
    /// The row is to be rejected. On the heap, so that the results of the hot path stay small.
    Row(Box<RowFault>),
}

#[derive(Debug)]
pub(crate) struct RowFault {
    message: String,
    /// Whether a field is to blame and not the text as such.
    of_field: bool,
    /// From the inside out.
    path: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Member(String),
    Item(usize),
}

impl Fault {
    /// The record as such is wrong.
    #[cold]
    pub(crate) fn record(message: impl Into<String>) -> Self {
        Self::Row(Box::new(RowFault { message: message.into(), of_field: false, path: Vec::new() }))
    }

    /// A field is wrong: whoever knows its place adds the path.
    #[cold]
    pub(crate) fn field(message: impl Into<String>) -> Self {
        Self::Row(Box::new(RowFault { message: message.into(), of_field: true, path: Vec::new() }))
    }

    /// Happened in the member `name`.
    #[cold]
    pub(crate) fn in_member(mut self, name: &str) -> Self {
        if let Self::Row(fault) = &mut self {
            fault.path.push(Step::Member(name.to_owned()));
        }
        self
    }

    /// Happened in an item of an array.
    #[cold]
    pub(crate) fn in_item(mut self, index: usize) -> Self {
        if let Self::Row(fault) = &mut self {
            fault.path.push(Step::Item(index));
        }
        self
    }

    /// With what else the reader of the message has to know.
    #[cold]
    pub(crate) fn because(mut self, context: &str) -> Self {
        if let Self::Row(fault) = &mut self {
            fault.message = format!("{context}: {}", fault.message);
        }
        self
    }

    /// The message, with the path of the field.
    pub(crate) fn into_message(self) -> String {
        let rejected = self.into_rejected(0);
        match rejected.field {
            Some(field) => format!("field {field}: {}", rejected.message),
            None => rejected.message,
        }
    }

    /// The row as the dead letters want it.
    pub(crate) fn into_rejected(self, row: usize) -> Rejected {
        let (message, field) = match self {
            Self::Growth => ("the columns of this row can't be added".to_owned(), None),
            Self::Row(fault) => {
                let field = (fault.of_field && !fault.path.is_empty()).then(|| path(&fault.path));
                (fault.message, field)
            }
        };
        Rejected { row, stage: Stage::ValueConverter, field, message }
    }
}

fn path(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps.iter().rev() {
        match step {
            Step::Member(name) if text.is_empty() => text.push_str(name),
            Step::Member(name) => {
                text.push('.');
                text.push_str(name);
            }
            Step::Item(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}
