//! A host elsewhere, which is asked over HTTP: the same requests, the same answers, the same exit codes as on its machine.

mod heard;

use crate::{
    control::{ControlError, ErrorKind, Import, Request, Response, Row, Sink},
    http::SENT,
    outbound::{self, Patience},
    private,
};
use heard::{Heard, SILENCE, sending};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    io::{self, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};
use ureq::Agent;

/// The hosts that have names: `~/.config/unspool/hosts.toml`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hosts {
    #[serde(default)]
    hosts: BTreeMap<String, Named>,
}

/// A host with a name.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    url: String,
    token_file: Option<PathBuf>,
    /// The certificate authorities that are trusted for it, in PEM.
    ca: Option<PathBuf>,
    /// Whether what changes something there is asked about first.
    #[serde(default)]
    production: bool,
}

/// A host elsewhere.
pub(super) struct Elsewhere {
    agent: Agent,
    url: String,
    /// What it is called here.
    name: String,
    token: Option<String>,
    reason: Option<String>,
    production: bool,
    /// Whether it has been said that production may be changed.
    confirmed: AtomicBool,
}

impl Elsewhere {
    /// The host with this URL, or this name; `yes`: what changes something in production is not asked about.
    ///
    /// # Errors
    /// When there is none, or its files cannot be read.
    pub(super) fn named(
        host: &str,
        token_file: Option<&Path>,
        reason: Option<String>,
        yes: bool,
    ) -> Result<Elsewhere, ControlError> {
        let named = match host.contains("://") {
            true => Named { url: host.to_owned(), ..Named::default() },
            false => known(host)?,
        };
        if !named.url.starts_with("https://") && !named.url.starts_with("http://") {
            return Err(ControlError::refused(format!("{} is no URL of a host: https://HOST:PORT", named.url)));
        }
        let token = token_file.map(Path::to_owned).or(named.token_file).map(|file| token_in(&file)).transpose()?;
        let agent = outbound::agent(named.ca.as_deref(), Patience::Silence(SILENCE)).map_err(ControlError::refused)?;
        let url = named.url.trim_end_matches('/').to_owned();
        let (production, confirmed) = (named.production, AtomicBool::new(yes));
        Ok(Elsewhere { agent, url, name: host.to_owned(), token, reason, production, confirmed })
    }

    /// Has `request` carried out there; rows go to `sink`.
    pub(super) fn ask(&self, request: Request, sink: &mut Sink<'_>) -> Result<Response, ControlError> {
        self.confirm(&request)?;
        let file = file_of(&request).map(str::to_owned);
        let asked = self.sent(request).and_then(|request| self.carried_out(&request, sink));
        // What was sent has its name here.
        asked.map_err(|error| match file {
            Some(file) => ControlError { message: error.message.replace(SENT, &file), ..error },
            None => error,
        })
    }

    fn carried_out(&self, request: &Request, sink: &mut Sink<'_>) -> Result<Response, ControlError> {
        let body = serde_json::to_vec(request).map_err(|e| ControlError::failed(e.to_string()))?;
        let request = self.post("v1/control", "application/json").config().timeout_send_body(Some(SILENCE)).build();
        let answered = request.send(&body[..]).map_err(|e| self.unreachable(&e))?;
        let status = answered.status();
        let lines = Heard::of(answered.into_body().into_reader());
        if !status.is_success() {
            let text = lines.rest().map_err(|e| self.lost(&e))?;
            return Err(self.problem(status.as_u16(), &text));
        }
        loop {
            let line = match lines.line() {
                Ok(Some(line)) => line,
                Ok(None) => return Err(self.lost(&io::ErrorKind::UnexpectedEof.into())),
                Err(e) => return Err(self.lost(&e)),
            };
            match self.understood(&line)? {
                Line::Beat => {}
                Line::Row(row) => {
                    if !sink(*row) {
                        return Ok(Response::Nothing);
                    }
                }
                Line::Done(done) => return Ok(*done),
                Line::Error(problem) => return Err(self.problem(500, &problem.to_string())),
            }
        }
    }

    fn post(&self, path: &str, kind: &str) -> ureq::RequestBuilder<ureq::typestate::WithBody> {
        let mut request = self.agent.post(format!("{}/{path}", self.url));
        request = request.header("content-type", kind).header("unspool-version", env!("CARGO_PKG_VERSION"));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(reason) = &self.reason {
            let written = percent_encoding::utf8_percent_encode(reason, percent_encoding::NON_ALPHANUMERIC);
            request = request.header("unspool-reason", written.to_string());
        }
        request
    }

    fn understood(&self, line: &str) -> Result<Line, ControlError> {
        serde_json::from_str(line).map_err(|e| {
            let message = format!("{} gave an unknown answer ({e}); it may be of another version", self.name);
            ControlError::new(ErrorKind::Host, message)
        })
    }

    /// The request with the files that it names, which are here, sent to the host.
    fn sent(&self, mut request: Request) -> Result<Request, ControlError> {
        match &mut request {
            Request::PluginInstall { file, .. }
            | Request::PluginSwap { file, .. }
            | Request::PluginTry { file, .. }
            | Request::PluginVerify { file, .. } => *file = self.send(file)?,
            Request::EventsImport(Import { file, name, .. }) => {
                if name.is_none() && file != "-" {
                    *name = Some(file.clone());
                }
                *file = self.send(file)?;
            }
            _ => {}
        }
        Ok(request)
    }

    /// Sends a file, and says by what name the host knows it then.
    fn send(&self, file: &str) -> Result<String, ControlError> {
        let unreadable = |e: io::Error| ControlError::refused(format!("{file}: {e}"));
        let content: Box<dyn Read + Send> = match file {
            "-" => Box::new(io::stdin()),
            path => Box::new(fs::File::open(path).map_err(unreadable)?),
        };
        let request = self.post("v1/uploads", "application/octet-stream");
        let answered = sending(content, move |mut sent| {
            let mut answered = request.send(ureq::SendBody::from_reader(&mut sent))?;
            answered.body_mut().read_to_string().map(|text| (answered.status(), text))
        });
        let (status, text) = answered.ok_or_else(|| self.silent())?.map_err(|e| self.unreachable(&e))?;
        if !status.is_success() {
            return Err(self.problem(status.as_u16(), &text));
        }
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        answer["upload"].as_str().map(|id| format!("upload:{id}")).ok_or_else(super::session::unknown_answer)
    }

    /// Asks before something in production is changed.
    fn confirm(&self, request: &Request) -> Result<(), ControlError> {
        if !self.production || !request.is_recorded() || self.confirmed.load(Ordering::SeqCst) {
            return Ok(());
        }
        let name = &self.name;
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(ControlError::not_possible(format!(
                "{name} is in production, and nobody is there to be asked: add --yes where this is meant"
            )));
        }
        if let Request::Rebuild(trigger) = request {
            let plan = Box::new(self.ask(Request::Plan(trigger.clone()), &mut |_| true)?);
            super::output::say_aside(&format!("this would happen on {name}: {}", plan.json()));
        }
        let mut terminal = io::stderr();
        let about = request.projection().map_or_else(String::new, |about| format!(" of {about}"));
        let asked =
            write!(terminal, "{name} is in production. Go on with this{about}? [y/N] ").and_then(|()| terminal.flush());
        let mut answer = String::new();
        asked.and_then(|()| io::stdin().read_line(&mut answer)).map_err(|e| ControlError::failed(e.to_string()))?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            return Err(ControlError::not_possible("nothing was changed"));
        }
        self.confirmed.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Asks whether the host takes commands, which everybody may.
    ///
    /// # Errors
    /// Where it does not, or does not answer.
    pub(super) fn health(&self) -> Result<(), ControlError> {
        let answered = self.agent.get(format!("{}/readyz", self.url)).call().map_err(|e| self.unreachable(&e))?;
        let status = answered.status().as_u16();
        let text = Heard::of(answered.into_body().into_reader()).rest().map_err(|e| self.lost(&e))?;
        match status {
            200 => Ok(()),
            503 => Err(ControlError::new(ErrorKind::Host, format!("{} is not ready", self.name))),
            status => Err(self.problem(status, &text)),
        }
    }

    /// It hangs, or nothing reaches it any more.
    fn silent(&self) -> ControlError {
        ControlError::new(
            ErrorKind::Host,
            format!(
                "{} has said nothing for {} seconds: it was stopped, or cannot be reached any more; what it was doing there may go on: \
                 unspool --host {} activity",
                self.name,
                SILENCE.as_secs(),
                self.name
            ),
        )
    }

    fn unreachable(&self, error: &ureq::Error) -> ControlError {
        use ureq::Timeout::{RecvResponse, SendBody, SendRequest};
        if matches!(error, ureq::Error::Timeout(RecvResponse | SendBody | SendRequest)) {
            return self.silent();
        }
        ControlError::new(ErrorKind::Host, format!("{} cannot be reached at {}: {error}", self.name, self.url))
    }

    fn lost(&self, error: &io::Error) -> ControlError {
        if error.kind() == io::ErrorKind::TimedOut {
            return self.silent();
        }
        ControlError::new(
            ErrorKind::Host,
            format!("{} ended before it answered: {error}; see what it did: unspool activity", self.name),
        )
    }

    /// What the host refuses, in its words.
    fn problem(&self, status: u16, text: &str) -> ControlError {
        let Ok(problem) = serde_json::from_str::<Told>(text) else {
            let message =
                format!("{} answers with status {status}, and not as a host does; is {} right?", self.name, self.url);
            return ControlError::new(ErrorKind::Host, message);
        };
        let kind = match (problem.kind.as_str(), problem.exit) {
            ("not_found", 3) => ErrorKind::NotFound,
            ("in_use", _) => ErrorKind::InUse,
            ("host", _) => ErrorKind::Host,
            ("source", 2) => ErrorKind::Source,
            ("source", _) => ErrorKind::Index,
            ("store", 2) => ErrorKind::Damaged,
            ("store", _) => ErrorKind::Store,
            ("plugin", _) => ErrorKind::Plugin,
            ("interrupted", _) => ErrorKind::Interrupted,
            ("usage", _) => ErrorKind::Usage,
            ("failed", _) => ErrorKind::Failed,
            (_, 3) => ErrorKind::NotPossible,
            (_, 1) => ErrorKind::Failed,
            _ => ErrorKind::Refused,
        };
        ControlError { kind, message: problem.detail, next: problem.next, again: false }
    }
}

/// The file that a request names.
fn file_of(request: &Request) -> Option<&str> {
    match request {
        Request::PluginInstall { file, .. }
        | Request::PluginSwap { file, .. }
        | Request::PluginTry { file, .. }
        | Request::PluginVerify { file, .. } => Some(file),
        _ => None,
    }
}

/// A line of an answer.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    /// Nothing else was said for a while.
    Beat,
    Row(Box<Row>),
    Done(Box<Response>),
    Error(Value),
}

/// A problem document, as far as it is needed.
#[derive(Deserialize)]
struct Told {
    detail: String,
    exit: u8,
    kind: String,
    #[serde(default)]
    next: Option<String>,
}

fn known(name: &str) -> Result<Named, ControlError> {
    let folder = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")));
    let file = folder.unwrap_or_default().join("unspool/hosts.toml");
    let text = fs::read_to_string(&file).map_err(|e| {
        ControlError::refused(format!("--host {name} is no URL, and {} has no host of this name: {e}", file.display()))
    })?;
    let refused = |what: &dyn std::fmt::Display| ControlError::refused(format!("{}: {what}", file.display()));
    let mut hosts = toml::from_str::<Hosts>(&text).map_err(|e| refused(&e.message()))?.hosts;
    let names: Vec<_> = hosts.keys().cloned().collect();
    hosts.remove(name).ok_or_else(|| refused(&format!("no host is named {name}; it has: {}", names.join(", "))))
}

/// The token in a file for its owner alone.
fn token_in(file: &Path) -> Result<String, ControlError> {
    private::secret_in(file).map_err(|e| ControlError::refused(format!("{}: {e}", file.display())))
}
