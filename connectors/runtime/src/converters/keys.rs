//! The keys of converters.

use lakefeed_core::{Importance, Key, KeyKind};

/// The keys of a converter, under the heading `$group`: its own, and those of all converters that have their schemas in a Schema Registry.
macro_rules! keys {
    ($group:literal, $prefix:literal, $strategy:literal, [$($own:expr),* $(,)?]) => {
        &[
            $($own,)*
            key($group, concat!($prefix, "schema.registry.url"), KeyKind::List, "AvroConverter, JsonSchemaConverter, ProtobufConverter: the addresses of the Schema Registry, with commas; they are tried in turn."),
            key($group, concat!($prefix, "basic.auth.credentials.source"), KeyKind::String, "To the Schema Registry: URL (user and password stand in the address) or USER_INFO.").values(&["URL", "USER_INFO"]),
            key($group, concat!($prefix, "basic.auth.user.info"), KeyKind::Password, "To the Schema Registry: USER:PASSWORD, with USER_INFO."),
            key($group, concat!($prefix, "schema.registry.basic.auth.user.info"), KeyKind::Password, "The same as basic.auth.user.info.").importance(Importance::Low),
            key($group, concat!($prefix, "bearer.auth.credentials.source"), KeyKind::String, "To the Schema Registry: STATIC_TOKEN sends bearer.auth.token.").values(&["STATIC_TOKEN"]).importance(Importance::Low),
            key($group, concat!($prefix, "bearer.auth.token"), KeyKind::Password, "To the Schema Registry: the token, with STATIC_TOKEN.").importance(Importance::Low),
            key($group, concat!($prefix, "auto.register.schemas"), KeyKind::Boolean, "For rows that are written with a schema of the registry: whether one that it does not have is registered. Reading registers nothing.").default("true"),
            key($group, concat!($prefix, "use.latest.version"), KeyKind::Boolean, "With auto.register.schemas=false: rows are written with the newest schema of the subject. Otherwise the rows' own schema has to be there.").default("false"),
            key($group, concat!($prefix, $strategy), KeyKind::Class, "The subject of rows that are written: TopicNameStrategy (the default), RecordNameStrategy or TopicRecordNameStrategy. Reading finds schemas by their ids.").importance(Importance::Low),
        ]
    };
}

/// The keys of a converter, for keys or for values.
macro_rules! converter_keys {
    ($prefix:literal, $strategy:literal) => {
        keys!("Converters", $prefix, $strategy, [
            key("Converters", concat!($prefix, "schemas.enable"), KeyKind::Boolean, "JsonConverter: whether each record is {\"schema\":..,\"payload\":..}. As in Kafka Connect that is so unless it is set to false."),
            key("Converters", concat!($prefix, "schema.content"), KeyKind::String, "JsonConverter with schemas.enable: the schema of all values, which are plain JSON then."),
            key("Converters", concat!($prefix, "schemas.cache.size"), KeyKind::Int, "Accepted as in Kafka Connect; 1000 schemas are remembered.").importance(Importance::Low),
            key("Converters", concat!($prefix, "decimal.format"), KeyKind::String, "Accepted as in Kafka Connect; decimals are read in both forms.").importance(Importance::Low),
            key("Converters", concat!($prefix, "replace.null.with.default"), KeyKind::Boolean, "Accepted as in Kafka Connect; a null stays a null.").importance(Importance::Low),
            key("Converters", concat!($prefix, "converter.encoding"), KeyKind::String, "StringConverter: only UTF-8.").importance(Importance::Low),
        ])
    };
}

/// The keys of a processor's output, for keys or for values.
macro_rules! output_keys {
    ($class:literal, $prefix:literal, $strategy:literal, $class_doc:literal) => {
        keys!(
            "Output",
            $prefix,
            $strategy,
            [
                key("Output", $class, KeyKind::Class, $class_doc).importance(Importance::Low),
                key(
                    "Output",
                    concat!($prefix, "schemas.enable"),
                    KeyKind::Boolean,
                    "JsonConverter: whether each record is {\"schema\":..,\"payload\":..}."
                )
                .default("false"),
            ]
        )
    };
}

const fn key(group: &'static str, name: &'static str, kind: KeyKind, doc: &'static str) -> Key {
    Key::new(name, kind, doc).group(group)
}

/// The converters.
pub(crate) const CLASSES: &[Key] = &[
    Key::new("key.converter", KeyKind::Class, "How keys are read by transforms of keys and, where it is named here and makes something of them, for _key in metadata.columns; how sources write them. Without it: text.")
        .importance(Importance::Low)
        .group("Connector"),
    Key::new(
        "value.converter",
        KeyKind::Class,
        "How values are read: JsonConverter, AvroConverter, JsonSchemaConverter, ProtobufConverter, StringConverter, ByteArrayConverter, IntegerConverter, LongConverter, ShortConverter, \
         DoubleConverter, FloatConverter or BooleanConverter. Without it here and in the worker's file: plain JSON.",
    )
    .importance(Importance::Low)
    .group("Connector"),
    Key::new("header.converter", KeyKind::Class, "Accepted as in Kafka Connect; headers are kept as they are.")
        .importance(Importance::Low)
        .group("Connector"),
];

/// The keys of the key converter.
pub(crate) const KEY_KEYS: &[Key] = converter_keys!("key.converter.", "key.subject.name.strategy");

/// The keys of the value converter.
pub(crate) const VALUE_KEYS: &[Key] = converter_keys!("value.converter.", "value.subject.name.strategy");

/// The converter of a processor's values.
pub(crate) const OUTPUT_VALUE_KEYS: &[Key] = output_keys!(
    "output.value.converter",
    "output.value.converter.",
    "value.subject.name.strategy",
    "How values are written: JsonConverter, AvroConverter, JsonSchemaConverter, ProtobufConverter, StringConverter or ByteArrayConverter. Without it: plain JSON, whatever the worker's file \
     says. value.converter says how those of the topics are read."
);

/// The converter of a processor's keys.
pub(crate) const OUTPUT_KEY_KEYS: &[Key] = output_keys!(
    "output.key.converter",
    "output.key.converter.",
    "key.subject.name.strategy",
    "How keys are written: JsonConverter, AvroConverter, JsonSchemaConverter, ProtobufConverter, StringConverter or ByteArrayConverter. Without it: as the processor makes them."
);

/// Other keys of a processor's output.
pub(crate) const OUTPUT_PREFIXES: &[(&str, &str)] =
    &[("output.key.converter.", "Accepted as in Kafka Connect."), ("output.value.converter.", "Accepted as in Kafka Connect.")];

/// Other keys of converters: Kafka Connect knows more, and custom classes have their own.
pub(crate) const PREFIXES: &[(&str, &str)] = &[
    ("key.converter.", "Accepted as in Kafka Connect."),
    ("value.converter.", "Accepted as in Kafka Connect."),
    ("header.converter.", "Accepted as in Kafka Connect."),
];

/// The keys of a converter by its simple name, each as it is called behind `value.converter.`.
pub fn converter_keys(class: &str) -> Vec<(&'static str, &'static Key)> {
    const JSON: &[&str] = &["schemas.enable", "schema.content", "schemas.cache.size", "decimal.format", "replace.null.with.default"];
    const TEXT: &[&str] = &["converter.encoding"];
    let of = |name: &str| match class {
        "JsonConverter" => JSON.contains(&name),
        "StringConverter" => TEXT.contains(&name),
        "AvroConverter" | "JsonSchemaConverter" | "ProtobufConverter" => !JSON.contains(&name) && !TEXT.contains(&name),
        _ => false,
    };
    let named = VALUE_KEYS.iter().map(|key| (key.name.trim_start_matches("value.converter."), key));
    named.filter(|(name, _)| of(name)).collect()
}
