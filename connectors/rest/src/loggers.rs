//! `/admin/loggers`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use lakefeed_core::printable;
use lakefeed_runtime::Worker;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Fault, object};
use crate::{Shared, blocking, text};

/// A level, as Kafka Connect names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nothing.
    Off,
    /// Needs a human. Kafka Connect's FATAL is taken for it.
    Error,
    /// Was overcome.
    Warn,
    /// What an operator did or wants to see once.
    Info,
    /// For the search of a fault.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// Reads a name in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "OFF" => Self::Off,
            "FATAL" | "ERROR" => Self::Error,
            "WARN" => Self::Warn,
            "INFO" => Self::Info,
            "DEBUG" => Self::Debug,
            "TRACE" | "ALL" => Self::Trace,
            _ => return None,
        })
    }

    /// The name in Kafka Connect's REST answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "OFF",
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
        }
    }
}

/// The level of a part of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logger {
    /// The part (the beginning of a tracing target), or `root`.
    pub name: String,
    /// Its level.
    pub level: Level,
    /// When it was set at run time, in milliseconds since 1970-01-01 UTC.
    pub last_modified: Option<u64>,
}

/// Levels of the log that can be changed at run time.
pub trait Loggers: Send + Sync {
    /// Those that are set.
    fn list(&self) -> Vec<Logger>;

    /// Sets one.
    ///
    /// # Errors
    /// Why it can't be.
    fn set(&self, name: &str, level: Level) -> lakefeed_core::Result<()>;
}

type Done = Result<Answer, Fault>;

fn body(logger: &Logger) -> Value {
    json!({"level": logger.level.name(), "last_modified": logger.last_modified})
}

pub(crate) async fn list(State(app): Shared) -> Answer {
    let all: Map<String, Value> = app.loggers.list().iter().map(|logger| (logger.name.clone(), body(logger))).collect();
    Answer::ok(Value::Object(all))
}

pub(crate) async fn of(State(app): Shared, Path(name): Path<String>) -> Done {
    let found = app.loggers.list().into_iter().find(|logger| logger.name == name);
    found.map(|logger| Answer::ok(body(&logger))).ok_or_else(|| Fault::new(404, format!("Logger {name} not found.")))
}

pub(crate) async fn set(
    State(app): Shared, Path(name): Path<String>, Query(query): Query<Vec<(String, String)>>, headers: HeaderMap, body: Body,
) -> Done {
    let request = object(&headers, body).await?;
    let level = match request.get("level") {
        None | Some(Value::Null) => return Err(Fault::bad("Desired 'level' parameter was not specified in request.")),
        Some(Value::String(level)) => level.clone(),
        Some(other) => other.to_string(),
    };
    let parsed = Level::parse(&level).ok_or_else(|| Fault::new(404, format!("invalid log level '{level}'.")))?;
    // Here at once, so that a wrong name is told by the answer.
    change(&*app.loggers, &name, parsed).map_err(|error| Fault::bad(error.chain()))?;
    if !query.iter().any(|(key, value)| key == "scope" && value.eq_ignore_ascii_case("cluster")) {
        return Ok(Answer::ok(Value::Array(vec![text(name)])));
    }
    let part = name.clone();
    blocking(&app, move |worker| worker.set_level(&part, parsed.name())).await?.map_err(|refusal| Fault::of(refusal, &name))?;
    Ok(Answer::no_content())
}

/// Sets levels that a call to another worker of the cluster asks for.
pub(crate) fn follow(worker: &Worker, loggers: Arc<dyn Loggers>) {
    worker.follow_levels(move |name, level| {
        let level = Level::parse(level).ok_or_else(|| format!("no such level: {}", printable(level)))?;
        // What a call has set here already stays as it is.
        let known = loggers.list().iter().any(|logger| logger.name == name && logger.level == level);
        if known { Ok(()) } else { change(&*loggers, name, level).map_err(|error| error.chain()) }
    });
}

fn change(loggers: &dyn Loggers, name: &str, level: Level) -> lakefeed_core::Result<()> {
    loggers.set(name, level)?;
    tracing::info!(target: "lakefeed", logger = %name.escape_debug(), level = level.name(), "The level of the log is changed");
    Ok(())
}
