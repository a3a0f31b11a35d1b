//! Basic authentication (RFC 7617), as Kafka Connect's BasicAuthSecurityRestExtension has it: every call needs a known user and password.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use lakefeed_core::Result;
use lakefeed_runtime::{Variables, WorkerConfig, read_worker};

use crate::answer::Fault;

/// Some clients leave out the `=` at the end, and Kafka Connect takes that.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// Users with their passwords; `None`: calls need none.
pub(crate) struct Users(Option<BTreeMap<String, String>>);

impl std::fmt::Debug for Users {
    /// Neither names nor passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Users" } else { "everybody" })
    }
}

impl Users {
    /// Reads the file that the worker's names.
    pub(crate) fn read(config: &WorkerConfig) -> Result<Self> {
        Ok(Self(config.basic_auth_file().map(|file| read_worker(&file, &Variables::default())).transpose()?))
    }

    fn know(&self, header: Option<&HeaderValue>) -> bool {
        let Some(users) = &self.0 else { return true };
        let pair = header.and_then(|value| {
            let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
            let decoded = BASE64.decode(encoded.trim()).ok()?;
            let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
            scheme.eq_ignore_ascii_case("basic").then(|| (user.to_owned(), password.to_owned()))
        });
        pair.is_some_and(|(user, password)| users.get(&user).is_some_and(|known| same(known.as_bytes(), password.as_bytes())))
    }
}

/// Compares all bytes, so that the time tells nothing about where texts differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// Lets known users pass.
pub(crate) async fn frame(State(users): State<Arc<Users>>, request: Request, next: Next) -> Response {
    if users.know(request.headers().get(header::AUTHORIZATION)) {
        return next.run(request).await;
    }
    let mut response = Fault::new(401, "User cannot access the resource.").into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"connect\""));
    response
}
