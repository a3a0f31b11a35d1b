//! A real Schema Registry.

use std::sync::OnceLock;

use crate::server::{self, Server, variable};

/// A Schema Registry with Confluent's API.
pub struct Registry {
    /// Its address, with the path of the API.
    pub url: String,
    _server: Option<Server>,
}

/// The registry of this test process: that of `SCHEMA_REGISTRY_URL`, or one that is started now.
///
/// # Panics
/// When none can be had; the message says what to install.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Result<Registry, String>> = OnceLock::new();
    let registry = REGISTRY.get_or_init(|| match variable("SCHEMA_REGISTRY_URL") {
        Some(url) => Ok(Registry { url, _server: None }),
        None => server::start("registry").map(|server| {
            let url = format!("http://{}/apis/ccompat/v7", server.address);
            Registry { url, _server: Some(server) }
        }),
    });
    match registry {
        Ok(registry) => registry,
        Err(message) => panic!("{message}"),
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry({})", self.url)
    }
}
