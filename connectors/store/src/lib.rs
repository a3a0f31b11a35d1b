//! Object stores with create-if-absent: S3 and a local directory.
//!
//! [`Store`] offers what the lake writer needs and no more: an object appears whole or not at all, and never in the place of another
//! ([`Put::Exists`]). On S3 (MinIO and others included) that is `If-None-Match: *` on PutObject and CompleteMultipartUpload; in a
//! directory a complete temporary file is linked to its name. Everything of the AWS SDK stays in this crate.
//!
//! **Keys** are relative paths separated by `/`; see [`Store::put_if_absent`] for what is refused. Files whose name begins with
//! `.lakefeed-` are the store's own and are never listed.
//!
//! **Errors**: `Retry` for a store that can't be reached, is overloaded or full; `Config` for what a person must repair
//! (credentials, rights, a missing bucket, a directory that can't be written), which a running sink may still try again for a
//! while; `Fatal` for everything else. The message names operation, object, endpoint, status and S3's code, the cause is chained.
//!
//! **Time**: every request has a limit (see [`S3Settings`]); only a local disk that hangs (NFS) can make a call wait for ever.

mod access;
mod config;
mod key;
mod keys;
mod local;
mod md5;
mod requests;
mod s3;
mod s3_client;
mod s3_error;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use lakefeed_core::{Error, Result, TaskMetrics};

pub use access::{Proxy, Role};
pub use config::{Location, S3Settings, Secret, Sse, StoreConfig};
pub use keys::keys;
use requests::RequestCounters;

/// What became of a create-if-absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object was created by this call, and is durable.
    Created,
    /// An object of that name is there. It may be this call's own: when the answer to a request was lost and the request was
    /// repeated. Compare [`Store::head`] with what you wrote.
    Exists,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The key, relative to the store's prefix or directory.
    pub key: String,
    /// The size in bytes.
    pub size: u64,
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The size in bytes.
    pub size: u64,
    /// What was given when it was created; empty where the store keeps none (see [`Store::keeps_metadata`]).
    pub metadata: BTreeMap<String, String>,
}

/// An upload in parts that is under way. Made by [`Store::begin`]; ended by [`Store::complete_if_absent`] or [`Store::abort`].
///
/// A local upload that is dropped removes its temporary file; one on S3 stays until it is aborted (see [`Store::list_uploads`]).
#[derive(Debug, Clone)]
pub struct Upload {
    key: String,
    target: UploadTarget,
}

#[derive(Debug, Clone)]
enum UploadTarget {
    Local(local::LocalUpload),
    S3(String),
}

impl Upload {
    /// The key of the object to be.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// A part that was uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    number: i32,
    etag: String,
    checksum_crc32: Option<String>,
}

impl Part {
    /// Its number, from 1.
    pub fn number(&self) -> i32 {
        self.number
    }
}

/// The cause of an error that says: somebody has ended the upload, so it can't go on.
#[derive(Debug)]
pub(crate) struct UploadGone(Option<s3_error::Answer>);

impl fmt::Display for UploadGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(answer) => answer.fmt(f),
            None => f.write_str("its temporary file is gone"),
        }
    }
}

impl std::error::Error for UploadGone {}

/// Whether [`Store::upload_part`] or [`Store::complete_if_absent`] failed because somebody has ended the upload (a person, a lifecycle rule,
/// [`Store::abort_upload`]). Its kind is `Retry`, but the same call fails for ever: write the object again from its beginning.
pub fn upload_is_gone(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<UploadGone>())
}

/// An upload that somebody began and did not end, as [`Store::list_uploads`] finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadInfo {
    /// The key of the object to be; in a local directory the path of the temporary file.
    pub key: String,
    /// What [`Store::abort_upload`] wants to know.
    pub id: String,
    /// When it was begun (local: last written to), milliseconds since 1970-01-01 UTC.
    pub initiated_ms: i64,
}

/// A store of objects. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    location: Location,
    kind: Arc<Kind>,
}

enum Kind {
    Local(local::LocalStore),
    S3(Box<s3::S3Store>),
}

/// Runs a method of the store that is there.
macro_rules! dispatch {
    ($self:ident, $store:ident => $call:expr) => {
        match &*$self.kind {
            Kind::Local($store) => $call.await,
            // The futures of the SDK are large; the box keeps them off the callers' stacks.
            Kind::S3($store) => Box::pin($call).await,
        }
    };
}

impl Store {
    /// Makes a store. No I/O: see [`Store::probe`].
    ///
    /// # Errors
    /// `Config`: the settings contradict themselves.
    pub fn open(config: &StoreConfig) -> Result<Self> {
        let kind = match &config.location {
            Location::Local(root) => Kind::Local(local::LocalStore::new(root.clone())),
            Location::S3 { bucket, prefix } => Kind::S3(Box::new(s3::S3Store::new(bucket, prefix, &config.s3)?)),
        };
        Ok(Self { location: config.location.clone(), kind: Arc::new(kind) })
    }

    /// Counts its requests to S3 as `lakefeed_s3_requests_total`. Call it before the store is cloned and used.
    #[must_use]
    pub fn counting(mut self, metrics: &TaskMetrics) -> Self {
        if let Some(Kind::S3(store)) = Arc::get_mut(&mut self.kind) {
            store.counters = Some(RequestCounters::new(metrics));
        }
        self
    }

    /// Where it is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The full name of an object: `s3://bucket/prefix/key`, or a path.
    pub fn url(&self, key: &str) -> String {
        let root = self.location.to_string();
        format!("{}/{key}", root.trim_end_matches('/'))
    }

    /// Whether the store can be reached and written, and keeps the promise of create-if-absent: one listing and the attempt to create
    /// the empty object `.lakefeed-probe`, which stays (in a directory nothing stays).
    ///
    /// # Errors
    /// `Retry`: it can't be reached. `Config`: no such bucket, credentials or rights that do not do, a store that ignores
    /// `If-None-Match`, a directory that can't be made or written, or has no hard links.
    pub async fn probe(&self) -> Result<()> {
        self.probe_folder("").await
    }

    /// As [`Store::probe`], in a folder: for credentials that may write there only.
    ///
    /// # Errors
    /// As for [`Store::probe`].
    pub async fn probe_folder(&self, folder: &str) -> Result<()> {
        let folder = folder.trim_end_matches('/');
        if !folder.is_empty() {
            key::check(folder)?;
        }
        dispatch!(self, store => store.probe(folder))
    }

    /// Whether objects in a folder keep the metadata of [`Store::put_if_absent`]: on S3 always, in a directory if its file system has
    /// extended attributes (not all of NFS and FUSE have). A temporary file is written to find out.
    ///
    /// # Errors
    /// As for [`Store::probe`].
    pub async fn keeps_metadata(&self, folder: &str) -> Result<bool> {
        match &*self.kind {
            Kind::Local(store) => store.keeps_metadata(folder.trim_end_matches('/')).await,
            Kind::S3(_) => Ok(true),
        }
    }

    /// Whether the store can be reached and read.
    ///
    /// # Errors
    /// `Retry`: it can't be reached. `Config`: no such bucket or directory, credentials or rights that do not do.
    pub async fn probe_read(&self) -> Result<()> {
        dispatch!(self, store => store.probe_read())
    }

    /// Creates an object of the bytes of `parts`, one after the other, unless one of that name is there. Its content type goes by the
    /// extension. On S3 one part is sent as it lies in memory; several are copied together first.
    ///
    /// Metadata: names of `a-z`, `0-9` and `-`, values of printable ASCII, at most 2 KiB in all (S3's rules). A directory keeps them in
    /// extended attributes of the file, `user.NAME`, or not at all where it has none (see [`Store::keeps_metadata`]).
    ///
    /// # Errors
    /// `Fatal` for a key that is empty, absolute, longer than 1024 bytes or has control characters or an element that is empty, `.`,
    /// `..` or begins with `.lakefeed-`; otherwise as the crate says.
    pub async fn put_if_absent(&self, key: &str, parts: Vec<Bytes>, metadata: &[(&str, String)]) -> Result<Put> {
        key::check(key)?;
        key::check_metadata(key, metadata)?;
        dispatch!(self, store => store.put_if_absent(key, parts, metadata))
    }

    /// Begins an upload in parts. Nothing is visible before [`Store::complete_if_absent`]. A directory does not keep its metadata.
    ///
    /// # Errors
    /// As for [`Store::put_if_absent`].
    pub async fn begin(&self, key: &str, metadata: &[(&str, String)]) -> Result<Upload> {
        key::check(key)?;
        key::check_metadata(key, metadata)?;
        let target = match &*self.kind {
            Kind::Local(store) => UploadTarget::Local(store.begin(key).await?),
            Kind::S3(store) => UploadTarget::S3(Box::pin(store.begin(key, metadata)).await?),
        };
        Ok(Upload { key: key.to_owned(), target })
    }

    /// Uploads part `number` (1 to 10,000). Parts may arrive in any order and at the same time; a number that comes again replaces the
    /// part. S3 wants at least 5 MiB in each but the last.
    ///
    /// # Errors
    /// As the crate says. The same part can be tried again, unless the upload is gone ([`upload_is_gone`]).
    pub async fn upload_part(&self, upload: &Upload, number: i32, data: Vec<Bytes>) -> Result<Part> {
        if !(1..=10_000).contains(&number) {
            return Err(Error::fatal(format!("part {number} of '{}': a part number is expected to be 1 to 10000", upload.key)));
        }
        match (&*self.kind, &upload.target) {
            (Kind::Local(store), UploadTarget::Local(target)) => store.upload_part(target, number, data).await,
            (Kind::S3(store), UploadTarget::S3(id)) => Box::pin(store.upload_part(&upload.key, id, number, data)).await,
            _ => Err(self.foreign(&upload.key)),
        }
    }

    /// Makes the object of the parts, in the order of their numbers, unless one of that name is there; then the upload is aborted.
    ///
    /// # Errors
    /// As the crate says. After `Retry` the same call can be made again (with a clone), unless the upload is gone ([`upload_is_gone`]).
    pub async fn complete_if_absent(&self, upload: Upload, mut parts: Vec<Part>) -> Result<Put> {
        parts.sort_by_key(|part| part.number);
        match (&*self.kind, upload.target) {
            (Kind::Local(store), UploadTarget::Local(target)) => store.complete_if_absent(&upload.key, target, parts).await,
            (Kind::S3(store), UploadTarget::S3(id)) => Box::pin(store.complete_if_absent(&upload.key, &id, parts)).await,
            _ => Err(self.foreign(&upload.key)),
        }
    }

    /// Gives an upload up and frees its space.
    ///
    /// # Errors
    /// As the crate says. An upload that is gone already is no error.
    pub async fn abort(&self, upload: Upload) -> Result<()> {
        match (&*self.kind, upload.target) {
            (Kind::Local(store), UploadTarget::Local(target)) => store.abort(target).await,
            (Kind::S3(store), UploadTarget::S3(id)) => Box::pin(store.abort_upload(&upload.key, &id)).await,
            _ => Err(self.foreign(&upload.key)),
        }
    }

    /// Every object whose key begins with `prefix`, in the order of the keys' bytes.
    ///
    /// The whole answer is held in memory (some 100 bytes an object).
    ///
    /// # Errors
    /// As the crate says.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        self.list_after(prefix, None).await
    }

    /// As [`Store::list`], of the keys that come after `start_after`.
    ///
    /// # Errors
    /// As the crate says.
    pub async fn list_after(&self, prefix: &str, start_after: Option<&str>) -> Result<Vec<ObjectInfo>> {
        key::check_prefix(prefix)?;
        dispatch!(self, store => store.list(prefix, start_after))
    }

    /// The keys that begin with `prefix`, in the order of their bytes, if one request lists them all (S3: 1,000); `None` if there are more, or if
    /// the store is a directory, where looking into a folder costs less than walking through all of them.
    ///
    /// # Errors
    /// As the crate says.
    pub async fn list_if_few(&self, prefix: &str) -> Result<Option<Vec<String>>> {
        key::check_prefix(prefix)?;
        match &*self.kind {
            Kind::Local(_) => Ok(None),
            Kind::S3(store) => Box::pin(store.list_if_few(prefix)).await,
        }
    }

    /// Looks an object up; `None` if there is none.
    ///
    /// # Errors
    /// As the crate says.
    pub async fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        key::check(key)?;
        dispatch!(self, store => store.head(key))
    }

    /// Reads an object.
    ///
    /// # Errors
    /// As the crate says; an object that is not there is `Fatal`.
    pub async fn get(&self, key: &str) -> Result<Bytes> {
        key::check(key)?;
        dispatch!(self, store => store.get(key, None))
    }

    /// Reads the bytes of an object from `range.start` to before `range.end`, fewer if the object ends before.
    ///
    /// # Errors
    /// As for [`Store::get`]; a range that begins at or after the end of the object is `Fatal`, unless it is empty.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        key::check(key)?;
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        dispatch!(self, store => store.get(key, Some(range)))
    }

    /// Removes an object. One that is not there is no error.
    ///
    /// # Errors
    /// As the crate says.
    pub async fn delete(&self, key: &str) -> Result<()> {
        key::check(key)?;
        dispatch!(self, store => store.delete(key))
    }

    /// The uploads in parts that were begun and not ended, and whose key begins with `prefix`; in a local directory the temporary
    /// files in the folder part of `prefix` (all that stands before its last `/`) and below. They may be somebody's work in progress:
    /// go by their age.
    ///
    /// MinIO finds an upload only when `prefix` is its whole key: below a folder it finds none. It removes uploads by itself a day after they
    /// were begun (its setting `api stale_uploads_expiry`).
    ///
    /// # Errors
    /// As the crate says.
    pub async fn list_uploads(&self, prefix: &str) -> Result<Vec<UploadInfo>> {
        key::check_prefix(prefix)?;
        dispatch!(self, store => store.list_uploads(prefix))
    }

    /// Ends an upload that [`Store::list_uploads`] found. One that is gone already is no error.
    ///
    /// # Errors
    /// As the crate says.
    pub async fn abort_upload(&self, key: &str, id: &str) -> Result<()> {
        dispatch!(self, store => store.abort_upload(key, id))
    }

    fn foreign(&self, key: &str) -> Error {
        Error::fatal(format!("the upload of '{key}' was begun in another kind of store than {}", self.location))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.location)
    }
}
