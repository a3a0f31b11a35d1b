//! Headers that come and go: `InsertHeader`, `DropHeaders` and `HeaderFrom`.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use lakefeed_core::{Config, ConfigError, Headers, RecordsBuilder, Result};

use super::config::Made;
use super::keys::shown;
use super::rows::Rows;
use super::{Done, Transform};

/// Name and value of a header.
type Pair = (String, Option<Vec<u8>>);

/// `InsertHeader`: one more header, with a fixed text. Numbers and booleans are the text that they are, as SimpleHeaderConverter writes them.
#[derive(Debug)]
pub(super) struct InsertHeader {
    name: String,
    value: String,
}

impl InsertHeader {
    pub(super) fn make(config: &Config) -> Made {
        Ok(Transform::InsertHeader(Self { name: config.text("header").to_owned(), value: config.text("value.literal").to_owned() }))
    }

    pub(super) fn apply(&self, rows: Rows) -> Rows {
        changed(rows, |_, pairs| pairs.push((self.name.clone(), Some(self.value.clone().into_bytes()))))
    }
}

/// `DropHeaders`: without the headers of these names.
#[derive(Debug)]
pub(super) struct DropHeaders {
    names: HashSet<String>,
}

impl DropHeaders {
    pub(super) fn make(config: &Config) -> Made {
        Ok(Transform::DropHeaders(Self { names: config.list("headers").into_iter().map(str::to_owned).collect() }))
    }

    pub(super) fn apply(&self, rows: Rows) -> Rows {
        changed(rows, |_, pairs| pairs.retain(|(name, _)| !self.names.contains(name)))
    }
}

/// `HeaderFrom`: fields as headers, as text. A field that is not there or null is a header without a value.
#[derive(Debug)]
pub(super) struct HeaderFrom {
    /// Fields and the names of their headers.
    pairs: Vec<(String, String)>,
    moves: bool,
}

impl HeaderFrom {
    pub(super) fn make(config: &Config) -> Made {
        let (fields, headers) = (config.list("fields"), config.list("headers"));
        if fields.len() != headers.len() || fields.is_empty() {
            let message = format!("expected as many names as fields has, {}", fields.len());
            return Err(ConfigError::value("headers", config.text("headers"), message));
        }
        let pairs = fields.into_iter().zip(headers).map(|(field, header)| (field.to_owned(), header.to_owned())).collect();
        Ok(Transform::HeaderFrom(Self { pairs, moves: config.text("operation") == "move" }))
    }

    pub(super) fn apply(&self, rows: Rows) -> Result<Done> {
        let mut columns = Vec::with_capacity(self.pairs.len());
        for (field, _) in &self.pairs {
            columns.push(rows.columns.get(field).map(shown).transpose()?);
        }
        let mut rows = changed(rows, |row, pairs| {
            for ((_, header), texts) in self.pairs.iter().zip(&columns) {
                let text = texts.as_ref().and_then(|texts| texts[row].clone());
                pairs.push((header.clone(), text.map(String::into_bytes)));
            }
        });
        if self.moves {
            rows.columns.all.retain(|(column, _)| self.pairs.iter().all(|(field, _)| field != column.name()));
        }
        Ok(rows.into())
    }
}

/// The headers of each row, changed.
fn changed(mut rows: Rows, change: impl Fn(usize, &mut Vec<Pair>)) -> Rows {
    let count = rows.columns.rows;
    let old = rows.beside.headers.take().map(|headers| Headers::from_list(headers.as_list()));
    let mut builder = RecordsBuilder::with_capacity("".into(), 0, count, 0);
    for row in 0..count {
        let owned = |(name, value): (&str, Option<&[u8]>)| (name.to_owned(), value.map(<[u8]>::to_vec));
        let mut pairs = old.as_ref().map(|headers| headers.of(row).map(owned).collect()).unwrap_or_default();
        change(row, &mut pairs);
        builder.push(row as i64, 0, None, None);
        pairs.iter().for_each(|(name, value)| builder.push_header(name, value.as_deref()));
    }
    let list = builder.finish().headers.map_or_else(|| Headers::empty_list(count), |headers| headers.to_list());
    rows.beside.headers = Some(Arc::new(list));
    rows
}
