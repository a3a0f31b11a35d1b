//! The REST interface of Kafka Connect (4.3) on a [`Worker`], so that the tools of its users work: kafbat UI, Redpanda Console, AKHQ,
//! kcctl, curl, Terraform.
//!
//! Paths, status codes, bodies and error texts are those that Apache Kafka Connect 4.3.1 gave when it was asked; where an answer differs, the
//! golden data of the end to end tests say so and why.
//!
//! It runs on a thread and a tokio runtime of its own: uploads never make a call wait. What talks to Kafka or waits for tasks runs on that
//! runtime's threads for blocking work. Bounds: [`BODY_BYTES`], [`TIMEOUT`], and 256 connections that
//! are closed after two idle minutes.

mod answer;
mod auth;
mod connectors;
mod cors;
mod gate;
mod headers;
mod limited;
mod loggers;
mod metrics;
mod offsets;
mod plugins;
mod server;
mod tls;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post, put};
use lakefeed_runtime::Worker;
use serde_json::{Value, json};

pub use loggers::{Level, Logger, Loggers};
pub use server::{Listeners, Server};

use answer::{Answer, Fault};

/// The largest body that is read.
pub const BODY_BYTES: usize = 1 << 20;
/// The longest that a call takes, as in Kafka Connect.
pub const TIMEOUT: Duration = Duration::from_secs(90);
/// The version of Kafka Connect whose interface this is; tools decide by it which calls they make.
pub const CONNECT_VERSION: &str = "4.3.1";
/// The version of the plugins.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the handlers share.
struct App {
    worker: Arc<Worker>,
    loggers: Arc<dyn Loggers>,
    /// Host and port that tell this worker from others.
    worker_id: String,
}

type Shared = State<Arc<App>>;

fn router(app: App, users: Arc<auth::Users>) -> Router {
    let methods = Router::new()
        .route("/", get(root))
        .route("/health", get(health))
        .route("/metrics", get(metrics::metrics))
        .route("/connectors", get(connectors::list).post(connectors::create))
        .route("/connectors/{name}", get(connectors::info).delete(connectors::delete))
        .route("/connectors/{name}/config", get(connectors::config).put(connectors::put).patch(connectors::patch))
        .route("/connectors/{name}/status", get(connectors::status))
        .route("/connectors/{name}/restart", post(connectors::restart))
        .route("/connectors/{name}/pause", put(connectors::pause))
        .route("/connectors/{name}/resume", put(connectors::resume))
        .route("/connectors/{name}/stop", put(connectors::stop))
        .route("/connectors/{name}/tasks", get(connectors::tasks))
        .route("/connectors/{name}/tasks/{task}/status", get(connectors::task_status))
        .route("/connectors/{name}/tasks/{task}/restart", post(connectors::restart_task))
        .route("/connectors/{name}/topics", get(connectors::topics))
        .route("/connectors/{name}/topics/reset", put(connectors::reset_topics))
        .route("/connectors/{name}/offsets", get(offsets::list).patch(offsets::alter).delete(offsets::reset))
        .route("/connector-plugins", get(plugins::list))
        .route("/connector-plugins/{class}/config", get(plugins::config))
        .route("/connector-plugins/{class}/config/validate", put(validate::validate))
        .route("/admin/loggers", get(loggers::list))
        .route("/admin/loggers/{name}", get(loggers::of).put(loggers::set));
    let cors = Arc::new(cors::Cors::new(app.worker.config()));
    let own = axum::middleware::from_fn(answer::frame);
    let known = axum::middleware::from_fn_with_state(users, auth::frame);
    methods.with_state(Arc::new(app)).layer(own).layer(known).layer(axum::middleware::from_fn_with_state(cors, cors::frame))
}

async fn root(State(app): Shared) -> Answer {
    let commit = concat!("lakefeed-", env!("CARGO_PKG_VERSION"));
    Answer::ok(json!({"version": CONNECT_VERSION, "commit": commit, "kafka_cluster_id": app.worker.cluster_id()}))
}

async fn health() -> Answer {
    Answer::ok(json!({"status": "healthy", "message": "Worker has completed startup and is ready to handle requests."}))
}

/// Runs what blocks.
async fn blocking<T: Send + 'static>(
    app: &Arc<App>, work: impl FnOnce(&Worker) -> Result<T, lakefeed_runtime::Refusal> + Send + 'static,
) -> Result<Result<T, lakefeed_runtime::Refusal>, Fault> {
    let app = Arc::clone(app);
    let done = tokio::task::spawn_blocking(move || work(&app.worker)).await;
    done.map_err(|_| Fault::new(500, "The call has failed; the worker's log says why"))
}

fn text(value: impl Into<String>) -> Value {
    Value::String(value.into())
}
