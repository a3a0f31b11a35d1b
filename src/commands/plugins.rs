//! `lakefeed plugins`: what is there.

use std::io::Write;
use std::process::ExitCode;

use lakefeed_core::{Error, Key, KeyKind, Plugin, PluginKind, Result, nearest};
use lakefeed_runtime::definition;
use serde_json::{Value, json};

/// Lists the plugins, or every key of one of them with default and meaning
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The class of a plugin
    class: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let plugins = crate::plugins::all();
    let text = match &args.class {
        None if args.json => format!("{:#}\n", Value::Array(plugins.iter().map(plugin_json).collect())),
        None => plugins.iter().map(|p| format!("{:<28} {:<10} {}\n", p.class, kind(p), p.doc)).collect(),
        Some(class) => keys(find(&plugins, class)?, args.json),
    };
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(|e| Error::fatal("can't write to stdout").with_source(e))?;
    Ok(ExitCode::SUCCESS)
}

fn find<'a>(plugins: &'a [Plugin], class: &str) -> Result<&'a Plugin> {
    plugins.iter().find(|p| p.is_named(class)).ok_or_else(|| {
        let hint = nearest(class, plugins.iter().map(|p| p.class)).map(|n| format!("; did you mean '{n}'?")).unwrap_or_default();
        Error::config(format!("no plugin is called '{class}'{hint}"))
    })
}

fn kind(plugin: &Plugin) -> &'static str {
    match plugin.kind() {
        PluginKind::Source => "source",
        PluginKind::Processor => "processor",
        PluginKind::Sink => "sink",
    }
}

fn plugin_json(plugin: &Plugin) -> Value {
    json!({"class": plugin.class, "aliases": plugin.aliases, "type": kind(plugin), "documentation": plugin.doc, "version": env!("CARGO_PKG_VERSION")})
}

fn keys(plugin: &Plugin, as_json: bool) -> String {
    let def = definition(plugin);
    if as_json {
        return format!("{:#}\n", Value::Array(def.iter().map(key_json).collect()));
    }
    let mut groups: Vec<&str> = Vec::new();
    for key in def.iter() {
        if !groups.contains(&key.group) {
            groups.push(key.group);
        }
    }
    let mut text = format!("{} ({}): {}\n", plugin.class, kind(plugin), plugin.doc);
    for group in groups {
        text.push_str(&format!("\n{group}\n"));
        text.extend(def.iter().filter(|k| k.group == group).map(key_text));
    }
    text.push_str("\nKeys that begin with\n");
    text.extend(def.prefixes().map(|(prefix, doc)| format!("  {prefix}*\n      {doc}\n")));
    text
}

fn key_text(key: &Key) -> String {
    let state = match (key.required, key.default) {
        (true, _) => "required".to_owned(),
        (false, Some(_)) if key.kind == KeyKind::Password => "optional".to_owned(),
        (false, Some(default)) => format!("default '{default}'"),
        (false, None) => "optional".to_owned(),
    };
    let values = if key.values.is_empty() { String::new() } else { format!(" One of {}.", key.values.join(", ")) };
    format!("  {} ({}, {state})\n      {}{values}\n", key.name, key.kind.name().to_lowercase(), key.doc)
}

fn key_json(key: &Key) -> Value {
    json!({
        "name": key.name, "type": key.kind.name(), "required": key.required, "default_value": key.default,
        "importance": key.importance.name(), "documentation": key.doc, "group": key.group, "recommended_values": key.values,
    })
}
