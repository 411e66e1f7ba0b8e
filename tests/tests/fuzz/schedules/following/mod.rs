//! Any schedule of operators, new events and crashes around a read model that is kept up to date: nobody is taken back in time
//! without being told, and what is read is what the events up to its position come to.
//!
//! `UNSPOOL_SCHEDULES` and `UNSPOOL_SEED` mean what they mean in the other schedules. These wait more than they work, so there are
//! fewer of them by default.

mod counts;
mod readers;
mod schedule;

use counts::Counts;
use schedule::{Schedule, Switches};
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use unspool_tests::{machine::Factory, random::setting};

/// Workers, each with an engine of its own.
const WORKERS: u64 = 2;

/// Schedules of the control. Some come to nothing: their last rebuild is refused, or their disk goes.
const CONTROLS: u64 = 8;

/// What is said of a faulty switch after which readers were shown rows that no fold gives, or the store complained.
const FOUND_OUT: &str = "other rows than those of the fold";

/// Factories that nobody uses now: what they have compiled, they have compiled for all.
static FACTORIES: Mutex<Vec<Factory>> = Mutex::new(Vec::new());

fn spare_factory() -> Factory {
    let spare = FACTORIES.lock().expect("no panic").pop();
    spare.unwrap_or_default()
}

/// What is wrong with what readers saw, in each of so many schedules where something was.
fn complaints(first: u64, schedules: u64, switches: Switches, counts: &Counts) -> Vec<String> {
    let (next, complaints) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        let work = || {
            let factory = spare_factory();
            loop {
                let index = next.fetch_add(1, Ordering::SeqCst);
                if index >= schedules {
                    break;
                }
                let seed = first + index;
                let mut schedule = Schedule::new(&factory, counts, seed, switches);
                let ended = catch_unwind(AssertUnwindSafe(|| schedule.run()));
                // Whatever a faulty switch is found out by: it is found out.
                if ended.is_err() && matches!(switches, Switches::WithoutALook) {
                    let complaint = format!("UNSPOOL_SEED={seed}: {FOUND_OUT}, after:\n{}", schedule.trace());
                    eprintln!("{complaint}");
                    complaints.lock().expect("no panic").push(complaint);
                    continue;
                }
                if let Err(panic) = ended {
                    next.store(schedules, Ordering::SeqCst);
                    eprintln!("UNSPOOL_SEED={seed} UNSPOOL_SCHEDULES=1 failed after:\n{}", schedule.trace());
                    resume_unwind(panic);
                }
                if let Some(complaint) = schedule.complaint() {
                    let complaint = format!("UNSPOOL_SEED={seed}: {complaint}, after:\n{}", schedule.trace());
                    complaints.lock().expect("no panic").push(complaint);
                }
            }
            FACTORIES.lock().expect("no panic").push(factory);
        };
        (0..WORKERS.min(schedules)).for_each(|_| drop(scope.spawn(work)));
    });
    complaints.into_inner().expect("no panic")
}

#[test]
fn any_schedule_of_following_takes_no_reader_back() {
    let (first, schedules) = (setting("UNSPOOL_SEED", 1), setting("UNSPOOL_SCHEDULES", 25));
    let (started, counts) = (Instant::now(), Counts::default());
    let complaints = complaints(first, schedules, Switches::Product, &counts);
    println!("{schedules} schedules of following from seed {first} in {:.1?}: {counts:?}", started.elapsed());
    assert!(complaints.is_empty(), "{}", complaints[0]);
    if schedules >= 25 {
        counts.assert_telling(schedules);
    }
}

/// The control: promotion that does not look where readers are. What the schedules check must find it out.
#[test]
fn a_promotion_without_a_look_at_the_position_is_found_out() {
    let counts = Counts::default();
    let complaints = complaints(1, CONTROLS, Switches::WithoutALook, &counts);
    let found_out =
        |complaint: &&String| complaint.contains("readers were taken back") || complaint.contains(FOUND_OUT);
    let found = complaints.iter().filter(found_out).count();
    assert!(found as u64 >= CONTROLS / 2, "{found} of {CONTROLS} faulty switches were found out: {complaints:#?}");
}
