//! Decodes Kafka records into Arrow batches.
