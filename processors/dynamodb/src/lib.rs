//! Table writes to DynamoDB stream records.
//!
//! A topic is a table. A record is a put: its value is the whole item, a JSON object. A record without a value is a delete of the
//! item that its key names. What comes out is the stream of the table: a record for each write that changed something, as a Lambda
//! function behind DynamoDB Streams gets it, in the topic `stream.topic`, with the `Keys` as its key.
//!
//! * An item that was not there gives `INSERT`, one that differs `MODIFY`, a delete `REMOVE`. A write that changes nothing gives
//!   nothing, and neither does the delete of an item that is not there. Items are compared in their normal form: `1.50` is `1.5`, maps
//!   and sets have no order.
//! * Plain JSON becomes attribute values: strings `S`, numbers `N` (decimals of 38 digits, never floats), `true` and `false` `BOOL`,
//!   `null` `NULL`, arrays `L`, objects `M`. With `item.format=typed` the values have their types already and are checked as DynamoDB
//!   checks them.
//! * `eventID` hashes topic, partition and offset, and `SequenceNumber` is made of partition and offset: a record that is written
//!   again after a crash has the same ones. `SequenceNumber`s grow within a partition and compare as numbers or as text.
//! * A record that no table would take (malformed, an attribute twice, without its key, too large, ...) is rejected; the others go on.
//!
//! The state of a partition holds, under the `Keys` of each item, a digest of 16 bytes; only if old images are asked for, the image as
//! well.
//!
//! A record key is optional for a put; if there is one, it must name the same item. With one key field it is the value itself, as text
//! (`17`) or as JSON (`"a"`, `{"id":17}`, `{"id":{"N":"17"}}`); with two it is a JSON object of both. A text such as `17` does not say
//! whether it is a number or a string: a put asks the item, and a delete takes the item that is there, the number first.

mod attribute;
mod config;
mod fault;
mod item;
mod json;
mod key;
mod number;
mod processor;
mod record;
mod schema;
mod size;

use lakefeed_core::{Make, Plugin};

/// The plugin.
pub const PLUGIN: Plugin = Plugin {
    class: "DynamoDbProcessorConnector",
    aliases: &[],
    doc: "Turns the writes of a topic, as a DynamoDB table, into the records of its stream.",
    def: config::def,
    validate: config::validate,
    warnings: |_| Vec::new(),
    make: Make::Processor(|config, _| Ok(Box::new(processor::DynamoDbProcessor::new(config::Settings::new(config))))),
};
