//! Table writes to DynamoDB stream records.
