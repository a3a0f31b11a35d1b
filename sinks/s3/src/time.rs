//! Time buckets and Joda-Time patterns.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

/// A time zone: a name of the IANA database, `UTC`, or a fixed offset such as `+02:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    Fixed(FixedOffset),
    Named(Tz),
}

impl Zone {
    pub(crate) const UTC: Self = Self::Named(Tz::UTC);

    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(seconds) = offset_seconds(text) {
            return FixedOffset::east_opt(seconds).map(Self::Fixed);
        }
        text.parse().ok().map(Self::Named)
    }

    /// The offset from UTC at a moment, in milliseconds.
    fn offset_ms(self, at: DateTime<Utc>) -> i64 {
        let offset = match self {
            Self::Fixed(offset) => offset,
            Self::Named(zone) => zone.offset_from_utc_datetime(&at.naive_utc()).fix(),
        };
        i64::from(offset.local_minus_utc()) * 1000
    }

    /// The number of the bucket of `duration_ms` on the local clock in which a moment lies, and the bucket's local start.
    pub(crate) fn bucket(self, timestamp_ms: i64, duration_ms: i64) -> Option<(i64, NaiveDateTime)> {
        let at = DateTime::from_timestamp_millis(timestamp_ms)?;
        let local = timestamp_ms.checked_add(self.offset_ms(at))?;
        let bucket = local.div_euclid(duration_ms.max(1));
        let start = DateTime::from_timestamp_millis(bucket.checked_mul(duration_ms.max(1))?)?;
        Some((bucket, start.naive_utc()))
    }
}

/// `Z`, `+hh:mm`, `-hhmm`, `+hh`.
fn offset_seconds(text: &str) -> Option<i32> {
    if text == "Z" {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = text[1..].chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = match digits.len() {
        2 => (digits.as_str(), "0"),
        4 => digits.split_at(2),
        _ => return None,
    };
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60)
}

/// A pattern of a date: of Joda-Time, as `path.format` has it (`'year'=YYYY/'month'=MM`), or of java.time, as Firehose has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// A letter and how often it stands.
    Field(char, usize),
}

/// The letters that are understood. `YYYY` is the year of the era, not of the week, as in Joda-Time.
const LETTERS: &str = "yYxwDMdEeaHhKkmsS";

/// The letters of java.time's DateTimeFormatter that Firehose's prefixes need: how often each may stand, and what it is here. `Y`, `w` and
/// `e` are those of the locale en-US: weeks begin on Sunday, the first is that of January 1st.
const JAVA_LETTERS: [(char, usize, char); 21] = [
    ('a', 1, 'a'),
    ('y', 19, 'y'),
    ('u', 19, 'y'),
    ('Y', 19, 'j'),
    ('M', 4, 'M'),
    ('d', 2, 'd'),
    ('D', 3, 'D'),
    ('H', 2, 'H'),
    ('h', 2, 'h'),
    ('k', 2, 'k'),
    ('K', 2, 'K'),
    ('m', 2, 'm'),
    ('s', 2, 's'),
    ('S', 9, 'S'),
    ('n', 19, 'n'),
    ('N', 19, 'N'),
    ('A', 19, 'A'),
    ('E', 4, 'E'),
    ('e', 2, 'i'),
    ('Q', 3, 'Q'),
    ('w', 2, 'W'),
];

impl Pattern {
    /// A pattern of java.time: a subset of its letters, and text in quotes.
    pub(crate) fn parse_java(text: &str) -> Result<Self, String> {
        let letters: String = JAVA_LETTERS.iter().map(|(letter, ..)| *letter).collect();
        let mut pieces = Self::pieces(text, &letters, "[]{}#")?;
        for piece in &mut pieces {
            if let Piece::Field(letter, count) = piece {
                let Some((.., here)) = JAVA_LETTERS.iter().find(|(java, most, _)| java == letter && *count <= *most) else {
                    return Err(format!("'{letter}' stands {count} times, more often than java.time takes it"));
                };
                *letter = *here;
            }
        }
        Ok(Self(pieces))
    }

    /// A pattern of Joda-Time.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::pieces(text, LETTERS, "").map(Self)
    }

    fn pieces(text: &str, letters: &str, reserved: &str) -> Result<Vec<Piece>, String> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut chars = text.chars().peekable();
        let push_text = |pieces: &mut Vec<Piece>, c: char| match pieces.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => pieces.push(Piece::Text(c.to_string())),
        };
        while let Some(c) = chars.next() {
            match c {
                '\'' if chars.peek() == Some(&'\'') => {
                    chars.next();
                    push_text(&mut pieces, '\'');
                }
                '\'' => loop {
                    match chars.next() {
                        None => return Err("expected a closing quote".into()),
                        Some('\'') if chars.peek() == Some(&'\'') => {
                            chars.next();
                            push_text(&mut pieces, '\'');
                        }
                        Some('\'') => break,
                        Some(c) => push_text(&mut pieces, c),
                    }
                },
                c if letters.contains(c) => match pieces.last_mut() {
                    Some(Piece::Field(letter, count)) if *letter == c => *count += 1,
                    _ => pieces.push(Piece::Field(c, 1)),
                },
                c if c.is_ascii_alphabetic() => {
                    return Err(format!("expected letters among {letters}, found '{c}'; put text in single quotes"));
                }
                c if reserved.contains(c) => return Err(format!("'{c}' is not supported; put text in single quotes")),
                c => push_text(&mut pieces, c),
            }
        }
        Ok(pieces)
    }

    /// The longest time in milliseconds in which the text is the same; its multiples on the local clock are where it changes.
    pub(crate) fn unit_ms(&self) -> i64 {
        let unit = |piece: &Piece| match piece {
            Piece::Field('H' | 'k' | 'K' | 'h' | 'a', _) => 3_600_000,
            Piece::Field('m', _) => 60_000,
            Piece::Field('s', _) => 1000,
            Piece::Field('S' | 'n' | 'N' | 'A', _) => 1,
            Piece::Field(..) | Piece::Text(_) => 86_400_000,
        };
        self.0.iter().map(unit).min().unwrap_or(86_400_000)
    }

    pub(crate) fn format(&self, at: NaiveDateTime) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field(letter, count) => out.push_str(&field(*letter, *count, at)),
            }
        }
        out
    }
}

fn field(letter: char, count: usize, at: NaiveDateTime) -> String {
    let week = at.iso_week();
    let hour = at.hour();
    let number = |n: i64| format!("{n:0count$}");
    match letter {
        'y' | 'Y' if count == 2 => format!("{:02}", at.year().rem_euclid(100)),
        'x' if count == 2 => format!("{:02}", week.year().rem_euclid(100)),
        'y' | 'Y' => number(at.year().into()),
        'x' => number(week.year().into()),
        'w' => number(week.week().into()),
        'D' => number(at.ordinal().into()),
        'M' if count >= 4 => at.format("%B").to_string(),
        'M' if count == 3 => at.format("%b").to_string(),
        'M' => number(at.month().into()),
        'd' => number(at.day().into()),
        'E' if count >= 4 => at.format("%A").to_string(),
        'E' => at.format("%a").to_string(),
        'e' => number(at.weekday().number_from_monday().into()),
        'a' => if hour < 12 { "AM" } else { "PM" }.to_owned(),
        'H' => number(hour.into()),
        'k' => number(if hour == 0 { 24 } else { hour }.into()),
        'K' => number((hour % 12).into()),
        'h' => number(if hour.is_multiple_of(12) { 12 } else { hour % 12 }.into()),
        'm' => number(at.minute().into()),
        's' => number(at.second().into()),
        'j' if count == 2 => format!("{:02}", us_week(at).0.rem_euclid(100)),
        'j' => number(us_week(at).0.into()),
        'W' => number(us_week(at).1.into()),
        'i' => number(at.weekday().number_from_sunday().into()),
        'Q' if count == 3 => format!("Q{}", at.month0() / 3 + 1),
        'Q' => number((at.month0() / 3 + 1).into()),
        'n' => number(at.nanosecond().into()),
        'N' => number(i64::from(at.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(at.nanosecond())),
        'A' => number(i64::from(at.num_seconds_from_midnight()) * 1000 + i64::from(at.nanosecond()) / 1_000_000),
        // Fractions of a second: the first digits, filled up with zeros.
        _ => format!("{:0<count$}", &format!("{:03}", at.nanosecond() / 1_000_000)[..count.min(3)]),
    }
}

/// Year and number of the week as the USA count them: it belongs to the year of its Saturday.
fn us_week(at: NaiveDateTime) -> (i32, u32) {
    let ahead = TimeDelta::days(i64::from(6 - at.weekday().num_days_from_sunday()));
    // The end of time belongs to its own year.
    let saturday = at.checked_add_signed(ahead).unwrap_or(at);
    (saturday.year(), saturday.ordinal0() / 7 + 1)
}

/// Milliseconds since 1970 of a text: digits are epoch milliseconds, otherwise an ISO-8601 date or date and time (UTC where it names no
/// offset), as `RecordField` takes them.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    if !text.is_empty() && text.len() <= 19 && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.timestamp_millis());
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f%z"] {
        if let Ok(at) = DateTime::parse_from_str(text, format) {
            return Some(at.timestamp_millis());
        }
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(at) = NaiveDateTime::parse_from_str(text, format) {
            return Some(at.and_utc().timestamp_millis());
        }
    }
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_577_747_109_123; // 2019-12-30T23:05:09.123Z, a Monday of week 1 of 2020.

    fn format(pattern: &str, zone: &str) -> String {
        let (_, start) = Zone::parse(zone).expect("zone").bucket(AT, 1).expect("in range");
        Pattern::parse(pattern).expect("pattern").format(start)
    }

    #[test]
    fn patterns_are_those_of_joda_time() {
        for (pattern, want) in [
            ("'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH", "year=2019/month=12/day=30/hour=23"),
            ("yyyy-MM-dd", "2019-12-30"),
            ("yy", "19"),
            ("xxxx-'W'ww-e", "2020-W01-1"),
            ("D", "364"),
            ("MMM EEE", "Dec Mon"),
            ("hh a", "11 PM"),
            ("K k", "11 23"),
            ("mm:ss.SSS", "05:09.123"),
            ("'it''s'", "it's"),
        ] {
            assert_eq!(format(pattern, "UTC"), want, "{pattern}");
        }
        assert!(Pattern::parse("YYYY-T").expect_err("T is no letter").contains("'T'"));
        assert!(Pattern::parse("'open").is_err());
    }

    #[test]
    fn patterns_of_prefixes_are_those_of_java_time() {
        let at = |ms: i64, pattern: &str| {
            let (_, start) = Zone::UTC.bucket(ms, 1).expect("in range");
            Pattern::parse_java(pattern).expect("pattern").format(start)
        };
        // 2018-08-27T10:30:05Z and AT, as DateTimeFormatter prints them (locale en-US).
        for (pattern, a, b) in [
            ("yyyy", "2018", "2019"),
            ("uuuu", "2018", "2019"),
            ("yy", "18", "19"),
            ("YYYY/MM/dd", "2018/08/27", "2020/12/30"),
            ("M", "8", "12"),
            ("DD", "239", "364"),
            ("HH k", "10 10", "23 23"),
            ("hh a", "10 AM", "11 PM"),
            ("h K", "10 10", "11 11"),
            ("yyyy/mm/dd", "2018/30/27", "2019/05/30"),
            ("ss SSS n", "05 000 0", "09 123 123000000"),
            ("E EEEE e", "Mon Monday 2", "Mon Monday 2"),
            ("MMM MMMM", "Aug August", "Dec December"),
            ("Q QQQ w", "3 Q3 35", "4 Q4 1"),
            ("A N", "37805000 37805000000000", "83109123 83109123000000"),
            ("'it''s'", "it's", "it's"),
            ("'year='yyyy'/month='MM'/day='dd'/'", "year=2018/month=08/day=27/", "year=2019/month=12/day=30/"),
        ] {
            assert_eq!((at(1_535_365_805_000, pattern).as_str(), at(AT, pattern).as_str()), (a, b), "{pattern}");
        }
        for pattern in ["T", "year", "#", "{", "}", "[yyyy]", "Z", "VV", "ddd", "'open"] {
            assert!(Pattern::parse_java(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn zones_shift_the_buckets() {
        assert_eq!(format("dd HH", "Asia/Tokyo"), "31 08");
        assert_eq!(format("dd HH", "-05:30"), "30 17");
        let (_, start) = Zone::UTC.bucket(AT, 86_400_000).expect("in range");
        assert_eq!(start.to_string(), "2019-12-30 00:00:00");
        assert_eq!((Zone::parse("Nowhere/Land"), Zone::parse("+99:00")), (None, None));
    }

    #[test]
    fn timestamps_are_read_from_digits_and_iso_text() {
        for (text, want) in [
            ("1577747109123", Some(AT)),
            ("2019-12-30T23:05:09.123Z", Some(AT)),
            ("2019-12-31T00:05:09.123+01:00", Some(AT)),
            ("2019-12-30T23:05:09.123", Some(AT)),
            ("2019-12-30 23:05:09.123", Some(AT)),
            ("2019-12-30", Some(1_577_664_000_000)),
            ("yesterday", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_timestamp(text), want, "{text}");
        }
    }
}
