//! Rows on their way through a chain of transforms.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, UInt32Array, new_null_array};
use arrow_schema::{ArrowError, Field, FieldRef};
use arrow_select::filter::FilterBuilder;
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use lakefeed_core::{Error, Rejected, Result, Stage};

use super::types::{fit, type_name, unified};

/// The columns of rows, all of one length.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    pub(super) all: Vec<(FieldRef, ArrayRef)>,
    pub(super) rows: usize,
}

/// Rows with the numbers of their records, which ascend.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    pub(super) columns: Columns,
    pub(super) indices: Vec<u32>,
    /// The values are no structs; they stand in the column `value`.
    pub(super) single: bool,
}

/// Why a row is one no more.
#[derive(Debug)]
pub(super) enum Gone {
    /// It was filtered out.
    Dropped,
    /// Its value has become null.
    Tombstone,
    /// It can't be transformed.
    Rejected { field: Option<String>, message: String },
}

impl Gone {
    pub(super) fn rejected(field: &str, message: impl Into<String>) -> Self {
        Self::Rejected { field: Some(field.to_owned()), message: message.into() }
    }
}

/// What has become of records that are no rows any more.
#[derive(Debug, Default)]
pub(super) struct Losses {
    pub(super) tombstones: Vec<u32>,
    pub(super) dropped: usize,
    pub(super) rejected: Vec<Rejected>,
}

impl Losses {
    fn add(&mut self, record: u32, why: Gone) {
        match why {
            Gone::Dropped => self.dropped += 1,
            Gone::Tombstone => self.tombstones.push(record),
            Gone::Rejected { field, message } => {
                self.rejected.push(Rejected { row: record as usize, stage: Stage::Transformation, field, message });
            }
        }
    }
}

/// What Arrow's kernels refuse is a mistake of ours.
pub(super) fn failed(error: ArrowError) -> Error {
    Error::fatal("can't transform rows; please report this with the connector's transforms").with_source(error)
}

impl Columns {
    /// The number of the column with this name.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.all.iter().position(|(field, _)| field.name() == name)
    }

    /// The column with this name.
    pub(super) fn get(&self, name: &str) -> Option<&ArrayRef> {
        self.position(name).map(|at| &self.all[at].1)
    }

    /// Puts a column in the place of the one with this name, or behind all.
    pub(super) fn set(&mut self, name: &str, array: ArrayRef) {
        let column = column(name, array);
        match self.position(name) {
            Some(at) => self.all[at] = column,
            None => self.all.push(column),
        }
    }
}

/// A column; every column can hold nulls.
pub(super) fn column(name: &str, array: ArrayRef) -> (FieldRef, ArrayRef) {
    (Arc::new(Field::new(name, array.data_type().clone(), true)), array)
}

impl Rows {
    /// The rows that are left when some have gone. Of several reasons for one row the first counts.
    pub(super) fn without(self, mut gone: Vec<(usize, Gone)>, losses: &mut Losses) -> Result<Self> {
        if gone.is_empty() {
            return Ok(self);
        }
        let mut kept = vec![true; self.columns.rows];
        gone.sort_by_key(|(row, _)| *row);
        for (row, why) in gone {
            if std::mem::replace(&mut kept[row], false) {
                losses.add(self.indices[row], why);
            }
        }
        let mut left = kept.iter();
        let mut indices = self.indices;
        // As many as there are rows.
        indices.retain(|_| left.next().copied().unwrap_or(false));
        let mask = FilterBuilder::new(&BooleanArray::from(kept)).optimize().build();
        let filter = |(field, array): (FieldRef, ArrayRef)| Ok((field, mask.filter(&array).map_err(failed)?));
        let all = self.columns.all.into_iter().map(filter).collect::<Result<_>>()?;
        Ok(Self { columns: Columns { all, rows: indices.len() }, indices, single: self.single })
    }

    /// Every row has gone: it has fields, and a transform of the whole value can't take those.
    pub(super) fn not_single(&self) -> impl Iterator<Item = (usize, Gone)> {
        let message = "the value has fields: name the field that is meant";
        (0..self.columns.rows).map(move |row| (row, Gone::Rejected { field: None, message: message.to_owned() }))
    }

    /// The rows that are selected, and the others.
    pub(super) fn split(self, selected: &[bool]) -> Result<(Self, Self)> {
        let pick = |wanted: bool| {
            let rows: Vec<u32> = (0_u32..).zip(selected).filter(|(_, is)| **is == wanted).map(|(row, _)| row).collect();
            let indices = rows.iter().map(|row| self.indices[*row as usize]).collect();
            let picked = UInt32Array::from(rows);
            let taken = |(field, array): &(FieldRef, ArrayRef)| Ok((Arc::clone(field), take(array, &picked, None).map_err(failed)?));
            let all = self.columns.all.iter().map(taken).collect::<Result<_>>()?;
            Ok(Self { columns: Columns { all, rows: picked.len() }, indices, single: self.single })
        };
        Ok((pick(true)?, pick(false)?))
    }

    /// Both, in the order of their records. What one of them has no column for is null. Types that differ become one, if there is one for
    /// both; else the rows of `other` are rejected that have a value there.
    pub(super) fn merged(self, other: Self, losses: &mut Losses) -> Result<Self> {
        let mut names: Vec<&FieldRef> = other.columns.all.iter().map(|(field, _)| field).collect();
        names.extend(self.columns.all.iter().map(|(field, _)| field).filter(|field| other.columns.get(field.name()).is_none()));
        let mut pairs = Vec::with_capacity(names.len());
        let (mut gone, mut gone_other) = (Vec::new(), Vec::new());
        for field in names {
            let (here, there) = (self.columns.get(field.name()), other.columns.get(field.name()));
            let kind = match (here, there) {
                (Some(here), Some(there)) => unified(here.data_type(), there.data_type()).unwrap_or_else(|| here.data_type().clone()),
                _ => field.data_type().clone(),
            };
            let (a, bad) = fit_or_null(here, &kind, self.columns.rows)?;
            gone.extend(bad.into_iter().map(|row| (row, other_type(field.name(), here, &kind))));
            let (b, bad) = fit_or_null(there, &kind, other.columns.rows)?;
            gone_other.extend(bad.into_iter().map(|row| (row, other_type(field.name(), there, &kind))));
            pairs.push((column(field.name(), Arc::clone(&a)).0, a, b));
        }
        let (fields, (a, b)): (Vec<_>, (Vec<_>, Vec<_>)) = pairs.into_iter().map(|(field, a, b)| (field, (a, b))).unzip();
        let of = |fields: &[FieldRef], arrays: Vec<ArrayRef>, rows: &Self| Self {
            columns: Columns { all: fields.iter().cloned().zip(arrays).collect(), rows: rows.columns.rows },
            indices: rows.indices.clone(),
            single: rows.single,
        };
        let a = of(&fields, a, &self).without(gone, losses)?;
        let b = of(&fields, b, &other).without(gone_other, losses)?;
        a.woven(&b)
    }

    /// Both, which have the same columns, in the order of their records.
    fn woven(&self, other: &Self) -> Result<Self> {
        let (mut here, mut there) = (0, 0);
        let mut order = Vec::with_capacity(self.indices.len() + other.indices.len());
        let mut indices = Vec::with_capacity(order.capacity());
        loop {
            let next = match (self.indices.get(here), other.indices.get(there)) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.cmp(b),
            };
            if next == Ordering::Less {
                order.push((0, here));
                indices.push(self.indices[here]);
                here += 1;
            } else {
                order.push((1, there));
                indices.push(other.indices[there]);
                there += 1;
            }
        }
        let weave = |((field, a), (_, b)): (&(FieldRef, ArrayRef), &(FieldRef, ArrayRef))| {
            Ok((Arc::clone(field), interleave(&[&**a, &**b], &order).map_err(failed)?))
        };
        let all = self.columns.all.iter().zip(&other.columns.all).map(weave).collect::<Result<_>>()?;
        Ok(Self { columns: Columns { all, rows: indices.len() }, indices, single: self.single })
    }
}

fn fit_or_null(array: Option<&ArrayRef>, kind: &arrow_schema::DataType, rows: usize) -> Result<(ArrayRef, Vec<usize>)> {
    array.map_or_else(|| Ok((new_null_array(kind, rows), Vec::new())), |array| fit(array, kind))
}

/// A value that has no place in the type that its column has otherwise.
pub(super) fn other_type(name: &str, array: Option<&ArrayRef>, kind: &arrow_schema::DataType) -> Gone {
    let found = array.map_or_else(|| "no value".to_owned(), |array| type_name(array.data_type()));
    Gone::rejected(
        name,
        format!("found {found}, and other rows have {} here: have the transforms give one type to all rows", type_name(kind)),
    )
}
