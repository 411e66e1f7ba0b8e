//! One who watches a read model and keeps a copy of it: by what `model watch` says, and nothing else.

use crate::data::{Data, Running};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    process::Stdio,
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

/// Rows of a read model, by table and key.
pub type Copied = BTreeMap<(String, String), Value>;

/// One who watches.
pub struct Subscriber {
    lines: Receiver<Value>,
    process: Running,
    /// The rows that it has.
    pub rows: Copied,
    /// The last token.
    pub token: Option<String>,
    /// Everything it was told, in order.
    pub told: Vec<Value>,
    complete: u64,
    /// Commits from which a row was given by a token, and the position of the last for each row.
    seen: BTreeSet<String>,
    newest: BTreeMap<(String, String), u64>,
}

impl Subscriber {
    /// Begins to watch, with these arguments for `model watch`.
    pub fn start(data: &Data, args: &[&str]) -> Subscriber {
        let mut command = data.command(["model", "watch"].iter().chain(args));
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
        let output = child.stdout.take().expect("standard output is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e} in {line}"));
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Subscriber {
            lines,
            process: child.into(),
            rows: Copied::new(),
            token: None,
            told: Vec::new(),
            complete: 0,
            seen: BTreeSet::new(),
            newest: BTreeMap::new(),
        }
    }

    /// Takes lines until `reached` holds.
    #[track_caller]
    pub fn until(&mut self, what: &str, reached: impl Fn(&Subscriber) -> bool) {
        let until = Instant::now() + Duration::from_secs(60);
        while !reached(self) {
            let line = self.lines.recv_timeout(until.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|e| panic!("{e} until {what}; the last was {:#?}", self.told.last()));
            self.take(line);
        }
    }

    /// Takes lines until it has everything up to `position`.
    #[track_caller]
    pub fn at(&mut self, position: u64) {
        self.until(&format!("it is at {position}"), |it| it.position() >= position);
    }

    /// Up to where it has been told everything.
    pub fn position(&self) -> u64 {
        self.complete
    }

    /// How often it was told of something.
    pub fn count(&self, kind: &str) -> usize {
        self.told.iter().filter(|line| line.get(kind).is_some()).count()
    }

    /// Ends.
    pub fn end(self) -> Option<String> {
        self.process.kill();
        self.token
    }

    fn take(&mut self, line: Value) {
        if line.get("snapshot").is_some() {
            self.rows.clear();
            self.newest.clear();
        } else if let (Some(table), Some(key)) = (line["table"].as_str(), line["key"].as_str()) {
            let row = (table.to_owned(), key.to_owned());
            let position = line["position"].as_u64().expect("a position");
            let before = self.newest.insert(row.clone(), position).unwrap_or(0);
            assert!(position >= before, "{row:?} went back from {before} to {position}");
            if let Some(token) = line["token"].as_str() {
                assert!(self.seen.insert(token.to_owned()), "{token} was given twice");
            }
            match &line["value"] {
                Value::Null => self.rows.remove(&row),
                value => self.rows.insert(row, value.clone()),
            };
        }
        if let Some(token) = line["token"].as_str() {
            self.token = Some(token.to_owned());
        }
        if line.get("complete").is_some() {
            self.complete = line["position"].as_u64().expect("a position");
        }
        self.told.push(line);
    }
}

/// The rows of the live generation, as they are exported.
#[track_caller]
pub fn rows_of(data: &Data, name: &str, tables: &[&str]) -> Copied {
    let rows = |table: &&str| {
        let rows = data.rows(&format!("{name}/{table}"));
        rows.into_iter().map(|(key, value)| ((table.to_string(), key), value)).collect::<Vec<_>>()
    };
    tables.iter().flat_map(rows).collect()
}

/// Follows, rebuilds with a plugin that gives other rows, rolls back, replays a stream and kills the host, while somebody watches: who
/// watches has the rows of the live generation each time. Rows live in the store, or in `into`.
///
/// `plain` is the plugin `faulty`, `closing` the one that removes rows.
pub fn through_everything(data: &Data, into: Option<&str>, closing: &std::path::Path) {
    let part = |number: usize| {
        let kinds = ["Fine", "Late", "Fine"];
        let streams: Vec<String> = (0..7).map(|stream| format!("s{stream}")).collect();
        let lines = crate::history::on_streams((0..60).map(|n| (streams[n % 7].as_str(), kinds[(n + number) % 3])));
        let text = String::from_utf8(lines).expect("JSON").replace(r#""id":"e"#, &format!(r#""id":"p{number}-"#));
        data.import(&data.file(&format!("part-{number}.ndjson"), text));
    };
    let host = data.serve();
    part(0);
    let rebuild = |more: &[&str]| {
        let into = into.map_or(vec![], |into| vec!["--into", into]);
        data.ok([&["rebuild", "faulty"][..], more, &into].concat());
    };
    rebuild(&["--follow"]);
    let mut all = Subscriber::start(data, &["faulty"]);
    let mut some = Subscriber::start(data, &["faulty/seen", "--prefix", "s3"]);
    let equal = |all: &mut Subscriber, position: u64| {
        all.at(position);
        assert_eq!(all.rows, rows_of(data, "faulty", &["seen"]));
    };
    equal(&mut all, 60);
    assert_eq!(all.count("snapshot"), 1, "it begins with all rows");
    part(1);
    equal(&mut all, 120);
    assert_eq!(all.count("snapshot"), 1, "changes come as they happen");

    // Another generation, with other rows.
    data.ok(["plugin", "swap", "faulty", closing.to_str().expect("a path")]);
    rebuild(&["--restart"]);
    all.until("it is promoted", |all| all.told.iter().any(|line| line["promoted"] == 2));
    part(2);
    equal(&mut all, 180);
    data.ok(["model", "rollback", "faulty"]);
    all.until("it is rolled back", |all| all.told.iter().any(|line| line["promoted"] == 1));
    part(3);
    equal(&mut all, 240);

    // One stream is replayed, which moves no position.
    data.ok(["rebuild", "faulty", "--stream", "s1"]);
    part(4);
    equal(&mut all, 300);

    // The host is killed, and the next goes on.
    let token = all.token.clone().expect("a token");
    host.kill();
    let host = data.serve();
    part(5);
    equal(&mut all, 360);
    drop(host);
    let _host = data.serve();
    part(6);
    equal(&mut all, 420);

    // Who comes back with a token misses nothing.
    let mut back = Subscriber::start(data, &["faulty", "--from", &token]);
    back.rows = all.rows.clone();
    back.until("it is at the end", |back| back.token == all.token || back.position() >= 420);
    assert_eq!((back.count("snapshot"), &back.rows), (0, &all.rows), "{:#?}", back.told);
    assert!(back.count("key") > 0, "there was something to be told");

    some.at(420);
    let prefixed = all.rows.clone().into_iter().filter(|((_, key), _)| key.starts_with("s3")).collect::<Copied>();
    assert!(!prefixed.is_empty());
    assert_eq!(some.rows, prefixed);
}
