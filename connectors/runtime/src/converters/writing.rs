//! How rows are written: what the converters of sources, and of the output of processors, are told.

use lakefeed_core::{Config, ConfigError};
use lakefeed_formats::SchemaKind;
use lakefeed_registry::RegistrySettings;

use super::{deciding, no_own_certificates, simple};

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
    /// Behind the id of a schema in a registry.
    Registered(Box<RegistryOutput>),
}

impl Form {
    pub(crate) fn is_as_it_is(&self) -> bool {
        matches!(self, Self::AsItIs | Self::Text)
    }
}

/// What a converter with a Schema Registry is told for writing.
#[derive(Debug, Clone)]
pub(crate) struct RegistryOutput {
    pub(crate) kind: SchemaKind,
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
    let (config, own) = deciding(side, connector, worker);
    named_form(side, &format!("{side}.converter"), config, own)
}

/// How a processor writes its keys (`side` is `key`) or values (`value`): as the converter of its output says, which only its own file names. Its
/// `key.converter` and `value.converter` say how topics are read.
///
/// # Errors
/// What to set.
pub(crate) fn output_form(side: &str, connector: &Config) -> Result<Form, ConfigError> {
    named_form(side, &format!("output.{side}.converter"), connector, true)
}

/// What the converter writes that `key` names; `own`: in the connector's own file.
fn named_form(side: &str, key: &str, config: &Config, own: bool) -> Result<Form, ConfigError> {
    let Some(class) = config.get(key) else { return Ok(Form::AsItIs) };
    let prefix = format!("{key}.");
    let get = |name: &str| config.get(&format!("{prefix}{name}"));
    let enabled = |name: &str| get(name).is_some_and(|text| text.eq_ignore_ascii_case("true"));
    match simple(class) {
        "JsonConverter" if own && enabled("schemas.enable") => Ok(Form::JsonWithSchema),
        // A source's key of one column is text without quotes unless the connector asks for JSON. Everything else is JSON by itself.
        "JsonConverter" if own && key == "key.converter" => Ok(Form::Json),
        "JsonConverter" | "ByteArrayConverter" => Ok(Form::AsItIs),
        "StringConverter" => Ok(Form::Text),
        "AvroConverter" | "JsonSchemaConverter" | "ProtobufConverter" => {
            no_own_certificates(&prefix, config)?;
            let kind = match simple(class) {
                "AvroConverter" => SchemaKind::Avro,
                "ProtobufConverter" => SchemaKind::Protobuf,
                _ => SchemaKind::Json,
            };
            let registry = RegistrySettings::read(&prefix, get)?;
            let name = format!("{side}.subject.name.strategy");
            let strategy = get(&name).map_or(Some(Strategy::Topic), Strategy::named).ok_or_else(|| {
                let expected = "expected TopicNameStrategy, RecordNameStrategy or TopicRecordNameStrategy";
                ConfigError::value(format!("{prefix}{name}"), get(&name).unwrap_or_default(), expected)
            })?;
            let (register, latest) =
                (get("auto.register.schemas").is_none_or(|_| enabled("auto.register.schemas")), enabled("use.latest.version"));
            Ok(Form::Registered(Box::new(RegistryOutput { kind, registry, register, latest, strategy })))
        }
        _ => {
            let expected = "rows are written as JSON, text, Avro or Protobuf: use JsonConverter, StringConverter, AvroConverter, JsonSchemaConverter or \
                            ProtobufConverter";
            Err(ConfigError::value(key, class, expected))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::config;
    use super::*;

    #[test]
    fn a_source_writes_what_its_converter_says() {
        let said = |connector: &str, worker: &str| match form("value", &config(connector), &config(worker)).expect("valid") {
            Form::Registered(output) => format!("{:?} {} {} {:?}", output.kind, output.register, output.latest, output.strategy),
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
            (&format!("{} {more}", avro.replace("Avro", "Protobuf")), "", "Protobuf false true Record"),
            (&avro.replace("AvroConverter", "io.confluent.connect.json.JsonSchemaConverter"), "", "Json true false Topic"),
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
            Form::Registered(output) => format!("{:?} {} {:?}", output.kind, output.register, output.strategy),
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
