//! A real S3 store.

use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::server::{self, Server, script, variable};
use crate::{run, unique};

/// An S3 store (MinIO) and the keys that it accepts.
pub struct Minio {
    /// Its URL.
    pub endpoint: String,
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_key: String,
    /// `AWS_REGION`.
    pub region: String,
    _server: Option<Server>,
}

/// The store of this test process: that of `S3_ENDPOINT`, or one that is started now.
///
/// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` (default `minioadmin`) and `AWS_REGION` (default `us-east-1`) are used in both cases.
///
/// # Panics
/// When none can be had; the message says what to install.
pub fn minio() -> &'static Minio {
    static MINIO: OnceLock<Result<Minio, String>> = OnceLock::new();
    let minio = MINIO.get_or_init(|| match variable("S3_ENDPOINT") {
        Some(endpoint) => Ok(Minio::at(endpoint, None)),
        None => server::start("minio").map(|server| Minio::at(format!("http://{}", server.address), Some(server))),
    });
    match minio {
        Ok(minio) => minio,
        Err(message) => panic!("{message}"),
    }
}

impl Minio {
    fn at(endpoint: String, server: Option<Server>) -> Self {
        let key = |name| variable(name).unwrap_or_else(|| "minioadmin".to_owned());
        let region = variable("AWS_REGION").unwrap_or_else(|| "us-east-1".to_owned());
        Self { endpoint, access_key: key("AWS_ACCESS_KEY_ID"), secret_key: key("AWS_SECRET_ACCESS_KEY"), region, _server: server }
    }

    /// What a command needs in its environment to find the store: the usual AWS variables.
    pub fn environment(&self) -> [(&'static str, &str); 4] {
        [
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("AWS_ACCESS_KEY_ID", &self.access_key),
            ("AWS_SECRET_ACCESS_KEY", &self.secret_key),
            ("AWS_REGION", &self.region),
        ]
    }

    /// Creates a bucket of 3 to 63 characters `a-z`, `0-9` and `-`. One that is there already is no error.
    ///
    /// # Panics
    /// When the store refuses.
    pub fn create_bucket(&self, name: &str) {
        let mut command = Command::new("python3");
        command.arg(script("bucket.py")).arg(name).env("S3_ENDPOINT", &self.endpoint).envs(self.environment());
        run(&mut command, Duration::from_secs(60)).success();
    }

    /// A new bucket that nobody else uses.
    ///
    /// # Panics
    /// As [`Minio::create_bucket`].
    pub fn bucket(&self) -> String {
        let name = unique("lake");
        self.create_bucket(&name);
        name
    }
}

impl std::fmt::Debug for Minio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Minio({})", self.endpoint)
    }
}
