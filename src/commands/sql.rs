//! `lakefeed sql`.

use std::error::Error as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use lakefeed_core::{Error, Result};
use lakefeed_query::{Format, Interrupt, Lake, S3Settings, terminal_width};

/// Where `lakefeed demo` puts its lake.
const DEMO_LAKE: &str = "demo/lake";

/// Ask the lake in SQL (DuckDB): one query, a script, or a shell.
///
/// Without a query it opens a shell on a terminal and else reads statements from stdin.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The statements to run, separated by `;`.
    query: Option<String>,
    /// A directory or an s3:// URL whose folders are the tables; without it demo/lake, if it is there.
    #[arg(long, env = "LAKEFEED_LAKE")]
    lake: Option<String>,
    /// Read the statements from a file; `-` is stdin.
    #[arg(short, long, value_name = "FILE", conflicts_with = "query")]
    file: Option<PathBuf>,
    /// How answers are written; by default as the name of the output file says, else as a table.
    #[arg(long, value_parser = PossibleValuesParser::new(Format::NAMES))]
    format: Option<String>,
    /// Write the answers to a file.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let mut lake = open(&find_lake(args.lake)?)?;
    let script = match (args.query, args.file) {
        (Some(query), _) => Some(query),
        (None, Some(file)) if file.as_os_str() != "-" => {
            Some(fs::read_to_string(&file).map_err(|e| Error::config(format!("can't read {}", file.display())).with_source(e))?)
        }
        (None, None) if io::stdin().is_terminal() => None,
        _ => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map_err(|e| Error::config("can't read the statements from stdin").with_source(e))?;
            Some(text)
        }
    };
    let Some(script) = script else {
        if args.output.is_some() || args.format.is_some() {
            return Err(Error::config("--format and --output need a query; in the shell, .mode changes the format"));
        }
        stop_queries_on_ctrl_c(lake.interrupt_handle());
        lake.shell(&mut io::stdout().lock(), &mut io::stderr().lock())?;
        return Ok(ExitCode::SUCCESS);
    };
    let format = match args.format {
        Some(name) => name.parse()?,
        None => args.output.as_deref().and_then(format_of).unwrap_or(Format::Table),
    };
    let done = match args.output {
        Some(file) => write_file(&file, |out| lake.run(&script, format, out)),
        None if format == Format::Parquet && io::stdout().is_terminal() => {
            Err(Error::config("a Parquet file is nothing for a terminal; name a file with -o FILE"))
        }
        None => {
            lake.set_width(terminal_width());
            lake.run(&script, format, &mut BufWriter::new(io::stdout().lock()))
        }
    };
    finish(done)
}

/// Opens a lake with the settings of the environment, and says which tables can't be read.
pub(super) fn open(location: &str) -> Result<Lake> {
    let lake = Lake::open(location, &S3Settings::from_env())?;
    for table in lake.unreadable() {
        // Nobody is left to tell if stderr is closed.
        let _ = writeln!(io::stderr(), "lakefeed: warning: {}", table.error.chain());
    }
    Ok(lake)
}

/// A reader that has seen enough (`| head`) is no failure.
pub(super) fn finish(done: Result<()>) -> Result<ExitCode> {
    match done {
        Err(error) if closed(&error) => Ok(ExitCode::SUCCESS),
        other => other.map(|()| ExitCode::SUCCESS),
    }
}

fn closed(error: &Error) -> bool {
    error.source().and_then(|e| e.downcast_ref::<io::Error>()).is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes a file that is complete under its name or not there; what is no plain file (a pipe, a device) is written as it is.
pub(super) fn write_file(file: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let failed = |e| Error::config(format!("can't write {}", file.display())).with_source(e);
    if file.exists() && !file.is_file() {
        return write(&mut File::create(file).map_err(failed)?);
    }
    let name = file.file_name().ok_or_else(|| Error::config(format!("{} is no name for a file", file.display())))?;
    let temporary = file.with_file_name(format!(".{}.tmp-{}", name.to_string_lossy(), std::process::id()));
    let mut out = BufWriter::new(File::create(&temporary).map_err(failed)?);
    let done = write(&mut out).and_then(|()| out.flush().and_then(|()| fs::rename(&temporary, file)).map_err(failed));
    if done.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    done
}

fn find_lake(named: Option<String>) -> Result<String> {
    match named {
        Some(lake) => Ok(lake),
        None if Path::new(DEMO_LAKE).is_dir() => Ok(DEMO_LAKE.to_owned()),
        None => Err(Error::config(format!(
            "which lake? Pass --lake DIRECTORY or --lake s3://BUCKET/PREFIX, or set LAKEFEED_LAKE; there is no {DEMO_LAKE} here, which \
             `lakefeed demo` would make"
        ))),
    }
}

fn format_of(file: &Path) -> Option<Format> {
    file.extension()?.to_str()?.parse().ok()
}

/// Ctrl-C at the prompt is a key; while a query runs it is a signal, which ends the query and not the shell. The thread lives as long as
/// the process.
fn stop_queries_on_ctrl_c(interrupt: Interrupt) {
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                interrupt.interrupt()
            }
        });
    });
}
