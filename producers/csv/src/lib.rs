//! CSV files to Kafka topics.
//!
//! * [`PLUGIN`]: `CsvSourceConnector`, the files of a folder (or one file) as a source.
//! * [`CsvFile`]: one file, for who wants to send it without a worker.
//!
//! Columns are mapped by the names in the header. A row becomes a JSON object with the columns in the order of the file. A cell that is a
//! JSON number is copied as it stands, never parsed and printed again: `1.0` stays `1.0`. `true` and `false` are booleans, an empty
//! cell is null, everything else is a string. A row that can't be used is rejected with file, line, column, value and reason, and the next
//! one is read.

mod config;
mod file;
mod folder;
mod position;
mod reader;
mod row;
mod source;

pub use config::{CellType, CsvOptions, Nulls, parse_types};
pub use file::{CsvFile, Filled};
use lakefeed_core::{Make, Plugin};
pub use position::FilePosition;

/// The connector.
pub const PLUGIN: Plugin = Plugin {
    class: "CsvSourceConnector",
    aliases: &["com.github.jcustenborder.kafka.connect.spooldir.SpoolDirCsvSourceConnector"],
    doc: "Reads the CSV files of a folder and writes their rows to a topic as JSON.",
    def: config::def,
    validate: config::validate,
    warnings: |_| Vec::new(),
    make: Make::Source(source::make),
};
