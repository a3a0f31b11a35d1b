//! `Cast`: fields, or the whole value, as another type.
//!
//! As in Kafka Connect a fraction is cut off, true is 1, a number that is not 0 is true, and so is the text `true` alone. Otherwise than there
//! a number that the type can't hold is no other number without a word: its row is rejected.

use arrow_array::{ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, StringArray};
use lakefeed_core::{Config, ConfigError, nearest};

use super::cell::{Cell, collect};
use super::config::Made;
use super::rows::{Gone, Rows, column};
use super::{Done, Transform, VALUE};
use crate::number::whole;

/// See the module.
#[derive(Debug)]
pub(super) struct Cast {
    fields: Vec<(String, Target)>,
    /// The one field is [`VALUE`], where values without fields stand.
    whole: bool,
}

/// The types, as Kafka Connect names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Boolean,
    String,
}

const TARGETS: [(&str, Target); 8] = [
    ("int8", Target::Int8),
    ("int16", Target::Int16),
    ("int32", Target::Int32),
    ("int64", Target::Int64),
    ("float32", Target::Float32),
    ("float64", Target::Float64),
    ("boolean", Target::Boolean),
    ("string", Target::String),
];

impl Target {
    fn parse(text: &str) -> Result<Self, String> {
        let name = text.trim().to_lowercase();
        let found = TARGETS.iter().find(|(known, _)| *known == name);
        found.map(|(_, target)| *target).ok_or_else(|| {
            let names = || TARGETS.iter().map(|(name, _)| *name);
            let hint = nearest(&name, names()).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            format!("expected FIELD:TYPE with a type of {}{hint}", names().collect::<Vec<_>>().join(", "))
        })
    }

    fn name(self) -> &'static str {
        // Every target is in the table.
        TARGETS.iter().find(|(_, target)| *target == self).map_or("", |(name, _)| name)
    }
}

impl Cast {
    pub(super) fn make(config: &Config) -> Made {
        let spec = config.list("spec");
        let mut fields = Vec::with_capacity(spec.len());
        for part in &spec {
            let wrong = |message: String| ConfigError::value("spec", *part, message);
            let (field, target) = part.split_once(':').unwrap_or((VALUE, part));
            if field.trim().is_empty() || target.contains(':') {
                return Err(wrong("expected FIELD:TYPE".into()));
            }
            if !part.contains(':') && spec.len() > 1 {
                return Err(wrong("a type without a field is for the whole value, and must stand alone".into()));
            }
            fields.push((field.trim().to_owned(), Target::parse(target).map_err(wrong)?));
        }
        let whole = spec.iter().any(|part| !part.contains(':'));
        Ok(Transform::Cast(Self { fields, whole }))
    }

    pub(super) fn apply(&self, mut rows: Rows) -> Done {
        let mut gone = Vec::new();
        for (name, target) in &self.fields {
            let Some(at) = rows.columns.position(name) else {
                if self.whole {
                    gone.extend(rows.not_single());
                }
                continue;
            };
            let fault = |row, found: String| {
                gone.push((row, Gone::rejected(name, format!("found {found}, expected what can be cast to {}", target.name()))));
            };
            let cast = target.cast(&rows.columns.all[at].1, fault);
            rows.columns.all[at] = column(name, cast);
        }
        Done { rows, gone }
    }
}

impl Target {
    fn cast(self, array: &ArrayRef, fault: impl FnMut(usize, String)) -> ArrayRef {
        let int32 = |min: i32, max: i32| {
            move |cell: &Cell<'_>| {
                let value = int(cell)?
                    .map(|value| i32::try_from(value).ok().filter(|value| (min..=max).contains(value)).ok_or_else(|| cell.shown()));
                value.transpose()
            }
        };
        match self {
            // Columns have 32 bits at least, as those that Kafka Connect's Parquet writer makes of these types.
            Self::Int8 => collect::<i32, Int32Array>(array, int32(i8::MIN.into(), i8::MAX.into()), fault),
            Self::Int16 => collect::<i32, Int32Array>(array, int32(i16::MIN.into(), i16::MAX.into()), fault),
            Self::Int32 => collect::<i32, Int32Array>(array, int32(i32::MIN, i32::MAX), fault),
            Self::Int64 => collect::<i64, Int64Array>(array, int, fault),
            Self::Float32 => collect::<f32, Float32Array>(array, |cell| Ok(double(cell)?.map(|value| value as f32)), fault),
            Self::Float64 => collect::<f64, Float64Array>(array, double, fault),
            Self::Boolean => collect::<bool, BooleanArray>(array, boolean, fault),
            Self::String => collect::<String, StringArray>(array, string, fault),
        }
    }
}

fn int(cell: &Cell<'_>) -> Result<Option<i64>, String> {
    let value = match cell {
        Cell::Null => return Ok(None),
        Cell::Bool(value) => Some(i64::from(*value)),
        Cell::Int(value) | Cell::Time(value, _) | Cell::Timestamp(value, _) => Some(*value),
        Cell::Date(days) => Some(i64::from(*days)),
        Cell::Float(value) => whole(value.trunc()),
        Cell::Text(text) => text.parse().ok(),
        Cell::Decimal(digits, scale) => cut(*digits, *scale),
        Cell::Bytes(_) | Cell::Nested(_) => None,
    };
    value.map(Some).ok_or_else(|| cell.shown())
}

/// A decimal number without its fraction.
fn cut(digits: i128, scale: i8) -> Option<i64> {
    let power = 10_i128.checked_pow(u32::from(scale.unsigned_abs()))?;
    let value = if scale >= 0 { digits / power } else { digits.checked_mul(power)? };
    i64::try_from(value).ok()
}

fn double(cell: &Cell<'_>) -> Result<Option<f64>, String> {
    let value = match cell {
        Cell::Float(value) => Some(*value),
        Cell::Text(text) => parse_double(text.trim()),
        Cell::Decimal(..) => cell.text().and_then(|text| text.parse().ok()),
        other => return Ok(int(other)?.map(|value| value as f64)),
    };
    value.map(Some).ok_or_else(|| cell.shown())
}

/// The decimal numbers that `Double.parseDouble` of Java reads.
fn parse_double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" | "+Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        // Rust also reads inf and infinity.
        _ if text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) => text.parse().ok(),
        _ => None,
    }
}

fn boolean(cell: &Cell<'_>) -> Result<Option<bool>, String> {
    match cell {
        Cell::Text(text) => Ok(Some(text.eq_ignore_ascii_case("true"))),
        // Too large for a whole number it is still not 0.
        Cell::Float(value) => Ok(Some(value.trunc() != 0.0 && !value.is_nan())),
        other => Ok(int(other)?.map(|value| value != 0)),
    }
}

fn string(cell: &Cell<'_>) -> Result<Option<String>, String> {
    match cell {
        Cell::Nested(_) => Err(cell.shown()),
        other => Ok(other.text()),
    }
}
