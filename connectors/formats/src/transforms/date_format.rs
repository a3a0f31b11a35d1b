//! Patterns of dates and times as Java's `SimpleDateFormat` has them, in UTC and in the locales en and en_US. One of these is Java's where the
//! environment names no other: by the locale Java chooses names, the first day of a week and how many days of January its first week has.

use std::fmt::Write;

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Timelike, Utc};
use lakefeed_core::shorten;

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const LETTERS: &str = "yYMwWDdFEuaHkKhmsSzZX";

/// A pattern that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DateFormat {
    pattern: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A letter and how often it stands there.
    Field(char, usize),
}

impl Part {
    fn is_number(&self) -> bool {
        match self {
            Self::Text(_) => false,
            Self::Field(letter, count) => "yYwWDdFuHkKhmsS".contains(*letter) || (*letter == 'M' && *count < 3),
        }
    }
}

impl DateFormat {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn parse(pattern: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        let mut chars = pattern.chars().peekable();
        let mut text = String::new();
        while let Some(c) = chars.next() {
            match c {
                '\'' if chars.next_if_eq(&'\'').is_some() => text.push('\''),
                '\'' => loop {
                    match chars.next() {
                        Some('\'') if chars.next_if_eq(&'\'').is_some() => text.push('\''),
                        Some('\'') => break,
                        Some(c) => text.push(c),
                        None => return Err("a quote is not closed".into()),
                    }
                },
                c if c.is_ascii_alphabetic() => {
                    let mut count = 1;
                    while chars.next_if_eq(&c).is_some() {
                        count += 1;
                    }
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text)));
                    }
                    parts.push(field(c, count)?);
                }
                c => text.push(c),
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        if parts.iter().all(|part| matches!(part, Part::Text(_))) {
            return Err("expected letters such as yyyy-MM-dd HH:mm:ss".into());
        }
        Ok(Self { pattern: pattern.to_owned(), parts })
    }

    /// The pattern as it was written.
    pub(super) fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Why texts can't be read with this pattern, if they can't.
    pub(super) fn unreadable(&self) -> Option<&'static str> {
        let has = |letters: &str| self.parts.iter().any(|part| matches!(part, Part::Field(letter, _) if letters.contains(*letter)));
        if self.parts.contains(&Part::Field('y', 2)) {
            // Java takes the century from the clock: one record would have two values.
            Some("yy does not say the century: use yyyy")
        } else if has("Y") {
            // By YYYYMMdd Java reads 20240301 as 2023-12-31, the first day of the first week.
            Some("Y is the year of the week, of which Java reads the first day whatever month and day are: use yyyy")
        } else if has("wWF") {
            Some("w, W and F are only written, and not read: use yyyy-MM-dd")
        } else if has("D") && has("Md") {
            // In Java the one that stands last counts.
            Some("D is the day of the year: leave out M and d, or D")
        } else {
            None
        }
    }

    /// The text of a time, milliseconds since 1970-01-01 UTC; `None` beyond the calendar.
    pub(super) fn format(&self, ms: i64) -> Option<String> {
        let at = DateTime::from_timestamp_millis(ms)?;
        let mut out = String::with_capacity(self.pattern.len() + 8);
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Field(letter, count) => write_field(&mut out, &at, *letter, *count),
            }
        }
        Some(out)
    }

    /// The longest time in milliseconds in which the text is the same; it changes at multiples of it.
    pub(super) fn unit_ms(&self) -> i64 {
        let unit = |part: &Part| match part {
            Part::Field('H' | 'k' | 'K' | 'h' | 'a', _) => 3_600_000,
            Part::Field('m', _) => 60_000,
            Part::Field('s', _) => 1000,
            Part::Field('S', _) => 1,
            Part::Field(..) | Part::Text(_) => 86_400_000,
        };
        self.parts.iter().map(unit).min().unwrap_or(86_400_000)
    }

    /// A regular expression that matches every text it writes from 1970 on, and not many others.
    pub(super) fn expression(&self) -> String {
        let expression = |part: &Part| match part {
            Part::Text(text) => regex::escape(text),
            Part::Field('y' | 'Y', 2) => "[0-9]{2}".to_owned(),
            Part::Field(_, count) if part.is_number() => format!("[0-9]{{{count},}}"),
            Part::Field('M', count) => one_of(&MONTHS, *count),
            Part::Field('E', count) => one_of(&DAYS, *count),
            Part::Field('a', _) => "[AP]M".to_owned(),
            Part::Field(letter, count) => regex::escape(zone(*letter, *count)),
        };
        self.parts.iter().map(expression).collect()
    }

    /// Reads a text, milliseconds since 1970-01-01 UTC. As in Java what follows behind the pattern does not matter; otherwise than there no
    /// month is the thirteenth.
    pub(super) fn read(&self, text: &str) -> Option<i64> {
        if self.unreadable().is_some() {
            return None;
        }
        let mut reader = Reader { rest: text, ..Reader::default() };
        for (at, part) in self.parts.iter().enumerate() {
            match part {
                Part::Text(expected) => reader.rest = reader.rest.strip_prefix(expected.as_str())?,
                Part::Field(letter, count) => {
                    // Numbers without anything between them have the widths of the pattern.
                    let joined = part.is_number() && self.parts.get(at + 1).is_some_and(Part::is_number);
                    reader.field(*letter, *count, joined.then_some(*count))?;
                }
            }
        }
        reader.time()
    }
}

fn field(letter: char, count: usize) -> Result<Part, String> {
    if !LETTERS.contains(letter) {
        let letters: Vec<_> = LETTERS.chars().map(String::from).collect();
        return Err(format!(
            "the letter {letter} is not supported: there are {}, and other letters stand in single quotes",
            letters.join(", ")
        ));
    }
    if letter == 'S' && count > 3 {
        return Err("S is the number of milliseconds: expected SSS at most".into());
    }
    if count > 20 {
        return Err(format!("{} is too long", shorten(String::from(letter).repeat(count).as_bytes())));
    }
    Ok(Part::Field(letter, count))
}

fn write_field(out: &mut String, at: &DateTime<Utc>, letter: char, count: usize) {
    let hour = at.hour();
    let number = match letter {
        'y' if count == 2 => i64::from(at.year().rem_euclid(100)),
        'y' => i64::from(at.year()),
        'Y' if count == 2 => week(at).0.rem_euclid(100),
        'Y' => week(at).0,
        'M' if count < 3 => i64::from(at.month()),
        'w' => week(at).1,
        'W' => i64::from(saturday(at, at.day0()) / 7 + 1),
        'D' => i64::from(at.ordinal()),
        'd' => i64::from(at.day()),
        'F' => i64::from(at.day0() / 7 + 1),
        'u' => i64::from(at.weekday().number_from_monday()),
        'H' => i64::from(hour),
        'k' => i64::from(if hour == 0 { 24 } else { hour }),
        'K' => i64::from(hour % 12),
        'h' => i64::from(at.hour12().1),
        'm' => i64::from(at.minute()),
        's' => i64::from(at.second()),
        'S' => i64::from(at.timestamp_subsec_millis()),
        _ => {
            out.push_str(match letter {
                'M' => shorter(MONTHS[at.month0() as usize], count),
                'E' => shorter(DAYS[at.weekday().num_days_from_monday() as usize], count),
                'a' if at.hour12().0 => "PM",
                'a' => "AM",
                _ => zone(letter, count),
            });
            return;
        }
    };
    // Writing to a string does not fail.
    let _ = write!(out, "{number:0count$}");
}

/// The year that a week belongs to, and the week's number in it. Weeks begin on Sunday, and the one of January 1 is the first, also of the days of
/// December in it.
fn week(at: &DateTime<Utc>) -> (i64, i64) {
    let days = if at.date_naive().leap_year() { 366 } else { 365 };
    let (year, saturday) = (i64::from(at.year()), saturday(at, at.ordinal0()));
    if saturday < days { (year, i64::from(saturday / 7 + 1)) } else { (year + 1, 1) }
}

/// The number of the day that ends the week, where that of today is given.
fn saturday(at: &DateTime<Utc>, today: u32) -> u32 {
    today + 6 - at.weekday().num_days_from_sunday()
}

fn zone(letter: char, count: usize) -> &'static str {
    match letter {
        'z' if count > 3 => "Coordinated Universal Time",
        'z' => "UTC",
        'Z' => "+0000",
        _ => "Z",
    }
}

fn one_of(names: &[&'static str], count: usize) -> String {
    let names: Vec<_> = names.iter().map(|name| shorter(name, count)).collect();
    format!("(?:{})", names.join("|"))
}

fn shorter(name: &'static str, count: usize) -> &'static str {
    if count > 3 { name } else { &name[..3] }
}

/// What was read so far.
#[derive(Debug, Default)]
struct Reader<'a> {
    rest: &'a str,
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    /// From 0 to 23.
    hour: Option<u32>,
    /// From 0 to 11.
    half_hour: Option<u32>,
    afternoon: bool,
    minute: u32,
    second: u32,
    ms: u32,
    offset_minutes: i64,
}

impl Reader<'_> {
    fn field(&mut self, letter: char, count: usize, width: Option<usize>) -> Option<()> {
        match letter {
            'M' if count >= 3 => self.month = Some(self.name(&MONTHS)?),
            'E' => {
                self.name(&DAYS)?;
            }
            'a' => self.afternoon = self.name(&["AM", "PM"])? == 2,
            'z' | 'Z' | 'X' => self.offset_minutes = self.zone()?,
            _ => {
                let number = self.number(width)?;
                match letter {
                    'y' => self.year = Some(i32::try_from(number).ok()?),
                    'M' => self.month = Some(number),
                    'd' => self.day = Some(number),
                    'D' => self.day_of_year = Some(number),
                    // As with E, the date is what the others say.
                    'u' => {}
                    'H' => self.hour = Some(number),
                    'k' => self.hour = Some(number % 24).filter(|_| number <= 24),
                    'K' => self.half_hour = Some(number).filter(|n| *n < 12),
                    'h' => self.half_hour = Some(number % 12).filter(|_| number <= 12),
                    'm' => self.minute = number,
                    's' => self.second = number,
                    _ => self.ms = number,
                }
                if matches!(letter, 'k') && self.hour.is_none() || matches!(letter, 'K' | 'h') && self.half_hour.is_none() {
                    return None;
                }
            }
        }
        Some(())
    }

    fn number(&mut self, width: Option<usize>) -> Option<u32> {
        self.rest = self.rest.trim_start_matches(' ');
        let digits = self.rest.bytes().take(width.unwrap_or(usize::MAX)).take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        number.parse().ok()
    }

    /// The number, from 1, of the name that stands here, whole or its first three letters.
    fn name(&mut self, names: &[&str]) -> Option<u32> {
        self.rest = self.rest.trim_start_matches(' ');
        let stands = |name: &str| self.rest.get(..name.len()).is_some_and(|text| text.eq_ignore_ascii_case(name));
        let found = (1..).zip(names).find_map(|(number, name)| {
            let short = name.get(..3).unwrap_or(name);
            if stands(name) { Some((number, name.len())) } else { stands(short).then_some((number, short.len())) }
        });
        let (number, length) = found?;
        self.rest = &self.rest[length..];
        Some(number)
    }

    /// Minutes ahead of UTC.
    fn zone(&mut self) -> Option<i64> {
        self.rest = self.rest.trim_start_matches(' ');
        let name = ["UTC", "GMT", "Z"].iter().find(|name| self.rest.starts_with(**name));
        self.rest = name.map_or(self.rest, |name| &self.rest[name.len()..]);
        let sign = match self.rest.bytes().next() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return name.map(|_| 0),
        };
        self.rest = &self.rest[1..];
        let hours = i64::from(self.number(Some(2))?);
        self.rest = self.rest.strip_prefix(':').unwrap_or(self.rest);
        let minutes = if self.rest.starts_with(|c: char| c.is_ascii_digit()) { i64::from(self.number(Some(2))?) } else { 0 };
        (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
    }

    fn time(&self) -> Option<i64> {
        let year = self.year.unwrap_or(1970);
        let date = match self.day_of_year {
            Some(day) => NaiveDate::from_yo_opt(year, day)?,
            None => NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        let hour = self.hour.unwrap_or_else(|| self.half_hour.unwrap_or(0) + if self.afternoon { 12 } else { 0 });
        let at = date.and_hms_milli_opt(hour, self.minute, self.second, self.ms)?.and_utc();
        Some(at.checked_sub_signed(TimeDelta::minutes(self.offset_minutes))?.timestamp_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-03-01 13:02:03.004 UTC, a Friday.
    const AT: i64 = 1_709_298_123_004;

    #[test]
    fn times_are_written_as_java_writes_them() {
        for (pattern, text) in [
            ("yyyy-MM-dd HH:mm:ss.SSS", "2024-03-01 13:02:03.004"),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSX", "2024-03-01T13:02:03.004Z"),
            ("yyyyMMdd", "20240301"),
            ("yy-M-d h:m:s a", "24-3-1 1:2:3 PM"),
            ("EEE, dd MMM yyyy HH:mm:ss zzz", "Fri, 01 Mar 2024 13:02:03 UTC"),
            ("EEEE dd MMMM, kk KK Z", "Friday 01 March, 13 01 +0000"),
            ("''yyyy 'o''clock'", "'2024 o'clock"),
        ] {
            let format = DateFormat::parse(pattern).expect(pattern);
            assert_eq!(format.format(AT).as_deref(), Some(text), "{pattern}");
            let expression = regex::Regex::new(&format!("^(?:{})$", format.expression())).expect("a regular expression");
            assert!(expression.is_match(text) && !expression.is_match(&format!("{text}x")), "{pattern}: {expression}");
            let unit = format.unit_ms();
            let start = AT.div_euclid(unit) * unit;
            assert_eq!(format.format(start).as_deref(), Some(text), "{pattern}: the same from the start of its unit");
            assert_eq!(format.format(start + unit - 1).as_deref(), Some(text), "{pattern}: to its end");
        }
    }

    /// The days at the edges of years, by Java 17: the patterns, then a line for each day.
    const WEEKS: &str = include_str!("../../tests/golden/weeks.txt");

    #[test]
    fn weeks_and_their_years_are_those_of_java() {
        let mut lines = WEEKS.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(" | ").collect::<Vec<_>>());
        let patterns = lines.next().expect("the patterns");
        let formats: Vec<_> = patterns[1..].iter().map(|pattern| DateFormat::parse(pattern).expect(pattern)).collect();
        let mut days = 0;
        for line in lines {
            let date: NaiveDate = line[0].parse().expect("a date");
            let start = date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
            assert_eq!(line.len(), patterns.len(), "{date}");
            for (format, text) in formats.iter().zip(&line[1..]) {
                let unit = format.unit_ms();
                assert_eq!(unit, 86_400_000, "{}", format.pattern());
                for ms in [start, start + 45_296_000, start + unit - 1] {
                    assert_eq!(format.format(ms).as_deref(), Some(*text), "{date} {}", format.pattern());
                }
                let expression = regex::Regex::new(&format!("^(?:{})$", format.expression())).expect("a regular expression");
                assert!(expression.is_match(text), "{text}: {expression}");
            }
            days += 1;
        }
        assert!(days > 50, "{days} days");
    }

    #[test]
    fn what_was_written_is_read() {
        const DAY: i64 = 86_400_000;
        for (pattern, text, expected) in [
            ("yyyy-MM-dd HH:mm:ss.SSS", "2024-03-01 13:02:03.004", Some(AT)),
            ("yyyyMMddHHmmssSSS", "20240301130203004", Some(AT)),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2024-03-01T15:32:03.004+02:30", Some(AT)),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSZ", "2024-03-01T11:02:03.004-0200", Some(AT)),
            ("EEE, dd MMM yyyy hh:mm:ss.SSS a z", "fri, 1 march 2024 01:02:03.004 pm GMT", Some(AT)),
            ("yyyy-MM-dd", "1970-01-02 and more", Some(DAY)),
            ("yyyy-MM-dd", "1969-12-31", Some(-DAY)),
            ("HH:mm", "00:01", Some(60_000)),
            ("k", "24", Some(0)),
            ("k", "25", None),
            ("yyyy-MM-dd", "2024-13-01", None),
            ("yyyy-MM-dd", "2024-02-30", None),
            ("yyyy-MM-dd", "24/03/01", None),
            ("yyyy-MM-dd", "", None),
            ("yyyy-MM-dd", "9999999999-01-01", None),
            ("yyyy X", "2024 PST", None),
            ("yy-MM-dd", "24-03-01", None),
            ("yyyyDDDHHmmssSSS", "2024061130203004", Some(AT)),
            ("yyyy-DDD", "1970-002", Some(DAY)),
            ("yyyy-DDD", "2023-366", None),
            ("yyyy-MM-dd u", "1970-01-02 7", Some(DAY)),
            ("YYYYMMdd", "20240301", None),
            ("yyyy-MM-dd w", "2024-03-01 9", None),
            ("yyyy-MM-dd DDD", "2024-03-01 061", None),
            ("yyyy-MM-dd", "ä", None),
        ] {
            assert_eq!(DateFormat::parse(pattern).expect(pattern).read(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn patterns_that_mean_nothing_here_are_refused() {
        for (pattern, part) in [
            ("GGG yyyy", "the letter G is not supported: there are y, Y, M, w"),
            ("yyyy-MM-dd'T", "a quote is not closed"),
            ("HH:mm:ss.SSSSSS", "expected SSS at most"),
            ("", "expected letters"),
            ("--", "expected letters"),
        ] {
            let error = DateFormat::parse(pattern).expect_err(pattern);
            assert!(error.contains(part), "{pattern}: {error}");
        }
    }
}
