//! The members of an object as columns: found by name, in the order in which they usually come.

use std::collections::HashMap;

use arrow_array::ArrayRef;
use arrow_schema::Field;

use crate::column::Column;
use crate::fault::{Fault, Result};
use crate::json::{Scanner, Written};
use crate::schema::DeclaredType;

/// Columns by name, in the order in which the names were first met.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    members: Vec<Member>,
    by_name: HashMap<Box<[u8]>, usize>,
    /// By the name in lower case: readers of the lake do not tell `pm` from `PM`.
    by_folded_name: HashMap<String, usize>,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: Box<str>,
    /// The name as most documents write it, with its quotes and colon.
    written: Written,
    pub(crate) column: Column,
}

/// Whether and how far the schema may grow.
#[derive(Debug, Clone)]
pub(crate) struct Growth {
    allowed: bool,
    /// Whether a column whose values don't agree becomes text.
    pub(crate) text: bool,
    /// Whether one did since the last reset. It has lost its rows then.
    pub(crate) turned: bool,
    born: u32,
    columns: usize,
    max_columns: usize,
}

impl Growth {
    pub(crate) fn new(text: bool, max_columns: usize) -> Self {
        Self { allowed: false, text, turned: false, born: 0, columns: 0, max_columns }
    }

    /// The same, with leave to grow or without.
    pub(crate) fn allow(&mut self, allowed: bool) {
        self.allowed = allowed;
    }

    /// The schema is about to change.
    ///
    /// # Errors
    /// It must not.
    pub(crate) fn claim(&self) -> Result<()> {
        if self.allowed { Ok(()) } else { Err(Fault::Growth) }
    }

    /// A column gets its type.
    pub(crate) fn next_born(&mut self) -> Result<u32> {
        self.claim()?;
        self.born += 1;
        Ok(self.born)
    }

    /// A column becomes text and loses its rows.
    pub(crate) fn turn_to_text(&mut self) -> Result<()> {
        self.claim()?;
        self.turned = true;
        Ok(())
    }

    fn add_column(&mut self) -> Result<()> {
        if self.columns >= self.max_columns {
            return Err(Fault::field(format!(
                "would be column {} of the table, and {} are the most: if names are data, have the producer put them into values",
                self.columns + 1,
                self.max_columns
            )));
        }
        self.claim()?;
        self.columns += 1;
        Ok(())
    }
}

impl Fields {
    /// The same columns without rows.
    pub(crate) fn empty_copy(&self) -> Self {
        let copy = |m: &Member| Member { name: m.name.clone(), written: m.written.clone(), column: m.column.empty_copy() };
        Self {
            members: self.members.iter().map(copy).collect(),
            by_name: self.by_name.clone(),
            by_folded_name: self.by_folded_name.clone(),
        }
    }

    /// The column with this number.
    #[inline]
    pub(crate) fn member(&mut self, index: usize) -> &mut Member {
        &mut self.members[index]
    }

    /// Steps over a name and its colon and returns the number of its column. Members mostly come in the same order, so the column
    /// number `guess` is tried first.
    #[inline(always)]
    pub(crate) fn find(&mut self, scanner: &mut Scanner<'_>, guess: usize, growth: &mut Growth) -> Result<usize> {
        if let Some(member) = self.members.get(guess)
            && scanner.eat_written(&member.written)
        {
            return Ok(guess);
        }
        self.look_up(scanner, growth)
    }

    #[inline(never)]
    fn look_up(&mut self, scanner: &mut Scanner<'_>, growth: &mut Growth) -> Result<usize> {
        let mut buffer = Vec::new();
        let name = scanner.name(&mut buffer)?;
        let index = match self.by_name.get(name) {
            Some(index) => *index,
            None => self.add_name(name, growth)?,
        };
        scanner.expect(b':', "':'")?;
        Ok(index)
    }

    #[cold]
    fn add_name(&mut self, name: &[u8], growth: &mut Growth) -> Result<usize> {
        // A record is checked to be UTF-8 before it is decoded, so nothing is replaced.
        self.add_column(&String::from_utf8_lossy(name), growth)
    }

    /// The number of the column with this name, which is added if it is not there.
    pub(crate) fn ensure(&mut self, name: &str, growth: &mut Growth) -> Result<usize> {
        match self.by_name.get(name.as_bytes()) {
            Some(index) => Ok(*index),
            None => self.add_column(name, growth),
        }
    }

    fn add_column(&mut self, name: &str, growth: &mut Growth) -> Result<usize> {
        if name.is_empty() {
            return Err(Fault::field("the name of a member is empty: a column needs a name"));
        }
        if let Some(other) = self.by_folded_name.get(&name.to_lowercase()) {
            let other = &self.members[*other].name;
            let message = format!(
                "differs from the column '{other}' only in upper and lower case, which SQL does not tell apart: have the producer use one name"
            );
            return Err(Fault::field(message).in_member(name));
        }
        growth.add_column().map_err(|fault| fault.in_member(name))?;
        Ok(self.add(name, Column::new()))
    }

    /// Adds a column of a given type. A second one of the same name, as SQL compares names, is ignored.
    pub(crate) fn declare(&mut self, name: &str, kind: DeclaredType, growth: &mut Growth) {
        if !self.by_folded_name.contains_key(&name.to_lowercase()) {
            growth.born += 1;
            growth.columns += 1;
            self.add(name, Column::declared(kind, growth.born));
        }
    }

    fn add(&mut self, name: &str, column: Column) -> usize {
        let index = self.members.len();
        let plain = !name.bytes().any(|b| b < 0x20 || b == b'"' || b == b'\\');
        // No document has a NUL before a name, so this one is never met.
        let written = if plain { format!("\"{name}\":") } else { "\0".to_owned() };
        self.by_name.insert(name.as_bytes().into(), index);
        self.by_folded_name.insert(name.to_lowercase(), index);
        self.members.push(Member { name: name.into(), written: Written::new(written.into_bytes()), column });
        index
    }

    /// Cuts every column back to `rows` rows.
    pub(crate) fn truncate(&mut self, rows: usize) {
        for member in &mut self.members {
            member.column.truncate(rows);
        }
    }

    /// When the first of the columns got its type.
    pub(crate) fn born(&self) -> Option<u32> {
        self.members.iter().filter_map(|m| m.column.born()).min()
    }

    /// Takes out `rows` rows of every column that has a type, in the order in which they got it: so a schema only grows at its end,
    /// wherever one batch ends and the next begins.
    pub(crate) fn take(&mut self, rows: usize) -> (arrow_schema::Fields, Vec<ArrayRef>) {
        let mut columns = Vec::with_capacity(self.members.len());
        for member in &mut self.members {
            let born = member.column.born();
            if let (Some(array), Some(born)) = (member.column.take(rows), born) {
                columns.push((born, Field::new(&*member.name, array.data_type().clone(), true), array));
            }
        }
        columns.sort_by_key(|(born, ..)| *born);
        let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().map(|(_, field, array)| (field, array)).unzip();
        (fields.into(), arrays)
    }
}
