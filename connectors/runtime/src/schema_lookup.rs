//! Schemas from the registry for the decoder.

use std::time::{Duration, Instant};

use lakefeed_core::{ErrorKind, Records, Result};
use lakefeed_formats::{Decoder, WriterSchema};
use lakefeed_registry::{Registry, RegistrySettings};

use crate::backoff::Backoff;
use crate::connector::Connector;

/// The first wait, as in Kafka Connect.
const FIRST_WAIT: Duration = Duration::from_millis(300);

/// Asks the registry for schemas that a decoder needs. When it does not answer, the records wait, and the task goes on serving its group; with
/// `errors.retry.timeout` they can't be used after that time.
#[derive(Debug)]
pub(crate) struct SchemaLookup {
    connector: String,
    registry: Option<Registry>,
    backoff: Backoff,
    /// How long records wait.
    limit: Option<Duration>,
    /// Since when it has not answered, and when it is asked again.
    outage: Option<(Instant, Instant)>,
}

impl SchemaLookup {
    pub(crate) fn open(connector: &Connector, settings: Option<&RegistrySettings>) -> Result<Self> {
        let registry = settings.map(Registry::new).transpose()?;
        let (limit, longest) = connector.retries();
        Ok(Self { connector: connector.name.clone(), registry, backoff: Backoff::new(FIRST_WAIT, longest), limit, outage: None })
    }

    /// Whether it is time to ask again.
    pub(crate) fn is_due(&self) -> bool {
        self.outage.is_none_or(|(_, again)| Instant::now() >= again)
    }

    /// Gives the decoder the schemas that `records` name; false if the registry does not answer now.
    pub(crate) fn teach(&mut self, decoder: &mut Decoder, records: &Records) -> Result<bool> {
        let (Some(registry), Some(wanted)) = (&mut self.registry, decoder.registered()) else { return Ok(true) };
        let mut gave_up = false;
        for id in decoder.unknown_schemas(records) {
            let schema = match registry.schema(id) {
                Ok(Some(schema)) if schema.kind == wanted => {
                    let subject = schema.subject_for(&records.topic).to_owned();
                    Ok(WriterSchema { subject, text: schema.text, references: schema.references })
                }
                Ok(Some(schema)) => {
                    let subject = schema.subject_for(&records.topic);
                    Err(format!("schema id {id} of subject {subject} is of the type {}, and the converter reads {wanted}", schema.kind))
                }
                Ok(None) => Err(format!(
                    "the registry has no schema with id {id} (subject unknown): point schema.registry.url to the registry that the producer used"
                )),
                Err(error) if error.kind() == ErrorKind::Retry => {
                    let now = Instant::now();
                    if self.outage.is_none() {
                        tracing::warn!(
                            target: "lakefeed", connector = %self.connector, error = %error.chain(),
                            "The Schema Registry does not answer; records wait until it does"
                        );
                    }
                    let since = self.outage.map_or(now, |(since, _)| since);
                    let again = now + self.backoff.delay();
                    let Some(limit) = self.limit.filter(|limit| now >= since + *limit) else {
                        self.outage = Some((since, self.limit.map_or(again, |limit| again.min(since + limit))));
                        return Ok(false);
                    };
                    self.outage = Some((since, again));
                    gave_up = true;
                    Err(format!("{}; it has been asked for {} ms (errors.retry.timeout)", error.chain(), limit.as_millis()))
                }
                Err(error) => return Err(error),
            };
            decoder.learn_schema(id, schema);
        }
        if let Some((since, _)) = self.outage.take_if(|_| !gave_up) {
            self.backoff.reset();
            tracing::info!(target: "lakefeed", connector = %self.connector, seconds = since.elapsed().as_secs(), "The Schema Registry answers again");
        }
        Ok(true)
    }
}
