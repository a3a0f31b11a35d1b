//! The converters of keys and values: their keys, and what they make of them.

use lakefeed_core::{Config, ConfigError, Importance, Key, KeyKind, PluginKind, nearest};
use lakefeed_formats::{Converter, Single};
use lakefeed_registry::RegistrySettings;

/// The keys of a converter, for keys or for values.
macro_rules! converter_keys {
    ($prefix:literal, $strategy:literal) => {
        &[
            key(concat!($prefix, "schemas.enable"), KeyKind::Boolean, "JsonConverter: whether each record is {\"schema\":..,\"payload\":..}. As in Kafka Connect that is so unless it is set to false."),
            key(concat!($prefix, "schema.content"), KeyKind::String, "JsonConverter with schemas.enable: the schema of all values, which are plain JSON then."),
            key(concat!($prefix, "schemas.cache.size"), KeyKind::Int, "Accepted as in Kafka Connect; 1000 schemas are remembered.").importance(Importance::Low),
            key(concat!($prefix, "decimal.format"), KeyKind::String, "Accepted as in Kafka Connect; decimals are read in both forms.").importance(Importance::Low),
            key(concat!($prefix, "replace.null.with.default"), KeyKind::Boolean, "Accepted as in Kafka Connect; a null stays a null.").importance(Importance::Low),
            key(concat!($prefix, "converter.encoding"), KeyKind::String, "StringConverter: only UTF-8.").importance(Importance::Low),
            key(concat!($prefix, "schema.registry.url"), KeyKind::List, "AvroConverter, JsonSchemaConverter, ProtobufConverter: the addresses of the Schema Registry, with commas; they are tried in turn."),
            key(concat!($prefix, "basic.auth.credentials.source"), KeyKind::String, "AvroConverter: URL (user and password stand in the address) or USER_INFO.").values(&["URL", "USER_INFO"]),
            key(concat!($prefix, "basic.auth.user.info"), KeyKind::Password, "AvroConverter: USER:PASSWORD, with USER_INFO."),
            key(concat!($prefix, "schema.registry.basic.auth.user.info"), KeyKind::Password, "The same as basic.auth.user.info.").importance(Importance::Low),
            key(concat!($prefix, "bearer.auth.credentials.source"), KeyKind::String, "AvroConverter: STATIC_TOKEN sends bearer.auth.token.").values(&["STATIC_TOKEN"]).importance(Importance::Low),
            key(concat!($prefix, "bearer.auth.token"), KeyKind::Password, "AvroConverter: the token, with STATIC_TOKEN.").importance(Importance::Low),
            key(concat!($prefix, "auto.register.schemas"), KeyKind::Boolean, "AvroConverter in a source: whether a schema that the registry does not have is registered; a sink registers nothing.").default("true"),
            key(concat!($prefix, "use.latest.version"), KeyKind::Boolean, "AvroConverter in a source, with auto.register.schemas=false: rows are written with the newest schema of the subject. Otherwise the rows' own schema has to be there.").default("false"),
            key(concat!($prefix, $strategy), KeyKind::Class, "AvroConverter in a source: TopicNameStrategy (the default), RecordNameStrategy or TopicRecordNameStrategy; a sink finds schemas by their ids.").importance(Importance::Low),
        ]
    };
}

/// The keys of a processor's output, for keys or for values.
macro_rules! output_keys {
    ($class:literal, $strategy:literal, $class_doc:literal) => {
        &[
            Key::new($class, KeyKind::Class, $class_doc).importance(Importance::Low).group("Output"),
            output(concat!($class, ".schemas.enable"), KeyKind::Boolean, "JsonConverter: whether each record is {\"schema\":..,\"payload\":..}.").default("false"),
            output(concat!($class, ".schema.registry.url"), KeyKind::List, "AvroConverter: the addresses of the Schema Registry, with commas; they are tried in turn."),
            output(concat!($class, ".basic.auth.credentials.source"), KeyKind::String, "AvroConverter: URL (user and password stand in the address) or USER_INFO.").values(&["URL", "USER_INFO"]),
            output(concat!($class, ".basic.auth.user.info"), KeyKind::Password, "AvroConverter: USER:PASSWORD, with USER_INFO."),
            output(concat!($class, ".schema.registry.basic.auth.user.info"), KeyKind::Password, "The same as basic.auth.user.info.").importance(Importance::Low),
            output(concat!($class, ".bearer.auth.credentials.source"), KeyKind::String, "AvroConverter: STATIC_TOKEN sends bearer.auth.token.").values(&["STATIC_TOKEN"]).importance(Importance::Low),
            output(concat!($class, ".bearer.auth.token"), KeyKind::Password, "AvroConverter: the token, with STATIC_TOKEN.").importance(Importance::Low),
            output(concat!($class, ".auto.register.schemas"), KeyKind::Boolean, "AvroConverter: whether a schema that the registry does not have is registered.").default("true"),
            output(concat!($class, ".use.latest.version"), KeyKind::Boolean, "AvroConverter with auto.register.schemas=false: rows are written with the newest schema of the subject. Otherwise the rows' own schema has to be there.").default("false"),
            output(concat!($class, ".", $strategy), KeyKind::Class, "AvroConverter: TopicNameStrategy (the default), RecordNameStrategy or TopicRecordNameStrategy.").importance(Importance::Low),
        ]
    };
}

const fn output(name: &'static str, kind: KeyKind, doc: &'static str) -> Key {
    Key::new(name, kind, doc).group("Output")
}

const fn key(name: &'static str, kind: KeyKind, doc: &'static str) -> Key {
    Key::new(name, kind, doc).group("Converters")
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
    "value.subject.name.strategy",
    "How values are written: JsonConverter, AvroConverter, StringConverter or ByteArrayConverter. Without it: plain JSON, whatever the worker's file \
     says. value.converter says how those of the topics are read."
);

/// The converter of a processor's keys.
pub(crate) const OUTPUT_KEY_KEYS: &[Key] = output_keys!(
    "output.key.converter",
    "key.subject.name.strategy",
    "How keys are written: JsonConverter, AvroConverter, StringConverter or ByteArrayConverter. Without it: as the processor makes them."
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

const VALUE: &str = "value.converter";

/// The classes of converters, by the names that users of Kafka Connect write.
pub const CONVERTERS: [&str; 12] = [
    "org.apache.kafka.connect.json.JsonConverter",
    "io.confluent.connect.avro.AvroConverter",
    "io.confluent.connect.json.JsonSchemaConverter",
    "io.confluent.connect.protobuf.ProtobufConverter",
    "org.apache.kafka.connect.storage.StringConverter",
    "org.apache.kafka.connect.converters.ByteArrayConverter",
    "org.apache.kafka.connect.converters.IntegerConverter",
    "org.apache.kafka.connect.converters.LongConverter",
    "org.apache.kafka.connect.converters.ShortConverter",
    "org.apache.kafka.connect.converters.DoubleConverter",
    "org.apache.kafka.connect.converters.FloatConverter",
    "org.apache.kafka.connect.converters.BooleanConverter",
];

/// The keys of a converter by its simple name, each as it is called behind `value.converter.`.
pub fn converter_keys(class: &str) -> Vec<(&'static str, &'static Key)> {
    const JSON: &[&str] = &["schemas.enable", "schema.content", "schemas.cache.size", "decimal.format", "replace.null.with.default"];
    const TEXT: &[&str] = &["converter.encoding"];
    let of = |name: &str| match class {
        "JsonConverter" => JSON.contains(&name),
        "StringConverter" => TEXT.contains(&name),
        "AvroConverter" => !JSON.contains(&name) && !TEXT.contains(&name),
        _ => false,
    };
    let named = VALUE_KEYS.iter().map(|key| (key.name.trim_start_matches("value.converter."), key));
    named.filter(|(name, _)| of(name)).collect()
}

fn simple(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or_default()
}

/// How the keys or values of a connector are read.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) converter: Converter,
    /// Where its schemas are.
    pub(crate) registry: Option<RegistrySettings>,
}

/// What a file says of the converter of keys (`side` is `key`) or values (`value`); `None`: nothing.
pub(crate) fn reading(side: &str, config: &Config) -> Result<Option<Reading>, ConfigError> {
    let key = format!("{side}.converter");
    let Some(class) = config.get(&key) else { return Ok(None) };
    let prefix = format!("{key}.");
    let get = |name: &str| config.get(&format!("{prefix}{name}"));
    let single = |single| Ok((Converter::Single(single), None));
    let found: Result<_, ConfigError> = match simple(class) {
        "JsonConverter" => Ok((json(get), None)),
        "AvroConverter" | "JsonSchemaConverter" | "ProtobufConverter" => {
            no_own_certificates(&prefix, config)?;
            let converter = match simple(class) {
                "AvroConverter" => Converter::Avro,
                "ProtobufConverter" => Converter::Protobuf,
                _ => Converter::JsonRegistered,
            };
            RegistrySettings::read(&prefix, get).map(|registry| (converter, Some(registry)))
        }
        "StringConverter" => {
            let encoding = get("converter.encoding").unwrap_or("UTF-8");
            if !matches!(encoding.to_ascii_uppercase().as_str(), "UTF-8" | "UTF8" | "US-ASCII") {
                return Err(ConfigError::value(format!("{prefix}converter.encoding"), encoding, "expected UTF-8"));
            }
            single(Single::Text)
        }
        "ByteArrayConverter" => single(Single::Bytes),
        "IntegerConverter" => single(Single::Integer),
        "LongConverter" => single(Single::Long),
        "ShortConverter" => single(Single::Short),
        "DoubleConverter" => single(Single::Double),
        "FloatConverter" => single(Single::Float),
        "BooleanConverter" => single(Single::Boolean),
        other => {
            let names = || CONVERTERS.iter().map(|class| simple(class));
            let hint = nearest(other, names()).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            Err(ConfigError::value(key, class, format!("no such converter; there are {}{hint}", names().collect::<Vec<_>>().join(", "))))
        }
    };
    found.map(|(converter, registry)| Some(Reading { converter, registry }))
}

fn json<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Converter {
    // Kafka Connect's default.
    let with_schema = get("schemas.enable").is_none_or(|text| text.eq_ignore_ascii_case("true"));
    match get("schema.content") {
        _ if !with_schema => Converter::Json,
        Some(schema) => Converter::JsonOfSchema(schema.to_owned()),
        None => Converter::JsonWithSchema,
    }
}

/// The file that says which converter counts: the connector's if it names one, with its own keys alone, or else the worker's, as Kafka Connect
/// has it. And whether it is the connector's.
fn deciding<'a>(side: &str, connector: &'a Config, worker: &'a Config) -> (&'a Config, bool) {
    let own = connector.get(&format!("{side}.converter")).is_some();
    (if own { connector } else { worker }, own)
}

/// The value converter of a connector.
pub(crate) fn resolve(connector: &Config, worker: &Config) -> Result<Reading, ConfigError> {
    let found = reading("value", deciding("value", connector, worker).0)?;
    Ok(found.unwrap_or(Reading { converter: Converter::Json, registry: None }))
}

/// How a sink reads keys; `None`: not at all, they are kept as the bytes that they are. That is so unless the connector's own file names a
/// converter that makes something of them, or they are transformed: what the worker's file says counts then too.
pub(crate) fn key_reading(connector: &Config, worker: &Config, transformed: bool) -> Result<Option<Reading>, ConfigError> {
    if !transformed {
        return Ok(reading("key", connector)?.filter(|own| !matches!(own.converter, Converter::Single(Single::Text | Single::Bytes))));
    }
    let found = reading("key", deciding("key", connector, worker).0)?;
    Ok(Some(found.unwrap_or(Reading { converter: Converter::Single(Single::Text), registry: None })))
}

/// How the keys and values of rows are written.
#[derive(Debug, Clone)]
pub(crate) struct Forms {
    pub(crate) key: Form,
    pub(crate) value: Form,
}

/// How a converter writes.
#[derive(Debug, Clone)]
pub(crate) enum Form {
    /// As the source or processor makes them: values as JSON, keys as text, or as JSON if they have columns.
    AsItIs,
    /// As text.
    Text,
    /// As JSON.
    Json,
    /// As JSON with its schema.
    JsonWithSchema,
    Avro(Box<AvroOutput>),
}

impl Form {
    pub(crate) fn is_as_it_is(&self) -> bool {
        matches!(self, Self::AsItIs | Self::Text)
    }
}

/// What AvroConverter is told for writing.
#[derive(Debug, Clone)]
pub(crate) struct AvroOutput {
    pub(crate) registry: RegistrySettings,
    pub(crate) register: bool,
    pub(crate) latest: bool,
    pub(crate) strategy: Strategy,
}

/// What the subject of a schema is called (Confluent's `SubjectNameStrategy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    Topic,
    Record,
    TopicRecord,
}

impl Strategy {
    fn named(class: &str) -> Option<Self> {
        match simple(class) {
            "TopicNameStrategy" => Some(Self::Topic),
            "RecordNameStrategy" => Some(Self::Record),
            "TopicRecordNameStrategy" => Some(Self::TopicRecord),
            _ => None,
        }
    }

    /// The subject of a schema; `record` is the full name of its record.
    pub(crate) fn subject(self, topic: &str, is_key: bool, record: Option<&str>) -> Result<String, String> {
        let record = || record.ok_or("only a record has the name that the subject strategy needs: use TopicNameStrategy");
        Ok(match self {
            Self::Topic => format!("{topic}-{}", if is_key { "key" } else { "value" }),
            Self::Record => record()?.to_owned(),
            Self::TopicRecord => format!("{topic}-{}", record()?),
        })
    }
}

/// How a source writes its keys (`side` is `key`) or values (`value`): its own converter, or else the worker's.
///
/// JsonConverter of the worker's file means what the source writes by itself: the worker files that come with Kafka Connect name one that has
/// schemas, and processors read plain JSON.
///
/// # Errors
/// What to set.
pub(crate) fn form(side: &str, connector: &Config, worker: &Config) -> Result<Form, ConfigError> {
    let key = format!("{side}.converter");
    let (config, own) = deciding(side, connector, worker);
    Ok(match named_form(side, &key, config)? {
        Form::JsonWithSchema if own => Form::JsonWithSchema,
        // A key of one column is text without quotes unless the connector asks for JSON.
        Form::Json if own && side == "key" => Form::Json,
        Form::Json | Form::JsonWithSchema => Form::AsItIs,
        other => other,
    })
}

/// How a processor writes its keys (`side` is `key`) or values (`value`): as the converter of its output says, which only its own file names. Its
/// `key.converter` and `value.converter` say how topics are read.
///
/// # Errors
/// What to set.
pub(crate) fn output_form(side: &str, connector: &Config) -> Result<Form, ConfigError> {
    Ok(match named_form(side, &format!("output.{side}.converter"), connector)? {
        // Both are JSON without a converter too.
        Form::Json => Form::AsItIs,
        other => other,
    })
}

/// What the converter writes that `key` names.
fn named_form(side: &str, key: &str, config: &Config) -> Result<Form, ConfigError> {
    let Some(class) = config.get(key) else { return Ok(Form::AsItIs) };
    let prefix = format!("{key}.");
    let get = |name: &str| config.get(&format!("{prefix}{name}"));
    let enabled = |name: &str| get(name).is_some_and(|text| text.eq_ignore_ascii_case("true"));
    match simple(class) {
        "JsonConverter" if enabled("schemas.enable") => Ok(Form::JsonWithSchema),
        "JsonConverter" => Ok(Form::Json),
        "ByteArrayConverter" => Ok(Form::AsItIs),
        "StringConverter" => Ok(Form::Text),
        "AvroConverter" => {
            no_own_certificates(&prefix, config)?;
            let registry = RegistrySettings::read(&prefix, get)?;
            let name = format!("{side}.subject.name.strategy");
            let strategy = get(&name).map_or(Some(Strategy::Topic), Strategy::named).ok_or_else(|| {
                let expected = "expected TopicNameStrategy, RecordNameStrategy or TopicRecordNameStrategy";
                ConfigError::value(format!("{prefix}{name}"), get(&name).unwrap_or_default(), expected)
            })?;
            let (register, latest) =
                (get("auto.register.schemas").is_none_or(|_| enabled("auto.register.schemas")), enabled("use.latest.version"));
            Ok(Form::Avro(Box::new(AvroOutput { registry, register, latest, strategy })))
        }
        _ => {
            let expected = "rows are written as JSON, text or Avro: use JsonConverter, StringConverter or AvroConverter";
            Err(ConfigError::value(key, class, expected))
        }
    }
}

fn no_own_certificates(prefix: &str, config: &Config) -> Result<(), ConfigError> {
    let ssl = format!("{prefix}schema.registry.ssl.");
    match config.with_prefix(&ssl).next() {
        Some((key, _)) => Err(ConfigError::key(
            format!("{ssl}{key}"),
            "not supported: the registry's certificate is checked with those that the system trusts; add it there",
        )),
        None => Ok(()),
    }
}

/// How a processor reads values; `None`: as the plain JSON that they are.
///
/// JsonConverter with schemas has to be asked for in the connector's file: the worker files that come with Kafka Connect ask for one, and sources
/// write plain JSON then.
///
/// # Errors
/// What to set.
pub(crate) fn processor_reading(connector: &Config, worker: &Config) -> Result<Option<Reading>, ConfigError> {
    let (config, own) = deciding("value", connector, worker);
    let asked = own && config.get("value.converter.schemas.enable").is_some();
    match reading("value", config)? {
        None => Ok(None),
        Some(Reading { converter: Converter::Json | Converter::Single(Single::Text | Single::Bytes), .. }) => Ok(None),
        Some(Reading { converter: Converter::JsonWithSchema | Converter::JsonOfSchema(_), .. }) if !asked => Ok(None),
        Some(Reading { converter: Converter::Single(_), .. }) => {
            Err(ConfigError::value(VALUE, config.text(VALUE), "a processor reads objects: use JsonConverter or AvroConverter"))
        }
        found => Ok(found),
    }
}

/// What is wrong with the converters of a connector's file.
pub(crate) fn errors(kind: PluginKind, config: &Config) -> Vec<ConfigError> {
    if kind == PluginKind::Source {
        return ["key", "value"].into_iter().filter_map(|side| form(side, config, config).err()).collect();
    }
    if kind == PluginKind::Processor {
        let written = ["key", "value"].into_iter().filter_map(|side| output_form(side, config).err());
        return processor_reading(config, config).err().into_iter().chain(written).collect();
    }
    let mut errors: Vec<_> = reading("value", config).err().into_iter().collect();
    errors.extend(reading("key", config).err());
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakefeed_core::ConfigDef;

    fn config(text: &str) -> Config {
        let pairs = text.split(' ').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').expect("key=value"));
        let def = ConfigDef::new().keys(CLASSES).keys(VALUE_KEYS).keys(OUTPUT_VALUE_KEYS).keys(OUTPUT_KEY_KEYS);
        let def = PREFIXES.iter().chain(OUTPUT_PREFIXES).fold(def, |def, (prefix, doc)| def.prefix(prefix, doc));
        def.parse(&pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()).expect("valid")
    }

    #[test]
    fn a_connectors_converter_hides_that_of_the_worker_and_all_its_keys() {
        const JSON: &str = "value.converter=org.apache.kafka.connect.json.JsonConverter";
        const PLAIN: &str = " value.converter.schemas.enable=false";
        for (connector, worker, expected) in [
            ("", "", Converter::Json),
            ("", JSON, Converter::JsonWithSchema),
            ("", &format!("{JSON}{PLAIN}")[..], Converter::Json),
            (JSON, &format!("{JSON}{PLAIN}"), Converter::JsonWithSchema),
            (&format!("{JSON}{PLAIN}"), JSON, Converter::Json),
            // As in Kafka Connect the connector's sub-keys mean nothing without its class.
            (PLAIN, JSON, Converter::JsonWithSchema),
            ("value.converter=StringConverter", JSON, Converter::Single(Single::Text)),
            (
                &format!("{JSON} value.converter.schema.content={{\"type\":\"string\"}}"),
                "",
                Converter::JsonOfSchema("{\"type\":\"string\"}".into()),
            ),
            ("value.converter=io.confluent.connect.avro.AvroConverter value.converter.schema.registry.url=http://a", "", Converter::Avro),
        ] {
            let found = resolve(&config(connector), &config(worker)).expect("valid");
            assert_eq!(found.converter, expected, "{connector} / {worker}");
            assert_eq!(found.registry.is_some(), expected == Converter::Avro);
        }
    }

    #[test]
    fn mistakes_name_the_key_and_what_there_is() {
        for (kind, keys, expected) in [
            (PluginKind::Sink, "value.converter=a.AvroConvertor", "did you mean AvroConverter?"),
            (PluginKind::Sink, "value.converter=AvroConverter", "value.converter.schema.registry.url: is required"),
            (
                PluginKind::Sink,
                "value.converter=AvroConverter value.converter.schema.registry.url=https://a value.converter.schema.registry.ssl.truststore.location=x",
                "value.converter.schema.registry.ssl.truststore.location: not supported",
            ),
            (PluginKind::Sink, "value.converter=StringConverter value.converter.converter.encoding=UTF-16", "expected UTF-8"),
            (PluginKind::Source, "value.converter=LongConverter", "rows are written as JSON, text or Avro"),
            (PluginKind::Source, "value.converter=AvroConverter", "value.converter.schema.registry.url: is required"),
            (
                PluginKind::Source,
                "value.converter=AvroConverter value.converter.schema.registry.url=http://a value.converter.value.subject.name.strategy=a.B",
                "expected TopicNameStrategy, RecordNameStrategy or TopicRecordNameStrategy",
            ),
            (PluginKind::Processor, "value.converter=LongConverter", "a processor reads objects"),
            (
                PluginKind::Processor,
                "output.value.converter=LongConverter",
                "output.value.converter = 'LongConverter': rows are written as",
            ),
            (PluginKind::Processor, "output.key.converter=AvroConverter", "output.key.converter.schema.registry.url: is required"),
        ] {
            let errors = errors(kind, &config(keys));
            assert!(errors.len() == 1 && errors[0].to_string().contains(expected), "{keys}: {errors:?}");
        }
        assert!(errors(PluginKind::Source, &config("value.converter=JsonConverter")).is_empty());
    }

    #[test]
    fn a_processor_reads_plain_json_unless_it_is_told_otherwise() {
        let says = |connector: &str, worker: &str| {
            let found = processor_reading(&config(connector), &config(worker)).map_err(|error| error.to_string())?;
            Ok::<_, String>(found.map(|found| found.converter))
        };
        let json = "value.converter=JsonConverter";
        assert_eq!(says("", ""), Ok(None));
        assert_eq!(says("", json), Ok(None));
        assert_eq!(says("", &format!("{json} value.converter.schemas.enable=true")), Ok(None));
        assert_eq!(says(&format!("{json} value.converter.schemas.enable=true"), ""), Ok(Some(Converter::JsonWithSchema)));
        let avro = "value.converter=AvroConverter value.converter.schema.registry.url=http://r";
        assert_eq!(says("", avro), Ok(Some(Converter::Avro)));
        assert_eq!(says(&format!("{json} value.converter.schemas.enable=false"), avro), Ok(None));
    }

    #[test]
    fn a_source_writes_what_its_converter_says() {
        let said = |connector: &str, worker: &str| match form("value", &config(connector), &config(worker)).expect("valid") {
            Form::Avro(avro) => format!("Avro {} {} {:?}", avro.register, avro.latest, avro.strategy),
            other => format!("{other:?}"),
        };
        let avro = "value.converter=AvroConverter value.converter.schema.registry.url=http://a";
        let more = "value.converter.auto.register.schemas=false value.converter.use.latest.version=true \
                    value.converter.value.subject.name.strategy=io.confluent.kafka.serializers.subject.RecordNameStrategy";
        let enveloped = "value.converter=JsonConverter value.converter.schemas.enable=true";
        for (connector, worker, expected) in [
            ("", "", "AsItIs"),
            ("", avro, "Avro true false Topic"),
            (&format!("{avro} {more}")[..], "", "Avro false true Record"),
            ("value.converter=JsonConverter", avro, "AsItIs"),
            (enveloped, "", "JsonWithSchema"),
            ("", enveloped, "AsItIs"),
            ("value.converter=org.apache.kafka.connect.storage.StringConverter", "", "Text"),
        ] {
            assert_eq!(said(connector, worker), expected, "{connector} / {worker}");
        }
    }

    #[test]
    fn a_processor_writes_json_unless_its_output_has_a_converter() {
        let said = |side: &str, connector: &str| match output_form(side, &config(connector)).expect("valid") {
            Form::Avro(avro) => format!("Avro {} {:?}", avro.register, avro.strategy),
            other => format!("{other:?}"),
        };
        let avro = "output.value.converter=AvroConverter output.value.converter.schema.registry.url=http://a";
        let named = "output.value.converter.value.subject.name.strategy=RecordNameStrategy";
        for (side, connector, expected) in [
            ("value", "", "AsItIs"),
            ("value", "value.converter=AvroConverter value.converter.schema.registry.url=http://a", "AsItIs"),
            ("value", "output.value.converter=JsonConverter", "AsItIs"),
            ("key", "output.key.converter=JsonConverter", "AsItIs"),
            ("value", "output.value.converter=JsonConverter output.value.converter.schemas.enable=true", "JsonWithSchema"),
            ("value", avro, "Avro true Topic"),
            ("key", avro, "AsItIs"),
            ("value", &format!("{avro} {named} output.value.converter.auto.register.schemas=false"), "Avro false Record"),
        ] {
            assert_eq!(said(side, connector), expected, "{side}: {connector}");
        }
    }

    #[test]
    fn subjects_are_named_as_the_strategy_says() {
        let subject = |strategy: Strategy, is_key, record| strategy.subject("t", is_key, record);
        assert_eq!(subject(Strategy::Topic, true, None).as_deref(), Ok("t-key"));
        assert_eq!(subject(Strategy::Topic, false, Some("a.B")).as_deref(), Ok("t-value"));
        assert_eq!(subject(Strategy::Record, false, Some("a.B")).as_deref(), Ok("a.B"));
        assert_eq!(subject(Strategy::TopicRecord, false, Some("a.B")).as_deref(), Ok("t-a.B"));
        assert!(subject(Strategy::Record, true, None).is_err());
    }
}
