//! How to reach S3.

use std::fmt;
use std::path::PathBuf;

use lakefeed_catalog::quote_literal;

/// Where an S3-compatible store is and who asks. The default is AWS itself, without credentials.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct S3Settings {
    /// `http://localhost:9000`; without a scheme it is https. `None` is AWS.
    pub endpoint: Option<String>,
    /// `us-east-1` if there is none.
    pub region: Option<String>,
    /// The key id.
    pub access_key_id: Option<String>,
    /// The secret of the key.
    pub secret_access_key: Option<String>,
    /// The token of passing credentials.
    pub session_token: Option<String>,
    /// Whether the bucket stands in the path, not in the host name. `None`: with an endpoint of one's own it does.
    pub path_style: Option<bool>,
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "(hidden)");
        f.debug_struct("S3Settings")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key_id", &hidden(&self.access_key_id))
            .field("secret_access_key", &hidden(&self.secret_access_key))
            .field("session_token", &hidden(&self.session_token))
            .field("path_style", &self.path_style)
            .finish()
    }
}

impl S3Settings {
    /// The usual AWS variables (`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_DEFAULT_REGION`, `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`), then the profile `AWS_PROFILE` (`default`) of `~/.aws/credentials` and `~/.aws/config`.
    pub fn from_env() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let file = |name: &str, in_home: &str| {
            let path = variable(name).map(PathBuf::from).or_else(|| Some(PathBuf::from(variable("HOME")?).join(in_home)))?;
            std::fs::read_to_string(path).ok()
        };
        let credentials = file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials").unwrap_or_default();
        let config = file("AWS_CONFIG_FILE", ".aws/config").unwrap_or_default();
        Self::from_sources(variable, &credentials, &config)
    }

    fn from_sources(variable: impl Fn(&str) -> Option<String>, credentials: &str, config: &str) -> Self {
        let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        let in_files = |key: &str| {
            profile_value(credentials, &profile, key)
                .or_else(|| profile_value(config, &format!("profile {profile}"), key))
                .or_else(|| (profile == "default").then(|| profile_value(config, "default", key)).flatten())
        };
        let mut settings = Self {
            endpoint: variable("AWS_ENDPOINT_URL_S3").or_else(|| variable("AWS_ENDPOINT_URL")).or_else(|| in_files("endpoint_url")),
            region: variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")).or_else(|| in_files("region")),
            access_key_id: variable("AWS_ACCESS_KEY_ID"),
            secret_access_key: variable("AWS_SECRET_ACCESS_KEY"),
            session_token: variable("AWS_SESSION_TOKEN"),
            path_style: None,
        };
        // The three belong together: a key of the environment with the secret of a file would be refused.
        if settings.access_key_id.is_none() || settings.secret_access_key.is_none() {
            settings.access_key_id = in_files("aws_access_key_id");
            settings.secret_access_key = in_files("aws_secret_access_key");
            settings.session_token = in_files("aws_session_token");
        }
        settings
    }

    /// The statement that gives DuckDB these settings. It holds the secrets: it goes into no message.
    pub(crate) fn create_secret(&self) -> String {
        let (host, ssl) = match self.endpoint.as_deref().map(|e| e.trim_end_matches('/')) {
            Some(url) => match url.split_once("://") {
                Some((scheme, host)) => (Some(host), !scheme.eq_ignore_ascii_case("http")),
                None => (Some(url), true),
            },
            None => (None, true),
        };
        let path_style = self.path_style.unwrap_or(host.is_some());
        let mut options = vec![
            "TYPE s3".to_owned(),
            format!("REGION {}", quote_literal(self.region.as_deref().unwrap_or("us-east-1"))),
            format!("USE_SSL {ssl}"),
            format!("URL_STYLE '{}'", if path_style { "path" } else { "vhost" }),
        ];
        let values = [
            ("ENDPOINT", host),
            ("KEY_ID", self.access_key_id.as_deref()),
            ("SECRET", self.secret_access_key.as_deref()),
            ("SESSION_TOKEN", self.session_token.as_deref()),
        ];
        options.extend(values.iter().filter_map(|(name, value)| Some(format!("{name} {}", quote_literal((*value)?)))));
        format!("CREATE OR REPLACE TEMPORARY SECRET lakefeed ({})", options.join(", "))
    }
}

/// The value of a key in a section of an AWS profile file.
fn profile_value(text: &str, section: &str, key: &str) -> Option<String> {
    let mut inside = false;
    for line in text.lines() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
            inside = name.split_whitespace().eq(section.split_whitespace());
        } else if inside
            && let Some((name, value)) = line.split_once('=')
            && name.trim() == key
        {
            return Some(value.trim().to_owned()).filter(|v| !v.is_empty());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "[default]\naws_access_key_id = AK\naws_secret_access_key=SK=\n[two]\naws_access_key_id=A2\n";
    const CONFIG: &str =
        "# c\n[default]\nregion = eu-west-1\n[profile two]\nregion=eu-central-1\nendpoint_url = http://h:1\naws_secret_access_key = S2\n";

    fn from(variables: &[(&str, &str)]) -> S3Settings {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        S3Settings::from_sources(find, CREDENTIALS, CONFIG)
    }

    #[test]
    fn variables_win_over_profiles_and_secrets_are_not_mixed() {
        let plain = from(&[]);
        assert_eq!((plain.access_key_id.as_deref(), plain.secret_access_key.as_deref()), (Some("AK"), Some("SK=")));
        assert_eq!(plain.region.as_deref(), Some("eu-west-1"));
        let two = from(&[("AWS_PROFILE", "two"), ("AWS_ACCESS_KEY_ID", "lonely")]);
        assert_eq!((two.access_key_id.as_deref(), two.secret_access_key.as_deref()), (Some("A2"), Some("S2")));
        assert_eq!((two.region.as_deref(), two.endpoint.as_deref()), (Some("eu-central-1"), Some("http://h:1")));
        let own =
            from(&[("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_ENDPOINT_URL", "http://a"), ("AWS_REGION", "r")]);
        assert_eq!(
            (own.access_key_id.as_deref(), own.endpoint.as_deref(), own.region.as_deref()),
            (Some("k"), Some("http://a"), Some("r"))
        );
    }

    #[test]
    fn the_secret_statement_is_quoted_and_debug_hides_it() {
        let settings = S3Settings {
            endpoint: Some("http://localhost:9000/".into()),
            access_key_id: Some("it's".into()),
            secret_access_key: Some("top".into()),
            ..S3Settings::default()
        };
        assert_eq!(
            settings.create_secret(),
            "CREATE OR REPLACE TEMPORARY SECRET lakefeed (TYPE s3, REGION 'us-east-1', USE_SSL false, URL_STYLE 'path', \
             ENDPOINT 'localhost:9000', KEY_ID 'it''s', SECRET 'top')"
        );
        assert!(S3Settings::default().create_secret().contains("USE_SSL true, URL_STYLE 'vhost'"));
        let shown = format!("{settings:?}");
        assert!(!shown.contains("top") && !shown.contains("it's"), "{shown}");
    }
}
