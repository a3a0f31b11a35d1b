//! `/connectors/{name}/offsets`.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use lakefeed_runtime::ConnectorOffset;
use serde_json::{Value, json};

use crate::answer::{Answer, Fault, object};
use crate::{Shared, blocking};

type Done = Result<Answer, Fault>;

pub(crate) async fn list(State(app): Shared, Path(name): Path<String>) -> Done {
    let asked = name.clone();
    let offsets = blocking(&app, move |worker| worker.offsets(&asked)).await?.map_err(|refusal| Fault::of(refusal, &name))?;
    let shown: Vec<_> = offsets.iter().map(|o| json!({"partition": o.partition, "offset": o.offset})).collect();
    Ok(Answer::ok(json!({"offsets": shown})))
}

pub(crate) async fn alter(State(app): Shared, Path(name): Path<String>, headers: HeaderMap, body: Body) -> Done {
    let none = || Fault::bad("Partitions / offsets need to be provided for an alter offsets request");
    let mut request = object(&headers, body).await?;
    let offsets = match request.remove("offsets") {
        None | Some(Value::Null) => return Err(none()),
        Some(Value::Array(offsets)) if offsets.is_empty() => return Err(none()),
        Some(Value::Array(offsets)) => offsets.into_iter().map(change).collect::<Result<Vec<_>, _>>()?,
        Some(_) => return Err(Fault::bad("\"offsets\" is not a list")),
    };
    let asked = name.clone();
    blocking(&app, move |worker| worker.alter_offsets(&asked, &offsets)).await?.map_err(|refusal| Fault::of(refusal, &name))?;
    Ok(Answer::ok(json!({"message": "The offsets for this connector have been altered successfully"})))
}

fn change(value: Value) -> Result<ConnectorOffset, Fault> {
    let Value::Object(mut change) = value else { return Err(Fault::bad("an entry of \"offsets\" is not a JSON object")) };
    let partition = change.remove("partition").unwrap_or_default();
    Ok(ConnectorOffset { partition, offset: change.remove("offset").filter(|o| !o.is_null()) })
}

pub(crate) async fn reset(State(app): Shared, Path(name): Path<String>) -> Done {
    let asked = name.clone();
    blocking(&app, move |worker| worker.reset_offsets(&asked)).await?.map_err(|refusal| Fault::of(refusal, &name))?;
    Ok(Answer::ok(json!({"message": "The offsets for this connector have been reset successfully"})))
}
