//! `lakefeed report`.

use std::path::PathBuf;
use std::process::ExitCode;

use lakefeed_core::Result;

use super::sql;

/// Draw the charts of a table of the lake as one HTML page.
///
/// The motor data get their charts; for any other table there are the rows by partition and the range of each column of numbers.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A directory or an s3:// URL whose folders are the tables.
    lake: String,
    /// The page to write.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The table; by default the first one with motor data, else the first.
    #[arg(long)]
    table: Option<String>,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let lake = sql::open(&args.lake)?;
    sql::finish(sql::write_file(&args.output, |out| lakefeed_report::write(&lake, args.table.as_deref(), out)))
}
