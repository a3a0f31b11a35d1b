//! `lakefeed check`: are these files right?

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lakefeed_core::{ConfigError, Error, Result, printable};
use lakefeed_runtime::{Variables, WorkerConfig, check, read_connector};
use serde_json::{Value, json};

/// Checks connector and worker files without reaching out for anything. Exit code 1 if one is wrong
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Connector files (.properties or .json) and worker files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let checked: Vec<(PathBuf, Vec<ConfigError>)> = args.files.into_iter().map(|file| (file.clone(), errors_of(&file))).collect();
    let wrong = checked.iter().any(|(_, errors)| !errors.is_empty());
    let text = if args.json { as_json(&checked) } else { as_text(&checked) };
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(|e| Error::fatal("can't write to stdout").with_source(e))?;
    Ok(ExitCode::from(u8::from(wrong)))
}

fn errors_of(path: &Path) -> Vec<ConfigError> {
    let file = match read_connector(path, &Variables::default()) {
        Ok(file) => file,
        Err(error) => return vec![ConfigError::key("(file)", error.chain())],
    };
    // A worker file names no connector; its brokers or converters tell it.
    let is_worker = !file.values.contains_key("connector.class") && !file.values.contains_key("name");
    let result = if is_worker && file.values.contains_key("bootstrap.servers") {
        WorkerConfig::check(&file.values).map(|_| ())
    } else {
        check(&file, &crate::plugins::all()).map(|_| ())
    };
    result.err().unwrap_or_default()
}

fn as_text(checked: &[(PathBuf, Vec<ConfigError>)]) -> String {
    let mut text = String::new();
    for (file, errors) in checked {
        let file = printable(&file.display().to_string());
        match errors.len() {
            0 => text.push_str(&format!("{file}: ok\n")),
            1 => text.push_str(&format!("{file}: 1 error\n")),
            n => text.push_str(&format!("{file}: {n} errors\n")),
        }
        text.extend(errors.iter().map(|error| format!("  {error}\n")));
    }
    text
}

fn as_json(checked: &[(PathBuf, Vec<ConfigError>)]) -> String {
    let error = |e: &ConfigError| json!({"key": e.key, "value": e.value, "message": e.message});
    let file = |(path, errors): &(PathBuf, Vec<ConfigError>)| json!({"file": path.display().to_string(), "errors": errors.iter().map(error).collect::<Vec<_>>()});
    format!("{:#}\n", Value::Array(checked.iter().map(file).collect()))
}
