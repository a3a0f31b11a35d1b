//! Counts the requests that go to S3, each attempt by itself.

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use lakefeed_core::{Counter, TaskMetrics};

/// The operations that a store asks for, by the names of the S3 API.
const OPERATIONS: [&str; 10] = [
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CreateMultipartUpload",
    "DeleteObject",
    "GetObject",
    "HeadObject",
    "ListMultipartUploads",
    "ListObjectsV2",
    "PutObject",
    "UploadPart",
];

/// A counter for each operation.
#[derive(Debug, Clone)]
pub(crate) struct RequestCounters([(&'static str, Counter); 10]);

impl RequestCounters {
    pub(crate) fn new(metrics: &TaskMetrics) -> Self {
        let help = "Requests sent to S3, each attempt by itself.";
        Self(OPERATIONS.map(|name| (name, metrics.counter("lakefeed_s3_requests_total", help, &[("operation", name)]))))
    }
}

impl Intercept for RequestCounters {
    fn name(&self) -> &'static str {
        "RequestCounters"
    }

    fn read_before_transmit(
        &self, _: &BeforeTransmitInterceptorContextRef<'_>, _: &RuntimeComponents, config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = config.load::<Metadata>().map_or("", Metadata::name);
        if let Some((_, counter)) = self.0.iter().find(|(name, _)| *name == operation) {
            counter.add(1);
        }
        Ok(())
    }
}
