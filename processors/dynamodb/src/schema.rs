//! The columns of stream records, for converters and transforms.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema};
use lakefeed_core::RowSchema;

use crate::config::{Settings, StreamFormat};

/// What the rows of a stream are (Amazon DynamoDB Streams API Reference, "Record" and "StreamRecord"; Kinesis Data Streams for DynamoDB), in the order
/// in which they are written.
///
/// Keys and images are columns of JSON text: an attribute value can hold others to any depth, and no Arrow type does. In the record key each
/// attribute is a struct of S, N and B, one of which is set.
pub(crate) fn row_schema(settings: &Settings) -> RowSchema {
    let texts = |names: &[&str]| names.iter().map(|name| text(name)).collect::<Vec<_>>();
    let keys_and_images = ["Keys", "NewImage", "OldImage"].map(RowSchema::json_field);
    let time = Field::new("ApproximateCreationDateTime", DataType::Int64, true);
    let size = Field::new("SizeBytes", DataType::Int64, true);
    let mut parts = vec![time];
    parts.extend(keys_and_images);
    let columns = match settings.stream_format {
        StreamFormat::DynamoDb => {
            parts.extend([text("SequenceNumber"), size, text("StreamViewType")]);
            let mut all = texts(&["eventID", "eventName", "eventVersion", "eventSource", "awsRegion"]);
            all.extend([structure("dynamodb", parts), text("eventSourceARN")]);
            all
        }
        StreamFormat::Kinesis => {
            parts.push(size);
            let mut all = texts(&["awsRegion", "eventID", "eventName", "userIdentity", "recordFormat", "tableName"]);
            all.extend([structure("dynamodb", parts), text("eventSource")]);
            all
        }
    };
    let attribute = |name: &str| structure(name, texts(&["S", "N", "B"]));
    let keys: Fields = settings.key_fields.iter().map(|field| attribute(&field.name)).collect();
    RowSchema {
        value: Arc::new(Schema::new(columns)),
        value_name: "Record".to_owned(),
        key: Some(Arc::new(Schema::new(keys))),
        key_name: "Keys".to_owned(),
    }
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn structure(name: &str, parts: Vec<Field>) -> Field {
    Field::new(name, DataType::Struct(parts.into()), true)
}
