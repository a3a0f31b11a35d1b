//! Calls that come while the worker starts: `/health` says so, the others wait.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::watch;
use tower_service::Service;

use crate::TIMEOUT;
use crate::answer::{Fault, json_response};

/// How a call has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scheme(pub(crate) &'static str);

/// A path that ends with a slash is the same path without, as in Kafka Connect.
fn without_slash(uri: &Uri) -> Option<Uri> {
    let path = uri.path().strip_suffix('/').filter(|path| !path.is_empty())?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{path}{query}").parse().ok()
}

/// The calls of the worker, once it has started.
pub(crate) type Ready = watch::Receiver<Option<Router>>;

/// Answers everything that comes by `http` or `https`.
pub(crate) fn gate(ready: Ready, scheme: &'static str) -> Router {
    Router::new().fallback(pass).with_state((ready, scheme))
}

async fn pass(State((mut ready, scheme)): State<(Ready, &'static str)>, mut request: Request) -> Response {
    if let Some(uri) = without_slash(request.uri()) {
        *request.uri_mut() = uri;
    }
    request.extensions_mut().insert(Scheme(scheme));
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
