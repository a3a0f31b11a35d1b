//! The offsets of consumer groups without members: what an operator sees and sets.

use std::time::{Duration, Instant};

use lakefeed_core::{Error, Result, TopicPartition};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};

use crate::ClientSettings;
use crate::admin::{admin_runtime, client, unreachable};
use crate::error::wrap;

/// How long members have to leave: a little more than a session of Kafka's default lasts (`session.timeout.ms`, 45 s).
const LEAVING: Duration = Duration::from_secs(50);

/// What a group has committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOffset {
    /// The partition.
    pub partition: TopicPartition,
    /// The next offset to read.
    pub offset: i64,
    /// The text beside it.
    pub metadata: String,
}

/// Every offset that the group `group.id` of the settings has committed, in the order of the partitions.
///
/// # Errors
/// `Retry`: no answer within `timeout`.
pub fn group_offsets(settings: &ClientSettings, timeout: Duration) -> Result<Vec<GroupOffset>> {
    let client = client(settings)?;
    let metadata = client.fetch_metadata(None, timeout).map_err(|e| unreachable(settings, timeout, e))?;
    let mut list = TopicPartitionList::new();
    for topic in metadata.topics() {
        for partition in topic.partitions() {
            list.add_partition(topic.name(), partition.id());
        }
    }
    let list = client.committed_offsets(list, timeout).map_err(|e| unreachable(settings, timeout, e))?;
    let found = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(offset) => Some(GroupOffset {
            partition: TopicPartition::new(element.topic(), element.partition()),
            offset,
            metadata: element.metadata().to_owned(),
        }),
        _ => None,
    };
    let mut offsets: Vec<GroupOffset> = list.elements().iter().filter_map(found).collect();
    offsets.sort_by(|a, b| a.partition.cmp(&b.partition));
    Ok(offsets)
}

/// Sets offsets of the group `group.id` of the settings; waits for members that are leaving.
///
/// # Errors
/// `Config`: the group keeps its members, or a partition does not exist. `Retry`: not now.
pub fn set_group_offsets(settings: &ClientSettings, offsets: &[GroupOffset]) -> Result<()> {
    if offsets.is_empty() {
        return Ok(());
    }
    let mut list = TopicPartitionList::new();
    for GroupOffset { partition, offset, metadata } in offsets {
        list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*offset))
            .map_err(|e| wrap(format!("{partition}: offset {offset} is not valid"), e))?;
        if let Some(mut element) = list.find_partition(&partition.topic, partition.partition).filter(|_| !metadata.is_empty()) {
            element.set_metadata(metadata);
        }
    }
    let client = client(settings)?;
    once_empty(|| client.commit(&list, CommitMode::Sync)).map_err(|e| refused(settings, e))
}

/// Removes the group `group.id` of the settings with all its offsets; a group that is not there is none. Waits for members that are leaving.
///
/// # Errors
/// `Config`: the group keeps its members. `Retry`: no answer within `timeout`.
pub fn delete_group(settings: &ClientSettings, timeout: Duration) -> Result<()> {
    let group = settings.get("group.id").unwrap_or_default();
    let admin: AdminClient<DefaultClientContext> = settings.native().create().map_err(|e| unreachable(settings, timeout, e))?;
    let options = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
    let runtime = admin_runtime()?;
    let delete = || match runtime.block_on(admin.delete_groups(&[group], &options))?.into_iter().next() {
        None | Some(Ok(_) | Err((_, Code::GroupIdNotFound))) => Ok(()),
        Some(Err((_, code))) => Err(KafkaError::AdminOp(code)),
    };
    once_empty(delete).map_err(|e| if code(&e).is_some() { refused(settings, e) } else { unreachable(settings, timeout, e) })
}

/// Tries again while the group has members: one that was closed while it joined stays a member, to the broker, until its session ends.
fn once_empty(attempt: impl Fn() -> KafkaResult<()>) -> KafkaResult<()> {
    let deadline = Instant::now() + LEAVING;
    loop {
        match attempt() {
            Err(error) if has_members(&error) && Instant::now() < deadline => std::thread::sleep(Duration::from_millis(200)),
            done => return done,
        }
    }
}

fn code(error: &KafkaError) -> Option<Code> {
    if let KafkaError::AdminOp(code) = error { Some(*code) } else { error.rdkafka_error_code() }
}

fn has_members(error: &KafkaError) -> bool {
    matches!(code(error), Some(Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress | Code::NonEmptyGroup))
}

fn refused(settings: &ClientSettings, cause: KafkaError) -> Error {
    let group = settings.get("group.id").unwrap_or_default();
    if has_members(&cause) {
        return Error::config(format!("the group {group} still has members; wait until they have left")).with_source(cause);
    }
    match code(&cause) {
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
            Error::config(format!("a partition does not exist on Kafka at {}", settings.bootstrap())).with_source(cause)
        }
        _ => wrap(format!("the offsets of the group {group} can't be changed"), cause),
    }
}
