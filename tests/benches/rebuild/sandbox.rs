//! The handler in its instance, against the same handler natively, chunk by chunk over the same rows.

use crate::{Options, histories::Histories, report::Report};
use bytes::Bytes;
use order_summary::OrderSummary;
use std::{
    collections::HashMap,
    rc::Rc,
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::{Duration, Instant},
};
use unspool::{
    plugin::{Engine, EngineOptions},
    vocabulary::{EventFailure, Page, ReadRows, Scan},
};
use unspool_sdk::{MemoryRows, Plugin, Rows};

/// Committed rows, as the host's overlay holds them.
#[derive(Clone, Default)]
struct Committed(Arc<Mutex<HashMap<Bytes, Bytes>>>);

impl ReadRows for Committed {
    type Error = EventFailure;

    fn get_many(&self, _: usize, keys: &[&str]) -> Result<Vec<Option<Bytes>>, EventFailure> {
        let rows = self.0.lock().expect("nobody has panicked");
        Ok(keys.iter().map(|key| rows.get(key.as_bytes()).cloned()).collect())
    }

    fn scan(&self, _: usize, _: Scan<'_>) -> Result<Page, EventFailure> {
        Ok(Page::new())
    }
}

/// Median time per chunk: a fresh instance with its deadline, and the same code natively, in turn.
pub fn measure(options: &Options, histories: &Histories, report: &mut Report) {
    let frames = histories.frames(options.events.min(200_000));
    let engine = Engine::new(EngineOptions { cache_dir: None, ..EngineOptions::new("") }).expect("an engine");
    let component = std::fs::read(unspool_tests::plugins::plugin("order-summary")).expect("the plugin");
    let plugin = engine.load(&component).expect("the plugin loads");
    for _ in 0..options.rounds {
        let (committed, memory) = (Committed::default(), MemoryRows::new());
        let (mut inside, mut native) = (Vec::new(), Vec::new());
        let never = Arc::new(AtomicBool::new(false));
        for frame in &frames {
            let started = Instant::now();
            let outcome = plugin.handle(frame, committed.clone(), &never).expect("the chunk is handled");
            inside.push(started.elapsed());
            let mut rows = committed.0.lock().expect("nobody has panicked");
            for write in outcome.writes {
                if let Some(document) = write.document {
                    rows.insert(write.key, document);
                }
            }
            drop(rows);
            let started = Instant::now();
            let outcome = OrderSummary::handle(frame, Rc::new(memory.clone()) as Rc<dyn Rows>);
            native.push(started.elapsed());
            memory.apply(&outcome.writes).expect("a write frame");
        }
        report.add("sandboxChunkMicros", median(&mut inside).as_secs_f64() * 1e6);
        report.add("nativeChunkMicros", median(&mut native).as_secs_f64() * 1e6);
    }
    report.ratio("sandboxRatio", "sandboxChunkMicros", "nativeChunkMicros");
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
