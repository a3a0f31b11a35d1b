//! `lakefeed check`: are these files right?

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use lakefeed_core::{ConfigDef, ConfigError, Error, KeyKind, Result, nearest, printable};
use lakefeed_runtime::{
    ConnectorFile, Overrides, Transforms, Variables, WorkerConfig, check, definition, read_connector, worker_definition,
};
use serde_json::{Value, json};

/// Checks connector and worker files without reaching out for anything. Exit code 1 if one is wrong
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Connector files (.properties or .json) and worker files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A value in the place of the files': KEY=VALUE for worker files, NAME:KEY=VALUE for the connector NAME
    #[arg(long, value_name = "[NAME:]KEY=VALUE")]
    set: Vec<String>,
    /// Print JSON: for each file its errors and warnings, each with line, key, value, message, accepted values and the nearest right name
    #[arg(long)]
    json: bool,
}

/// A file and what is wrong with it.
struct Checked {
    path: PathBuf,
    file: Option<ConnectorFile>,
    errors: Vec<ConfigError>,
    warnings: Vec<ConfigError>,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let overrides = Overrides::parse(&args.set, &Variables::default())?;
    let checked = args.files.into_iter().map(|path| Checked::of(path, &overrides)).collect::<Result<Vec<_>>>()?;
    let names: Vec<String> = checked.iter().filter_map(|c| c.file.as_ref()).filter(|f| !is_worker(f)).map(ConnectorFile::name).collect();
    overrides.all_taken(names.iter().map(String::as_str))?;
    let wrong = checked.iter().any(|checked| !checked.errors.is_empty());
    let text = if args.json {
        format!("{:#}\n", Value::Array(checked.iter().map(Checked::as_json).collect()))
    } else {
        checked.iter().map(Checked::as_text).collect()
    };
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(|e| Error::fatal("can't write to stdout").with_source(e))?;
    Ok(ExitCode::from(u8::from(wrong)))
}

/// A worker file names no connector; where its offsets go or its brokers tell it.
fn is_worker(file: &ConnectorFile) -> bool {
    let has = |key: &str| file.values.contains_key(key);
    let tells = ["bootstrap.servers", "offset.storage.file.filename", "offset.storage.topic", "config.storage.topic"];
    tells.into_iter().any(has) && !has("connector.class") && !has("name")
}

impl Checked {
    fn of(path: PathBuf, overrides: &Overrides) -> Result<Self> {
        let mut file = match read_connector(&path, &Variables::default()) {
            Ok(file) => file,
            Err(error) => {
                return Ok(Self { path, file: None, errors: vec![ConfigError::key("(file)", error.chain())], warnings: Vec::new() });
            }
        };
        let checked = if is_worker(&file) {
            overrides.set_worker(&mut file);
            WorkerConfig::check(&file.values).map(|_| Vec::new())
        } else {
            overrides.set_connector(&mut file, &Variables::default())?;
            check(&file, &crate::plugins::all()).map(|connector| connector.warnings)
        };
        let (errors, warnings) = checked.map_or_else(|errors| (errors, Vec::new()), |warnings| (Vec::new(), warnings));
        let errors = file.unresolved(errors);
        Ok(Self { path, file: Some(file), errors, warnings })
    }

    fn line(&self, error: &ConfigError) -> Option<usize> {
        self.file.as_ref()?.lines.get(&error.key).copied()
    }

    fn as_text(&self) -> String {
        let file = printable(&self.path.display().to_string());
        let mut text = match self.errors.len() {
            0 => format!("{file}: ok\n"),
            1 => format!("{file}: 1 error\n"),
            n => format!("{file}: {n} errors\n"),
        };
        let told = self.errors.iter().map(|error| ("", error)).chain(self.warnings.iter().map(|warning| ("warning: ", warning)));
        for (kind, error) in told {
            let line = self.line(error).map(|line| format!("line {line}: ")).unwrap_or_default();
            text.push_str(&format!("  {kind}{line}{error}\n"));
        }
        text
    }

    fn as_json(&self) -> Value {
        let error = |error: &ConfigError| {
            let (accepted, nearest) = self.file.as_ref().map_or((Vec::new(), None), |file| hints(file, error));
            json!({
                "line": self.line(error), "key": error.key, "value": error.value, "message": error.message, "accepted": accepted,
                "nearest": nearest,
            })
        };
        let list = |of: &[ConfigError]| of.iter().map(error).collect::<Vec<_>>();
        json!({"file": self.path.display().to_string(), "errors": list(&self.errors), "warnings": list(&self.warnings)})
    }
}

/// The values that a key takes, if they are few, and the right key or value that is nearest to what stands there.
fn hints(file: &ConnectorFile, error: &ConfigError) -> (Vec<String>, Option<String>) {
    let (plugins, class) = (crate::plugins::all(), file.values.get("connector.class"));
    let plugin = class.and_then(|class| plugins.iter().find(|plugin| plugin.is_named(class)));
    let def = if is_worker(file) { worker_definition() } else { plugin.map_or_else(ConfigDef::new, definition) };
    let named = Transforms::named_keys(&file.values);
    let keys = def.iter().map(|key| (key.name, key)).chain(named.iter().map(|named| (named.name.as_str(), &named.key)));
    let keys: Vec<_> = keys.collect();
    let Some((_, key)) = keys.iter().find(|(name, _)| *name == error.key) else {
        return (Vec::new(), nearest(&error.key, keys.iter().map(|(name, _)| *name)).map(str::to_owned));
    };
    let accepted: Vec<String> = match (key.name, key.kind) {
        ("connector.class", _) => plugins.iter().map(|plugin| plugin.class.to_owned()).collect(),
        (_, KeyKind::Boolean) => ["true", "false"].map(str::to_owned).into(),
        _ => key.values.iter().map(|value| (*value).to_owned()).collect(),
    };
    let value = file.values.get(&error.key).filter(|_| key.kind != KeyKind::Password);
    let near = value.and_then(|value| nearest(value, accepted.iter().map(String::as_str))).map(str::to_owned);
    (accepted, near)
}
