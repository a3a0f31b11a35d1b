//! `lakefeed demo`: the whole pipeline in one process.

mod folder;
mod pipeline;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use lakefeed_core::{Error, Result};

use folder::Folder;
use pipeline::Pipeline;

/// The whole pipeline: sample data, CSV to a table topic, its change stream, a Parquet lake, the answers
///
/// Without options it starts an embedded cluster in this process and writes to a local lake. Every run starts with an empty lake.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The rows of the sample data
    #[arg(long, default_value_t = 200_000)]
    rows: u64,
    /// The seed of the sample data
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The folder for sample data, connector files, state and the local lake; emptied first
    #[arg(long, default_value = "demo", value_name = "FOLDER")]
    dir: PathBuf,
    /// The name of the table, which is its topic's too
    #[arg(long, default_value = "pmsm_temperature")]
    table: String,
    /// Use these brokers, not an embedded cluster. The table's topics must not exist there
    #[arg(long, value_name = "HOST:PORT,...")]
    bootstrap_servers: Option<String>,
    /// Write to s3://BUCKET/PREFIX, not to a local lake. Nothing of the table may be there
    #[arg(long, value_name = "URL")]
    lake: Option<String>,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    if args.rows == 0 {
        return Err(Error::config("--rows 0: expected 1 or more"));
    }
    let runtime = super::connect::tokio_runtime()?;
    let _entered = runtime.enter();
    let cluster = Cluster::of(&args, &runtime)?;
    show::heading(&cluster.describe());
    let folder = Folder::prepare(&args, &cluster)?;
    folder.generate(args.rows, args.seed)?;
    let pipeline = Pipeline::start(&args, &folder, &cluster)?;
    pipeline.watch(args.rows)?;
    let stages = pipeline.finish()?;
    show::stages(&stages);
    let lake = crate::commands::sql::open(&folder.lake)?;
    show::tree(&folder, &runtime)?;
    let rows = show::answers(&lake, &args.table)?;
    show::next_steps(&folder, &args.table);
    if rows != args.rows {
        return Err(Error::fatal(format!("{} rows went in, but the lake holds {rows}", args.rows)));
    }
    Ok(ExitCode::SUCCESS)
}

/// The brokers of the demo.
enum Cluster {
    #[cfg(feature = "embedded")]
    Embedded(crate::embedded::Cluster),
    Given(String),
}

impl Cluster {
    fn of(args: &Args, runtime: &tokio::runtime::Runtime) -> Result<Self> {
        match &args.bootstrap_servers {
            Some(servers) => Ok(Self::Given(servers.clone())),
            #[cfg(feature = "embedded")]
            None => runtime.block_on(crate::embedded::Cluster::start()).map(Self::Embedded),
            #[cfg(not(feature = "embedded"))]
            None => {
                let _ = runtime;
                Err(Error::config("this lakefeed was built without the embedded cluster; name brokers with --bootstrap-servers"))
            }
        }
    }

    fn bootstrap_servers(&self) -> String {
        match self {
            #[cfg(feature = "embedded")]
            Self::Embedded(cluster) => cluster.bootstrap_servers(),
            Self::Given(servers) => servers.clone(),
        }
    }

    fn is_embedded(&self) -> bool {
        !matches!(self, Self::Given(_))
    }

    fn describe(&self) -> String {
        let servers = self.bootstrap_servers();
        if self.is_embedded() {
            format!("an embedded cluster on {servers} (in memory, for a first look)")
        } else {
            format!("Kafka at {servers}")
        }
    }
}
