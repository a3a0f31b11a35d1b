//! Finds the tables of a lake, as the AWS Glue crawler does, and gives the SQL that reads them. Pure: a listing in, SQL out.
//!
//! Each top folder of the lake that holds Parquet, JSON or Avro files at any depth is a table; one with files of several formats is a table
//! for each, `t` and `t_json`. Folders below it are partition columns: `key=value` gives
//! `key`, a bare folder gives `partition_0`, `partition_1`, ... by its level. Objects with a path element that begins with `_` or `.` are
//! left alone, as Athena does. Files in the root itself, and `key=value` folders there, make one table named after the root.

mod guess;
mod sql;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use guess::Guess;
use lakefeed_layout::{parse_element, table_name};

/// The tables of a lake, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    /// Sorted by name, which is unique.
    pub tables: Vec<Table>,
}

/// A table: what was found, and how to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Lower case, with nothing but letters, digits and `_`.
    pub name: String,
    /// The partition columns in the order of the path.
    pub partition_columns: Vec<PartitionColumn>,
    /// What its files are.
    pub format: FileFormat,
    /// How many files it has.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    /// How many folders hold files: the lake partitions.
    pub partitions: u64,
    source: sql::Source,
}

/// The format of a table's files, known by the ends of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileFormat {
    /// `.parquet`
    Parquet,
    /// JSON lines: `.json`, `.json.gz`, `.json.zst`
    Json,
    /// `.avro`
    Avro,
}

/// The ends of the names of files that belong to tables.
const ENDS: [(&str, FileFormat); 5] = [
    (".parquet", FileFormat::Parquet),
    (".json", FileFormat::Json),
    (".json.gz", FileFormat::Json),
    (".json.zst", FileFormat::Json),
    (".avro", FileFormat::Avro),
];

impl FileFormat {
    fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Json => "json",
            Self::Avro => "avro",
        }
    }
}

/// A column that comes from the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionColumn {
    /// Lower case.
    pub name: String,
    /// `BIGINT` if all values are canonical integers, `DATE` if all are ISO dates, else `VARCHAR`.
    pub sql_type: &'static str,
}

impl Catalog {
    /// The tables under `root`, a directory or URL as DuckDB reads it, without a delimiter at its end. `objects` are paths below the root
    /// and sizes in bytes; what is no file of a table is ignored.
    pub fn find<P: AsRef<str>>(root: &str, objects: impl IntoIterator<Item = (P, u64)>) -> Self {
        let mut folders: BTreeMap<(String, FileFormat), Folder> = BTreeMap::new();
        for (path, bytes) in objects {
            let elements: Vec<&str> = path.as_ref().split('/').collect();
            if elements.iter().any(|e| e.is_empty() || e.starts_with(['_', '.'])) {
                continue;
            }
            let [dirs @ .., file] = elements.as_slice() else { continue };
            let Some((end, format)) = ENDS.iter().find(|(end, _)| file.ends_with(end)) else { continue };
            let (top, dirs) = match dirs {
                [first, rest @ ..] if parse_element(first).is_none() => (*first, rest),
                root_table => ("", root_table),
            };
            folders.entry((top.to_owned(), *format)).or_default().add(dirs, end, bytes);
        }
        let mut taken = HashSet::new();
        let mut tables: Vec<Table> = folders
            .into_iter()
            .map(|((top, format), folder)| folder.into_table(root, &top, format, unique_name(root, &top, format, &mut taken)))
            .collect();
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        Self { tables }
    }
}

impl Table {
    /// The query that reads the table: the columns of the files, then the partition columns. `path_column` is a name that no column of the
    /// files has; with `filename` DuckDB skips files by their path.
    pub fn select(&self, path_column: &str) -> String {
        self.source.select(&self.partition_columns, path_column)
    }
}

/// `text` as an SQL identifier.
pub fn quote_identifier(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// `text` as an SQL string.
pub fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `text` as a DuckDB glob that matches nothing else.
pub fn escape_glob(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '*' | '?' | '[' | '\\' => out.extend(['[', c, ']']),
            _ => out.push(c),
        }
    }
    out
}

/// A level of a path: the key of `key=value` as it is written, or a bare folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Key(String),
    Bare,
}

/// What is gathered of one table.
#[derive(Debug, Default)]
struct Folder {
    files: u64,
    bytes: u64,
    partitions: BTreeSet<String>,
    shapes: BTreeSet<Vec<Level>>,
    /// The ends of the files' names.
    ends: BTreeSet<&'static str>,
    /// By level and name, which is the order of the columns.
    columns: BTreeMap<(usize, String), Guess>,
}

impl Folder {
    fn add(&mut self, dirs: &[&str], end: &'static str, bytes: u64) {
        self.ends.insert(end);
        self.files += 1;
        self.bytes += bytes;
        if !self.partitions.insert(dirs.join("/")) {
            return;
        }
        let mut shape = Vec::with_capacity(dirs.len());
        for (level, dir) in dirs.iter().enumerate() {
            let (name, value) = match (parse_element(dir), dir.split_once('=')) {
                (Some((name, _)), Some((key, value))) => {
                    shape.push(Level::Key(key.to_owned()));
                    (name.to_lowercase(), value)
                }
                _ => {
                    shape.push(Level::Bare);
                    (format!("partition_{level}"), *dir)
                }
            };
            self.columns.entry((level, name)).or_default().add(value);
        }
        self.shapes.insert(shape);
    }

    fn into_table(self, root: &str, top: &str, format: FileFormat, name: String) -> Table {
        // The same key on another level is the same column.
        let mut guesses: Vec<(String, Guess)> = Vec::new();
        for ((_, column), guess) in self.columns {
            match guesses.iter_mut().find(|(seen, _)| *seen == column) {
                Some((_, all)) => all.merge(&guess),
                None => guesses.push((column, guess)),
            }
        }
        let partition_columns = guesses.iter().map(|(name, g)| PartitionColumn { name: name.clone(), sql_type: g.sql_type() }).collect();
        let null_markers = guesses.iter().flat_map(|(_, g)| g.null_markers()).collect();
        let source = sql::Source::new(root, top, format, self.ends, self.shapes, null_markers);
        Table { name, partition_columns, format, files: self.files, bytes: self.bytes, partitions: self.partitions.len() as u64, source }
    }
}

/// The name of a table; one that is taken gets a suffix made of its folder, as the crawler gives it.
fn unique_name(root: &str, top: &str, format: FileFormat, taken: &mut HashSet<String>) -> String {
    let folder = if top.is_empty() { root.rsplit('/').find(|e| !e.is_empty()).unwrap_or("lake") } else { top };
    let mut plain = table_name(folder);
    if format != FileFormat::Parquet && taken.contains(&plain) {
        plain = format!("{}_{}", &plain[..plain.len().min(119)], format.name());
    }
    let mut name = plain.clone();
    let mut salt = 0_u32;
    while !taken.insert(name.clone()) {
        name = format!("{}_{:08x}", &plain[..plain.len().min(119)], fnv1a(folder, salt));
        salt += 1;
    }
    name
}

/// The 32-bit FNV-1a hash: the same on every machine and in every release.
fn fnv1a(text: &str, salt: u32) -> u32 {
    text.bytes().fold(0x811c_9dc5 ^ salt, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
