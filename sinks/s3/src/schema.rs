//! Batches of a growing schema in files of one schema.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::SchemaRef;
use lakefeed_core::{Error, Result};

/// The batch with the columns of `schema`: columns it does not have are null, columns of a narrower type are cast. The decoder's schema only
/// grows (columns are added, types widen), so this holds for every batch that is older than `schema`.
pub(crate) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let known: HashMap<&str, usize> = batch.schema_ref().fields().iter().enumerate().map(|(i, f)| (f.name().as_str(), i)).collect();
    let column = |field: &Arc<arrow_schema::Field>| -> Result<ArrayRef> {
        match known.get(field.name().as_str()) {
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            Some(i) if batch.column(*i).data_type() == field.data_type() => Ok(Arc::clone(batch.column(*i))),
            Some(i) => arrow_cast::cast(batch.column(*i), field.data_type())
                .map_err(|e| Error::fatal(format!("column {} can't become {}", field.name(), field.data_type())).with_source(e)),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|e| Error::fatal("the batch does not fit the schema of its file").with_source(e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Float64Type;
    use arrow_array::{Array, Int64Array};
    use arrow_schema::{DataType, Field, Schema};

    #[test]
    fn older_batches_get_new_columns_and_wider_types() {
        let old = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let new = Arc::new(Schema::new(vec![Field::new("a", DataType::Float64, true), Field::new("b", DataType::Utf8, true)]));
        let batch = RecordBatch::try_new(old, vec![Arc::new(Int64Array::from(vec![Some(1), None]))]).expect("valid");
        let wide = conform(&batch, &new).expect("conforms");
        let a = wide.column(0).as_primitive::<Float64Type>();
        assert_eq!((a.value(0), a.is_null(1), wide.column(1).null_count()), (1.0, true, 2));
    }
}
