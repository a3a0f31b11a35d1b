//! What librdkafka calls back.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use lakefeed_core::TopicPartition;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::statistics::{Statistics, Topic as TopicStatistics};
use rdkafka::types::RDKafkaRespErr;

#[derive(Debug)]
pub(crate) enum Rebalance {
    Assign(Vec<TopicPartition>),
    Revoke(Vec<TopicPartition>),
}

/// Collects rebalances for the task to answer. Once the consumer closes nobody is left to answer, so they are answered at once.
#[derive(Debug, Default)]
pub(crate) struct Context {
    pub(crate) rebalances: Mutex<VecDeque<Rebalance>>,
    pub(crate) closing: AtomicBool,
    /// Records between what is committed and the end of the log, as librdkafka told last.
    pub(crate) lag: Mutex<HashMap<TopicPartition, i64>>,
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        // librdkafka retries by itself; what matters to the task comes out of `poll`.
        tracing::warn!(target: "lakefeed", error = %error, "Kafka client: {reason}");
    }

    fn stats(&self, statistics: Statistics) {
        let of_topic = |(topic, of): (String, TopicStatistics)| {
            let topic: Arc<str> = topic.into();
            of.partitions.into_values().map(move |p| (TopicPartition::new(Arc::clone(&topic), p.partition), p.consumer_lag))
        };
        let lag = statistics.topics.into_iter().flat_map(of_topic).filter(|(_, lag)| *lag >= 0).collect();
        // Locked for an assignment or a copy only.
        *self.lag.lock().unwrap_or_else(|e| e.into_inner()) = lag;
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.closing.load(Ordering::Acquire) {
            // A failure leaves the group by the session timeout.
            let _ = if err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS { Ok(()) } else { unassign(consumer, list) };
            return;
        }
        let partitions = names(list);
        let rebalance = match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign(partitions),
            _ => Rebalance::Revoke(partitions),
        };
        // The lock is held for a push or a pop only; poisoned it still holds the queue.
        self.rebalances.lock().unwrap_or_else(|e| e.into_inner()).push_back(rebalance);
    }
}

pub(crate) fn unassign(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        _ => consumer.unassign(),
    }
}

fn names(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|e| TopicPartition::new(e.topic(), e.partition())).collect()
}
