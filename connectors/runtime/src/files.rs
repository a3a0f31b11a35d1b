//! Connector and worker files, as `connect-standalone` reads them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use java_properties::LineContent;
use lakefeed_core::{ConfigError, Error, Result};
use serde_json::Value;

use crate::key_lines;

/// The largest file that `${file:PATH:KEY}` and `${dir:PATH:FILE}` read.
const PROVIDER_BYTES: u64 = 1 << 20;

/// The configuration of one connector and where it came from.
#[derive(Debug, Clone)]
pub struct ConnectorFile {
    /// The file.
    pub path: PathBuf,
    /// Keys and values as they were written: a variable stands for what may be a secret.
    pub raw: BTreeMap<String, String>,
    /// Keys and values, variables replaced.
    pub values: BTreeMap<String, String>,
    /// The lines in which keys stand, from 1; of a configuration that did not come in a file none.
    pub lines: BTreeMap<String, usize>,
    /// What it is to do at first.
    pub initial_state: TargetState,
}

impl ConnectorFile {
    /// The configuration of a connector that did not come in a file; `origin` names where from, for messages.
    ///
    /// # Errors
    /// `Config`: a variable has no value.
    pub fn new(origin: &str, raw: BTreeMap<String, String>) -> Result<Self> {
        let path = PathBuf::from(origin);
        let values = substitute(raw.clone(), &path, &Variables::default())?;
        Ok(Self { path, raw, values, lines: BTreeMap::new(), initial_state: TargetState::Running })
    }

    /// Errors that show a variable and not what it stands for, which may be a secret.
    #[must_use]
    pub fn unresolved(&self, mut errors: Vec<ConfigError>) -> Vec<ConfigError> {
        for error in &mut errors {
            let (raw, value) = (self.raw.get(&error.key), self.values.get(&error.key));
            if let Some((raw, value)) = raw.zip(value).filter(|(raw, value)| raw != value) {
                error.value = error.value.take().map(|_| raw.clone());
                // Of a shorter one, what is found is more likely a part of a word.
                if value.len() > 3 {
                    error.message = error.message.replace(value, raw);
                }
            }
        }
        errors
    }

    /// `name`, or the file's name while it has none.
    pub fn name(&self) -> String {
        self.values.get("name").cloned().unwrap_or_else(|| self.path.display().to_string())
    }
}

/// What a connector is to do, as Kafka Connect names it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TargetState {
    /// Run.
    #[default]
    Running,
    /// Read nothing, but stay in the group.
    Paused,
    /// Have no tasks.
    Stopped,
}

impl TargetState {
    /// Reads a name in any case.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(name: &str) -> Result<Self, String> {
        let states = [Self::Running, Self::Paused, Self::Stopped];
        states.into_iter().find(|state| state.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            format!("initial_state = '{}': expected one of RUNNING, PAUSED, STOPPED", lakefeed_core::shorten(name.as_bytes()))
        })
    }

    /// The name in Kafka Connect's REST answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Stopped => "STOPPED",
        }
    }
}

/// Where `${env:NAME}` looks before the environment: a caller's own variables.
#[derive(Debug, Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// With a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned().or_else(|| std::env::var(name).ok())
    }
}

/// Reads a connector file. It is tried as Kafka Connect does: a flat JSON object with a `name`, a JSON object with `name` and `config`,
/// Java properties.
///
/// # Errors
/// `Config`: the file can't be read or is none of these, or a variable has no value.
pub fn read_connector(path: &Path, variables: &Variables) -> Result<ConnectorFile> {
    let text = read(path)?;
    let fault = |what: String| Error::config(format!("{}: {what}", path.display()));
    let mut initial_state = TargetState::Running;
    let mut lines = BTreeMap::new();
    let raw = match serde_json::from_slice::<Value>(&text) {
        Ok(Value::Object(object)) => {
            if let Some(state) = object.get("initial_state").filter(|_| object.contains_key("config")) {
                initial_state = TargetState::parse(state.as_str().unwrap_or_default()).map_err(&fault)?;
            }
            lines = std::str::from_utf8(&text).map(key_lines::of_json).unwrap_or_default();
            from_json(object).map_err(fault)?
        }
        Ok(_) => return Err(fault("expected a JSON object or Java properties".into())),
        Err(error) if text.trim_ascii_start().starts_with(b"{") => return Err(fault("not valid JSON".into()).with_source(error)),
        Err(_) => {
            let found = properties(&text, path)?;
            lines.extend(found.iter().map(|(key, (_, line))| (key.clone(), *line)));
            without_lines(found)
        }
    };
    let values = substitute(raw.clone(), path, variables)?;
    Ok(ConnectorFile { path: path.to_owned(), raw, values, lines, initial_state })
}

/// Reads a worker file: Java properties.
///
/// # Errors
/// `Config`: the file can't be read, is not Java properties, or a variable has no value.
pub fn read_worker(path: &Path, variables: &Variables) -> Result<BTreeMap<String, String>> {
    let text = read(path)?;
    substitute(without_lines(properties(&text, path)?), path, variables)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::config(format!("can't read {}", path.display())).with_source(e))
}

fn from_json(mut object: serde_json::Map<String, Value>) -> Result<BTreeMap<String, String>, String> {
    let name = object.get("name").and_then(Value::as_str).map(str::to_owned).ok_or("the JSON object has no \"name\"")?;
    if let Some(Value::Object(config)) = object.remove("config") {
        let mut values = flat(config)?;
        match values.get("name") {
            Some(inner) if *inner != name => return Err(format!("\"name\" is '{name}' but \"config\" has the name '{inner}'")),
            _ => values.insert("name".into(), name),
        };
        return Ok(values);
    }
    flat(object)
}

fn flat(object: serde_json::Map<String, Value>) -> Result<BTreeMap<String, String>, String> {
    let text = |(key, value)| match value {
        Value::String(text) => Ok((key, text)),
        Value::Number(number) => Ok((key, number.to_string())),
        Value::Bool(flag) => Ok((key, flag.to_string())),
        other => Err(format!("\"{key}\" is {other}, expected a text")),
    };
    object.into_iter().map(text).collect()
}

/// The values and the lines of the keys of a file.
fn properties(text: &[u8], path: &Path) -> Result<BTreeMap<String, (String, usize)>> {
    let mut values = BTreeMap::new();
    for line in java_properties::PropertiesIter::new(text) {
        let line = line.map_err(|e| {
            Error::config(format!("{}: not Java properties (line {})", path.display(), e.line_number().unwrap_or(0))).with_source(e)
        })?;
        let number = line.line_number();
        if let LineContent::KVPair(key, value) = line.consume_content() {
            values.insert(key, (value, number));
        }
    }
    Ok(values)
}

fn without_lines(values: BTreeMap<String, (String, usize)>) -> BTreeMap<String, String> {
    values.into_iter().map(|(key, (value, _))| (key, value)).collect()
}

/// Replaces `${env:NAME}`, `${file:PATH:KEY}` and `${dir:PATH:FILE}` as Kafka's EnvVarConfigProvider, FileConfigProvider and DirectoryConfigProvider do. `${env:NAME:-TEXT}` has a
/// default. Other `${...}` stay as they are.
pub(crate) fn substitute(values: BTreeMap<String, String>, path: &Path, variables: &Variables) -> Result<BTreeMap<String, String>> {
    let fault = |key: &str, what: String| Error::config(format!("{}: {key}: {what}", path.display()));
    values.into_iter().map(|(key, value)| resolve(&value, variables).map(|v| (key.clone(), v)).map_err(|what| fault(&key, what))).collect()
}

fn resolve(value: &str, variables: &Variables) -> Result<String, String> {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let Some(end) = from.find('}') else {
            out.push_str(from);
            return Ok(out);
        };
        let name = &from[2..end];
        match name.split_once(':') {
            Some(("env", variable)) => out.push_str(&environment(variable, variables)?),
            Some(("file", place)) => out.push_str(&from_file(place)?),
            Some(("dir", place)) => out.push_str(&from_folder(place)?),
            _ => out.push_str(&from[..=end]),
        }
        rest = &from[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn environment(variable: &str, variables: &Variables) -> Result<String, String> {
    let (name, default) = variable.split_once(":-").map_or((variable, None), |(n, d)| (n, Some(d)));
    match (variables.get(name), default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!("the environment has no variable {name}; set it, or write ${{env:{name}:-DEFAULT}}")),
    }
}

fn from_file(place: &str) -> Result<String, String> {
    let (file, key) = place.rsplit_once(':').ok_or_else(|| format!("expected ${{file:PATH:KEY}}, found ${{file:{place}}}"))?;
    let path = Path::new(file);
    bounded(path)?;
    let values = read(path).and_then(|text| properties(&text, path)).map_err(|e| e.chain())?;
    values.get(key).map(|(value, _)| value.clone()).ok_or_else(|| format!("{file} has no key {key}"))
}

/// A file of a folder, whole, as secrets are mounted in containers.
fn from_folder(place: &str) -> Result<String, String> {
    let (folder, name) = place.rsplit_once(':').ok_or_else(|| format!("expected ${{dir:PATH:FILE}}, found ${{dir:{place}}}"))?;
    if name.contains('/') {
        return Err(format!("{name}: expected the name of a file in {folder}"));
    }
    let path = Path::new(folder).join(name);
    bounded(&path)?;
    let text = read(&path).map_err(|e| e.chain())?;
    String::from_utf8(text).map_err(|_| format!("{}: expected text in UTF-8", path.display()))
}

/// Whoever makes connectors may name any file: one without an end would stop the worker.
fn bounded(path: &Path) -> Result<(), String> {
    let fits = std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= PROVIDER_BYTES);
    if fits { Ok(()) } else { Err(format!("{} is no file of at most {PROVIDER_BYTES} bytes", path.display())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<BTreeMap<String, String>> {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("c");
        std::fs::write(&path, text).expect("written");
        read_connector(&path, &Variables::default()).map(|file| file.values)
    }

    fn pairs(values: &[(&str, &str)]) -> BTreeMap<String, String> {
        values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn the_three_forms_of_a_connector_file_read_the_same() {
        let want = pairs(&[("name", "a"), ("tasks.max", "2"), ("topics", "t")]);
        for text in [
            r#"{"name":"a","topics":"t","tasks.max":"2"}"#,
            r#"{"name":"a","config":{"topics":"t","tasks.max":2},"initial_state":"RUNNING"}"#,
            "# comment\n! another\nname = a\n  topics:t\ntasks.max 2\n",
            "name=a\ntopi\\\n  cs=t\ntasks.max=\\u0032",
        ] {
            assert_eq!(parse(text).expect("valid"), want, "{text}");
        }
    }

    #[test]
    fn variables_are_replaced_and_missing_ones_named() {
        let values = parse("name=a\nhome=${env:LAKEFEED_NO_SUCH:-x}/y\nother=${topic}").expect("valid");
        assert_eq!(values, pairs(&[("home", "x/y"), ("name", "a"), ("other", "${topic}")]));
        let error = parse("name=a\nk=${env:LAKEFEED_NO_SUCH}").expect_err("no such variable");
        assert!(error.chain().contains("no variable LAKEFEED_NO_SUCH"), "{}", error.chain());
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::write(dir.path().join("secret"), "s=1\n").expect("written");
        let home = dir.path().display();
        let values = parse(&format!("name=a\nk=${{dir:{home}:secret}}.\nl=${{file:{home}/secret:s}}")).expect("valid");
        assert_eq!((&*values["k"], &*values["l"]), ("s=1\n.", "1"));
        for (place, reason) in
            [("", "expected ${dir:PATH:FILE}"), (":../x", "expected the name of a file"), (":none", "is no file of at most")]
        {
            let error = parse(&format!("name=a\nk=${{dir:{home}{place}}}")).expect_err("refused");
            assert!(error.chain().contains(reason), "{}", error.chain());
        }
        let error = parse("name=a\nk=${file:/dev/zero:key}").expect_err("no end");
        assert!(error.chain().contains("/dev/zero is no file"), "{}", error.chain());
    }

    #[test]
    fn what_is_no_connector_file_is_refused_with_the_reason() {
        for (text, reason) in [
            (r#"{"topics":"t"}"#, "has no \"name\""),
            (r#"{"name":"a","config":{"name":"b"}}"#, "but \"config\" has the name 'b'"),
            (r#"{"name":"a","x":[1]}"#, "expected a text"),
            (r#"{"name":"a","#, "not valid JSON"),
            ("[1]", "expected a JSON object"),
            ("name=\\uzz", "not Java properties (line 1)"),
        ] {
            let error = parse(text).expect_err("refused");
            assert!(error.chain().contains(reason), "{text}: {}", error.chain());
        }
    }
}
