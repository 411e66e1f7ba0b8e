//! How old what readers see is, while new events come all the time and the read model is rebuilt with a fixed handler, verified,
//! rolled back and swapped, and its host is killed ten times; and whether a read ever goes back.

use crate::{
    Options,
    histories::{Histories, Running, command, run},
    report::Report,
};
use serde_json::{Value, json};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use unspool::control::{Client as Control, Fresh, Import, Request, Response};
use unspool_tests::{
    plugins::{plugin, plugin_with},
    postgres::Server,
};

/// Events of one batch, and how often one is written: 2,000 events a second.
const BATCH: u64 = 20;
const BATCH_EVERY: Duration = Duration::from_millis(10);

/// How often a reader asks.
const READ_EVERY: Duration = Duration::from_millis(10);

/// Streams, and rows.
const STREAMS: u64 = 5_000;

/// While nothing but following goes on.
const ALONE: &str = "followed alone";

/// While a candidate is built beside what is followed.
const BESIDE: &str = "rebuilt beside";

/// What is waited for arrives; whoever waits longer waits for nothing.
const TIMEOUT: Duration = Duration::from_secs(600);

pub fn measure(options: &Options, histories: &Histories, report: &mut Report) {
    let names = ["freshMedianMs", "freshP99Ms", "freshMostMs", "freshBesideMedianMs", "freshAloneMedianMs"];
    through_a_day(options, &histories.scratch("fresh"), None, names, report);
    let server = Server::new();
    let database = server.database("fresh");
    let names = [
        "freshPostgresMedianMs",
        "freshPostgresP99Ms",
        "freshPostgresMostMs",
        "freshPostgresBesideMedianMs",
        "freshPostgresAloneMedianMs",
    ];
    let into = format!("postgres:{}", database.url());
    through_a_day(options, &histories.scratch("fresh-postgres"), Some(&into), names, report);
}

/// What a reader has seen.
#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    stale: Duration,
    /// Whether it is part of a restart: see [`World::read`].
    restart: bool,
}

struct World {
    data: PathBuf,
    socket: PathBuf,
    /// Up to which position events have been written, and when.
    written: Mutex<Vec<(u64, Instant)>>,
    over: AtomicBool,
}

fn through_a_day(options: &Options, data: &Path, into: Option<&str>, names: [&'static str; 5], report: &mut Report) {
    run(data, &["plugin", "install", &plugin("faulty").display().to_string()]);
    let base = data
        .join("../")
        .canonicalize()
        .expect("a folder")
        .join(format!("{}.ndjson", data.file_name().and_then(|name| name.to_str()).expect("a name")));
    fs::write(&base, lines(0, options.events)).expect("room for the history");
    run(data, &["events", "import", &base.display().to_string()]);
    let world = World {
        data: data.to_owned(),
        socket: data.join("control.sock"),
        written: Mutex::new(vec![(options.events, Instant::now())]),
        over: AtomicBool::new(false),
    };
    let mut host = Some(world.serve());
    run(data, &[&["rebuild", "faulty", "--follow"][..], &into.map_or(vec![], |into| vec!["--into", into])].concat());
    let (looks, phases) = std::thread::scope(|scope| {
        scope.spawn(|| world.write(options.events));
        let reader = scope.spawn(|| world.read());
        let phases = world.day(&mut host);
        world.over.store(true, Ordering::SeqCst);
        (reader.join().expect("no read goes back"), phases)
    });
    let written = world.last_written();
    world.until("everything is handled", |status| live(status)["position"] == json!(written));
    let digest = |data: &Path| {
        let output = run(data, &["model", "digest", "faulty"]);
        serde_json::from_slice::<Value>(&output.stdout).expect("a digest")["digest"].clone()
    };
    let found = digest(data);
    drop(host);
    assert_eq!(found, oracle(options, written, data), "the rows are those of the fixed plugin over all events");
    let stale = |from: Instant, to: Instant| {
        let mut stale: Vec<f64> = looks
            .iter()
            .filter(|look| !look.restart && look.at >= from && look.at <= to)
            .map(|look| look.stale.as_secs_f64() * 1e3)
            .collect();
        stale.sort_by(f64::total_cmp);
        stale
    };
    let span = |named: &str| {
        let at = phases.iter().position(|(name, _)| *name == named).expect("a phase");
        (phases[at].1, phases.get(at + 1).map_or_else(Instant::now, |(_, next)| *next))
    };
    let of_phase = |named: &str| stale(span(named).0, span(named).1);
    let looks_of = |named: &str| {
        let (from, to) = span(named);
        looks.iter().filter(move |look| look.at >= from && look.at <= to)
    };
    let quantile = |of: &[f64], percent: usize| of.get(of.len() * percent / 100).copied().unwrap_or(f64::NAN);
    for (name, _) in &phases {
        let stale = of_phase(name);
        let most = stale.last().copied().unwrap_or(f64::NAN);
        let restarts = looks_of(name).filter(|look| look.restart).count();
        eprintln!(
            "{name:>32}: {:>5} reads and {restarts:>4} in restarts, ms stale: median {:.0}, p99 {:.0}, most {most:.0}",
            stale.len(),
            quantile(&stale, 50),
            quantile(&stale, 99)
        );
    }
    let all = stale(phases[0].1, Instant::now());
    eprintln!("{} reads, {written} events", all.len());
    report.add(names[0], quantile(&all, 50));
    report.add(names[1], quantile(&all, 99));
    report.add(names[2], all[all.len() - 1]);
    report.add(names[3], quantile(&of_phase(BESIDE), 50));
    report.add(names[4], quantile(&of_phase(ALONE), 50));
}

/// The digest of one rebuild of all of it by the fixed plugin.
fn oracle(options: &Options, written: u64, beside: &Path) -> Value {
    let data = beside.with_extension("oracle");
    run(&data, &["plugin", "install", &plugin_with("faulty", &["fixed"]).display().to_string()]);
    let file = data.with_extension("ndjson");
    fs::write(&file, lines(0, options.events) + &lines(options.events, written - options.events)).expect("room");
    run(&data, &["events", "import", &file.display().to_string()]);
    run(&data, &["rebuild", "faulty"]);
    let output = run(&data, &["model", "digest", "faulty"]);
    serde_json::from_slice::<Value>(&output.stdout).expect("a digest")["digest"].clone()
}

/// So many events after the first `from`.
fn lines(from: u64, events: u64) -> String {
    let mut lines = String::new();
    for n in from..from + events {
        let stream = n % STREAMS;
        writeln!(lines, r#"{{"id":"e{n}","stream":"s{stream}","type":"Fine","timestamp":{n},"data":{{"n":{n}}}}}"#)
            .expect("a string takes everything");
    }
    lines
}

/// What readers see, in a status.
fn live(status: &Value) -> &Value {
    status.get("live").unwrap_or(status)
}

impl World {
    fn serve(&self) -> Running {
        let mut host = Running::start(command(&self.data, &["serve"]));
        let until = Instant::now() + TIMEOUT;
        while !matches!(Control::connect(&self.socket), Ok(Some(_))) {
            assert!(host.ended().is_none() && Instant::now() < until, "the host ended");
            std::thread::sleep(Duration::from_millis(5));
        }
        host
    }

    fn ask(&self, request: &Request) -> Option<Response> {
        Control::connect(&self.socket).ok()??.ask(request, &mut |_| true).ok()
    }

    fn last_written(&self) -> u64 {
        self.written.lock().expect("nobody panics").last().map_or(0, |(position, _)| *position)
    }

    /// Appends a batch every hundredth of a second; one that meets no host is written to the next.
    fn write(&self, from: u64) {
        let (mut next, mut number) = (Instant::now(), from);
        let file = self.data.with_extension("batch.ndjson");
        while !self.over.load(Ordering::SeqCst) {
            fs::write(&file, lines(number, BATCH)).expect("room for a batch");
            let import = Import { file: file.display().to_string(), ..Import::default() };
            while self.ask(&Request::EventsImport(import.clone())).is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
            number += BATCH;
            self.written.lock().expect("nobody panics").push((number, Instant::now()));
            next = (next + BATCH_EVERY).max(Instant::now() - BATCH_EVERY);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    /// Asks for the newest event's row again and again. What is seen between a kill and the moment in which the next host has caught
    /// up with what had been written until it answered is not counted.
    fn read(&self) -> Vec<Look> {
        let (mut looks, mut newest, mut caught_up_at) = (Vec::new(), 0, None);
        while !self.over.load(Ordering::SeqCst) {
            let key = format!("s{}", (self.last_written() - 1) % STREAMS);
            let (name, table) = ("faulty".to_owned(), "seen".to_owned());
            let request = Request::ModelGet { name, table, key, generation: None, fresh: Fresh::default() };
            match self.ask(&request) {
                Some(Response::Found(row)) => {
                    let (at, position) = (Instant::now(), row.position.minor);
                    assert!(position >= newest, "readers were taken back from {newest} to {position}");
                    newest = position;
                    let waits_for = *caught_up_at.get_or_insert(self.last_written());
                    let written = self.written.lock().expect("nobody panics");
                    let unseen = written.partition_point(|(written, _)| *written <= position);
                    let stale = written.get(unseen).map_or(Duration::ZERO, |(_, since)| at - *since);
                    drop(written);
                    looks.push(Look { at, stale, restart: position < waits_for });
                }
                _ => caught_up_at = None,
            }
            std::thread::sleep(READ_EVERY);
        }
        looks
    }

    /// Waits until the status is as it should be.
    fn until(&self, what: &str, reached: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + TIMEOUT;
        loop {
            if let Some(Response::Status(progress)) = self.ask(&Request::Status { name: "faulty".to_owned() }) {
                let status = serde_json::to_value(&progress).expect("a status");
                assert!(status["following"] != "failed" && status["status"] != "failed", "{what}: {status:#}");
                if reached(&status) {
                    return status;
                }
            }
            assert!(Instant::now() < until, "{what}: it is not so");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs a command until it succeeds: a kill may have been in its way.
    fn insist(&self, args: &[&str]) -> Value {
        let until = Instant::now() + TIMEOUT;
        loop {
            let output = command(&self.data, args).output().expect("the command line runs");
            if output.status.success() {
                return serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
            }
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(Instant::now() < until, "{args:?}: {said}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills the host, and starts another.
    fn kill_after(&self, host: &mut Option<Running>, time: Duration) {
        std::thread::sleep(time);
        self.kill(host);
    }

    /// The same while the host carries a command out; who asked for that is gone first: without a host it would be one.
    fn kill_during(&self, host: &mut Option<Running>, command: Running, time: Duration) {
        std::thread::sleep(time);
        drop(command);
        self.kill(host);
    }

    fn kill(&self, host: &mut Option<Running>) {
        drop(host.take());
        *host = Some(self.serve());
    }

    /// Rebuilds with a fixed handler, promotes, verifies, rolls back, rolls forward and swaps, with ten kills; says when each of that
    /// began.
    fn day(&self, host: &mut Option<Running>) -> Vec<(&'static str, Instant)> {
        let mut phases = Vec::new();
        let mut begins = |phase| phases.push((phase, Instant::now()));
        begins(ALONE);
        std::thread::sleep(Duration::from_secs(3));
        begins("swap");
        let fixed = plugin_with("faulty", &["fixed"]).display().to_string();
        // Another plugin of the same shape for what is live, and a candidate built by it.
        self.insist(&["plugin", "swap", "faulty", &fixed]);
        begins(BESIDE);
        self.insist(&["rebuild", "faulty", "--restart", "--detach"]);
        self.until("the candidate is promoted", |status| status["liveGeneration"] == 2);
        begins("rebuilt beside, with kills");
        let mut reached = 0;
        for kill in 0..2 {
            if kill == 0 {
                self.insist(&["rebuild", "faulty", "--restart", "--detach", "--chunk-size", "100"]);
            }
            // In the middle of it, each time further on.
            let under_way = |status: &Value| status["generation"] == 3 && status["position"].as_u64() > Some(reached);
            reached = self.until("it is rebuilt", under_way)["position"].as_u64().expect("a position");
            self.kill_after(host, Duration::from_millis(200));
        }
        self.until("the candidate is promoted", |status| status["liveGeneration"] == 3);
        begins("verified, with kills");
        for _ in 0..2 {
            self.kill_during(
                host,
                Running::start(command(&self.data, &["model", "verify", "faulty"])),
                Duration::from_millis(500),
            );
        }
        begins("verified");
        assert_eq!(self.insist(&["model", "verify", "faulty"])["different"], 0);
        begins("rolled back, with kills");
        for _ in 0..2 {
            self.kill_during(
                host,
                Running::start(command(&self.data, &["model", "rollback", "faulty"])),
                Duration::from_millis(150),
            );
        }
        begins("rolled back");
        self.insist(&["model", "rollback", "faulty"]);
        begins("swapped, with kills");
        for _ in 0..4 {
            self.kill_during(
                host,
                Running::start(command(&self.data, &["plugin", "swap", "faulty", &fixed])),
                Duration::from_millis(50),
            );
        }
        self.until("it follows", |status| status["following"] == "following");
        begins("followed again");
        std::thread::sleep(Duration::from_secs(2));
        phases
    }
}
