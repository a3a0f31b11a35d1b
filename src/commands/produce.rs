//! `lakefeed produce`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lakefeed_core::{Error, Output, Result, SourceReject};
use lakefeed_csv::{CellType, CsvFile, CsvOptions, FilePosition, Filled, parse_types};
use lakefeed_kafka::{ClientSettings, Producer, TopicSpec, ensure_topic};
use serde_json::{Value, json};

/// Send data to a topic, once
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Produce {
    Csv(Csv),
}

/// Send the rows of a CSV file to a topic, as JSON objects with the names of the header
///
/// A cell that is a JSON number is copied as it stands, true and false are booleans, an empty cell is null, everything else is a string. Rows
/// that can't be used go to a file with their line and the reason; the exit code is then 1.
#[derive(Debug, clap::Args)]
pub(crate) struct Csv {
    /// The file, UTF-8; `-` reads stdin
    file: PathBuf,
    /// The topic; it is made if it is not there
    #[arg(long)]
    topic: String,
    /// The Kafka brokers to start from
    #[arg(long, value_name = "HOST:PORT,...")]
    bootstrap_servers: String,
    /// The columns of the record key: of one column the text of its cell, of several a JSON object; default: no key
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    key: Vec<String>,
    /// The names of the columns, for a file without a header
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    columns: Vec<String>,
    /// Columns whose cells must be a string, long, double or boolean
    #[arg(long, value_name = "COLUMN:TYPE,...", value_delimiter = ',', value_parser = parse_type)]
    types: Vec<(String, CellType)>,
    /// The character between cells; `\t` is a tab
    #[arg(long, value_name = "C", default_value = ",", value_parser = parse_delimiter)]
    delimiter: u8,
    /// A setting of the Kafka client, for example compression.type=lz4; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_property)]
    property: Vec<(String, String)>,
    /// Where bad rows go, one JSON object per line; written only if there are some [default: FILE.rejected.jsonl]
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// The partitions of a topic that is made; default: the brokers' own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Go on where an earlier run with --resume was stopped; how far it came is kept in FILE.progress.json until the file is done
    #[arg(long)]
    resume: bool,
    /// How long the brokers may take to answer, and to accept a row
    #[arg(long, value_name = "MS", default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(1..))]
    timeout_ms: u32,
}

/// Rows per turn of the loop; a turn also ends at 1 MiB of JSON.
const TURN_ROWS: u64 = 10_000;
/// With --resume: how often the position is made durable. Each time the producer is drained.
const SAVE_EVERY: Duration = Duration::from_secs(2);

pub(crate) fn run(command: Produce) -> Result<ExitCode> {
    let Produce::Csv(args) = command;
    let options = CsvOptions {
        delimiter: args.delimiter,
        header: args.columns.is_empty(),
        columns: args.columns.clone(),
        types: args.types.clone(),
        key: args.key.clone(),
        ..CsvOptions::default()
    };
    if args.file == Path::new("-") {
        if args.resume {
            return Err(Error::config("--resume needs a file: stdin can't be read again"));
        }
        let file = CsvFile::open("stdin", io::stdin().lock(), &options)?;
        return Run::new(&args, "stdin", None)?.send(file);
    }
    let name = args.file.to_string_lossy();
    let (input, length) = open(&args.file)?;
    let mut file = CsvFile::open(&*name, input, &options)?;
    let mut run = Run::new(&args, &name, Some(length))?;
    if let Some(resume) = &run.resume
        && let Some(from) = resume.load()?
    {
        file.resume(from)?;
        run.resumed_at = from;
    }
    run.send(file)
}

fn open(path: &Path) -> Result<(File, u64)> {
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, file) = opened.map_err(|e| Error::config(format!("{}: can't be opened", path.display())).with_source(e))?;
    if metadata.is_dir() {
        return Err(Error::config(format!(
            "{}: this is a folder; name a CSV file, or use CsvSourceConnector for a folder",
            path.display()
        )));
    }
    Ok((file, metadata.len()))
}

/// One run over one file.
struct Run<'a> {
    args: &'a Csv,
    topic: Arc<str>,
    timeout: Duration,
    /// The bytes of the file, if it is one.
    length: Option<u64>,
    name: String,
    rejects: Rejects,
    resume: Option<Resume>,
    resumed_at: FilePosition,
    rows: u64,
    bytes: u64,
}

impl<'a> Run<'a> {
    fn new(args: &'a Csv, name: &str, length: Option<u64>) -> Result<Self> {
        let rejects = args.rejects.clone().unwrap_or_else(|| beside(Path::new(name), ".rejected.jsonl"));
        let resume = if args.resume { Some(Resume::new(&args.file, &args.topic)?) } else { None };
        Ok(Self {
            args,
            topic: args.topic.as_str().into(),
            timeout: Duration::from_millis(args.timeout_ms.into()),
            length,
            name: name.to_owned(),
            rejects: Rejects::new(rejects, args.resume),
            resume,
            resumed_at: FilePosition::default(),
            rows: 0,
            bytes: 0,
        })
    }

    fn send<R: Read>(mut self, mut file: CsvFile<R>) -> Result<ExitCode> {
        let properties = self.args.property.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let settings = ClientSettings::new(&self.args.bootstrap_servers).extend(properties);
        ensure_topic(&settings, &self.topic, &TopicSpec::with_partitions(self.args.partitions), self.timeout)?;
        let producer = Producer::new(&settings.or("message.timeout.ms", &self.args.timeout_ms.to_string()))?;
        let (bar, start) = (self.bar(), Instant::now());
        let done = self.turns(&mut file, &producer, &bar, start);
        bar.finish_and_clear();
        done?;
        if let Some(resume) = &self.resume {
            resume.finish()?;
        }
        self.report(start.elapsed())
    }

    fn turns<R: Read>(&mut self, file: &mut CsvFile<R>, producer: &Producer, bar: &ProgressBar, start: Instant) -> Result<()> {
        let mut out = Output::default();
        let mut save_at = start + SAVE_EVERY;
        loop {
            out.clear();
            out.to_topic(&self.topic);
            let filled = file.fill(&mut out, TURN_ROWS, None)?;
            self.rejects.write(&out.source_rejects)?;
            producer.send(&out)?;
            self.rows += out.rows().len() as u64;
            self.bytes += out.bytes() as u64;
            bar.set_position(file.position().byte);
            bar.set_message(format!("{} rows  {:.0} rows/s", self.rows, self.rate(start.elapsed())));
            let end = filled == Filled::End;
            if end || (self.resume.is_some() && Instant::now() >= save_at) {
                // A row that the brokers don't take fails by `message.timeout.ms`: a little later everything is decided.
                producer.flush(self.timeout + Duration::from_secs(5))?;
                self.rejects.flush()?;
                if let Some(resume) = &self.resume {
                    resume.save(file.position())?;
                }
                save_at = Instant::now() + SAVE_EVERY;
            }
            if end {
                return Ok(());
            }
        }
    }

    /// Drawn on a terminal only, and without colours.
    fn bar(&self) -> ProgressBar {
        let template = match self.length {
            Some(_) => "{wide_bar} {percent}%  {bytes}/{total_bytes}  {msg}  {eta} left",
            None => "{spinner} {bytes}  {msg}",
        };
        let bar = ProgressBar::with_draw_target(self.length, ProgressDrawTarget::stderr()).with_position(self.resumed_at.byte);
        // The templates are constants; were one wrong, there would be the default style.
        if let Ok(style) = ProgressStyle::with_template(template) { bar.with_style(style) } else { bar }
    }

    fn rate(&self, elapsed: Duration) -> f64 {
        self.rows as f64 / elapsed.as_secs_f64().max(1e-3)
    }

    fn report(&self, elapsed: Duration) -> Result<ExitCode> {
        let (rows, bytes, rejected) = (self.rows, self.bytes, self.rejects.count);
        // Nobody is left to tell if stderr is closed.
        let mut stderr = io::stderr().lock();
        let seconds = elapsed.as_secs_f64();
        let _ = writeln!(stderr, "{} to {}: {seconds:.1} s, {:.0} rows/s", self.name, self.topic, self.rate(elapsed));
        if self.resumed_at.rows > 0 {
            let _ = writeln!(stderr, "went on after {} rows of an earlier run", self.resumed_at.rows);
        }
        if rejected > 0 {
            let _ = writeln!(stderr, "bad rows are in {}", self.rejects.path.display());
        }
        writeln!(io::stdout().lock(), "{rows} rows, {bytes} bytes, {rejected} rejected")
            .map_err(|e| Error::config("can't write to stdout").with_source(e))?;
        Ok(if rejected > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// The file of bad rows. It is made when there is one.
struct Rejects {
    path: PathBuf,
    /// Whether rows of an earlier run are in it that must stay.
    append: bool,
    file: Option<BufWriter<File>>,
    count: u64,
}

impl Rejects {
    fn new(path: PathBuf, append: bool) -> Self {
        Self { path, append, file: None, count: 0 }
    }

    fn write(&mut self, rejects: &[SourceReject]) -> Result<()> {
        for reject in rejects {
            self.count += 1;
            let mut line = json!({ "file": reject.origin, "line": reject.line, "column": reject.column, "message": reject.message });
            line["raw"] = String::from_utf8_lossy(&reject.raw).into();
            if std::str::from_utf8(&reject.raw).is_err() {
                line["raw_hex"] = reject.raw.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
            }
            let written = self.open().and_then(|file| writeln!(file, "{line}"));
            written.map_err(|e| self.fault(e))?;
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<&mut BufWriter<File>> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let mut options = File::options();
                options.create(true).write(true).append(self.append).truncate(!self.append);
                BufWriter::new(options.open(&self.path)?)
            }
        };
        Ok(self.file.insert(file))
    }

    fn flush(&mut self) -> Result<()> {
        let flushed = self.file.as_mut().map_or(Ok(()), |file| file.flush().and_then(|()| file.get_ref().sync_all()));
        flushed.map_err(|e| self.fault(e))
    }

    fn fault(&self, error: io::Error) -> Error {
        Error::config(format!("can't write bad rows to {}; name another file with --rejects", self.path.display())).with_source(error)
    }
}

/// How far a run with --resume came.
struct Resume {
    path: PathBuf,
    /// What must be the same for going on: the topic, and the file's length and time of change.
    what: Value,
}

impl Resume {
    fn new(file: &Path, topic: &str) -> Result<Self> {
        let metadata = fs::metadata(file).map_err(|e| Error::config(format!("{}: can't be read", file.display())).with_source(e))?;
        let modified = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let what = json!({ "topic": topic, "length": metadata.len(), "modified_ms": modified.as_millis() as u64 });
        Ok(Self { path: beside(file, ".progress.json"), what })
    }

    fn load(&self) -> Result<Option<FilePosition>> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::config(format!("{}: can't be read", self.path.display())).with_source(e)),
        };
        let stored: Value = serde_json::from_slice(&text).unwrap_or_default();
        if stored["what"] != self.what {
            let message = "belongs to another topic or to an earlier state of the file; delete it to send the file from its start";
            return Err(Error::config(format!("{} {message}", self.path.display())));
        }
        let number = |name: &str| {
            stored[name].as_u64().ok_or_else(|| Error::config(format!("{} is damaged; delete it to start over", self.path.display())))
        };
        Ok(Some(FilePosition { rows: number("rows")?, byte: number("byte")?, line: number("line")? }))
    }

    fn save(&self, at: FilePosition) -> Result<()> {
        let text = json!({ "what": self.what, "rows": at.rows, "byte": at.byte, "line": at.line }).to_string();
        let temporary = beside(&self.path, ".tmp");
        let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, &self.path));
        written.map_err(|e| {
            Error::config(format!("can't write {}; check its folder, or go without --resume", self.path.display())).with_source(e)
        })
    }

    fn finish(&self) -> Result<()> {
        match fs::remove_file(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(Error::config(format!("can't remove {}", self.path.display())).with_source(e))
            }
            _ => Ok(()),
        }
    }
}

fn parse_type(text: &str) -> Result<(String, CellType), String> {
    parse_types([text])?.pop().ok_or_else(|| "expected COLUMN:TYPE".into())
}

fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | 0) => Ok(*byte),
        _ => Err("expected one ASCII character that is no quote and no line end, or \\t for a tab".into()),
    }
}

fn parse_property(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}
