//! The demo's folder: sample data, connector files, state, lake.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use lakefeed_core::{Error, Result};
use lakefeed_generate::pmsm;
use lakefeed_runtime::Variables;

use super::{Args, Cluster};

/// Its presence says that the folder is the demo's, and may be emptied.
const MARKER: &str = ".lakefeed-demo";

/// The connector files that the demo runs; they are written into its folder so that they can be read and run again.
const WORKER: (&str, &str) = ("worker.properties", include_str!("../../../connectors/config/worker.properties"));
const EMBEDDED_WORKER: (&str, &str) = ("embedded-worker.properties", include_str!("../../../connectors/config/embedded-worker.properties"));
const CSV: (&str, &str) = ("motor-csv-source.properties", include_str!("../../../connectors/config/motor-csv-source.properties"));
const DYNAMODB: (&str, &str) = ("motor-dynamodb.properties", include_str!("../../../connectors/config/motor-dynamodb.properties"));
const LOCAL_LAKE: (&str, &str) = ("motor-lake-local.properties", include_str!("../../../connectors/config/motor-lake-local.properties"));
const S3_LAKE: (&str, &str) = ("motor-lake-s3.properties", include_str!("../../../connectors/config/motor-lake-s3.properties"));

pub(super) struct Folder {
    pub(super) root: PathBuf,
    /// Where the lake is: a directory or an s3:// URL.
    pub(super) lake: String,
    pub(super) worker_file: PathBuf,
    pub(super) connector_files: Vec<PathBuf>,
    pub(super) variables: Variables,
}

impl Folder {
    /// Empties the folder and writes the connector files.
    pub(super) fn prepare(args: &Args, cluster: &Cluster) -> Result<Self> {
        let root = &args.dir;
        let failed = |e| Error::config(format!("can't prepare the folder {}", root.display())).with_source(e);
        empty(root)?;
        fs::create_dir_all(root.join("config")).and_then(|()| fs::create_dir_all(root.join("input"))).map_err(failed)?;
        fs::write(root.join(MARKER), "This folder belongs to `lakefeed demo`, which empties it when it starts.\n").map_err(failed)?;
        let place = |(name, text): (&str, &str)| -> Result<PathBuf> {
            let path = root.join("config").join(name);
            fs::write(&path, text).map_err(failed)?;
            Ok(path)
        };
        let home = root.to_string_lossy();
        let variables = Variables::default()
            .with("KAFKA_BOOTSTRAP", &cluster.bootstrap_servers())
            .with("LAKEFEED_HOME", &home)
            .with("MOTOR_TABLE", &args.table)
            .with("MOTOR_ONCE", "true");
        let (lake_file, lake, variables) = match &args.lake {
            None => (LOCAL_LAKE, root.join("lake").to_string_lossy().into_owned(), variables),
            Some(url) => (S3_LAKE, url.clone(), s3_variables(url, variables)?),
        };
        Ok(Self {
            worker_file: place(if cluster.is_embedded() { EMBEDDED_WORKER } else { WORKER })?,
            connector_files: vec![place(CSV)?, place(DYNAMODB)?, place(lake_file)?],
            root: root.clone(),
            lake,
            variables,
        })
    }

    /// Writes the sample data.
    pub(super) fn generate(&self, rows: u64, seed: u64) -> Result<()> {
        let path = self.root.join("input/pmsm.csv");
        let failed = |e| Error::config(format!("can't write {}", path.display())).with_source(e);
        let mut out = BufWriter::with_capacity(1 << 18, File::create(&path).map_err(failed)?);
        let options = pmsm::Options { rows, seed, profiles: None };
        pmsm::write(&options, &mut out, |_| {}).and_then(|()| out.flush()).map_err(failed)
    }
}

/// Removes what an earlier demo left; a folder that is not the demo's stays untouched.
fn empty(root: &Path) -> Result<()> {
    let failed = |e| Error::config(format!("can't empty the folder {}", root.display())).with_source(e);
    let mut entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(e)),
    };
    if root.join(MARKER).exists() {
        return fs::remove_dir_all(root).map_err(failed);
    }
    if entries.next().is_some() {
        return Err(Error::config(format!("--dir {}: the folder is not empty and not of an earlier demo; choose another", root.display())));
    }
    Ok(())
}

/// What motor-lake-s3.properties wants to know.
fn s3_variables(url: &str, variables: Variables) -> Result<Variables> {
    let place =
        url.strip_prefix("s3://").ok_or_else(|| Error::config(format!("--lake {url}: expected s3://BUCKET or s3://BUCKET/PREFIX")))?;
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let endpoint = ["S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].iter().find_map(|name| std::env::var(name).ok());
    Ok(variables.with("S3_BUCKET", bucket).with("S3_PREFIX", prefix.trim_matches('/')).with("S3_ENDPOINT", &endpoint.unwrap_or_default()))
}
