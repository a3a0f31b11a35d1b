//! S3 as an object store.
//!
//! The SDK repeats failed requests by itself. A request that did its work and whose answer was lost is thus answered the second time
//! as if somebody else had done it: 412 for a conditional write, 404 for the completion of an upload. Both end as [`Put::Exists`].

mod list;

use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, timeout::TimeoutConfig};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, ObjectCannedAcl, ServerSideEncryption};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use lakefeed_core::{Error, Result};
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use crate::requests::RequestCounters;
use crate::s3_client::{Connection, connect};
use crate::s3_error::{Answer, Op, Request};
use crate::{ObjectMeta, Part, Put, S3Settings, Sse, UploadGone, key};

/// The object by which [`S3Store::probe`] tries a folder out.
const PROBE: &str = ".lakefeed-probe";

/// The slowest connection on which a body still arrives: its time adds to the limit of an attempt. With a fixed limit, large parts on a slow
/// line would be sent again for ever, each time in vain. A connection on which nothing moves at all is given up by the SDK within seconds.
const BYTES_PER_MS_MIN: u64 = 8;

/// See the module.
pub(crate) struct S3Store {
    bucket: String,
    prefix: String,
    settings: S3Settings,
    customer: Option<CustomerKey>,
    /// The tags as S3 wants them in a header.
    tagging: Option<String>,
    /// Where requests are counted, if anywhere.
    pub(crate) counters: Option<RequestCounters>,
    connection: OnceCell<Connection>,
}

/// The headers of SSE-C.
struct CustomerKey {
    key: String,
    md5: String,
}

/// Sets the SSE-C headers, which reading and writing need alike, on a request that may have them.
macro_rules! with_customer_key {
    ($store:expr, $request:expr) => {{
        let key = $store.customer.as_ref();
        $request
            .set_sse_customer_algorithm(key.map(|_| "AES256".to_owned()))
            .set_sse_customer_key(key.map(|key| key.key.clone()))
            .set_sse_customer_key_md5(key.map(|key| key.md5.clone()))
    }};
}

/// Sets what a new object gets, on PutObject and CreateMultipartUpload alike.
macro_rules! with_object_settings {
    ($store:expr, $request:expr, $key:expr, $metadata:expr) => {{
        let (encryption, kms_key) = $store.encryption();
        let metadata = $metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        with_customer_key!($store, $request)
            .content_type(key::content_type($key))
            .set_metadata(Some(metadata))
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            .set_acl($store.settings.acl.as_deref().map(ObjectCannedAcl::from))
            .set_tagging($store.tagging.clone())
    }};
}

/// Sends a request that carries so many bytes, with the time that they need. A configuration of its own is merged into the client's each time, so a
/// request has one only where that time counts.
macro_rules! send_within_limit {
    ($store:expr, $request:expr, $bytes:expr) => {{
        let request = $request.customize();
        match $store.longer_limit($bytes) {
            Some(limit) => request.config_override(limit).send().await,
            None => request.send().await,
        }
    }};
}

impl S3Store {
    pub(crate) fn new(bucket: &str, prefix: &str, settings: &S3Settings) -> Result<Self> {
        let customer = match &settings.sse {
            Some(Sse::Customer { key }) => {
                let decoded = BASE64.decode(key.reveal()).ok().filter(|bytes| bytes.len() == 32);
                let decoded = decoded.ok_or_else(|| Error::config("s3.sse.customer.key: expected 32 bytes as base64"))?;
                Some(CustomerKey { key: key.reveal().to_owned(), md5: BASE64.encode(crate::md5::digest(&decoded)) })
            }
            _ => None,
        };
        let tags: Vec<String> =
            settings.tags.iter().map(|(k, v)| format!("{}={}", key::percent_encode(k), key::percent_encode(v))).collect();
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            settings: settings.clone(),
            customer,
            tagging: (!tags.is_empty()).then(|| tags.join("&")),
            counters: None,
            connection: OnceCell::new(),
        })
    }

    /// The client, made by the first request.
    async fn connection(&self) -> &Connection {
        self.connection.get_or_init(|| connect(&self.settings, self.counters.clone())).await
    }

    async fn client(&self) -> &Client {
        &self.connection().await.client
    }

    /// What messages say of a request. `key` is whole.
    fn request<'a>(&'a self, op: Op, key: &'a str) -> Request<'a> {
        let endpoint = self.connection.get().map_or("S3", |connection| &connection.endpoint);
        Request { op, bucket: &self.bucket, key, endpoint }
    }

    fn whole(&self, key: &str) -> String {
        key::join(&self.prefix, key)
    }

    fn encryption(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match &self.settings.sse {
            Some(Sse::Aes256) => (Some(ServerSideEncryption::Aes256), None),
            Some(Sse::Kms { key }) => (Some(ServerSideEncryption::AwsKms), key.clone()),
            Some(Sse::Customer { .. }) | None => (None, None),
        }
    }

    /// Creates the probe object, or finds it, and then makes sure that it can't be created again. It is not removed: that would need
    /// another right, and leave a version behind in a bucket that keeps versions.
    pub(crate) async fn probe(&self, folder: &str) -> Result<()> {
        self.probe_read().await?;
        let key = key::join(folder, PROBE);
        if self.put_if_absent(&key, Vec::new(), &[]).await? == Put::Exists
            || self.put_if_absent(&key, Vec::new(), &[]).await? == Put::Exists
        {
            return Ok(());
        }
        let endpoint = &self.connection().await.endpoint;
        let message = format!(
            "the store at {endpoint} ignores If-None-Match, without which files could be overwritten; use another store or update it"
        );
        Err(Error::config(message))
    }

    pub(crate) async fn put_if_absent(&self, key: &str, parts: Vec<Bytes>, metadata: &[(&str, String)]) -> Result<Put> {
        let whole = self.whole(key);
        let body = gather(parts);
        let mut attempt = 0;
        loop {
            let request = self.client().await.put_object().bucket(&self.bucket).key(&whole).if_none_match("*");
            let request = with_object_settings!(self, request, key, metadata).body(ByteStream::from(body.clone()));
            let Err(error) = send_within_limit!(self, request, body.len()) else { return Ok(Put::Created) };
            match Answer::of(&error) {
                Some(answer) if answer.is(412, "PreconditionFailed") => return Ok(Put::Exists),
                // Another conditional write of this key is under way: the next attempt finds out how it ended.
                Some(answer) if answer.is(409, "ConditionalRequestConflict") && attempt < self.settings.part_retries => {
                    sleep(self.backoff(attempt)).await;
                    attempt += 1;
                }
                Some(answer) if answer.is(409, "ConditionalRequestConflict") => {
                    let message = format!("{}: somebody else is writing it at the same time", self.request(Op::Put, &whole));
                    return Err(Error::retry(message).with_source(answer));
                }
                _ => return Err(self.request(Op::Put, &whole).failed(error)),
            }
        }
    }

    /// The limit of an attempt that sends so many bytes, if they are enough to change it by a fiftieth.
    fn longer_limit(&self, bytes: usize) -> Option<Builder> {
        let (limit_ms, more_ms) = (self.settings.attempt_timeout_ms, bytes as u64 / BYTES_PER_MS_MIN);
        let limit = Duration::from_millis(limit_ms.saturating_add(more_ms));
        let timeouts = || TimeoutConfig::builder().operation_attempt_timeout(limit).build();
        (more_ms > limit_ms / 50).then(|| Builder::new().timeout_config(timeouts()))
    }

    fn backoff(&self, attempt: u32) -> Duration {
        Duration::from_millis(self.settings.retry_backoff_ms.saturating_mul(1 << attempt.min(6)))
    }

    pub(crate) async fn begin(&self, key: &str, metadata: &[(&str, String)]) -> Result<String> {
        let whole = self.whole(key);
        let request = self.client().await.create_multipart_upload().bucket(&self.bucket).key(&whole);
        let answer = with_object_settings!(self, request, key, metadata).send().await;
        let answer = answer.map_err(|error| self.request(Op::Begin, &whole).failed(error))?;
        let id = answer.upload_id.filter(|id| !id.is_empty());
        id.ok_or_else(|| Error::fatal(format!("{}: the answer has no upload id", self.request(Op::Begin, &whole))))
    }

    pub(crate) async fn upload_part(&self, key: &str, id: &str, number: i32, data: Vec<Bytes>) -> Result<Part> {
        let whole = self.whole(key);
        let request = self.client().await.upload_part().bucket(&self.bucket).key(&whole).upload_id(id).part_number(number);
        let body = gather(data);
        let bytes = body.len();
        let request = with_customer_key!(self, request).body(ByteStream::from(body));
        let answer = send_within_limit!(self, request, bytes);
        let answer = answer.map_err(|error| match Answer::of(&error) {
            Some(answer) if answer.code.as_deref() == Some("NoSuchUpload") => gone(&self.request(Op::Part, &whole), answer),
            _ => self.request(Op::Part, &whole).failed(error),
        })?;
        Ok(Part { number, etag: answer.e_tag.unwrap_or_default(), checksum_crc32: answer.checksum_crc32 })
    }

    pub(crate) async fn complete_if_absent(&self, key: &str, id: &str, mut parts: Vec<Part>) -> Result<Put> {
        // S3 refuses an upload without parts; an empty part makes an empty object.
        if parts.is_empty() {
            parts.push(self.upload_part(key, id, 1, Vec::new()).await?);
        }
        let whole = self.whole(key);
        let completed = parts
            .into_iter()
            .map(|part| CompletedPart::builder().part_number(part.number).e_tag(part.etag).set_checksum_crc32(part.checksum_crc32).build());
        let completed = CompletedMultipartUpload::builder().set_parts(Some(completed.collect())).build();
        let request = self.client().await.complete_multipart_upload().bucket(&self.bucket).key(&whole).upload_id(id);
        let request = with_customer_key!(self, request).multipart_upload(completed).if_none_match("*");
        let Err(error) = request.send().await else { return Ok(Put::Created) };
        match Answer::of(&error) {
            Some(answer) if answer.is(412, "PreconditionFailed") => {
                self.abort_after(key, id).await;
                Ok(Put::Exists)
            }
            // Amazon S3 User Guide, "Conditional writes": after a 409 the whole upload must be made again.
            Some(answer) if answer.is(409, "ConditionalRequestConflict") => {
                self.abort_after(key, id).await;
                self.exists_or_gone(key, &whole, answer).await
            }
            Some(answer) if answer.code.as_deref() == Some("NoSuchUpload") => self.exists_or_gone(key, &whole, answer).await,
            _ => Err(self.request(Op::Complete, &whole).failed(error)),
        }
    }

    /// An upload is gone. If the object is there, it is why: this upload, or another one, became the object.
    async fn exists_or_gone(&self, key: &str, whole: &str, answer: Answer) -> Result<Put> {
        match self.head(key).await? {
            Some(_) => Ok(Put::Exists),
            None => Err(gone(&self.request(Op::Complete, whole), answer)),
        }
    }

    /// Frees the parts of an upload that has lost. Trouble here changes nothing of the outcome.
    async fn abort_after(&self, key: &str, id: &str) {
        if let Err(error) = self.abort_upload(key, id).await {
            tracing::warn!(key, error = error.chain(), "the parts of an upload that is not needed any more could not be removed");
        }
    }

    pub(crate) async fn abort_upload(&self, key: &str, id: &str) -> Result<()> {
        let whole = self.whole(key);
        let answer = self.client().await.abort_multipart_upload().bucket(&self.bucket).key(&whole).upload_id(id).send().await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) => match Answer::of(&error) {
                Some(answer) if answer.code.as_deref() == Some("NoSuchUpload") => Ok(()),
                _ => Err(self.request(Op::Abort, &whole).failed(error)),
            },
        }
    }

    pub(crate) async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        let whole = self.whole(key);
        let request = self.client().await.head_object().bucket(&self.bucket).key(&whole);
        match with_customer_key!(self, request).send().await {
            Ok(found) => {
                let size = found.content_length.and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
                Ok(Some(ObjectMeta { size, metadata: found.metadata.unwrap_or_default().into_iter().collect() }))
            }
            Err(error) => match Answer::of(&error) {
                Some(answer) if answer.status == 404 => Ok(None),
                _ => Err(self.request(Op::Head, &whole).failed(error)),
            },
        }
    }

    pub(crate) async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Bytes> {
        let whole = self.whole(key);
        let request = self.client().await.get_object().bucket(&self.bucket).key(&whole);
        let range = range.map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        let answer = with_customer_key!(self, request).set_range(range).send().await;
        let answer = answer.map_err(|error| self.request(Op::Get, &whole).failed(error))?;
        // The SDK's limit covers the headers only.
        let limit = Duration::from_millis(self.settings.attempt_timeout_ms);
        match timeout(limit, answer.body.collect()).await {
            Ok(Ok(body)) => Ok(body.into_bytes()),
            Ok(Err(error)) => Err(Error::retry(format!("{}: the answer broke off", self.request(Op::Get, &whole))).with_source(error)),
            Err(_) => Err(Error::retry(format!("{}: the answer did not end within {limit:?}", self.request(Op::Get, &whole)))),
        }
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<()> {
        let whole = self.whole(key);
        let answer = self.client().await.delete_object().bucket(&self.bucket).key(&whole).send().await;
        answer.map(|_| ()).map_err(|error| self.request(Op::Delete, &whole).failed(error))
    }
}

/// One buffer for a request, which must be able to send it again. A single part is not copied.
fn gather(mut parts: Vec<Bytes>) -> Bytes {
    match parts.len() {
        0 => Bytes::new(),
        1 => parts.swap_remove(0),
        _ => {
            let mut all = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
            parts.iter().for_each(|part| all.extend_from_slice(part));
            all.freeze()
        }
    }
}

/// The error for an upload that somebody aborted.
fn gone(request: &Request<'_>, answer: Answer) -> Error {
    Error::retry(format!("{request}: the upload is gone; write the object again from its beginning")).with_source(UploadGone(Some(answer)))
}
