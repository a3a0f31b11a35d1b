//! CSV files to Kafka topics.
