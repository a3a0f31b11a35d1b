//! `lakefeed generate`.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lakefeed_core::{Error, Result};
use lakefeed_generate::pmsm;

/// Make data for demos and tests, the same on every machine
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Generate {
    Pmsm(Pmsm),
}

/// A look-alike of the electric motor temperature data (permanent-magnet synchronous motor, 2 Hz, as CSV)
#[derive(Debug, clap::Args)]
pub(crate) struct Pmsm {
    /// How many rows
    #[arg(long, value_name = "N")]
    rows: u64,
    /// Other seeds give other data, the same seed always the same bytes
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How many profiles (sessions on the test bench); default: 69, or fewer so that each has about 1000 rows
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u32).range(1..))]
    profiles: Option<u32>,
    /// Where to write; default: stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(command: Generate) -> Result<ExitCode> {
    let Generate::Pmsm(args) = command;
    let options = pmsm::Options { rows: args.rows, seed: args.seed, profiles: args.profiles };
    match &args.output {
        Some(path) => to_file(&options, path)?,
        None => to_stdout(&options)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn to_stdout(options: &pmsm::Options) -> Result<()> {
    match pmsm::write(options, &mut io::stdout().lock(), |_| ()) {
        // Whoever reads has enough, as in `| head`.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|e| Error::config("can't write to stdout").with_source(e)),
    }
}

fn to_file(options: &pmsm::Options, path: &Path) -> Result<()> {
    let fault = |e| {
        Error::config(format!("can't write to {}; check the folder, its rights and the space on the disk", path.display())).with_source(e)
    };
    let mut file = File::create(path).map_err(fault)?;
    let bar = bar(options.rows);
    pmsm::write(options, &mut file, |done| bar.set_position(done)).map_err(fault)?;
    bar.finish_and_clear();
    // Nobody is left to tell if stderr is closed.
    let _ = writeln!(io::stderr(), "{}: {} rows", path.display(), options.rows);
    Ok(())
}

/// Drawn on a terminal only, and without colours.
fn bar(rows: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {percent}%  {human_pos} rows  {per_sec}  {eta} left");
    let bar = ProgressBar::with_draw_target(Some(rows), ProgressDrawTarget::stderr());
    // The template is a constant; without it there would be the default style.
    if let Ok(style) = style { bar.with_style(style) } else { bar }
}
