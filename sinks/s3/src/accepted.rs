//! Keys of the Confluent S3 sink that existing files have, and that say nothing here: what they steer does not exist, or is always so.
//!
//! A value that would change what is written is refused, with what there is in its place.

use lakefeed_core::{Importance, Key, KeyKind, Validator};

/// What the keys of the licence of Confluent's products begin with.
pub(crate) const LICENCE: (&str, &str) = ("confluent.", "Accepted as in the Confluent S3 sink, without effect: no licence is needed.");

const fn key(name: &'static str, kind: KeyKind, doc: &'static str) -> Key {
    Key::new(name, kind, doc).importance(Importance::Low).group("Accepted, without effect")
}

const fn no(name: &'static str, doc: &'static str, validator: Validator) -> Key {
    key(name, KeyKind::Boolean, doc).validator(validator)
}

/// Those without effect.
pub(crate) const KEYS: &[Key] = &[
    key("storage.class", KeyKind::Class, "Where files go is said by store.url and s3.bucket.name."),
    key("schema.generator.class", KeyKind::Class, "Tables are made by `lakefeed crawl`."),
    key("schema.compatibility", KeyKind::String, "Columns are added and types widen, whatever it says.").values(&[
        "NONE",
        "BACKWARD",
        "FORWARD",
        "FULL",
        "BACKWARD_TRANSITIVE",
        "FORWARD_TRANSITIVE",
        "FULL_TRANSITIVE",
    ]),
    key("schemas.cache.config", KeyKind::Int, "There is no such cache."),
    key("schema.cache.size", KeyKind::Int, "There is no such cache."),
    key("enhanced.avro.schema.support", KeyKind::Boolean, "Enums are text, and no names of packages are kept."),
    key("connect.meta.data", KeyKind::Boolean, "Files have Arrow's schema."),
    key("allow.optional.map.keys", KeyKind::Boolean, "Keys of maps are never null."),
    key("rotate.file.on.partition.change", KeyKind::Boolean, "Rows of one lake partition never close files of another."),
    key("max.write.duration.ms", KeyKind::Long, "Writing never blocks the group."),
    key("shutdown.timeout.ms", KeyKind::Long, "The worker's task.shutdown.graceful.timeout.ms counts."),
    key("max.files.scan.limit", KeyKind::Int, "No other name is looked for: a file that is there was written by the same rule."),
    key("partitioner.max.open.files", KeyKind::Int, "Open files are bounded by memory.budget.bytes."),
    key("enable.conditional.writes", KeyKind::Boolean, "Writes are always conditional."),
    key("s3.elastic.buffer.enable", KeyKind::Boolean, "Buffers always grow with their contents."),
    key("s3.elastic.buffer.init.capacity", KeyKind::Int, "Buffers always grow with their contents."),
    key("json.decimal.format", KeyKind::String, "Decimals are numbers.").values(&["BASE64", "NUMERIC"]),
    key("format.bytearray.extension", KeyKind::String, "There is no ByteArrayFormat."),
    key("format.bytearray.separator", KeyKind::String, "There is no ByteArrayFormat."),
    key("keys.format.class", KeyKind::Class, "Keys are a column, see store.kafka.keys."),
    key("headers.format.class", KeyKind::Class, "Headers are a column, see store.kafka.headers."),
    key("tombstone.encoded.partition", KeyKind::String, "Records without a value are not written, see behavior.on.null.values."),
    no("store.kafka.keys", "false. Keys are a column: metadata.columns=_key.", no_keys),
    no("store.kafka.headers", "false. Headers are a column: metadata.columns=_headers.", no_headers),
    key("s3.schema.partition.affix.type", KeyKind::String, "NONE: names of schemas are not part of paths.").values(&["NONE"]),
];

fn no_keys(value: &str) -> Result<(), String> {
    only_false(value, "files of keys are not written; set metadata.columns=_key for a column of them")
}

fn no_headers(value: &str) -> Result<(), String> {
    only_false(value, "files of headers are not written; set metadata.columns=_headers for a column of them")
}

fn only_false(value: &str, instead: &str) -> Result<(), String> {
    if value.eq_ignore_ascii_case("false") { Ok(()) } else { Err(instead.into()) }
}
