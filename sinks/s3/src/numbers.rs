//! The numbers of rows that wait for a row group.
//!
//! They are kept row by row until they are wanted as columns. Where rows of many lake partitions alternate, each of thousands of files gets a few rows at a
//! time: in columns they would go to a dozen places far apart in memory, here to one. They grow by blocks of one size: growing by copying would touch what
//! has long left the caches, and the blocks that a closed file leaves behind are what the others need next.

use std::sync::{Arc, Mutex, MutexGuard};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_buffer::{Buffer, ScalarBuffer};
use arrow_schema::DataType;

/// Numbers of a block: 8 KiB, which the allocator does not round up.
const BLOCK: usize = 1024;

/// Numbers of the first block of a file: most files of a topic with very many lake partitions stay small.
const FIRST_BLOCK: usize = 128;

/// Blocks that are kept for the next file, at most: 8 MiB.
const SPARE_MAX: usize = 1024;

/// Rows that are turned at once: they stay in the nearest cache.
const NEAR_ROWS: usize = 64;

/// Blocks that no file needs now, for all files of a task.
#[derive(Debug, Clone, Default)]
pub(crate) struct Blocks(Arc<Mutex<Vec<Box<[u64]>>>>);

impl Blocks {
    fn spare(&self) -> MutexGuard<'_, Vec<Box<[u64]>>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// A block of so many numbers, whatever they are.
    fn take(&self, len: usize) -> Box<[u64]> {
        let spare = (len == BLOCK).then(|| self.spare().pop()).flatten();
        spare.unwrap_or_else(|| vec![0; len].into())
    }

    fn give(&self, blocks: Vec<Box<[u64]>>) {
        let mut spare = self.spare();
        let room = SPARE_MAX.saturating_sub(spare.len());
        spare.extend(blocks.into_iter().filter(|block| block.len() == BLOCK).take(room));
    }

    /// Lets go of those beyond so many bytes; what the others take.
    pub(crate) fn keep(&self, bytes: usize) -> usize {
        let mut spare = self.spare();
        spare.truncate(bytes / (BLOCK * size_of::<u64>()));
        spare.len() * BLOCK * size_of::<u64>()
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
    Int64,
    Float64,
}

impl Number {
    /// `None`: a column of something else.
    pub(crate) fn of(kind: &DataType) -> Option<Self> {
        match kind {
            DataType::Int64 => Some(Self::Int64),
            DataType::Float64 => Some(Self::Float64),
            _ => None,
        }
    }
}

/// The columns of numbers of a batch, row by row: so each row is read in one place when rows are sorted into files.
pub(crate) fn by_row(batch: &RecordBatch) -> Vec<u64> {
    let columns: Vec<_> = batch.columns().iter().filter_map(|array| Some((Number::of(array.data_type())?, array))).collect();
    let (rows, width) = (batch.num_rows(), columns.len());
    let mut numbers = Vec::with_capacity(rows * width);
    for start in (0..rows).step_by(NEAR_ROWS) {
        let near = start..rows.min(start + NEAR_ROWS);
        let from = numbers.len();
        numbers.resize(from + near.len() * width, 0);
        for (slot, (kind, array)) in columns.iter().enumerate() {
            let cells = numbers[from..].chunks_exact_mut(width).map(|row| &mut row[slot]);
            match kind {
                Number::Int64 => {
                    let values = &array.as_primitive::<Int64Type>().values()[near.clone()];
                    cells.zip(values).for_each(|(cell, value)| *cell = *value as u64);
                }
                Number::Float64 => {
                    let values = &array.as_primitive::<Float64Type>().values()[near.clone()];
                    cells.zip(values).for_each(|(cell, value)| *cell = value.to_bits());
                }
            }
        }
    }
    numbers
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Numbers {
    /// Numbers of a row.
    width: usize,
    /// All but the last are full: as full as whole rows make them.
    blocks: Vec<Box<[u64]>>,
    /// Rows in the last block.
    last_rows: usize,
    rows: usize,
    held_bytes: usize,
    spare: Blocks,
}

impl Numbers {
    pub(crate) fn new(width: usize, spare: Blocks) -> Self {
        Self { width, blocks: Vec::new(), last_rows: 0, rows: 0, held_bytes: 0, spare }
    }

    /// Where its blocks come from.
    pub(crate) fn spare(&self) -> &Blocks {
        &self.spare
    }

    /// The memory of its blocks.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Adds some rows of a batch, whose numbers [`by_row`] has put row by row.
    pub(crate) fn append(&mut self, numbers: &[u64], mut rows: &[u32]) {
        if self.width == 0 {
            return;
        }
        while !rows.is_empty() {
            let Some(block) = self.blocks.last_mut() else {
                self.grow();
                continue;
            };
            let free = block.chunks_exact_mut(self.width).skip(self.last_rows);
            let (now, later) = rows.split_at(rows.len().min(free.len()));
            for (place, row) in free.zip(now) {
                let at = *row as usize * self.width;
                place.copy_from_slice(&numbers[at..at + self.width]);
            }
            self.last_rows += now.len();
            self.rows += now.len();
            rows = later;
            if !rows.is_empty() {
                self.grow();
            }
        }
    }

    /// Adds a block for as many rows again, within the limits of a block.
    fn grow(&mut self) {
        let len = (self.rows * self.width).next_power_of_two().clamp(FIRST_BLOCK, BLOCK).max(self.width);
        self.held_bytes += len * size_of::<u64>();
        self.blocks.push(self.spare.take(len));
        self.last_rows = 0;
    }

    /// The numbers as columns; afterwards there are none.
    pub(crate) fn finish(&mut self) -> Vec<Bits> {
        let rows = std::mem::take(&mut self.rows);
        let mut columns: Vec<Vec<u64>> = (0..self.width).map(|_| Vec::with_capacity(rows)).collect();
        let blocks = std::mem::take(&mut self.blocks);
        let mut left = rows;
        for block in &blocks {
            let here = left.min(block.len() / self.width);
            left -= here;
            for near in block[..here * self.width].chunks(NEAR_ROWS * self.width) {
                for (slot, column) in columns.iter_mut().enumerate() {
                    column.extend(near.chunks_exact(self.width).map(|row| row[slot]));
                }
            }
        }
        (self.last_rows, self.held_bytes) = (0, 0);
        self.spare.give(blocks);
        columns.into_iter().map(Bits).collect()
    }
}

/// A column of numbers, as their bits.
#[derive(Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

impl From<Bits> for ScalarBuffer<i64> {
    fn from(Bits(bits): Bits) -> Self {
        let len = bits.len();
        Self::new(Buffer::from_vec(bits), 0, len)
    }
}

impl From<Bits> for ScalarBuffer<f64> {
    fn from(Bits(bits): Bits) -> Self {
        let len = bits.len();
        Self::new(Buffer::from_vec(bits), 0, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Float64Array, Int64Array};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn columns_come_back_whatever_the_width_and_the_pieces(width in 1usize..40, wide in any::<bool>(), pieces in proptest::collection::vec(1usize..200, 1..12)) {
            let width = if wide { width * 40 } else { width };
            let total: usize = pieces.iter().sum();
            let ids: ArrayRef = Arc::new(Int64Array::from_iter_values((0..total as i64).map(|i| i * 3 - 7)));
            let values: ArrayRef = Arc::new(Float64Array::from_iter_values((0..total).map(|i| i as f64 / 7.0)));
            let column = |slot: usize| (format!("c{slot}"), Arc::clone(if slot.is_multiple_of(2) { &ids } else { &values }));
            let batch = RecordBatch::try_from_iter((0..width).map(column)).expect("valid");
            let (spare, by_row) = (Blocks::default(), by_row(&batch));
            // The second time with blocks that the first has left.
            for _ in 0..2 {
                let mut numbers = Numbers::new(width, spare.clone());
                let indices: Vec<u32> = (0..total as u32).collect();
                let mut rest = &indices[..];
                for piece in &pieces {
                    let (now, later) = rest.split_at(*piece);
                    numbers.append(&by_row, now);
                    rest = later;
                }
                prop_assert!(numbers.held_bytes() >= total * width * size_of::<u64>());
                for (slot, bits) in numbers.finish().into_iter().enumerate() {
                    if slot.is_multiple_of(2) {
                        prop_assert_eq!(&ScalarBuffer::<i64>::from(bits), ids.as_primitive::<Int64Type>().values());
                    } else {
                        prop_assert_eq!(&ScalarBuffer::<f64>::from(bits), values.as_primitive::<Float64Type>().values());
                    }
                }
                prop_assert_eq!(numbers.held_bytes(), 0);
                prop_assert!(spare.keep(usize::MAX) <= SPARE_MAX * BLOCK * size_of::<u64>());
            }
            prop_assert_eq!(spare.keep(0), 0);
        }
    }
}
