//! The client of a Schema Registry with Confluent's API: schemas by their ids, and new schemas under subjects.
//!
//! Its calls block; make them on a thread that has entered a tokio runtime and is none of its workers.

mod client;
mod settings;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use lakefeed_core::{Error, Result};
use schema_registry_converter::async_impl::schema_registry::{
    get_schema_by_id, get_schema_by_subject_and_version, perform_sr_call, post_schema,
};
use schema_registry_converter::schema_registry_common::{RegisteredReference, RegisteredSchema, SchemaType, SrCall, SuppliedSchema};
use serde_json::json;

pub use settings::RegistrySettings;

use crate::client::{Client, Refusal};

/// How many schemas are remembered, and how many ids that there are not; then they are asked for again.
const REMEMBERED: usize = 1000;

/// How long an id is taken to be unknown: another registry may still be catching up.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);

/// How deep references may refer to references.
const MAX_REFERENCES: usize = 64;

/// The error codes of an unknown subject, version and schema id (Confluent's API reference, "Errors").
const NOT_FOUND: [u32; 3] = [40401, 40402, 40403];

/// A registered schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// The subjects that it is registered under, the first hundred; none where the registry does not say.
    pub subjects: Vec<String>,
    /// `AVRO`, `JSON` or `PROTOBUF`.
    pub kind: String,
    /// Its text.
    pub text: String,
    /// The schemas that it refers to, with the names that it has for them, each after those that it needs itself.
    pub references: Vec<(String, String)>,
}

/// A Schema Registry.
#[derive(Debug)]
pub struct Registry {
    client: Client,
    known: HashMap<u32, Schema>,
    unknown: HashMap<u32, Instant>,
}

impl Schema {
    /// The subject to name in messages about a topic: one of the topic, if there is one.
    pub fn subject_for(&self, topic: &str) -> &str {
        let of_topic = |subject: &&String| subject.strip_prefix(topic).is_some_and(|rest| rest.starts_with('-'));
        self.subjects.iter().find(of_topic).or_else(|| self.subjects.first()).map_or("?", |subject| subject)
    }
}

impl Registry {
    /// Sends nothing yet.
    ///
    /// # Errors
    /// `Config`: the system's certificates can't be read, and an address begins with https.
    pub fn new(settings: &RegistrySettings) -> Result<Self> {
        Ok(Self { client: Client::new(settings)?, known: HashMap::new(), unknown: HashMap::new() })
    }

    /// The schema with this id; `None` if there is none.
    ///
    /// # Errors
    /// `Retry`: no registry answers now. `Config`: it refuses the credentials, or is none.
    pub fn schema(&mut self, id: u32) -> Result<Option<Schema>> {
        if let Some(schema) = self.known.get(&id) {
            return Ok(Some(schema.clone()));
        }
        if self.unknown.get(&id).is_some_and(|since| since.elapsed() < UNKNOWN_FOR) {
            return Ok(None);
        }
        let answer = self.client.ask(async |registry| get_schema_by_id(id, registry).await)?;
        let Some(found) = there_is(answer, &format!("schema id {id}"))? else {
            room(&mut self.unknown).insert(id, Instant::now());
            return Ok(None);
        };
        let mut schema = self.with_references(found)?;
        schema.subjects = self.client.subjects(id);
        room(&mut self.known).insert(id, schema.clone());
        Ok(Some(schema))
    }

    /// The newest schema of a subject and its id; `None` if there is no such subject.
    ///
    /// # Errors
    /// As [`Registry::schema`].
    pub fn latest(&mut self, subject: &str) -> Result<Option<(u32, Schema)>> {
        let path = encoded(subject);
        let answer = self.client.ask(async |registry| get_schema_by_subject_and_version(registry, &path, None).await)?;
        let Some(found) = there_is(answer, &format!("subject {subject}"))? else { return Ok(None) };
        let id = found.id;
        let mut schema = self.with_references(found)?;
        schema.subjects.push(subject.to_owned());
        Ok(Some((id, schema)))
    }

    /// Registers a schema, of the kind that [`Schema::kind`] names, under a subject and returns its id. One that is registered already has its id already.
    ///
    /// # Errors
    /// `Retry`: no registry answers now. `Config`: it refuses the schema, for example because it is not compatible.
    pub fn register(&mut self, subject: &str, kind: &str, schema: &str) -> Result<u32> {
        let path = encoded(subject);
        let supplied = SuppliedSchema::new(None, SchemaType::Other(kind.to_owned()), schema.to_owned());
        let answer = self.client.ask(async |registry| post_schema(registry, path.clone(), supplied.clone()).await)?;
        answer.map(|found| found.id).map_err(|refusal| refused(subject, &refusal))
    }

    /// The id of a schema that is registered under a subject.
    ///
    /// # Errors
    /// As [`Registry::register`]; `Config` too if it is not registered.
    pub fn lookup(&mut self, subject: &str, kind: &str, schema: &str) -> Result<u32> {
        let (path, body) = (encoded(subject), json!({ "schema": schema, "schemaType": kind }).to_string());
        let answer = self.client.ask(async |registry| perform_sr_call(registry, SrCall::PostForVersion(&path, &body)).await)?;
        let found = answer.map_err(|refusal| refused(subject, &refusal))?;
        found.id.ok_or_else(|| Error::config(format!("no Schema Registry is at this address: subject {subject} has no id")))
    }

    fn with_references(&mut self, found: RegisteredSchema) -> Result<Schema> {
        let mut references = Vec::new();
        self.references(&found.references, &mut references, 0)?;
        let kind = match found.schema_type {
            SchemaType::Avro => "AVRO".to_owned(),
            SchemaType::Json => "JSON".to_owned(),
            SchemaType::Protobuf => "PROTOBUF".to_owned(),
            SchemaType::Other(kind) => kind,
            other => format!("{other:?}"),
        };
        Ok(Schema { subjects: Vec::new(), kind, text: found.schema, references })
    }

    fn references(&mut self, references: &[RegisteredReference], found: &mut Vec<(String, String)>, depth: usize) -> Result<()> {
        for RegisteredReference { name, subject, version, .. } in references {
            if depth > MAX_REFERENCES || found.len() > REMEMBERED {
                return Err(Error::config(format!("the schemas that subject {subject} refers to have no end")));
            }
            let path = encoded(subject);
            let answer = self.client.ask(async |registry| get_schema_by_subject_and_version(registry, &path, Some(*version)).await)?;
            let what = format!("subject {subject}, version {version}");
            let schema = there_is(answer, &what)?.ok_or_else(|| Error::config(format!("a schema refers to {what}, and there is none")))?;
            self.references(&schema.references, found, depth + 1)?;
            let named = (name.clone(), schema.schema);
            if !found.contains(&named) {
                found.push(named);
            }
        }
        Ok(())
    }
}

/// What was found; `None` if the registry says that there is nothing.
fn there_is<T>(answer: Result<T, Refusal>, what: &str) -> Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(refusal) if refusal.status == 404 && NOT_FOUND.contains(&refusal.code) => Ok(None),
        Err(refusal) => Err(Error::config(format!("no Schema Registry is at this address: {what} was answered with {}", refusal.told()))),
    }
}

fn refused(subject: &str, refusal: &Refusal) -> Error {
    Error::config(format!("the registry refuses the schema of subject {subject}: {}", refusal.told()))
}

/// The map, empty if it was full.
fn room<V>(map: &mut HashMap<u32, V>) -> &mut HashMap<u32, V> {
    if map.len() >= REMEMBERED {
        map.clear();
    }
    map
}

/// A segment of a path. The library encodes slashes only.
fn encoded(segment: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    segment.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
