//! Attribute values: from plain JSON (`1.50`) or typed JSON (`{"N":"1.50"}`) to typed JSON in its normal form.
//!
//! Two attribute values are equal in DynamoDB's eyes if and only if their normal forms are the same bytes: numbers are normalised,
//! strings have one way to be escaped, nested maps are sorted by name and sets by member (neither has an order in DynamoDB).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::fault::{Fault, Scan};
use crate::json::Scanner;
use crate::number::{Decimal, Grammar};
use crate::size;

/// How the values of items are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemFormat {
    /// `{"id":17,"name":"x"}`.
    Plain,
    /// `{"id":{"N":"17"},"name":{"S":"x"}}`.
    Typed,
}

/// The element of a map, or of a set, in the output: from `start` to `end`, its name up to `name_end`.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: usize,
    name_end: usize,
    end: usize,
}

/// Reads attribute values and writes their normal form. Its buffers are kept from item to item.
///
/// Memory: an item that outgrows the limit of 400 KB is given up at once, so the text is at most some megabytes.
#[derive(Debug, Default)]
pub(crate) struct ValueWriter {
    /// What was written.
    pub(crate) out: Vec<u8>,
    /// What it counts for, names included.
    pub(crate) bytes: usize,
    /// The elements of the maps and sets that are open.
    entries: Vec<Entry>,
    scratch: Vec<u8>,
}

impl ValueWriter {
    /// Forgets everything but the buffers.
    pub(crate) fn clear(&mut self) {
        self.out.clear();
        self.entries.clear();
        self.bytes = 0;
    }

    /// Counts bytes of the item.
    #[inline]
    pub(crate) fn spend(&mut self, bytes: usize) -> Scan<()> {
        self.bytes += bytes;
        if self.bytes <= size::MAX_ITEM_BYTES {
            return Ok(());
        }
        Err(Fault::item(format!("expected an item of at most {} bytes, names included; here it is larger", size::MAX_ITEM_BYTES)))
    }

    /// Takes a name and the colon after it, and writes both.
    #[inline]
    pub(crate) fn name(&mut self, scanner: &mut Scanner<'_>) -> Scan<usize> {
        let bytes = scanner.string(&mut self.out)?;
        scanner.require(b':', "':' after a name")?;
        self.out.push(b':');
        Ok(bytes)
    }

    /// Takes a value and writes its normal form. `level` is that of a list or map around it, 0 for an attribute of the item.
    #[inline]
    pub(crate) fn value(&mut self, scanner: &mut Scanner<'_>, format: ItemFormat, level: usize) -> Scan<()> {
        match format {
            ItemFormat::Plain => self.plain(scanner, level),
            ItemFormat::Typed => self.typed(scanner, level),
        }
    }

    #[inline]
    fn plain(&mut self, scanner: &mut Scanner<'_>, level: usize) -> Scan<()> {
        match scanner.peek() {
            Some(b'-' | b'0'..=b'9') => {
                let text = scanner.rest();
                let number = Decimal::read(text, Grammar::Json).ok_or_else(|| scanner.malformed("a number of JSON"))?;
                scanner.skip(number.end);
                self.out.extend_from_slice(b"{\"N\":\"");
                self.number(&number, &text[..number.end])?;
                self.out.extend_from_slice(b"\"}");
                Ok(())
            }
            Some(b'"') => {
                self.out.extend_from_slice(b"{\"S\":");
                let bytes = scanner.string(&mut self.out)?;
                self.out.push(b'}');
                self.spend(bytes)
            }
            Some(b't') => self.flag(scanner, b"true", b"{\"BOOL\":true}"),
            Some(b'f') => self.flag(scanner, b"false", b"{\"BOOL\":false}"),
            Some(b'n') => self.flag(scanner, b"null", b"{\"NULL\":true}"),
            Some(b'[') => {
                self.out.extend_from_slice(b"{\"L\":");
                self.list(scanner, ItemFormat::Plain, level)?;
                self.out.push(b'}');
                Ok(())
            }
            Some(b'{') => {
                self.out.extend_from_slice(b"{\"M\":");
                self.map(scanner, ItemFormat::Plain, level)?;
                self.out.push(b'}');
                Ok(())
            }
            _ => Err(scanner.malformed("a value")),
        }
    }

    fn flag(&mut self, scanner: &mut Scanner<'_>, word: &[u8], written: &[u8]) -> Scan<()> {
        scanner.word(word)?;
        self.out.extend_from_slice(written);
        self.spend(size::FLAG)
    }

    #[inline]
    fn number(&mut self, number: &Decimal<'_>, text: &[u8]) -> Scan<()> {
        match number.write(&mut self.out) {
            Ok(bytes) => self.spend(bytes),
            Err(fault) => Err(Fault::unexpected(fault.expected(), text)),
        }
    }

    fn typed(&mut self, scanner: &mut Scanner<'_>, level: usize) -> Scan<()> {
        const EXPECTED: &str = "an object with exactly one of the types S, N, B, BOOL, NULL, L, M, SS, NS, BS, such as {\"N\":\"1.5\"}";
        scanner.peek();
        let start = scanner.position();
        if !scanner.take(b'{') {
            return Err(Fault::unexpected(EXPECTED, scanner.rest()));
        }
        if scanner.take(b'}') {
            return Err(Fault::unexpected(EXPECTED, scanner.all_from(start)));
        }
        self.out.push(b'{');
        let kind = self.out.len();
        self.name(scanner)?;
        match &self.out[kind..] {
            b"\"S\":" => {
                let bytes = typed_string(scanner, &mut self.out, "a string in S")?;
                self.spend(bytes)?;
            }
            b"\"N\":" => self.typed_number(scanner)?,
            b"\"B\":" => self.binary(scanner)?,
            b"\"BOOL\":" => self.typed_bool(scanner)?,
            b"\"NULL\":" => match scanner.peek() {
                Some(b't') => self.flag(scanner, b"true", b"true")?,
                _ => return Err(Fault::unexpected("true in NULL", scanner.rest())),
            },
            b"\"L\":" => self.list(scanner, ItemFormat::Typed, level)?,
            b"\"M\":" => self.map(scanner, ItemFormat::Typed, level)?,
            b"\"SS\":" => self.set(scanner, |writer, scanner| {
                let bytes = typed_string(scanner, &mut writer.out, "a string in SS")?;
                writer.spend(bytes)
            })?,
            b"\"NS\":" => self.set(scanner, Self::typed_number)?,
            b"\"BS\":" => self.set(scanner, Self::binary)?,
            _ => return Err(Fault::unexpected(EXPECTED, scanner.all_from(start))),
        }
        self.out.push(b'}');
        if scanner.peek() == Some(b',') {
            return Err(Fault::unexpected("exactly one type, but there is more than one", scanner.all_from(start)));
        }
        scanner.require(b'}', "'}' after the value of a type")
    }

    fn typed_bool(&mut self, scanner: &mut Scanner<'_>) -> Scan<()> {
        match scanner.peek() {
            Some(b't') => self.flag(scanner, b"true", b"true"),
            Some(b'f') => self.flag(scanner, b"false", b"false"),
            _ => Err(Fault::unexpected("true or false in BOOL", scanner.rest())),
        }
    }

    fn typed_number(&mut self, scanner: &mut Scanner<'_>) -> Scan<()> {
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        let result = typed_string(scanner, &mut text, "the text of a number, in quotes").and_then(|_| {
            let text = &text[1..text.len() - 1];
            match Decimal::read(text, Grammar::Attribute).filter(|number| number.end == text.len()) {
                Some(number) => {
                    self.out.push(b'"');
                    self.number(&number, text)?;
                    self.out.push(b'"');
                    Ok(())
                }
                None => Err(Fault::unexpected("a text that can be converted to a number", text)),
            }
        });
        self.scratch = text;
        result
    }

    fn binary(&mut self, scanner: &mut Scanner<'_>) -> Scan<()> {
        let start = self.out.len();
        typed_string(scanner, &mut self.out, "base64 text")?;
        let text = &self.out[start + 1..self.out.len() - 1];
        self.scratch.clear();
        if STANDARD.decode_vec(text, &mut self.scratch).is_err() {
            return Err(Fault::unexpected("standard base64 with padding", text));
        }
        self.spend(self.scratch.len())
    }

    fn list(&mut self, scanner: &mut Scanner<'_>, format: ItemFormat, level: usize) -> Scan<()> {
        self.open(level)?;
        scanner.require(b'[', "a list in L")?;
        self.out.push(b'[');
        if !scanner.take(b']') {
            let mut index = 0;
            loop {
                self.spend(size::ELEMENT)?;
                self.value(scanner, format, level + 1).map_err(|fault| fault.in_element(index))?;
                if !scanner.take(b',') {
                    break;
                }
                self.out.push(b',');
                index += 1;
            }
            scanner.require(b']', "',' or ']' after an element")?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn map(&mut self, scanner: &mut Scanner<'_>, format: ItemFormat, level: usize) -> Scan<()> {
        self.open(level)?;
        scanner.require(b'{', "a map in M")?;
        self.out.push(b'{');
        let (base, body) = (self.entries.len(), self.out.len());
        if !scanner.take(b'}') {
            loop {
                let start = self.out.len();
                let bytes = self.name(scanner)?;
                let name_end = self.out.len() - 1;
                self.spend(size::ELEMENT + bytes)?;
                self.value(scanner, format, level + 1).map_err(|fault| fault.in_member(&self.out[start..name_end]))?;
                self.entries.push(Entry { start, name_end, end: self.out.len() });
                if !scanner.take(b',') {
                    break;
                }
                self.out.push(b',');
            }
            scanner.require(b'}', "',' or '}' after a member")?;
        }
        if let Some(twice) = self.sort(base, body) {
            let message = "expected each name once, but it occurs twice in the same map".to_owned();
            return Err(Fault::value(message).in_member(&self.out[twice.start..twice.name_end]));
        }
        self.out.push(b'}');
        Ok(())
    }

    fn set(&mut self, scanner: &mut Scanner<'_>, member: fn(&mut Self, &mut Scanner<'_>) -> Scan<()>) -> Scan<()> {
        if scanner.peek() != Some(b'[') {
            return Err(Fault::unexpected("a list of the members of the set", scanner.rest()));
        }
        scanner.skip(1);
        if scanner.peek() == Some(b']') {
            return Err(Fault::value("expected a set with members: a set may not be empty".to_owned()));
        }
        self.out.push(b'[');
        let (base, body) = (self.entries.len(), self.out.len());
        loop {
            let start = self.out.len();
            let index = self.entries.len() - base;
            member(self, scanner).map_err(|fault| fault.in_element(index))?;
            self.entries.push(Entry { start, name_end: self.out.len(), end: self.out.len() });
            if !scanner.take(b',') {
                break;
            }
            self.out.push(b',');
        }
        scanner.require(b']', "',' or ']' after a member of a set")?;
        if let Some(twice) = self.sort(base, body) {
            return Err(Fault::unexpected("a set without duplicates", &self.out[twice.start..twice.end]));
        }
        self.out.push(b']');
        Ok(())
    }

    fn open(&mut self, level: usize) -> Scan<()> {
        if level == size::MAX_LEVELS {
            return Err(Fault::item(format!("expected lists and maps nested at most {} levels deep", size::MAX_LEVELS)));
        }
        self.spend(size::CONTAINER)
    }

    /// Sorts the entries from `base` on, which were written from `body` on, and drops them from the list. Returns one whose name
    /// occurs twice.
    fn sort(&mut self, base: usize, body: usize) -> Option<Entry> {
        let out = &self.out;
        let name = |entry: &Entry| &out[entry.start..entry.name_end];
        let entries = &mut self.entries[base..];
        if !entries.windows(2).all(|pair| name(&pair[0]) < name(&pair[1])) {
            entries.sort_unstable_by(|a, b| name(a).cmp(name(b)));
            if let Some(pair) = entries.windows(2).find(|pair| name(&pair[0]) == name(&pair[1])) {
                return Some(pair[0]);
            }
            self.scratch.clear();
            for entry in &*entries {
                self.scratch.extend_from_slice(&out[entry.start..entry.end]);
                self.scratch.push(b',');
            }
            self.scratch.pop();
            self.out.truncate(body);
            self.out.extend_from_slice(&self.scratch);
        }
        self.entries.truncate(base);
        None
    }
}

/// Takes a string where a type demands one.
fn typed_string(scanner: &mut Scanner<'_>, out: &mut Vec<u8>, expected: &str) -> Scan<usize> {
    if scanner.peek() == Some(b'"') { scanner.string(out) } else { Err(Fault::unexpected(expected, scanner.rest())) }
}
