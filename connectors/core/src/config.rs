//! Configuration keys, declared once: parsing, checking, `lakefeed plugins` and the REST answers come from the same declaration.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::{Error, Result, printable};

/// The type of a key, as Kafka Connect names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// `true` or `false`.
    Boolean,
    /// Any text.
    String,
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 64 bits.
    Long,
    /// A number.
    Double,
    /// Text separated by commas; blanks around the parts are dropped.
    List,
    /// The name of a class.
    Class,
    /// Text that is never shown.
    Password,
}

impl KeyKind {
    /// The name in Kafka Connect's REST answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Int => "INT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        }
    }

    fn check(self, value: &str) -> Result<(), String> {
        let expect = |ok: bool, what: &str| if ok { Ok(()) } else { Err(format!("expected {what}")) };
        match self {
            Self::Boolean => expect(value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false"), "true or false"),
            Self::Int => expect(value.parse::<i32>().is_ok(), "a whole number of 32 bits"),
            Self::Long => expect(value.parse::<i64>().is_ok(), "a whole number of 64 bits"),
            Self::Double => expect(value.parse::<f64>().is_ok_and(f64::is_finite), "a number"),
            Self::String | Self::List | Self::Class | Self::Password => Ok(()),
        }
    }
}

/// Checks a value; the error is what was expected.
pub type Validator = fn(&str) -> Result<(), String>;

/// How much a key matters to most users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Importance {
    /// Nearly everyone sets or should know it.
    High,
    /// Worth knowing.
    Medium,
    /// For special cases.
    Low,
}

impl Importance {
    /// The name in Kafka Connect's REST answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::High => "HIGH",
            Self::Medium => "MEDIUM",
            Self::Low => "LOW",
        }
    }
}

/// One key. Made by [`Key::new`], completed by its other methods.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The name, for example `flush.size`.
    pub name: &'static str,
    /// The type.
    pub kind: KeyKind,
    /// The text that stands for a missing value; `None`: there is none.
    pub default: Option<&'static str>,
    /// Whether a connector without it is wrong.
    pub required: bool,
    /// How much it matters.
    pub importance: Importance,
    /// The heading it is listed under.
    pub group: &'static str,
    /// What it does, in whole sentences, units included.
    pub doc: &'static str,
    /// A further check; it returns what was expected.
    pub validator: Option<Validator>,
    /// The values that are accepted; empty: not a closed list.
    pub values: &'static [&'static str],
}

impl Key {
    /// An optional key of medium importance without a default.
    pub const fn new(name: &'static str, kind: KeyKind, doc: &'static str) -> Self {
        Self {
            name,
            kind,
            default: None,
            required: false,
            importance: Importance::Medium,
            group: "Connector",
            doc,
            validator: None,
            values: &[],
        }
    }

    /// With a default.
    #[must_use]
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// Required, and of high importance.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self.importance = Importance::High;
        self
    }

    /// With another importance.
    #[must_use]
    pub const fn importance(mut self, importance: Importance) -> Self {
        self.importance = importance;
        self
    }

    /// Under a heading.
    #[must_use]
    pub const fn group(mut self, group: &'static str) -> Self {
        self.group = group;
        self
    }

    /// With a further check, which returns what was expected.
    #[must_use]
    pub const fn validator(mut self, validator: Validator) -> Self {
        self.validator = Some(validator);
        self
    }

    /// With a closed list of values.
    #[must_use]
    pub const fn values(mut self, values: &'static [&'static str]) -> Self {
        self.values = values;
        self
    }

    /// What is wrong with a value, if anything.
    fn check(&self, value: &str) -> Option<ConfigError> {
        let fault = |expected: String| Some(ConfigError::value(self.name, self.shown(value), expected));
        if let Err(expected) = self.kind.check(value) {
            return fault(expected);
        }
        if !self.values.is_empty() && !self.values.contains(&value) {
            let hint = nearest(value, self.values.iter().copied()).map(|n| format!("; did you mean '{n}'?")).unwrap_or_default();
            return fault(format!("expected one of {}{hint}", self.values.join(", ")));
        }
        self.validator.and_then(|validate| validate(value).err()).and_then(fault)
    }

    fn shown(&self, value: &str) -> String {
        if self.kind == KeyKind::Password { "[hidden]".into() } else { crate::shorten(value.as_bytes()) }
    }
}

/// What is wrong with one key; among warnings, what is accepted and does less than it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The key.
    pub key: String,
    /// Its value (shortened; hidden for passwords), where there is one.
    pub value: Option<String>,
    /// What is wrong and what is accepted.
    pub message: String,
}

impl ConfigError {
    /// A wrong value.
    pub fn value(key: impl Into<String>, value: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), value: Some(value.into()), message: message.into() }
    }

    /// A key that is missing, unknown or in the way of another.
    pub fn key(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), value: None, message: message.into() }
    }

    /// What [`ConfigDef::read`] found, and what further checks of its values found. A key that is wrong by itself counts as not given in those, and that
    /// is no second mistake.
    pub fn with_further(mut own: Vec<Self>, mut further: Vec<Self>) -> Vec<Self> {
        further.retain(|error| !own.iter().any(|wrong| wrong.key == error.key));
        own.append(&mut further);
        own
    }

    /// All of them as one error, a line each; `None` if there is none.
    pub fn into_error(what: &str, errors: &[Self]) -> Option<Error> {
        if errors.is_empty() {
            return None;
        }
        let lines: String = errors.iter().map(|e| format!("\n  {e}")).collect();
        let plural = if errors.len() == 1 { "" } else { "s" };
        Some(Error::config(format!("{what}: {} error{plural}{lines}", errors.len())))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} = '{}': {}", printable(&self.key), printable(value), printable(&self.message)),
            None => write!(f, "{}: {}", printable(&self.key), printable(&self.message)),
        }
    }
}

/// The keys of a plugin.
#[derive(Debug, Clone, Default)]
pub struct ConfigDef {
    keys: Vec<Key>,
    prefixes: Vec<(&'static str, &'static str)>,
}

impl ConfigDef {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// With these keys. A key that is there already is replaced.
    #[must_use]
    pub fn keys(mut self, keys: &[Key]) -> Self {
        for key in keys {
            self.keys.retain(|k| k.name != key.name);
            self.keys.push(*key);
        }
        self
    }

    /// With every key that begins with `prefix`; such keys are text and checked by whoever reads them.
    #[must_use]
    pub fn prefix(mut self, prefix: &'static str, doc: &'static str) -> Self {
        self.prefixes.push((prefix, doc));
        self
    }

    /// The keys of both. Where both have one, `self` wins.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let mut prefixes = other.prefixes;
        prefixes.extend(self.prefixes);
        Self { prefixes, ..Self::new().keys(&other.keys).keys(&self.keys) }
    }

    /// All keys, in the order of declaration.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    /// All prefixes with their documentation.
    pub fn prefixes(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.prefixes.iter().copied()
    }

    fn find(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|k| k.name == name)
    }

    /// Checks every value and every name, and keeps the values.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the names: unknown keys (with the nearest known one), missing required keys, wrong
    /// values.
    pub fn parse(&self, values: &BTreeMap<String, String>) -> Result<Config, Vec<ConfigError>> {
        let (config, errors) = self.read(values);
        if errors.is_empty() { Ok(config) } else { Err(errors) }
    }

    /// As [`ConfigDef::parse`], for whoever checks further and tells all errors at once: a value that is wrong is as if it were not given.
    pub fn read(&self, values: &BTreeMap<String, String>) -> (Config, Vec<ConfigError>) {
        let mut errors = Vec::new();
        for (name, value) in values {
            match self.find(name) {
                Some(key) => errors.extend(key.check(value)),
                None if self.prefixes.iter().any(|(p, _)| name.starts_with(p)) => {}
                None => errors.push(self.unknown(name)),
            }
        }
        for key in self.keys.iter().filter(|k| k.required) {
            if values.get(key.name).is_none_or(|v| v.trim().is_empty()) {
                errors.push(ConfigError::key(key.name, format!("is required. {}", key.doc)));
            }
        }
        errors.sort_by(|a, b| a.key.cmp(&b.key));
        let defaults = self.keys.iter().filter_map(|k| Some((k.name.to_owned(), k.default?.to_owned())));
        let mut all: BTreeMap<String, String> = defaults.collect();
        let right = values.iter().filter(|(name, _)| !errors.iter().any(|error| error.key == **name));
        all.extend(right.map(|(k, v)| (k.clone(), v.clone())));
        (Config { values: all }, errors)
    }

    fn unknown(&self, name: &str) -> ConfigError {
        let hint = match nearest(name, self.keys.iter().map(|k| k.name)) {
            Some(near) => format!("unknown key; did you mean '{near}'?"),
            None => "unknown key; `lakefeed plugins CLASS` lists the known ones".into(),
        };
        ConfigError::key(name, hint)
    }
}

/// The candidate that `text` most likely was meant to be, if one is near enough.
pub fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.map(|c| (strsim::normalized_damerau_levenshtein(&text.to_lowercase(), &c.to_lowercase()), c));
    scored.filter(|(score, _)| *score >= 0.7).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, c)| c)
}

/// The values of a connector's keys, checked by [`ConfigDef::parse`].
///
/// The getters return the default where no value was given. A getter of the wrong type, or of a key that was not declared, is a
/// mistake of the plugin and reads as absent.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    values: BTreeMap<String, String>,
}

impl Config {
    /// The text of a key; `None` if it is missing or blank and has no default.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// The text of a key, empty if it is missing.
    pub fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }

    /// A number.
    pub fn int(&self, key: &str) -> Option<i64> {
        self.get(key)?.parse().ok()
    }

    /// A number of milliseconds; one that is missing or negative is 0.
    pub fn millis(&self, key: &str) -> Duration {
        Duration::from_millis(self.int(key).and_then(|ms| u64::try_from(ms).ok()).unwrap_or_default())
    }

    /// A number.
    pub fn double(&self, key: &str) -> Option<f64> {
        self.get(key)?.parse().ok()
    }

    /// Whether a key says true.
    pub fn bool(&self, key: &str) -> bool {
        self.get(key).is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }

    /// The parts of a list.
    pub fn list(&self, key: &str) -> Vec<&str> {
        self.text(key).split(',').map(str::trim).filter(|v| !v.is_empty()).collect()
    }

    /// The keys that begin with `prefix`, without it, and their values.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.values.iter().filter_map(move |(k, v)| Some((k.strip_prefix(prefix)?, v.as_str())))
    }
}

impl fmt::Debug for Config {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn def() -> ConfigDef {
        ConfigDef::new()
            .keys(&[
                Key::new("flush.size", KeyKind::Int, "Rows of a file."),
                Key::new("topics", KeyKind::List, "What to read.").required(),
                Key::new("codec", KeyKind::String, "Codec.").default("snappy").values(&["none", "snappy", "zstd"]),
                Key::new("secret", KeyKind::Password, "A secret.")
                    .validator(|v| if v.len() > 3 { Ok(()) } else { Err("expected more".into()) }),
            ])
            .prefix("consumer.override.", "Passed on.")
    }

    fn parse(pairs: &[(&str, &str)]) -> Result<Config, Vec<ConfigError>> {
        def().parse(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn values_defaults_and_prefixes_are_read() {
        let config = parse(&[("topics", " a, b ,"), ("flush.size", "7"), ("consumer.override.fetch.max.bytes", "1")]).expect("valid");
        assert_eq!(config.list("topics"), ["a", "b"]);
        assert_eq!((config.int("flush.size"), config.text("codec")), (Some(7), "snappy"));
        assert_eq!(config.with_prefix("consumer.override.").collect::<Vec<_>>(), [("fetch.max.bytes", "1")]);
    }

    #[test]
    fn every_mistake_is_named_once_with_what_is_accepted() {
        let errors =
            parse(&[("flsh.size", "7"), ("codec", "snapy"), ("flush.size", "many"), ("secret", "abc"), ("zzz", "")]).expect_err("wrong");
        let text: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "codec = 'snapy': expected one of none, snappy, zstd; did you mean 'snappy'?",
                "flsh.size: unknown key; did you mean 'flush.size'?",
                "flush.size = 'many': expected a whole number of 32 bits",
                "secret = '[hidden]': expected more",
                "topics: is required. What to read.",
                "zzz: unknown key; `lakefeed plugins CLASS` lists the known ones",
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_left_out_for_further_checks() {
        let given = [("codec", "snapy"), ("flush.size", "7"), ("zzz", "1"), ("consumer.override.a", "b")];
        let (config, errors) = def().read(&given.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(errors.iter().map(|error| error.key.as_str()).collect::<Vec<_>>(), ["codec", "topics", "zzz"]);
        assert_eq!((config.text("codec"), config.int("flush.size"), config.get("zzz")), ("snappy", Some(7), None));
        assert_eq!(config.get("consumer.override.a"), Some("b"));
    }

    #[test]
    fn names_from_files_are_made_printable() {
        let errors = parse(&[("topics", "t"), ("zzz\n\u{1b}[2J", "1")]).expect_err("wrong");
        assert!(errors[0].to_string().starts_with("zzz\\n\\u{1b}[2J: unknown key"), "{}", errors[0]);
    }

    #[test]
    fn a_plugin_overrides_a_common_key() {
        let common = ConfigDef::new().keys(&[Key::new("tasks.max", KeyKind::Int, "Common.").default("1")]);
        let merged = ConfigDef::new().keys(&[Key::new("tasks.max", KeyKind::Int, "Own.").default("4")]).merge(common);
        assert_eq!(merged.iter().map(|k| (k.name, k.doc)).collect::<Vec<_>>(), [("tasks.max", "Own.")]);
    }
}
