//! The type of a partition column, from its values.

use std::collections::BTreeSet;

use lakefeed_layout::{HIVE_NULL, decode_value};

/// What the values seen so far have in common.
#[derive(Debug, Default)]
pub(crate) struct Guess {
    values: bool,
    not_integer: bool,
    not_date: bool,
    nulls: BTreeSet<String>,
}

impl Guess {
    /// Takes a value as it stands in the path into account: what means null is not encoded there.
    pub(crate) fn add(&mut self, written: &str) {
        if written == HIVE_NULL || written.eq_ignore_ascii_case("null") {
            self.nulls.insert(written.to_owned());
            return;
        }
        let value = &decode_value(written);
        self.values = true;
        self.not_integer |= !is_integer(value);
        self.not_date |= !is_date(value);
    }

    /// Takes in what another guess has seen.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.values |= other.values;
        self.not_integer |= other.not_integer;
        self.not_date |= other.not_date;
        self.nulls.extend(other.nulls.iter().cloned());
    }

    /// The SQL type that all values have.
    pub(crate) fn sql_type(&self) -> &'static str {
        match self {
            Self { values: false, .. } => "VARCHAR",
            Self { not_integer: false, .. } => "BIGINT",
            Self { not_date: false, .. } => "DATE",
            _ => "VARCHAR",
        }
    }

    /// The null markers seen, as they are written.
    pub(crate) fn null_markers(&self) -> impl Iterator<Item = String> {
        self.nulls.iter().cloned()
    }
}

/// Whether the text is what an integer prints as: `07` and `+7` are texts, and turning them into a number would lose that.
fn is_integer(value: &str) -> bool {
    value.parse::<i64>().is_ok_and(|number| number.to_string() == value)
}

/// Whether the text is a day of the calendar as `2024-02-29`.
fn is_date(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    let [y, m, d] = parts.as_slice() else { return false };
    let digits = |text: &str, width| text.len() == width && text.bytes().all(|b| b.is_ascii_digit());
    if !(digits(y, 4) && digits(m, 2) && digits(d, 2)) {
        return false;
    }
    let (Ok(year), Ok(month), Ok(day)) = (y.parse::<u32>(), m.parse::<u32>(), d.parse::<u32>()) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    (1..=days).contains(&day)
}
