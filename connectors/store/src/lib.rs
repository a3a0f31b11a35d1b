//! Object stores with create-if-absent: S3 and a local directory.
