//! Any schedule of operators and crashes ends with the rows of a naive fold.
//!
//! A schedule is a seed: what operators do to the rebuilds of a host, when its disk goes, and what is left of it then. A
//! small model says which answers and statuses each step may lead to. `UNSPOOL_SCHEDULES` says how many are run, from
//! the seed `UNSPOOL_SEED` on; a schedule that fails prints its own.

mod counts;
mod following;
mod model;
mod schedule;

use counts::Counts;
use schedule::Schedule;
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};
use unspool_tests::{
    machine::{Factory, History},
    random::setting,
};

/// Workers, each with an engine of its own: what one engine's pool has room for is one host's.
const WORKERS: u64 = 2;

#[test]
fn any_schedule_ends_with_the_rows_of_the_fold() {
    let (first, schedules) = (setting("UNSPOOL_SEED", 1), setting("UNSPOOL_SCHEDULES", 1000));
    let mut histories: Vec<History> = [50, 80, 120, 180, 250, 300]
        .into_iter()
        .zip(1..)
        .map(|(events, seed)| History::of_orders(events, seed))
        .collect();
    histories.extend([60, 150].map(|events| History::of_others(events, events, false)));
    histories.extend([60, 150, 300].map(|events| History::of_others(events, events, true)));

    let (started, next, counts) = (Instant::now(), AtomicU64::new(0), Counts::default());
    std::thread::scope(|scope| {
        let work = || {
            let factory = Factory::new();
            loop {
                let index = next.fetch_add(1, Ordering::SeqCst);
                if index >= schedules {
                    break;
                }
                let seed = first + index;
                let mut schedule = Schedule::new(&factory, &histories, &counts, seed);
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| schedule.run())) {
                    next.store(schedules, Ordering::SeqCst);
                    eprintln!("UNSPOOL_SEED={seed} UNSPOOL_SCHEDULES=1 failed after:\n{}", schedule.trace());
                    resume_unwind(panic);
                }
            }
        };
        (0..WORKERS).for_each(|_| drop(scope.spawn(work)));
    });
    println!("{schedules} schedules from seed {first} in {:.1?}: {counts:?}", started.elapsed());
    if schedules >= 500 {
        counts.assert_telling(schedules);
    }
}
