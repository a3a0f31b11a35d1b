//! Walks through objects and arrays and hands each value to its column.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::column::Column;
use crate::data::{List, Map};
use crate::fault::{Fault, Result};
use crate::fields::{Fields, Growth};
use crate::json::Scanner;
use crate::number::Number;

/// How a value is written: plainly, or with its DynamoDB type around it.
pub(crate) trait Syntax {
    /// Steps over the next value and appends it to `column`, which is ready for it. `depth` more levels are allowed.
    fn value(scanner: &mut Scanner<'_>, column: &mut Column, growth: &mut Growth, depth: usize) -> Result<()>;
}

/// Plain JSON.
pub(crate) struct Plain;

impl Syntax for Plain {
    #[inline]
    fn value(scanner: &mut Scanner<'_>, column: &mut Column, growth: &mut Growth, depth: usize) -> Result<()> {
        scanner.token();
        if column.push_short_number(scanner) {
            return Ok(());
        }
        any_value(scanner, column, growth, depth)
    }
}

/// The value of any kind that begins here. Not inlined, so that [`Plain::value`] is.
#[inline(never)]
fn any_value(scanner: &mut Scanner<'_>, column: &mut Column, growth: &mut Growth, depth: usize) -> Result<()> {
    match scanner.peek() {
        b'-' | b'0'..=b'9' => {
            let number = scanner.number()?;
            push_number(&number, column, growth)
        }
        b'"' => push_string(scanner, column, growth),
        b't' | b'f' => push_bool(scanner, column, growth),
        b'n' => {
            scanner.literal("null")?;
            column.push_null();
            Ok(())
        }
        b'{' => plain_object(scanner, column, growth, depth),
        b'[' => plain_array(scanner, column, growth, depth),
        _ => Err(scanner.fault("a value")),
    }
}

fn plain_object(scanner: &mut Scanner<'_>, column: &mut Column, growth: &mut Growth, depth: usize) -> Result<()> {
    let row = column.len();
    match column.as_struct(growth)? {
        Some(fields) => members::<Plain>(scanner, fields, row, growth, depth)?,
        None => match column.map() {
            Some(map) => entries(scanner, map, growth, depth)?,
            None => return skip_to_text(scanner, column, growth, depth),
        },
    }
    column.end_value();
    Ok(())
}

fn plain_array(scanner: &mut Scanner<'_>, column: &mut Column, growth: &mut Growth, depth: usize) -> Result<()> {
    match column.as_list(growth)? {
        Some(list) => items::<Plain>(scanner, list, growth, depth)?,
        None => return skip_to_text(scanner, column, growth, depth),
    }
    column.end_value();
    Ok(())
}

fn skip_to_text(scanner: &mut Scanner<'_>, column: &mut Column, growth: &mut Growth, depth: usize) -> Result<()> {
    let from = scanner.at();
    scanner.skip_value(depth)?;
    push_text(scanner.since(from), column, growth)
}

/// Steps over an object, whose brace comes next, and appends its members to `fields` as row number `row`.
#[inline]
pub(crate) fn members<S: Syntax>(
    scanner: &mut Scanner<'_>, fields: &mut Fields, row: usize, growth: &mut Growth, depth: usize,
) -> Result<()> {
    let depth = scanner.deeper(depth)?;
    scanner.step();
    if scanner.token() == b'}' {
        scanner.step();
        return Ok(());
    }
    let mut guess = 0;
    loop {
        scanner.token();
        let index = fields.find(scanner, guess, growth)?;
        guess = index + 1;
        let member = fields.member(index);
        if !member.column.begin(row) {
            let message = "is there twice in one object: have the producer write each member once";
            return Err(Fault::field(message).in_member(&member.name));
        }
        S::value(scanner, &mut member.column, growth, depth).map_err(|fault| fault.in_member(&member.name))?;
        if scanner.closes(b'}', "',' or '}'")? {
            return Ok(());
        }
    }
}

/// Steps over an object, whose brace comes next, and appends its members to the entries of `map`.
fn entries(scanner: &mut Scanner<'_>, map: &mut Map, growth: &mut Growth, depth: usize) -> Result<()> {
    let depth = scanner.deeper(depth)?;
    scanner.step();
    if scanner.token() == b'}' {
        scanner.step();
        return Ok(());
    }
    let mut buffer = Vec::new();
    loop {
        let key = scanner.name(&mut buffer)?;
        map.keys.data.extend_from_slice(key);
        map.keys.end();
        scanner.expect(b':', "':'")?;
        Plain::value(scanner, &mut map.value, growth, depth)?;
        if scanner.closes(b'}', "',' or '}'")? {
            return Ok(());
        }
    }
}

/// Steps over an array, whose bracket comes next, and appends its items to those of `list`.
pub(crate) fn items<S: Syntax>(scanner: &mut Scanner<'_>, list: &mut List, growth: &mut Growth, depth: usize) -> Result<()> {
    let depth = scanner.deeper(depth)?;
    scanner.step();
    if scanner.token() == b']' {
        scanner.step();
        return Ok(());
    }
    let first = list.item.len();
    loop {
        let index = list.item.len() - first;
        S::value(scanner, &mut list.item, growth, depth).map_err(|fault| fault.in_item(index))?;
        if scanner.closes(b']', "',' or ']'")? {
            return Ok(());
        }
    }
}

#[inline]
pub(crate) fn push_number(number: &Number<'_>, column: &mut Column, growth: &mut Growth) -> Result<()> {
    if column.push_number(number, growth)? { Ok(()) } else { push_text(number.text(), column, growth) }
}

/// Steps over a string and appends it.
#[inline]
pub(crate) fn push_string(scanner: &mut Scanner<'_>, column: &mut Column, growth: &mut Growth) -> Result<()> {
    if let Some(bytes) = column.as_string(growth)? {
        scanner.string(&mut bytes.data)?;
        column.end_value();
        return Ok(());
    }
    let from = scanner.at();
    let mut buffer = Vec::new();
    let text = scanner.name(&mut buffer)?;
    if column.is_given_bytes() {
        let bytes = STANDARD.decode(text).map_err(|_| Fault::field("found text that is no base64, expected bytes"))?;
        return column.push_encoded(&bytes);
    }
    if column.is_time() && str::from_utf8(text).is_ok_and(|text| column.push_time(text)) {
        return Ok(());
    }
    push_text(scanner.since(from), column, growth)
}

/// Steps over `true` or `false` and appends it.
pub(crate) fn push_bool(scanner: &mut Scanner<'_>, column: &mut Column, growth: &mut Growth) -> Result<()> {
    let value = scanner.peek() == b't';
    let text = if value { "true" } else { "false" };
    scanner.literal(text)?;
    if column.push_bool(value, growth)? { Ok(()) } else { push_text(text.as_bytes(), column, growth) }
}

/// Appends a value that is not of the column's type as text, if the column takes it: a string without its quotes, anything else as
/// it is written.
#[cold]
pub(crate) fn push_text(value: &[u8], column: &mut Column, growth: &mut Growth) -> Result<()> {
    let bytes = column.as_text(value, growth)?;
    if value.starts_with(b"\"") {
        Scanner::new(value).string(&mut bytes.data)?;
    } else {
        bytes.data.extend_from_slice(value);
    }
    column.end_value();
    Ok(())
}
