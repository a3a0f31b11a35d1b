//! `lakefeed plugins`: what is there.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use lakefeed_core::{ConfigDef, Error, Key, KeyKind, Plugin, PluginKind, Result, nearest};
use lakefeed_runtime::{Transforms, definition, worker_definition};
use serde_json::{Value, json};

/// Lists the plugins, or every key of one of them with default and meaning
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The class of a plugin; `worker` for the keys of worker files, `transforms` for those of transforms and predicates
    class: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print the reference page of a class, as it is in docs/keys
    #[arg(long, requires = "class", conflicts_with = "json")]
    markdown: bool,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let plugins = crate::plugins::all();
    let text = match &args.class {
        None if args.json => format!("{:#}\n", Value::Array(plugins.iter().map(plugin_json).collect())),
        None => plugins.iter().map(|p| format!("{:<28} {:<10} {}\n", p.class, kind(p), p.doc)).collect(),
        Some(class) => {
            let page = Page::of(&plugins, class)?;
            match (args.json, args.markdown) {
                (true, _) => page.json(),
                (_, true) => page.markdown(),
                _ => page.text(),
            }
        }
    };
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(|e| Error::fatal("can't write to stdout").with_source(e))?;
    Ok(ExitCode::SUCCESS)
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

/// Keys under headings.
struct Page {
    title: String,
    doc: String,
    sections: Vec<(String, Vec<Key>)>,
    prefixes: Vec<(&'static str, &'static str)>,
}

impl Page {
    fn of(plugins: &[Plugin], class: &str) -> Result<Self> {
        if let Some(plugin) = plugins.iter().find(|p| p.is_named(class)) {
            let aliases: Vec<_> = plugin.aliases.iter().map(|alias| format!(" It is called {alias} too.")).collect();
            return Ok(Self::new(
                plugin.class,
                format!("{} It is a {}.{}", plugin.doc, kind(plugin), aliases.concat()),
                &definition(plugin),
            ));
        }
        match class {
            "worker" => Ok(Self::new("worker", "The keys of worker files.".into(), &worker_definition())),
            "transforms" => Ok(Self::transforms()),
            _ => {
                let known = plugins.iter().map(|p| p.class).chain(["worker", "transforms"]);
                let hint = nearest(class, known).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
                Err(Error::config(format!("no plugin is called '{class}'{hint}")))
            }
        }
    }

    fn new(title: &str, doc: String, def: &ConfigDef) -> Self {
        let mut sections: Vec<(String, Vec<Key>)> = Vec::new();
        for key in def.iter() {
            match sections.iter_mut().find(|(heading, _)| *heading == key.group) {
                Some((_, keys)) => keys.push(*key),
                None => sections.push((key.group.to_owned(), vec![*key])),
            }
        }
        Self { title: title.to_owned(), doc, sections, prefixes: def.prefixes().collect() }
    }

    /// Each transform and predicate is a heading.
    fn transforms() -> Self {
        let (transforms, predicates) = Transforms::classes();
        let section = |kind: &str, class: String| {
            let values = BTreeMap::from([(kind.to_owned(), "a".to_owned()), (format!("{kind}.a.type"), class.clone())]);
            (class, Transforms::named_keys(&values).into_iter().map(|named| named.key).collect())
        };
        let sections = transforms.map(|class| section("transforms", class)).chain(predicates.map(|class| section("predicates", class)));
        let doc = "The keys of a transform stand behind transforms.ALIAS., those of a predicate behind predicates.ALIAS.; the aliases are named in \
                   transforms and predicates. The package of a class may be left out.";
        Self { title: "transforms".into(), doc: doc.into(), sections: sections.collect(), prefixes: Vec::new() }
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        self.sections.iter().flat_map(|(_, keys)| keys)
    }

    fn json(&self) -> String {
        format!("{:#}\n", Value::Array(self.keys().map(key_json).collect()))
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n{}\n", self.title, self.doc);
        for (heading, keys) in &self.sections {
            text.push_str(&format!("\n{heading}\n"));
            text.extend(keys.iter().map(key_text));
        }
        if !self.prefixes.is_empty() {
            text.push_str("\nKeys that begin with\n");
            text.extend(self.prefixes.iter().map(|(prefix, doc)| format!("  {prefix}*\n      {doc}\n")));
        }
        text
    }

    fn markdown(&self) -> String {
        // `|` ends a cell, also within backquotes.
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        let mut text = format!("# {}\n\n{}\n\nMade by `make docs-pages` from what the binary says.\n", self.title, self.doc);
        for (heading, keys) in &self.sections {
            text.push_str(&format!("\n## {heading}\n\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n"));
            for key in keys {
                let default = match state(key) {
                    State::Required => "required".to_owned(),
                    State::Default("") => "empty".to_owned(),
                    State::Default(default) => format!("`{default}`"),
                    State::Optional => String::new(),
                };
                let kind = key.kind.name().to_lowercase();
                text.push_str(&format!("| `{}` | {kind} | {} | {} |\n", key.name, cell(&default), cell(&meaning(key))));
            }
        }
        if !self.prefixes.is_empty() {
            text.push_str("\n## Keys that begin with\n\n| prefix | meaning |\n| --- | --- |\n");
            text.extend(self.prefixes.iter().map(|(prefix, doc)| format!("| `{prefix}` | {} |\n", cell(doc))));
        }
        text
    }
}

/// What holds without a value.
enum State {
    Required,
    Default(&'static str),
    Optional,
}

fn state(key: &Key) -> State {
    match (key.required, key.default) {
        (true, _) => State::Required,
        (false, Some(default)) if key.kind != KeyKind::Password => State::Default(default),
        (false, _) => State::Optional,
    }
}

fn meaning(key: &Key) -> String {
    let values = if key.values.is_empty() { String::new() } else { format!(" One of {}.", key.values.join(", ")) };
    format!("{}{values}", key.doc)
}

fn key_text(key: &Key) -> String {
    let state = match state(key) {
        State::Required => "required".to_owned(),
        State::Default(default) => format!("default '{default}'"),
        State::Optional => "optional".to_owned(),
    };
    format!("  {} ({}, {state})\n      {}\n", key.name, key.kind.name().to_lowercase(), meaning(key))
}

fn key_json(key: &Key) -> Value {
    json!({
        "name": key.name, "type": key.kind.name(), "required": key.required, "default_value": key.default,
        "importance": key.importance.name(), "documentation": key.doc, "group": key.group, "recommended_values": key.values,
    })
}
