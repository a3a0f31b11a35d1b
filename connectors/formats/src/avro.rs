//! Avro's binary encoding (Avro specification 1.12, "Binary encoding") straight into columns.
//!
//! The schema was bound to the columns before, so nothing is looked up by name here: a record is a walk through its fields. Records of
//! several schemas may follow each other in any order, and one that is broken is cut off again: that is why this is not arrow-avro, which
//! begins a new batch with each change of schema and can't take back half a row.

use crate::column::Column;
use crate::fault::{Fault, Result};
use crate::fields::Fields;
use crate::typed::{Field, Type, Wire};

/// The bytes before the value: a zero, and the number of the schema in big-endian order (Confluent's wire format).
pub(crate) const PREFIX: usize = 5;

/// Items of arrays that take no bytes, and there are no more of them in a record: else five bytes could claim 2^60 items.
const EMPTY_ITEMS: usize = 4096;

/// The number of the schema that a value was written with.
pub(crate) fn schema_id(value: &[u8]) -> Option<u32> {
    match value.first_chunk::<PREFIX>()? {
        [0, a, b, c, d] => Some(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

/// Why a value has no schema number.
#[cold]
pub(crate) fn no_schema_id(value: &[u8]) -> Fault {
    let shown = lakefeed_core::shorten(value);
    let expected = "expected the prefix of a Schema Registry: the byte 0 and four bytes with the schema's id";
    Fault::record(match value.first() {
        Some(0) | None => format!("the value has {} bytes, {expected}", value.len()),
        Some(first) => format!(
            "the value begins with the byte {first}, {expected}; the value is `{shown}`: if it is JSON, set value.converter to JsonConverter"
        ),
    })
}

/// Appends the record in `bytes` as row number `row`.
pub(crate) fn append(bytes: &[u8], schema: &[Field], columns: &mut Fields, row: usize) -> Result<()> {
    let mut cursor = Cursor { bytes, at: 0, empty_items: 0 };
    record(&mut cursor, schema, columns, row)?;
    match bytes.len() - cursor.at {
        0 => Ok(()),
        left => Err(Fault::record(format!("{left} bytes are left after the record: it was written with another schema"))),
    }
}

fn record(cursor: &mut Cursor<'_>, schema: &[Field], columns: &mut Fields, row: usize) -> Result<()> {
    schema.iter().try_for_each(|field| member(cursor, field, columns, row))
}

#[inline]
fn member(cursor: &mut Cursor<'_>, field: &Field, columns: &mut Fields, row: usize) -> Result<()> {
    let column = &mut columns.member(field.column).column;
    column.begin(row);
    value(cursor, &field.kind, column).map_err(|fault| fault.in_member(&field.name))
}

fn value(cursor: &mut Cursor<'_>, kind: &Type, column: &mut Column) -> Result<()> {
    match kind {
        Type::Leaf { wire, .. } => leaf(cursor, wire, column),
        Type::Optional { null, of } => match cursor.branch(2)? {
            branch if branch == usize::from(*null) => {
                column.push_null();
                Ok(())
            }
            _ => value(cursor, of, column),
        },
        Type::Null => {
            column.push_null();
            Ok(())
        }
        Type::Record(fields) => {
            let row = column.len();
            record(cursor, fields, column.fields().ok_or_else(unbound)?, row)?;
            column.end_value();
            Ok(())
        }
        Type::List(item) => list(cursor, item, column),
        Type::Map(of) => map(cursor, of, column),
        Type::Union(branches) => union(cursor, branches, column),
    }
}

fn union(cursor: &mut Cursor<'_>, branches: &[Option<Field>], column: &mut Column) -> Result<()> {
    let Some(field) = &branches[cursor.branch(branches.len())?] else {
        column.push_null();
        return Ok(());
    };
    let row = column.len();
    member(cursor, field, column.fields().ok_or_else(unbound)?, row)?;
    column.end_value();
    Ok(())
}

fn list(cursor: &mut Cursor<'_>, item: &Type, column: &mut Column) -> Result<()> {
    let column_of_lists = column;
    let list = column_of_lists.list().ok_or_else(unbound)?;
    let first = list.item.len();
    while let Some(count) = cursor.block()? {
        for _ in 0..count {
            let (index, start) = (list.item.len() - first, cursor.at);
            value(cursor, item, &mut list.item).map_err(|fault| fault.in_item(index))?;
            cursor.count_empty(start)?;
        }
    }
    column_of_lists.end_value();
    Ok(())
}

fn map(cursor: &mut Cursor<'_>, of: &Type, column: &mut Column) -> Result<()> {
    let map = column.map().ok_or_else(unbound)?;
    while let Some(count) = cursor.block()? {
        for _ in 0..count {
            let key = cursor.text()?;
            value(cursor, of, &mut map.value).map_err(|fault| fault.in_member(key))?;
            map.keys.data.extend_from_slice(key.as_bytes());
            map.keys.end();
        }
    }
    column.end_value();
    Ok(())
}

#[inline]
fn leaf(cursor: &mut Cursor<'_>, wire: &Wire, column: &mut Column) -> Result<()> {
    match wire {
        Wire::Double => column.push_double(f64::from_le_bytes(cursor.array()?)),
        Wire::Long => column.push_int(cursor.long()?),
        Wire::Int => column.push_int(i64::from(cursor.int()?)),
        Wire::String => column.push_given_bytes(cursor.text()?.as_bytes()),
        Wire::Bytes => column.push_given_bytes(cursor.bytes()?),
        Wire::Fixed(size) => column.push_given_bytes(cursor.take(*size)?),
        Wire::Float => column.push_double(f64::from(f32::from_le_bytes(cursor.array()?))),
        Wire::Boolean => match cursor.array::<1>()? {
            [byte @ (0 | 1)] => column.push_given_bool(byte == 1),
            [byte] => Err(Fault::field(format!("found the byte {byte} for a boolean, expected 0 or 1"))),
        },
        Wire::Enum(symbols) => {
            let symbol = &symbols[cursor.branch(symbols.len())?];
            column.push_given_bytes(symbol.as_bytes())
        }
        Wire::Decimal(size) => {
            let bytes = match size {
                Some(size) => cursor.take(*size)?,
                None => cursor.bytes()?,
            };
            column.push_unscaled(bytes)
        }
        Wire::Uuid => {
            let hex: String = cursor.take(16)?.iter().map(|byte| format!("{byte:02x}")).collect();
            let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
            column.push_given_bytes(parts.join("-").as_bytes())
        }
    }
}

/// The schema and its columns are bound to each other before records are decoded.
#[cold]
pub(crate) fn unbound() -> Fault {
    Fault::field("the column is not of the schema's type")
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    empty_items: usize,
}

impl<'a> Cursor<'a> {
    #[cold]
    fn short(&self, wanted: usize) -> Fault {
        let left = self.bytes.len() - self.at;
        Fault::field(format!("expected {wanted} bytes more and found {left}: the record is cut, or was written with another schema"))
    }

    #[inline]
    fn take(&mut self, size: usize) -> Result<&'a [u8]> {
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.get(..size)).ok_or_else(|| self.short(size))?;
        self.at += size;
        Ok(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>()).ok_or_else(|| self.short(N))?;
        self.at += N;
        Ok(*bytes)
    }

    /// A variable-length zig-zag integer.
    #[inline]
    fn long(&mut self) -> Result<i64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let Some(byte) = self.bytes.get(self.at) else { return Err(self.short(1)) };
            self.at += 1;
            if shift == 63 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(Fault::field("found an integer of more than 64 bits: the record was written with another schema"))
    }

    fn int(&mut self) -> Result<i32> {
        let value = self.long()?;
        i32::try_from(value).map_err(|_| Fault::field(format!("found {value}, expected an integer of 32 bits")))
    }

    /// The number of a branch or symbol, of which there are `count`.
    #[inline]
    fn branch(&mut self, count: usize) -> Result<usize> {
        let index = self.long()?;
        usize::try_from(index).ok().filter(|index| *index < count).ok_or_else(|| {
            Fault::field(format!("found number {index} of {count} branches or symbols: the record was written with another schema"))
        })
    }

    #[inline]
    fn bytes(&mut self) -> Result<&'a [u8]> {
        let size = self.long()?;
        let size = usize::try_from(size).map_err(|_| Fault::field(format!("found the length {size}, expected one of at least 0")))?;
        self.take(size)
    }

    #[inline]
    fn text(&mut self) -> Result<&'a str> {
        let bytes = self.bytes()?;
        str::from_utf8(bytes)
            .map_err(|e| Fault::field(format!("the text is not UTF-8: the byte at {} belongs to no character", e.valid_up_to())))
    }

    /// The number of items in the next block of an array or a map; `None` at its end.
    fn block(&mut self) -> Result<Option<u64>> {
        let count = self.long()?;
        if count < 0 {
            // The block's size in bytes follows, for readers that pass over it.
            self.long()?;
        }
        Ok((count != 0).then(|| count.unsigned_abs()))
    }

    /// Counts an item that began at `start`, if it took no bytes.
    #[inline]
    fn count_empty(&mut self, start: usize) -> Result<()> {
        self.empty_items += usize::from(self.at == start);
        if self.empty_items <= EMPTY_ITEMS {
            return Ok(());
        }
        Err(Fault::field(format!("the record has more than {EMPTY_ITEMS} items without bytes")))
    }
}
