//! Requests with time limits, to the first address that answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lakefeed_core::{Error, Result, shorten};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use crate::RegistrySettings;

/// How long one registry has for an answer. The task serves its group again after this time for each address at the latest.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer.
const MAX_BODY: usize = 16 << 20;

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// An answer: its status, and its body, `null` if that is no JSON.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Status and message of a refusal.
    pub(crate) fn fault(&self) -> String {
        let message = self.body["message"].as_str().unwrap_or("no message");
        format!("{} ({})", self.status, shorten(message.as_bytes()))
    }
}

pub(crate) struct Client {
    client: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    urls: Vec<(Uri, String)>,
    authorization: Option<String>,
    /// The address that answered last.
    current: usize,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({:?})", self.urls)
    }
}

impl Client {
    pub(crate) fn new(settings: &RegistrySettings) -> Result<Self> {
        let secure = settings.urls.iter().any(|(uri, _)| uri.scheme_str() == Some("https"));
        let provider = rustls::crypto::ring::default_provider();
        let connector = if secure {
            HttpsConnectorBuilder::new()
                .with_provider_and_native_roots(provider)
                .map_err(|e| Error::config("the system's certificates can't be read, and the Schema Registry is at https").with_source(e))?
        } else {
            let tls = ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
            let tls = tls.map_err(|e| Error::fatal("TLS can't be set up").with_source(e))?;
            HttpsConnectorBuilder::new().with_tls_config(tls.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
        };
        let client = legacy::Client::builder(TokioExecutor::new()).build(connector.https_or_http().enable_http1().build());
        Ok(Self { client, urls: settings.urls.clone(), authorization: settings.authorization.clone(), current: 0 })
    }

    /// Sends a request, with a body a POST: to each address, until one answers.
    ///
    /// # Errors
    /// `Retry`: none answers, or only with 5xx and 429. `Config`: the credentials are refused.
    pub(crate) fn send(&mut self, path: &str, body: Option<String>) -> Result<Answer> {
        let mut failed = None;
        for turn in 0..self.urls.len() {
            let index = (self.current + turn) % self.urls.len();
            match self.try_send(index, path, body.as_deref()) {
                Ok(answer) if matches!(answer.status, 401 | 403) => {
                    return Err(Error::config(format!(
                        "the Schema Registry at {} refuses the credentials, {}: check basic.auth.credentials.source and basic.auth.user.info",
                        self.urls[index].0,
                        answer.fault()
                    )));
                }
                Ok(answer) if answer.status < 500 && answer.status != 429 => {
                    self.current = index;
                    return Ok(answer);
                }
                Ok(answer) => {
                    failed = Some(Error::retry(format!("the Schema Registry at {} answers {}", self.urls[index].0, answer.fault())))
                }
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| Error::config("no address of a Schema Registry is set")))
    }

    fn try_send(&self, index: usize, path: &str, body: Option<&str>) -> Result<Answer> {
        let (uri, base) = &self.urls[index];
        let address = format!("{}{}{path}", uri.to_string().trim_end_matches('/'), base);
        let unreachable = || Error::retry(format!("the Schema Registry at {uri} can't be reached"));
        let mut request = Request::builder().method(if body.is_some() { Method::POST } else { Method::GET }).uri(address);
        request = request.header("Accept", MEDIA_TYPE).header("User-Agent", "lakefeed");
        if body.is_some() {
            request = request.header("Content-Type", MEDIA_TYPE);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let request = request.body(Full::from(body.unwrap_or_default().to_owned()));
        let request = request.map_err(|e| {
            Error::config("the request to the Schema Registry is not valid: check its address and credentials").with_source(e)
        })?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|e| unreachable().with_source(e))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(|e| unreachable().with_source(e))?;
            Ok(Answer { status, body: serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null) })
        };
        let limited = async { tokio::time::timeout(TIMEOUT, exchange).await };
        tokio::runtime::Handle::current().block_on(limited).unwrap_or_else(|late| Err(unreachable().with_source(late)))
    }
}
