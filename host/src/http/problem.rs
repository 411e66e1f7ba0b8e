//! Refusals, as problem documents (RFC 9457) with the words and the exit code of the command line.

use crate::control::{ControlError, ErrorKind};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};

/// Why a request was not carried out.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The status of the answer.
    pub status: StatusCode,
    /// Names the culprit and the remedy.
    pub detail: String,
    /// What to do next; absent where the detail says it all.
    pub next: Option<String>,
    /// The exit code that the command line has for it.
    pub exit: u8,
    /// The kind of error, as the command line names it.
    pub kind: &'static str,
    /// What is there now, where it is not what was seen.
    pub current: Option<Value>,
}

#[derive(Serialize)]
struct Document {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    exit: u8,
    kind: &'static str,
    next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<Value>,
}

impl Problem {
    /// A refusal of the door itself.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        let exit = if status.is_server_error() { 1 } else { 2 };
        Problem { status, detail: detail.into(), next: None, exit, kind: "refused", current: None }
    }

    /// The same, with what to do next.
    pub fn with_next(self, next: impl Into<String>) -> Problem {
        Problem { next: Some(next.into()), ..self }
    }

    /// The document itself.
    pub fn document(&self) -> Value {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let Problem { status, detail, next, exit, kind, current } = self.clone();
        let document =
            Document { r#type: "about:blank", title, status: status.as_u16(), detail, exit, kind, next, current };
        serde_json::to_value(document).unwrap_or_else(|e| json!({ "detail": e.to_string() }))
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Problem {
        let status = match error.kind {
            ErrorKind::Usage | ErrorKind::Refused | ErrorKind::Plugin | ErrorKind::Source => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            ErrorKind::NoDirectory | ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::NotPossible => StatusCode::CONFLICT,
            ErrorKind::Changed => StatusCode::PRECONDITION_FAILED,
            ErrorKind::Busy | ErrorKind::InUse | ErrorKind::Host | ErrorKind::Interrupted => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ErrorKind::Index | ErrorKind::Store | ErrorKind::Damaged | ErrorKind::Failed => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        let (exit, kind) = (error.exit_code(), error.kind.name());
        Problem { status, detail: error.message, next: error.next, exit, kind, current: None }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, document) = (self.status, self.document());
        let mut response = (status, Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match status {
            StatusCode::UNAUTHORIZED => {
                drop(headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                drop(headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1")));
            }
            _ => {}
        }
        response
    }
}
