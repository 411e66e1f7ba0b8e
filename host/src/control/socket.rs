//! Requests from other terminals: a socket in the data directory, for its owner only.
//!
//! A connection carries one request and its answer, as lines of JSON: first a [`Request`], which may have a `reason`; then any number of
//! `{"row": ...}`, and at the end `{"done": ...}` or `{"error": {"kind", "message", "next"}}`. From the moment that it accepts the
//! connection, the host says `"beat"` whenever it has said nothing else for a while: so a request that takes long differs
//! from a host that is stopped. (The system accepts connections on its behalf.)

use super::{Access, Caller, ControlError, ErrorKind, Host, Process, Request, Response, Row, Sink, caller::Asked};
use crate::private;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    io::{BufRead, BufReader, Write},
    os::{
        fd::AsRawFd,
        unix::{fs::PermissionsExt, net::UnixStream as BlockingStream},
    },
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::{
        Semaphore,
        mpsc::{self, error::TrySendError},
    },
};

/// Bytes of a request; the longest names and paths fit.
const REQUEST_BYTES: u64 = 1 << 16;

/// Lines of an answer that wait for a slow reader; then the request waits.
const ANSWER_LINES: usize = 256;

/// Watchers that are answered at the same time. Each has a thread of the runtime, which has 512 of them: the others are there for
/// other requests.
const WATCHERS: usize = 64;

/// How long who has no room for a line is given to make some.
const SLOW: Duration = Duration::from_millis(5);

/// How long a host is silent at most.
const BEAT: Duration = Duration::from_millis(500);

/// How long it may be silent before it counts as one that does not answer: several times as long.
const SILENCE: Duration = Duration::from_millis(2_500);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Beat,
    Row(Row),
    Done(Response),
    Error(ControlError),
}

/// The listening end. The socket file goes when this does.
pub struct Server {
    path: PathBuf,
    runtime: Option<tokio::runtime::Runtime>,
    active: Arc<Active>,
}

/// How long a host that ends waits for answers that are being given.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// Requests that are being answered.
#[derive(Default)]
struct Active {
    count: Mutex<usize>,
    changed: Condvar,
}

/// What the connections of a host share.
#[derive(Clone)]
struct Answers {
    host: Host,
    active: Arc<Active>,
    /// Permits for watchers.
    watchers: Arc<Semaphore>,
}

/// One request that is being answered, until it is dropped.
struct Answering(Arc<Active>);

impl Active {
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(self: &Arc<Active>) -> Answering {
        *self.lock() += 1;
        Answering(self.clone())
    }

    fn wait_for_none(&self, timeout: Duration) {
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, |count| *count > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
        self.0.changed.notify_all();
    }
}

impl Server {
    /// Listens in the data directory of `host`, and answers until dropped. A socket file that is there already is stale:
    /// the host holds the lock of the store.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn start(host: Host) -> io::Result<Server> {
        let path = host.dir().socket();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = {
            let _context = runtime.enter();
            through_short_path(&path, |short| UnixListener::bind(short))?
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        let active = Arc::new(Active::default());
        let answers = Answers { host, active: active.clone(), watchers: Arc::new(Semaphore::new(WATCHERS)) };
        runtime.spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let answering = answers.active.begin();
                        drop(tokio::spawn(serve(stream, answers.clone(), answering)));
                    }
                    Err(e) => {
                        tracing::warn!("a connection to the control socket failed: {e}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        });
        Ok(Server { path, runtime: Some(runtime), active })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_file(&self.path) {
            tracing::debug!("the control socket is gone already: {e}");
        }
        if let Some(runtime) = self.runtime.take() {
            // Nobody finds the socket any more; answers under way are completed, unless nobody reads them.
            self.active.wait_for_none(LAST_ANSWERS);
            // Waits for the listening task, which holds the host: its files are to be closed, not found open by the next.
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

/// Reads one request and answers it; the host does not end meanwhile.
async fn serve(stream: UnixStream, answers: Answers, _answering: Answering) {
    // The file's rights keep others out; this does where somebody changes them.
    let user = match stream.peer_cred().map(|peer| peer.uid()) {
        Ok(user) if private::is_trusted(user) => user,
        other => return tracing::warn!("a request of another user is not answered: {other:?}"),
    };
    let (read, mut write) = stream.into_split();
    if let Err(e) = write_line(&mut write, &Line::Beat).await {
        return tracing::debug!("a connection was closed at once: {e}");
    }
    let mut line = String::new();
    let mut read = tokio::io::BufReader::new(read.take(REQUEST_BYTES));
    let request = match read.read_line(&mut line).await {
        Ok(0) => return,
        Ok(_) => serde_json::from_str::<Asked>(&line),
        Err(e) => return tracing::debug!("a request could not be read: {e}"),
    };
    let (sender, receiver) = mpsc::channel(ANSWER_LINES);
    let place = match &request {
        Ok(asked) if asked.request.stays() => answers.watchers.try_acquire_owned().map(Some).map_err(|_| too_many()),
        _ => Ok(None),
    };
    let refused = |e| ControlError::refused(format!("not a request of this version of unspool: {e}"));
    match request.map_err(refused).and_then(|asked| Ok((asked, place?))) {
        Ok((Asked { request, reason }, place)) => drop(tokio::task::spawn_blocking(move || {
            // Until the thread is free again, not only until nobody listens any more.
            let _place = place;
            answer(&answers.host, &Caller::user(user).because(reason), request, &sender);
        })),
        Err(error) => drop(sender.send(Line::Error(error)).await),
    }
    if let Err(e) = write_lines(write, receiver).await {
        tracing::debug!("an answer was not read to its end: {e}");
    }
}

/// More commands watch than a host answers at the same time.
fn too_many() -> ControlError {
    let message = format!(
        "{WATCHERS} commands watch or wait for something of this host already, and what runs goes on: end some of them, or ask unspool \
         status NAME"
    );
    ControlError::new(ErrorKind::Busy, message)
}

fn answer(host: &Host, caller: &Caller, request: Request, sender: &mpsc::Sender<Line>) {
    let watches = matches!(request, Request::Watch { .. });
    let done = host.execute(caller, request, &mut |row| {
        let passes = watches || matches!(row, Row::Progress(_) | Row::Import(_));
        match row {
            row if passes => say(sender, row),
            // Whoever is slow keeps no host from ending: it is asked again with the token of what was read.
            row @ Row::Change(_) => say_unless(&|| host.is_closing(), sender, row),
            row => sender.blocking_send(Line::Row(row)).is_ok(),
        }
    });
    let last = done.map_or_else(Line::Error, Line::Done);
    if sender.blocking_send(last).is_err() {
        tracing::debug!("nobody waited for the end of an answer");
    }
}

/// Reports how far something is: a slow reader misses what the next row repeats, and nobody waits for it. `false` when nobody
/// listens any more.
fn say(sender: &mpsc::Sender<Line>, row: Row) -> bool {
    !matches!(sender.try_send(Line::Row(row)), Err(TrySendError::Closed(_)))
}

/// Gives a row to a reader, however slow it is; `false` when nobody listens any more, or `ends`.
fn say_unless(ends: &dyn Fn() -> bool, sender: &mpsc::Sender<Line>, row: Row) -> bool {
    let mut line = Line::Row(row);
    loop {
        line = match sender.try_send(line) {
            Ok(()) => return true,
            Err(TrySendError::Closed(_)) => return false,
            Err(TrySendError::Full(line)) => line,
        };
        if ends() {
            return false;
        }
        std::thread::sleep(SLOW);
    }
}

async fn write_lines(mut write: OwnedWriteHalf, mut lines: mpsc::Receiver<Line>) -> io::Result<()> {
    loop {
        // Cancellation-safe: a line that is not taken stays in the channel.
        let line = tokio::select! {
            line = lines.recv() => line,
            () = tokio::time::sleep(BEAT) => Some(Line::Beat),
        };
        match line {
            Some(line) => write_line(&mut write, &line).await?,
            None => return Ok(()),
        }
    }
}

async fn write_line(write: &mut OwnedWriteHalf, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    write.write_all(&text).await
}

/// The requesting end.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<BlockingStream>,
    socket: PathBuf,
    reason: Option<String>,
}

impl Client {
    /// Connects to the host that runs on the data directory of `socket`; `None` where none does. What answers for another user
    /// than ours, or root, is no host of ours.
    ///
    /// # Errors
    /// Where one does and does not answer.
    pub fn connect(socket: &Path) -> Result<Option<Client>, ControlError> {
        let stream = match through_short_path(socket, connect_now) {
            Ok(stream) => stream,
            // So many wait for it that no more can.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(silent(socket)),
            Err(_) => return Ok(None),
        };
        let limited = stream.set_read_timeout(Some(SILENCE)).and_then(|()| stream.set_write_timeout(Some(SILENCE)));
        limited.map_err(|e| ControlError::failed(format!("{}: {e}", socket.display())))?;
        let mut client = Client { stream: BufReader::new(stream), socket: socket.to_owned(), reason: None };
        match client.line() {
            Ok(Some(_)) => Ok(Some(client)),
            Err(e) if is_silence(&e) => Err(silent(socket)),
            // It ended in this moment.
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// The same, which asks for this reason.
    pub fn because(self, reason: Option<String>) -> Client {
        Client { reason, ..self }
    }

    /// Sends the request, gives the rows to `sink`, and returns the last answer of the host.
    ///
    /// # Errors
    /// What the host refused; [`ErrorKind::Host`] where it ended in the middle of the answer, or does not answer.
    pub fn ask(mut self, request: &Request, sink: &mut Sink<'_>) -> Result<Response, ControlError> {
        let mut given = false;
        let lost = |e: io::Error, given: bool| lost(request, given, &e);
        let asked = Asked { request: request.clone(), reason: self.reason.clone() };
        let mut text = serde_json::to_vec(&asked).map_err(|e| lost(e.into(), given))?;
        text.push(b'\n');
        self.stream.get_ref().write_all(&text).map_err(|e| lost(e, given))?;
        loop {
            match self.line() {
                Ok(Some(Line::Beat)) => {}
                Ok(Some(Line::Row(row))) => {
                    // Progress may be reported twice: it is no part of the answer.
                    given |= !matches!(row, Row::Progress(_));
                    if !sink(row) {
                        return Ok(Response::Nothing);
                    }
                }
                Ok(Some(Line::Done(response))) => return Ok(response),
                Ok(Some(Line::Error(error))) => return Err(error),
                Ok(None) => return Err(lost(io::ErrorKind::UnexpectedEof.into(), given)),
                Err(e) if is_silence(&e) => return Err(silent(&self.socket)),
                Err(e) if e.kind() == io::ErrorKind::InvalidData => return Err(unknown(&e)),
                Err(e) => return Err(lost(e, given)),
            }
        }
    }

    /// The next line; `None` at the end.
    fn line(&mut self) -> io::Result<Option<Line>> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Ok(None),
            _ => Ok(Some(serde_json::from_str(&line)?)),
        }
    }
}

/// Connects, or fails at once: a blocking connect would wait for room among those that a stopped host does not accept.
fn connect_now(path: &Path) -> io::Result<BlockingStream> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let stream = runtime.block_on(UnixStream::connect(path))?;
    let user = stream.peer_cred()?.uid();
    if !private::is_trusted(user) {
        tracing::warn!("what answers on {} belongs to user {user}, and is not used", path.display());
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A host is there, and is silent. It has the store open, whatever it is doing.
fn silent(socket: &Path) -> ControlError {
    let message = match Process::holding(&socket.with_file_name("store.redb")) {
        Some(host) => format!("the host of this data directory, {host}, does not answer; {}", host.advice()),
        None => {
            format!("the host of {} does not answer; see which process has it open, and end that", socket.display())
        }
    };
    ControlError::new(ErrorKind::Host, message)
}

/// What the host answered is no answer of this version.
fn unknown(error: &io::Error) -> ControlError {
    let message =
        format!("the host gave an unknown answer ({error}); it may be of another version: end it, and try again");
    ControlError::new(ErrorKind::Host, message)
}

/// The host ended before it answered `request`; `given`: some of the answer has been passed on.
fn lost(request: &Request, given: bool, error: &io::Error) -> ControlError {
    let unknown = if request.access() <= Access::Examine || request.is_repeatable() {
        "; try again"
    } else {
        "; it is not known whether it did what was requested: see unspool status, unspool model generations and unspool plugin history"
    };
    let message = format!("the host ended before it answered: {error}{unknown}");
    ControlError { again: request.is_repeatable() && !given, ..ControlError::new(ErrorKind::Host, message) }
}

/// A socket's path has about 100 bytes. A longer one is reached through the descriptor of its folder.
fn through_short_path<T>(path: &Path, open: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    const SOCKET_PATH_BYTES: usize = 100;
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) if path.as_os_str().len() > SOCKET_PATH_BYTES => {
            let folder = fs::File::open(folder)?;
            open(&Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name))
        }
        _ => open(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::Work;

    #[test]
    fn nobody_waits_for_who_is_slow_to_hear_how_far_it_is() {
        let row = |done| Row::Progress(Work { what: String::new(), unit: "rows".to_owned(), done, total: None });
        let (sender, mut receiver) = mpsc::channel(2);
        assert!((1..=100).all(|done| say(&sender, row(done))), "it is there, only slow");
        let heard = [receiver.blocking_recv(), receiver.blocking_recv()];
        assert!(matches!(&heard, [Some(Line::Row(Row::Progress(one))), Some(Line::Row(Row::Progress(two)))]
            if (one.done, two.done) == (1, 2)));
        assert!(say(&sender, row(101)));
        drop(receiver);
        assert!(!say(&sender, row(102)), "it has gone");
    }
}
