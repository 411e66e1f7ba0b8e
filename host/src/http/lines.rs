//! Answers that are given as they are made, one line for each row.

use super::{
    Api,
    answer::{Asked, refused, shown},
    problem::Problem,
};
use crate::{
    control::{Payloads, Request, Response as Answer, Row},
    vocabulary::now_ms,
};
use axum::{
    body::{Body as HttpBody, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

/// Lines that wait for a slow reader; then the request waits.
const LINES: usize = 256;

/// How long an answer is silent at most that says how far it is: who hears nothing for several times as long waits for a host that hangs.
const BEAT: Duration = Duration::from_secs(2);

/// How long rows alone are silent at most: shorter than proxies wait.
const EMPTY_LINE: Duration = Duration::from_secs(15);

/// How long somebody may not read what is given.
const STALL: Duration = Duration::from_secs(60);

/// What the lines look like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// Rows alone; where one is missing, the connection breaks off.
    Rows,
    /// Rows with the progress among them, and the last answer: what programs are shown of them.
    All,
    /// The same as the socket gives them.
    Tagged,
}

impl Lines {
    fn row(self, row: &Row, asked: &Asked) -> Value {
        let Asked { request, payloads, as_text, .. } = asked;
        match self {
            Lines::Rows => shown(row.json(), request, *payloads, *as_text),
            Lines::All => json!({ "row": shown(row.json(), request, *payloads, *as_text) }),
            Lines::Tagged => json!({ "row": tagged(json!(row), request, *payloads) }),
        }
    }

    fn done(self, answer: &Answer, asked: &Asked) -> Option<Value> {
        let Asked { request, payloads, as_text, .. } = asked;
        match self {
            Lines::Rows => None,
            Lines::All => Some(json!({ "done": shown(answer.json(), request, *payloads, *as_text) })),
            Lines::Tagged => Some(json!({ "done": tagged(json!(answer), request, *payloads) })),
        }
    }

    /// How long nothing is said at most.
    fn silence(self) -> Duration {
        if self == Lines::Rows { EMPTY_LINE } else { BEAT }
    }

    /// What is said then.
    fn beat(self) -> String {
        match self {
            Lines::Rows => "\n".to_owned(),
            Lines::All => format!("{}\n", json!({ "beat": now_ms() })),
            Lines::Tagged => "\"beat\"\n".to_owned(),
        }
    }
}

/// An answer under its tag, without what somebody may not see of it.
fn tagged(mut answer: Value, request: &Request, payloads: Payloads) -> Value {
    if payloads < Payloads::Full
        && let Some(content) = answer.as_object_mut().and_then(|tagged| tagged.values_mut().next())
    {
        *content = shown(content.take(), request, payloads, false);
    }
    answer
}

/// A line, or why there are no more.
type Line = Result<Value, Problem>;

fn text(line: Line) -> String {
    let line = line.unwrap_or_else(|problem| json!({ "error": problem.document() }));
    format!("{line}\n")
}

/// The answer as it comes, one line for each row. Whoever does not read it to its end does not see one: what is cut off breaks off.
///
/// # Errors
/// What is refused before anything is said has a status of its own.
pub async fn lines(api: Arc<Api>, asked: Asked, form: Lines) -> Result<Response, Problem> {
    let (sender, mut receiver) = mpsc::channel::<Line>(LINES);
    let (pass, own) = (asked.pass.clone(), api.clone());
    let whole = Arc::new(AtomicBool::new(false));
    let is_whole = whole.clone();
    tokio::task::spawn_blocking(move || {
        let request = &asked.request;
        let watches = matches!(request, Request::Watch { .. });
        let mut stalled = false;
        let answer = own.host.execute(&asked.caller, request.clone(), &mut |row| {
            let passes = matches!(row, Row::Progress(_) | Row::Import(_));
            if passes && form == Lines::Rows {
                return !sender.is_closed();
            }
            let line = Ok(form.row(&row, &asked));
            // What the next one repeats is not waited for.
            if passes || watches {
                return !matches!(sender.try_send(line), Err(TrySendError::Closed(_)));
            }
            stalled = !give(&sender, line);
            !stalled
        });
        let last = match answer {
            _ if stalled => return,
            Ok(answer) => form.done(&answer, &asked).map(Ok),
            Err(e) => Some(Err(refused(&own, request, e, asked.file.as_ref()))),
        };
        whole.store(last.is_none_or(|last| give(&sender, last)), Ordering::SeqCst);
    });
    // Rows alone have no place for a refusal among them; the others say soon that they are being made.
    let first = match form {
        Lines::Rows => Ok(receiver.recv().await),
        Lines::All | Lines::Tagged => tokio::time::timeout(BEAT, receiver.recv()).await,
    };
    let first = match first {
        Ok(Some(Err(problem))) => return Err(problem),
        Ok(Some(first)) => text(first),
        Ok(None) => String::new(),
        Err(_) => form.beat(),
    };
    let (out, body) = mpsc::channel::<io::Result<Bytes>>(1);
    let is_given = Arc::new(AtomicBool::new(false));
    let given = is_given.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = pass_on(first, receiver, form, &out) => given.store(is_whole.load(Ordering::SeqCst), Ordering::SeqCst),
            problem = pass.ends(&api) => {
                // Who does not read is not told either, and sees it break off.
                let told = form != Lines::Rows && out.try_send(Ok(text(Err(problem)).into())).is_ok();
                given.store(told, Ordering::SeqCst);
            }
        }
    });
    let end = std::iter::once_with(move || match is_given.load(Ordering::SeqCst) {
        true => None,
        false => Some(Err(io::Error::from(io::ErrorKind::TimedOut))),
    });
    let all = ReceiverStream::new(body).chain(tokio_stream::iter(end.flatten()));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], HttpBody::from_stream(all)).into_response())
}

/// Passes lines on until there are no more, or nobody reads them; and says that it is there while there are none.
async fn pass_on(first: String, mut lines: mpsc::Receiver<Line>, form: Lines, out: &mpsc::Sender<io::Result<Bytes>>) {
    let mut next = first;
    loop {
        if !next.is_empty() && out.send(Ok(next.into())).await.is_err() {
            return;
        }
        // Cancellation-safe: a line that is not taken stays in the channel.
        next = tokio::select! {
            line = lines.recv() => match line {
                Some(line) => text(line),
                None => return,
            },
            () = tokio::time::sleep(form.silence()) => form.beat(),
            () = out.closed() => return,
        };
    }
}

/// Gives a line to whoever reads; `false` where nobody does any more, or has not for long: what the request holds is needed.
fn give<T>(sender: &mpsc::Sender<T>, mut line: T) -> bool {
    let since = Instant::now();
    loop {
        line = match sender.try_send(line) {
            Ok(()) => return true,
            Err(TrySendError::Closed(_)) => return false,
            Err(TrySendError::Full(line)) => line,
        };
        if since.elapsed() > STALL {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
