//! Consumers, producers, transactions and topics: all of librdkafka.
