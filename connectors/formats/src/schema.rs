//! Columns that are declared and not inferred.

use arrow_schema::DataType;
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use lakefeed_core::{nearest, shorten};

/// The time zone of every timestamp column.
pub(crate) const UTC: &str = "UTC";

/// The type of a declared column, by its SQL name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeclaredType {
    /// `true` or `false`.
    Boolean,
    /// A whole number of 64 bits, also when written as `19.0` or `1.9e1`.
    BigInt,
    /// Any number; the nearest double is kept.
    Double,
    /// Text. Any other value is kept as its JSON text.
    Varchar,
    /// ISO 8601 text (UTC if it names no offset) or milliseconds since 1970-01-01 UTC.
    Timestamp,
    /// Text such as `2024-12-31`.
    Date,
}

const NAMES: [(&str, DeclaredType); 9] = [
    ("BOOLEAN", DeclaredType::Boolean),
    ("BIGINT", DeclaredType::BigInt),
    ("DOUBLE", DeclaredType::Double),
    ("VARCHAR", DeclaredType::Varchar),
    ("TIMESTAMP", DeclaredType::Timestamp),
    ("DATE", DeclaredType::Date),
    ("BOOL", DeclaredType::Boolean),
    ("STRING", DeclaredType::Varchar),
    ("TEXT", DeclaredType::Varchar),
];

impl DeclaredType {
    /// The declared type of a column in a batch, if there is one.
    pub fn of(kind: &DataType) -> Option<Self> {
        let all = [Self::Boolean, Self::BigInt, Self::Double, Self::Varchar, Self::Timestamp, Self::Date];
        all.into_iter().find(|declared| declared.data_type() == *kind)
    }

    /// The type of the column in a batch.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::BigInt => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Varchar => DataType::Utf8,
            Self::Timestamp => DataType::Timestamp(arrow_schema::TimeUnit::Millisecond, Some(UTC.into())),
            Self::Date => DataType::Date32,
        }
    }
}

/// The SQL name of a type without parts and parameters.
pub(crate) fn sql_name(kind: &DataType) -> Option<&'static str> {
    Some(match kind {
        DataType::Boolean => "BOOLEAN",
        DataType::Int32 => "INTEGER",
        DataType::Int64 => "BIGINT",
        DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Utf8 => "VARCHAR",
        DataType::Binary => "BLOB",
        DataType::Date32 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(..) => "TIMESTAMP",
        _ => return None,
    })
}

/// Reads a list of columns as SQL writes it: `pm DOUBLE, id BIGINT, "time of day" TIMESTAMP`.
///
/// # Errors
/// What is wrong and what is accepted.
pub fn parse_declared(text: &str) -> Result<Vec<(String, DeclaredType)>, String> {
    let mut columns: Vec<(String, DeclaredType)> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = split_name(rest)?;
        let (kind, after) = after.split_once(',').map_or((after, None), |(kind, after)| (kind, Some(after)));
        let kind = parse_type(&name, kind.trim())?;
        if let Some((other, _)) = columns.iter().find(|(other, _)| other.to_lowercase() == name.to_lowercase()) {
            return Err(format!("the column '{name}' is there twice (first as '{other}'): SQL does not tell upper from lower case"));
        }
        columns.push((name, kind));
        rest = match after.map(str::trim) {
            Some("") => return Err("a column name and a type are missing after the last comma".into()),
            Some(after) => after,
            None => "",
        };
    }
    if columns.is_empty() { Err("expected columns such as 'pm DOUBLE, id BIGINT'".into()) } else { Ok(columns) }
}

/// The name at the start, and what follows it. In double quotes it may hold anything; two quotes stand for one.
fn split_name(text: &str) -> Result<(String, &str), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(text.len());
        let (name, after) = text.split_at(end);
        return if name.is_empty() { Err("a column name is missing before ','".into()) } else { Ok((name.into(), after)) };
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) =
            rest.split_once('"').ok_or_else(|| format!("the quote before '{}' is not closed", shorten(quoted.as_bytes())))?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None if name.is_empty() => return Err("a column name is empty".into()),
            None => return Ok((name, after)),
        }
    }
}

fn parse_type(column: &str, text: &str) -> Result<DeclaredType, String> {
    let upper = text.to_uppercase();
    if let Some((_, kind)) = NAMES.iter().find(|(name, _)| *name == upper) {
        return Ok(*kind);
    }
    let hint = nearest(&upper, NAMES.iter().map(|(name, _)| *name)).map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    let text = shorten(text.as_bytes());
    Err(format!("the column '{column}' has the type '{text}': expected BOOLEAN, BIGINT, DOUBLE, VARCHAR, TIMESTAMP or DATE{hint}"))
}

/// Milliseconds since 1970-01-01 UTC of ISO 8601 text; without an offset it is UTC. Digits beyond the milliseconds are cut.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    let time = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    time.map(|time| time.and_utc().timestamp_millis())
}

/// Days since 1970-01-01 of text such as `2024-12-31`.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.signed_duration_since(NaiveDate::default()).num_days() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_read_as_sql_writes_them() {
        use DeclaredType::{BigInt, Double, Timestamp, Varchar};
        let column = |name: &str, kind| (name.to_owned(), kind);
        assert_eq!(
            parse_declared(" pm DOUBLE,id bigint , \"time, \"\"of\"\" day\" Timestamp,\"x\" TEXT"),
            Ok(vec![column("pm", Double), column("id", BigInt), column("time, \"of\" day", Timestamp), column("x", Varchar)])
        );
        for (text, part) in [
            ("", "expected columns such as"),
            ("pm", "the column 'pm' has the type ''"),
            ("pm DUBLE", "did you mean DOUBLE?"),
            ("pm DOUBLE,", "after the last comma"),
            (", pm DOUBLE", "missing before ','"),
            ("pm DOUBLE, PM BIGINT", "the column 'PM' is there twice (first as 'pm')"),
            ("\"pm DOUBLE", "is not closed"),
            ("\"\" DOUBLE", "is empty"),
        ] {
            let error = parse_declared(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn times_are_read_with_and_without_offset() {
        for (text, expected) in [
            ("1970-01-01T00:00:01Z", Some(1000)),
            ("1970-01-01T01:00:00.5+01:00", Some(500)),
            ("1970-01-01 00:00:00.1239", Some(123)),
            ("1970-01-01T00:00:00", Some(0)),
            ("1969-12-31T23:59:59.999Z", Some(-1)),
            ("1970-01-01", None),
            ("1970-13-01T00:00:00Z", None),
            ("now", None),
            ("", None),
        ] {
            assert_eq!(parse_timestamp(text), expected, "{text}");
        }
        assert_eq!((parse_date("1970-01-02"), parse_date("1969-12-31"), parse_date("1970-02-30")), (Some(1), Some(-1), None));
    }
}
