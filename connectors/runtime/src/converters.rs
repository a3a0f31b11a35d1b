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
            key(concat!($prefix, "schema.registry.url"), KeyKind::List, "AvroConverter: the addresses of the Schema Registry, with commas; they are tried in turn."),
            key(concat!($prefix, "basic.auth.credentials.source"), KeyKind::String, "AvroConverter: URL (user and password stand in the address) or USER_INFO.").values(&["URL", "USER_INFO"]),
            key(concat!($prefix, "basic.auth.user.info"), KeyKind::Password, "AvroConverter: USER:PASSWORD, with USER_INFO."),
            key(concat!($prefix, "schema.registry.basic.auth.user.info"), KeyKind::Password, "The same as basic.auth.user.info.").importance(Importance::Low),
            key(concat!($prefix, "bearer.auth.credentials.source"), KeyKind::String, "AvroConverter: STATIC_TOKEN sends bearer.auth.token.").values(&["STATIC_TOKEN"]).importance(Importance::Low),
            key(concat!($prefix, "bearer.auth.token"), KeyKind::Password, "AvroConverter: the token, with STATIC_TOKEN.").importance(Importance::Low),
            key(concat!($prefix, "auto.register.schemas"), KeyKind::Boolean, "Accepted as in Kafka Connect; sinks register nothing.").importance(Importance::Low),
            key(concat!($prefix, "use.latest.version"), KeyKind::Boolean, "Accepted as in Kafka Connect; records are read with the schema that they were written with.").importance(Importance::Low),
            key(concat!($prefix, $strategy), KeyKind::Class, "Accepted as in Kafka Connect; sinks find schemas by their ids.").importance(Importance::Low),
        ]
    };
}

const fn key(name: &'static str, kind: KeyKind, doc: &'static str) -> Key {
    Key::new(name, kind, doc).group("Converters")
}

/// The converters.
pub(crate) const CLASSES: &[Key] = &[
    Key::new("key.converter", KeyKind::Class, "Accepted as in Kafka Connect; keys are kept as the bytes that they are.")
        .importance(Importance::Low)
        .group("Connector"),
    Key::new(
        "value.converter",
        KeyKind::Class,
        "How values are read: JsonConverter, AvroConverter, StringConverter, ByteArrayConverter, IntegerConverter, LongConverter, ShortConverter, \
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

/// Other keys of converters: Kafka Connect knows more, and custom classes have their own.
pub(crate) const PREFIXES: &[(&str, &str)] = &[
    ("key.converter.", "Accepted as in Kafka Connect."),
    ("value.converter.", "Accepted as in Kafka Connect."),
    ("header.converter.", "Accepted as in Kafka Connect."),
];

const VALUE: &str = "value.converter";

/// The classes of converters, by the names that users of Kafka Connect write.
pub const CONVERTERS: [&str; 10] = [
    "org.apache.kafka.connect.json.JsonConverter",
    "io.confluent.connect.avro.AvroConverter",
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
pub fn converter_keys(class: &str) -> impl Iterator<Item = (&'static str, &'static Key)> {
    const JSON: &[&str] = &["schemas.enable", "schema.content", "schemas.cache.size", "decimal.format", "replace.null.with.default"];
    const TEXT: &[&str] = &["converter.encoding"];
    let of = |name: &str| match class {
        "JsonConverter" => JSON.contains(&name),
        "StringConverter" => TEXT.contains(&name),
        "AvroConverter" => !JSON.contains(&name) && !TEXT.contains(&name),
        _ => false,
    };
    let named = VALUE_KEYS.iter().map(|key| (key.name.trim_start_matches("value.converter."), key));
    named.filter(|(name, _)| of(name)).collect::<Vec<_>>().into_iter()
}

fn simple(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or_default()
}

/// How the values of a connector are read.
#[derive(Debug, Clone)]
pub(crate) struct ValueConverter {
    pub(crate) converter: Converter,
    /// Where its schemas are.
    pub(crate) registry: Option<RegistrySettings>,
}

/// What a file says of the value converter; `None`: nothing.
pub(crate) fn value_converter(config: &Config) -> Result<Option<ValueConverter>, ConfigError> {
    let Some(class) = config.get(VALUE) else { return Ok(None) };
    let single = |single| Ok((Converter::Single(single), None));
    let found: Result<_, ConfigError> = match simple(class) {
        "JsonConverter" => Ok((json(config), None)),
        "AvroConverter" => {
            let prefix = "value.converter.";
            if let Some((key, _)) = config.with_prefix("value.converter.schema.registry.ssl.").next() {
                let key = format!("value.converter.schema.registry.ssl.{key}");
                return Err(ConfigError::key(
                    key,
                    "not supported: the registry's certificate is checked with those that the system trusts; add it there",
                ));
            }
            let registry = RegistrySettings::read(prefix, |name| config.get(&format!("{prefix}{name}")));
            registry.map(|registry| (Converter::Avro, Some(registry)))
        }
        "StringConverter" => {
            let encoding = config.get("value.converter.converter.encoding").unwrap_or("UTF-8");
            if !matches!(encoding.to_ascii_uppercase().as_str(), "UTF-8" | "UTF8" | "US-ASCII") {
                return Err(ConfigError::value("value.converter.converter.encoding", encoding, "expected UTF-8"));
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
            Err(ConfigError::value(VALUE, class, format!("no such converter; there are {}{hint}", names().collect::<Vec<_>>().join(", "))))
        }
    };
    found.map(|(converter, registry)| Some(ValueConverter { converter, registry }))
}

fn json(config: &Config) -> Converter {
    // Kafka Connect's default.
    let with_schema = config.get("value.converter.schemas.enable").is_none_or(|text| text.eq_ignore_ascii_case("true"));
    match config.get("value.converter.schema.content") {
        _ if !with_schema => Converter::Json,
        Some(schema) => Converter::JsonOfSchema(schema.to_owned()),
        None => Converter::JsonWithSchema,
    }
}

/// The value converter of a connector: its own, with its own keys alone, or else the worker's, as Kafka Connect has it.
pub(crate) fn resolve(connector: &Config, worker: &Config) -> Result<ValueConverter, ConfigError> {
    let found = match value_converter(connector)? {
        Some(own) => Some(own),
        None => value_converter(worker)?,
    };
    Ok(found.unwrap_or(ValueConverter { converter: Converter::Json, registry: None }))
}

/// Sources and processors write and read plain JSON: what the worker's file says for all connectors may not fit. An envelope that is asked
/// for is left out with a warning, because the worker files that come with Kafka Connect ask for one.
///
/// # Errors
/// What to set.
pub(crate) fn plain_json(connector: &Config, worker: &Config, name: &str) -> Result<(), ConfigError> {
    if connector.get(VALUE).is_some() {
        return Ok(());
    }
    match resolve(connector, worker)?.converter {
        Converter::Json | Converter::Single(Single::Text | Single::Bytes) => Ok(()),
        Converter::JsonWithSchema | Converter::JsonOfSchema(_) => {
            tracing::warn!(
                target: "lakefeed", connector = name,
                "The worker's value.converter has schemas; this connector writes and reads plain JSON. Set value.converter and \
                 value.converter.schemas.enable=false in its file to say so"
            );
            Ok(())
        }
        Converter::Avro | Converter::Single(_) => Err(ConfigError::value(
            VALUE,
            worker.text(VALUE),
            "sources and processors write and read plain JSON; set value.converter=org.apache.kafka.connect.json.JsonConverter and \
             value.converter.schemas.enable=false in the connector's file",
        )),
    }
}

/// What is wrong with the converters of a connector's file.
pub(crate) fn errors(kind: PluginKind, config: &Config) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    match value_converter(config) {
        Err(error) => errors.push(error),
        Ok(Some(found)) => errors.extend(unfit(kind, &found.converter, config)),
        Ok(None) => {}
    }
    errors
}

/// Sources and processors write and read plain JSON.
fn unfit(kind: PluginKind, converter: &Converter, config: &Config) -> Option<ConfigError> {
    let plain = match converter {
        Converter::Json | Converter::Single(Single::Text | Single::Bytes) => true,
        // Not said, so it is taken for plain.
        Converter::JsonWithSchema => config.get("value.converter.schemas.enable").is_none(),
        _ => false,
    };
    if kind == PluginKind::Sink || plain {
        return None;
    }
    let class = config.text(VALUE);
    let what = if kind == PluginKind::Source { "a source writes" } else { "a processor reads" };
    Some(ConfigError::value(
        VALUE,
        class,
        format!("{what} plain JSON: use org.apache.kafka.connect.json.JsonConverter with schemas.enable=false"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakefeed_core::ConfigDef;

    fn config(text: &str) -> Config {
        let pairs = text.split(' ').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').expect("key=value"));
        let def = PREFIXES.iter().fold(ConfigDef::new().keys(CLASSES).keys(VALUE_KEYS), |def, (prefix, doc)| def.prefix(prefix, doc));
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
            (PluginKind::Source, "value.converter=LongConverter", "a source writes plain JSON"),
            (PluginKind::Processor, "value.converter=JsonConverter value.converter.schemas.enable=true", "a processor reads plain JSON"),
        ] {
            let errors = errors(kind, &config(keys));
            assert!(errors.len() == 1 && errors[0].to_string().contains(expected), "{keys}: {errors:?}");
        }
        assert!(errors(PluginKind::Source, &config("value.converter=JsonConverter")).is_empty());
    }

    #[test]
    fn what_the_worker_says_for_all_fits_a_source_or_is_named() {
        let says = |connector: &str, worker: &str| plain_json(&config(connector), &config(worker), "c").map_err(|error| error.to_string());
        assert_eq!(says("", ""), Ok(()));
        assert_eq!(says("", "value.converter=JsonConverter"), Ok(()));
        let avro = "value.converter=AvroConverter value.converter.schema.registry.url=http://r";
        assert_eq!(says("value.converter=JsonConverter value.converter.schemas.enable=false", avro), Ok(()));
        let error = says("", avro).expect_err("no Avro");
        assert!(error.contains("AvroConverter") && error.contains("schemas.enable=false in the connector's file"), "{error}");
    }
}
