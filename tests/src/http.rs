//! A host that answers HTTP, and somebody who asks it.

use crate::data::{Data, Running};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A host that answers HTTP on a port of its own.
pub struct HttpHost {
    /// The process.
    pub host: Running,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, by their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
}

/// Somebody who asks: what goes along with every request.
#[derive(Debug, Clone, Default)]
pub struct Asker {
    /// Headers.
    pub headers: Vec<(String, String)>,
}

impl HttpHost {
    /// Starts one on `data`, with more arguments.
    pub fn start(data: &Data, args: &[&str]) -> HttpHost {
        let mut host = data.start([&["serve", "--listen", "127.0.0.1:0"], args].concat());
        let lines = host.wait_for_line("serving");
        let line = lines.iter().find(|line| line.contains("listening on")).expect("it says where it listens");
        let address = line.split("://").nth(1).expect("an address").trim();
        let address = address.parse().unwrap_or_else(|e| panic!("{e}: {address}"));
        HttpHost { host, address }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends a request, and reads the answer to its end.
    pub fn ask(&self, asker: &Asker, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Reply {
        ask(self.address, asker, method, path, body)
    }

    /// The answer to a GET, which succeeds.
    #[track_caller]
    pub fn get(&self, asker: &Asker, path: &str) -> Value {
        let reply = self.ask(asker, "GET", path, None);
        assert_eq!(reply.status, 200, "{path}: {reply:#?}");
        reply.json()
    }

    /// The answer to a POST of JSON.
    pub fn post(&self, asker: &Asker, path: &str, body: &Value) -> Reply {
        self.ask(asker, "POST", path, Some(("application/json", body.to_string().as_bytes())))
    }
}

/// Sends a request to `address`, and reads the answer to its end.
pub fn ask(address: SocketAddr, asker: &Asker, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Reply {
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !asker.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head += &format!("Host: {address}\r\n");
    }
    for (name, value) in &asker.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if let Some((kind, content)) = body {
        head += &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", content.len());
    }
    head += "\r\n";
    let mut stream = TcpStream::connect(address).expect("the host listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
    stream.write_all(head.as_bytes()).expect("the host reads");
    // A body that is too large is not read to its end.
    drop(stream.write_all(body.map_or(&[], |(_, content)| content)));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    Reply::of(&answer)
}

impl Reply {
    fn of(answer: &[u8]) -> Reply {
        let text = String::from_utf8_lossy(answer);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let chunked = headers.get("transfer-encoding").is_some_and(|encoding| encoding == "chunked");
        let body = if chunked { unchunked(body) } else { body.to_owned() };
        Reply { status: status.unwrap_or(0), headers, body }
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e} in {self:#?}"))
    }

    /// The body as lines of JSON.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        self.body.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"))).collect()
    }
}

/// A body that came in pieces, each after its length.
fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
        if length == 0 || after.len() < length {
            break;
        }
        body += &after[..length];
        rest = after[length..].trim_start_matches("\r\n");
    }
    body
}

impl Asker {
    /// Somebody with a header.
    pub fn with(mut self, name: &str, value: &str) -> Asker {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Somebody with a new token of the data directory, which has this role, and may see this of rows and events.
    #[track_caller]
    pub fn token(data: &Data, name: &str, role: &str, payloads: &str) -> Asker {
        let made = data.json(["token", "add", name, "--role", role, "--payloads", payloads]);
        Asker::default().with("Authorization", &format!("Bearer {}", made["token"].as_str().expect("a token")))
    }

    /// A browser that was let in with the code of `unspool ui`, and a page of the host's own.
    #[track_caller]
    pub fn browser(data: &Data, host: &HttpHost) -> Asker {
        let url = data.json(["ui"])["url"].as_str().expect("an address").to_owned();
        let code = url.split("#code=").nth(1).expect("a code");
        let reply = host.post(&Asker::default(), "/v1/session", &serde_json::json!({ "code": code }));
        assert_eq!(reply.status, 204, "{reply:#?}");
        let cookie = reply.headers["set-cookie"].split(';').next().expect("a cookie").to_owned();
        Asker::default().with("Cookie", &cookie).with("Sec-Fetch-Site", "same-origin")
    }
}
