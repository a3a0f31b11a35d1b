//! `make bench`: what the CSV producer, the DynamoDB processor and the S3 sink cost, on a real Kafka and a real MinIO.
//!
//! Each step is one process of the shipped binary; its CPU time is what counts, because clocks on shared machines say little. Beside it
//! stands its floor, measured in the same run: a bare loop with the same libraries. Figures are not tests: a target that is missed is
//! printed as missed, and the exit code is 0 unless something failed to run.

mod floors;
mod process;
mod steps;

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use lakefeed_core::{Error, Result};
use lakefeed_formats::Shape;

use crate::steps::{Bench, Figure};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "\
lakefeed-bench [--rows N] [--runs N] [--only STEP,...] [--set KEY=VALUE] [--lakefeed PATH]

  --rows N          motor rows of each step (default 1000000)
  --runs N          runs of each step, of which the medians are shown (default 1)
  --only STEP,...   csv, processor, sink (the change stream to Parquet), sink-json (plain JSON to Parquet); what a step reads is made
  --set KEY=VALUE   a key of the connectors, beside or in the place of what their files say; may be repeated
  --lakefeed PATH   the binary to measure; default: the one beside this program, which cargo brings up to date

KAFKA_BOOTSTRAP and S3_ENDPOINT name running servers; otherwise both are started.
";

/// The names of the steps, and how many rows per CPU-second are wanted of each.
const TARGETS: [(&str, f64); 4] = [("csv", 600_000.0), ("processor", 150_000.0), ("sink", 300_000.0), ("sink-json", 300_000.0)];
/// The most memory that a worker may have resident.
const PEAK_BYTES: u64 = 256 << 20;

struct Args {
    rows: u64,
    runs: usize,
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
            let number = |text: String| text.parse().ok().filter(|n| *n > 0).ok_or(format!("'{text}': expected a whole number above 0"));
            match word.as_str() {
                "--rows" => args.rows = number(value()?)?,
                "--runs" => args.runs = number(value()?)? as usize,
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
        match args.only.iter().find(|name| !TARGETS.iter().any(|(known, _)| known == name)) {
            Some(name) => Err(format!("--only '{name}': expected some of csv, processor, sink, sink-json")),
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
    show(&machine(&lakefeed))?;
    let bench = Bench::open(lakefeed, args.rows, args.set.clone())?;
    show(&table(&mut measure(&bench, args)?))
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

type Figures = Vec<(&'static str, Vec<Figure>)>;

/// Runs what is wanted, and what that needs as its input.
fn measure(bench: &Bench, args: &Args) -> Result<Figures> {
    let mut figures: Figures = TARGETS.iter().filter(|(step, _)| args.wants(step)).map(|(step, _)| (*step, Vec::new())).collect();
    let mut keep = |step: &str, figure: Figure| {
        if let Some((_, all)) = figures.iter_mut().find(|(name, _)| *name == step) {
            all.push(figure);
        }
    };
    let (mut table, mut stream) = (None, None);
    for _ in 0..args.runs {
        if table.is_none() || args.wants("csv") {
            let (figure, topic) = bench.csv()?;
            keep("csv", figure);
            table = Some(topic);
        }
        let Some(table) = &table else { continue };
        if args.wants("processor") || (stream.is_none() && args.wants("sink")) {
            let (figure, topic) = bench.processor(table)?;
            keep("processor", figure);
            stream = Some(topic);
        }
        if let Some(stream) = stream.as_ref().filter(|_| args.wants("sink")) {
            keep("sink", bench.sink(stream, Shape::NewImage)?);
        }
        if args.wants("sink-json") {
            keep("sink-json", bench.sink(table, Shape::Plain)?);
        }
    }
    Ok(figures)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn table(figures: &mut Figures) -> String {
    let thousand = |rate: f64| format!("{:.0} k", rate / 1000.0);
    let mut text = format!(
        "{:<10} {:>9} {:>7} {:>8} {:>6} {:>6} {:>11} {:>11} {:>6} {:>11} {:>5} {:>9} {:>5}\n",
        "step", "rows", "seconds", "rows/s", "MB/s", "CPU s", "rows/CPU s", "bare loop", "ratio", "target", "met", "peak MiB", "met"
    );
    let mut lakes = String::new();
    for (step, runs) in figures {
        // The run in the middle, so that the figures of a line belong together.
        runs.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
        let Some(figure) = runs.get(runs.len() / 2) else { continue };
        let floor = median(runs.iter().map(|run| run.floor).collect());
        let peak = runs.iter().map(|run| run.usage.peak_bytes).max().unwrap_or_default();
        let target = TARGETS.iter().find(|(name, _)| name == step).map_or(0.0, |(_, target)| *target);
        let met = |yes: bool| if yes { "yes" } else { "NO" };
        text += &format!(
            "{step:<10} {:>9} {:>7.1} {:>8} {:>6.0} {:>6.2} {:>11} {:>11} {:>6.2} {:>11} {:>5} {:>9.0} {:>5}\n",
            figure.rows,
            figure.wall_s,
            thousand(figure.rows as f64 / figure.wall_s),
            figure.bytes as f64 / 1e6 / figure.wall_s,
            figure.usage.cpu_s,
            thousand(figure.rate()),
            thousand(floor),
            figure.rate() / floor,
            thousand(target),
            met(figure.rate() >= target),
            peak as f64 / f64::from(1 << 20),
            met(peak <= PEAK_BYTES),
        );
        if let Some(lake) = &figure.lake {
            let requests = lake.requests.map(|n| format!(", {n} S3 requests (those of others at that time included)")).unwrap_or_default();
            let (mb, per_row) = (lake.bytes as f64 / 1e6, lake.bytes as f64 / figure.rows as f64);
            lakes += &format!("{step}: {} objects, {mb:.1} MB, {per_row:.0} bytes of Parquet per row{requests}\n", lake.objects);
        }
    }
    text + &lakes
        + "Seconds include start-up and, for the sinks, the second after which idle files close. MB are of the input. CPU is user and system\n\
           time of the measured process alone; a bare loop is the same work with the same libraries and without our plugins.\n"
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
