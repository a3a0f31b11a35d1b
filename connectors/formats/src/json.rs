//! A strict scanner of JSON text (RFC 8259) over bytes that are known to be UTF-8. It builds nothing: whoever drives it says where
//! strings go.

use lakefeed_core::shorten;

use crate::fault::{Fault, Result};
use crate::number::{self, Number};
use crate::short_number::LOOK_AHEAD;

/// A position in a document.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A text that is looked for again and again. Up to 16 bytes are compared as one number, which is quicker than a call of `memcmp`.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    text: Box<[u8]>,
    /// The text, where it is short, and ones in the place of its bytes.
    short: Option<(u128, u128)>,
}

impl Written {
    pub(crate) fn new(text: Vec<u8>) -> Self {
        let mut bytes = [0; 16];
        let short = bytes.get_mut(..text.len()).map(|bytes| bytes.copy_from_slice(&text));
        let mask = u128::MAX.unbounded_shr(128_u32.saturating_sub(8 * text.len() as u32));
        Self { short: short.map(|()| (u128::from_le_bytes(bytes), mask)), text: text.into() }
    }
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The position, in bytes from the start.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Goes back, or on, to a position that was reached before.
    pub(crate) fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    /// The text from an earlier position to here.
    pub(crate) fn since(&self, from: usize) -> &'a [u8] {
        &self.bytes[from..self.at]
    }

    /// The byte at the position; 0, which is never valid outside a string, at the end.
    #[inline]
    pub(crate) fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// The first byte of the next token, which the position then points at; 0 at the end.
    #[inline]
    pub(crate) fn token(&mut self) -> u8 {
        let mut byte = self.peek();
        while matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
            byte = self.peek();
        }
        byte
    }

    /// Steps over a byte that was peeked at.
    #[inline]
    pub(crate) fn step(&mut self) {
        self.at += 1;
    }

    /// Steps over `text` if it comes next.
    #[inline]
    pub(crate) fn eat(&mut self, text: &[u8]) -> bool {
        let next = self.bytes[self.at..].starts_with(text);
        if next {
            self.at += text.len();
        }
        next
    }

    /// The same for a text that is looked for often.
    #[inline]
    pub(crate) fn eat_written(&mut self, written: &Written) -> bool {
        let next = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk());
        let (Some((text, mask)), Some(next)) = (written.short, next) else { return self.eat(&written.text) };
        let same = u128::from_le_bytes(*next) & mask == text;
        if same {
            self.at += written.text.len();
        }
        same
    }

    /// Steps over the token `byte`.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, expected: &str) -> Result<()> {
        if self.token() != byte {
            return Err(self.fault(expected));
        }
        self.at += 1;
        Ok(())
    }

    /// Only whitespace may be left.
    #[inline]
    pub(crate) fn end(&mut self) -> Result<()> {
        self.token();
        if self.at < self.bytes.len() { Err(self.fault("the end of the record")) } else { Ok(()) }
    }

    /// Steps over `true`, `false` or `null`.
    #[inline]
    pub(crate) fn literal(&mut self, text: &'static str) -> Result<()> {
        if self.eat(text.as_bytes()) { Ok(()) } else { Err(self.fault(text)) }
    }

    /// Steps over a number.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<Number<'a>> {
        match number::scan(self.bytes, self.at) {
            Ok(number) => {
                self.at += number.text().len();
                Ok(number)
            }
            Err(at) => {
                self.at = at;
                Err(self.fault(if self.peek().is_ascii_digit() { "a number without a leading zero" } else { "a digit" }))
            }
        }
    }

    /// Steps over a number, if it is one that `read` of `short_number` reads.
    #[inline]
    pub(crate) fn short_number<T>(&mut self, read: impl FnOnce(&[u8; LOOK_AHEAD]) -> Option<(T, usize)>) -> Option<T> {
        let rest = self.bytes.get(self.at..)?;
        let mut padded = [0; LOOK_AHEAD];
        let text = rest.first_chunk().unwrap_or_else(|| {
            padded[..rest.len()].copy_from_slice(rest);
            &padded
        });
        let (value, len) = read(text)?;
        self.at += len;
        Some(value)
    }

    /// Steps over a number, if one comes next.
    #[inline]
    pub(crate) fn try_number(&mut self) -> Option<Number<'a>> {
        let number = number::scan(self.bytes, self.at).ok()?;
        self.at += number.text().len();
        Some(number)
    }

    /// Steps over a string, whose quote comes next, and appends its characters to `out`.
    #[inline]
    pub(crate) fn string(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let from = self.at + 1;
        self.at = self.run(from);
        out.extend_from_slice(self.since(from));
        if self.peek() == b'"' {
            self.at += 1;
            return Ok(());
        }
        self.rest_of_string(|part| out.extend_from_slice(part))
    }

    /// Steps over a string and returns its characters: from the document itself, or from `buffer` if they had to be unescaped.
    #[inline]
    pub(crate) fn name<'b>(&mut self, buffer: &'b mut Vec<u8>) -> Result<&'b [u8]>
    where
        'a: 'b,
    {
        if self.token() != b'"' {
            return Err(self.fault("a string in double quotes"));
        }
        let from = self.at + 1;
        self.at = self.run(from);
        if self.peek() == b'"' {
            self.at += 1;
            return Ok(&self.bytes[from..self.at - 1]);
        }
        buffer.clear();
        buffer.extend_from_slice(self.since(from));
        self.rest_of_string(|part| buffer.extend_from_slice(part))?;
        Ok(buffer)
    }

    /// Where the next quote, backslash, control character or the end is.
    #[inline]
    fn run(&self, mut at: usize) -> usize {
        const ONES: u64 = 0x0101_0101_0101_0101;
        while let Some(chunk) = self.bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_le_bytes(*chunk);
            let (quote, backslash) = (word ^ (ONES * b'"' as u64), word ^ (ONES * b'\\' as u64));
            // In each of the three the lowest high bit marks the first byte found; a borrow only reaches bytes above it.
            let found = (quote.wrapping_sub(ONES) & !quote)
                | (backslash.wrapping_sub(ONES) & !backslash)
                | (word.wrapping_sub(ONES * 0x20) & !word);
            let found = found & (ONES * 0x80);
            if found != 0 {
                return at + (found.trailing_zeros() / 8) as usize;
            }
            at += 8;
        }
        let rest = self.bytes.get(at..).unwrap_or_default();
        at + rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
    }

    /// The rest of a string, from the first byte on that is not copied as it is.
    #[cold]
    fn rest_of_string(&mut self, mut out: impl FnMut(&[u8])) -> Result<()> {
        loop {
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => {
                    let c = self.escape()?;
                    out(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ if self.at >= self.bytes.len() => return Err(self.fault("the closing quote of a string")),
                _ => return Err(self.fault("an escape such as \\n in place of a control character")),
            }
            let from = self.at;
            self.at = self.run(from);
            out(self.since(from));
        }
    }

    /// Steps over an escape.
    fn escape(&mut self) -> Result<char> {
        let start = self.at;
        self.at += 1;
        let c = match self.peek() {
            b'n' => '\n',
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => return self.unicode_escape(start),
            _ => return Err(self.fault("an escape: one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX")),
        };
        self.at += 1;
        Ok(c)
    }

    fn unicode_escape(&mut self, start: usize) -> Result<char> {
        self.at += 1;
        let first = self.four_hex()?;
        if let Some(c) = char::from_u32(first) {
            return Ok(c);
        }
        if first < 0xdc00 && self.eat(b"\\u") {
            let second = self.four_hex()?;
            if (0xdc00..0xe000).contains(&second)
                && let Some(c) = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
            {
                return Ok(c);
            }
        }
        self.at = start;
        Err(self.fault("a character: half of a surrogate pair is none"))
    }

    fn four_hex(&mut self) -> Result<u32> {
        let mut value = 0;
        for _ in 0..4 {
            let Some(digit) = char::from(self.peek()).to_digit(16) else { return Err(self.fault("four hexadecimal digits")) };
            value = value * 16 + digit;
            self.at += 1;
        }
        Ok(value)
    }

    /// Steps over a string without keeping it.
    #[inline]
    pub(crate) fn skip_string(&mut self) -> Result<()> {
        self.at = self.run(self.at + 1);
        if self.peek() == b'"' {
            self.at += 1;
            return Ok(());
        }
        self.rest_of_string(|_| {})
    }

    /// Steps over any value; it may open `depth` further objects and arrays inside each other.
    pub(crate) fn skip_value(&mut self, depth: usize) -> Result<()> {
        match self.token() {
            b'"' => self.skip_string(),
            b'{' => self.skip_members(depth),
            b'[' => self.skip_items(depth),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' | b'0'..=b'9' => self.number().map(|_| ()),
            _ => Err(self.fault("a value")),
        }
    }

    fn skip_members(&mut self, depth: usize) -> Result<()> {
        let depth = self.deeper(depth)?;
        self.step();
        if self.token() == b'}' {
            self.step();
            return Ok(());
        }
        loop {
            if self.token() != b'"' {
                return Err(self.fault("a name in double quotes"));
            }
            self.skip_string()?;
            self.expect(b':', "':'")?;
            self.skip_value(depth)?;
            if self.closes(b'}', "',' or '}'")? {
                return Ok(());
            }
        }
    }

    fn skip_items(&mut self, depth: usize) -> Result<()> {
        let depth = self.deeper(depth)?;
        self.step();
        if self.token() == b']' {
            self.step();
            return Ok(());
        }
        loop {
            self.skip_value(depth)?;
            if self.closes(b']', "',' or ']'")? {
                return Ok(());
            }
        }
    }

    /// After a member or an item: steps over the comma (false) or over `close` (true).
    #[inline]
    pub(crate) fn closes(&mut self, close: u8, expected: &str) -> Result<bool> {
        let token = self.token();
        if token != b',' && token != close {
            return Err(self.fault(expected));
        }
        self.at += 1;
        Ok(token == close)
    }

    /// What is left of the allowed depth after one more level.
    #[inline]
    pub(crate) fn deeper(&self, depth: usize) -> Result<usize> {
        depth.checked_sub(1).ok_or_else(|| {
            Fault::record(format!("objects and arrays are nested too deeply at byte {}: have the producer write flatter records", self.at))
        })
    }

    /// The text does not go on as JSON does.
    #[cold]
    pub(crate) fn fault(&self, expected: &str) -> Fault {
        let found = match self.bytes.get(self.at) {
            None => "the end".to_owned(),
            Some(_) => {
                let text = String::from_utf8_lossy(&self.bytes[self.at..self.bytes.len().min(self.at + 4)]);
                format!("'{}'", shorten(text.chars().next().unwrap_or_default().encode_utf8(&mut [0; 4]).as_bytes()))
            }
        };
        let mut from = self.at.saturating_sub(20).min(self.bytes.len());
        while from < self.bytes.len() && self.bytes[from] & 0xc0 == 0x80 {
            from += 1;
        }
        let near = shorten(&self.bytes[from..self.bytes.len().min(self.at + 20)]);
        Fault::record(format!("malformed JSON at byte {}: found {found}, expected {expected}, near `{near}`", self.at))
    }
}
