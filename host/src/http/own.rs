//! What is answered beside the requests of the table: browsers come and go, the host tells of itself, and commands elsewhere send requests
//! as those on its machine do.

use super::{
    Api, feed,
    login::{self, Credentials, HostReport, LogLines, Sent},
    openapi,
    samples::SampleSeries,
};
use crate::control::{Role, SchemaOf, schema_of};
use axum::{
    extract::Request as HttpRequest,
    response::{IntoResponse, Response},
};
use std::{future::Future, pin::Pin, sync::Arc};

/// An answer that is being made.
type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// What is answered with.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Nothing.
    Empty,
    /// JSON of this schema.
    Json(SchemaOf),
    /// Something else.
    Media(&'static str),
}

/// A route that is no request of the table.
pub struct Own {
    /// Its method.
    pub method: &'static str,
    /// Its path.
    pub path: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Who may; where absent, nobody is asked who they are.
    pub role: Option<Role>,
    /// Its body: what kind it is, and what is in it where that is JSON.
    pub body: Option<Kind>,
    /// Its answer.
    pub answer: Kind,
    /// Answers it.
    pub run: fn(Arc<Api>, HttpRequest) -> Answering,
}

macro_rules! run {
    ($answer:path) => {
        |api, request| Box::pin($answer(api, request))
    };
}

const fn get(
    path: &'static str,
    about: &'static str,
    role: Option<Role>,
    answer: Kind,
    run: fn(Arc<Api>, HttpRequest) -> Answering,
) -> Own {
    Own { method: "GET", path, about, role, body: None, answer, run }
}

const NDJSON: Kind = Kind::Media("application/x-ndjson");
const TEXT: Kind = Kind::Media("text/plain");
const METRICS: Kind = Kind::Media("application/openmetrics-text");

/// All of them.
pub const OWN: &[Own] = &[
    get(
        "/v1/openapi.json",
        "This description.",
        Some(Role::Viewer),
        Kind::Media("application/json"),
        run!(openapi::openapi),
    ),
    get(
        "/v1/host",
        "What the host is, and who asks.",
        Some(Role::Viewer),
        Kind::Json(schema_of::<HostReport>),
        run!(login::host),
    ),
    get(
        "/v1/log",
        "The newest lines of its log.",
        Some(Role::Operator),
        Kind::Json(schema_of::<LogLines>),
        run!(login::log),
    ),
    get(
        "/v1/projections/{name}/samples",
        "How its rebuilds went lately.",
        Some(Role::Viewer),
        Kind::Json(schema_of::<SampleSeries>),
        run!(login::samples),
    ),
    get(
        "/v1/stream",
        "What goes on, as it happens: `status` (all projections), `activity`, and to operators `log`. It ends when who asks may not any more \
         what they might.",
        Some(Role::Viewer),
        Kind::Media("text/event-stream"),
        run!(feed::stream),
    ),
    Own {
        method: "POST",
        body: Some(Kind::Json(schema_of::<Credentials>)),
        ..get(
            "/v1/session",
            "Let a browser in, by a code of `unspool ui` or by a token.",
            None,
            Kind::Empty,
            run!(login::enter),
        )
    },
    Own {
        method: "DELETE",
        ..get("/v1/session", "End the session of a browser.", Some(Role::Viewer), Kind::Empty, run!(login::leave))
    },
    Own {
        method: "POST",
        body: Some(Kind::Media("application/octet-stream")),
        ..get(
            "/v1/uploads",
            "Send a file for a request of a command, which is to come.",
            Some(Role::Operator),
            Kind::Json(schema_of::<Sent>),
            run!(login::upload),
        )
    },
    Own {
        method: "POST",
        body: Some(Kind::Media("application/json")),
        ..get(
            "/v1/control",
            "A request as commands of the same version send it, and its answer as they read it. Programs use the others.",
            Some(Role::Viewer),
            NDJSON,
            run!(login::control),
        )
    },
    get("/metrics", "Metrics as Prometheus reads them.", Some(Role::Viewer), METRICS, run!(login::measured)),
    get("/livez", "Answers as long as the process does.", None, TEXT, |_, _| {
        Box::pin(async { "alive\n".into_response() })
    }),
    get("/readyz", "Whether the host takes commands.", None, TEXT, |api, _| Box::pin(login::ready(api))),
];
