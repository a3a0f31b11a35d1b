//! `lakefeed connect`: runs connectors.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use lakefeed_core::{Error, Result};
use lakefeed_runtime::{ConnectorFile, Variables, Worker, WorkerConfig, read_connector, read_worker};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs connectors until they end or until SIGINT or SIGTERM, as connect-standalone does
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The worker file (.properties), then connector files (.properties or .json). Without a worker file the defaults hold
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The brokers to start from, in the place of the worker file's
    #[arg(long, value_name = "HOST:PORT,...")]
    bootstrap_servers: Option<String>,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let (config, connectors) = read(&args)?;
    let runtime = tokio_runtime()?;
    let _entered = runtime.enter();
    let worker = Worker::start(&config, &connectors, &crate::plugins::all())?;
    tracing::info!(target: "lakefeed", tasks = worker.tasks().len(), "The worker runs");
    let stopped = runtime.block_on(until_done_or_signalled(&worker))?;
    worker.stop();
    let end = worker.join();
    tracing::info!(target: "lakefeed", signal = stopped.unwrap_or("none"), "The worker has stopped");
    end.map(|()| ExitCode::SUCCESS)
}

/// The runtime for uploads.
pub(crate) fn tokio_runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("io")
        .enable_all()
        .build()
        .map_err(|e| Error::fatal("can't start the I/O threads").with_source(e))
}

fn read(args: &Args) -> Result<(WorkerConfig, Vec<ConnectorFile>)> {
    let variables = Variables::default();
    let mut files = args.files.iter();
    // As in connect-standalone the first file is the worker's; a connector file in its place is taken for what it is.
    let first = files.next().ok_or_else(|| Error::config("no file is given"))?;
    let mut connectors = Vec::new();
    let mut values = std::collections::BTreeMap::new();
    match read_connector(first, &variables) {
        Ok(file) if file.values.contains_key("connector.class") => connectors.push(file),
        _ => values = read_worker(first, &variables)?,
    }
    if let Some(servers) = &args.bootstrap_servers {
        values.insert("bootstrap.servers".into(), servers.clone());
    }
    for file in files {
        connectors.push(read_connector(file, &variables)?);
    }
    if connectors.is_empty() {
        return Err(Error::config("no connector file is given; a worker without connectors has nothing to do"));
    }
    Ok((WorkerConfig::parse(&first.display().to_string(), &values)?, connectors))
}

/// Waits for the end of all tasks or for a signal; a second signal ends the process at once.
async fn until_done_or_signalled(worker: &Worker) -> Result<Option<&'static str>> {
    let listen = |kind| signal(kind).map_err(|e| Error::fatal("can't listen for signals").with_source(e));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(Some(stop_next_time(interrupt, terminate, "SIGINT"))),
            _ = terminate.recv() => return Ok(Some(stop_next_time(interrupt, terminate, "SIGTERM"))),
            _ = tick.tick() => if worker.is_done() { return Ok(None) },
        }
    }
}

fn stop_next_time(mut interrupt: Signal, mut terminate: Signal, name: &'static str) -> &'static str {
    tracing::info!(target: "lakefeed", signal = name, "Publishing what is held; a second signal ends at once");
    // Ends with the runtime when the worker has stopped.
    drop(tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        std::process::exit(130);
    }));
    name
}
