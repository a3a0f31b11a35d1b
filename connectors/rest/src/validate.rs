//! What is wrong with a configuration, in Kafka Connect's words.

use std::collections::{BTreeMap, HashSet};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use lakefeed_core::{ConfigDef, ConfigError, Key, KeyKind, Plugin, nearest, printable};
use lakefeed_runtime::{ConnectorFile, NamedKey, Transforms, definition};
use serde_json::{Value, json};

use crate::answer::{Answer, Fault, object, texts};
use crate::plugins::{find, group, key_json};
use crate::{App, Shared, text};

pub(crate) async fn validate(State(app): Shared, Path(class): Path<String>, headers: HeaderMap, body: Body) -> Result<Answer, Fault> {
    let values = texts(object(&headers, body).await?)?;
    if let Some(included) = values.get("connector.class") {
        let same = find(&app, &class).zip(find(&app, included)).is_none_or(|(a, b)| a.class == b.class);
        if !same {
            return Err(Fault::bad(format!("Included connector type {included} does not match request type {class}")));
        }
    }
    named(&values)?;
    let plugin = find(&app, &class).ok_or_else(|| unknown_class(&app, &class))?;
    let file = file(&app, values.clone())?;
    let errors = file.unresolved(app.worker.errors(&file));
    Ok(Answer::ok(infos(plugin, &values, &errors)))
}

/// A configuration must say what it is of.
pub(crate) fn named(values: &BTreeMap<String, String>) -> Result<(), Fault> {
    if values.contains_key("connector.class") {
        return Ok(());
    }
    let pairs: Vec<_> = values.iter().map(|(key, value)| format!("{key}={value}")).collect();
    Err(Fault::bad(format!("Connector config {{{}}} contains no connector type", pairs.join(", "))))
}

/// A configuration for the worker. Keys that nobody knows are no mistake in Kafka Connect; one that is nearly a known key is.
pub(crate) fn file(app: &App, raw: BTreeMap<String, String>) -> Result<ConnectorFile, Fault> {
    let class = raw.get("connector.class").map(String::as_str).unwrap_or_default();
    let plugin = find(app, class).ok_or_else(|| unknown_class(app, class))?;
    let mut file = ConnectorFile::new("the configuration", raw).map_err(|error| Fault::bad(error.chain()))?;
    let def = definition(plugin);
    file.values.retain(|key, _| {
        let foreign = !knows(&def, key) && nearest(key, def.iter().map(|k| k.name)).is_none();
        if foreign {
            tracing::warn!(target: "lakefeed", key = %printable(key), class = plugin.class, "An unknown key of a connector has no effect");
        }
        !foreign
    });
    Ok(file)
}

fn knows(def: &ConfigDef, key: &str) -> bool {
    def.iter().any(|k| k.name == key) || def.prefixes().any(|(prefix, _)| key.starts_with(prefix))
}

fn unknown_class(app: &App, class: &str) -> Fault {
    let known: Vec<_> = app.worker.plugins().iter().map(|p| p.class).collect();
    let names = || app.worker.plugins().iter().flat_map(|p| std::iter::once(p.class).chain(p.aliases.iter().copied()));
    let hint = nearest(class, names()).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    let known = known.join(", ");
    Fault::bad(format!(
        "Failed to find any class that implements Connector and which name matches {class}, available connectors are: {known}{hint}"
    ))
}

/// All errors of a configuration as one fault.
pub(crate) fn fault(app: &App, file: &ConnectorFile, errors: Vec<ConfigError>) -> Fault {
    let errors = file.unresolved(errors);
    let def = file.values.get("connector.class").and_then(|class| find(app, class)).map(definition).unwrap_or_default();
    let lines: Vec<_> = errors.iter().map(|error| error_text(&def, error)).collect();
    Fault::bad(format!(
        "Connector configuration is invalid and contains the following {} error(s):\n{}\nYou can also find the above list of errors at the \
         endpoint `/connector-plugins/{{connectorType}}/config/validate`",
        lines.len(),
        lines.join("\n")
    ))
}

/// An error in Kafka Connect's words, as far as it has them.
fn error_text(def: &ConfigDef, error: &ConfigError) -> String {
    let kind = def.iter().find(|key| key.name == error.key).map(|key| key.kind);
    let (key, message) = (printable(&error.key), printable(&error.message));
    let Some(value) = error.value.as_deref().map(printable) else {
        let required = def.iter().any(|k| k.name == error.key && k.required) && message.starts_with("is required");
        // Those of transforms and predicates, which no plugin defines.
        let of_part = message.starts_with("is required. ") || key.ends_with(".type") && message.starts_with("is required");
        return match message.strip_prefix("unknown key") {
            _ if required || of_part => format!("Missing required configuration \"{key}\" which has no default value."),
            Some(hint) => format!("Unknown configuration \"{key}\"{hint}"),
            None => format!("Invalid configuration {key}: {message}"),
        };
    };
    let message = match kind {
        Some(KeyKind::Int) if value.parse::<i32>().is_err() => "Not a number of type INT".to_owned(),
        Some(KeyKind::Long) if value.parse::<i64>().is_err() => "Not a number of type LONG".to_owned(),
        Some(KeyKind::Double) if value.parse::<f64>().is_err() => "Not a number of type DOUBLE".to_owned(),
        Some(KeyKind::Boolean) => "Expected value to be either true or false".to_owned(),
        _ => message,
    };
    format!("Invalid value {value} for configuration {key}: {message}")
}

/// `ConfigInfos`: every key with its definition, value and errors.
///
/// Each entry has a definition, as in Kafka Connect: tools read its fields without asking whether it is there. So the error of a misspelt
/// key stands at the key that it nearly is, and a key that has no effect is left out.
fn infos(plugin: &Plugin, values: &BTreeMap<String, String>, errors: &[ConfigError]) -> Value {
    let def = definition(plugin);
    let shown = shown_keys(&def, values, errors);
    let mut groups: Vec<&str> = Vec::new();
    for key in &shown {
        if !groups.contains(&key.group.as_str()) {
            groups.push(&key.group);
        }
    }
    let place = |error: &ConfigError| {
        let own = shown.iter().find(|key| key.name == error.key);
        // `file` has left no unknown key that is not near to one.
        let near = || nearest(&error.key, def.iter().map(|key| key.name)).unwrap_or("connector.class");
        own.map_or_else(near, |key| key.name.as_str()).to_owned()
    };
    let placed: Vec<_> = errors.iter().map(|error| (place(error), error)).collect();
    let config = |(i, NamedKey { name, group, key }): (usize, &NamedKey)| {
        let here = || placed.iter().filter(|(place, _)| place == name).map(|(_, error)| *error);
        let told = here().map(|error| error_text(&def, error)).collect();
        let mut definition = key_json(key, i);
        (definition["name"], definition["group"]) = (text(name), text(group));
        if key.name.ends_with('.') {
            // Of a prefix nothing but the whole name says which setting it is.
            definition["display_name"] = text(name);
        }
        json!({"definition": definition, "value": key_value(name, key, values.get(name), here().any(|error| error.key == *name), told)})
    };
    let configs: Vec<_> = shown.iter().enumerate().map(config).collect();
    json!({"name": plugin.class, "error_count": errors.len(), "groups": groups, "configs": configs})
}

/// The keys that an answer shows: those of the plugin, those of the transforms that are named, and those that are given below a prefix,
/// such as settings of clients.
fn shown_keys(def: &ConfigDef, values: &BTreeMap<String, String>, errors: &[ConfigError]) -> Vec<NamedKey> {
    let own = def.iter().map(|key| NamedKey { name: key.name.to_owned(), group: group(key).to_owned(), key: *key });
    let given = values.keys().chain(errors.iter().map(|error| &error.key)).filter_map(|name| {
        let (prefix, doc) = def.prefixes().find(|(prefix, _)| name.starts_with(prefix))?;
        let kind = if is_secret(name) { KeyKind::Password } else { KeyKind::String };
        Some(NamedKey { name: name.clone(), group: "Other settings".into(), key: Key::new(prefix, kind, doc) })
    });
    let mut shown: Vec<_> = own.chain(Transforms::named_keys(values)).chain(given).collect();
    // An alias may be there twice, which is among the errors.
    let mut seen = HashSet::new();
    shown.retain(|key| seen.insert(key.name.clone()));
    shown
}

/// Whether the value of a setting that is passed on is a password, by Kafka's names.
fn is_secret(name: &str) -> bool {
    ["password", "secret", "sasl.jaas.config", "ssl.keystore.key", "basic.auth.user.info"].iter().any(|end| name.ends_with(end))
}

/// The value of a key: what was given, else the default; null where it is wrong.
fn key_value(name: &str, key: &Key, given: Option<&String>, wrong: bool, errors: Vec<String>) -> Value {
    let value = match given {
        Some(_) if wrong => Value::Null,
        Some(_) if key.kind == KeyKind::Password => text("[hidden]"),
        Some(given) => text(given),
        None if key.kind == KeyKind::Password => Value::Null,
        None => key.default.map_or(Value::Null, text),
    };
    json!({"name": name, "value": value, "recommended_values": key.values, "errors": errors, "visible": true})
}
