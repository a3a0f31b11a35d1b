//! DynamoDB stream records: the new image as a row, its typed attribute values as plain ones.
//!
//! The record may be that of DynamoDB Streams or that of Kinesis Data Streams for DynamoDB: the members used here are the same.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lakefeed_core::shorten;

use crate::column::Column;
use crate::fault::{Fault, Result};
use crate::fields::{Fields, Growth};
use crate::json::Scanner;
use crate::number::{self, Number};
use crate::object::{Syntax, items, members, push_bool, push_number, push_string, push_text};

/// How deep the members around the image may be nested.
const ENVELOPE_DEPTH: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// INSERT or MODIFY: there is a new image.
    Put,
    /// REMOVE: there is none.
    Remove,
}

/// What was met of a record so far.
#[derive(Debug, Default)]
struct Met {
    event: Option<Event>,
    dynamodb: bool,
    /// Where an image lies that came before the event's name.
    image_at: Option<usize>,
    /// Whether the image has been appended.
    done: bool,
}

/// Steps over a stream record, whose brace comes next, and appends its new image as row number `row`; false if it has none because
/// it says that an item was removed.
pub(crate) fn stream_record(scanner: &mut Scanner<'_>, fields: &mut Fields, row: usize, growth: &mut Growth, depth: usize) -> Result<bool> {
    let mut met = Met::default();
    each_member(scanner, |scanner, name| match name {
        b"eventName" => {
            let first = met.event.replace(event(scanner)?).is_none();
            once(first, "eventName")
        }
        b"dynamodb" if scanner.token() == b'{' => {
            once(!std::mem::replace(&mut met.dynamodb, true), "dynamodb")?;
            each_member(scanner, |scanner, name| match name {
                b"NewImage" => new_image(scanner, &mut met, fields, row, growth, depth),
                _ => scanner.skip_value(ENVELOPE_DEPTH),
            })
        }
        _ => scanner.skip_value(ENVELOPE_DEPTH),
    })?;
    let missing = |name: &str| {
        Fault::record(format!(
            "no member '{name}': expected a DynamoDB stream record; without the transform ExtractNewImage any JSON object is a row"
        ))
    };
    let event = met.event.ok_or_else(|| missing("eventName"))?;
    if !met.dynamodb {
        return Err(missing("dynamodb"));
    }
    if event == Event::Remove {
        return Ok(false);
    }
    if let Some(at) = met.image_at {
        let end = scanner.at();
        scanner.go_to(at);
        members::<Typed>(scanner, fields, row, growth, depth)?;
        scanner.go_to(end);
    } else if !met.done {
        return Err(Fault::record(
            "no member 'dynamodb.NewImage': the stream does not carry new images; set stream.view.type to NEW_IMAGE or NEW_AND_OLD_IMAGES",
        ));
    }
    Ok(true)
}

/// Steps over the image: appended if it is known that it is wanted, kept for later if the event's name is yet to come.
fn new_image(scanner: &mut Scanner<'_>, met: &mut Met, fields: &mut Fields, row: usize, growth: &mut Growth, depth: usize) -> Result<()> {
    once(!met.done && met.image_at.is_none(), "dynamodb.NewImage")?;
    if scanner.token() != b'{' {
        return Err(scanner.fault("the item of dynamodb.NewImage: an object"));
    }
    if met.event == Some(Event::Put) {
        met.done = true;
        return members::<Typed>(scanner, fields, row, growth, depth);
    }
    met.image_at = Some(scanner.at());
    scanner.skip_value(ENVELOPE_DEPTH.max(2 * depth + 2))
}

/// Steps over an object and lets `with` step over each value.
fn each_member(scanner: &mut Scanner<'_>, mut with: impl FnMut(&mut Scanner<'_>, &[u8]) -> Result<()>) -> Result<()> {
    scanner.expect(b'{', "an object")?;
    if scanner.token() == b'}' {
        scanner.step();
        return Ok(());
    }
    let mut buffer = Vec::new();
    loop {
        let name = scanner.name(&mut buffer)?;
        scanner.expect(b':', "':'")?;
        with(scanner, name)?;
        if scanner.closes(b'}', "',' or '}'")? {
            return Ok(());
        }
    }
}

fn once(first: bool, name: &str) -> Result<()> {
    if first { Ok(()) } else { Err(Fault::record(format!("the member '{name}' is there twice: have the producer write each member once"))) }
}

fn event(scanner: &mut Scanner<'_>) -> Result<Event> {
    let mut buffer = Vec::new();
    match scanner.name(&mut buffer)? {
        b"INSERT" | b"MODIFY" => Ok(Event::Put),
        b"REMOVE" => Ok(Event::Remove),
        other => Err(Fault::record(format!("eventName is '{}': expected INSERT, MODIFY or REMOVE", shorten(other)))),
    }
}

/// An attribute value: an object of one member, which is named after the type.
struct Typed;

impl Syntax for Typed {
    #[inline]
    fn value(scanner: &mut Scanner<'_>, column: &mut Column, growth: &mut Growth, depth: usize) -> Result<()> {
        scanner.token();
        let start = scanner.at();
        // Nearly every value of measurements is written so.
        if scanner.eat(b"{\"N\":\"") {
            if let Some(number) = scanner.try_number()
                && scanner.eat(b"\"}")
            {
                return push_number(&number, column, growth);
            }
            scanner.go_to(start);
        }
        any_value(scanner, column, growth, depth)
    }
}

fn any_value(scanner: &mut Scanner<'_>, column: &mut Column, growth: &mut Growth, depth: usize) -> Result<()> {
    let kind = open(scanner)?;
    match kind {
        Kind::S => Texts::value(scanner, column, growth, depth)?,
        Kind::N => Numbers::value(scanner, column, growth, depth)?,
        Kind::B => Binaries::value(scanner, column, growth, depth)?,
        Kind::Bool => bool_value(scanner, column, growth)?,
        Kind::Null => {
            scanner.token();
            scanner.literal("true")?;
            column.push_null();
        }
        Kind::M | Kind::L | Kind::Ss | Kind::Ns | Kind::Bs => nested(kind, scanner, column, growth, depth)?,
    }
    close(scanner)
}

fn nested(kind: Kind, scanner: &mut Scanner<'_>, column: &mut Column, growth: &mut Growth, depth: usize) -> Result<()> {
    let opening = if kind == Kind::M { b'{' } else { b'[' };
    if scanner.token() != opening {
        return Err(scanner.fault(if kind == Kind::M { "an object" } else { "an array" }));
    }
    let row = column.len();
    let fits = match kind {
        Kind::M => column.as_struct(growth)?.map(|fields| members::<Typed>(scanner, fields, row, growth, depth)),
        _ => column.as_list(growth)?.map(|list| match kind {
            Kind::Ss => items::<Texts>(scanner, list, growth, depth),
            Kind::Ns => items::<Numbers>(scanner, list, growth, depth),
            Kind::Bs => items::<Binaries>(scanner, list, growth, depth),
            _ => items::<Typed>(scanner, list, growth, depth),
        }),
    };
    if let Some(result) = fits {
        result?;
        column.end_value();
        return Ok(());
    }
    let mut text = Vec::new();
    write_plain(kind, scanner, &mut text, depth)?;
    push_text(&text, column, growth)
}

/// Members of SS, and the text of S.
struct Texts;

impl Syntax for Texts {
    #[inline]
    fn value(scanner: &mut Scanner<'_>, column: &mut Column, growth: &mut Growth, _depth: usize) -> Result<()> {
        if scanner.token() != b'"' {
            return Err(scanner.fault("a string in double quotes"));
        }
        push_string(scanner, column, growth)
    }
}

/// Members of NS, and the text of N.
struct Numbers;

impl Syntax for Numbers {
    fn value(scanner: &mut Scanner<'_>, column: &mut Column, growth: &mut Growth, _depth: usize) -> Result<()> {
        let mut buffer = Vec::new();
        push_number(&number_text(scanner.name(&mut buffer)?)?, column, growth)
    }
}

/// Members of BS, and the text of B.
struct Binaries;

impl Syntax for Binaries {
    fn value(scanner: &mut Scanner<'_>, column: &mut Column, growth: &mut Growth, _depth: usize) -> Result<()> {
        scanner.token();
        let from = scanner.at();
        let mut buffer = Vec::new();
        let text = scanner.name(&mut buffer)?;
        let Some(bytes) = column.as_binary(growth)? else { return push_text(scanner.since(from), column, growth) };
        if STANDARD.decode_vec(text, &mut bytes.data).is_err() {
            return Err(Fault::field(format!("found '{}', expected base64 with padding: it is of type B", shorten(text))));
        }
        column.end_value();
        Ok(())
    }
}

fn bool_value(scanner: &mut Scanner<'_>, column: &mut Column, growth: &mut Growth) -> Result<()> {
    match scanner.token() {
        b't' | b'f' => push_bool(scanner, column, growth),
        _ => Err(scanner.fault("true or false")),
    }
}

/// Reads a number that is the text of a string. DynamoDB itself writes it as JSON does; the leading zeros and signs that it accepts
/// are accepted too.
#[inline]
fn number_text(text: &[u8]) -> Result<Number<'_>> {
    match number::scan(text, 0) {
        Ok(number) if number.text().len() == text.len() => Ok(number),
        _ => other_number_text(text),
    }
}

#[cold]
fn other_number_text(text: &[u8]) -> Result<Number<'_>> {
    let mut rest = text.strip_prefix(b"+").unwrap_or(text);
    while let [b'0', b'0'..=b'9', ..] = rest {
        rest = &rest[1..];
    }
    match number::scan(rest, 0) {
        Ok(number) if number.text().len() == rest.len() && !rest.is_empty() => Ok(number),
        _ => Err(Fault::field(format!("found '{}', expected the text of a number: it is of type N", shorten(text)))),
    }
}

/// The types of attribute values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    S,
    N,
    B,
    Bool,
    Null,
    M,
    L,
    Ss,
    Ns,
    Bs,
}

/// Steps over the brace, the type and the colon of an attribute value.
fn open(scanner: &mut Scanner<'_>) -> Result<Kind> {
    scanner.expect(b'{', "a typed attribute value such as {\"S\":\"text\"}")?;
    if scanner.token() == b'}' {
        return Err(Fault::field("the attribute value has no type: expected exactly one of S, N, B, BOOL, NULL, M, L, SS, NS and BS"));
    }
    let mut buffer = Vec::new();
    let kind = match scanner.name(&mut buffer)? {
        b"S" => Kind::S,
        b"N" => Kind::N,
        b"B" => Kind::B,
        b"BOOL" => Kind::Bool,
        b"NULL" => Kind::Null,
        b"M" => Kind::M,
        b"L" => Kind::L,
        b"SS" => Kind::Ss,
        b"NS" => Kind::Ns,
        b"BS" => Kind::Bs,
        other => {
            let message =
                format!("the attribute value has the type '{}': expected S, N, B, BOOL, NULL, M, L, SS, NS or BS", shorten(other));
            return Err(Fault::field(message));
        }
    };
    scanner.expect(b':', "':'")?;
    Ok(kind)
}

/// Steps over the closing brace of an attribute value.
fn close(scanner: &mut Scanner<'_>) -> Result<()> {
    if scanner.token() == b',' {
        return Err(Fault::field("the attribute value has more than one type: expected exactly one"));
    }
    scanner.expect(b'}', "'}'")
}

/// Steps over what follows the type, and writes it as plain JSON.
fn write_plain(kind: Kind, scanner: &mut Scanner<'_>, out: &mut Vec<u8>, depth: usize) -> Result<()> {
    let token = scanner.token();
    let from = scanner.at();
    match kind {
        Kind::S | Kind::B | Kind::N if token != b'"' => return Err(scanner.fault("a string in double quotes")),
        Kind::S | Kind::B => {
            scanner.skip_string()?;
            out.extend_from_slice(scanner.since(from));
        }
        Kind::N => {
            let mut buffer = Vec::new();
            out.extend_from_slice(number_text(scanner.name(&mut buffer)?)?.text());
        }
        Kind::Bool => {
            let text = if token == b't' { "true" } else { "false" };
            scanner.literal(text)?;
            out.extend_from_slice(text.as_bytes());
        }
        Kind::Null => {
            scanner.literal("true")?;
            out.extend_from_slice(b"null");
        }
        Kind::M => {
            let depth = scanner.deeper(depth)?;
            out.push(b'{');
            each_member(scanner, |scanner, name| {
                separate(out, b'{');
                write_name(name, out);
                write_value(scanner, out, depth)
            })?;
            out.push(b'}');
        }
        Kind::L | Kind::Ss | Kind::Ns | Kind::Bs => write_items(kind, scanner, out, depth)?,
    }
    Ok(())
}

fn write_value(scanner: &mut Scanner<'_>, out: &mut Vec<u8>, depth: usize) -> Result<()> {
    let kind = open(scanner)?;
    write_plain(kind, scanner, out, depth)?;
    close(scanner)
}

fn write_items(kind: Kind, scanner: &mut Scanner<'_>, out: &mut Vec<u8>, depth: usize) -> Result<()> {
    let depth = scanner.deeper(depth)?;
    scanner.expect(b'[', "an array")?;
    out.push(b'[');
    if scanner.token() == b']' {
        scanner.step();
        out.push(b']');
        return Ok(());
    }
    loop {
        match kind {
            Kind::Ss => write_plain(Kind::S, scanner, out, depth)?,
            Kind::Ns => write_plain(Kind::N, scanner, out, depth)?,
            Kind::Bs => write_plain(Kind::B, scanner, out, depth)?,
            _ => write_value(scanner, out, depth)?,
        }
        if scanner.closes(b']', "',' or ']'")? {
            out.push(b']');
            return Ok(());
        }
        out.push(b',');
    }
}

/// A comma, unless the object was only just opened.
fn separate(out: &mut Vec<u8>, opening: u8) {
    if out.last() != Some(&opening) {
        out.push(b',');
    }
}

fn write_name(name: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in name {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    out.extend_from_slice(b"\":");
}
