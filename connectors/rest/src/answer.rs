//! Answers, faults, and the reading of bodies.

use std::collections::BTreeMap;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use lakefeed_core::{ErrorKind, printable};
use lakefeed_runtime::Refusal;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::gate::Scheme;
use crate::{BODY_BYTES, TIMEOUT};

/// What stays as it is in one segment of a path (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A good answer.
pub(crate) struct Answer {
    status: StatusCode,
    body: Option<Value>,
    location: Option<HeaderValue>,
}

impl Answer {
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body: Some(body), location: None }
    }

    /// A connector was made.
    pub(crate) fn created(name: &str, body: Value) -> Self {
        let location = HeaderValue::from_str(&format!("/connectors/{}", utf8_percent_encode(name, SEGMENT))).ok();
        Self { status: StatusCode::CREATED, body: Some(body), location }
    }

    pub(crate) fn accepted(body: Option<Value>) -> Self {
        Self { status: StatusCode::ACCEPTED, body, location: None }
    }

    pub(crate) fn no_content() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None, location: None }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            Some(body) => json_response(self.status, &body),
            None => self.status.into_response(),
        };
        if let Some(location) = self.location {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

/// A bad answer: `{"error_code", "message"}`.
#[derive(Debug)]
pub(crate) struct Fault {
    code: u16,
    message: String,
}

impl Fault {
    pub(crate) fn new(code: u16, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    pub(crate) fn not_found(name: &str) -> Self {
        Self::new(404, format!("Connector {name} not found"))
    }

    /// A refusal of the worker, for a connector. What is wrong with a configuration is told by `validate`.
    pub(crate) fn of(refusal: Refusal, name: &str) -> Self {
        match refusal {
            Refusal::Unknown => Self::not_found(name),
            Refusal::UnknownTask => Self::new(404, format!("Task of connector {name} not found")),
            Refusal::Exists => Self::new(409, format!("Connector {name} already exists")),
            Refusal::Changed => Self::new(409, format!("Connector {name} was changed at the same time; try again")),
            Refusal::Wrong(message) => Self::bad(message),
            Refusal::Failed(error) if error.kind() == ErrorKind::Config => Self::bad(error.chain()),
            Refusal::Failed(error) => Self::new(500, error.chain()),
            Refusal::Invalid(errors) => Self::bad(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        json_response(status, &json!({"error_code": self.code, "message": self.message}))
    }
}

pub(crate) fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// Around every call: its time limit, and a body of ours for what the router refuses itself (no such path or method, odd encodings).
pub(crate) async fn frame(request: Request, next: Next) -> Response {
    let call = format!("{} {}", request.method(), printable(request.uri().path()));
    let asks = request.method() == Method::OPTIONS;
    if !accepts(&request) {
        return Fault::new(406, "HTTP 406 Not Acceptable").into_response();
    }
    let base = base_of(&request);
    let mut response = match tokio::time::timeout(TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            Fault::new(500, "Request timed out. The worker is currently busy with this call; it may still take effect").into_response()
        }
    };
    if asks && response.status() == StatusCode::METHOD_NOT_ALLOWED {
        // The methods stand in the header Allow.
        *response.status_mut() = StatusCode::OK;
    }
    if let Some((place, base)) = response.headers_mut().get_mut(header::LOCATION).zip(base) {
        // Without a good host it stays as it is: relative.
        let whole = place.to_str().ok().and_then(|path| HeaderValue::from_str(&format!("{base}{path}")).ok());
        whole.into_iter().for_each(|whole| *place = whole);
    }
    let status = response.status();
    if status.is_server_error() {
        tracing::warn!(target: "lakefeed", call, status = status.as_u16(), "A REST call has failed");
    } else {
        tracing::debug!(target: "lakefeed", call, status = status.as_u16(), "REST");
    }
    let ours = response.headers().get(header::CONTENT_TYPE).is_some_and(|t| t == "application/json");
    if !ours && (status.is_client_error() || status.is_server_error()) {
        let message = format!("HTTP {} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
        let mut own = Fault::new(status.as_u16(), message).into_response();
        if let Some(allow) = response.headers().get(header::ALLOW) {
            own.headers_mut().insert(header::ALLOW, allow.clone());
        }
        return own;
    }
    response
}

/// Whether the caller takes JSON, or whatever metrics are.
fn accepts(request: &Request) -> bool {
    let wanted: Vec<_> = request.headers().get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let json = |kind: &str| matches!(kind.split(';').next().unwrap_or_default().trim(), "application/json" | "application/*" | "*/*" | "");
    wanted.is_empty() || request.uri().path() == "/metrics" || wanted.iter().any(|kinds| kinds.split(',').any(json))
}

/// What stands before the path of an address here, as the caller sees it.
fn base_of(request: &Request) -> Option<String> {
    let Scheme(scheme) = request.extensions().get::<Scheme>()?;
    let host = request.headers().get(header::HOST)?.to_str().ok()?;
    Some(format!("{scheme}://{host}"))
}

/// Reads a body that must be a JSON object.
///
/// A content type is asked for, as by Kafka Connect: a web page of elsewhere can't send this one without being asked by the browser.
pub(crate) async fn object(headers: &HeaderMap, body: Body) -> Result<Map<String, Value>, Fault> {
    let is_json = |value: &HeaderValue| {
        let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        essence == "application/json" || essence.starts_with("application/") && essence.ends_with("+json")
    };
    if !headers.get(header::CONTENT_TYPE).is_some_and(is_json) {
        return Err(Fault::new(415, "HTTP 415 Unsupported Media Type; send Content-Type: application/json"));
    }
    let too_large = || Fault::new(413, format!("the body is larger than {BODY_BYTES} bytes"));
    let length = headers.get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY_BYTES) {
        return Err(too_large());
    }
    // What fails here is the limit, or the connection, which nobody reads the answer from.
    let bytes = to_bytes(body, BODY_BYTES).await.map_err(|_| too_large())?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Fault::bad("expected a JSON object")),
        // Kafka Connect answers 500 to what is no JSON.
        Err(error) => Err(Fault::new(500, format!("not valid JSON: {error}"))),
    }
}

/// A flat map: texts; numbers and truth values are taken as they are written. A null is `None`.
pub(crate) fn flat(object: Map<String, Value>) -> Result<BTreeMap<String, Option<String>>, Fault> {
    let value = |(key, value): (String, Value)| match value {
        Value::String(text) => Ok((key, Some(text))),
        Value::Number(number) => Ok((key, Some(number.to_string()))),
        Value::Bool(flag) => Ok((key, Some(flag.to_string()))),
        Value::Null => Ok((key, None)),
        Value::Array(_) | Value::Object(_) => {
            Err(Fault::bad(format!("the value of '{}' is a list or an object; expected a text", printable(&key))))
        }
    };
    object.into_iter().map(value).collect()
}

/// A flat map without nulls.
pub(crate) fn texts(object: Map<String, Value>) -> Result<BTreeMap<String, String>, Fault> {
    let text = |(key, value): (String, Option<String>)| match value {
        Some(value) => Ok((key, value)),
        None => Err(Fault::bad(format!("the value of '{}' is null; leave the key out", printable(&key)))),
    };
    flat(object)?.into_iter().map(text).collect()
}
