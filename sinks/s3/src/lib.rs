//! Partitioned Parquet on S3 or a local directory, exactly once.
