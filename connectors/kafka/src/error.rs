//! librdkafka's errors as ours.

use lakefeed_core::{Error, ErrorKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// An error with a message for the user; the kind follows from the cause.
pub(crate) fn wrap(message: impl Into<String>, cause: KafkaError) -> Error {
    Error::new(kind(&cause), message).with_source(cause)
}

fn kind(cause: &KafkaError) -> ErrorKind {
    match cause {
        KafkaError::ClientConfig(..) | KafkaError::Subscription(_) => ErrorKind::Config,
        // The partition is not being fetched at this moment; the task starts over from its committed offsets.
        KafkaError::Seek(_) => ErrorKind::Retry,
        KafkaError::Transaction(inner) if inner.is_retriable() || inner.txn_requires_abort() => ErrorKind::Retry,
        _ => cause.rdkafka_error_code().map_or(ErrorKind::Fatal, of_code),
    }
}

/// Whether trying again can help.
pub(crate) fn of_code(code: Code) -> ErrorKind {
    match code {
        Code::SaslAuthenticationFailed
        | Code::Authentication
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::InvalidTopic
        | Code::InvalidReplicationFactor
        | Code::InvalidPartitions
        | Code::PolicyViolation
        | Code::InvalidConfig
        | Code::InvalidRecord
        | Code::InvalidTimestamp
        | Code::MessageBatchTooLarge
        | Code::MessageSizeTooLarge => ErrorKind::Config,
        Code::Fatal
        | Code::Fenced
        | Code::ProducerFenced
        | Code::InvalidProducerEpoch
        | Code::UnsupportedFeature
        | Code::UnsupportedVersion => ErrorKind::Fatal,
        _ => ErrorKind::Retry,
    }
}
