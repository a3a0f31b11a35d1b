//! Listings, page by page.

use aws_sdk_s3::primitives::DateTime;
use lakefeed_core::{Error, Result};

use super::S3Store;
use crate::key::is_own;
use crate::s3_error::Op;
use crate::{ObjectInfo, UploadInfo};

impl S3Store {
    pub(crate) async fn probe_read(&self) -> Result<()> {
        let prefix = self.whole("");
        let answer = self.client().await.list_objects_v2().bucket(&self.bucket).prefix(&prefix).max_keys(1).send().await;
        answer.map(|_| ()).map_err(|error| self.request(Op::List, &prefix).failed(error))
    }

    /// The keys of the first page, if there is no other.
    pub(crate) async fn list_if_few(&self, prefix: &str) -> Result<Option<Vec<String>>> {
        let whole = self.whole(prefix);
        let page = self.client().await.list_objects_v2().bucket(&self.bucket).prefix(&whole).send().await;
        let page = page.map_err(|error| self.request(Op::List, &whole).failed(error))?;
        if page.is_truncated == Some(true) {
            return Ok(None);
        }
        let keys = page.contents.iter().flatten().filter_map(|object| self.inner(object.key.as_deref()?)).filter(|key| !is_own(key));
        let mut keys: Vec<String> = keys.map(str::to_owned).collect();
        // Directory buckets have another order.
        keys.sort_unstable();
        Ok(Some(keys))
    }

    pub(crate) async fn list(&self, prefix: &str, start_after: Option<&str>) -> Result<Vec<ObjectInfo>> {
        let whole = self.whole(prefix);
        let start_after = start_after.map(|key| self.whole(key));
        let mut objects = Vec::new();
        let mut token = None;
        loop {
            let request = self.client().await.list_objects_v2().bucket(&self.bucket).prefix(&whole);
            let request = request.set_start_after(start_after.clone()).set_continuation_token(token.take());
            let page = request.send().await.map_err(|error| self.request(Op::List, &whole).failed(error))?;
            for object in page.contents.unwrap_or_default() {
                let size = object.size.and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
                if let Some(key) = object.key.as_deref().and_then(|key| self.inner(key))
                    && !is_own(key)
                {
                    objects.push(ObjectInfo { key: key.to_owned(), size });
                }
            }
            match page.next_continuation_token {
                Some(next) if page.is_truncated == Some(true) => token = Some(next),
                None if page.is_truncated == Some(true) => {
                    return Err(Error::fatal(format!("{}: a page has no token for the next", self.request(Op::List, &whole))));
                }
                _ => return Ok(objects),
            }
        }
    }

    pub(crate) async fn list_uploads(&self, prefix: &str) -> Result<Vec<UploadInfo>> {
        let whole = self.whole(prefix);
        let mut uploads = Vec::new();
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let request = self.client().await.list_multipart_uploads().bucket(&self.bucket).prefix(&whole);
            let request = request.set_key_marker(key_marker.take()).set_upload_id_marker(id_marker.take());
            let page = request.send().await.map_err(|error| self.request(Op::ListUploads, &whole).failed(error))?;
            for upload in page.uploads.unwrap_or_default() {
                let initiated_ms = upload.initiated.as_ref().and_then(|at: &DateTime| at.to_millis().ok()).unwrap_or_default();
                if let (Some(key), Some(id)) = (upload.key.as_deref().and_then(|key| self.inner(key)), upload.upload_id) {
                    uploads.push(UploadInfo { key: key.to_owned(), id, initiated_ms });
                }
            }
            if page.is_truncated != Some(true) || page.next_key_marker.is_none() {
                return Ok(uploads);
            }
            (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
        }
    }

    /// A key without the store's prefix.
    fn inner<'a>(&self, key: &'a str) -> Option<&'a str> {
        if self.prefix.is_empty() { Some(key) } else { key.strip_prefix(self.prefix.as_str())?.strip_prefix('/') }
    }
}
