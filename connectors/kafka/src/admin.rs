//! Topics, and the offsets of groups.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lakefeed_core::{Error, Result, TopicPartition};
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};

use crate::ClientSettings;
use crate::error::{of_code, wrap};

/// Whether the brokers answer; the id of their cluster, if they have one. The error says what to check.
///
/// # Errors
/// `Retry`: they don't, within `timeout`.
pub fn probe(settings: &ClientSettings, timeout: Duration) -> Result<Option<String>> {
    let client = client(settings)?;
    client.fetch_metadata(None, timeout).map_err(|e| unreachable(settings, timeout, e))?;
    // It came with the metadata.
    Ok(client.client().fetch_cluster_id(Duration::from_millis(100)))
}

pub(crate) fn unreachable(settings: &ClientSettings, timeout: Duration, cause: KafkaError) -> Error {
    wrap(
        format!(
            "no answer from Kafka at {} within {} s; check bootstrap.servers, that a broker listens there, and security.protocol",
            settings.bootstrap(),
            timeout.as_secs()
        ),
        cause,
    )
}

/// A client for questions. A consumer: asking it for a topic never makes the topic.
pub(crate) fn client(settings: &ClientSettings) -> Result<BaseConsumer> {
    let failed = |e| wrap(format!("can't connect to Kafka at {}", settings.bootstrap()), e);
    settings.clone().set("allow.auto.create.topics", "false").native().create().map_err(failed)
}

/// The partitions of a topic; `None` if there is no such topic.
fn partitions(client: &BaseConsumer, settings: &ClientSettings, topic: &str, timeout: Duration) -> Result<Option<i32>> {
    let metadata = client.fetch_metadata(Some(topic), timeout).map_err(|e| unreachable(settings, timeout, e))?;
    let Some(found) = metadata.topics().iter().find(|t| t.name() == topic) else { return Ok(None) };
    match found.error().map(Code::from) {
        None => Ok(Some(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX)).filter(|n| *n > 0)),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(None),
        Some(code) => Err(Error::new(of_code(code), format!("topic {topic}: {code}"))),
    }
}

/// How a topic is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicSpec {
    /// `None`: as many as the brokers make by default.
    pub partitions: Option<i32>,
    /// `None`: as many as the brokers make by default.
    pub replicas: Option<i32>,
    /// Settings of the topic, under Kafka's names.
    pub settings: BTreeMap<String, String>,
}

impl TopicSpec {
    /// With so many partitions, and as the brokers do otherwise.
    pub fn with_partitions(partitions: Option<i32>) -> Self {
        Self { partitions, ..Self::default() }
    }
}

/// Makes a topic unless it is there; returns how many partitions it has. There is at most one replica on each broker.
///
/// # Errors
/// `Retry`: no answer within `timeout`. `Config`: the brokers refuse the topic.
pub fn ensure_topic(settings: &ClientSettings, topic: &str, spec: &TopicSpec, timeout: Duration) -> Result<i32> {
    let new = NewTopic::new(topic, spec.partitions.unwrap_or(-1), TopicReplication::Fixed(spec.replicas.unwrap_or(-1)));
    ensure(settings, spec.settings.iter().fold(new, |new, (key, value)| new.set(key, value)), timeout)
}

/// Makes a compacted topic unless it is there, with at most as many replicas as there are brokers (`replicas` -1: as many as the brokers make
/// by default); returns how many partitions it has. One that is there must be compacted.
///
/// # Errors
/// `Retry`: no answer within `timeout`. `Config`: the brokers refuse the topic, or it is not compacted.
pub fn ensure_compacted(settings: &ClientSettings, topic: &str, wanted: i32, replicas: i32, timeout: Duration) -> Result<i32> {
    let new = NewTopic::new(topic, wanted, TopicReplication::Fixed(replicas)).set("cleanup.policy", "compact");
    let count = ensure(settings, new, timeout)?;
    match cleanup_policy(settings, topic, timeout)? {
        Some(policy) if policy != "compact" => Err(Error::config(format!(
            "topic {topic}: cleanup.policy is '{policy}', which would forget what the cluster must remember; expected 'compact': alter the topic, or name \
             another one"
        ))),
        Some(_) => Ok(count),
        None => {
            tracing::warn!(target: "lakefeed", topic, "The brokers do not tell the topic's cleanup.policy; make sure that it is compact");
            Ok(count)
        }
    }
}

/// A topic's `cleanup.policy`, if the brokers tell it.
fn cleanup_policy(settings: &ClientSettings, topic: &str, timeout: Duration) -> Result<Option<String>> {
    let admin: AdminClient<DefaultClientContext> = settings.native().create().map_err(|e| unreachable(settings, timeout, e))?;
    let options = AdminOptions::new().request_timeout(Some(timeout));
    let asked = admin_runtime()?.block_on(admin.describe_configs([&ResourceSpecifier::Topic(topic)], &options));
    let described = asked.map_err(|e| unreachable(settings, timeout, e))?;
    let policy = |config: &ConfigResource| config.get("cleanup.policy")?.value.clone();
    Ok(described.iter().find_map(|found| policy(found.as_ref().ok()?)))
}

/// Makes a topic unless it is there, with at most as many replicas as there are brokers; returns how many partitions it has.
fn ensure(settings: &ClientSettings, mut new: NewTopic<'_>, timeout: Duration) -> Result<i32> {
    let (client, topic) = (client(settings)?, new.name);
    if let Some(count) = partitions(&client, settings, topic, timeout)? {
        return Ok(count);
    }
    if let TopicReplication::Fixed(replicas @ 2..) = new.replication {
        let metadata = client.fetch_metadata(Some(topic), timeout).map_err(|e| unreachable(settings, timeout, e))?;
        let brokers = i32::try_from(metadata.brokers().len()).unwrap_or(i32::MAX).max(1);
        if replicas > brokers {
            tracing::warn!(target: "lakefeed", topic, wanted = replicas, brokers, "The topic is made with a replica on each broker: there are fewer brokers than replicas wanted");
            new.replication = TopicReplication::Fixed(brokers);
        }
    }
    create(settings, &new, timeout)?;
    // The brokers answer before each of them knows the topic.
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(count) = partitions(&client, settings, topic, timeout)? {
            return Ok(count);
        }
        if Instant::now() > deadline {
            return Err(Error::retry(format!("topic {topic} was made but does not show up within {} s", timeout.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn create(settings: &ClientSettings, new: &NewTopic<'_>, timeout: Duration) -> Result<()> {
    let failed = |e| wrap(format!("topic {} can't be made on Kafka at {}", new.name, settings.bootstrap()), e);
    let admin: AdminClient<DefaultClientContext> = settings.native().create().map_err(failed)?;
    let options = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
    let results = admin_runtime()?.block_on(admin.create_topics([new], &options)).map_err(failed)?;
    match results.into_iter().next() {
        None | Some(Ok(_) | Err((_, Code::TopicAlreadyExists))) => Ok(()),
        Some(Err((_, code))) => Err(failed(KafkaError::AdminOp(code))),
    }
}

/// What the futures of an admin client run on.
pub(crate) fn admin_runtime() -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_current_thread().enable_time().build();
    built.map_err(|e| Error::fatal("can't start the runtime of the admin client").with_source(e))
}

/// How many partitions these topics have together, as far as they exist. A name that begins with `^` is a pattern, and counts as none.
///
/// # Errors
/// `Retry`: no answer within `timeout`.
pub fn partition_count(settings: &ClientSettings, topics: &[String], timeout: Duration) -> Result<usize> {
    let client = client(settings)?;
    let names = topics.iter().filter(|topic| !topic.starts_with('^'));
    let count = |topic: &String| Ok(partitions(&client, settings, topic, timeout)?.and_then(|n| usize::try_from(n).ok()).unwrap_or(0));
    names.map(count).sum()
}

/// For each partition of a topic its first offset and the offset after its last record.
///
/// # Errors
/// `Retry`: no answer within `timeout`. `Config`: no such topic.
pub fn log_ends(settings: &ClientSettings, topic: &str, timeout: Duration) -> Result<Vec<(TopicPartition, i64, i64)>> {
    let client = client(settings)?;
    let ends = |p| {
        let (low, high) = client.fetch_watermarks(topic, p, timeout).map_err(|e| unreachable(settings, timeout, e))?;
        Ok((TopicPartition::new(topic, p), low, high))
    };
    (0..existing(&client, settings, topic, timeout)?).map(ends).collect()
}

/// For each partition of a topic the offset that a consumer group has committed; `None` where it has committed none. The group does not
/// notice.
///
/// # Errors
/// `Retry`: no answer within `timeout`. `Config`: no such topic.
pub fn committed(settings: &ClientSettings, group: &str, topic: &str, timeout: Duration) -> Result<Vec<(TopicPartition, Option<i64>)>> {
    let settings = settings.clone().set("group.id", group);
    let client = client(&settings)?;
    let mut list = TopicPartitionList::new();
    for p in 0..existing(&client, &settings, topic, timeout)? {
        list.add_partition(topic, p);
    }
    let list = client.committed_offsets(list, timeout).map_err(|e| unreachable(&settings, timeout, e))?;
    let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
    Ok(list.elements().iter().map(|e| (TopicPartition::new(topic, e.partition()), offset(e.offset()))).collect())
}

/// The partitions of a topic that must be there.
fn existing(client: &BaseConsumer, settings: &ClientSettings, topic: &str, timeout: Duration) -> Result<i32> {
    let count = partitions(client, settings, topic, timeout)?;
    count.ok_or_else(|| Error::config(format!("topic {topic} does not exist on Kafka at {}", settings.bootstrap())))
}
