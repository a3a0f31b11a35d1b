//! The log and the last word of a command, on stderr.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use lakefeed_core::{Error, Result};
use lakefeed_rest::{Level, Logger, Loggers};
use serde_json::json;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, reload};

/// The levels of the log, which can be changed while it is written.
pub(crate) struct Levels {
    loggers: Mutex<Vec<Logger>>,
    /// What `LAKEFEED_LOG` says beyond targets and levels.
    others: Vec<String>,
    apply: Box<dyn Fn(EnvFilter) -> std::result::Result<(), reload::Error> + Send + Sync>,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A line for people.
    Text,
    /// A JSON object a line: timestamp, level, target, fields
    Json,
}

/// Whether what is written on stderr is JSON.
static JSON: AtomicBool = AtomicBool::new(false);

/// Starts the log. `LAKEFEED_LOG` filters it (`info` by default, `warn` for commands that are `quiet`; `debug`, `lakefeed=trace`, ...); colours on a terminal only, and not
/// with `NO_COLOR`. In JSON a panic is a line of the log too.
pub(crate) fn start(quiet: bool, format: Format) -> Arc<Levels> {
    let usual = if quiet { "warn" } else { "warn,lakefeed=info" };
    let said = std::env::var("LAKEFEED_LOG").ok().filter(|text| EnvFilter::try_new(text).is_ok());
    let directives = said.unwrap_or_else(|| usual.to_owned());
    let (filter, handle) = reload::Layer::new(EnvFilter::new(&directives));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let written = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let written = match format {
        Format::Text => written.with_ansi(colour).with_target(false).boxed(),
        Format::Json => {
            JSON.store(true, Ordering::Relaxed);
            std::panic::set_hook(Box::new(|panic| last_word("ERROR", &panic.to_string())));
            written.json().with_current_span(false).with_span_list(false).boxed()
        }
    };
    tracing_subscriber::registry().with(written.with_filter(filter)).init();
    let (loggers, others) = parse(&directives);
    Arc::new(Levels { loggers: Mutex::new(loggers), others, apply: Box::new(move |filter| handle.reload(filter)) })
}

/// The parts of a filter that set the level of a target, and the others.
fn parse(directives: &str) -> (Vec<Logger>, Vec<String>) {
    let (mut loggers, mut others) = (Vec::new(), Vec::new());
    for directive in directives.split(',').map(str::trim).filter(|d| !d.is_empty()) {
        let (name, level) = directive.split_once('=').unwrap_or(("root", directive));
        match Level::parse(level).filter(|_| !name.contains('[')) {
            Some(level) => loggers.push(Logger { name: name.to_owned(), level, last_modified: None }),
            // A target alone is everything of it.
            None if !directive.contains(['=', '[']) => {
                loggers.push(Logger { name: directive.to_owned(), level: Level::Trace, last_modified: None });
            }
            None => others.push(directive.to_owned()),
        }
    }
    (loggers, others)
}

fn filter(loggers: &[Logger], others: &[String]) -> String {
    let directive = |logger: &Logger| match logger.name.as_str() {
        "root" => logger.level.name().to_ascii_lowercase(),
        name => format!("{name}={}", logger.level.name().to_ascii_lowercase()),
    };
    loggers.iter().map(directive).chain(others.iter().cloned()).collect::<Vec<_>>().join(",")
}

impl Loggers for Levels {
    fn list(&self) -> Vec<Logger> {
        // Held for a copy only; poisoned it still holds whole entries.
        self.loggers.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    fn set(&self, name: &str, level: Level) -> Result<()> {
        // A part of the log: letters, digits and what stands between the parts of a Rust or Java name.
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || "_-:.$".contains(c)) {
            return Err(Error::config("a logger is called root, or like a part of the log, for example lakefeed"));
        }
        let now_ms = std::time::SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let mut loggers = self.loggers.lock().unwrap_or_else(|e| e.into_inner());
        let mut changed = loggers.clone();
        changed.retain(|logger| logger.name != name);
        // Bounds what a filter can grow to.
        if changed.len() >= 100 {
            return Err(Error::config("100 loggers have levels of their own already; set root instead"));
        }
        changed.push(Logger { name: name.to_owned(), level, last_modified: u64::try_from(now_ms).ok() });
        let refused = |e: Box<dyn std::error::Error + Send + Sync>| Error::config(format!("logger {name} can't be set")).with_source(e);
        let filter = EnvFilter::try_new(filter(&changed, &self.others)).map_err(|e| refused(e.into()))?;
        (self.apply)(filter).map_err(|e| refused(e.into()))?;
        *loggers = changed;
        Ok(())
    }
}

/// Prints what ended the command: the message and its causes. No filter keeps it back.
pub(crate) fn error(error: &Error) {
    if JSON.load(Ordering::Relaxed) {
        return last_word("ERROR", &error.chain());
    }
    // Nobody is left to tell if stderr is closed.
    let _ = writeln!(std::io::stderr(), "lakefeed: {}", error.chain());
}

/// A line like those of the log in JSON.
fn last_word(level: &str, message: &str) {
    let mut timestamp = String::new();
    // Writing to a text does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let line = json!({"timestamp": timestamp, "level": level, "fields": {"message": message}, "target": "lakefeed"});
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_taken_apart_and_put_together_again() {
        let text = "warn,lakefeed=info,[span{a=1}]=debug";
        let (loggers, others) = parse(text);
        let levels: Vec<_> = loggers.iter().map(|l| (l.name.as_str(), l.level)).collect();
        assert_eq!(levels, [("root", Level::Warn), ("lakefeed", Level::Info)]);
        assert_eq!(filter(&loggers, &others), text);
    }
}
