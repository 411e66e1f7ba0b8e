//! How rebuilds went lately: a sample of each every second, so that a page has a history to show at once.

use super::Api;
use crate::{
    control::{Caller, Request, Row},
    vocabulary::{Position, Progress, StageReport, Status, now_ms},
};
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Between two samples.
const FINE: Duration = Duration::from_secs(1);

/// So many of them are kept: a quarter of an hour.
const FINE_SAMPLES: usize = 900;

/// Every so many is kept for longer.
const COARSE_EVERY: u64 = 10;

/// So many of those are kept: a day.
const COARSE_SAMPLES: usize = 8_640;

/// One look at a rebuild.
#[derive(Debug, Clone)]
struct Sample {
    at: i64,
    generation: u64,
    events_per_second: f64,
    position: Position,
    behind: Option<u64>,
    stages: StageReport,
}

#[derive(Default)]
struct Kept {
    fine: VecDeque<Sample>,
    coarse: VecDeque<Sample>,
}

/// How the rebuilds of a projection went lately.
#[derive(Serialize, JsonSchema)]
pub struct SampleSeries {
    /// Each second, for a quarter of an hour.
    fine: Series,
    /// Every tenth second, for a day.
    coarse: Series,
}

/// Samples as a page draws them: the times, and for each line its values.
#[derive(Serialize, JsonSchema)]
struct Series {
    /// Between two samples, in milliseconds.
    step: u64,
    /// When each was taken, in milliseconds since 1970; the oldest first.
    at: Vec<i64>,
    /// What was seen then.
    series: Lines,
}

/// For each sample a value. Times of stages are those spent since the sample before, in milliseconds for each second; null where that is of
/// another generation.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Lines {
    /// The rate.
    events_per_second: Vec<f64>,
    /// How far the source had been read.
    position: Vec<Position>,
    /// How many events the follower was behind; null where it is none, or that is not known.
    behind: Vec<Option<u64>>,
    /// Reading.
    read_work_ms: Vec<Option<f64>>,
    /// Handling.
    handle_work_ms: Vec<Option<f64>>,
    /// Committing.
    commit_work_ms: Vec<Option<f64>>,
    /// The handlers waiting for others.
    handle_wait_ms: Vec<Option<f64>>,
    /// How long a commit took, in milliseconds; null where there was none.
    commit_ms: Vec<Option<f64>>,
    /// Memory that an instance of the plugin had at the end of its newest call, in bytes; null where it has not been called.
    memory_bytes: Vec<Option<u64>>,
}

/// The samples of all projections.
#[derive(Default)]
pub struct Samples {
    kept: Mutex<HashMap<String, Kept>>,
}

impl Sample {
    fn of(progress: &Progress) -> Sample {
        Sample {
            at: now_ms(),
            generation: progress.generation,
            events_per_second: if progress.status == Status::Running { progress.events_per_second } else { 0.0 },
            position: progress.position,
            behind: progress.follow.and_then(|lag| lag.events),
            stages: progress.stages.clone(),
        }
    }
}

/// Takes samples, for as long as the host answers.
pub async fn run(api: Arc<Api>) {
    for count in 0_u64.. {
        tokio::time::sleep(FINE).await;
        let own = api.clone();
        if tokio::task::spawn_blocking(move || look(&own, count.is_multiple_of(COARSE_EVERY))).await.is_err() {
            return;
        }
    }
}

/// Looks at what is not over, or is followed.
fn look(api: &Api, coarse: bool) {
    // Files that nobody has asked for since they were sent go.
    drop(api.uploads.kept());
    let mut seen = Vec::new();
    let looked = api.host.execute(&Caller::host(), Request::List { all: false }, &mut |row| {
        if let Row::Rebuild(progress) = row {
            seen.push((progress.projection_name.clone(), Sample::of(&progress)));
        }
        true
    });
    if let Err(e) = looked {
        return tracing::debug!("no sample was taken: {e}");
    }
    let mut kept = api.samples.kept.lock().unwrap_or_else(PoisonError::into_inner);
    for (name, sample) in seen {
        let kept = kept.entry(name).or_default();
        if coarse {
            push(&mut kept.coarse, sample.clone(), COARSE_SAMPLES);
        }
        push(&mut kept.fine, sample, FINE_SAMPLES);
    }
}

fn push(samples: &mut VecDeque<Sample>, sample: Sample, most: usize) {
    if samples.len() == most {
        samples.pop_front();
    }
    samples.push_back(sample);
}

impl Samples {
    /// Those of a projection.
    pub fn of(&self, name: &str) -> SampleSeries {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let none = Kept::default();
        let Kept { fine, coarse } = kept.get(name).unwrap_or(&none);
        SampleSeries { fine: series(fine, 1), coarse: series(coarse, COARSE_EVERY) }
    }
}

fn series(samples: &VecDeque<Sample>, every: u64) -> Series {
    let rates = |time: fn(&StageReport) -> u64| -> Vec<Option<f64>> {
        let mut before: Option<&Sample> = None;
        let mut rates = Vec::with_capacity(samples.len());
        for sample in samples {
            let since = before.replace(sample).filter(|before| before.generation == sample.generation);
            rates.push(since.and_then(|before| {
                let seconds = (sample.at - before.at) as f64 / 1e3;
                let spent = time(&sample.stages).checked_sub(time(&before.stages))?;
                (seconds > 0.0).then_some(spent as f64 / seconds)
            }));
        }
        rates
    };
    let commit: Vec<Option<f64>> = rates(|stages| stages.commit_ms)
        .into_iter()
        .zip(rates(|stages| stages.commits))
        .map(|(spent, commits)| Some(spent? / commits.filter(|commits| *commits > 0.0)?))
        .collect();
    Series {
        step: FINE.as_millis() as u64 * every,
        at: samples.iter().map(|sample| sample.at).collect(),
        series: Lines {
            events_per_second: samples.iter().map(|sample| sample.events_per_second).collect(),
            position: samples.iter().map(|sample| sample.position).collect(),
            behind: samples.iter().map(|sample| sample.behind).collect(),
            read_work_ms: rates(|stages| stages.read_ms),
            handle_work_ms: rates(|stages| stages.handle_ms),
            commit_work_ms: rates(|stages| stages.commit_ms),
            handle_wait_ms: rates(|stages| stages.handle_waited_for_read_ms + stages.handle_waited_for_commit_ms),
            commit_ms: commit,
            memory_bytes: samples
                .iter()
                .map(|sample| Some(sample.stages.memory_bytes).filter(|bytes| *bytes > 0))
                .collect(),
        },
    }
}
