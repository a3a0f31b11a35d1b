//! The converters of keys and values: how those of topics are read, and those of rows written.

mod keys;
mod writing;

use lakefeed_core::{Config, ConfigError, PluginKind, nearest};
use lakefeed_formats::{Converter, Single};
use lakefeed_registry::RegistrySettings;

pub use keys::converter_keys;
pub(crate) use keys::{CLASSES, KEY_KEYS, OUTPUT_KEY_KEYS, OUTPUT_PREFIXES, OUTPUT_VALUE_KEYS, PREFIXES, VALUE_KEYS};
pub(crate) use writing::{Form, Forms, RegistryOutput, form, output_form};

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

    pub(super) fn config(text: &str) -> Config {
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
            (PluginKind::Source, "value.converter=LongConverter", "rows are written as JSON, text, Avro or Protobuf"),
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
}
