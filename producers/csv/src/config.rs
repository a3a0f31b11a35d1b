//! The keys of `CsvSourceConnector`: its own, and those of SpoolDirCsvSourceConnector, so that a file made for that one can be used.

use std::path::PathBuf;

use lakefeed_core::{Config, ConfigDef, ConfigError, Error, Importance, Key, KeyKind, Result};
use regex::Regex;

/// How the text of a CSV file is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// The byte between cells, `,` by default. ASCII.
    pub delimiter: u8,
    /// The byte around cells that hold delimiters or line ends, `"` by default; `None`: quotes mean nothing. ASCII.
    pub quote: Option<u8>,
    /// The byte that makes the next byte plain text inside quotes; none by default, as a quote inside quotes is written twice (RFC 4180).
    pub escape: Option<u8>,
    /// Whether the first row has the names of the columns.
    pub header: bool,
    /// The names of the columns of a file without a header; when empty they are `column01`, `column02` and so on.
    pub columns: Vec<String>,
    /// Lines to pass over before anything is read.
    pub skip_lines: u64,
    /// Columns whose cells must have a type.
    pub types: Vec<(String, CellType)>,
    /// The columns of the record key; without any, records have no key.
    pub key: Vec<String>,
    /// Which empty cells are null; the others are empty strings.
    pub nulls: Nulls,
    /// The size of the read buffer.
    pub buffer_bytes: usize,
    /// What the schemas of values and keys are called, where a converter writes one.
    pub value_name: String,
    /// See [`CsvOptions::value_name`].
    pub key_name: String,
}

/// What spooldir calls them, so that its subjects in a Schema Registry go on.
const VALUE_NAME: &str = "com.github.jcustenborder.kafka.connect.model.Value";
const KEY_NAME: &str = "com.github.jcustenborder.kafka.connect.model.Key";

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            header: true,
            columns: Vec::new(),
            skip_lines: 0,
            types: Vec::new(),
            key: Vec::new(),
            nulls: Nulls::EmptySeparators,
            buffer_bytes: 128 * 1024,
            value_name: VALUE_NAME.to_owned(),
            key_name: KEY_NAME.to_owned(),
        }
    }
}

/// The type that all cells of a column must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellType {
    /// Text, even where it looks like a number.
    String,
    /// A whole number of 64 bits.
    Long,
    /// A finite number.
    Double,
    /// `true` or `false`, in any case.
    Boolean,
}

/// Which empty cells are null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// Those without quotes.
    EmptySeparators,
    /// Those in quotes.
    EmptyQuotes,
    /// All.
    Both,
    /// None.
    Neither,
}

impl Nulls {
    pub(crate) fn is_null(self, is_quoted: impl FnOnce() -> bool) -> bool {
        match self {
            Self::EmptySeparators => !is_quoted(),
            Self::EmptyQuotes => is_quoted(),
            Self::Both => true,
            Self::Neither => false,
        }
    }
}

/// Reads a list `column:type,...`. A name may have colons.
///
/// # Errors
/// What is wrong with which part of the list.
pub fn parse_types<'a>(list: impl IntoIterator<Item = &'a str>) -> Result<Vec<(String, CellType)>, String> {
    let parse = |part: &str| {
        let (name, cell_type) = part.rsplit_once(':').ok_or_else(|| format!("'{part}' has no type: expected column:type"))?;
        let cell_type = match cell_type.trim().to_ascii_lowercase().as_str() {
            "string" => CellType::String,
            "long" => CellType::Long,
            "double" => CellType::Double,
            "boolean" => CellType::Boolean,
            other => return Err(format!("'{other}' is no type: expected string, long, double or boolean")),
        };
        Ok((name.trim().to_owned(), cell_type))
    };
    list.into_iter().map(parse).collect()
}

/// What happens to a file whose rows are all acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cleanup {
    None,
    Delete,
    Move(PathBuf),
}

/// The order in which files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SortBy {
    Name,
    Length,
    LastModified,
}

/// All that the source needs from its keys.
#[derive(Debug)]
pub(crate) struct SourceConfig {
    pub(crate) topic: String,
    pub(crate) input: Input,
    pub(crate) pattern: Regex,
    pub(crate) recursive: bool,
    pub(crate) cleanup: Cleanup,
    pub(crate) error_path: Option<PathBuf>,
    pub(crate) halt_on_error: bool,
    pub(crate) minimum_age_ms: i64,
    pub(crate) empty_poll_wait_ms: i64,
    pub(crate) batch_rows: u64,
    /// With whether the order is descending.
    pub(crate) sort: Vec<(SortBy, bool)>,
    pub(crate) exit_when_done: bool,
    pub(crate) timestamp_of_file: bool,
    pub(crate) csv: CsvOptions,
}

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    File(PathBuf),
    Folder(PathBuf),
}

const FILES: &str = "Files";
const TEXT: &str = "CSV";
const UNUSED: &str = "No effect here";

const fn unused(name: &'static str, kind: KeyKind, doc: &'static str) -> Key {
    Key::new(name, kind, doc).importance(Importance::Low).group(UNUSED)
}

pub(crate) fn def() -> ConfigDef {
    use KeyKind::{Boolean, Int, List, Long, String};
    ConfigDef::new().keys(&[
        Key::new("topic", String, "The topic that rows are written to.").required(),
        Key::new("input.path", String, "The folder whose files are read. Either this or input.file.")
            .importance(Importance::High)
            .group(FILES),
        Key::new("input.file", String, "One file to read, in the place of a folder.").importance(Importance::High).group(FILES),
        Key::new("input.file.pattern", String, "A regular expression that the whole name of a file must match.")
            .default(r".*\.csv")
            .validator(is_regex)
            .importance(Importance::High)
            .group(FILES),
        Key::new("input.path.walk.recursively", Boolean, "Whether files in folders below input.path are read too.")
            .default("false")
            .group(FILES),
        Key::new("finished.path", String, "The folder that a file is moved to when the broker has acknowledged all of its rows.")
            .group(FILES),
        Key::new(
            "error.path",
            String,
            "With halt.on.error=false: the folder that a file is moved to when it can't be read as CSV at all (empty, \
            no header, a column twice). Bad rows alone don't make a bad file.",
        )
        .group(FILES),
        Key::new(
            "halt.on.error",
            Boolean,
            "Whether a file that can't be read as CSV at all ends the task. If false, the file goes to error.path (or is \
            left alone without one) and the task goes on.",
        )
        .default("true")
        .group(FILES),
        Key::new(
            "cleanup.policy",
            String,
            "What happens to a file when the broker has acknowledged all of its rows. Default: MOVE if finished.path is \
            given, else NONE.",
        )
        .values(&["NONE", "DELETE", "MOVE"])
        .group(FILES),
        Key::new(
            "file.minimum.age.ms",
            Long,
            "A file is left alone until it has not changed for this many milliseconds. Use it where files are written in \
            place; better, write them under another name and rename them.",
        )
        .default("0")
        .validator(not_negative)
        .group(FILES),
        Key::new("empty.poll.wait.ms", Long, "Milliseconds between two looks at the folder while there is nothing to read.")
            .default("500")
            .validator(not_negative)
            .group(FILES),
        Key::new("files.sort.attributes", List, "The order in which files are read.").default("NameAsc").validator(is_sort).group(FILES),
        Key::new("batch.size", Int, "At most this many rows per read; a read also ends at 1 MiB of JSON.")
            .default("10000")
            .validator(is_positive),
        Key::new("exit.when.done", Boolean, "Whether the task ends when the files that were there at its start are read.").default("false"),
        Key::new(
            "key.fields",
            List,
            "The columns of the record key. One: the text of its cell. Several: a JSON object of them. None: no key.",
        )
        .importance(Importance::High),
        Key::new("schema.generation.key.fields", List, "The same as key.fields, which wins where both are given.")
            .importance(Importance::Low),
        Key::new(
            "timestamp.mode",
            String,
            "The timestamp of records: PROCESS_TIME (when they are sent) or FILE_TIME (when the file was changed last). \
            FIELD is not supported.",
        )
        .default("PROCESS_TIME")
        .values(&["PROCESS_TIME", "FILE_TIME"])
        .importance(Importance::Low),
        Key::new(
            "csv.types",
            List,
            "Columns whose cells must have a type, as column:type with string, long, double or boolean; other cells are rejected. \
            Without it each cell is what it looks like: a JSON number, true or false, or text.",
        )
        .validator(is_types)
        .group(TEXT),
        Key::new(
            "csv.first.row.as.header",
            Boolean,
            "Whether the first row has the names of the columns. Default: true, or false if csv.columns is given or \
            connector.class is SpoolDirCsvSourceConnector.",
        )
        .group(TEXT),
        Key::new(
            "csv.columns",
            List,
            "The names of the columns of files without a header. Without it they are column01, column02 and so on.",
        )
        .group(TEXT),
        Key::new("csv.separator.char", Int, "The character between cells, as a number (44 is a comma, 9 a tab).")
            .default("44")
            .validator(is_char)
            .group(TEXT),
        Key::new(
            "csv.quote.char",
            Int,
            "The character around cells that hold separators or line ends, as a number; 0: quotes mean nothing.",
        )
        .default("34")
        .validator(is_char)
        .group(TEXT),
        Key::new(
            "csv.escape.char",
            Int,
            "The character that makes the next one plain text inside quotes, as a number; 0: none. Default: 0, as RFC 4180 has it, \
            or 92 (a backslash) if connector.class is SpoolDirCsvSourceConnector.",
        )
        .validator(is_char)
        .group(TEXT),
        Key::new(
            "csv.null.field.indicator",
            String,
            "Which empty cells are null: those without quotes (EMPTY_SEPARATORS), those in quotes (EMPTY_QUOTES), BOTH or \
            NEITHER. The others are empty strings. Default: EMPTY_SEPARATORS, or NEITHER if connector.class is SpoolDirCsvSourceConnector.",
        )
        .values(&["EMPTY_SEPARATORS", "EMPTY_QUOTES", "BOTH", "NEITHER"])
        .group(TEXT),
        Key::new("csv.skip.lines", Int, "Lines to pass over at the start of each file, before the header.")
            .default("0")
            .validator(not_negative)
            .group(TEXT),
        Key::new("csv.file.charset", String, "The encoding of the files. Only UTF-8 (ASCII is a part of it).")
            .default("UTF-8")
            .validator(is_utf8)
            .group(TEXT),
        Key::new("csv.ignore.quotations", Boolean, "Whether quotes mean nothing, as csv.quote.char=0.")
            .default("false")
            .importance(Importance::Low)
            .group(TEXT),
        Key::new("csv.rfc.4180.parser.enabled", Boolean, "Whether there is no escape character, as csv.escape.char=0.")
            .default("false")
            .importance(Importance::Low)
            .group(TEXT),
        Key::new("file.buffer.size.bytes", Int, "The size of the read buffer.")
            .default("131072")
            .validator(is_buffer)
            .importance(Importance::Low)
            .group(TEXT),
        unused("cleanup.policy.maintain.relative.path", Boolean, "A file moved keeps its folders below input.path in any case."),
        unused("processing.file.extension", String, "No flag files are made: how far a file was read is in the connector's offsets."),
        unused("task.partitioner", String, "Files are shared among tasks by name.").values(&["ByName"]),
        unused("timestamp.field", String, "Only with timestamp.mode=FIELD, which is not supported."),
        unused("parser.timestamp.date.formats", List, "Times are sent as the text they are."),
        unused("parser.timestamp.timezone", String, "Times are sent as the text they are."),
        unused("key.schema", String, "The record key is made of key.fields."),
        unused("value.schema", String, "csv.types gives columns their types."),
        Key::new("schema.generation.key.name", String, "What the schema of keys is called, where key.converter writes one.")
            .default(KEY_NAME)
            .importance(Importance::Low)
            .group(TEXT),
        Key::new(
            "schema.generation.value.name",
            String,
            "What the schema of values is called, where value.converter writes one. Its columns are those of the file: optional, and text unless \
            csv.types says otherwise.",
        )
        .default(VALUE_NAME)
        .importance(Importance::Low)
        .group(TEXT),
        unused("schema.generation.enabled", Boolean, "The header makes the schema, where a converter writes one."),
        unused("csv.strict.quotes", Boolean, "Text beside quotes is a part of the cell."),
        unused("csv.keep.carriage.return", Boolean, "A carriage return inside quotes is kept, one at the end of a line is not."),
        unused("csv.ignore.leading.whitespace", Boolean, "Blanks are a part of the cell."),
        unused("csv.verify.reader", Boolean, "Reading errors are always reported."),
        unused("csv.case.sensitive.field.names", Boolean, "Names are used as they are in the header."),
    ])
}

/// Checks across keys.
pub(crate) fn validate(config: &Config) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    match (config.get("input.path"), config.get("input.file")) {
        (None, None) => errors.push(ConfigError::key("input.path", "give either input.path (a folder) or input.file")),
        (Some(_), Some(file)) => errors.push(ConfigError::value("input.file", file, "can't be used together with input.path: remove one")),
        _ => {}
    }
    if config.get("cleanup.policy") == Some("MOVE") && config.get("finished.path").is_none() {
        errors.push(ConfigError::key("finished.path", "is required with cleanup.policy=MOVE"));
    }
    if config.get("csv.columns").is_some() && config.bool("csv.first.row.as.header") {
        errors.push(ConfigError::key("csv.columns", "is for files without a header: set csv.first.row.as.header=false or remove it"));
    }
    let chars = ["csv.separator.char", "csv.quote.char", "csv.escape.char"].map(|key| (key, config.int(key).unwrap_or(0)));
    if chars[0].1 == 0 {
        errors.push(ConfigError::value(chars[0].0, "0", "expected the number of an ASCII character, for example 44"));
    }
    for (index, (key, value)) in chars.iter().enumerate() {
        if let Some((other, _)) = chars[..index].iter().find(|(_, v)| v == value && *v != 0) {
            errors.push(ConfigError::value(*key, value.to_string(), format!("is the same as {other}: use another character")));
        }
    }
    errors
}

impl SourceConfig {
    /// Reads the keys, which [`def`] has checked.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        if let Some(error) = ConfigError::into_error("CsvSourceConnector", &validate(config)) {
            return Err(error);
        }
        let path = |key: &str| config.get(key).map(PathBuf::from);
        let pattern = format!("^(?:{})$", config.text("input.file.pattern"));
        let pattern = Regex::new(&pattern).map_err(|e| Error::config("input.file.pattern is no regular expression").with_source(e))?;
        let cleanup = match (config.get("cleanup.policy"), path("finished.path")) {
            (Some("DELETE"), _) => Cleanup::Delete,
            (None | Some("MOVE"), Some(folder)) => Cleanup::Move(folder),
            _ => Cleanup::None,
        };
        let input = match (path("input.file"), path("input.path")) {
            (Some(file), _) => Input::File(file),
            (None, folder) => Input::Folder(folder.unwrap_or_default()),
        };
        Ok(Self {
            topic: config.text("topic").to_owned(),
            input,
            pattern,
            recursive: config.bool("input.path.walk.recursively"),
            cleanup,
            error_path: path("error.path"),
            halt_on_error: config.bool("halt.on.error"),
            minimum_age_ms: config.int("file.minimum.age.ms").unwrap_or(0),
            empty_poll_wait_ms: config.int("empty.poll.wait.ms").unwrap_or(500),
            batch_rows: config.int("batch.size").and_then(|n| u64::try_from(n).ok()).unwrap_or(10_000),
            sort: config.list("files.sort.attributes").into_iter().filter_map(sort_by).collect(),
            exit_when_done: config.bool("exit.when.done"),
            timestamp_of_file: config.get("timestamp.mode") == Some("FILE_TIME"),
            csv: csv_options(config)?,
        })
    }
}

fn csv_options(config: &Config) -> Result<CsvOptions> {
    // What that connector does by default is kept for those who bring its files.
    let spooldir = config.get("connector.class").is_some_and(|class| class.contains("SpoolDir"));
    let char_of = |key: &str| config.int(key).and_then(|c| u8::try_from(c).ok()).filter(|c| *c != 0);
    let names = |key: &str| config.list(key).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let columns = names("csv.columns");
    let header = match config.get("csv.first.row.as.header") {
        Some(_) => config.bool("csv.first.row.as.header"),
        None => columns.is_empty() && !spooldir,
    };
    let escape = match config.get("csv.escape.char") {
        _ if config.bool("csv.rfc.4180.parser.enabled") => None,
        Some(_) => char_of("csv.escape.char"),
        None => spooldir.then_some(b'\\'),
    };
    let nulls = match config.get("csv.null.field.indicator") {
        Some("EMPTY_QUOTES") => Nulls::EmptyQuotes,
        Some("BOTH") => Nulls::Both,
        Some("NEITHER") => Nulls::Neither,
        None if spooldir => Nulls::Neither,
        _ => Nulls::EmptySeparators,
    };
    let key = names("key.fields");
    Ok(CsvOptions {
        delimiter: char_of("csv.separator.char").unwrap_or(b','),
        quote: char_of("csv.quote.char").filter(|_| !config.bool("csv.ignore.quotations")),
        escape,
        header,
        columns,
        skip_lines: config.int("csv.skip.lines").and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
        types: parse_types(config.list("csv.types")).map_err(|e| Error::config(format!("csv.types: {e}")))?,
        key: if key.is_empty() { names("schema.generation.key.fields") } else { key },
        nulls,
        buffer_bytes: config.int("file.buffer.size.bytes").and_then(|n| usize::try_from(n).ok()).unwrap_or(128 * 1024),
        value_name: config.text("schema.generation.value.name").to_owned(),
        key_name: config.text("schema.generation.key.name").to_owned(),
    })
}

fn sort_by(name: &str) -> Option<(SortBy, bool)> {
    let (by, descending) = name.strip_suffix("Asc").map(|by| (by, false)).or_else(|| name.strip_suffix("Desc").map(|by| (by, true)))?;
    match by {
        "Name" => Some((SortBy::Name, descending)),
        "Length" => Some((SortBy::Length, descending)),
        "LastModified" => Some((SortBy::LastModified, descending)),
        _ => None,
    }
}

fn expect(ok: bool, what: &str) -> Result<(), String> {
    if ok { Ok(()) } else { Err(format!("expected {what}")) }
}

fn is_regex(value: &str) -> Result<(), String> {
    Regex::new(value).map(|_| ()).map_err(|e| format!("expected a regular expression: {}", e.to_string().replace('\n', " ")))
}

fn is_sort(value: &str) -> Result<(), String> {
    let ok = value.split(',').all(|part| sort_by(part.trim()).is_some());
    expect(ok, "a list of NameAsc, NameDesc, LengthAsc, LengthDesc, LastModifiedAsc, LastModifiedDesc")
}

fn is_types(value: &str) -> Result<(), String> {
    parse_types(value.split(',').map(str::trim).filter(|part| !part.is_empty())).map(|_| ())
}

fn is_char(value: &str) -> Result<(), String> {
    let ok = value.parse::<u8>().is_ok_and(|c| c.is_ascii() && c != b'\r' && c != b'\n');
    expect(ok, "the number of an ASCII character that is no line end, for example 44 for a comma")
}

fn is_utf8(value: &str) -> Result<(), String> {
    let ok = ["utf-8", "utf8", "us-ascii", "ascii"].contains(&value.to_ascii_lowercase().as_str());
    expect(ok, "UTF-8, the only encoding that is read; convert the files, for example with iconv -t UTF-8")
}

fn is_positive(value: &str) -> Result<(), String> {
    expect(value.parse::<i64>().is_ok_and(|n| n > 0), "a number above 0")
}

fn not_negative(value: &str) -> Result<(), String> {
    expect(value.parse::<i64>().is_ok_and(|n| n >= 0), "0 or more")
}

fn is_buffer(value: &str) -> Result<(), String> {
    expect(value.parse::<i64>().is_ok_and(|n| (1024..=64 << 20).contains(&n)), "1024 to 67108864")
}
