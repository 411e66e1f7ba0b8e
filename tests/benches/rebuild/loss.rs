//! What a rebuild costs others: work that a kill loses, and time that it takes from a busy machine.

use crate::{
    Options,
    histories::{Histories, Running, command, run},
    report::Report,
};
use std::{
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use unspool::store::{DataDir, Store};
use unspool_tests::random::Random;

/// Tells this program to be the busy one.
const BUSY: &str = "UNSPOOL_BENCH_BUSY";

/// Megabytes that the busy program hashes.
const BUSY_MEGABYTES: usize = 48_000;

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// How much handling a `kill -9` loses: from when the work of the last durable commit was handed over to the kill, at
/// moments spread over the run. On a long history, late, where a commit touches more.
pub fn lag(options: &Options, histories: &Histories, report: &mut Report) {
    let mut random = Random::new(11);
    for (name, most, events) in
        [("commitLagMs", "commitLagMaxMs", options.events), ("commitLag5mMs", "commitLag5mMaxMs", 5_000_000)]
    {
        let data = histories.data(events);
        let started = Instant::now();
        run(&data, &["rebuild", "order-summary", "--restart"]);
        let whole = started.elapsed().as_millis() as u64;
        for _ in 0..options.rounds * 4 {
            let rebuild = Running::start(command(&data, &["rebuild", "order-summary", "--restart"]));
            std::thread::sleep(Duration::from_millis(whole * 2 / 5 + random.below(whole / 2)));
            let killed = now_ms();
            drop(rebuild);
            let store = Store::open(&DataDir::open(&data).expect("the directory")).expect("the store opens");
            let record = store.latest_rebuild("order-summary").expect("the store is readable").expect("a rebuild");
            if record.checkpoint.events_processed > 0 && record.status() == unspool::vocabulary::Status::Running {
                report.add(name, (killed - record.checkpoint.checkpointed_at) as f64);
            }
        }
        report.most(most, name);
    }
}

/// How much slower one busy program per core is while a rebuild runs beside them, at the low priority that rebuilds have.
pub fn priority(options: &Options, histories: &Histories, report: &mut Report) {
    let data = histories.data(5_000_000);
    run(&data, &["rebuild", "order-summary", "--to", "500", "--restart"]);
    for _ in 0..options.rounds {
        report.add("busyAloneMs", busy());
        let mut rebuild = Running::start(command(&data, &["rebuild", "order-summary", "--restart"]));
        std::thread::sleep(Duration::from_millis(300));
        report.add("busyBesideRebuildMs", busy());
        assert!(rebuild.ended().is_none(), "the rebuild was over too early");
    }
    report.ratio("busySlowdown", "busyBesideRebuildMs", "busyAloneMs");
}

/// Runs a busy program on every core; the time until the last one is done, in milliseconds.
fn busy() -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let program = std::env::current_exe().expect("this program");
    let started = Instant::now();
    let busy = || {
        let mut command = Command::new(&program);
        command.env(BUSY, "1");
        Running::start(command)
    };
    let mut programs: Vec<_> = (0..cores).map(|_| busy()).collect();
    assert!(programs.iter_mut().all(|program| program.wait().success()));
    started.elapsed().as_secs_f64() * 1e3
}

/// Works for some seconds and ends, where this process is the busy program.
pub fn be_busy_if_told() {
    if std::env::var_os(BUSY).is_none() {
        return;
    }
    let block = vec![7_u8; 1 << 20];
    let mut hasher = blake3::Hasher::new();
    for _ in 0..BUSY_MEGABYTES {
        hasher.update(&block);
    }
    std::process::exit(i32::from(hasher.finalize().as_bytes()[0] == 0 && block.is_empty()));
}
