//! Records on their way to a processor, which reads plain JSON: what another converter reads becomes that.

use std::collections::HashMap;
use std::sync::Arc;

use lakefeed_core::{Records, RecordsBuilder, Rejected, Result};
use lakefeed_formats::{Converter, Decoder, DecoderOptions, Nulls, Written};

use crate::converters::Reading;
use crate::schema_lookup::SchemaLookup;
use crate::task::TaskEnv;

/// Reads values by a converter and hands them on as JSON.
pub(crate) struct Incoming {
    converter: Converter,
    schemas: SchemaLookup,
    decoders: HashMap<Arc<str>, Decoder>,
}

/// Records whose values are JSON, and those that can't be read, by their numbers among the records as they came.
pub(crate) struct Plain {
    pub(crate) records: Records,
    pub(crate) rejected: Vec<Rejected>,
}

impl Incoming {
    /// `None`: values are plain JSON already.
    pub(crate) fn open(env: &TaskEnv) -> Result<Option<Self>> {
        let Some(Reading { converter, registry }) = env.worker.processor_converter(&env.connector)? else { return Ok(None) };
        let schemas = SchemaLookup::open(&env.connector, registry.as_ref())?;
        Ok(Some(Self { converter, schemas, decoders: HashMap::new() }))
    }

    /// Whether it is time to ask a registry again that did not answer.
    pub(crate) fn is_due(&self) -> bool {
        self.schemas.is_due()
    }

    /// The records as the processor reads them; `None`: the registry does not answer now.
    pub(crate) fn plain(&mut self, records: &Records) -> Result<Option<Plain>> {
        let options = || DecoderOptions { converter: self.converter.clone(), ..DecoderOptions::default() };
        let decoder = self.decoders.entry(Arc::clone(&records.topic)).or_insert_with(|| Decoder::new(options()));
        if !self.schemas.teach(decoder, records)? {
            return Ok(None);
        }
        let decoded = decoder.decode(records);
        let written = Written { rows: &decoded.rows, single: decoded.single };
        // What a decoder makes can be written.
        let values = written.json(Nulls::Written).map_err(lakefeed_core::Error::fatal)?;
        let mut rows: Vec<(usize, Option<usize>)> = decoded.indices.iter().enumerate().map(|(at, row)| (*row as usize, Some(at))).collect();
        rows.extend(decoded.tombstones.iter().map(|row| (*row as usize, None)));
        rows.sort_unstable();
        let mut builder =
            RecordsBuilder::with_capacity(Arc::clone(&records.topic), records.partition, rows.len(), values.value_data().len());
        for (row, at) in rows {
            builder.push(records.offsets[row], records.timestamps[row], records.key(row), at.map(|at| values.value(at)));
            for (name, value) in records.headers.iter().flat_map(|headers| headers.of(row)) {
                builder.push_header(name, value);
            }
        }
        Ok(Some(Plain { records: builder.finish(), rejected: decoded.rejected }))
    }
}
