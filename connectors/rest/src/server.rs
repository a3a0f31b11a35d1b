//! The listeners and the thread that serves them.

use std::future::IntoFuture;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use lakefeed_core::{Error, Result};
use lakefeed_runtime::{Worker, WorkerConfig};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::auth::Users;
use crate::gate::gate;
use crate::headers::{self, Headers};
use crate::limited::Limited;
use crate::{App, Loggers, loggers, router, tls};

/// The longest that calls under way hold up the end, in seconds.
const GRACE_SECONDS: u64 = 2;

/// The sockets of a worker's listeners, taken before anything slow happens.
pub struct Listeners {
    sockets: Vec<Socket>,
    worker_id: String,
    users: Arc<Users>,
    headers: Arc<Headers>,
}

/// A socket, and what connections are greeted with.
struct Socket {
    socket: TcpListener,
    scheme: &'static str,
    tls: Option<TlsAcceptor>,
}

impl std::fmt::Debug for Listeners {
    /// No keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.sockets.iter().map(|socket| (socket.scheme, &socket.socket))).finish()
    }
}

impl Listeners {
    /// Takes the sockets, and reads who may call and the certificates. Where nothing is said in the worker's file and the usual port is taken, any free one of this machine serves.
    ///
    /// # Errors
    /// `Config`: an address can't be had, or a file of users or certificates can't be read.
    pub fn bind(config: &WorkerConfig) -> Result<Self> {
        let users = Arc::new(Users::read(config)?);
        let headers = Arc::new(Headers::read(config)?);
        let listeners = config.listeners();
        let tls = listeners.iter().any(|listener| listener.https).then(|| tls::acceptor(config.rest_ssl())).transpose()?;
        let mut sockets = Vec::new();
        for listener in &listeners {
            let (host, port, scheme) = (&listener.host, listener.port, listener.scheme());
            let any = if host.is_empty() { "::".to_owned() } else { host.clone() };
            let socket = match TcpListener::bind((any.as_str(), port)) {
                // A machine without IPv6.
                Err(_) if host.is_empty() => TcpListener::bind(("0.0.0.0", port)),
                Err(error) if config.listens_by_default() && error.kind() == std::io::ErrorKind::AddrInUse => {
                    tracing::warn!(target: "lakefeed", port, "The usual port of REST calls is taken by another process; a free one is used. Set listeners to choose one");
                    TcpListener::bind((any.as_str(), 0))
                }
                bound => bound,
            };
            let socket = socket.map_err(|e| {
                Error::config(format!(
                    "listeners = '{scheme}://{host}:{port}': can't listen there; choose another port, or 0 for a free one"
                ))
                .with_source(e)
            })?;
            sockets.push(Socket { socket, scheme, tls: tls.clone().filter(|_| listener.https) });
        }
        let first = sockets.first().and_then(|socket| socket.socket.local_addr().ok());
        let (host, port) = config.advertised();
        let host = host.map(str::to_owned).or_else(|| first.map(host_of)).unwrap_or_else(|| "localhost".into());
        let port = port.or_else(|| first.map(|address| address.port())).unwrap_or(0);
        Ok(Self { sockets, worker_id: format!("{host}:{port}"), users, headers })
    }
}

/// The host of a listener; one that listens on every interface is this machine.
fn host_of(address: SocketAddr) -> String {
    match address.ip() {
        ip if ip.is_unspecified() => "localhost".into(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        ip => ip.to_string(),
    }
}

/// Answers REST calls until it is dropped.
#[derive(Debug)]
pub struct Server {
    worker_id: String,
    users: Arc<Users>,
    ready: watch::Sender<Option<Router>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts to answer: `/health` says that the worker starts, other calls wait for [`Server::open`].
    ///
    /// # Errors
    /// `Fatal`: no thread can be had.
    pub fn start(listeners: Listeners) -> Result<Self> {
        let failed = |what: &'static str| move |e: std::io::Error| Error::fatal(what).with_source(e);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(8)
            .thread_name("rest")
            .build()
            .map_err(failed("can't start the runtime of the REST interface"))?;
        let (ready, opened) = watch::channel(None);
        let (stop, stopped) = watch::channel(false);
        let mut servers = Vec::new();
        for Socket { socket, scheme, tls } in listeners.sockets {
            socket.set_nonblocking(true).map_err(failed("can't prepare a listener"))?;
            let address = socket.local_addr().map_err(failed("can't prepare a listener"))?;
            let _entered = runtime.enter();
            let socket = tokio::net::TcpListener::from_std(socket).map_err(failed("can't prepare a listener"))?;
            tracing::info!(target: "lakefeed", %address, "REST calls are answered at {scheme}://{address}");
            let mut stopped = stopped.clone();
            // An error says that the sender is gone, which is an end too.
            let end = async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            let headed = axum::middleware::from_fn_with_state(Arc::clone(&listeners.headers), headers::frame);
            let calls = gate(opened.clone(), scheme).layer(headed);
            servers.push(axum::serve(Limited::new(socket, tls), calls).with_graceful_shutdown(end).into_future());
        }
        let mut stopped = stopped;
        let body = move || {
            runtime.block_on(async move {
                let served = servers.into_iter().map(|server| tokio::spawn(server)).collect::<Vec<_>>();
                let _ = stopped.wait_for(|stop| *stop).await;
                let all = async {
                    for server in served {
                        // Its end is all that matters.
                        let _ = server.await;
                    }
                };
                let _ = tokio::time::timeout(std::time::Duration::from_secs(GRACE_SECONDS), all).await;
            });
            // A call that still waits for Kafka or a task ends with the process.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("rest".into()).spawn(body).map_err(failed("can't start a thread"))?;
        Ok(Self { worker_id: listeners.worker_id, users: listeners.users, ready, stop, thread: Some(thread) })
    }

    /// Host and port that others know this worker by.
    pub fn worker_id(&self) -> &str {
        &self.worker_id
    }

    /// The worker has started: calls are for it.
    pub fn open(&self, worker: Arc<Worker>, loggers: Arc<dyn Loggers>) {
        loggers::follow(&worker, Arc::clone(&loggers));
        let app = App { worker, loggers, worker_id: self.worker_id.clone() };
        self.ready.send_replace(Some(router(app, Arc::clone(&self.users))));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error says that nobody listens any more.
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // A panic of a handler is its connection's alone.
            let _ = thread.join();
        }
    }
}
