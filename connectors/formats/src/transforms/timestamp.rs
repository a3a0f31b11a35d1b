//! `TimestampConverter`: times as text, as numbers since 1970, as dates, times of day and timestamps.
//!
//! The way goes over milliseconds since 1970-01-01 UTC, as in Kafka Connect.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Date32Array, Int64Array, StringArray, Time32MillisecondArray, TimestampMillisecondArray};
use arrow_schema::{DataType, TimeUnit};
use chrono::DateTime;
use lakefeed_core::{Config, ConfigError};

use super::cell::{Cell, collect};
use super::config::Made;
use super::date_format::DateFormat;
use super::rows::{Gone, Rows, column};
use super::{Done, Transform, VALUE};
use crate::number::whole;
use crate::schema::UTC;

const DAY_MS: i64 = 86_400_000;

/// See the module.
#[derive(Debug)]
pub(super) struct TimestampConverter {
    field: String,
    /// No field was named.
    whole: bool,
    target: Target,
    format: Option<DateFormat>,
    precision: TimeUnit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Text,
    Unix,
    Date,
    Time,
    Timestamp,
}

impl TimestampConverter {
    pub(super) fn make(config: &Config) -> Made {
        let wrong = |message: String| ConfigError::value("format", config.text("format"), message);
        let format = config.get("format").filter(|pattern| !pattern.trim().is_empty());
        let format = format.map(DateFormat::parse).transpose().map_err(wrong)?;
        let target = match config.text("target.type") {
            "string" => Target::Text,
            "unix" => Target::Unix,
            "Date" => Target::Date,
            "Time" => Target::Time,
            // The key has a closed list of values.
            _ => Target::Timestamp,
        };
        match &format {
            None if target == Target::Text => {
                return Err(ConfigError::key("format", "is required with target.type=string, for example yyyy-MM-dd HH:mm:ss"));
            }
            Some(format) if target != Target::Text => {
                if let Some(why) = format.unreadable() {
                    return Err(wrong(why.to_owned()));
                }
            }
            _ => {}
        }
        let precision = match config.text("unix.precision") {
            "seconds" => TimeUnit::Second,
            "microseconds" => TimeUnit::Microsecond,
            "nanoseconds" => TimeUnit::Nanosecond,
            _ => TimeUnit::Millisecond,
        };
        let field = config.get("field");
        let made = Self { field: field.unwrap_or(VALUE).to_owned(), whole: field.is_none(), target, format, precision };
        Ok(Transform::TimestampConverter(made))
    }

    pub(super) fn apply(&self, mut rows: Rows) -> Done {
        let Some(at) = rows.columns.position(&self.field) else {
            let gone = if self.whole { rows.not_single().collect() } else { Vec::new() };
            return Done { rows, gone };
        };
        let mut gone = Vec::new();
        let fault = |row, message: String| gone.push((row, Gone::rejected(&self.field, message)));
        let converted = self.convert(&rows.columns.all[at].1, fault);
        rows.columns.all[at] = column(&self.field, converted);
        Done { rows, gone }
    }

    fn convert(&self, array: &ArrayRef, fault: impl FnMut(usize, String)) -> ArrayRef {
        let ms = |cell: &Cell<'_>| match self.millis(cell)? {
            // Readers of the lake, and writers of text, know no other years.
            Some(ms) if DateTime::from_timestamp_millis(ms).is_none() => Err(out_of_range(cell)),
            known => Ok(known),
        };
        match self.target {
            Target::Timestamp if matches!(array.data_type(), DataType::Timestamp(..)) => Arc::clone(array),
            Target::Timestamp => {
                let array = collect::<i64, TimestampMillisecondArray>(array, ms, fault);
                with_zone(&array)
            }
            Target::Date => collect::<i32, Date32Array>(
                array,
                |cell| ms(cell)?.map(|ms| i32::try_from(ms.div_euclid(DAY_MS)).map_err(|_| out_of_range(cell))).transpose(),
                fault,
            ),
            // Less than the milliseconds of a day.
            Target::Time => {
                collect::<i32, Time32MillisecondArray>(array, |cell| Ok(ms(cell)?.map(|ms| ms.rem_euclid(DAY_MS) as i32)), fault)
            }
            Target::Unix => {
                let unix = |ms: i64| match self.precision {
                    TimeUnit::Second => Some(ms / 1000),
                    TimeUnit::Millisecond => Some(ms),
                    TimeUnit::Microsecond => ms.checked_mul(1000),
                    TimeUnit::Nanosecond => ms.checked_mul(1_000_000),
                };
                collect::<i64, Int64Array>(array, |cell| ms(cell)?.map(|ms| unix(ms).ok_or_else(|| out_of_range(cell))).transpose(), fault)
            }
            Target::Text => {
                let text = |ms: i64| self.format.as_ref().and_then(|format| format.format(ms));
                collect::<String, StringArray>(
                    array,
                    |cell| ms(cell)?.map(|ms| text(ms).ok_or_else(|| out_of_range(cell))).transpose(),
                    fault,
                )
            }
        }
    }

    /// The milliseconds that a value says.
    fn millis(&self, cell: &Cell<'_>) -> Result<Option<i64>, String> {
        let since_1970 = |value: i64, unit: TimeUnit| match unit {
            TimeUnit::Second => value.checked_mul(1000).ok_or_else(|| out_of_range(cell)),
            TimeUnit::Millisecond => Ok(value),
            TimeUnit::Microsecond => Ok(value / 1000),
            TimeUnit::Nanosecond => Ok(value / 1_000_000),
        };
        let expected = || format!("found {}, expected text, a whole number or a time", cell.shown());
        match cell {
            Cell::Null => Ok(None),
            Cell::Int(value) => since_1970(*value, self.precision).map(Some),
            // A column of whole numbers that has met another number.
            Cell::Float(value) => since_1970(whole(*value).ok_or_else(expected)?, self.precision).map(Some),
            Cell::Date(days) => Ok(Some(i64::from(*days) * DAY_MS)),
            Cell::Time(value, unit) | Cell::Timestamp(value, unit) => since_1970(*value, *unit).map(Some),
            Cell::Text(text) => {
                let Some(format) = &self.format else {
                    return Err(format!("found the text {}, and there is no format to read it: set the transform's format", cell.shown()));
                };
                let read = format.read(text);
                read.map(Some).ok_or_else(|| format!("found {}, expected a time as {}", cell.shown(), format.pattern()))
            }
            Cell::Bool(_) | Cell::Bytes(_) | Cell::Decimal(..) | Cell::Nested(_) => Err(expected()),
        }
    }
}

fn with_zone(array: &ArrayRef) -> ArrayRef {
    use arrow_array::cast::AsArray;
    use arrow_array::types::TimestampMillisecondType;
    Arc::new(array.as_primitive::<TimestampMillisecondType>().clone().with_timezone(UTC))
}

fn out_of_range(cell: &Cell<'_>) -> String {
    format!("found {}, which is out of the range of times", cell.shown())
}
