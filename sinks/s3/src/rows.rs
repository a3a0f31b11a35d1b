//! Rows on their way into files: batches, parts of batches, and the columns that parts are gathered in.

use std::sync::{Arc, OnceLock};

use arrow_array::builder::{BooleanBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_buffer::{NullBufferBuilder, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use lakefeed_core::{Error, Result};

use crate::ledger::Span;
use crate::numbers::{Bits, Blocks, Number, Numbers, by_row};

/// Slices of columns without a builder that are put together before they cost more than their rows.
const SLICES_MAX: usize = 32;

/// What the allocator makes of buffers that grow: it rounds up by a quarter at most, and loses some between small pieces.
pub(crate) fn allocated(bytes: usize) -> usize {
    bytes + bytes / 4
}

/// A batch with what must be known of each row.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) rows: RecordBatch,
    pub(crate) offsets: ScalarBuffer<i64>,
    pub(crate) timestamps: ScalarBuffer<i64>,
    pub(crate) events: Vec<i64>,
    by_row: OnceLock<Vec<u64>>,
}

impl Rows {
    pub(crate) fn new(rows: RecordBatch, offsets: ScalarBuffer<i64>, timestamps: ScalarBuffer<i64>, events: Vec<i64>) -> Self {
        Self { rows, offsets, timestamps, events, by_row: OnceLock::new() }
    }

    pub(crate) fn held_bytes(&self) -> usize {
        let by_row = self.by_row.get().map_or(0, |numbers| size_of_val(&numbers[..]));
        self.rows.get_array_memory_size() + 3 * size_of_val(&self.offsets[..]) + by_row
    }

    /// See [`by_row`].
    fn numbers(&self) -> &[u64] {
        self.by_row.get_or_init(|| by_row(&self.rows))
    }
}

/// Some rows of a batch, ascending: those of one lake partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) of: &'a Rows,
    pub(crate) indices: &'a [u32],
}

impl<'a> Part<'a> {
    pub(crate) fn len(&self) -> usize {
        self.indices.len()
    }

    pub(crate) fn offset(&self, row: usize) -> i64 {
        self.of.offsets[self.indices[row] as usize]
    }

    pub(crate) fn event(&self, row: usize) -> i64 {
        self.of.events[self.indices[row] as usize]
    }

    pub(crate) fn span(&self) -> Option<Span> {
        let last = self.len().checked_sub(1)?;
        Some(Span { first: self.offset(0), last: self.offset(last), count: self.len() as u64 })
    }

    pub(crate) fn last_timestamp(&self) -> Option<i64> {
        Some(self.of.timestamps[*self.indices.last()? as usize])
    }

    /// The first `n` rows, and the others.
    pub(crate) fn split(self, n: usize) -> (Self, Self) {
        let (now, later) = self.indices.split_at(n);
        (Self { indices: now, ..self }, Self { indices: later, ..self })
    }

    /// How many rows, from the first, have offsets up to `offset`.
    pub(crate) fn through(&self, offset: i64) -> usize {
        self.indices.partition_point(|row| self.of.offsets[*row as usize] <= offset)
    }

    /// The batch, if these are all its rows.
    pub(crate) fn whole(&self) -> Option<&'a RecordBatch> {
        (self.len() == self.of.rows.num_rows()).then_some(&self.of.rows)
    }

    /// The first row, if the rows follow each other without a gap.
    fn start(&self) -> Option<usize> {
        let (first, last) = (*self.indices.first()? as usize, *self.indices.last()? as usize);
        (last - first + 1 == self.len()).then_some(first)
    }
}

/// Rows of one schema, gathered: a slice of a few rows costs its rows and nothing more.
#[derive(Debug)]
pub(crate) struct RowBuffer {
    schema: SchemaRef,
    columns: Vec<Column>,
    numbers: Numbers,
    rows: usize,
    held_bytes: usize,
}

#[derive(Debug)]
enum Column {
    /// One of the numbers of each row, of `kind`.
    Number {
        kind: Number,
        nulls: NullBufferBuilder,
    },
    Boolean(BooleanBuilder),
    Utf8(StringBuilder),
    /// Other types as slices.
    Other(Vec<ArrayRef>),
}

impl RowBuffer {
    pub(crate) fn new(schema: SchemaRef, blocks: Blocks) -> Self {
        let column = |kind: &DataType| match (Number::of(kind), kind) {
            (Some(kind), _) => Column::Number { kind, nulls: NullBufferBuilder::new(0) },
            (None, DataType::Boolean) => Column::Boolean(BooleanBuilder::with_capacity(0)),
            (None, DataType::Utf8) => Column::Utf8(StringBuilder::with_capacity(0, 0)),
            (None, _) => Column::Other(Vec::new()),
        };
        let columns: Vec<Column> = schema.fields().iter().map(|field| column(field.data_type())).collect();
        let numbers = Numbers::new(columns.iter().filter(|column| matches!(column, Column::Number { .. })).count(), blocks);
        Self { schema, columns, numbers, rows: 0, held_bytes: 0 }
    }

    /// An empty one with another schema.
    pub(crate) fn of_schema(&self, schema: SchemaRef) -> Self {
        Self::new(schema, self.numbers.spare().clone())
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds rows of its schema.
    pub(crate) fn append(&mut self, part: Part<'_>) -> Result<()> {
        self.rows += part.len();
        let arrays = part.of.rows.columns();
        self.numbers.append(part.of.numbers(), part.indices);
        self.held_bytes = self.numbers.held_bytes();
        for (column, array) in self.columns.iter_mut().zip(arrays) {
            column.append(array, part).map_err(failed)?;
            self.held_bytes += column.held_bytes();
        }
        Ok(())
    }

    /// The bytes of its columns.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Of these, those of blocks that are allocated as they are.
    pub(crate) fn block_bytes(&self) -> usize {
        self.numbers.held_bytes()
    }

    /// The rows; afterwards it is empty.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch> {
        let mut numbers = self.numbers.finish().into_iter();
        let columns = self.columns.iter_mut().map(|column| column.finish(&mut numbers));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>().map_err(failed)?;
        self.held_bytes = 0;
        let options = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(failed)
    }
}

fn failed(error: ArrowError) -> Error {
    Error::fatal("can't gather rows").with_source(error)
}

impl Column {
    fn append(&mut self, array: &ArrayRef, part: Part<'_>) -> std::result::Result<(), ArrowError> {
        if let Some(start) = part.start() {
            return self.append_whole(&array.slice(start, part.len()));
        }
        let rows = part.indices.iter().map(|row| *row as usize);
        match self {
            Self::Number { nulls, .. } => match array.nulls() {
                None => nulls.append_n_non_nulls(part.len()),
                Some(valid) => part.indices.iter().for_each(|row| nulls.append(valid.is_valid(*row as usize))),
            },
            Self::Boolean(builder) => {
                let values = array.as_boolean();
                gather(rows, values, |row| builder.append_option(row.map(|row| values.value(row))));
            }
            Self::Utf8(builder) => {
                let values = array.as_string::<i32>();
                gather(rows, values, |row| builder.append_option(row.map(|row| values.value(row))));
            }
            Self::Other(slices) => {
                slices.push(arrow_select::take::take(array, &UInt32Array::from(part.indices.to_vec()), None)?);
                if slices.len() > SLICES_MAX {
                    *slices = vec![concat(slices)?];
                }
            }
        }
        Ok(())
    }

    fn append_whole(&mut self, array: &ArrayRef) -> std::result::Result<(), ArrowError> {
        match self {
            Self::Number { nulls, .. } => match array.nulls() {
                None => nulls.append_n_non_nulls(array.len()),
                Some(valid) => nulls.append_buffer(valid),
            },
            Self::Boolean(builder) => builder.append_array(array.as_boolean()),
            Self::Utf8(builder) => builder.append_array(array.as_string::<i32>())?,
            Self::Other(slices) => slices.push(Arc::clone(array)),
        }
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        let validity = |bits: Option<&[u8]>| bits.map_or(0, <[u8]>::len);
        match self {
            Self::Number { nulls, .. } => validity(nulls.as_slice()),
            Self::Boolean(builder) => builder.capacity() / 8 + validity(builder.validity_slice()),
            Self::Utf8(builder) => builder.values_slice().len() + size_of_val(builder.offsets_slice()) + validity(builder.validity_slice()),
            Self::Other(slices) => slices.iter().map(|array| array.get_array_memory_size()).sum(),
        }
    }

    /// `numbers` has the values of the columns of numbers.
    fn finish(&mut self, numbers: &mut impl Iterator<Item = Bits>) -> std::result::Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Number { kind, nulls } => {
                let bits = numbers.next().unwrap_or_default();
                let nulls = nulls.finish();
                match kind {
                    Number::Int64 => Arc::new(Int64Array::new(bits.into(), nulls)),
                    Number::Float64 => Arc::new(Float64Array::new(bits.into(), nulls)),
                }
            }
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Utf8(builder) => Arc::new(builder.finish()),
            Self::Other(slices) => concat(&std::mem::take(slices))?,
        })
    }
}

/// Calls `append` for each row, with `None` where the value is null.
fn gather(rows: impl Iterator<Item = usize>, values: &dyn Array, mut append: impl FnMut(Option<usize>)) {
    match values.nulls() {
        None => rows.for_each(|row| append(Some(row))),
        Some(nulls) => rows.for_each(|row| append(nulls.is_valid(row).then_some(row))),
    }
}

fn concat(slices: &[ArrayRef]) -> std::result::Result<ArrayRef, ArrowError> {
    match slices {
        [one] => Ok(Arc::clone(one)),
        _ => arrow_select::concat::concat(&slices.iter().map(AsRef::as_ref).collect::<Vec<_>>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{BooleanArray, Float64Array, Int64Array, StringArray, StructArray};
    use arrow_schema::{Field, Schema};
    use proptest::prelude::*;

    fn batch(rows: i64) -> Rows {
        let some = |i: &i64| i % 5 != 0;
        let inner = Arc::new(Int64Array::from_iter((0..rows).map(|i| some(&i).then_some(i))));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("i", Arc::new(Int64Array::from_iter((0..rows).map(|i| (i % 3 != 0).then_some(i))))),
            ("f", Arc::new(Float64Array::from_iter_values((0..rows).map(|i| i as f64 / 3.0)))),
            ("b", Arc::new(BooleanArray::from_iter((0..rows).map(|i| some(&i).then_some(i % 2 == 0))))),
            ("s", Arc::new(StringArray::from_iter((0..rows).map(|i| some(&i).then(|| "x".repeat(i as usize % 7)))))),
            ("o", Arc::new(StructArray::from(vec![(Arc::new(Field::new("x", DataType::Int64, true)), inner as ArrayRef)]))),
        ];
        let fields: Vec<Field> = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
        let rows_of = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect());
        let numbers: Vec<i64> = (0..rows).collect();
        Rows::new(rows_of.expect("valid"), numbers.clone().into(), numbers.clone().into(), numbers)
    }

    proptest! {
        #[test]
        fn what_is_gathered_is_what_take_and_concat_would_give(parts in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 60), 1..50)) {
            let rows = batch(60);
            let mut buffer = RowBuffer::new(rows.rows.schema(), Blocks::default());
            let mut expected = Vec::new();
            for part in &parts {
                let indices: Vec<u32> = (0..60).filter(|i| part[*i as usize]).collect();
                buffer.append(Part { of: &rows, indices: &indices }).expect("appended");
                expected.push(arrow_select::take::take_record_batch(&rows.rows, &UInt32Array::from(indices)).expect("taken"));
            }
            let expected = arrow_select::concat::concat_batches(&rows.rows.schema(), &expected).expect("put together");
            prop_assert_eq!(buffer.rows(), expected.num_rows());
            prop_assert_eq!(buffer.finish().expect("finished"), expected);
            prop_assert_eq!(buffer.rows(), 0);
        }
    }

    #[test]
    fn parts_know_their_offsets() {
        let rows = batch(10);
        let part = Part { of: &rows, indices: &[1, 4, 5, 9] };
        assert_eq!((part.through(0), part.through(4), part.through(8), part.through(9)), (0, 2, 3, 4));
        let (now, later) = part.split(3);
        assert_eq!((now.span(), later.span()), (Some(Span { first: 1, last: 5, count: 3 }), Some(Span { first: 9, last: 9, count: 1 })));
        assert_eq!((later.last_timestamp(), later.split(1).1.span(), now.event(1)), (Some(9), None, 4));
    }
}
