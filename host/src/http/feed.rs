//! What goes on, as it happens: one stream of events for each page. The whole of it is looked at by one task, and only while anybody
//! listens: so who watches costs nothing that grows with how many there are.

use super::{
    Api,
    answer::{shown, too_many},
    caller::Pass,
};
use crate::{
    control::{Caller, Payloads, Request, Role},
    log,
};
use axum::{
    extract::Request as HttpRequest,
    http::HeaderValue,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use serde_json::{Value, json};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Events that wait for a slow page.
const EVENTS: usize = 16;

/// Entries of activity that are given at once.
const ENTRIES: usize = 100;

/// What all pages are given.
pub struct Feed {
    now: watch::Sender<Now>,
}

/// What goes on.
#[derive(Clone, Default, PartialEq)]
struct Now {
    /// All projections at a glance; null before anybody has looked.
    status: Arc<Value>,
    /// The number of the newest entry of activity.
    activity: u64,
}

impl Default for Feed {
    fn default() -> Feed {
        Feed { now: watch::Sender::new(Now::default()) }
    }
}

/// Looks, for as long as the host answers.
pub async fn run(api: Arc<Api>) {
    loop {
        tokio::time::sleep(LOOK).await;
        if api.feed.now.receiver_count() == 0 {
            // Who comes next is not shown what was seen before.
            api.feed.now.send_replace(Now::default());
            continue;
        }
        let own = api.clone();
        let Ok(Some(now)) = tokio::task::spawn_blocking(move || look(&own)).await else { continue };
        api.feed.now.send_if_modified(|before| {
            let changed = *before != now;
            if changed {
                *before = now;
            }
            changed
        });
    }
}

fn look(api: &Api) -> Option<Now> {
    let request = Request::Projections { name: None };
    let mut projections = Vec::new();
    let looked = api.host.execute(&Caller::host(), request.clone(), &mut |row| {
        projections.push(shown(row.json(), &request, Payloads::Full, false));
        true
    });
    let activity = api.host.newest_activity_number().ok()?;
    looked.ok().map(|_| Now { status: Arc::new(json!({ "projections": projections })), activity })
}

/// Gives a page what goes on.
pub async fn stream(api: Arc<Api>, request: HttpRequest) -> Response {
    let (parts, _) = request.into_parts();
    let (pass, place) = match (Pass::of(&api, &parts), api.streams.clone().try_acquire_owned()) {
        (Err(problem), _) => return problem.into_response(),
        (_, Err(_)) => return too_many().into_response(),
        (Ok(pass), Ok(place)) => (pass, place),
    };
    let logs = pass.known.must_be(Role::Operator).is_ok();
    let last = parts.headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let (sender, receiver) = mpsc::channel::<Result<Event, Infallible>>(EVENTS);
    tokio::spawn(async move {
        let _place = place;
        tokio::select! {
            () = tell(&api, last, logs, &sender) => {}
            problem = pass.ends(&api) => tracing::debug!("a stream ended: {}", problem.detail),
        }
    });
    let mut response = Sse::new(ReceiverStream::new(receiver))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Tells until nobody listens: a page that is slow is given the newest status, and every entry of activity.
async fn tell(api: &Arc<Api>, last: Option<u64>, logs: bool, sender: &mpsc::Sender<Result<Event, Infallible>>) {
    let mut feed = api.feed.now.subscribe();
    let (mut last, mut lines, mut told) = (last, log::newest(), Arc::default());
    loop {
        let now = feed.borrow_and_update().clone();
        // Nobody has looked yet.
        if now.status.is_null() {
            tokio::select! {
                () = sender.closed() => return,
                changed = feed.changed() => if changed.is_err() { return },
            }
            continue;
        }
        if !Arc::ptr_eq(&told, &now.status) {
            if !send(sender, Event::default().event("status"), &now.status).await {
                return;
            }
            told = now.status;
        }
        // Who has not been here before is told what comes.
        let since = *last.get_or_insert(now.activity);
        if now.activity > since {
            let own = api.clone();
            let entries = tokio::task::spawn_blocking(move || own.host.activity_since(since, ENTRIES)).await;
            for entry in entries.ok().and_then(Result::ok).into_iter().flatten() {
                last = Some(entry.entry.seq);
                if !send(sender, Event::default().event("activity").id(entry.entry.seq.to_string()), &json!(entry))
                    .await
                {
                    return;
                }
            }
        }
        for line in if logs { log::after(lines) } else { Vec::new() } {
            lines = line.seq;
            if !send(sender, Event::default().event("log"), &json!(line)).await {
                return;
            }
        }
        tokio::select! {
            () = sender.closed() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn send(sender: &mpsc::Sender<Result<Event, Infallible>>, event: Event, data: &Value) -> bool {
    sender.send(Ok(event.data(data.to_string()))).await.is_ok()
}
