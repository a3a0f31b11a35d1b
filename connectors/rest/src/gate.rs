//! Calls that come while the worker starts: `/health` says so, the others wait.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::watch;
use tower_service::Service;

use crate::TIMEOUT;
use crate::answer::{Fault, json_response};

/// The calls of the worker, once it has started.
pub(crate) type Ready = watch::Receiver<Option<Router>>;

/// Answers everything.
pub(crate) fn gate(ready: Ready) -> Router {
    Router::new().fallback(pass).with_state(ready)
}

async fn pass(State(mut ready): State<Ready>, request: Request) -> Response {
    if ready.borrow().is_none() && request.uri().path() == "/health" {
        let body = json!({"status": "starting", "message": "Worker is still starting up."});
        return json_response(StatusCode::SERVICE_UNAVAILABLE, &body);
    }
    let router = match tokio::time::timeout(TIMEOUT, ready.wait_for(Option::is_some)).await {
        Ok(Ok(router)) => router.clone(),
        _ => None,
    };
    match router {
        Some(mut router) => router.call(request).await.into_response(),
        None => Fault::new(500, "Request timed out. The worker is currently starting up").into_response(),
    }
}
