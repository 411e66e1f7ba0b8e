//! Who waits for a host that hangs is told so; and what goes on ends when who listens may not any more.

use super::{data, elsewhere};
use rustix::process::Signal;
use serde_json::json;
use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::Stdio,
    thread,
    time::Duration,
};
use unspool_tests::{
    data::{Answer, Data},
    http::{Asker, HttpHost, ask},
};

/// A listener that accepts and never answers; `reads`: it takes all that it is sent.
fn mute(reads: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            kept.push(stream.try_clone().unwrap());
            if reads {
                thread::spawn(move || std::io::copy(&mut &stream, &mut std::io::sink()));
            }
        }
    });
    url
}

#[test]
fn a_host_elsewhere_that_hangs_is_given_up() {
    let data = data();
    let admin = elsewhere::token(&data, "root", "admin", "full");
    let file = data.file("large.ndjson", vec![b'\n'; 32 << 20]);
    let file = file.to_str().unwrap();
    let (reading, deaf) = (mute(true), mute(false));
    thread::scope(|scope| {
        let (data, admin) = (&data, &admin);
        for (url, args) in [
            (&reading, vec!["list"]),
            (&reading, vec!["health"]),
            (&reading, vec!["events", "import", file]),
            (&deaf, vec!["events", "import", file]),
        ] {
            scope.spawn(move || {
                elsewhere::elsewhere(data, url, admin, &args)
                    .refused(1, &["has said nothing for 10 seconds", "may go on: unspool --host"]);
            });
        }
        // A host is stopped in the middle of its answer. What it does goes on when it does.
        scope.spawn(move || {
            let host = HttpHost::start(data, &[]);
            let slowly = ["--rate-limit", "30", "--chunk-size", "5", "--on-error", "park", "--allow-parked"];
            data.ok(["rebuild", "faulty", "--restart", "--detach"].into_iter().chain(slowly));
            let mut watch = data.command(["--host", &host.url(), "--token-file", admin, "rebuild", "faulty"]);
            let child = watch.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            data.wait_for("faulty", |status| status["eventsProcessed"].as_u64() > Some(5));
            host.host.signal(Signal::STOP);
            let answer: Answer = child.wait_with_output().unwrap().into();
            host.host.signal(Signal::CONT);
            answer.refused(1, &["has said nothing for 10 seconds"]);
            data.wait_for("faulty", |status| status["status"] != "running");
        });
    });
}

/// The lines of an answer that goes on.
fn listen(host: &HttpHost, asker: &Asker, path: &str) -> impl Iterator<Item = String> + use<> {
    let mut stream = TcpStream::connect(host.address).unwrap();
    let (name, value) = &asker.headers[0];
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{name}: {value}\r\n\r\n", host.address)
        .unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    BufReader::new(stream).lines().map_while(Result::ok)
}

#[test]
fn what_goes_on_ends_with_the_token_by_which_it_was_asked_for() {
    let data = data();
    let host = HttpHost::start(&data, &[]);
    let [removed, changed, stays] =
        ["removed", "changed", "stays"].map(|name| Asker::token(&data, name, "operator", "full"));
    let paths = ["/v1/stream", "/v1/projections/faulty/changes"];
    let open = |asker: &Asker| {
        paths.map(|path| {
            let mut lines = listen(&host, asker, path);
            let told = |line: &String| line.contains("\"faulty\"") || line.contains("\"complete\"");
            lines.find(told).unwrap_or_else(|| panic!("{path} says nothing"));
            lines
        })
    };
    let mut all = [open(&removed), open(&changed), open(&stays)];
    data.ok(["token", "remove", "removed"]);
    // As somebody who edits the file does.
    let file = data.path().join("http-tokens.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let at = text.find("name = \"changed\"").unwrap();
    std::fs::write(&file, format!("{}{}", &text[..at], text[at..].replacen("operator", "viewer", 1))).unwrap();
    let [stays_open, ended @ ..] = {
        all.reverse();
        all
    };
    for mut lines in ended.into_iter().flatten() {
        // To their end, which comes soon.
        while lines.next().is_some() {}
    }
    // The others are told what goes on.
    data.exits(3, ["pause", "faulty"]);
    let [mut stream, _changes] = stays_open;
    assert!(stream.any(|line| line.contains("\"refused\"")), "it ended");
    assert_eq!(host.ask(&stays, "GET", "/v1/host", None).status, 200);
}

#[test]
fn metrics_are_not_given_by_another_name_either() {
    let data = data();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _host = HttpHost::start(&data, &["--listen-metrics", &free.to_string()]);
    for path in ["/metrics", "/livez", "/readyz"] {
        let other = Asker::default().with("Host", "elsewhere.example");
        assert_eq!(ask(free, &other, "GET", path, None).status, 421, "{path}");
        assert_eq!(ask(free, &Asker::default(), "GET", path, None).status, 200, "{path}");
    }
}

/// For probes: whether a host takes commands, asked on its machine and from elsewhere, without a token.
#[test]
fn health_is_0_where_a_host_takes_commands_and_1_where_none_does() {
    let data: Data = data();
    data.exits(1, ["health"]);
    let host = HttpHost::start(&data, &[]);
    assert_eq!(data.json(["health"]), json!({ "status": "ready" }));
    assert_eq!(data.json(["--host", &host.url(), "health"]), json!({ "status": "ready" }));
    let url = host.url();
    host.host.signal(Signal::STOP);
    let stopped = data.run(["health"]);
    host.host.signal(Signal::CONT);
    stopped.refused(1, &["does not answer"]);
    host.host.kill();
    data.run(["--host", &url, "health"]).refused(1, &["cannot be reached"]);
    data.run(["health"]).refused(1, &["no host runs on", "unspool serve"]);
}
