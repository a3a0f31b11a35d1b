//! `lakefeed crawl`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use lakefeed_core::{Error, Result};
use lakefeed_query::{Lake, terminal_width};

use super::sql;

/// Find the tables of a lake and write a catalog that the plain `duckdb` shell opens.
///
/// Each folder of the lake is a table, named as the AWS Glue crawler names it. Run it again when new tables or partition columns are there;
/// new files of known tables are seen without.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A directory or an s3:// URL whose folders are the tables.
    lake: String,
    /// The catalog; by default catalog.duckdb in the lake's directory, or here for a lake on S3.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let lake = sql::open(&args.lake)?;
    let file = args.output.unwrap_or_else(|| lake.directory().map_or_else(PathBuf::new, PathBuf::from).join("catalog.duckdb"));
    lake.write_catalog(&file)?;
    if lake.directory().is_none() {
        // Nobody is left to tell if stderr is closed.
        let _ =
            writeln!(io::stderr(), "lakefeed: duckdb needs a secret of its own to read S3: CREATE SECRET (TYPE s3, KEY_ID '...', ...);");
    }
    sql::finish(show(&lake, &file))
}

fn show(lake: &Lake, file: &std::path::Path) -> Result<()> {
    let mut out = io::stdout().lock();
    lake.summary()?.write_table(terminal_width(), &mut out)?;
    writeln!(out, "duckdb {}", file.display()).map_err(|e| Error::config("can't write the answer").with_source(e))
}
