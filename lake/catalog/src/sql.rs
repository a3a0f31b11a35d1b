//! The query behind the view of a table.

use std::collections::BTreeSet;

use lakefeed_layout::{HIVE_NULL, decode_value, parse_element};

use crate::{FileFormat, Level, PartitionColumn, escape_glob, quote_identifier, quote_literal};

/// Where the files of a table are, and what their folders look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The folder of the table as DuckDB reads it, without a delimiter at its end.
    base: String,
    /// Whether the folder is the root of the lake, which has other tables' folders too.
    is_root: bool,
    format: FileFormat,
    ends: BTreeSet<&'static str>,
    shapes: BTreeSet<Vec<Level>>,
    null_markers: BTreeSet<String>,
}

impl Source {
    pub(crate) fn new(
        root: &str, top: &str, format: FileFormat, ends: BTreeSet<&'static str>, shapes: BTreeSet<Vec<Level>>,
        null_markers: BTreeSet<String>,
    ) -> Self {
        let base = if top.is_empty() { root.to_owned() } else { format!("{root}/{top}") };
        Self { base, is_root: top.is_empty(), format, ends, shapes, null_markers }
    }

    pub(crate) fn select(&self, columns: &[PartitionColumn], path_column: &str) -> String {
        let globs: Vec<String> = self.globs().iter().map(|g| quote_literal(g)).collect();
        let files = if let [one] = globs.as_slice() { one.clone() } else { format!("[{}]", globs.join(", ")) };
        // All columns of all files, whichever has them.
        let read = match self.format {
            FileFormat::Parquet => format!("read_parquet({files}, union_by_name = true"),
            // A sample could miss columns, without a word; columns that few rows have could end up in a map.
            FileFormat::Json => format!(
                "read_json({files}, union_by_name = true, format = 'newline_delimited', records = true, sample_size = -1, \
                 map_inference_threshold = -1, field_appearance_threshold = 0"
            ),
            FileFormat::Avro => format!("read_avro({files}, union_by_name = true"),
        };
        if columns.is_empty() {
            return format!("SELECT * FROM {read}, hive_partitioning = false)");
        }
        match self.hive_keys() {
            Some(keys) => select_hive(&read, &keys, columns),
            None => self.select_by_path(&read, columns, path_column),
        }
    }

    /// Globs that match the files of the table once each, and nothing that begins with `_` or `.`.
    fn globs(&self) -> Vec<String> {
        let base = escape_glob(&self.base);
        let glob = |levels: Vec<String>| {
            let folders: String = levels.into_iter().map(|level| level + "/").collect();
            self.ends.iter().map(|end| format!("{base}/{folders}[!_.]*{end}")).collect::<Vec<_>>()
        };
        if let (Some(shape), 1) = (self.shapes.first(), self.shapes.len()) {
            return glob(shape.iter().map(level_glob).collect());
        }
        // Folders of several shapes: one glob for each depth, so that none matches a file twice.
        let depths: BTreeSet<usize> = self.shapes.iter().map(Vec::len).collect();
        let any = |level: usize| if level == 0 && self.is_root { "[!_.]*=*".to_owned() } else { level_glob(&Level::Bare) };
        depths.into_iter().flat_map(|depth| glob((0..depth).map(any).collect())).collect()
    }

    /// The keys, if DuckDB's own reading of `key=value` gives what we want: all files have the same keys, once each, and no folder
    /// above the table looks like one.
    fn hive_keys(&self) -> Option<Vec<&str>> {
        let (Some(shape), 1) = (self.shapes.first(), self.shapes.len()) else { return None };
        if self.base.split('/').any(|element| parse_element(element).is_some()) {
            return None;
        }
        let mut seen = BTreeSet::new();
        let key = |level: &'_ Level| match level {
            Level::Key(key) if !key.contains('%') && seen.insert(key.to_lowercase()) => true,
            Level::Key(_) | Level::Bare => false,
        };
        if !shape.iter().all(key) {
            return None;
        }
        Some(shape.iter().filter_map(|level| if let Level::Key(key) = level { Some(key.as_str()) } else { None }).collect())
    }

    /// Partition columns cut out of the path. A column of the files with the name of a partition column gives way, as with Hive.
    fn select_by_path(&self, read: &str, columns: &[PartitionColumn], path_column: &str) -> String {
        let hidden: Vec<String> =
            columns.iter().map(|c| quote_literal(&c.name)).chain([quote_literal(&path_column.to_lowercase())]).collect();
        let values: Vec<String> = columns
            .iter()
            .map(|c| {
                let text = self.value(&c.name, path_column);
                let value = if c.sql_type == "VARCHAR" { text } else { format!("CAST({text} AS {})", c.sql_type) };
                format!("{value} AS {}", quote_identifier(&c.name))
            })
            .collect();
        let option = if path_column == "filename" { "true".to_owned() } else { quote_literal(path_column) };
        format!(
            "SELECT COLUMNS(lambda c: lower(c) NOT IN ({})), {} FROM {read}, hive_partitioning = false, filename = {option})",
            hidden.join(", "),
            values.join(", ")
        )
    }

    /// The value of a partition column as text, NULL where the path has none.
    fn value(&self, column: &str, path_column: &str) -> String {
        let base = escape_regex(&self.base);
        let keys: BTreeSet<&str> = self.shapes.iter().flatten().filter_map(|level| spelling(level, column)).collect();
        let pattern = match column.strip_prefix("partition_").and_then(|level| level.parse::<usize>().ok()) {
            Some(level) if keys.is_empty() => {
                // Where `key=value` stands on the same level in other files, it is no value of this column.
                let keyed = self.shapes.iter().any(|shape| matches!(shape.get(level), Some(Level::Key(_))));
                format!("^{base}/(?:[^/]*/){{{level}}}([^/{}]*)/", if keyed { "=" } else { "" })
            }
            _ => {
                let keys: Vec<String> = keys.into_iter().map(escape_regex).collect();
                format!("^{base}/(?:[^/]*/)*(?:{})=([^/=]*)/", keys.join("|"))
            }
        };
        let mut text = format!("regexp_extract({}, {}, 1)", quote_identifier(path_column), quote_literal(&pattern));
        let common = ["", "null", HIVE_NULL].map(str::to_owned);
        for marker in common.iter().chain(self.null_markers.iter().filter(|m| !common.contains(m))) {
            text = format!("nullif({text}, {})", quote_literal(marker));
        }
        format!("url_decode({text})")
    }
}

fn select_hive(read: &str, keys: &[&str], columns: &[PartitionColumn]) -> String {
    let list = |item: fn(&str, &PartitionColumn) -> String| -> String {
        keys.iter().zip(columns).map(|(key, column)| item(key, column)).collect::<Vec<_>>().join(", ")
    };
    // DuckDB appends its partition columns in alphabetical order: they are named to stand in the order of the path.
    let excluded = list(|key, _| quote_identifier(key));
    let named = list(|key, column| match quote_identifier(key) {
        same if *key == column.name => same,
        other => format!("{other} AS {}", quote_identifier(&column.name)),
    });
    let types = list(|key, column| format!("{}: {}", quote_literal(key), column.sql_type));
    format!("SELECT * EXCLUDE ({excluded}), {named} FROM {read}, hive_partitioning = true, hive_types = {{{types}}})")
}

fn level_glob(level: &Level) -> String {
    match level {
        Level::Key(key) => format!("{}=*", escape_glob(key)),
        Level::Bare => "[!_.]*".to_owned(),
    }
}

/// How `column` is written in a path, if this level has it.
fn spelling<'a>(level: &'a Level, column: &str) -> Option<&'a str> {
    match level {
        Level::Key(key) if decode_value(key).to_lowercase() == column => Some(key),
        Level::Key(_) | Level::Bare => None,
    }
}

fn escape_regex(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() && !"/_-=".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
