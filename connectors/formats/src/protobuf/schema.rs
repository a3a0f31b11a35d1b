//! Protobuf files, as registries keep them, and their messages as types of columns.

use arrow_schema::{DataType, TimeUnit};
use prost_reflect::{Cardinality, FileDescriptor, Kind, MessageDescriptor};
use protox::Compiler;
use protox::file::{File, FileResolver, GoogleFileResolver};

use crate::avro_schema::{MAX_DEPTH, MAX_PARTS};
use crate::schema::UTC;
use crate::typed::{Field, Type, Wire};

/// The registered file's own name: files have none in a registry, and no reference can be called so.
const ROOT: &str = "//schema.proto";

/// What producers import without registering it.
const KNOWN: [(&str, &str); 4] = [
    ("confluent/meta.proto", include_str!("meta.proto")),
    ("confluent/type/decimal.proto", include_str!("decimal.proto")),
    ("google/type/date.proto", include_str!("date.proto")),
    ("google/type/timeofday.proto", include_str!("timeofday.proto")),
];

/// Points in time, which are one value here.
pub(crate) const TIMESTAMP: &str = "google.protobuf.Timestamp";

/// Dates, which are one value here too, as for Confluent's converters.
pub(crate) const DATE: &str = "google.type.Date";

/// And times of day.
pub(crate) const TIME_OF_DAY: &str = "google.type.TimeOfDay";

/// Reads a file; `references` are the files that it and they import, by the names that the imports have.
///
/// # Errors
/// What is wrong with it. A file without a message is of no use.
pub(crate) fn parse(text: &str, references: &[(String, String)]) -> Result<FileDescriptor, String> {
    let mut compiler = Compiler::with_file_resolver(Registered { text: text.to_owned(), references: references.to_vec() });
    compiler.open_file(ROOT).map_err(|e| format!("the schema is no Protobuf file that can be used: {e}"))?;
    let file = compiler.descriptor_pool().get_file_by_name(ROOT).filter(|file| file.messages().len() > 0);
    file.ok_or_else(|| "the schema has no message".to_owned())
}

struct Registered {
    text: String,
    references: Vec<(String, String)>,
}

impl FileResolver for Registered {
    fn resolve_path(&self, path: &std::path::Path) -> Option<String> {
        path.to_str().map(str::to_owned)
    }

    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == ROOT {
            return File::from_source(name, &self.text);
        }
        let references = self.references.iter().map(|(of, text)| (of.as_str(), text.as_str()));
        match references.chain(KNOWN).find(|(of, _)| *of == name) {
            Some((_, text)) => File::from_source(name, text),
            None => GoogleFileResolver::new().open_file(name),
        }
    }
}

/// The message that `path` names: the first number among those of the file, each other one inside the message before.
///
/// # Errors
/// There is no such message.
pub(crate) fn message_of(file: &FileDescriptor, path: &[usize]) -> Result<MessageDescriptor, String> {
    let [first, inner @ ..] = path else { return Err("the value names no message".to_owned()) };
    let found = inner.iter().try_fold(file.messages().nth(*first), |message, index| Some(message?.child_messages().nth(*index)));
    found.flatten().ok_or_else(|| format!("the value is of the message {path:?} (numbers as in the file), and the schema has none such"))
}

/// The fields of a message. Those of a `oneof` stand beside the others; all but one of them are null.
///
/// # Errors
/// What can't be columns: a message that contains itself.
pub(crate) fn fields_of(message: &MessageDescriptor) -> Result<Vec<Field>, String> {
    Reader { parts: 0, open: Vec::new() }.fields(message)
}

struct Reader {
    parts: usize,
    /// The messages around the one that is read.
    open: Vec<MessageDescriptor>,
}

impl Reader {
    fn fields(&mut self, message: &MessageDescriptor) -> Result<Vec<Field>, String> {
        if self.open.contains(message) {
            return Err(format!("the message {} contains itself, and columns can't", message.full_name()));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("the schema is nested more than {MAX_DEPTH} deep"));
        }
        self.open.push(message.clone());
        let fields = message.fields().map(|field| {
            let kind = if field.is_map() {
                self.kind(&map_value(&field.kind())).map(|of| Type::Map(Box::new(of)))
            } else if field.cardinality() == Cardinality::Repeated {
                self.kind(&field.kind()).map(|item| Type::List(Box::new(item)))
            } else {
                self.kind(&field.kind())
            };
            Ok(Field::new(field.name(), kind.map_err(|e| format!("field {}: {e}", field.name()))?))
        });
        let fields = fields.collect::<Result<Vec<_>, String>>();
        self.open.pop();
        fields
    }

    fn kind(&mut self, kind: &Kind) -> Result<Type, String> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(format!("the schema has more than {MAX_PARTS} parts"));
        }
        let (wire, kind) = match kind {
            Kind::Message(message) if message.full_name() == TIMESTAMP => {
                (Wire::Long, DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())))
            }
            Kind::Message(message) if message.full_name() == DATE => (Wire::Int, DataType::Date32),
            Kind::Message(message) if message.full_name() == TIME_OF_DAY => (Wire::Long, DataType::Time64(TimeUnit::Microsecond)),
            Kind::Message(message) => return Ok(Type::Record(self.fields(message)?)),
            Kind::Double => (Wire::Double, DataType::Float64),
            Kind::Float => (Wire::Float, DataType::Float32),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => (Wire::Int, DataType::Int32),
            // Without a sign: Kafka Connect, Arrow's columns here and most readers have signed integers only.
            Kind::Uint32 | Kind::Fixed32 | Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => {
                (Wire::Long, DataType::Int64)
            }
            Kind::Bool => (Wire::Boolean, DataType::Boolean),
            Kind::String | Kind::Enum(_) => (Wire::String, DataType::Utf8),
            Kind::Bytes => (Wire::Bytes, DataType::Binary),
        };
        Ok(Type::leaf(wire, kind))
    }
}

/// The type of a map's values; maps are messages of key and value.
pub(super) fn map_value(entry: &Kind) -> Kind {
    match entry {
        Kind::Message(entry) if entry.is_map_entry() => entry.map_entry_value_field().kind(),
        other => other.clone(),
    }
}
