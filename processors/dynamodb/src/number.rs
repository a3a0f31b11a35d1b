//! DynamoDB numbers: decimals of 38 digits, read from text and written in their normal form. They never become binary floats.
//!
//! The normal form is what a read returns: plain notation, no plus sign, no exponent, no leading and no trailing zeros, no `-0`.

use crate::size;

/// The most significant digits a number can have.
const MAX_DIGITS: usize = 38;
/// The power of ten of the first digit of the largest number: 9.9..E+125.
const MAX_EXPONENT: i64 = 125;
/// The power of ten of the first digit of the smallest number that is not zero: 1E-130.
const MIN_EXPONENT: i64 = -130;
/// Written exponents are cut here: far out of range, and far from an overflow of the sums they go into.
const EXPONENT_CAP: i64 = 1 << 40;

/// What a text may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grammar {
    /// A number of JSON (RFC 8259, section 6).
    Json,
    /// The text of an `N`: also `+5`, `007`, `.5` and `5.`.
    Attribute,
}

/// Why a number can't be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberFault {
    Digits,
    Overflow,
    Underflow,
}

impl NumberFault {
    /// What was expected, to follow "expected ".
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Self::Digits => "a number of at most 38 significant digits",
            Self::Overflow => "a number of a magnitude below 1E+126",
            Self::Underflow => "zero or a number of a magnitude of at least 1E-130",
        }
    }
}

/// A number as it stands in its text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decimal<'a> {
    text: &'a [u8],
    /// The digits before the point start here; a sign is right before them.
    start: usize,
    point: usize,
    /// After the digits behind the point; equal to `point` if there is no point.
    fraction_end: usize,
    exponent: i64,
    /// The length of all of it.
    pub(crate) end: usize,
}

/// The end of the digits that start at `from`. Eight bytes at a time: the cells of a row have no common length, so a branch for each
/// byte would be mispredicted once per cell.
#[inline]
fn digits_from(text: &[u8], from: usize) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let mut at = from;
    while let Some(bytes) = text.get(at..).and_then(<[u8]>::first_chunk) {
        // Digits become 0 to 9. The high bit of a byte is then set if it is more: adding 0x76 carries into that bit, never beyond.
        let word = u64::from_le_bytes(*bytes) ^ (0x30 * ONES);
        let others = (((word & (0x7f * ONES)) + 0x76 * ONES) | word) & (0x80 * ONES);
        if others != 0 {
            return at + others.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while text.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

impl<'a> Decimal<'a> {
    /// Reads the number at the start of `text`; `None` if there is none. The caller looks at what follows [`Decimal::end`].
    #[inline]
    pub(crate) fn read(text: &'a [u8], grammar: Grammar) -> Option<Self> {
        let signed = matches!(text.first(), Some(b'-')) || (grammar == Grammar::Attribute && matches!(text.first(), Some(b'+')));
        let start = usize::from(signed);
        let point = digits_from(text, start);
        let mut fraction_end = point;
        if text.get(point) == Some(&b'.') {
            fraction_end = digits_from(text, point + 1);
        }
        let fraction_digits = fraction_end.saturating_sub(point + 1);
        let valid = match grammar {
            Grammar::Json => point > start && (text[start] != b'0' || point == start + 1) && fraction_end != point + 1,
            Grammar::Attribute => point > start || fraction_digits > 0,
        };
        if !valid {
            return None;
        }
        let mut number = Self { text, start, point, fraction_end, exponent: 0, end: fraction_end };
        if matches!(text.get(fraction_end), Some(b'e' | b'E')) {
            number.read_exponent()?;
        }
        Some(number)
    }

    fn read_exponent(&mut self) -> Option<()> {
        let sign = self.text.get(self.fraction_end + 1);
        let from = self.fraction_end + 1 + usize::from(matches!(sign, Some(b'+' | b'-')));
        self.end = digits_from(self.text, from);
        let digits = &self.text[from..self.end];
        if digits.is_empty() {
            return None;
        }
        let value = digits.iter().fold(0, |value: i64, digit| (value * 10 + i64::from(digit - b'0')).min(EXPONENT_CAP));
        self.exponent = if sign == Some(&b'-') { -value } else { value };
        Some(())
    }

    fn is_negative(&self) -> bool {
        self.text.first() == Some(&b'-')
    }

    /// Appends the normal form to `out`, and returns the bytes that the number takes in an item.
    ///
    /// Nothing is appended on an error.
    #[inline]
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<usize, NumberFault> {
        if self.exponent == 0 { self.write_plain(out) } else { self.write_scientific(out) }
    }

    /// Without an exponent the normal form is a part of the text.
    fn write_plain(&self, out: &mut Vec<u8>) -> Result<usize, NumberFault> {
        let whole_from = first_nonzero(self.text, self.start, self.point);
        let mut end = self.fraction_end;
        while end > self.point && matches!(self.text[end - 1], b'0' | b'.') {
            end -= 1;
        }
        let whole = self.point - whole_from;
        let (digits, exponent) = if whole == 0 {
            let from = first_nonzero(self.text, (self.point + 1).min(end), end);
            if from == end {
                out.push(b'0');
                return Ok(size::NUMBER_ZERO);
            }
            (end - from, self.point as i64 - from as i64)
        } else if end > self.point {
            (end - whole_from - 1, whole as i64 - 1)
        } else {
            let zeros = self.text[whole_from..end].iter().rev().take_while(|b| **b == b'0').count();
            (whole - zeros, whole as i64 - 1)
        };
        check(digits, exponent)?;
        let negative = self.is_negative();
        if negative {
            out.push(b'-');
        }
        if whole == 0 {
            out.push(b'0');
        }
        out.extend_from_slice(&self.text[whole_from..end]);
        Ok(size::number(digits, exponent, negative))
    }

    fn write_scientific(&self, out: &mut Vec<u8>) -> Result<usize, NumberFault> {
        let fraction_from = (self.point + 1).min(self.fraction_end);
        let all = || self.text[self.start..self.point].iter().chain(&self.text[fraction_from..self.fraction_end]);
        let leading = all().take_while(|b| **b == b'0').count();
        let total = all().count();
        if leading == total {
            out.push(b'0');
            return Ok(size::NUMBER_ZERO);
        }
        let trailing = all().rev().take_while(|b| **b == b'0').count();
        let digits = total - leading - trailing;
        let exponent = self.exponent + (self.point - self.start) as i64 - leading as i64 - 1;
        check(digits, exponent)?;
        let negative = self.is_negative();
        if negative {
            out.push(b'-');
        }
        let digit = |index: i64| all().nth(leading + index as usize).copied().unwrap_or(b'0');
        if exponent < 0 {
            out.extend_from_slice(b"0.");
            out.extend((exponent + 1..0).map(|_| b'0'));
            out.extend((0..digits as i64).map(digit));
        } else {
            let count = digits as i64;
            out.extend((0..=exponent).map(|index| if index < count { digit(index) } else { b'0' }));
            if count > exponent + 1 {
                out.push(b'.');
                out.extend((exponent + 1..count).map(digit));
            }
        }
        Ok(size::number(digits, exponent, negative))
    }
}

fn first_nonzero(text: &[u8], from: usize, to: usize) -> usize {
    text[from..to].iter().position(|b| *b != b'0').map_or(to, |zeros| from + zeros)
}

#[inline]
fn check(digits: usize, exponent: i64) -> Result<(), NumberFault> {
    if exponent > MAX_EXPONENT {
        Err(NumberFault::Overflow)
    } else if exponent < MIN_EXPONENT {
        Err(NumberFault::Underflow)
    } else if digits > MAX_DIGITS {
        Err(NumberFault::Digits)
    } else {
        Ok(())
    }
}
