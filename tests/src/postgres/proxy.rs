//! A network before a server that fails when told.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

/// Forwards TCP connections to a port on 127.0.0.1 until it is told to fail.
pub struct Proxy {
    port: u16,
    line: Arc<Line>,
}

struct Line {
    target: u16,
    state: Mutex<State>,
    /// Told of every cut.
    cut: Condvar,
}

#[derive(Default)]
struct State {
    /// Both ends of every open connection, by its number.
    connections: BTreeMap<u64, [TcpStream; 2]>,
    accepted: u64,
    /// New connections are closed at once.
    refusing: bool,
    /// Bytes from the server that still pass before the connections are cut.
    left: Option<usize>,
    cuts: u64,
    closed: bool,
}

impl Proxy {
    /// A proxy before the server at `port` on 127.0.0.1.
    pub fn new(port: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let own = listener.local_addr().expect("its address").port();
        let line = Arc::new(Line { target: port, state: Mutex::default(), cut: Condvar::new() });
        let accepting = line.clone();
        std::thread::spawn(move || accepting.accept(&listener));
        Proxy { port: own, line }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A URL that leads to the server, made to lead here.
    pub fn url(&self, url: &str) -> String {
        let (server, here) = (format!("@127.0.0.1:{}/", self.line.target), format!("@127.0.0.1:{}/", self.port));
        assert!(url.contains(&server), "{url} does not lead to port {}", self.line.target);
        url.replace(&server, &here)
    }

    /// Ends all connections and refuses new ones until [`Proxy::heal`].
    pub fn cut(&self) {
        let mut state = self.line.lock();
        state.refusing = true;
        self.line.end_all(&mut state);
    }

    /// Ends all connections as soon as `bytes` more bytes have come from the server; those still pass. New connections
    /// are accepted.
    pub fn cut_after(&self, bytes: usize) {
        self.line.lock().left = Some(bytes);
    }

    /// Forwards again.
    pub fn heal(&self) {
        let mut state = self.line.lock();
        (state.refusing, state.left) = (false, None);
    }

    /// How often connections were cut so far.
    pub fn cuts(&self) -> u64 {
        self.line.lock().cuts
    }

    /// Waits until connections were cut `cuts` times in all.
    pub fn wait_for_cuts(&self, cuts: u64) {
        let state = self.line.lock();
        drop(self.line.cut.wait_while(state, |state| state.cuts < cuts).expect("no thread panics with the lock"));
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.line.lock().connections.len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.line.lock();
        state.closed = true;
        self.line.end_all(&mut state);
        drop(state);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the lock")
    }

    fn accept(self: &Arc<Line>, listener: &TcpListener) {
        for client in listener.incoming().map_while(Result::ok) {
            let mut state = self.lock();
            if state.closed {
                return;
            }
            // A server that is down refuses: so does the proxy.
            let Ok(server) = TcpStream::connect(("127.0.0.1", self.target)) else { continue };
            if state.refusing {
                continue;
            }
            for end in [&client, &server] {
                end.set_nodelay(true).expect("a socket option");
            }
            let second = |end: &TcpStream| end.try_clone().expect("a handle");
            let number = state.accepted;
            state.accepted += 1;
            state.connections.insert(number, [second(&client), second(&server)]);
            for (from, to, counted) in [(second(&client), second(&server), false), (server, client, true)] {
                let line = self.clone();
                std::thread::spawn(move || {
                    // Whatever ends one direction ends the connection.
                    drop(line.forward(from, to, counted));
                    if let Some(connection) = line.lock().connections.remove(&number) {
                        end(connection);
                    }
                });
            }
        }
    }

    /// Forwards one direction to its end; a `counted` one up to the bytes that are left.
    fn forward(&self, mut from: TcpStream, mut to: TcpStream, counted: bool) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = from.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            let last = if counted { self.lock().last_of(count) } else { None };
            to.write_all(&buffer[..last.unwrap_or(count)])?;
            if last.is_some() {
                self.end_all(&mut self.lock());
                return Ok(());
            }
        }
    }

    fn end_all(&self, state: &mut State) {
        std::mem::take(&mut state.connections).into_values().for_each(end);
        state.left = None;
        state.cuts += 1;
        self.cut.notify_all();
    }
}

impl State {
    /// Counts `bytes` bytes from the server. Says how many of them pass when these are the last ones.
    fn last_of(&mut self, bytes: usize) -> Option<usize> {
        let left = self.left?;
        self.left = left.checked_sub(bytes).filter(|left| *left > 0);
        self.left.is_none().then_some(left.min(bytes))
    }
}

/// Ends a connection. An end that is gone already is as good.
fn end(connection: [TcpStream; 2]) {
    for end in connection {
        drop(end.shutdown(Shutdown::Both));
    }
}
