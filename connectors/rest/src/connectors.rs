//! `/connectors`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use lakefeed_core::PluginKind;
use lakefeed_runtime::{ConnectorFile, ConnectorInfo, ConnectorStatus, Refusal, Restart, TargetState, TaskState, TaskStatus};
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Fault, flat, object, texts};
use crate::{App, Shared, VERSION, blocking, text, validate};

type Done = Result<Answer, Fault>;
type Pairs = Query<Vec<(String, String)>>;

pub(crate) async fn list(State(app): Shared, Query(query): Pairs) -> Answer {
    let names = app.worker.connectors();
    let expand: Vec<&str> = query.iter().filter(|(key, _)| key == "expand").map(|(_, value)| value.as_str()).collect();
    if expand.is_empty() {
        return Answer::ok(Value::Array(names.into_iter().map(text).collect()));
    }
    let mut all = Map::new();
    for name in names {
        // One that goes away meanwhile is left out.
        let (Some(info), Some(status)) = (app.worker.info(&name), app.worker.status(&name)) else { continue };
        let mut expanded = Map::new();
        if expand.contains(&"status") {
            expanded.insert("status".into(), status_json(&app, &status, &[]));
        }
        if expand.contains(&"info") {
            expanded.insert("info".into(), info_json(&info));
        }
        all.insert(name, Value::Object(expanded));
    }
    Answer::ok(Value::Object(all))
}

pub(crate) async fn create(State(app): Shared, headers: HeaderMap, body: Body) -> Done {
    let mut request = object(&headers, body).await?;
    let name = match request.remove("name") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(name)) => name.trim().to_owned(),
        Some(_) => return Err(Fault::bad("\"name\" is not a text")),
    };
    let config = match request.remove("config") {
        Some(Value::Object(config)) => texts(config)?,
        None | Some(Value::Null) => BTreeMap::new(),
        Some(_) => return Err(Fault::bad("\"config\" is not a JSON object")),
    };
    let initial_state = match request.remove("initial_state") {
        None | Some(Value::Null) => TargetState::Running,
        Some(state) => TargetState::parse(state.as_str().unwrap_or_default()).map_err(Fault::bad)?,
    };
    let mut file = connector(&app, &name, config)?;
    file.initial_state = initial_state;
    let asked = file.clone();
    let info = blocking(&app, move |worker| worker.create(&asked)).await?.map_err(|refusal| refused(&app, refusal, &file))?;
    Ok(Answer::created(&name, info_json(&info)))
}

pub(crate) async fn info(State(app): Shared, Path(name): Path<String>) -> Done {
    known(&app, &name).map(|info| Answer::ok(info_json(&info)))
}

pub(crate) async fn config(State(app): Shared, Path(name): Path<String>) -> Done {
    known(&app, &name).map(|info| Answer::ok(json!(info.config)))
}

pub(crate) async fn put(State(app): Shared, Path(name): Path<String>, headers: HeaderMap, body: Body) -> Done {
    let config = texts(object(&headers, body).await?)?;
    let file = connector(&app, &name, config)?;
    let asked = file.clone();
    let (new, info) = blocking(&app, move |worker| worker.put(&asked)).await?.map_err(|refusal| refused(&app, refusal, &file))?;
    let body = info_json(&info);
    Ok(if new { Answer::created(&name, body) } else { Answer::ok(body) })
}

pub(crate) async fn patch(State(app): Shared, Path(name): Path<String>, headers: HeaderMap, body: Body) -> Done {
    let changes = flat(object(&headers, body).await?)?;
    // Whoever else has changed it meanwhile has done so: the changes are made to what there is then. The call's time limit ends this.
    loop {
        let asked = name.clone();
        let before = blocking(&app, move |worker| worker.newest_info(&asked)).await?.map_err(|refusal| Fault::of(refusal, &name))?.config;
        let mut config = before.clone();
        for (key, value) in changes.clone() {
            match value {
                Some(value) => config.insert(key, value),
                None => config.remove(&key),
            };
        }
        let file = connector(&app, &name, config)?;
        let asked = file.clone();
        match blocking(&app, move |worker| worker.put_over(&before, &asked)).await? {
            Err(Refusal::Changed) => {}
            done => return done.map(|info| Answer::ok(info_json(&info))).map_err(|refusal| refused(&app, refusal, &file)),
        }
    }
}

/// The configuration of a connector that is called `name`.
fn connector(app: &App, name: &str, mut config: BTreeMap<String, String>) -> Result<ConnectorFile, Fault> {
    match config.get("name") {
        Some(included) if included != name => {
            let message = format!("Connector name configuration ({included}) doesn't match connector name in the URL ({name})");
            return Err(Fault::bad(message));
        }
        Some(_) => {}
        None => drop(config.insert("name".into(), name.to_owned())),
    }
    validate::named(&config)?;
    validate::file(app, config)
}

fn refused(app: &App, refusal: Refusal, file: &ConnectorFile) -> Fault {
    match refusal {
        Refusal::Invalid(errors) => validate::fault(app, file, errors),
        other => Fault::of(other, &file.name()),
    }
}

pub(crate) async fn delete(State(app): Shared, Path(name): Path<String>) -> Done {
    let asked = name.clone();
    blocking(&app, move |worker| worker.delete(&asked)).await?.map_err(|refusal| Fault::of(refusal, &name))?;
    Ok(Answer::no_content())
}

pub(crate) async fn status(State(app): Shared, Path(name): Path<String>) -> Done {
    let status = app.worker.status(&name).ok_or_else(|| no_status(&name))?;
    Ok(Answer::ok(status_json(&app, &status, &[])))
}

fn no_status(name: &str) -> Fault {
    Fault::new(404, format!("No status found for connector {name}"))
}

pub(crate) async fn pause(State(app): Shared, Path(name): Path<String>) -> Done {
    target(&app, &name, TargetState::Paused).await?;
    Ok(Answer::accepted(None))
}

pub(crate) async fn resume(State(app): Shared, Path(name): Path<String>) -> Done {
    target(&app, &name, TargetState::Running).await?;
    Ok(Answer::accepted(None))
}

pub(crate) async fn stop(State(app): Shared, Path(name): Path<String>) -> Done {
    target(&app, &name, TargetState::Stopped).await?;
    Ok(Answer::no_content())
}

async fn target(app: &Arc<App>, name: &str, target: TargetState) -> Result<(), Fault> {
    let asked = name.to_owned();
    blocking(app, move |worker| worker.set_target(&asked, target)).await?.map_err(|refusal| match refusal {
        Refusal::Unknown => Fault::new(404, format!("Unknown connector {name}")),
        other => Fault::of(other, name),
    })
}

pub(crate) async fn restart(State(app): Shared, Path(name): Path<String>, Query(query): Pairs) -> Done {
    let says = |flag: &str| query.iter().any(|(key, value)| key == flag && value.eq_ignore_ascii_case("true"));
    let (tasks, failed) = (says("includeTasks"), says("onlyFailed"));
    if !tasks {
        // A connector has no part beside its tasks that could be restarted.
        let status = app.worker.status(&name).ok_or_else(|| Fault::not_found(&name))?;
        return Ok(if failed { Answer::accepted(Some(status_json(&app, &status, &[]))) } else { Answer::no_content() });
    }
    let which = if failed { Restart::Failed } else { Restart::All };
    let asked = name.clone();
    let restarted = blocking(&app, move |worker| worker.restart(&asked, which)).await?.map_err(|refusal| match refusal {
        Refusal::Unknown => Fault::new(404, format!("Unknown connector: {name}")),
        other => Fault::of(other, &name),
    })?;
    let status = app.worker.status(&name).ok_or_else(|| no_status(&name))?;
    let mut body = status_json(&app, &status, &restarted);
    if !failed {
        body["connector"]["state"] = text("RESTARTING");
    }
    Ok(Answer::accepted(Some(body)))
}

pub(crate) async fn tasks(State(app): Shared, Path(name): Path<String>) -> Done {
    let info = known(&app, &name)?;
    let mut config = info.config.clone();
    config.insert("task.class".into(), info.class.replace("Connector", "Task"));
    let task = |task| json!({"id": {"connector": name, "task": task}, "config": config});
    Ok(Answer::ok(Value::Array((0..info.tasks).map(task).collect())))
}

pub(crate) async fn task_status(State(app): Shared, Path((name, task)): Path<(String, String)>) -> Done {
    let status = app.worker.status(&name);
    let number = task_number(&task)?;
    let found = status.iter().flat_map(|s| &s.tasks).find(|t| number == i64::from(t.task));
    let found = found.ok_or_else(|| Fault::new(404, format!("No status found for task {name}-{task}")))?;
    Ok(Answer::ok(task_json(&app, found, &[])))
}

/// A path with another word in the place of a number is none of Kafka Connect's.
fn task_number(task: &str) -> Result<i64, Fault> {
    task.parse::<i32>().map(i64::from).map_err(|_| Fault::new(404, "HTTP 404 Not Found"))
}

pub(crate) async fn restart_task(State(app): Shared, Path((name, task)): Path<(String, String)>) -> Done {
    let unknown = || Fault::new(404, format!("Task {name}-{task} not found"));
    let number = u32::try_from(task_number(&task)?).map_err(|_| unknown())?;
    let asked = name.clone();
    blocking(&app, move |worker| worker.restart(&asked, Restart::One(number))).await?.map_err(|refusal| match refusal {
        Refusal::UnknownTask => unknown(),
        other => Fault::of(other, &name),
    })?;
    Ok(Answer::no_content())
}

pub(crate) async fn topics(State(app): Shared, Path(name): Path<String>) -> Done {
    tracking(&app)?;
    let topics = app.worker.active_topics(&name).unwrap_or_default();
    Ok(Answer::ok(json!({name: {"topics": topics}})))
}

pub(crate) async fn reset_topics(State(app): Shared, Path(name): Path<String>) -> Done {
    tracking(&app)?;
    if !app.worker.config().topic_tracking().1 {
        return Err(Fault::new(403, "Topic tracking reset is disabled."));
    }
    let asked = name.clone();
    blocking(&app, move |worker| worker.reset_active_topics(&asked)).await?.map_err(|refusal| Fault::of(refusal, &name))?;
    Ok(Answer::accepted(None))
}

fn tracking(app: &App) -> Result<(), Fault> {
    if app.worker.config().topic_tracking().0 { Ok(()) } else { Err(Fault::new(403, "Topic tracking is disabled.")) }
}

fn known(app: &Arc<App>, name: &str) -> Result<ConnectorInfo, Fault> {
    app.worker.info(name).ok_or_else(|| Fault::not_found(name))
}

/// The kind of a connector; one whose class this worker does not know is called as in Kafka Connect.
fn kind_of(of: Option<PluginKind>) -> &'static str {
    of.map_or("unknown", kind)
}

/// A processor reads topics: to a client it is a sink.
pub(crate) fn kind(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::Source => "source",
        PluginKind::Processor | PluginKind::Sink => "sink",
    }
}

fn info_json(info: &ConnectorInfo) -> Value {
    let tasks: Vec<_> = (0..info.tasks).map(|task| json!({"connector": info.name, "task": task})).collect();
    json!({"name": info.name, "config": info.config, "tasks": tasks, "type": kind_of(info.kind)})
}

/// `restarted`: the tasks that are shown as restarting.
fn status_json(app: &App, status: &ConnectorStatus, restarted: &[u32]) -> Value {
    let tasks: Vec<_> = status.tasks.iter().map(|task| task_json(app, task, restarted)).collect();
    let state = if status.trouble.is_some() { TaskState::Failed.name() } else { status.target.name() };
    let mut connector = json!({"state": state, "worker_id": owner(app, &status.worker_id), "version": VERSION});
    if let Some(trouble) = &status.trouble {
        connector["trace"] = text(trouble);
    }
    json!({"name": status.name, "connector": connector, "tasks": tasks, "type": kind_of(status.kind)})
}

fn task_json(app: &App, task: &TaskStatus, restarted: &[u32]) -> Value {
    let state = if restarted.contains(&task.task) { TaskState::Restarting } else { task.state };
    let mut body = json!({"id": task.task, "state": state.name(), "worker_id": owner(app, &task.worker_id), "version": VERSION});
    if let Some(trouble) = &task.trouble {
        body["trace"] = text(trouble);
    }
    body
}

/// Who runs something: this worker, unless another one does.
fn owner<'a>(app: &'a App, other: &'a Option<String>) -> &'a str {
    other.as_deref().unwrap_or(&app.worker_id)
}
