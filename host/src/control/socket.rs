//! Requests from other terminals: a socket in the data directory, for its owner only.
//!
//! A connection carries one request and its answer, as lines of JSON: first a [`Request`]; then any number of
//! `{"row": ...}`, and at the end `{"done": ...}` or `{"error": {"exit", "message"}}`.

use super::{ControlError, Host, Request, Sink};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    fs, io,
    io::{BufRead, BufReader, Write},
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::mpsc,
};

/// Bytes of a request; the longest names and paths fit.
const REQUEST_BYTES: u64 = 1 << 16;

/// Lines of an answer that wait for a slow reader; then the request waits.
const ANSWER_LINES: usize = 256;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Row(Value),
    Done(Value),
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
        let answering = active.clone();
        runtime.spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(tokio::spawn(serve(stream, host.clone(), answering.begin()))),
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
            // Nobody finds the socket any more; who is being answered is, unless nobody reads the answer.
            self.active.wait_for_none(LAST_ANSWERS);
            // Waits for the listening task, which holds the host: its files are to be closed, not found open by the next.
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

/// Reads one request and answers it; the host does not end meanwhile.
async fn serve(stream: UnixStream, host: Host, _answering: Answering) {
    let (read, write) = stream.into_split();
    let mut line = String::new();
    let mut read = tokio::io::BufReader::new(read.take(REQUEST_BYTES));
    let request = match read.read_line(&mut line).await {
        Ok(0) => return,
        Ok(_) => serde_json::from_str::<Request>(&line),
        Err(e) => return tracing::debug!("a request could not be read: {e}"),
    };
    let (sender, receiver) = mpsc::channel(ANSWER_LINES);
    match request {
        Ok(request) => drop(tokio::task::spawn_blocking(move || answer(&host, request, &sender))),
        Err(e) => {
            let error = ControlError::refused(format!("not a request of this version of unspool: {e}"));
            drop(sender.send(Line::Error(error)).await);
        }
    }
    if let Err(e) = write_lines(write, receiver).await {
        tracing::debug!("an answer was not read to its end: {e}");
    }
}

fn answer(host: &Host, request: Request, sender: &mpsc::Sender<Line>) {
    let done = host.execute(request, &mut |row| sender.blocking_send(Line::Row(row)).is_ok());
    let last = done.map_or_else(Line::Error, Line::Done);
    if sender.blocking_send(last).is_err() {
        tracing::debug!("nobody waited for the end of an answer");
    }
}

async fn write_lines(mut write: OwnedWriteHalf, mut lines: mpsc::Receiver<Line>) -> io::Result<()> {
    while let Some(line) = lines.recv().await {
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        write.write_all(&text).await?;
    }
    Ok(())
}

/// The asking end.
#[derive(Debug)]
pub struct Client {
    stream: std::os::unix::net::UnixStream,
}

impl Client {
    /// Connects to the host that runs on the data directory of `socket`; `None` where none does.
    pub fn connect(socket: &Path) -> Option<Client> {
        let stream = through_short_path(socket, |short| std::os::unix::net::UnixStream::connect(short)).ok()?;
        Some(Client { stream })
    }

    /// Asks, gives the rows to `sink`, and answers what the host said last.
    ///
    /// # Errors
    /// What the host refused; exit code 1 where it ended in the middle of the answer.
    pub fn ask(self, request: &Request, sink: &mut Sink<'_>) -> Result<Value, ControlError> {
        let lost = |e: io::Error| ControlError::failed(format!("the host ended before it answered: {e}"));
        let mut text = serde_json::to_vec(request).map_err(|e| lost(e.into()))?;
        text.push(b'\n');
        (&self.stream).write_all(&text).map_err(lost)?;
        for line in BufReader::new(&self.stream).lines() {
            match serde_json::from_str(&line.map_err(lost)?).map_err(|e| lost(e.into()))? {
                Line::Row(row) => {
                    if !sink(row) {
                        return Ok(Value::Null);
                    }
                }
                Line::Done(value) => return Ok(value),
                Line::Error(error) => return Err(error),
            }
        }
        Err(lost(io::ErrorKind::UnexpectedEof.into()))
    }
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
