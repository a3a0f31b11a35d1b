//! An item: its image, where its attributes are in it, its size and its digest.

use sha2::{Digest, Sha256};

use crate::attribute::{ItemFormat, ValueWriter};
use crate::fault::{Fault, Scan};
use crate::json::Scanner;

/// The bytes of a digest.
pub(crate) const DIGEST_BYTES: usize = 16;
/// What tells two items apart: the first bytes of a SHA-256.
pub(crate) type ItemDigest = [u8; DIGEST_BYTES];

/// An attribute: ranges of the image, and sizes.
#[derive(Debug, Clone, Copy)]
struct Attribute {
    start: usize,
    name_end: usize,
    /// After the colon.
    value_start: usize,
    end: usize,
    value_bytes: usize,
}

/// An attribute value in its normal form, for example `{"N":"17"}`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'a> {
    pub(crate) text: &'a [u8],
    /// What the value counts for in an item.
    pub(crate) bytes: usize,
}

/// An item in its normal form, with its buffers kept from item to item.
///
/// The attributes stay in the order of the input, so that a reader of the stream sees the columns as they were; whether two items
/// are equal does not depend on it.
#[derive(Debug, Default)]
pub(crate) struct Item {
    writer: ValueWriter,
    attributes: Vec<Attribute>,
    /// The attributes by name. Kept from the item before: items of a table are mostly alike, and then it is right already.
    order: Vec<usize>,
    canonical: Vec<u8>,
}

impl Item {
    /// Reads an item from the value of a record.
    pub(crate) fn read(&mut self, value: &[u8], format: ItemFormat) -> Scan<()> {
        self.writer.clear();
        self.attributes.clear();
        let mut scanner = Scanner::new(value)?;
        if !scanner.take(b'{') {
            return Err(Fault::unexpected("a JSON object, the item", scanner.rest()));
        }
        self.writer.out.push(b'{');
        if !scanner.take(b'}') {
            loop {
                self.attribute(&mut scanner, format)?;
                if !scanner.take(b',') {
                    break;
                }
                self.writer.out.push(b',');
            }
            scanner.require(b'}', "',' or '}' after an attribute")?;
        }
        self.writer.out.push(b'}');
        scanner.finish()?;
        self.sort()
    }

    #[inline]
    fn attribute(&mut self, scanner: &mut Scanner<'_>, format: ItemFormat) -> Scan<()> {
        let writer = &mut self.writer;
        let start = writer.out.len();
        let name_bytes = writer.name(scanner)?;
        if name_bytes == 0 {
            return Err(Fault::item("expected attribute names of at least one character, found an empty one".to_owned()));
        }
        let (value_start, before) = (writer.out.len(), writer.bytes + name_bytes);
        let name_end = value_start - 1;
        let done = writer.spend(name_bytes).and_then(|()| writer.value(scanner, format, 0));
        done.map_err(|fault| fault.in_member(&writer.out[start..name_end]))?;
        let (end, value_bytes) = (writer.out.len(), writer.bytes - before);
        self.attributes.push(Attribute { start, name_end, value_start, end, value_bytes });
        Ok(())
    }

    fn name(&self, index: usize) -> &[u8] {
        let attribute = &self.attributes[index];
        &self.writer.out[attribute.start..attribute.name_end]
    }

    fn sort(&mut self) -> Scan<()> {
        let count = self.attributes.len();
        let ascending = |item: &Self| item.order.windows(2).all(|pair| item.name(pair[0]) < item.name(pair[1]));
        if self.order.len() == count && ascending(self) {
            return Ok(());
        }
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(0..count);
        order.sort_unstable_by(|a, b| self.name(*a).cmp(self.name(*b)));
        self.order = order;
        match self.order.windows(2).find(|pair| self.name(pair[0]) == self.name(pair[1])) {
            Some(pair) => {
                let message = "expected each attribute once, but its name occurs twice in the item; keep one of them".to_owned();
                Err(Fault::value(message).in_member(self.name(pair[0])))
            }
            None => Ok(()),
        }
    }

    /// The item as typed JSON.
    pub(crate) fn image(&self) -> Value<'_> {
        Value { text: &self.writer.out, bytes: self.writer.bytes }
    }

    /// An attribute by its name, which is JSON text with its quotes.
    pub(crate) fn get(&self, name: &[u8]) -> Option<Value<'_>> {
        let attribute = self.attributes.iter().find(|a| &self.writer.out[a.start..a.name_end] == name)?;
        Some(Value { text: &self.writer.out[attribute.value_start..attribute.end], bytes: attribute.value_bytes })
    }

    /// The digest of the item. Equal items have equal digests, whatever the order of their attributes.
    ///
    /// Stored states hold digests: a change of what is hashed here makes every item look different once.
    pub(crate) fn digest(&mut self) -> ItemDigest {
        const NUMBER: &[u8] = b"{\"N\":\"";
        self.canonical.clear();
        for index in &self.order {
            let attribute = &self.attributes[*index];
            let value = &self.writer.out[attribute.value_start..attribute.end];
            self.canonical.extend_from_slice(&self.writer.out[attribute.start..attribute.name_end]);
            // Numbers are the bulk of a table of measurements: without their wrapping there is half as much to hash. Names begin
            // with a quote and other values with a brace, so the text still says where each part ends.
            match value.strip_prefix(NUMBER).and_then(|v| v.strip_suffix(b"\"}")) {
                Some(digits) => {
                    self.canonical.push(b'N');
                    self.canonical.extend_from_slice(digits);
                }
                None => self.canonical.extend_from_slice(value),
            }
        }
        let hash = Sha256::digest(&self.canonical);
        let mut digest = ItemDigest::default();
        digest.copy_from_slice(&hash[..DIGEST_BYTES]);
        digest
    }
}
