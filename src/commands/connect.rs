//! `lakefeed connect`: runs connectors.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lakefeed_core::{Error, Result};
use lakefeed_rest::{Listeners, Server};
use lakefeed_runtime::{ConnectorFile, Overrides, Variables, Worker, WorkerConfig, read_connector, read_worker};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::logging::Levels;

/// Runs connectors until they end or until SIGINT or SIGTERM, as connect-standalone does
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The worker file (.properties), then connector files (.properties or .json). Without a worker file the defaults hold
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The brokers to start from, in the place of the worker file's
    #[arg(long, value_name = "HOST:PORT,...")]
    bootstrap_servers: Option<String>,
    /// A value in the place of the files': KEY=VALUE for the worker, NAME:KEY=VALUE for the connector NAME. Others on this machine see it: write
    /// secrets as ${env:VARIABLE} or ${file:PATH:KEY}
    #[arg(long, value_name = "[NAME:]KEY=VALUE")]
    set: Vec<String>,
}

pub(crate) fn run(args: Args, levels: Arc<Levels>) -> Result<ExitCode> {
    let (config, connectors) = read(&args)?;
    let runtime = tokio_runtime()?;
    let _entered = runtime.enter();
    // Before anything slow: a signal that comes while the worker starts ends it cleanly too.
    let mut signals = Signals::listen()?;
    let rest = Server::start(Listeners::bind(&config)?)?;
    let worker_id = rest.worker_id().to_owned();
    let start = runtime.spawn_blocking(move || Worker::start(&config, &connectors, &crate::plugins::all(), &worker_id));
    let Some(worker) = runtime.block_on(signals.unless(start)) else {
        // What the start waits for ends with the process; nothing has been read yet.
        runtime.shutdown_background();
        tracing::info!(target: "lakefeed", "Stopped before the worker had started");
        return Ok(ExitCode::SUCCESS);
    };
    let worker = Arc::new(worker.map_err(|e| Error::fatal("the start has panicked").with_source(e))??);
    rest.open(Arc::clone(&worker), levels);
    tracing::info!(target: "lakefeed", tasks = worker.tasks().len(), "The worker runs");
    let stopped = runtime.block_on(signals.until_done(&worker));
    drop(rest);
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
    let overrides = Overrides::parse(&args.set, &variables)?;
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
    values.extend(overrides.worker());
    for file in files {
        connectors.push(read_connector(file, &variables)?);
    }
    connectors.iter_mut().try_for_each(|file| overrides.set_connector(file, &variables))?;
    let names: Vec<_> = connectors.iter().map(ConnectorFile::name).collect();
    overrides.all_taken(names.iter().map(String::as_str))?;
    Ok((WorkerConfig::parse(&first.display().to_string(), &values)?, connectors))
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(|e| Error::fatal("can't listen for signals").with_source(e));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    /// What `work` gives, unless a signal is first.
    async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            _ = self.next() => None,
        }
    }

    /// Waits for the end of all tasks or for a signal; a second signal ends the process at once.
    async fn until_done(mut self, worker: &Worker) -> Option<&'static str> {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        let name = loop {
            tokio::select! {
                name = self.next() => break name,
                _ = tick.tick() => if worker.is_done() { return None },
            }
        };
        tracing::info!(target: "lakefeed", signal = name, "Publishing what is held; a second signal ends at once");
        // Ends with the runtime when the worker has stopped.
        drop(tokio::spawn(async move {
            self.next().await;
            std::process::exit(130);
        }));
        Some(name)
    }
}
