//! Headers that every answer has (`response.http.headers.config`).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use lakefeed_core::{Error, Result};
use lakefeed_runtime::{HeaderText, WorkerConfig};

/// The headers, in the order of the worker's file.
#[derive(Debug)]
pub(crate) struct Headers(Vec<Header>);

#[derive(Debug)]
struct Header {
    name: HeaderName,
    value: Value,
    add: bool,
}

#[derive(Debug)]
enum Value {
    Text(HeaderValue),
    /// So long after the answer.
    Date(TimeDelta),
}

impl Headers {
    /// # Errors
    /// `Config`: a name or a value can't be sent.
    pub(crate) fn read(config: &WorkerConfig) -> Result<Self> {
        let header = |rule: lakefeed_runtime::ResponseHeader| {
            let failed = || Error::config(format!("response.http.headers.config: the header {} can't be sent", rule.name));
            let value = match &rule.value {
                HeaderText::Text(text) => Value::Text(HeaderValue::from_str(text).map_err(|e| failed().with_source(e))?),
                HeaderText::Date(ms) => Value::Date(TimeDelta::try_milliseconds(*ms).ok_or_else(failed)?),
            };
            let name = HeaderName::from_bytes(rule.name.as_bytes()).map_err(|e| failed().with_source(e))?;
            Ok(Header { name, value, add: rule.add })
        };
        config.response_headers().into_iter().map(header).collect::<Result<_>>().map(Self)
    }
}

impl Value {
    fn at(&self, now: DateTime<Utc>) -> Option<HeaderValue> {
        match self {
            Self::Text(text) => Some(text.clone()),
            // As dates stand in HTTP (RFC 9110, IMF-fixdate).
            Self::Date(after) => {
                HeaderValue::from_str(&now.checked_add_signed(*after)?.format("%a, %d %b %Y %H:%M:%S GMT").to_string()).ok()
            }
        }
    }
}

/// Puts the headers on an answer.
pub(crate) async fn frame(State(headers): State<Arc<Headers>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let now = Utc::now();
    for Header { name, value, add } in &headers.0 {
        // A date is at most a hundred years away, and has a text.
        let Some(value) = value.at(now) else { continue };
        if *add {
            response.headers_mut().append(name, value);
        } else {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
