//! Refusals, as problem documents (RFC 9457) with the words and the exit code of the command line.

use crate::control::{ControlError, ErrorKind};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
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

/// Why a request was not carried out (RFC 9457).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct Document {
    /// `about:blank`: the status says what it is.
    r#type: &'static str,
    /// What the status is called.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// Names the culprit and the remedy.
    detail: String,
    /// The exit code that the command line has for it: 1 failed, 2 refused, 3 not possible as things are, 130 interrupted.
    exit: u8,
    /// The kind of error, as the command line names it.
    kind: &'static str,
    /// What to do next; null where the detail says it all.
    next: Option<String>,
    /// What is there now, where it is not what was seen: its `etag`, `changedBy`, `changedAt`, and the `change`.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<Value>,
}

/// The statuses of refusals, and what they mean.
pub const STATUSES: &[(u16, &str)] = &[
    (400, "The body breaks off. Exit code 2."),
    (401, "Nobody is known by these credentials. Exit code 2."),
    (403, "The role or the permission for rows and events is too little, or a page of another site asks. Exit code 2."),
    (404, "It is not there. Exit code 3; 2 where there is no such path."),
    (408, "The body stands still. Exit code 2."),
    (409, "It is not possible as things are. Exit code 3."),
    (412, "The projection is not what was seen any more: `current` says by whom, and when. Exit code 3."),
    (413, "The body is too large. Exit code 2."),
    (415, "The body is no JSON, or does not say so. Exit code 2."),
    (421, "The host is asked by a name that is not its own. Exit code 2."),
    (422, "What was asked for is not acceptable. Exit code 2."),
    (428, "What was seen must be said: `If-Match`. Exit code 2."),
    (429, "So many requests are being answered already. Exit code 3."),
    (500, "It failed, or what is stored is damaged. Exit code 1 or 2."),
    (503, "Another command is under way, or the host ends or is not ready. Exit code 1, 2, 3 or 130."),
];

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
