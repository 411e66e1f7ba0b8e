//! Somebody who is told of what goes wrong: a server on a socket of its own, which keeps what it gets.

use crate::data::poll;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// What it does with whoever comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// Reads, and answers with this status.
    Status(u16),
    /// Neither reads nor answers, and keeps the connection.
    Nothing,
    /// Ends the connection.
    Ends,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Got {
    /// Its path.
    pub path: String,
    /// Its headers, by their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body, as it came.
    pub body: String,
    /// What was answered.
    pub status: u16,
}

impl Got {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e} in {self:#?}"))
    }

    /// What has happened to what: `KIND STATUS` of a message of ours.
    pub fn said(&self) -> String {
        let data = &self.json()["data"];
        format!("{} {}", data["kind"].as_str().unwrap_or_default(), data["status"].as_str().unwrap_or_default())
    }
}

/// The server. It ends when this is dropped.
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    answers: Mutex<Answers>,
    got: Mutex<Vec<Got>>,
    /// Connections that it keeps.
    kept: Mutex<Vec<TcpStream>>,
    came: AtomicUsize,
    ends: AtomicBool,
}

impl Receiver {
    /// One on a free port.
    pub fn start(answers: Answers) -> Receiver {
        Receiver::at(Receiver::nowhere(), answers)
    }

    /// An address at which nobody listens.
    pub fn nowhere() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port")
    }

    /// One at `address`.
    pub fn at(address: SocketAddr, answers: Answers) -> Receiver {
        let socket = TcpListener::bind(address).expect("the port is free");
        let shared = Arc::new(Shared {
            answers: Mutex::new(answers),
            got: Mutex::default(),
            kept: Mutex::default(),
            came: AtomicUsize::new(0),
            ends: AtomicBool::new(false),
        });
        let own = shared.clone();
        std::thread::spawn(move || {
            for stream in socket.incoming().map_while(Result::ok) {
                if own.ends.load(Ordering::SeqCst) {
                    return;
                }
                let own = own.clone();
                std::thread::spawn(move || own.serve(stream));
            }
        });
        Receiver { address, shared }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Does this from now on.
    pub fn answers(&self, answers: Answers) {
        *self.shared.answers.lock().unwrap_or_else(PoisonError::into_inner) = answers;
    }

    /// What it has got so far.
    pub fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections there were.
    pub fn came(&self) -> usize {
        self.shared.came.load(Ordering::SeqCst)
    }

    /// Waits until what it has got is as it should be.
    #[track_caller]
    pub fn wait(&self, what: &str, is_there: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        poll(what, || Some(self.got()).filter(|got| is_there(got)))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        // Wakes who accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        self.came.fetch_add(1, Ordering::SeqCst);
        let answers = *self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        match answers {
            Answers::Nothing => self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(stream),
            Answers::Ends => drop(stream.shutdown(Shutdown::Both)),
            Answers::Status(status) => drop(self.read(stream, status)),
        }
    }

    fn read(&self, mut stream: TcpStream, status: u16) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?);
        let mut first = String::new();
        lines.read_line(&mut first)?;
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            lines.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        lines.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        self.got.lock().unwrap_or_else(PoisonError::into_inner).push(Got { path, headers, body, status });
        let said = if status < 300 { "" } else { "not today" };
        write!(stream, "HTTP/1.1 {status} So\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{said}", said.len())
    }
}
