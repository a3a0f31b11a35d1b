//! Columns whose type a schema gives: what they take, and how another schema may widen them.

use arrow_schema::{DataType, TimeUnit};
use lakefeed_core::shorten;

use crate::column::{Column, Origin};
use crate::data::{Data, List, Map};
use crate::fault::{Fault, Result};
use crate::fields::{Fields, Growth};
use crate::number::{self, Number};
use crate::schema::sql_name;

/// The most digits of a decimal column.
pub(crate) const MAX_PRECISION: u8 = 38;

/// What a schema says of a record or of a part of it.
#[derive(Debug, Clone)]
pub(crate) enum Type {
    /// Nothing but nulls: no column.
    Null,
    /// One value.
    Leaf {
        wire: Wire,
        kind: DataType,
    },
    Record(Vec<Field>),
    List(Box<Self>),
    /// With texts as keys.
    Map(Box<Self>),
    /// A union of null, which is branch number `null`, and one other type.
    Optional {
        null: u8,
        of: Box<Self>,
    },
    /// Any other union: a struct of which one field is set, as Kafka Connect has it. `None` stands for null.
    Union(Vec<Option<Field>>),
}

/// A field of a record, and the number of its column once it is bound.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: Box<str>,
    pub(crate) column: usize,
    pub(crate) kind: Type,
}

/// How Avro writes the value of a leaf.
#[derive(Debug, Clone)]
pub(crate) enum Wire {
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(Vec<Box<str>>),
    /// The big-endian two's complement of the unscaled value: in so many bytes, or in bytes with their length before them.
    Decimal(Option<usize>),
    /// 16 bytes that are shown as text.
    Uuid,
}

impl Type {
    pub(crate) fn leaf(wire: Wire, kind: DataType) -> Self {
        Self::Leaf { wire, kind }
    }

    /// What a column holds; `None` for a type that no column has. How Avro writes it is not known then.
    pub(crate) fn of(kind: &DataType) -> Option<Self> {
        Some(match kind {
            DataType::Struct(fields) => {
                let fields = fields.iter().map(|field| Some(Field::new(field.name(), Self::of(field.data_type())?)));
                Self::Record(fields.collect::<Option<_>>()?)
            }
            DataType::List(item) => Self::List(Box::new(Self::of(item.data_type())?)),
            leaf => Data::of(leaf).map(|_| Self::leaf(Wire::String, leaf.clone()))?,
        })
    }

    /// How many types it is made of.
    pub(crate) fn parts(&self) -> usize {
        match self {
            Self::Null | Self::Leaf { .. } => 1,
            Self::Optional { of, .. } | Self::List(of) | Self::Map(of) => 1 + of.parts(),
            Self::Record(fields) => 1 + fields.iter().map(|field| field.kind.parts()).sum::<usize>(),
            Self::Union(branches) => 1 + branches.iter().flatten().map(|field| field.kind.parts()).sum::<usize>(),
        }
    }

    /// The rows of this schema: a record is a row, anything else the one column `value`.
    pub(crate) fn into_row(self) -> Vec<Field> {
        match self {
            Self::Record(fields) => fields,
            other => vec![Field::new("value", other)],
        }
    }
}

impl Field {
    pub(crate) fn new(name: &str, kind: Type) -> Self {
        Self { name: name.into(), column: 0, kind }
    }
}

/// Finds or makes the columns of these fields.
///
/// # Errors
/// The columns that are there are of other types. Some may have been added or widened then.
pub(crate) fn bind(fields: &mut [Field], columns: &mut Fields, growth: &mut Growth) -> Result<()> {
    fields.iter_mut().try_for_each(|field| bind_field(field, columns, growth))
}

fn bind_field(field: &mut Field, columns: &mut Fields, growth: &mut Growth) -> Result<()> {
    field.column = columns.ensure(&field.name, growth)?;
    bind_type(&mut field.kind, &mut columns.member(field.column).column, growth).map_err(|fault| fault.in_member(&field.name))
}

fn bind_type(kind: &mut Type, column: &mut Column, growth: &mut Growth) -> Result<()> {
    let other = |column: &Column, found: &str| Err(unlike(column, found));
    match kind {
        Type::Null => Ok(()),
        Type::Leaf { kind, .. } => column.require(kind, growth),
        Type::Optional { of, .. } => bind_type(of, column, growth),
        Type::Record(fields) => match column.as_struct(growth)? {
            Some(columns) => bind(fields, columns, growth),
            None => other(column, "a record"),
        },
        Type::Union(branches) => match column.as_struct(growth)? {
            Some(columns) => branches.iter_mut().flatten().try_for_each(|field| bind_field(field, columns, growth)),
            None => other(column, "a union"),
        },
        Type::List(item) => match column.as_list(growth)? {
            Some(list) => bind_type(item, &mut list.item, growth),
            None => other(column, "an array"),
        },
        Type::Map(value) => match column.as_map(growth)? {
            Some(map) => bind_type(value, &mut map.value, growth),
            None => other(column, "a map"),
        },
    }
}

#[cold]
fn unlike(column: &Column, found: &str) -> Fault {
    let advice = if column.origin == Origin::Declared { "correct schema.columns" } else { "write it to another topic" };
    Fault::field(format!("the schema has {found} where the column is {}: give the field another name, or {advice}", column.data.name()))
}

impl Column {
    /// Makes a leaf that can take every value of `kind`.
    fn require(&mut self, kind: &DataType, growth: &mut Growth) -> Result<()> {
        if let Data::Unknown = self.data {
            let Some(data) = Data::of(kind) else { return Err(unlike(self, &kind.to_string())) };
            self.settle(data, growth)?;
        } else if !self.data.holds(kind) {
            let widened = if self.origin == Origin::Declared { None } else { self.data.widened(kind) };
            let Some(data) = widened else { return Err(unlike(self, name_of(kind))) };
            growth.claim()?;
            self.data = data;
        }
        if self.origin == Origin::Values {
            self.origin = Origin::Schema;
        }
        Ok(())
    }

    #[inline]
    fn done(&mut self, fits: bool, value: impl FnOnce() -> String) -> Result<()> {
        if fits {
            self.nulls.append_non_null();
            return Ok(());
        }
        Err(self.misfit(&value()))
    }

    #[cold]
    fn misfit(&self, value: &str) -> Fault {
        Fault::field(format!(
            "found {}, and the column is {}: a value that it can't hold exactly",
            shorten(value.as_bytes()),
            self.data.name()
        ))
    }

    /// Appends an integer; its column was bound to a type that is written as one.
    #[inline]
    pub(crate) fn push_int(&mut self, value: i64) -> Result<()> {
        let fits = match &mut self.data {
            Data::Int64 { values, wide } => {
                *wide |= !number::is_exact_in_f64(value);
                values.push(value);
                true
            }
            Data::Timestamp { values, .. } | Data::TimeUs(values) => {
                values.push(value);
                true
            }
            Data::Int32(values) | Data::Date(values) | Data::TimeMs(values) => i32::try_from(value).map(|value| values.push(value)).is_ok(),
            Data::Float64(values) => {
                let exact = number::is_exact_in_f64(value);
                if exact {
                    values.push(value as f64);
                }
                exact
            }
            _ => false,
        };
        self.done(fits, || value.to_string())
    }

    /// Appends a number with a fraction.
    #[inline]
    pub(crate) fn push_double(&mut self, value: f64) -> Result<()> {
        let fits = match &mut self.data {
            Data::Float64(values) => {
                values.push(value);
                true
            }
            // Bound to float: the value is one.
            Data::Float32(values) => {
                values.push(value as f32);
                true
            }
            _ => false,
        };
        self.done(fits, || value.to_string())
    }

    /// Appends a boolean.
    pub(crate) fn push_given_bool(&mut self, value: bool) -> Result<()> {
        let fits = match &mut self.data {
            Data::Boolean(values) => {
                values.append(value);
                true
            }
            _ => false,
        };
        self.done(fits, || value.to_string())
    }

    /// Appends a text (which is UTF-8) or a byte string.
    #[inline]
    pub(crate) fn push_given_bytes(&mut self, value: &[u8]) -> Result<()> {
        let (Data::Utf8(bytes) | Data::Binary(bytes)) = &mut self.data else { return Err(self.misfit("text or bytes")) };
        if bytes.data.len() + value.len() > i32::MAX as usize {
            return Err(Fault::field("the texts of one batch would take more than 2 GiB: have the producer write smaller records"));
        }
        bytes.data.extend_from_slice(value);
        bytes.end();
        self.nulls.append_non_null();
        Ok(())
    }

    /// Appends the decimal with this unscaled value, in big-endian two's complement.
    pub(crate) fn push_unscaled(&mut self, bytes: &[u8]) -> Result<()> {
        let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
        let (high, low) = bytes.split_at(bytes.len().saturating_sub(16));
        let mut all = [sign; 16];
        all[16 - low.len()..].copy_from_slice(low);
        let value = i128::from_be_bytes(all);
        let whole = high.iter().all(|byte| *byte == sign) && (value < 0) == (sign == 0xff);
        let fits = match &mut self.data {
            Data::Decimal { values, precision, .. } if whole && value.unsigned_abs() < 10_u128.pow(u32::from(*precision)) => {
                values.push(value);
                true
            }
            _ => false,
        };
        self.done(fits, || format!("a decimal of {} bytes", bytes.len()))
    }

    /// Whether JSON has bytes for it, as base64.
    #[inline]
    pub(crate) fn is_given_bytes(&self) -> bool {
        self.origin == Origin::Schema && matches!(self.data, Data::Binary(_) | Data::Decimal { .. })
    }

    /// Appends what the base64 of a value stood for.
    pub(crate) fn push_encoded(&mut self, bytes: &[u8]) -> Result<()> {
        if matches!(self.data, Data::Decimal { .. }) { self.push_unscaled(bytes) } else { self.push_given_bytes(bytes) }
    }

    /// The fields, if it is a column of structs.
    #[inline]
    pub(crate) fn fields(&mut self) -> Option<&mut Fields> {
        if let Data::Struct(fields) = &mut self.data { Some(fields) } else { None }
    }

    /// The items, if it is a column of lists.
    #[inline]
    pub(crate) fn list(&mut self) -> Option<&mut List> {
        if let Data::List(list) = &mut self.data { Some(list) } else { None }
    }

    /// The entries, if it is a column of maps.
    #[inline]
    pub(crate) fn map(&mut self) -> Option<&mut Map> {
        if let Data::Map(map) = &mut self.data { Some(map) } else { None }
    }
}

impl Data {
    /// Whether every value of `kind` has a place here (integers in doubles are looked at one by one).
    fn holds(&self, kind: &DataType) -> bool {
        use DataType::{Decimal128, Float32, Float64, Int32, Int64};
        match (self.kind(), kind) {
            (Some(own), kind) if own == *kind => true,
            (Some(Int64), Int32) | (Some(Float64), Int32 | Int64 | Float32) => true,
            // A user declares times, and a schema without logical types calls them longs.
            (Some(DataType::Timestamp(TimeUnit::Millisecond, Some(_))), Int64) => true,
            (Some(Decimal128(own, scale)), Decimal128(precision, other)) => scale == *other && own >= *precision,
            _ => false,
        }
    }

    /// The same values in a type that also has place for `kind`.
    fn widened(&self, kind: &DataType) -> Option<Self> {
        use DataType::{Float32, Float64, Int32, Int64};
        Some(match (self, kind) {
            (Self::Int32(values), Int64) => Self::Int64 { values: values.iter().map(|v| i64::from(*v)).collect(), wide: false },
            (Self::Int32(values), Float32 | Float64) => Self::Float64(values.iter().map(|v| f64::from(*v)).collect()),
            (Self::Int64 { values, wide: false }, Float32 | Float64) => Self::Float64(values.iter().map(|v| *v as f64).collect()),
            (Self::Float32(values), Float64 | Int32 | Int64) => Self::Float64(values.iter().map(|v| f64::from(*v)).collect()),
            (Self::Decimal { values, scale, .. }, DataType::Decimal128(precision, other)) if scale == other => {
                Self::Decimal { values: values.clone(), precision: *precision, scale: *scale }
            }
            _ => return None,
        })
    }

    /// Appends a number to a column of a given type; false if it can't hold it.
    pub(crate) fn push_given_number(&mut self, number: &Number<'_>) -> bool {
        let small = || number.as_whole().and_then(|value| i32::try_from(value).ok());
        match self {
            Self::Timestamp { values, .. } | Self::TimeUs(values) => number.as_i64().map(|value| values.push(value)).is_some(),
            Self::Int32(values) | Self::Date(values) | Self::TimeMs(values) => small().map(|value| values.push(value)).is_some(),
            Self::Float32(values) => {
                let value = str::from_utf8(number.text()).ok().and_then(|text| text.parse().ok()).filter(|value: &f32| value.is_finite());
                value.map(|value| values.push(value)).is_some()
            }
            Self::Decimal { values, precision, scale } => match number.unscaled(*scale) {
                Some(value) if value.unsigned_abs() < 10_u128.pow(u32::from(*precision)) => {
                    values.push(value);
                    true
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// What it holds, for messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Struct(_) => "an object",
            Self::List(_) => "an array",
            Self::Map(_) => "a map",
            leaf => leaf.kind().as_ref().map_or("unknown", name_of),
        }
    }
}

/// The SQL name of a type, and how JSON has to write it where that is not plain.
fn name_of(kind: &DataType) -> &'static str {
    match kind {
        DataType::Date32 => "DATE (text such as 2024-12-31)",
        DataType::Timestamp(TimeUnit::Millisecond, _) => "TIMESTAMP (ISO 8601 text, or milliseconds since 1970-01-01 UTC)",
        DataType::Decimal128(..) => "DECIMAL of its precision and scale",
        other => sql_name(other).unwrap_or("another type"),
    }
}
