//! `make bench`: what the CSV producer, the DynamoDB processor and the S3 sink cost, on a real Kafka and a real MinIO.
//!
//! What is measured are processes of the shipped binary; their CPU time is what counts, because clocks on shared machines say little.
//! Beside it stands the floor, measured in the same run: a bare loop with the same libraries; and a neighbour, a Python script with
//! DuckDB. Figures are not tests: a target that is missed is printed as missed, and the exit code is 0 unless something failed to run,
//! or rows were not where they belong.

mod avro;
mod bad_rows;
mod floors;
mod freshness;
mod lister;
mod neighbour;
mod pairs;
mod partitions;
mod process;
mod rest;
mod sinks;
mod start;
mod steps;
mod table;
mod testbed;
mod transforms;
mod workloads;

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use lakefeed_core::{Error, Result};

use crate::steps::{Bench, STEPS};
use crate::testbed::Testbed;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const USAGE: &str = "\
lakefeed-bench [--rows N] [--runs N] [--only STEP,...] [--set KEY=VALUE] [--lakefeed PATH]

  --rows N          motor rows of a step, at least 1000 (default 1000000); the other workloads have more or fewer in proportion
  --runs N          runs of each step, of which the medians are shown (default 1)
  --only STEP,...   the steps; what a step reads is made too:
                      csv         CSV file to Kafka
                      processor   table topic to stream records
                      sink        stream records to Parquet
                      w1 w2 w3 w4 motor rows, nested events, 200 columns, small events to Parquet
                      transforms  a chain of three transforms against none
                      avro        Avro of a Schema Registry against JSON
                      partitions  1 lake partition against 200
                      memory      16 topic partitions x 200 lake partitions
                      freshness   from a record's timestamp until its object is there
                      bad-rows    dead letters
                      rest        REST calls while a sink is at work
                      start       size, start and idle memory of the binary
  --set KEY=VALUE   a key of the connectors or (memory.*, offset.*, consumer.*) of the worker, in the place of what its file or the step
                    says; may be repeated
  --lakefeed PATH   the binary to measure; default: the one beside this program, which cargo brings up to date

KAFKA_BOOTSTRAP, S3_ENDPOINT and SCHEMA_REGISTRY_URL name running servers; those that are not named are started.
";

const NOTES: &str = "
Method. Rows per CPU-second: rows of the input by user and system time of the whole process, start and stop included; servers are not
counted. rows/s and MB/s: from the start of the process until everything is published and committed, for the sinks with the second after
which idle files close (w1 and w4, which are compared with the neighbour, transforms, avro and rest: a quarter of it). Memory is what is resident, libraries
included.
A bare loop is the same work with the same libraries and without our plugins (csv: split lines and send ready rows; processor: consume and
send ready rows; sinks: decode and encode in memory, one file, no dictionaries, no Kafka, no store, half of
it before the run and half after it). For w1 that is also done with
arrow-json in the place of our decoder. The neighbour is tests/bench/neighbour.py, without lake partitions. Each run of a sink has a bucket of its own, whose rows are counted by the footers of its
files and whose requests MinIO has counted. Dead letters are counted by the offsets of their topic. Freshness is looked at every 20 ms.
transforms, avro, partitions and bad-rows run both sides three times in turn, and show the median of the three ratios. rest: one call every 10 ms, each over a connection of
its own, from the first row that the sink has read to the last.
Rows have the same values in each run and on each machine. MB: 10^6 bytes, MiB: 2^20.
";

struct Args {
    rows: u64,
    runs: u64,
    only: Vec<String>,
    set: Vec<(String, String)>,
    lakefeed: Option<PathBuf>,
}

impl Args {
    /// `None`: help was asked for.
    fn read(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut args = Self { rows: 1_000_000, runs: 1, only: Vec::new(), set: Vec::new(), lakefeed: None };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            let number = |text: String, least: u64| {
                text.parse().ok().filter(|n| *n >= least).ok_or(format!("'{text}': expected a whole number, {least} at least"))
            };
            match word.as_str() {
                "--rows" => args.rows = number(value()?, 1000)?,
                "--runs" => args.runs = number(value()?, 1)?,
                "--only" => args.only = value()?.split(',').map(str::to_owned).collect(),
                "--set" => match value()?.split_once('=') {
                    Some((key, value)) => args.set.push((key.to_owned(), value.to_owned())),
                    None => return Err("--set: expected KEY=VALUE".to_owned()),
                },
                "--lakefeed" => args.lakefeed = Some(value()?.into()),
                "-h" | "--help" => return Ok(None),
                _ => return Err(format!("unknown argument '{word}'")),
            }
        }
        match args.only.iter().find(|name| !STEPS.contains(&name.as_str())) {
            Some(name) => Err(format!("--only '{name}': expected some of {}", STEPS.join(", "))),
            None => Ok(Some(args)),
        }
    }

    fn wants(&self, step: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == step)
    }
}

fn main() -> ExitCode {
    // The kit panics when a server can't be had: its message says what to do, a backtrace nothing more.
    std::panic::set_hook(Box::new(|panic| {
        // Nothing better can be done with an error while a panic is under way.
        let _ = writeln!(io::stderr(), "lakefeed-bench: {panic}");
    }));
    let mut stderr = io::stderr();
    let done = match Args::read(env::args().skip(1)) {
        Ok(Some(args)) => bench(&args),
        Ok(None) => show(USAGE),
        Err(message) => {
            // Nobody is left to tell if stderr is closed.
            let _ = write!(stderr, "lakefeed-bench: {message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr, "lakefeed-bench: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

fn show(text: &str) -> Result<()> {
    io::stdout().lock().write_all(text.as_bytes()).map_err(|e| Error::config("can't write to stdout").with_source(e))
}

fn bench(args: &Args) -> Result<()> {
    let lakefeed = args.lakefeed.clone().map_or_else(build, Ok)?;
    let machine = machine(&lakefeed);
    if args.wants("w1") || args.wants("w4") {
        neighbour::check()?;
    }
    let mut bench = Bench::new(Testbed::open(lakefeed, args.set.clone())?, args.rows);
    let done = measure(&mut bench, args);
    // What was measured before a failure is shown too.
    show(&format!("\n{machine}{}{NOTES}", bench.report.show()))?;
    done
}

fn measure(bench: &mut Bench, args: &Args) -> Result<()> {
    let start = Instant::now();
    for run in 1..=args.runs {
        for step in STEPS.iter().filter(|step| args.wants(step)) {
            let at = start.elapsed().as_secs();
            // Nobody is left to tell if stderr is closed.
            let _ = writeln!(io::stderr(), "{:>3}:{:02}  {step}, run {run} of {}", at / 60, at % 60, args.runs);
            bench.run(step)?;
        }
    }
    Ok(())
}

/// The binary beside this program. Under `cargo run` it is brought up to date: cargo builds only what it was asked to run.
fn build() -> Result<PathBuf> {
    if let Some(cargo) = env::var_os("CARGO") {
        let arguments = ["build", "--release", "--package", "lakefeed", "--bin", "lakefeed"];
        let built = Command::new(cargo).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).status();
        if !built.is_ok_and(|status| status.success()) {
            return Err(Error::config("the binary can't be built: see above"));
        }
    }
    let this = env::current_exe().map_err(|e| Error::fatal("this program does not know where it is").with_source(e))?;
    let path = this.with_file_name("lakefeed");
    if path.exists() { Ok(path) } else { Err(Error::config(format!("{} is missing: run make build, or pass --lakefeed", path.display()))) }
}

/// The machine and the versions, for whoever compares.
fn machine(lakefeed: &Path) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")).map_or("CPU", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version = Command::new(lakefeed).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    format!("{cores} cores, {model}, Linux {}, {}\n", kernel.trim(), String::from_utf8_lossy(&version).trim())
}
