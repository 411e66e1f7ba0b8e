//! The second way to a host: HTTP, for programs elsewhere and for browsers. It is off unless it is asked for, and adds nothing to what can
//! be done: what is requested ends in `Host::execute`, like a request over the socket.
//!
//! | file | what it does |
//! |---|---|
//! | `connection` | connections, with TLS and bounds |
//! | `guard` | what holds for every answer, and the names that a host may be asked by |
//! | `caller`, `tokens`, `session` | who asks, and what they may |
//! | `routes`, `given`, `bodies` | the requests by method and path; what they are given |
//! | `own`, `openapi` | what is answered beside them; the description of all |
//! | `answer`, `lines` | has a request carried out, and gives what comes of it: as one document, or as it is made |
//! | `problem` | refusals |
//! | `login` | how a browser is let in and out |
//! | `feed`, `samples` | what goes on, as it happens; how it went lately |
//! | `metrics` | the same for Prometheus |
//! | `ui` | the dashboard's files |

mod answer;
mod bodies;
mod caller;
mod connection;
mod feed;
mod given;
mod guard;
mod lines;
mod login;
mod metrics;
mod openapi;
mod own;
mod problem;
mod routes;
mod samples;
mod session;
mod tokens;
mod ui;

pub use answer::SENT;
pub use connection::Server;
pub use routes::{ROUTES, Route};
pub use tokens::{Token, Tokens};

use crate::control::{Host, Payloads, Role};
use session::Sessions;
use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Semaphore;

/// How a host answers HTTP.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it answers nothing but metrics and questions for its health, without asking who wants to know.
    pub listen_metrics: Option<SocketAddr>,
    /// Files with the certificate chain and its key, in PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether a proxy in front of it has TLS.
    pub behind_proxy: bool,
    /// Names by which it may be asked, beside addresses and `localhost`.
    pub hosts: Vec<String>,
    /// What it is called.
    pub name: String,
    /// Whether people are to be reminded that others depend on it.
    pub production: bool,
    /// Who is let in on the word of a proxy.
    pub proxy: Option<Proxy>,
}

/// A proxy that authenticates people.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// The header in which it says who it is.
    pub user_header: String,
    /// The addresses from which that is believed.
    pub from: Vec<IpAddr>,
    /// The role of whoever has no other.
    pub role: Role,
    /// The roles of some.
    pub roles: BTreeMap<String, Role>,
    /// What they may see of rows and events.
    pub payloads: Payloads,
}

/// Requests that are carried out at the same time: each has a thread.
const REQUESTS: usize = 64;

/// Answers that go on for as long as somebody listens.
const STREAMS: usize = 16;

/// What all connections share.
pub struct Api {
    host: Host,
    options: HttpOptions,
    tokens: Tokens,
    sessions: Sessions,
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    feed: feed::Feed,
    samples: samples::Samples,
    /// How many requests were answered, by method and status.
    answered: Mutex<HashMap<(String, u16), u64>>,
    /// Files that were sent for a request that is still to come.
    uploads: login::Uploads,
    /// When a token was used last, in milliseconds since 1970, by its name.
    used: Mutex<HashMap<String, i64>>,
    started_at: i64,
}

impl Api {
    fn new(host: Host, options: HttpOptions) -> std::io::Result<Api> {
        let dir = host.dir().path().to_owned();
        Ok(Api {
            tokens: Tokens::of(&dir),
            sessions: Sessions::open(&dir, options.tls.is_some() || options.behind_proxy)?,
            requests: Arc::new(Semaphore::new(REQUESTS)),
            streams: Arc::new(Semaphore::new(STREAMS)),
            feed: feed::Feed::default(),
            samples: samples::Samples::default(),
            answered: Mutex::default(),
            uploads: login::Uploads::default(),
            used: Mutex::default(),
            started_at: crate::vocabulary::now_ms(),
            host,
            options,
        })
    }

    /// Counts a request that was answered.
    fn count(&self, method: &str, status: u16) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        // Methods that nobody knows are one.
        let known = ["GET", "POST", "PUT", "DELETE", "HEAD"];
        let method = if known.contains(&method) { method } else { "OTHER" };
        *answered.entry((method.to_owned(), status)).or_default() += 1;
    }

    /// How many requests were answered, by method and status.
    fn answered(&self) -> BTreeMap<(String, u16), u64> {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.iter().map(|(key, count)| (key.clone(), *count)).collect()
    }

    /// Notes that a token was used.
    fn used(&self, name: &str) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert(name.to_owned(), crate::vocabulary::now_ms());
    }
}
