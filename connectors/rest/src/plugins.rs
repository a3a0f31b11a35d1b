//! `/connector-plugins`.

use axum::extract::{Path, Query, State};
use lakefeed_core::{Key, KeyKind, Plugin};
use lakefeed_runtime::{CONVERTERS, Transforms, converter_keys, definition};
use serde_json::{Value, json};

use crate::answer::{Answer, Fault};
use crate::connectors::kind;
use crate::{App, Shared, VERSION};

pub(crate) async fn list(State(app): Shared, Query(query): Query<Vec<(String, String)>>) -> Answer {
    let all = query.iter().any(|(key, value)| key == "connectorsOnly" && value.eq_ignore_ascii_case("false"));
    let shown = |class: &str, kind: &str| json!({"class": class, "type": kind, "version": VERSION});
    // A tool that looks for the class of a stock file finds it under the name that it knows.
    let names =
        app.worker.plugins().iter().flat_map(|p| std::iter::once(p.class).chain(p.aliases.iter().copied()).map(move |name| (name, p)));
    let mut plugins: Vec<Value> = names.map(|(class, plugin)| shown(class, kind(plugin.kind()))).collect();
    if all {
        plugins.extend(CONVERTERS.iter().map(|class| shown(class, "converter")));
        let (transforms, predicates) = Transforms::classes();
        plugins.extend(transforms.map(|class| shown(&class, "transformation")));
        plugins.extend(predicates.map(|class| shown(&class, "predicate")));
    }
    Answer::ok(Value::Array(plugins))
}

pub(crate) async fn config(State(app): Shared, Path(class): Path<String>) -> Result<Answer, Fault> {
    let keys = match find(&app, &class) {
        Some(plugin) => definition(plugin).iter().enumerate().map(|(i, key)| key_json(key, i)).collect(),
        None => part(&class).ok_or_else(|| Fault::new(404, format!("Unknown plugin {class}.")))?,
    };
    Ok(Answer::ok(Value::Array(keys)))
}

/// The keys of a converter, a transform or a predicate, as they are called behind its prefix.
fn part(class: &str) -> Option<Vec<Value>> {
    let simple = |class: &str| class.rsplit('.').next().unwrap_or_default().to_owned();
    if CONVERTERS.iter().any(|known| *known == class || simple(known) == class) {
        return Some(converter_keys(&simple(class)).into_iter().enumerate().map(|(i, (name, key))| named_json(key, i, name)).collect());
    }
    let (transforms, predicates) = Transforms::classes();
    let found = transforms.map(|class| ("transforms", class)).chain(predicates.map(|class| ("predicates", class)));
    let (kind, class) = found.into_iter().find(|(_, known)| *known == class || simple(known) == class)?;
    let values = [(kind.to_owned(), "a".to_owned()), (format!("{kind}.a.type"), class)].into();
    // The first ones are those of every part: which it is, and of what records.
    let own = Transforms::named_keys(&values).into_iter().filter(|named| !matches!(named.key.name, "type" | "predicate" | "negate"));
    Some(own.enumerate().map(|(i, named)| named_json(&named.key, i, named.key.name)).collect())
}

fn named_json(key: &Key, index: usize, name: &str) -> Value {
    let mut json = key_json(key, index);
    (json["name"], json["display_name"]) = (name.into(), name.into());
    json
}

/// How Kafka Connect shows the keys that all its connectors have: a name for people, and the width of its field.
const SHOWN: &[(&str, &str, &str)] = &[
    ("name", "Connector name", "MEDIUM"),
    ("connector.class", "Connector class", "LONG"),
    ("tasks.max.enforce", "Enforce tasks max", "SHORT"),
    ("key.converter", "Key converter class", "SHORT"),
    ("value.converter", "Value converter class", "SHORT"),
    ("header.converter", "Header converter class", "SHORT"),
    ("config.action.reload", "Reload Action", "MEDIUM"),
    ("topics.regex", "Topics regex", "LONG"),
    ("errors.retry.timeout", "Retry Timeout for Errors", "MEDIUM"),
    ("errors.retry.delay.max.ms", "Maximum Delay Between Retries for Errors", "MEDIUM"),
    ("errors.tolerance", "Error Tolerance", "SHORT"),
    ("errors.log.enable", "Log Errors", "SHORT"),
    ("errors.log.include.messages", "Log Error Details", "SHORT"),
    ("errors.deadletterqueue.topic.name", "Dead Letter Queue Topic Name", "MEDIUM"),
    ("errors.deadletterqueue.topic.replication.factor", "Dead Letter Queue Topic Replication Factor", "MEDIUM"),
    ("errors.deadletterqueue.context.headers.enable", "Enable Error Context Headers", "MEDIUM"),
];

pub(crate) fn find<'a>(app: &'a App, class: &str) -> Option<&'a Plugin> {
    app.worker.plugins().iter().find(|plugin| plugin.is_named(class))
}

/// The heading of a key; those that all connectors have are called as in Kafka Connect.
pub(crate) fn group(key: &Key) -> &'static str {
    match key.group {
        "Connector" => "Common",
        "Errors" => "Error Handling",
        other => other,
    }
}

/// The definition of a key, the `index`th of its plugin.
pub(crate) fn key_json(key: &Key, index: usize) -> Value {
    let width = match key.kind {
        KeyKind::Boolean | KeyKind::Int | KeyKind::Long | KeyKind::Double => "SHORT",
        KeyKind::String | KeyKind::Password => "MEDIUM",
        KeyKind::List | KeyKind::Class => "LONG",
    };
    let shown = SHOWN.iter().find(|(name, ..)| *name == key.name);
    let (label, width) = shown.map_or_else(|| (display_name(key.name), width), |(_, label, width)| ((*label).to_owned(), *width));
    let default = key.default.filter(|_| key.kind != KeyKind::Password);
    json!({
        "name": key.name, "type": key.kind.name(), "required": key.required, "default_value": default,
        "importance": key.importance.name(), "documentation": key.doc, "group": group(key), "order_in_group": index + 1,
        "width": width, "display_name": label, "dependents": [],
    })
}

/// `tasks.max` is shown as `Tasks max`.
fn display_name(key: &str) -> String {
    let words = key.replace(['.', '_'], " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
