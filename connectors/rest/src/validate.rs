//! What is wrong with a configuration, in Kafka Connect's words.

use std::collections::{BTreeMap, HashSet};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use lakefeed_core::{ConfigDef, ConfigError, Key, KeyKind, Plugin, PluginKind, nearest, printable};
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
        return if required || of_part {
            format!("Missing required configuration \"{key}\" which has no default value.")
        } else {
            format!("Invalid value null for configuration {key}: {message}")
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
fn infos(plugin: &Plugin, values: &BTreeMap<String, String>, errors: &[ConfigError]) -> Value {
    let def = definition(plugin);
    let mut groups: Vec<&str> = Vec::new();
    for key in def.iter() {
        if !groups.contains(&group(key)) {
            groups.push(group(key));
        }
    }
    let of = |name: &str| errors.iter().filter(|e| e.key == name).map(|e| error_text(&def, e)).collect::<Vec<_>>();
    let known = def.iter().enumerate().map(|(i, key)| {
        let value = key_value(key, values.get(key.name), of(key.name));
        json!({"definition": key_json(key, i), "value": value})
    });
    let mut configs: Vec<Value> = known.collect();
    let mut named = if plugin.kind() != PluginKind::Processor { Transforms::named_keys(values) } else { Vec::new() };
    // An alias may be there twice, which is among the errors.
    let mut seen = HashSet::new();
    named.retain(|key| seen.insert(key.name.clone()));
    for (i, NamedKey { name, group, key }) in named.iter().enumerate() {
        let (mut definition, mut value) = (key_json(key, i), key_value(key, values.get(name), of(name)));
        (definition["name"], definition["group"], value["name"]) = (text(name), text(group), text(name));
        configs.push(json!({"definition": definition, "value": value}));
        if !groups.contains(&group.as_str()) {
            groups.push(group);
        }
    }
    let mut others: Vec<&str> = values.keys().map(String::as_str).chain(errors.iter().map(|e| e.key.as_str())).collect();
    others.retain(|name| !def.iter().any(|key| key.name == *name) && !named.iter().any(|key| key.name == *name));
    others.sort_unstable();
    others.dedup();
    for name in others {
        let value = json!({
            "name": name, "value": values.get(name), "recommended_values": [], "errors": of(name), "visible": true,
        });
        configs.push(json!({"definition": null, "value": value}));
    }
    json!({"name": plugin.class, "error_count": errors.len(), "groups": groups, "configs": configs})
}

/// The value of a key: what was given, else the default; null where it is wrong.
fn key_value(key: &Key, given: Option<&String>, errors: Vec<String>) -> Value {
    let value = match given {
        Some(_) if !errors.is_empty() => Value::Null,
        Some(_) if key.kind == KeyKind::Password => text("[hidden]"),
        Some(given) => text(given),
        None if key.kind == KeyKind::Password => Value::Null,
        None => key.default.map_or(Value::Null, text),
    };
    json!({"name": key.name, "value": value, "recommended_values": key.values, "errors": errors, "visible": true})
}
