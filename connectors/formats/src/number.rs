//! Numbers as JSON writes them: scanned once, then read as an integer or as the nearest double. Most are read more quickly by `short_number`.

/// A number of a document: its text, and its value as `mantissa * 10^exponent`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number<'a> {
    text: &'a [u8],
    mantissa: u64,
    exponent: i64,
    negative: bool,
    /// Written without a point and without an exponent.
    integer: bool,
    /// All digits are in `mantissa`; if not, only the text tells the value.
    complete: bool,
}

/// Doubles hold every integer up to here.
pub(crate) const EXACT: u64 = 1 << 53;

/// A `u64` has room for any number of this many decimal digits.
pub(crate) const DIGITS: usize = 19;

/// Scans the number that begins at `start`. The error is the position of the byte that does not fit the grammar.
#[inline]
pub(crate) fn scan(bytes: &[u8], start: usize) -> Result<Number<'_>, usize> {
    let negative = byte(bytes, start) == b'-';
    let first = start + usize::from(negative);
    let mut mantissa = 0;
    let mut at = digits(bytes, first, &mut mantissa);
    let mut count = at - first;
    if count == 0 {
        return Err(at);
    }
    if count > 1 && bytes[first] == b'0' {
        return Err(first + 1);
    }
    let (mut exponent, mut integer) = (0, true);
    if byte(bytes, at) == b'.' {
        let point = at + 1;
        at = digits(bytes, point, &mut mantissa);
        if at == point {
            return Err(at);
        }
        count += at - point;
        exponent = -((at - point) as i64);
        integer = false;
    }
    if byte(bytes, at) | 0x20 == b'e' {
        let (end, power) = scan_exponent(bytes, at + 1)?;
        exponent = power.saturating_add(exponent);
        integer = false;
        at = end;
    }
    let text = &bytes[start..at];
    let complete = count <= DIGITS || significant_digits(text) <= DIGITS;
    Ok(Number { text, mantissa, exponent, negative, integer, complete })
}

#[inline]
fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// Reads digits from `at` on into `mantissa`, eight at a time, and returns where they end. With more digits than a `u64` has room
/// for, the mantissa is meaningless.
#[inline]
fn digits(bytes: &[u8], mut at: usize, mantissa: &mut u64) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let (value, count) = leading_digits(*chunk);
        *mantissa = mantissa.wrapping_mul(TENS[count]).wrapping_add(value);
        at += count;
        if count < 8 {
            return at;
        }
    }
    while byte(bytes, at).is_ascii_digit() {
        *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(bytes[at] - b'0'));
        at += 1;
    }
    at
}

/// The digits that a text begins with: their value, and how many they are.
#[inline]
pub(crate) fn leading_digits(text: [u8; 8]) -> (u64, usize) {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    let values = u64::from_le_bytes(text) ^ ZEROS;
    // The high bit of each byte tells that it is no digit. A carry can only spoil bytes after the first that is none.
    let others = (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080;
    if others == 0 {
        return (eight_digits(values), 8);
    }
    let count = others.trailing_zeros() / 8;
    // Moved up, the digits stand behind leading zeros. In two steps, for no digits are 64 bits.
    (eight_digits(values << (56 - 8 * count) << 8), count as usize)
}

pub(crate) const TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The value of eight digits, one in each byte, the first in the lowest: pairs, then fours, then all.
#[inline]
fn eight_digits(values: u64) -> u64 {
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let high = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let low = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    high.wrapping_add(low) >> 32
}

#[cold]
fn scan_exponent(bytes: &[u8], mut at: usize) -> Result<(usize, i64), usize> {
    let negative = byte(bytes, at) == b'-';
    at += usize::from(negative || byte(bytes, at) == b'+');
    let first = at;
    let mut power = 0_i64;
    while byte(bytes, at).is_ascii_digit() {
        power = power.saturating_mul(10).saturating_add(i64::from(bytes[at] - b'0'));
        at += 1;
    }
    if at == first { Err(at) } else { Ok((at, if negative { -power } else { power })) }
}

/// The digits before an exponent, without leading zeros.
#[cold]
fn significant_digits(text: &[u8]) -> usize {
    let written = text.iter().take_while(|b| **b | 0x20 != b'e').filter(|b| b.is_ascii_digit());
    written.skip_while(|b| **b == b'0').count()
}

impl<'a> Number<'a> {
    /// As it is written.
    pub(crate) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The value, if it is written as an integer and fits.
    #[inline]
    pub(crate) fn as_i64(&self) -> Option<i64> {
        if !self.integer || !self.complete {
            return None;
        }
        signed(self.mantissa, self.negative)
    }

    /// The value, if it is whole and fits, however it is written: `19`, `19.0` and `1.9e1` are the same.
    pub(crate) fn as_whole(&self) -> Option<i64> {
        let (mut mantissa, mut exponent) = (self.mantissa, self.exponent);
        if !self.complete {
            return None;
        }
        if mantissa == 0 {
            return Some(0);
        }
        while exponent < 0 && mantissa.is_multiple_of(10) {
            mantissa /= 10;
            exponent += 1;
        }
        let scale = 10_u64.checked_pow(u32::try_from(exponent).ok()?)?;
        signed(mantissa.checked_mul(scale)?, self.negative)
    }

    /// The value times ten to the power of `scale`, if that is whole and has at most 38 digits.
    pub(crate) fn unscaled(&self, scale: i8) -> Option<i128> {
        let text = str::from_utf8(self.text).ok()?;
        let (digits, power) = match text.split_once(['e', 'E']) {
            Some((digits, power)) => (digits, power.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = digits.trim_start_matches('-').split_once('.').unwrap_or((digits.trim_start_matches('-'), ""));
        let mut shift = power.checked_add(i64::from(scale))?.checked_sub(fraction.len() as i64)?;
        let mut digits = format!("{whole}{fraction}");
        while shift < 0 && digits.len() > 1 && digits.ends_with('0') {
            digits.pop();
            shift += 1;
        }
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Some(0);
        }
        let magnitude = digits.parse::<i128>().ok()?.checked_mul(10_i128.checked_pow(u32::try_from(shift).ok()?)?)?;
        Some(if self.negative { -magnitude } else { magnitude })
    }

    /// The nearest double, if it is finite and, for an integer, the same number.
    #[inline]
    pub(crate) fn as_f64(&self) -> Option<f64> {
        let value = self.nearest_f64()?;
        let exact = !self.integer || (self.complete && self.mantissa <= EXACT) || self.is_exactly(value);
        exact.then_some(value)
    }

    #[cold]
    fn is_exactly(&self, value: f64) -> bool {
        // Without a precision every digit of the integer part is printed.
        format!("{value:.0}").as_bytes() == self.text
    }

    /// The nearest double, ties to even, as `str::parse` gives it; `None` if it is not finite.
    #[inline]
    pub(crate) fn nearest_f64(&self) -> Option<f64> {
        let magnitude = match (self.complete, self.exponent) {
            (true, 0) => self.mantissa as f64,
            // Both factors are exact, so the one rounding is the right one (Clinger, 1990).
            (true, 0..=22) if self.mantissa <= EXACT => self.mantissa as f64 * POWERS[self.exponent as usize],
            (true, -27..0) if self.mantissa != 0 => divide(self.mantissa, self.exponent.unsigned_abs() as usize),
            _ => return self.parse(),
        };
        Some(if self.negative { -magnitude } else { magnitude })
    }

    #[cold]
    fn parse(&self) -> Option<f64> {
        str::from_utf8(self.text).ok()?.parse().ok().filter(|value: &f64| value.is_finite())
    }
}

#[inline]
fn signed(magnitude: u64, negative: bool) -> Option<i64> {
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// The whole number of 64 bits that a double is; minus zero is zero.
pub fn whole(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (value.fract() == 0.0 && (-LIMIT..LIMIT).contains(&value)).then_some(value as i64)
}

/// Integers beyond 2^53 that a double does not hold exactly make an integer column one that can't become double.
#[inline]
pub(crate) fn is_exact_in_f64(value: i64) -> bool {
    let magnitude = value.unsigned_abs();
    magnitude <= EXACT || magnitude.trailing_zeros() + magnitude.leading_zeros() >= 64 - 53
}

/// The powers of ten that a double holds exactly.
pub(crate) const POWERS: [f64; 23] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22];

/// A power of five for division: shifted up until its high bit is set, and its reciprocal `floor((2^128 - 1) / value) - 2^64`.
struct Divisor {
    value: u64,
    shift: u32,
    reciprocal: u64,
}

/// 5^27 is the last power of five that a `u64` holds.
const FIVES: [Divisor; 28] = {
    let mut table = [const { Divisor { value: 0, shift: 0, reciprocal: 0 } }; 28];
    let mut k = 0;
    while k < table.len() {
        let five = 5_u64.pow(k as u32);
        let shift = five.leading_zeros();
        let value = five << shift;
        table[k] = Divisor { value, shift, reciprocal: (u128::MAX / value as u128 - (1 << 64)) as u64 };
        k += 1;
    }
    table
};

/// The double nearest to `mantissa / 10^k`, for a mantissa that is not 0 and k up to 27.
///
/// The quotient `mantissa / 5^k` is taken to at least 62 bits, with a last bit that says whether anything is left over; so the one
/// rounding to 53 bits is the right one, and the powers of two that remain are exact. Division by the reciprocal is algorithm 4 of
/// Möller and Granlund, "Improved division by invariant integers" (2011).
pub(crate) fn divide(mantissa: u64, k: usize) -> f64 {
    let Divisor { value: divisor, shift, reciprocal } = FIVES[k];
    let zeros = mantissa.leading_zeros();
    let (high, low) = ((mantissa << zeros) >> 1, (mantissa << zeros) << 63);
    let estimate = u128::from(reciprocal) * u128::from(high) + ((u128::from(high) << 64) | u128::from(low));
    let (mut quotient, fraction) = (((estimate >> 64) as u64).wrapping_add(1), estimate as u64);
    let mut rest = low.wrapping_sub(quotient.wrapping_mul(divisor));
    if rest > fraction {
        quotient = quotient.wrapping_sub(1);
        rest = rest.wrapping_add(divisor);
    }
    if rest >= divisor {
        quotient = quotient.wrapping_add(1);
        rest -= divisor;
    }
    let scale = u64::from(1023 + shift - zeros - 63 - k as u32) << 52;
    (quotient | u64::from(rest != 0)) as f64 * f64::from_bits(scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number<'_> {
        let number = scan(text.as_bytes(), 0).unwrap_or_else(|at| panic!("{text}: byte {at}"));
        assert_eq!(number.text(), text.as_bytes(), "the whole text is the number");
        number
    }

    /// The same bits as std, whatever stands behind the number.
    fn check(text: &str) {
        let expected = text.parse::<f64>().expect("a number").to_bits();
        for tail in ["", ",", "}          ", "\u{ffff}aaaaaaaaa"] {
            let text_and_tail = format!("{text}{tail}");
            let number = scan(text_and_tail.as_bytes(), 0).expect("a number");
            assert_eq!(number.text(), text.as_bytes());
            let got = number.nearest_f64().map_or(f64::INFINITY.copysign(if number.negative { -1.0 } else { 1.0 }), |v| v);
            assert_eq!(got.to_bits(), expected, "{text}: {got:e}");
        }
    }

    #[test]
    fn doubles_are_those_of_std_where_it_is_hard() {
        for text in [
            "0",
            "-0",
            "0.0",
            "-0.0",
            "0e5",
            "1",
            "-1",
            "0.1",
            "0.3",
            "1e22",
            "1e23",
            "9007199254740993",
            "9007199254740993.0",
            "9007199254740992.5",
            "18446744073709551615",
            "18446744073709551616",
            "1844674407370955161.5",
            "123456789012345678901234567890",
            "0.000000000000000000000000000001",
            "2.2250738585072011e-308",
            "4.9e-324",
            "2.4e-324",
            "1e-400",
            "1e400",
            "-1e400",
            "1.7976931348623157e308",
            "1.7976931348623159e308",
            "0.00028655675705522299",
            "8.5e-22",
            "179769313486231580793e289",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "0e99999999999999999999",
            "6929495644600919.5",
            "3.7455744005952583e15",
            "9999999999999999999e-27",
            "0.4503599627370496500000000000000000000000000000000000000000000000001",
        ] {
            check(text);
        }
    }

    #[test]
    fn what_is_no_number_is_refused_where_it_stops_to_be_one() {
        for (text, at) in
            [("", 0), ("-", 1), ("+1", 0), ("01", 1), ("-01", 2), ("1.", 2), (".5", 0), ("1e", 2), ("1e+", 3), ("1.e5", 2), ("-a", 1)]
        {
            assert_eq!(scan(text.as_bytes(), 0).err(), Some(at), "{text}");
        }
    }

    #[test]
    fn integers_are_exact_or_none() {
        let int = |text| number(text).as_i64();
        assert_eq!((int("9223372036854775807"), int("9223372036854775808")), (Some(i64::MAX), None));
        assert_eq!((int("-9223372036854775808"), int("-9223372036854775809")), (Some(i64::MIN), None));
        assert_eq!((int("-0"), int("1.0"), int("1e2"), int("18446744073709551616")), (Some(0), None, None, None));
        let double = |text| number(text).as_f64();
        assert_eq!((double("18446744073709551616"), double("18446744073709551617")), (Some(18446744073709551616.0), None));
        assert_eq!((double("9007199254740993"), double("-9007199254740994")), (None, Some(-9007199254740994.0)));
        assert_eq!((double("1e999"), double("9007199254740993.0")), (None, Some(9007199254740992.0)));
        let whole = |text| number(text).as_whole();
        assert_eq!((whole("19.0"), whole("1.9e1"), whole("-190e-1"), whole("0.0e-9")), (Some(19), Some(19), Some(-19), Some(0)));
        assert_eq!((whole("19.5"), whole("1e19"), whole("1e-1")), (None, None, None));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn every_double_comes_back(bits: u64) {
            let value = f64::from_bits(bits);
            if value.is_finite() {
                check(&format!("{value}"));
                check(&format!("{value:e}"));
            }
        }

        #[test]
        fn measured_values_come_back(value in -1.0e6_f64..1.0e6, single: f32, digits in 0_usize..24) {
            check(&format!("{value}"));
            check(&format!("{value:.digits$}"));
            if single.is_finite() {
                check(&format!("{:e}", f64::from(single)));
            }
        }

        #[test]
        fn any_digits_are_rounded_as_std_rounds(mantissa: u64, shift in 0_u32..64, exponent in -40_i32..40) {
            check(&format!("{}e{exponent}", mantissa >> shift));
            // Half way between two doubles, where a wrong rounding shows.
            let even = (mantissa >> shift) & !1;
            check(&format!("{}.5", even.min(EXACT)));
        }

        #[test]
        fn text_of_the_grammar_is_read_as_std_reads_it(text in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?") {
            check(&text);
        }

        #[test]
        fn exactness_is_that_of_the_cast(value: i64, shift in 0_u32..64) {
            let value = value >> shift;
            prop_assert_eq!(is_exact_in_f64(value), value as f64 as i128 == i128::from(value));
        }
    }
}
