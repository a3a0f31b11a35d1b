//! Makes the client of the AWS SDK.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Builder, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation, RuntimeComponents, SharedCredentialsProvider,
    SharedHttpClient,
};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder as HttpBuilder, Connector};

use crate::requests::RequestCounters;
use crate::{Proxy, Role, S3Settings};

const TLS: Provider = Provider::Rustls(CryptoMode::Ring);

/// The region that stores of other makers expect unless told otherwise, and that of AWS when nothing says another.
const DEFAULT_REGION: &str = "us-east-1";

/// A client and the address that messages name.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) endpoint: String,
}

/// Reads the environment and the profile for what the settings don't say. Credentials are fetched by the first request.
pub(crate) async fn connect(settings: &S3Settings, counters: Option<RequestCounters>) -> Connection {
    let retry = RetryConfig::standard()
        .with_max_attempts(settings.part_retries.saturating_add(1))
        .with_initial_backoff(Duration::from_millis(settings.retry_backoff_ms));
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
        .operation_attempt_timeout(Duration::from_millis(settings.attempt_timeout_ms))
        .build();
    let mut loader =
        aws_config::defaults(BehaviorVersion::latest()).http_client(http_client(settings)).retry_config(retry).timeout_config(timeouts);
    // Without one, the SDK asks the metadata service of EC2, which takes seconds where there is none.
    let region = settings.region.as_deref().or(settings.endpoint.as_ref().map(|_| DEFAULT_REGION));
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Some(endpoint) = &settings.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let (Some(id), Some(secret)) = (&settings.access_key_id, &settings.secret_access_key) {
        let token = settings.session_token.as_ref().map(|token| token.reveal().to_owned());
        loader = loader.credentials_provider(Credentials::new(id, secret.reveal(), token, None, "lakefeed"));
    }
    let shared = loader.load().await;
    let role = match &settings.role {
        Some(role) => Some(SharedCredentialsProvider::new(assume(role, &shared).await)),
        None => None,
    };

    let mut builder = Builder::from(&shared).force_path_style(settings.path_style).accelerate(settings.accelerate);
    let region = shared.region().map_or(DEFAULT_REGION, Region::as_ref).to_owned();
    if shared.region().is_none() {
        builder = builder.region(Region::new(region.clone()));
    }
    if let Some(role) = role {
        builder = builder.credentials_provider(role);
    }
    if let Some(counters) = counters {
        builder = builder.interceptor(counters);
    }
    let (calculate, validate) = if settings.send_checksums {
        (RequestChecksumCalculation::WhenSupported, ResponseChecksumValidation::WhenSupported)
    } else {
        (RequestChecksumCalculation::WhenRequired, ResponseChecksumValidation::WhenRequired)
    };
    builder = builder.request_checksum_calculation(calculate).response_checksum_validation(validate);
    // The SDK looks the variable for S3 alone up by itself; it is read here for the messages.
    let service = std::env::var("AWS_ENDPOINT_URL_S3").ok().filter(|_| settings.endpoint.is_none());
    let endpoint = service.or_else(|| shared.endpoint_url().map(str::to_owned));
    let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
    Connection { client: Client::from_conf(builder.build()), endpoint }
}

/// Credentials of a role; STS is asked by the first request, and again before they expire.
async fn assume(role: &Role, shared: &SdkConfig) -> AssumeRoleProvider {
    let builder = AssumeRoleProvider::builder(&role.arn).session_name(&role.session_name).configure(shared);
    match &role.external_id {
        Some(id) => builder.external_id(id.reveal()).build().await,
        None => builder.build().await,
    }
}

/// With ring for TLS. Where nothing needs TLS, the certificates of the system are not even read (a container may have none).
fn http_client(settings: &S3Settings) -> SharedHttpClient {
    let plain = settings.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://")) && settings.access_key_id.is_some();
    match settings.proxy.as_ref().and_then(proxy) {
        Some(proxy) => HttpBuilder::new().build_with_connector_fn(move |settings, components| {
            let mut builder = Connector::builder().proxy_config(proxy.clone());
            builder.set_connector_settings(settings.cloned());
            builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
            if plain { builder.build_http() } else { builder.tls_provider(TLS).build() }
        }),
        None if plain => HttpBuilder::new().build_http(),
        None => HttpBuilder::new().tls_provider(TLS).build_https(),
    }
}

/// `None` for an address that is none; the configuration has been checked.
fn proxy(proxy: &Proxy) -> Option<ProxyConfig> {
    let config = ProxyConfig::all(proxy.url.as_str()).ok()?;
    Some(match &proxy.credentials {
        Some((user, password)) => config.with_basic_auth(user, password.reveal()),
        None => config,
    })
}
