//! Rows on their way into files: batches, parts of batches, and the columns that parts are gathered in.

use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, PrimitiveArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_buffer::{NullBufferBuilder, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use lakefeed_core::{Error, Result};

use crate::ledger::Span;

/// Slices of columns without a builder that are put together before they cost more than their rows.
const SLICES_MAX: usize = 32;

/// Numbers that there is room for at once, at least.
const GROWN_MIN: usize = 64;

/// A batch with what must be known of each row.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) rows: RecordBatch,
    pub(crate) offsets: ScalarBuffer<i64>,
    pub(crate) timestamps: ScalarBuffer<i64>,
    pub(crate) events: Vec<i64>,
}

impl Rows {
    pub(crate) fn held_bytes(&self) -> usize {
        self.rows.get_array_memory_size() + 3 * size_of_val(&self.offsets[..])
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

/// Rows of one schema, gathered column by column: a slice of a few rows costs its rows and nothing more.
#[derive(Debug)]
pub(crate) struct RowBuffer {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
    held_bytes: usize,
}

#[derive(Debug)]
enum Column {
    Int64(Numbers<Int64Type>),
    Float64(Numbers<Float64Type>),
    Boolean(BooleanBuilder),
    Utf8(StringBuilder),
    /// Other types as slices.
    Other(Vec<ArrayRef>),
}

impl RowBuffer {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        let column = |kind: &DataType| match kind {
            DataType::Int64 => Column::Int64(Numbers::default()),
            DataType::Float64 => Column::Float64(Numbers::default()),
            DataType::Boolean => Column::Boolean(BooleanBuilder::with_capacity(0)),
            DataType::Utf8 => Column::Utf8(StringBuilder::with_capacity(0, 0)),
            _ => Column::Other(Vec::new()),
        };
        let columns = schema.fields().iter().map(|field| column(field.data_type())).collect();
        Self { schema, columns, rows: 0, held_bytes: 0 }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds rows of its schema.
    pub(crate) fn append(&mut self, part: Part<'_>) -> Result<()> {
        self.rows += part.len();
        self.held_bytes = 0;
        for (column, array) in self.columns.iter_mut().zip(part.of.rows.columns()) {
            column.append(array, part).map_err(failed)?;
            self.held_bytes += column.held_bytes();
        }
        Ok(())
    }

    /// The bytes it holds.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The rows; afterwards it is empty.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch> {
        let columns = self.columns.iter_mut().map(Column::finish).collect::<std::result::Result<Vec<_>, _>>().map_err(failed)?;
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
            Self::Int64(numbers) => numbers.gather(array.as_primitive(), part.indices),
            Self::Float64(numbers) => numbers.gather(array.as_primitive(), part.indices),
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
            Self::Int64(numbers) => numbers.append(array.as_primitive()),
            Self::Float64(numbers) => numbers.append(array.as_primitive()),
            Self::Boolean(builder) => builder.append_array(array.as_boolean()),
            Self::Utf8(builder) => builder.append_array(array.as_string::<i32>())?,
            Self::Other(slices) => slices.push(Arc::clone(array)),
        }
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        let validity = |bits: Option<&[u8]>| bits.map_or(0, <[u8]>::len);
        match self {
            Self::Int64(numbers) => numbers.held_bytes(),
            Self::Float64(numbers) => numbers.held_bytes(),
            Self::Boolean(builder) => builder.capacity() / 8 + validity(builder.validity_slice()),
            Self::Utf8(builder) => builder.values_slice().len() + size_of_val(builder.offsets_slice()) + validity(builder.validity_slice()),
            Self::Other(slices) => slices.iter().map(|array| array.get_array_memory_size()).sum(),
        }
    }

    fn finish(&mut self) -> std::result::Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Int64(numbers) => Arc::new(numbers.finish()),
            Self::Float64(numbers) => Arc::new(numbers.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Utf8(builder) => Arc::new(builder.finish()),
            Self::Other(slices) => concat(&std::mem::take(slices))?,
        })
    }
}

/// Numbers and which of them are null. Arrow's builders look at each null and each value one by one, which costs a tenth of the sink's time
/// where rows of many lake partitions alternate; to grow by doubling, which copies what has long left the caches, cost another tenth.
#[derive(Debug)]
struct Numbers<T: ArrowPrimitiveType> {
    /// Those that have no room left.
    full: Vec<Vec<T::Native>>,
    last: Vec<T::Native>,
    len: usize,
    nulls: NullBufferBuilder,
}

impl<T: ArrowPrimitiveType> Default for Numbers<T> {
    fn default() -> Self {
        Self { full: Vec::new(), last: Vec::new(), len: 0, nulls: NullBufferBuilder::new(0) }
    }
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    /// Adds the values of some rows.
    fn gather(&mut self, array: &PrimitiveArray<T>, rows: &[u32]) {
        let values = array.values();
        let (now, later) = rows.split_at(rows.len().min(self.room()));
        self.last.extend(now.iter().map(|row| values[*row as usize]));
        if !later.is_empty() {
            self.grow(later.len());
            self.last.extend(later.iter().map(|row| values[*row as usize]));
        }
        self.len += rows.len();
        match array.nulls() {
            None => self.nulls.append_n_non_nulls(rows.len()),
            Some(nulls) => rows.iter().for_each(|row| self.nulls.append(nulls.is_valid(*row as usize))),
        }
    }

    /// Adds all values.
    fn append(&mut self, array: &PrimitiveArray<T>) {
        let (now, later) = array.values().split_at(array.len().min(self.room()));
        self.last.extend_from_slice(now);
        if !later.is_empty() {
            self.grow(later.len());
            self.last.extend_from_slice(later);
        }
        self.len += array.len();
        match array.nulls() {
            None => self.nulls.append_n_non_nulls(array.len()),
            Some(nulls) => self.nulls.append_buffer(nulls),
        }
    }

    fn room(&self) -> usize {
        self.last.capacity() - self.last.len()
    }

    /// Makes room for so many values and for a quarter of those that there are.
    fn grow(&mut self, values: usize) {
        let room = Vec::with_capacity(values.max((self.len / 4).max(GROWN_MIN)));
        let full = std::mem::replace(&mut self.last, room);
        if !full.is_empty() {
            self.full.push(full);
        }
    }

    fn held_bytes(&self) -> usize {
        size_of::<T::Native>() * (self.len + self.room()) + self.nulls.as_slice().map_or(0, <[u8]>::len)
    }

    fn finish(&mut self) -> PrimitiveArray<T> {
        self.full.push(std::mem::take(&mut self.last));
        let mut parts = std::mem::take(&mut self.full);
        self.len = 0;
        let values = if parts.len() == 1 { parts.swap_remove(0) } else { parts.concat() };
        PrimitiveArray::new(values.into(), self.nulls.finish())
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
        Rows { rows: rows_of.expect("valid"), offsets: numbers.clone().into(), timestamps: numbers.clone().into(), events: numbers }
    }

    proptest! {
        #[test]
        fn what_is_gathered_is_what_take_and_concat_would_give(parts in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 60), 1..50)) {
            let rows = batch(60);
            let mut buffer = RowBuffer::new(rows.rows.schema());
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
