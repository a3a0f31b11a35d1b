//! Web pages of elsewhere: which may call (`access.control.allow.origin`, `access.control.allow.methods`). None, unless the worker's file names them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use lakefeed_runtime::WorkerConfig;

/// What is allowed without being said: the methods that change nothing, and POST, whose JSON bodies a browser asks about.
const METHODS: &str = "GET,POST,HEAD";

/// The pages that may call.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Vec<String>,
    methods: String,
}

impl Cors {
    pub(crate) fn new(config: &WorkerConfig) -> Self {
        let (origins, methods) = config.access_control();
        let methods = if methods.is_empty() { METHODS.into() } else { methods.join(",") };
        Self { origins: origins.into_iter().map(str::to_owned).collect(), methods }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|allowed| allowed == "*" || origin == allowed.as_str())
    }
}

/// Answers a browser's question before a call, and marks answers that a page may see.
pub(crate) async fn frame(State(cors): State<Arc<Cors>>, request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(header::ORIGIN).filter(|origin| cors.allows(origin)).cloned() else {
        return next.run(request).await;
    };
    let asks = request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if asks { StatusCode::OK.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if asks {
        // Names that are no header text are no methods either.
        if let Ok(methods) = HeaderValue::from_str(&cors.methods) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("X-Requested-With,Content-Type,Accept,Origin"));
    }
    response
}
