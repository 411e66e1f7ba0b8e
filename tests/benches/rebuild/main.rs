//! What a rebuild costs, beside what it would cost otherwise, measured side by side in turn:
//!
//! `cargo bench -p unspool-tests --bench rebuild -- [--events N] [--rounds N] [--only NAME] [--json]`
//!
//! Rates are in events/s, times in milliseconds, memory in bytes. Every figure is the median of its rounds; ratios are
//! between medians of the same run, on the same machine, in turn.

mod fresh;
mod histories;
mod loss;
mod native;
mod postgres;
mod product;
mod report;
mod sandbox;
mod watched;

use histories::Histories;
use report::Report;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

/// What is measured.
pub struct Options {
    /// Events of the history that most figures are taken on.
    pub events: u64,
    /// How often each is taken.
    pub rounds: usize,
    only: Option<String>,
    json: bool,
}

impl Options {
    fn parse() -> Options {
        // A busy program, where this process was started as one.
        loss::be_busy_if_told();
        let mut options = Options { events: 1_000_000, rounds: 5, only: None, json: false };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut number = |what: &str| -> u64 {
                args.next().and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{what} takes a number"))
            };
            match arg.as_str() {
                "--events" => options.events = number("--events"),
                "--rounds" => options.rounds = number("--rounds") as usize,
                "--only" => options.only = args.next(),
                "--json" => options.json = true,
                // `cargo bench` passes it.
                "--bench" => {}
                other => panic!("{other} is not known; see the head of tests/benches/rebuild/main.rs"),
            }
        }
        options
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == name)
    }
}

/// A group of figures, by the name that `--only` knows.
type Measure = (&'static str, fn(&Options, &Histories, &mut Report));

const MEASURES: [Measure; 13] = [
    ("rates", rates),
    ("sandbox", sandbox::measure),
    ("import", product::import),
    ("sparse", product::sparse),
    ("several", product::several),
    ("shared", product::shared),
    ("lag", loss::lag),
    ("priority", loss::priority),
    ("postgres", postgres::measure),
    ("fresh", fresh::measure),
    ("memory", product::memory),
    ("start", product::start),
    ("watched", watched::measure),
];

fn main() -> ExitCode {
    let options = Options::parse();
    assert!(MEASURES.iter().any(|(name, _)| options.wants(name)), "{:?} is not measured", options.only);
    let histories = Histories::new(&options);
    let mut report = Report::new(&options);
    let mut failed = Vec::new();
    for (name, measure) in MEASURES.into_iter().filter(|(name, _)| options.wants(name)) {
        // What has been measured is shown whatever becomes of the rest.
        let measured = catch_unwind(AssertUnwindSafe(|| measure(&options, &histories, &mut report)));
        failed.extend(measured.err().map(|_| name));
    }
    report.finish(options.json);
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("not measured: {}", failed.join(", "));
    ExitCode::FAILURE
}

/// The rebuild end to end, beside the native folds and the SQLite loop, in turn.
fn rates(options: &Options, histories: &Histories, report: &mut Report) {
    let frames = histories.frames(options.events);
    for _ in 0..options.rounds {
        report.rate("nativeFold", options.events, || native::fold(&frames));
        report.rate("nativeFoldDecoded", options.events, || native::fold_decoded(&frames));
        report.rate("nativeSqlite", options.events, || native::sqlite(&histories.file(options.events), 500));
        report.rate("nativeSqlite5000", options.events, || native::sqlite(&histories.file(options.events), 5_000));
        report.rate("endToEnd", options.events, || product::rebuild(histories, options.events));
    }
    report.ratio("endToEndOverNativeFold", "endToEnd", "nativeFold");
    report.ratio("endToEndOverSqlite", "endToEnd", "nativeSqlite");
    report.ratio("endToEndOverSqlite5000", "endToEnd", "nativeSqlite5000");
}
