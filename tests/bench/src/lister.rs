//! Lists a bucket.

use lakefeed_core::{Error, Result};
use lakefeed_store::{Store, StoreConfig};

use crate::testbed::Testbed;

/// A bucket of the store.
pub(crate) struct Lister {
    store: Store,
    runtime: tokio::runtime::Runtime,
}

impl Lister {
    pub(crate) fn open(bed: &Testbed, bucket: &str) -> Result<Self> {
        let environment = bed.minio.environment();
        let variable = |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let store = Store::open(&StoreConfig::from_url(&format!("s3://{bucket}"), variable)?)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self { store, runtime: runtime.map_err(|e| Error::fatal("can't start a runtime").with_source(e))? })
    }

    /// The keys of all Parquet files that are there now.
    pub(crate) fn parquet(&self) -> Result<Vec<String>> {
        let objects = self.runtime.block_on(self.store.list(""))?;
        Ok(objects.into_iter().map(|object| object.key).filter(|key| key.ends_with(".parquet")).collect())
    }
}
