//! The client of a Schema Registry with Confluent's API: schemas by their ids, and new schemas under subjects.
//!
//! Its calls block; make them on a thread that has entered a tokio runtime and is none of its workers.

mod http;
mod settings;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use lakefeed_core::{Error, Result};
use serde_json::{Value, json};

pub use settings::RegistrySettings;

use crate::http::Client;

/// How many schemas are remembered, and how many ids that there are not; then they are asked for again.
const REMEMBERED: usize = 1000;

/// How long an id is taken to be unknown: another registry may still be catching up.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);

/// How deep references may refer to references.
const MAX_REFERENCES: usize = 64;

/// The error code of an unknown schema id (Confluent's API reference, "GET /schemas/ids/{int: id}").
const SCHEMA_NOT_FOUND: u64 = 40403;

/// A registered schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// The subjects that it is registered under, the first hundred; none where the registry does not say.
    pub subjects: Vec<String>,
    /// `AVRO`, `JSON` or `PROTOBUF`.
    pub kind: String,
    /// Its text.
    pub text: String,
    /// The schemas that it refers to, each after those that it needs itself.
    pub references: Vec<String>,
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
        let Some(answer) = self.find(&format!("/schemas/ids/{id}"))? else {
            room(&mut self.unknown).insert(id, Instant::now());
            return Ok(None);
        };
        let mut references = Vec::new();
        self.references(&answer, &mut references, 0)?;
        let schema = Schema {
            subjects: self.subjects(id),
            kind: answer["schemaType"].as_str().unwrap_or("AVRO").to_owned(),
            text: text_of(&answer)?,
            references,
        };
        room(&mut self.known).insert(id, schema.clone());
        Ok(Some(schema))
    }

    /// Registers an Avro schema under a subject and returns its id. One that is registered already has its id already.
    ///
    /// # Errors
    /// `Retry`: no registry answers now. `Config`: it refuses the schema, for example because it is not compatible.
    pub fn register(&mut self, subject: &str, schema: &str) -> Result<u32> {
        self.post(&format!("/subjects/{}/versions", encoded(subject)), subject, schema)
    }

    /// The id of an Avro schema that is registered under a subject.
    ///
    /// # Errors
    /// As [`Registry::register`]; `Config` too if it is not registered.
    pub fn lookup(&mut self, subject: &str, schema: &str) -> Result<u32> {
        self.post(&format!("/subjects/{}", encoded(subject)), subject, schema)
    }

    fn post(&mut self, path: &str, subject: &str, schema: &str) -> Result<u32> {
        let answer = self.client.send(path, Some(json!({ "schema": schema }).to_string()))?;
        let refused = || Error::config(format!("the registry refuses the schema of subject {subject}: {}", answer.fault()));
        if !answer.is_success() {
            return Err(refused());
        }
        answer.body["id"].as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(refused)
    }

    /// The subjects of a schema: for messages only, so it may fail.
    fn subjects(&mut self, id: u32) -> Vec<String> {
        let answer = self.client.send(&format!("/schemas/ids/{id}/versions"), None).ok();
        let versions = answer.and_then(|answer| answer.body.as_array().cloned()).unwrap_or_default();
        versions.iter().filter_map(|version| version["subject"].as_str()).take(100).map(str::to_owned).collect()
    }

    fn references(&mut self, schema: &Value, found: &mut Vec<String>, depth: usize) -> Result<()> {
        for reference in schema["references"].as_array().into_iter().flatten() {
            let (subject, version) = (reference["subject"].as_str().unwrap_or_default(), &reference["version"]);
            if depth > MAX_REFERENCES || found.len() > REMEMBERED {
                return Err(Error::config(format!("the schemas that subject {subject} refers to have no end")));
            }
            let path = format!("/subjects/{}/versions/{version}", encoded(subject));
            let answer = self.find(&path)?;
            let answer = answer
                .ok_or_else(|| Error::config(format!("a schema refers to subject {subject}, version {version}, and there is none")))?;
            self.references(&answer, found, depth + 1)?;
            let text = text_of(&answer)?;
            if !found.contains(&text) {
                found.push(text);
            }
        }
        Ok(())
    }

    /// What is at a path; `None` if the registry does not have it.
    fn find(&mut self, path: &str) -> Result<Option<Value>> {
        let answer = self.client.send(path, None)?;
        match answer.status {
            _ if answer.is_success() => Ok(Some(answer.body)),
            404 if answer.body["error_code"].as_u64() == Some(SCHEMA_NOT_FOUND) => Ok(None),
            _ => Err(Error::config(format!("no Schema Registry is at this address: GET {path} was answered with {}", answer.fault()))),
        }
    }
}

fn text_of(answer: &Value) -> Result<String> {
    let text = answer["schema"].as_str().map(str::to_owned);
    text.ok_or_else(|| Error::config("no Schema Registry is at this address: what should be a schema has none"))
}

/// The map, empty if it was full.
fn room<V>(map: &mut HashMap<u32, V>) -> &mut HashMap<u32, V> {
    if map.len() >= REMEMBERED {
        map.clear();
    }
    map
}

/// A segment of a path.
fn encoded(segment: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    segment.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
