//! Rows on their way through a chain of transforms.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, UInt32Array, new_null_array};
use arrow_schema::{ArrowError, Field, FieldRef};
use arrow_select::filter::FilterBuilder;
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use lakefeed_core::{Error, Rejected, Result, Stage};

use super::keys::present;
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
    pub(super) beside: Beside,
}

/// What stands beside the values of rows, as far as a chain changes it.
#[derive(Debug, Clone, Default)]
pub(super) struct Beside {
    /// The columns of the keys, and whether they are no structs; all null where a record has no key.
    pub(super) key: Option<(Columns, bool)>,
    /// As `Headers::to_list` of core has them.
    pub(super) headers: Option<ArrayRef>,
    pub(super) topics: Option<ArrayRef>,
}

impl Beside {
    /// With other rows.
    fn of_rows(&self, rows: usize, pick: impl Fn(&ArrayRef) -> Result<ArrayRef>) -> Result<Self> {
        let key = self.key.as_ref().map(|(columns, single)| Ok((columns.of_rows(rows, &pick)?, *single))).transpose()?;
        let (headers, topics) = (self.headers.as_ref().map(&pick).transpose()?, self.topics.as_ref().map(&pick).transpose()?);
        Ok(Self { key, headers, topics })
    }
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
    /// With other rows.
    fn of_rows(&self, rows: usize, pick: impl Fn(&ArrayRef) -> Result<ArrayRef>) -> Result<Self> {
        let picked = self.all.iter().map(|(field, array)| Ok((Arc::clone(field), pick(array)?)));
        Ok(Self { all: picked.collect::<Result<_>>()?, rows })
    }

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
        let filter = |array: &ArrayRef| mask.filter(array).map_err(failed);
        let columns = self.columns.of_rows(indices.len(), filter)?;
        let beside = self.beside.of_rows(indices.len(), filter)?;
        Ok(Self { columns, indices, single: self.single, beside })
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
            let taken = |array: &ArrayRef| take(array, &picked, None).map_err(failed);
            let columns = self.columns.of_rows(picked.len(), taken)?;
            Ok(Self { columns, indices, single: self.single, beside: self.beside.of_rows(picked.len(), taken)? })
        };
        Ok((pick(true)?, pick(false)?))
    }

    /// Both, in the order of their records. What one of them has no column for is null. Types that differ become one, if there is one for
    /// both; else the rows of `other` are rejected that have a value there.
    pub(super) fn merged(mut self, mut other: Self, losses: &mut Losses) -> Result<Self> {
        let (mut gone, mut gone_other) = alike(&mut self.columns, &mut other.columns)?;
        if let (Some((here, _)), Some((there, _))) = (&mut self.beside.key, &mut other.beside.key) {
            if !present(there).contains(&true) {
                // Columns of keys that are none have nothing to say.
                there.all.clear();
            }
            let (bad, bad_other) = alike(here, there)?;
            gone.extend(bad);
            gone_other.extend(bad_other);
        }
        self.without(gone, losses)?.woven(&other.without(gone_other, losses)?)
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
        let weave = |a: &ArrayRef, b: &ArrayRef| interleave(&[&**a, &**b], &order).map_err(failed);
        let columns = |a: &Columns, b: &Columns| {
            let woven = a.all.iter().zip(&b.all).map(|((field, a), (_, b))| Ok((Arc::clone(field), weave(a, b)?)));
            Ok(Columns { all: woven.collect::<Result<_>>()?, rows: order.len() })
        };
        let both = |a: &Option<ArrayRef>, b: &Option<ArrayRef>| a.as_ref().zip(b.as_ref()).map(|(a, b)| weave(a, b)).transpose();
        let key = match (&self.beside.key, &other.beside.key) {
            (Some((a, single)), Some((b, _))) => Some((columns(a, b)?, *single)),
            _ => None,
        };
        let beside = Beside {
            key,
            headers: both(&self.beside.headers, &other.beside.headers)?,
            topics: both(&self.beside.topics, &other.beside.topics)?,
        };
        Ok(Self { columns: columns(&self.columns, &other.columns)?, indices, single: self.single, beside })
    }
}

/// Rows that have gone.
type Lost = Vec<(usize, Gone)>;

/// Gives both the same columns. What has no place in the type that both have together is lost.
fn alike(here: &mut Columns, there: &mut Columns) -> Result<(Lost, Lost)> {
    let mut names: Vec<FieldRef> = there.all.iter().map(|(field, _)| Arc::clone(field)).collect();
    names.extend(here.all.iter().map(|(field, _)| field).filter(|field| there.get(field.name()).is_none()).cloned());
    let (mut gone, mut gone_there) = (Vec::new(), Vec::new());
    let (mut all, mut all_there) = (Vec::with_capacity(names.len()), Vec::with_capacity(names.len()));
    for field in names {
        let (a, b) = (here.get(field.name()), there.get(field.name()));
        let kind = match (a, b) {
            (Some(a), Some(b)) => unified(a.data_type(), b.data_type()).unwrap_or_else(|| a.data_type().clone()),
            _ => field.data_type().clone(),
        };
        for (array, rows, all, gone) in [(a, here.rows, &mut all, &mut gone), (b, there.rows, &mut all_there, &mut gone_there)] {
            let (fitted, bad) = fit_or_null(array, &kind, rows)?;
            gone.extend(bad.into_iter().map(|row| (row, other_type(field.name(), array, &kind))));
            all.push(column(field.name(), fitted));
        }
    }
    (here.all, there.all) = (all, all_there);
    Ok((gone, gone_there))
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
