//! Has a request carried out, and gives what comes of it.

use super::{
    Api,
    caller::{Known, Pass},
    given::Given,
    lines::{Lines, lines},
    problem::Problem,
    routes::{Body, Route, Shape},
};
use crate::{
    control::{Caller, ControlError, IMPORT_COPY, Payloads, Request, Row, Shows},
    limits,
    store::ActivityFilter,
};
use axum::{
    Json,
    body::{Body as HttpBody, Bytes},
    extract::{FromRequestParts, Query, RawPathParams, Request as HttpRequest},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use std::{io::Write, path::Path, sync::Arc, time::Duration};
use tempfile::NamedTempFile;
use tokio::sync::OwnedSemaphorePermit;
use tokio_stream::{Stream, StreamExt};

/// Bytes of a body that is no file.
const BODY_BYTES: usize = 64 << 10;

/// How long a body may stand still.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Rows of an answer that is one document.
const ROWS: usize = 10_000;

/// What somebody asks for, before it is carried out.
pub struct Asked {
    pub request: Request,
    pub caller: Caller,
    pub payloads: Payloads,
    /// Documents are given as text, whose numbers a browser cannot spoil.
    pub as_text: bool,
    /// Kept as long as it is needed.
    pub file: Option<NamedTempFile>,
    /// With what they came.
    pub pass: Pass,
    /// Among those that are answered.
    pub _place: OwnedSemaphorePermit,
}

/// Answers a request of the table.
pub async fn answer(api: Arc<Api>, route: &'static Route, request: HttpRequest) -> Response {
    match asked(&api, route, request).await {
        Ok((asked, streams)) => {
            let answered = match (route.shape, streams) {
                (Shape::Lines, _) => lines(api, asked, Lines::Rows).await,
                (_, true) => lines(api, asked, Lines::All).await,
                (shape, false) => document(api, shape, asked).await,
            };
            answered.unwrap_or_else(Problem::into_response)
        }
        Err(problem) => problem.into_response(),
    }
}

/// What is asked for, by somebody who may; and whether the answer is to be given as it comes.
async fn asked(api: &Arc<Api>, route: &Route, request: HttpRequest) -> Result<(Asked, bool), Problem> {
    let (mut parts, body) = request.into_parts();
    let pass = Pass::of(api, &parts)?;
    let known = pass.known.clone();
    let mut given = given(&mut parts, route).await?;
    let mut file = None;
    match route.body {
        Body::None => {}
        Body::Json(_) => given.body = json_body(&parts.headers, body).await?,
        Body::Component | Body::Events => {
            // Nobody sends what would be refused afterwards.
            may(&known, &(route.request)(&given)?)?;
            let most = if matches!(route.body, Body::Component) {
                limits::UPLOAD_PLUGIN_BYTES
            } else {
                limits::UPLOAD_EVENTS_BYTES
            };
            let sent = receive(api.host.dir().path(), body, most).await?;
            given.file = Some(sent.path().to_owned());
            file = Some(sent);
        }
    }
    let as_text = given.query.get("documents").is_some_and(|as_what| as_what == "text");
    let request = (route.request)(&given)?;
    may(&known, &request)?;
    let expects = expected(&parts.headers, &request)?;
    let streams = parts.headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes() == b"application/x-ndjson");
    let stays = route.shape == Shape::Lines || request.stays();
    let places = if stays { &api.streams } else { &api.requests };
    let place = places.clone().try_acquire_owned().map_err(|_| too_many())?;
    let caller = known.caller(&parts.headers, expects);
    Ok((Asked { request, caller, payloads: known.payloads, as_text, file, pass, _place: place }, streams))
}

/// Who asks.
pub fn whose(api: &Api, parts: &Parts) -> Result<Known, Problem> {
    Pass::of(api, parts).map(|pass| pass.known)
}

/// Refuses what somebody may not have done, or see.
pub fn may(known: &Known, request: &Request) -> Result<(), Problem> {
    known.must_be(request.role())?;
    match request.shows() {
        Shows::Them => known.must_see(),
        Shows::InPassing | Shows::Nothing => Ok(()),
    }
}

pub fn too_many() -> Problem {
    let problem = Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "so many requests are being answered that this one is not; try again in a moment",
    );
    // As commands call it that find a host too busy.
    Problem { exit: 3, kind: "not_possible", ..problem }
}

async fn given(parts: &mut Parts, route: &Route) -> Result<Given, Problem> {
    let unreadable = |e: &dyn std::fmt::Display| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, e.to_string());
    let path = RawPathParams::from_request_parts(parts, &()).await.map_err(|e| unreadable(&e))?;
    let query = Query::<Vec<(String, String)>>::from_request_parts(parts, &()).await.map_err(|e| unreadable(&e))?;
    let given = Given {
        path: path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        query: query.0.into_iter().collect(),
        ..Given::default()
    };
    given.refuse_unknown(route.query)?;
    Ok(given)
}

/// What the projection must be like, where that is said; it must be, for some requests.
fn expected(headers: &HeaderMap, request: &Request) -> Result<Option<u64>, Problem> {
    let Some(given) = headers.get(header::IF_MATCH) else {
        return match request.must_match() {
            true => Err(Problem::new(
                StatusCode::PRECONDITION_REQUIRED,
                "this needs to say what was seen of the projection: its ETag, as If-Match",
            )),
            false => Ok(None),
        };
    };
    let tag = given.to_str().unwrap_or_default().trim();
    let number = tag.trim_start_matches("W/").trim_matches('"').parse();
    number.map(Some).map_err(|_| {
        Problem::new(StatusCode::PRECONDITION_FAILED, format!("If-Match: {tag} is no ETag of a projection"))
    })
}

async fn json_body(headers: &HeaderMap, body: HttpBody) -> Result<Value, Problem> {
    let bytes = bounded(body, BODY_BYTES).await?;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must be JSON, and say so: Content-Type: application/json",
        ));
    }
    serde_json::from_slice(&bytes)
        .map_err(|e| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the body of the request: {e}")))
}

fn too_large(most: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {most} bytes"))
}

/// A body as a whole.
pub async fn bounded(body: HttpBody, most: usize) -> Result<Bytes, Problem> {
    let whole = async {
        let mut all = Vec::new();
        let mut parts = body.into_data_stream();
        while let Some(part) = next(&mut parts).await? {
            if all.len() + part.len() > most {
                return Err(too_large(most));
            }
            all.extend_from_slice(&part);
        }
        Ok(all.into())
    };
    tokio::time::timeout(BODY_TIME, whole).await.unwrap_or_else(|_| Err(too_slow()))
}

fn too_slow() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "the body of the request stands still")
}

/// The next part of a body, which comes soon or is not waited for.
async fn next(parts: &mut (impl Stream<Item = Result<Bytes, axum::Error>> + Unpin)) -> Result<Option<Bytes>, Problem> {
    let broken = |e: axum::Error| Problem::new(StatusCode::BAD_REQUEST, format!("the body of the request: {e}"));
    match tokio::time::timeout(BODY_TIME, parts.next()).await {
        Ok(part) => part.transpose().map_err(broken),
        Err(_) => Err(too_slow()),
    }
}

/// A body as a file beside the store.
pub async fn receive(dir: &Path, body: HttpBody, most: usize) -> Result<NamedTempFile, Problem> {
    let failed = |e: std::io::Error| Problem::from(ControlError::failed(format!("what was sent cannot be kept: {e}")));
    let (prefix, suffix) = IMPORT_COPY;
    let mut file = tempfile::Builder::new().prefix(prefix).suffix(suffix).tempfile_in(dir).map_err(failed)?;
    // Whoever opens the directory next takes away what has no lock.
    file.as_file().lock().map_err(failed)?;
    let (mut parts, mut bytes) = (body.into_data_stream(), 0);
    while let Some(part) = next(&mut parts).await? {
        bytes += part.len();
        if bytes > most {
            return Err(too_large(most));
        }
        file = tokio::task::spawn_blocking(move || file.write_all(&part).map(|()| file))
            .await
            .map_err(|e| failed(e.into()))?
            .map_err(failed)?;
    }
    file.flush().map_err(failed)?;
    Ok(file)
}

/// The answer as one document.
async fn document(api: Arc<Api>, shape: Shape, asked: Asked) -> Result<Response, Problem> {
    let done = tokio::task::spawn_blocking(move || {
        let Asked { request, caller, payloads, as_text, file, .. } = &asked;
        let mut rows = Vec::new();
        let answer = api.host.execute(caller, request.clone(), &mut |row| {
            if !matches!(row, Row::Progress(_)) {
                rows.push(shown(row.json(), request, *payloads, *as_text));
            }
            rows.len() < ROWS
        });
        let answer = answer.map_err(|e| refused(&api, request, e, file.as_ref()))?;
        Ok::<_, Problem>(match shape {
            Shape::Only => rows.pop().unwrap_or(Value::Null),
            Shape::Many(field) => many(field, rows, request),
            Shape::Both(field) => {
                let mut document = shown(answer.json(), request, *payloads, *as_text);
                document[field] = Value::Array(rows);
                document
            }
            Shape::One | Shape::Lines => shown(answer.json(), request, *payloads, *as_text),
        })
    });
    let document: Value =
        done.await.map_err(|e| Problem::from(ControlError::failed(format!("the request ended: {e}"))))??;
    let tag = document["etag"].as_str().and_then(|tag| HeaderValue::from_str(&format!("\"{tag}\"")).ok());
    let mut response = Json(document).into_response();
    if let Some(tag) = tag {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Rows in a field; of a list that is read page by page, where the next page begins.
fn many(field: &str, rows: Vec<Value>, request: &Request) -> Value {
    let (full, count) = (|limit: u64| rows.len() as u64 >= limit, rows.len());
    let next = match request {
        Request::ModelScan { limit: Some(limit), .. } => {
            Some(rows.last().filter(|_| full(*limit)).map_or(Value::Null, |row| row["key"].clone()))
        }
        Request::Activity { last: Some(last), .. } => {
            Some(rows.first().filter(|_| full(*last)).map_or(Value::Null, |entry| entry["seq"].clone()))
        }
        _ => None,
    };
    let mut document = Map::new();
    document.insert(field.to_owned(), Value::Array(rows));
    if let Some(next) = next {
        document.insert("next".to_owned(), next);
    }
    if count >= ROWS {
        document.insert("cut".to_owned(), json!(true));
    }
    Value::Object(document)
}

/// What messages call a file that was sent. Commands elsewhere know its name.
pub const SENT: &str = "the file that was sent";

/// Why a request was not carried out. A file that was sent has no name that says anything.
pub fn refused(api: &Api, request: &Request, mut error: ControlError, file: Option<&NamedTempFile>) -> Problem {
    if let Some(file) = file {
        error.message = error.message.replace(&file.path().display().to_string(), SENT);
    }
    let mut problem = Problem::from(error);
    if problem.status == StatusCode::PRECONDITION_FAILED
        && let Some(name) = request.projection()
    {
        problem.current = current(api, name);
    }
    problem
}

/// What has changed since.
fn current(api: &Api, name: &str) -> Option<Value> {
    let filter = ActivityFilter { projection: Some(name.to_owned()), ..ActivityFilter::default() };
    let newest = api.host.newest_activity(&filter, 20).ok()?;
    let entry = newest.into_iter().find(|entry| entry.entry.change.is_some())?.entry;
    Some(json!({
        "etag": entry.seq.to_string(),
        "changedBy": entry.actor.name,
        "changedAt": entry.at,
        "change": entry.change,
    }))
}

/// The fields of answers that show rows and events.
const DOCUMENTS: [&str; 11] =
    ["value", "data", "metadata", "raw", "before", "after", "expected", "found", "left", "right", "examples"];

/// What somebody is shown of an answer.
pub fn shown(mut answer: Value, request: &Request, payloads: Payloads, as_text: bool) -> Value {
    if let Some(changed) = answer.get("changed").and_then(Value::as_u64)
        && matches!(request, Request::Projections { .. })
    {
        answer["etag"] = json!(changed.to_string());
    }
    let hides = payloads < Payloads::Full;
    if request.shows() != Shows::Nothing && (hides || as_text) {
        each_document(&mut answer, &|document| {
            if hides {
                mask(document);
            }
            if as_text {
                *document = Value::String(document.to_string());
            }
        });
    }
    answer
}

fn each_document(value: &mut Value, change: &dyn Fn(&mut Value)) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| each_document(value, change)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match DOCUMENTS.contains(&name.as_str()) && !value.is_null() {
                    true => change(value),
                    false => each_document(value, change),
                }
            }
        }
        _ => {}
    }
}

/// Leaves of a document which fields there are, and of what kind.
fn mask(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(mask),
        Value::Object(fields) => fields.values_mut().for_each(mask),
        Value::String(_) => *value = json!("(text)"),
        Value::Number(_) => *value = json!("(number)"),
        Value::Bool(_) => *value = json!("(true or false)"),
        Value::Null => {}
    }
}
