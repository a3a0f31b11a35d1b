//! The primary key: of an item, and of a record that deletes one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lakefeed_core::{Stage, shorten};

use crate::attribute::{ItemFormat, ValueWriter};
use crate::config::KeyField;
use crate::fault::{Fault, Scan};
use crate::item::{Item, Value};
use crate::json::{Scanner, push_string};
use crate::number::{Decimal, Grammar};

/// The `Keys` of a change, and the key of the item in the state: typed JSON, the partition key first.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    text: Vec<u8>,
    bytes: usize,
}

impl Keys {
    pub(crate) fn get(&self) -> Value<'_> {
        Value { text: &self.text, bytes: self.bytes }
    }

    fn clear(&mut self) {
        self.text.clear();
        self.bytes = 0;
    }

    /// Appends an attribute, after checking what a table asks of a key.
    fn push(&mut self, field: &KeyField, value: Value<'_>) -> Scan<()> {
        let blame = |expected: &str| {
            let message = format!("expected {expected} because it is the {}, found '{}'", field.role, shorten(value.text));
            Err(Fault::item(message).in_member(field.name.as_bytes()))
        };
        if !matches!(value.text.get(..5), Some(b"{\"S\":" | b"{\"N\":" | b"{\"B\":")) {
            return blame("a string, a number or binary");
        }
        if value.bytes == 0 {
            return blame("a value that is not empty");
        }
        if value.bytes > field.max_bytes {
            return blame(&format!("at most {} bytes", field.max_bytes));
        }
        self.text.push(if self.text.is_empty() { b'{' } else { b',' });
        self.text.extend_from_slice(&field.label);
        self.text.push(b':');
        self.text.extend_from_slice(value.text);
        self.bytes += field.name.len() + value.bytes;
        Ok(())
    }

    fn finish(&mut self) {
        self.text.push(b'}');
    }

    /// The keys of an item.
    pub(crate) fn read_item(&mut self, item: &Item, fields: &[KeyField]) -> Scan<()> {
        self.clear();
        for field in fields {
            let Some(value) = item.get(&field.label) else {
                let message = format!("the item has no such attribute; expected the {} that key.fields names", field.role);
                return Err(Fault::item(message).in_member(field.name.as_bytes()));
            };
            self.push(field, value)?;
        }
        self.finish();
        Ok(())
    }
}

/// A way to read a record key.
///
/// The type of a key attribute is not declared anywhere, so the text `17` can be the number or the string: for a put the item
/// decides, for a delete the first reading that names an item of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// `{"id":17}` or, with types, `{"id":{"N":"17"}}`.
    Object,
    /// `17`.
    Number,
    /// `"seventeen"`.
    JsonString,
    /// `seventeen`.
    Text,
    /// `AQID`, binary in base64; only items with types can have it.
    Base64,
}

/// Reads record keys.
#[derive(Debug, Default)]
pub(crate) struct KeyReader {
    writer: ValueWriter,
    keys: Keys,
}

impl KeyReader {
    /// The readings to try, in this order.
    pub(crate) fn readings(fields: &[KeyField], format: ItemFormat) -> &'static [Reading] {
        use Reading::{Base64, JsonString, Number, Object, Text};
        match (fields.len(), format) {
            (1, ItemFormat::Plain) => &[Object, Number, JsonString, Text],
            (1, ItemFormat::Typed) => &[Object, Number, JsonString, Text, Base64],
            _ => &[Object],
        }
    }

    /// Whether a record key names the item that has `keys`.
    pub(crate) fn agrees(&mut self, key: &[u8], keys: &Keys, fields: &[KeyField], format: ItemFormat) -> bool {
        if let [field] = fields {
            // Nearly all keys are the very text of the attribute: `{"id":{"N":"` or `{"id":{"S":"`, the key, `"}}`.
            let value = keys.text.get(1 + field.label.len() + 1..).and_then(|text| text.strip_suffix(b"\"}}"));
            let text = value.and_then(|v| v.strip_prefix(b"{\"N\":\"").or_else(|| v.strip_prefix(b"{\"S\":\"")));
            if text == Some(key) && !key.contains(&b'\\') {
                return true;
            }
        }
        Self::readings(fields, format).iter().any(|reading| self.read(*reading, key, fields).is_ok_and(|read| read.text == keys.text))
    }

    /// Reads a record key in one way.
    pub(crate) fn read(&mut self, reading: Reading, key: &[u8], fields: &[KeyField]) -> Scan<&Keys> {
        self.keys.clear();
        self.writer.clear();
        let read = match (reading, fields) {
            (Reading::Object, _) => self.read_object(key, fields),
            (_, [field]) => self.read_scalar(reading, key, field),
            _ => Err(Fault::unexpected("a JSON object of the key fields", key)),
        };
        read.map_err(|fault| fault.in_stage(Stage::KeyConverter).because("record key: "))?;
        self.keys.finish();
        Ok(&self.keys)
    }

    fn read_object(&mut self, key: &[u8], fields: &[KeyField]) -> Scan<()> {
        let mut scanner = Scanner::new(key)?;
        let wrong = || {
            let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
            Fault::unexpected(&format!("a JSON object of exactly the key fields ({})", names.join(", ")), key)
        };
        if !scanner.take(b'{') {
            return Err(wrong());
        }
        // Where the value of each field is in the output, and its size.
        let mut found = [None; 2];
        loop {
            let start = self.writer.out.len();
            self.writer.name(&mut scanner)?;
            let (value_start, before) = (self.writer.out.len(), self.writer.bytes);
            let label = &self.writer.out[start..value_start - 1];
            let slot = fields.iter().position(|field| field.label == label).and_then(|index| found.get_mut(index));
            let Some(slot @ None) = slot else {
                return Err(wrong());
            };
            let format = if scanner.peek() == Some(b'{') { ItemFormat::Typed } else { ItemFormat::Plain };
            self.writer.value(&mut scanner, format, 0)?;
            *slot = Some((value_start, self.writer.out.len(), self.writer.bytes - before));
            if !scanner.take(b',') {
                break;
            }
        }
        scanner.require(b'}', "',' or '}' after a field")?;
        scanner.finish()?;
        for (field, slot) in fields.iter().zip(found) {
            let (start, end, bytes) = slot.ok_or_else(wrong)?;
            self.keys.push(field, Value { text: &self.writer.out[start..end], bytes })?;
        }
        Ok(())
    }

    fn read_scalar(&mut self, reading: Reading, key: &[u8], field: &KeyField) -> Scan<()> {
        let out = &mut self.writer.out;
        let bytes = match reading {
            Reading::Number => {
                let number = Decimal::read(key, Grammar::Attribute).filter(|number| number.end == key.len());
                out.extend_from_slice(b"{\"N\":\"");
                let bytes = number.and_then(|number| number.write(out).ok()).ok_or_else(|| Fault::unexpected("a number", key))?;
                out.push(b'"');
                bytes
            }
            Reading::JsonString => {
                let mut scanner = Scanner::new(key)?;
                out.extend_from_slice(b"{\"S\":");
                let bytes = scanner.string(out)?;
                scanner.finish()?;
                bytes
            }
            Reading::Base64 => {
                let decoded = STANDARD.decode(key).map_err(|_| Fault::unexpected("standard base64 with padding", key))?;
                out.extend_from_slice(b"{\"B\":\"");
                out.extend_from_slice(key);
                out.push(b'"');
                decoded.len()
            }
            Reading::Text | Reading::Object => {
                let text = std::str::from_utf8(key).map_err(|_| Fault::unexpected("UTF-8 text", key))?;
                out.extend_from_slice(b"{\"S\":");
                push_string(text, out);
                text.len()
            }
        };
        out.push(b'}');
        self.keys.push(field, Value { text: &self.writer.out, bytes })
    }
}
