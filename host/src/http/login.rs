//! How browsers are let in and out, what the host tells of itself, and how commands elsewhere send requests.

use super::{
    Api,
    answer::{Asked, bounded, may, receive, too_many, whose},
    caller::{Pass, refuse_other_sites},
    lines::{Lines, lines},
    problem::Problem,
    tokens::Token,
};
use crate::{
    control::{Action, Caller, FiringAlert, ListedAlertRoute, Payloads, Request, Role},
    limits, private,
    vocabulary::act::{Actor, ActorKind},
};
use axum::{
    Json,
    extract::{FromRequestParts, Path, Request as HttpRequest},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tempfile::NamedTempFile;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of a request that is sent as commands send it.
const REQUEST_BYTES: usize = 64 << 10;

/// By what a browser is let in: one of the two.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// A code of `unspool ui`.
    #[serde(default)]
    code: Option<String>,
    /// A token.
    #[serde(default)]
    token: Option<String>,
}

/// Lines of the log.
#[derive(Serialize, JsonSchema)]
pub struct LogLines {
    /// The newest ones, the oldest of them first.
    lines: Vec<crate::log::Line>,
}

/// A file that was sent.
#[derive(Serialize, JsonSchema)]
pub struct Sent {
    /// How a request names it: `upload:` and this, once, within ten minutes.
    upload: String,
}

/// What the host is, and who asks.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostReport {
    /// The version of Unspool.
    version: &'static str,
    /// What it is called.
    name: String,
    /// Whether others depend on it.
    production: bool,
    /// When it started, in milliseconds since 1970.
    started_at: i64,
    /// What time it is there, in milliseconds since 1970.
    now: i64,
    /// Who asks.
    caller: KnownAs,
    /// Where it listens.
    listen: String,
    /// Bytes of its files, `storeBytes` and `logBytes`, and those that are free, `freeBytes`; null where they are not known.
    disk: Value,
    /// Memory that one plugin instance may use, in MiB.
    memory: usize,
    /// Instances that handle chunks of one projection at the same time.
    instances: usize,
    /// What can be done with the host as a whole.
    actions: Vec<Action>,
    /// What goes wrong now, of which somebody is told; null where that cannot be read.
    alerts: Option<Vec<FiringAlert>>,
    /// Who is told, and whether that has arrived; null where that cannot be read.
    alert_routes: Option<Vec<ListedAlertRoute>>,
    /// Its tokens, null where they cannot be read; for an admin only.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<Option<Vec<ListedToken>>>,
    /// Its data directory; for an admin only.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    /// With what it was started; for an admin only.
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<Value>,
}

/// Who asks, and what they may.
#[derive(Serialize, JsonSchema)]
pub struct KnownAs {
    name: String,
    kind: ActorKind,
    role: Role,
    payloads: Payloads,
}

/// A token, without what proves it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListedToken {
    /// Whose it is.
    name: String,
    /// What may be done with it.
    role: Role,
    /// What it may see of rows and events.
    payloads: Payloads,
    /// When it was made, in milliseconds since 1970.
    created_at: i64,
    /// When it was used last since the host started, in milliseconds since 1970; null where it was not.
    last_used: Option<i64>,
}

/// Lets a browser in, by a code that `unspool ui` has shown, or by a token.
pub async fn enter(api: Arc<Api>, request: HttpRequest) -> Response {
    enter_with(&api, request).await.unwrap_or_else(Problem::into_response)
}

async fn enter_with(api: &Api, request: HttpRequest) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    // Nobody is let in by a page of another site.
    if parts.headers.contains_key("sec-fetch-site") || parts.headers.contains_key(header::ORIGIN) {
        refuse_other_sites(&parts.headers)?;
    }
    let body = bounded(body, REQUEST_BYTES).await?;
    let given: Credentials = serde_json::from_slice(&body)
        .map_err(|e| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the body of the request: {e}")))?;
    let refused = |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, detail).with_next("unspool ui");
    let (actor, role, payloads, made) = match (given.code, given.token) {
        (Some(code), None) => {
            let actor = api
                .host
                .door()
                .enter(&code)
                .ok_or_else(|| refused("this code lets nobody in: it was used, or is older than a minute"))?;
            (actor, Role::Admin, Payloads::Full, None)
        }
        (None, Some(token)) => {
            let token = api.tokens.proven(token.trim())?.ok_or_else(|| refused("this token lets nobody in"))?;
            api.used(&token.name);
            let actor = Actor { kind: ActorKind::Token, name: token.name };
            (actor, token.role, token.payloads, Some(token.created_at))
        }
        _ => return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "the body has a code or a token")),
    };
    Ok(with_cookie(api.sessions.begin(actor, role, payloads, made)))
}

/// Ends the session of a browser.
pub async fn leave(api: Arc<Api>, request: HttpRequest) -> Response {
    let (parts, _) = request.into_parts();
    match whose(&api, &parts) {
        Ok(_) => with_cookie(api.sessions.end()),
        Err(problem) => problem.into_response(),
    }
}

fn with_cookie(cookie: String) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// The newest lines of the log.
pub async fn log(api: Arc<Api>, request: HttpRequest) -> Response {
    let (parts, _) = request.into_parts();
    match whose(&api, &parts).and_then(|known| known.must_be(Role::Operator)) {
        Ok(()) => Json(LogLines { lines: crate::log::after(0) }).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// How the rebuilds of a projection went lately.
pub async fn samples(api: Arc<Api>, request: HttpRequest) -> Response {
    let (mut parts, _) = request.into_parts();
    if let Err(problem) = whose(&api, &parts) {
        return problem.into_response();
    }
    let Ok(Path(name)) = Path::<String>::from_request_parts(&mut parts, &()).await else {
        return Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "the path names no projection").into_response();
    };
    let known = tokio::task::spawn_blocking(move || {
        let request = Request::Projections { name: Some(name.clone()) };
        let there = api.host.execute(&Caller::host(), request, &mut |_| true);
        there.map(|_| api.samples.of(&name)).map_err(Problem::from)
    });
    match known.await {
        Ok(Ok(samples)) => Json(samples).into_response(),
        Ok(Err(problem)) => problem.into_response(),
        Err(e) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

/// Metrics, for somebody who is known.
pub async fn measured(api: Arc<Api>, request: HttpRequest) -> Response {
    let (parts, _) = request.into_parts();
    match whose(&api, &parts) {
        Ok(_) => super::metrics::metrics(api).await,
        Err(problem) => problem.into_response(),
    }
}

/// Whether the host takes commands. It knows nothing of sources and databases: that these are away is no reason to start it again.
pub async fn ready(api: Arc<Api>) -> Response {
    let projections = tokio::task::spawn_blocking(move || api.host.is_ready()).await;
    match projections {
        Ok(true) => "ready\n".into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response(),
    }
}

/// What the host is, and who asks.
pub async fn host(api: Arc<Api>, request: HttpRequest) -> Response {
    let (parts, _) = request.into_parts();
    let known = match whose(&api, &parts) {
        Ok(known) => known,
        Err(problem) => return problem.into_response(),
    };
    let told = tokio::task::spawn_blocking(move || {
        let used = api.used.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let listed = |token: Token| ListedToken {
            last_used: used.get(&token.name).copied(),
            name: token.name,
            role: token.role,
            payloads: token.payloads,
            created_at: token.created_at,
        };
        let is_admin = known.role == Role::Admin;
        let tokens = || api.tokens.all().ok().map(|all| all.into_iter().map(listed).collect());
        HostReport {
            version: env!("CARGO_PKG_VERSION"),
            name: api.options.name.clone(),
            production: api.options.production,
            started_at: api.started_at,
            now: crate::vocabulary::now_ms(),
            listen: api.options.listen.to_string(),
            disk: api.host.disk(),
            memory: api.host.memory_bytes() >> 20,
            instances: api.host.instances(),
            actions: actions(),
            tokens: is_admin.then(tokens),
            data: is_admin.then(|| api.host.dir().path().display().to_string()),
            settings: is_admin.then(|| api.host.settings()),
            caller: KnownAs {
                name: known.actor.name,
                kind: known.actor.kind,
                role: known.role,
                payloads: known.payloads,
            },
            alerts: api.host.firing_alerts().ok(),
            alert_routes: api.host.alert_routes().ok(),
        }
    });
    match told.await {
        Ok(host) => Json(host).into_response(),
        Err(e) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

/// What can be done with the host as a whole.
fn actions() -> Vec<Action> {
    let action = |name: &str, method: &str, path: &str, command: &str| Action {
        name: name.to_owned(),
        allowed: true,
        because: None,
        role: Role::Admin,
        needs_match: false,
        command: command.to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
    };
    vec![
        action("install", "PUT", "plugins", "unspool plugin install FILE"),
        action("import", "POST", "events", "unspool events import FILE"),
    ]
}

/// A request as commands send it, and its answer as the socket gives it: so every command works from elsewhere.
pub async fn control(api: Arc<Api>, request: HttpRequest) -> Response {
    control_with(api, request).await.unwrap_or_else(Problem::into_response)
}

async fn control_with(api: Arc<Api>, request: HttpRequest) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let pass = Pass::of(&api, &parts)?;
    let known = pass.known.clone();
    refuse_other_versions(&parts.headers)?;
    let body = bounded(body, REQUEST_BYTES).await?;
    let request: Request = serde_json::from_slice(&body).map_err(|e| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("not a request of this version of unspool: {e}"))
    })?;
    may(&known, &request)?;
    if matches!(request, Request::SessionCode | Request::StoreAdopt) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "this is done on the host's machine only"));
    }
    let (request, file) = with_file(&api, request)?;
    let places = if request.stays() { &api.streams } else { &api.requests };
    let place = places.clone().try_acquire_owned().map_err(|_| too_many())?;
    let (caller, payloads) = (known.caller(&parts.headers, None), known.payloads);
    lines(api, Asked { request, caller, payloads, as_text: false, file, pass, _place: place }, Lines::Tagged).await
}

/// Both ends must mean the same by a request.
fn refuse_other_versions(headers: &HeaderMap) -> Result<(), Problem> {
    let own = env!("CARGO_PKG_VERSION");
    match headers.get("unspool-version").and_then(|version| version.to_str().ok()) {
        Some(version) if version != own => Err(Problem::new(
            StatusCode::CONFLICT,
            format!("this host is unspool {own}, and the command is of unspool {version}: use one of the same version"),
        )),
        _ => Ok(()),
    }
}

/// Files that were sent, until the request comes that they belong to.
pub struct Uploads {
    files: Mutex<HashMap<String, Upload>>,
    places: Arc<Semaphore>,
}

pub struct Upload {
    file: NamedTempFile,
    since: Instant,
    _place: OwnedSemaphorePermit,
}

impl Default for Uploads {
    fn default() -> Uploads {
        Uploads { files: Mutex::default(), places: Arc::new(Semaphore::new(UPLOADS)) }
    }
}

/// How long such a file is kept.
const UPLOAD_TIME: Duration = Duration::from_secs(600);

/// How many are kept.
const UPLOADS: usize = 8;

/// Takes a file for a request that is to come.
pub async fn upload(api: Arc<Api>, request: HttpRequest) -> Response {
    upload_with(&api, request).await.unwrap_or_else(Problem::into_response)
}

async fn upload_with(api: &Api, request: HttpRequest) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    whose(api, &parts)?.must_be(Role::Operator)?;
    drop(api.uploads.kept());
    let place = api.uploads.places.clone().try_acquire_owned().map_err(|_| too_many())?;
    let file = receive(api.host.dir().path(), body, limits::UPLOAD_EVENTS_BYTES).await?;
    let id = private::random_text().map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
    api.uploads.kept().insert(id.clone(), Upload { file, since: Instant::now(), _place: place });
    Ok(Json(Sent { upload: id }).into_response())
}

impl Uploads {
    /// Those that may still be used.
    pub fn kept(&self) -> MutexGuard<'_, HashMap<String, Upload>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|_, upload| upload.since.elapsed() < UPLOAD_TIME);
        files
    }
}

/// The request with the file that was sent for it. Any other file would be one of the host's machine.
fn with_file(api: &Api, mut request: Request) -> Result<(Request, Option<NamedTempFile>), Problem> {
    let file = match &mut request {
        Request::EventsImport(import) if import.skip_bad_lines.is_none() => &mut import.file,
        Request::PluginInstall { file, .. }
        | Request::PluginSwap { file, .. }
        | Request::PluginTry { file, .. }
        | Request::PluginVerify { file, .. } => file,
        Request::EventsImport(_) => {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "bad lines are set aside on the host's machine only",
            ));
        }
        _ => return Ok((request, None)),
    };
    let sent = file.strip_prefix("upload:").and_then(|id| api.uploads.kept().remove(id));
    let Some(Upload { file: sent, .. }) = sent else {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "this request names a file of the host's machine: send the file first, to v1/uploads, and name it upload:ID",
        ));
    };
    *file = sent.path().display().to_string();
    Ok((request, Some(sent)))
}
