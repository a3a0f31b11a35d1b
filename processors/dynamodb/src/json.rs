//! A strict scanner of JSON text (RFC 8259) that allocates nothing and never turns a number into a float.

use crate::fault::{Fault, Scan};

/// A place in a JSON text.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// The start of `text`, which must be UTF-8.
    pub(crate) fn new(text: &'a [u8]) -> Scan<Self> {
        match std::str::from_utf8(text) {
            Ok(_) => Ok(Self { text, at: 0 }),
            Err(error) => {
                let at = error.valid_up_to();
                Err(Fault::unexpected(&format!("UTF-8 text, but the byte at {at} is not part of any"), text))
            }
        }
    }

    /// The next byte that is not white space, without taking it.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                next => return next.copied(),
            }
        }
    }

    /// Takes `byte` if it is the next one.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Where the scanner is.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The text from `position` on, whatever was taken of it.
    pub(crate) fn all_from(&self, position: usize) -> &'a [u8] {
        &self.text[position..]
    }

    /// The text from here on.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    /// Takes `count` bytes that the caller has looked at.
    pub(crate) fn skip(&mut self, count: usize) {
        self.at += count;
    }

    /// The text does not go on as it should.
    #[cold]
    pub(crate) fn malformed(&self, expected: &str) -> Box<Fault> {
        let rest = self.rest();
        if rest.is_empty() {
            return Fault::value(format!("malformed JSON: the text ends at byte {}, expected {expected}", self.at));
        }
        Fault::unexpected(expected, rest).because(&format!("malformed JSON at byte {}: ", self.at))
    }

    /// Takes `byte`, or fails.
    #[inline]
    pub(crate) fn require(&mut self, byte: u8, expected: &str) -> Scan<()> {
        if self.take(byte) { Ok(()) } else { Err(self.malformed(expected)) }
    }

    /// Takes a word such as `true`.
    pub(crate) fn word(&mut self, word: &[u8]) -> Scan<()> {
        if self.rest().starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.malformed("a value"))
    }

    /// There must be nothing but white space from here on.
    pub(crate) fn finish(&mut self) -> Scan<()> {
        if self.peek().is_none() { Ok(()) } else { Err(self.malformed("nothing after the value")) }
    }

    /// Takes a string, appends it with its quotes and with as few escapes as JSON allows to `out`, and returns its length in bytes
    /// without quotes and escapes.
    ///
    /// Two strings are equal if and only if what is appended is.
    #[inline]
    pub(crate) fn string(&mut self, out: &mut Vec<u8>) -> Scan<usize> {
        if self.peek() != Some(b'"') {
            return Err(self.malformed("a string"));
        }
        let start = self.at;
        let body = &self.text[start + 1..];
        let plain = plain_bytes(body);
        if body.get(plain) == Some(&b'"') {
            self.at = start + plain + 2;
            out.extend_from_slice(&self.text[start..self.at]);
            return Ok(plain);
        }
        self.at = start + 1;
        out.push(b'"');
        self.rest_of_string(out)
    }

    fn rest_of_string(&mut self, out: &mut Vec<u8>) -> Scan<usize> {
        let mut bytes = 0;
        loop {
            let body = self.rest();
            let plain = plain_bytes(body);
            out.extend_from_slice(&body[..plain]);
            bytes += plain;
            self.at += plain;
            match body.get(plain) {
                Some(b'"') => {
                    self.at += 1;
                    out.push(b'"');
                    return Ok(bytes);
                }
                Some(b'\\') => bytes += self.escape(out)?,
                Some(_) => return Err(self.malformed("an escape in the place of a control character")),
                None => return Err(self.malformed("the end of a string")),
            }
        }
    }

    /// Takes an escape sequence, appends what it stands for and returns how many bytes that is.
    fn escape(&mut self, out: &mut Vec<u8>) -> Scan<usize> {
        let c = match self.rest().get(1) {
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(*byte),
            Some(b'u') => return self.unicode_escape(out),
            _ => return Err(self.malformed("an escape sequence of JSON")),
        };
        self.at += 2;
        push_char(c, out);
        Ok(1)
    }

    fn unicode_escape(&mut self, out: &mut Vec<u8>) -> Scan<usize> {
        const EXPECTED: &str = "four hexadecimal digits after \\u, surrogates in pairs";
        let (first, next) = (hex4(self.rest(), 2), self.rest());
        let decoded = match first {
            Some(high @ 0xd800..0xdc00) if next.get(6..8) == Some(b"\\u") => hex4(next, 8)
                .filter(|low| (0xdc00..0xe000).contains(low))
                .map(|low| (0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00), 12)),
            Some(unit) => Some((unit, 6)),
            None => None,
        };
        let Some((c, taken)) = decoded.and_then(|(code, taken)| Some((char::from_u32(code)?, taken))) else {
            return Err(self.malformed(EXPECTED));
        };
        self.at += taken;
        push_char(c, out);
        Ok(c.len_utf8())
    }
}

/// How many bytes from the start stand for themselves inside a string: everything but the quote, the backslash and control characters.
#[inline]
fn plain_bytes(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = 0x80 * ONES;
    let (words, rest) = text.as_chunks();
    for (index, bytes) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*bytes);
        // The high bit of each byte that is less than `limit`; the lowest one set is exact, those above it may be borrowed.
        let below = |word: u64, limit: u64| word.wrapping_sub(limit * ONES) & !word & HIGH;
        let special = below(word, 0x20) | below(word ^ (u64::from(b'"') * ONES), 1) | below(word ^ (u64::from(b'\\') * ONES), 1);
        if special != 0 {
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let is_plain = |byte: &&u8| !matches!(byte, b'"' | b'\\' | 0..0x20);
    text.len() - rest.len() + rest.iter().take_while(is_plain).count()
}

fn hex4(text: &[u8], from: usize) -> Option<u32> {
    let digits = text.get(from..from + 4)?;
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}

/// Appends a character of a string, escaped if JSON demands it.
fn push_char(c: char, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\u{8}' => out.extend_from_slice(b"\\b"),
        '\u{c}' => out.extend_from_slice(b"\\f"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\0'..='\u{1f}' => {
            let code = c as usize;
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[code >> 4], HEX[code & 15]]);
        }
        c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Appends `text` as a JSON string, as [`Scanner::string`] does.
pub(crate) fn push_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    text.chars().for_each(|c| push_char(c, out));
    out.push(b'"');
}

/// Appends a number of at least `width` digits, with leading zeros.
pub(crate) fn push_decimal(value: u64, width: usize, out: &mut Vec<u8>) {
    // 20 digits hold every u64.
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    let mut left = value;
    while left > 0 || at == digits.len() {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    at = at.min(digits.len() - width.min(digits.len()));
    out.extend_from_slice(&digits[at..]);
}
