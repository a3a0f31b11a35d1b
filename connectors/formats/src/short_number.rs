//! The numbers that most documents have, read in one go. What is read here is what `number` would read, or nothing.

use crate::number::{DIGITS, EXACT, POWERS, TENS, divide, leading_digits};

/// The bytes that are looked at: a sign, 7 digits, a point, 16 digits and what follows them.
pub(crate) const LOOK_AHEAD: usize = 26;

/// The double that a text begins with, and how long it is, if it is written as most are: up to 7 digits, a point, up to 16 digits, at most 19
/// in all; or up to 7 digits. For others, and for what is no number, `None`: [`number::scan`] tells. It takes half the time of
/// that and [`number::Number::as_f64`], and gives the same.
#[inline]
pub(crate) fn short_f64(text: &[u8; LOOK_AHEAD]) -> Option<(f64, usize)> {
    let negative = text[0] == b'-';
    let first = usize::from(negative);
    let (whole, count) = leading_digits(eight(text, first));
    if !(1..8).contains(&count) || (count > 1 && text[first] == b'0') {
        return None;
    }
    let point = first + count;
    let (magnitude, end) = if text[point] == b'.' {
        let (high, places) = leading_digits(eight(text, point + 1));
        let (mantissa, places) = if places == 8 {
            // With a constant for the digits so far, the processor need not wait for their count.
            let (low, more) = leading_digits(eight(text, point + 9));
            ((whole * TENS[8] + high).wrapping_mul(TENS[more]).wrapping_add(low), 8 + more)
        } else {
            (whole * TENS[places] + high, places)
        };
        if places == 0 || count + places > DIGITS {
            return None;
        }
        let magnitude = match mantissa {
            // Both are exact, so the one rounding is the right one.
            ..=EXACT => mantissa as f64 / POWERS[places],
            _ => divide(mantissa, places),
        };
        (magnitude, point + 1 + places)
    } else {
        (whole as f64, point)
    };
    // What follows is neither a seventeenth digit nor an exponent.
    (!matches!(text[end], b'0'..=b'9' | b'e' | b'E')).then_some((if negative { -magnitude } else { magnitude }, end))
}

/// The integer that a text begins with, and how long it is, if it has up to 15 digits: a double holds it exactly. For others `None`:
/// [`number::scan`] tells.
#[inline]
pub(crate) fn short_i64(text: &[u8; LOOK_AHEAD]) -> Option<(i64, usize)> {
    let negative = text[0] == b'-';
    let first = usize::from(negative);
    let (high, count) = leading_digits(eight(text, first));
    let (magnitude, count) = if count == 8 {
        let (low, more) = leading_digits(eight(text, first + 8));
        (high * TENS[more] + low, 8 + more)
    } else {
        (high, count)
    };
    let end = first + count;
    if !(1..16).contains(&count) || (count > 1 && text[first] == b'0') || matches!(text[end], b'.' | b'e' | b'E') {
        return None;
    }
    Some((if negative { -(magnitude as i64) } else { magnitude as i64 }, end))
}

#[inline]
fn eight(text: &[u8; LOOK_AHEAD], at: usize) -> [u8; 8] {
    // There are as many: at most 7 digits, a sign, a point and 8 digits come before them.
    text.get(at..).and_then(|rest| rest.first_chunk().copied()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::number;

    /// Whether both read the text as numbers of their kind; panics if what they read is not what `number` reads.
    fn check(text: &str, tail: &str) -> (bool, bool) {
        let all = format!("{text}{tail}");
        let mut ahead = [0; LOOK_AHEAD];
        let seen = all.len().min(LOOK_AHEAD);
        ahead[..seen].copy_from_slice(&all.as_bytes()[..seen]);
        let (double, integer) = (short_f64(&ahead), short_i64(&ahead));
        let number = number::scan(all.as_bytes(), 0).ok();
        if let Some((value, len)) = double {
            let number = number.unwrap_or_else(|| panic!("{all} is no number"));
            assert_eq!((Some(value.to_bits()), len), (number.as_f64().map(f64::to_bits), number.text().len()), "{all}");
        }
        if let Some((value, len)) = integer {
            let number = number.unwrap_or_else(|| panic!("{all} is no number"));
            assert_eq!((Some(value), len), (number.as_i64(), number.text().len()), "{all}");
        }
        (double.is_some(), integer.is_some())
    }

    #[test]
    fn what_most_are_is_read_and_the_rest_is_not() {
        for (text, double, integer) in [
            ("0", true, true),
            ("-0", true, true),
            ("-0.0", true, false),
            ("7", true, true),
            ("9999999", true, true),
            ("10000000", false, true),
            ("1700000000000", false, true),
            ("999999999999999", false, true),
            ("1000000000000000", false, false),
            ("-999999999999999", false, true),
            ("18.79963684082031", true, false),
            ("-0.4037734866142273", true, false),
            ("0.0001", true, false),
            ("9999999.12345678", true, false),
            ("9999999.123456789012", true, false),
            ("9999999.1234567890123", false, false),
            ("12345678.5", false, false),
            ("-1.1234567890123456", true, false),
            ("1.12345678901234567", false, false),
            ("999.9999999999999999", true, false),
            ("99.12345678", true, false),
            ("99.1234567", true, false),
            ("1e5", false, false),
            ("1E5", false, false),
            ("1.5e5", false, false),
            ("1.12345678e-5", false, false),
            ("01", false, false),
            ("-01.5", false, false),
            ("1.", false, false),
            (".5", false, false),
            ("-", false, false),
            ("--1", false, false),
            ("", false, false),
            ("null", false, false),
        ] {
            for tail in ["", ",", "}", " ,\"a\":1.25e7,\"b\":\"0123456789\"", "\n", "\u{ffff}"] {
                assert_eq!(check(text, tail), (double, integer), "{text:?} before {tail:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn what_is_read_is_what_scan_reads(text in "-?[0-9]{0,9}(\\.[0-9]{0,18})?([eE][+-]?[0-9]{0,2})?", tail in "[,} 0-9.eE:\"]{0,12}") {
            check(&text, &tail);
        }

        #[test]
        fn so_are_measured_values(value in -1.0e6_f64..1.0e6, digits in 0_usize..18, integer in -10_000_000_000_000_000_i64..10_000_000_000_000_000) {
            check(&format!("{value}"), ",");
            check(&format!("{value:.digits$}"), "}");
            check(&format!("{}", value as f32), ",");
            check(&format!("{integer}"), ",");
            check(&format!("{}.{}", integer % 10_000_000, integer.unsigned_abs()), ",");
        }
    }
}
