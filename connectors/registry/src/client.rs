//! Requests to the first address that answers, and what becomes of each answer.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::ConfigBuilderExt as _;
use lakefeed_core::{Error, Result, shorten};
use rustls::{ClientConfig, RootCertStore};
use schema_registry_converter::async_impl::schema_registry::SrSettings;
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::RawError;
use serde_json::Value;

use crate::RegistrySettings;
use crate::settings::Credentials;

/// How long one registry has for an answer. The task serves its group again after this time for each address at the latest.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a registry does not give what it was asked for.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// Confluent's error code; 0 where the answer has none.
    pub(crate) code: u32,
    message: String,
}

impl Refusal {
    /// Status and message.
    pub(crate) fn told(&self) -> String {
        format!("{} ({})", self.status, shorten(self.message.as_bytes()))
    }

    /// schema_registry_converter keeps the status in its text alone, and what the registry says as the cause.
    fn of(error: &SRCError) -> Option<Self> {
        let status = error.error.rsplit_once("status ")?.1.get(..3)?.parse().ok()?;
        let raw = error.source().and_then(|cause| cause.downcast_ref::<RawError>());
        let (code, message) = raw.map_or((0, "no message"), |raw| (raw.error_code, &raw.message));
        Some(Self { status, code, message: message.to_owned() })
    }
}

/// The addresses of one registry. The library asks one address at a time here: which of several errors counts, and which address is asked
/// first the next time, is decided here.
pub(crate) struct Client {
    addresses: Vec<Address>,
    /// For what the library has no call for: it keeps its own clients, one for each address, to itself.
    plain: reqwest::Client,
    /// The address that answered last.
    current: usize,
}

struct Address {
    url: String,
    settings: SrSettings,
    credentials: Credentials,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.addresses.iter().map(|address| &address.url)).finish()
    }
}

impl Client {
    pub(crate) fn new(settings: &RegistrySettings) -> Result<Self> {
        let tls = tls(settings.urls.iter().any(|url| url.starts_with("https:")))?;
        let builder = || {
            let builder = reqwest::Client::builder().tls_backend_preconfigured(tls.clone());
            builder.user_agent("lakefeed").no_proxy().timeout(TIMEOUT)
        };
        let address = |url: &String| {
            let mut library = SrSettings::new_builder(url.clone());
            match &settings.credentials {
                Credentials::None => {}
                Credentials::Basic { user, password } => drop(library.set_basic_authorization(user, Some(password))),
                Credentials::Token(token) => drop(library.set_token_authorization(token)),
            }
            let failed = |what: String| Error::config(format!("the client of the Schema Registry at {url} can't be made: {what}"));
            Ok(Address {
                url: url.clone(),
                settings: library.set_timeout(TIMEOUT).build_with(builder()).map_err(|e| failed(e.error))?,
                credentials: settings.credentials.clone(),
            })
        };
        let plain = builder().build().map_err(|e| Error::config("the client of the Schema Registry can't be made").with_source(e))?;
        Ok(Self { addresses: settings.urls.iter().map(address).collect::<Result<_>>()?, plain, current: 0 })
    }

    /// Asks each address, until one answers.
    ///
    /// # Errors
    /// `Retry`: none answers, or only with 5xx and 429. `Config`: the credentials are refused, or what answers is no registry.
    pub(crate) fn ask<T>(&mut self, ask: impl AsyncFn(&SrSettings) -> Result<T, SRCError>) -> Result<Result<T, Refusal>> {
        let runtime = tokio::runtime::Handle::current();
        let mut failed = None;
        for turn in 0..self.addresses.len() {
            let index = (self.current + turn) % self.addresses.len();
            let address = &self.addresses[index];
            let answer = match runtime.block_on(ask(&address.settings)) {
                Ok(found) => Ok(found),
                Err(error) => match Refusal::of(&error) {
                    Some(refusal) => Err(refusal),
                    None if is_no_answer(&error) => {
                        failed = Some(Error::retry(format!("the Schema Registry at {} can't be reached", address.url)).with_source(error));
                        continue;
                    }
                    None => {
                        let what = format!("no Schema Registry is at this address: {}", address.url);
                        return Err(Error::config(what).with_source(error));
                    }
                },
            };
            match answer {
                Err(refusal) if matches!(refusal.status, 401 | 403) => {
                    return Err(Error::config(format!(
                        "the Schema Registry at {} refuses the credentials, {}: check basic.auth.credentials.source and basic.auth.user.info",
                        address.url,
                        refusal.told()
                    )));
                }
                Err(refusal) if refusal.status >= 500 || refusal.status == 429 => {
                    failed = Some(Error::retry(format!("the Schema Registry at {} answers {}", address.url, refusal.told())));
                }
                answer => {
                    self.current = index;
                    return Ok(answer);
                }
            }
        }
        Err(failed.unwrap_or_else(|| Error::config("no address of a Schema Registry is set")))
    }

    /// The subjects that a schema is registered under, which the library has no call for; none where the registry does not say.
    pub(crate) fn subjects(&self, id: u32) -> Vec<String> {
        let Some(address) = self.addresses.get(self.current) else { return Vec::new() };
        let request = self.plain.get(format!("{}/schemas/ids/{id}/versions", address.url));
        let request = match &address.credentials {
            Credentials::None => request,
            Credentials::Basic { user, password } => request.basic_auth(user, Some(password)),
            Credentials::Token(token) => request.bearer_auth(token),
        };
        let answer = async { request.send().await?.error_for_status()?.json::<Vec<Value>>().await };
        let versions = tokio::runtime::Handle::current().block_on(answer).unwrap_or_default();
        versions.iter().filter_map(|version| version["subject"].as_str()).take(100).map(str::to_owned).collect()
    }
}

/// Whether the connection failed or was cut off. What came whole and is no JSON is not that.
fn is_no_answer(error: &SRCError) -> bool {
    let mut cause = error.source();
    let mut request = false;
    while let Some(found) = cause {
        request |= found.is::<reqwest::Error>();
        if found.is::<serde_json::Error>() {
            return false;
        }
        cause = found.source();
    }
    request
}

/// Certificates are checked with those that the system trusts, by the TLS library that the object store's client has.
fn tls(secure: bool) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| Error::fatal("TLS can't be set up").with_source(e))?;
    let builder = if secure {
        let read = builder.with_native_roots();
        read.map_err(|e| Error::config("the system's certificates can't be read, and the Schema Registry is at https").with_source(e))?
    } else {
        builder.with_root_certificates(RootCertStore::empty())
    };
    Ok(builder.with_no_client_auth())
}
