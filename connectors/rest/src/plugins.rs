//! `/connector-plugins`.

use axum::extract::{Path, Query, State};
use lakefeed_core::{Key, KeyKind, Plugin};
use lakefeed_runtime::{CONVERTERS, Transforms, definition};
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
    let plugin = find(&app, &class).ok_or_else(|| Fault::new(404, format!("Unknown plugin {class}.")))?;
    Ok(Answer::ok(Value::Array(definition(plugin).iter().enumerate().map(|(i, key)| key_json(key, i)).collect())))
}

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
    let default = key.default.filter(|_| key.kind != KeyKind::Password);
    json!({
        "name": key.name, "type": key.kind.name(), "required": key.required, "default_value": default,
        "importance": key.importance.name(), "documentation": key.doc, "group": group(key), "order_in_group": index + 1,
        "width": width, "display_name": display_name(key.name), "dependents": [],
    })
}

/// `tasks.max` is shown as `Tasks max`.
fn display_name(key: &str) -> String {
    let words = key.replace(['.', '_'], " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
