//! The product, driven through its command line, whole processes from start to end.

use crate::{
    Options,
    histories::{Histories, Running, command, run},
    report::Report,
};
use serde_json::{Value, json};
use std::{
    fmt::Write,
    fs,
    path::Path,
    time::{Duration, Instant},
};
use unspool::{
    source::{Source, log::EventLog},
    vocabulary::{Matcher, Position},
};
use unspool_tests::plugins::{plugin, source};

/// A durable rebuild of `order-summary` from the embedded log.
pub fn rebuild(histories: &Histories, events: u64) {
    let output = run(&histories.data(events), &["rebuild", "order-summary"]);
    let ended: Value = serde_json::from_slice(&output.stdout).expect("an answer");
    assert_eq!((&ended["status"], &ended["eventsProcessed"]), (&json!("completed"), &json!(events)));
}

/// Import of an event file into an empty log.
pub fn import(options: &Options, histories: &Histories, report: &mut Report) {
    let file = histories.file(options.events).display().to_string();
    for _ in 0..options.rounds {
        let data = histories.scratch("imported");
        report.rate("import", options.events, || run(&data, &["events", "import", &file]));
        fs::remove_dir_all(&data).expect("it can be removed");
    }
}

/// A projection that handles 1 % of the events, against one that handles all of them.
pub fn sparse(options: &Options, histories: &Histories, report: &mut Report) {
    let data = histories.scratch("sparse");
    let mut lines = String::new();
    for n in 0..options.events {
        let kind = if n % 100 == 50 { "Fine" } else { "Common" };
        let filler = "some payload that nobody looks at, as long as an order's";
        writeln!(
            lines,
            r#"{{"id":"e{n}","stream":"s{}","type":"{kind}","timestamp":{n},"data":{{"filler":"{filler}","more":"{filler}","n":{n}}}}}"#,
            n % 1000
        )
        .expect("a string takes everything");
    }
    let file = histories.scratch("sparse.ndjson");
    fs::write(&file, lines).expect("room for the history");
    run(&data, &["events", "import", &file.display().to_string()]);
    for name in ["faulty", "process-map"] {
        run(&data, &["plugin", "install", &plugin(name).display().to_string()]);
    }
    for _ in 0..options.rounds {
        report.rate("sparse", options.events, || run(&data, &["rebuild", "faulty"]));
        report.rate("dense", options.events, || run(&data, &["rebuild", "process-map"]));
    }
    report.ratio("sparseRatio", "sparse", "dense");
}

/// Five projections over one history at once, against one of them: handled events per second.
pub fn several(options: &Options, histories: &Histories, report: &mut Report) {
    let data = histories.data(options.events);
    let mut names = Vec::new();
    for number in 1..=5 {
        let name = format!("order-summary-{number}");
        let component = renamed(histories, &name);
        run(&data, &["plugin", "install", &component]);
        names.push(name);
    }
    for _ in 0..options.rounds {
        let all: Vec<&str> = std::iter::once("rebuild").chain(names.iter().map(String::as_str)).collect();
        report.rate("five", options.events * 5, || run(&data, &all));
        report.rate("one", options.events, || run(&data, &["rebuild", &names[0]]));
    }
    report.ratio("fiveRatio", "five", "one");
}

/// A projection that is partitioned by stream, whose chunks an instance for each core handles, against one instance.
pub fn shared(options: &Options, histories: &Histories, report: &mut Report) {
    let data = histories.data(options.events);
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(5).to_string();
    for _ in 0..options.rounds {
        for (name, instances) in [("oneInstance", "1"), ("manyInstances", &cores)] {
            report.rate(name, options.events, || run(&data, &["--instances", instances, "rebuild", "order-summary"]));
        }
    }
    report.ratio("instancesRatio", "manyInstances", "oneInstance");
}

/// `order-summary` under another name, built from a copy of its source.
fn renamed(histories: &Histories, name: &str) -> String {
    let package = histories.scratch(name);
    copy(&source("order-summary"), &package);
    let library = package.join("src/lib.rs");
    let text = fs::read_to_string(&library).expect("the plugin's source");
    let text = text.replace("\"order-summary\"", &format!("\"{name}\""));
    fs::write(&library, text).expect("a copy");
    let sdk = source("../plugin-sdk").canonicalize().expect("the SDK");
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[lib]\ncrate-type = [\"cdylib\"]\n\
         [dependencies]\nunspool-sdk = {{ path = {:?} }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n\
         [profile.release]\ndebug = \"line-tables-only\"\nlto = \"thin\"\n",
        sdk.display().to_string()
    );
    fs::write(package.join("Cargo.toml"), manifest).expect("a manifest");
    let options = unspool::plugin::BuildOptions {
        target_dir: Some(histories.scratch("renamed-target")),
        quiet: true,
        features: Vec::new(),
    };
    let built = unspool::plugin::build(&package, &options).unwrap_or_else(|e| panic!("{e}"));
    let file = histories.scratch(&format!("{name}.wasm"));
    fs::write(&file, built.component).expect("a component");
    file.display().to_string()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// Peak memory of a rebuild of 500,000 events, and of one of 5,000,000.
pub fn memory(_: &Options, histories: &Histories, report: &mut Report) {
    for (name, events) in [("peakMemory500k", 500_000), ("peakMemory5m", 5_000_000)] {
        let data = histories.data(events);
        let rebuild = Running::start(command(&data, &["rebuild", "order-summary"]));
        report.add(name, peak_memory(rebuild) as f64);
    }
    report.ratio("peakMemoryRatio", "peakMemory5m", "peakMemory500k");
}

/// Asks the system for the peak until the process ends.
fn peak_memory(mut process: Running) -> u64 {
    let status = format!("/proc/{}/status", process.id());
    let mut peak = 0;
    while process.ended().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) * 1024);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(process.wait().success());
    peak
}

/// The id of the event at `position` of a log.
fn event_id(data: &Path, position: u64) -> String {
    let log = EventLog::open(&data.join("log.redb"), "the benchmark's log").expect("the log opens");
    let (before, through) = (Position::number(position - 1), Position::number(position));
    let mut reader = log.read(&Matcher::All, before, through).expect("the log is readable");
    while let Some(block) = reader.next().expect("the log is readable") {
        if !block.bytes.is_empty() {
            return unspool_frame::Event::decode(&mut &block.bytes[..]).expect("an event").id.to_owned();
        }
    }
    panic!("no event at {position}");
}

/// From the command to its end for a rebuild of one chunk: at the beginning of the history, and at its end.
pub fn start(options: &Options, histories: &Histories, report: &mut Report) {
    let data = histories.data(options.events);
    for _ in 0..options.rounds * 3 {
        let started = Instant::now();
        run(&data, &["rebuild", "order-summary", "--to", "500"]);
        report.add("startMs", started.elapsed().as_secs_f64() * 1e3);
    }
    let long = histories.data(5_000_000);
    run(&long, &["plugin", "install", &plugin("process-map").display().to_string()]);
    let near_the_end = event_id(&long, 4_999_501);
    for _ in 0..options.rounds * 3 {
        let started = Instant::now();
        run(&long, &["rebuild", "process-map", "--to", "500"]);
        report.add("startAt0Ms", started.elapsed().as_secs_f64() * 1e3);
        let started = Instant::now();
        run(&long, &["rebuild", "process-map", "--from", &near_the_end]);
        report.add("startAt5mMs", started.elapsed().as_secs_f64() * 1e3);
    }
}
