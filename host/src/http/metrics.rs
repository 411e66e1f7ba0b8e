//! Metrics for Prometheus, read when they are asked for: nothing is kept for them, and nothing of them goes stale. What is not known is
//! absent, and not 0.

use super::Api;
use crate::{
    control::{Caller, ProjectionOverview, Request, Row},
    vocabulary::{FollowState, Progress, Status},
};
use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// Every state that a rebuild can be in, and the one before the first.
const STATES: [&str; 6] = ["absent", "running", "paused", "completed", "failed", "cancelled"];

/// The state of a rebuild.
fn state(rebuild: Option<&Progress>) -> &'static str {
    match rebuild.map(|progress| progress.status) {
        None => "absent",
        Some(Status::Running) => "running",
        Some(Status::Paused) => "paused",
        Some(Status::Completed) => "completed",
        Some(Status::Failed) => "failed",
        Some(Status::Cancelled) => "cancelled",
    }
}

type Labels = Vec<(&'static str, String)>;

/// A metric with its values.
struct Metric {
    name: &'static str,
    help: &'static str,
    counts: bool,
    values: Vec<(Labels, f64)>,
}

/// All metrics, in the order in which they are written.
#[derive(Default)]
struct Metrics {
    all: Vec<Metric>,
    known: BTreeMap<&'static str, usize>,
}

impl Metrics {
    fn put(&mut self, name: &'static str, help: &'static str, labels: Labels, value: f64) {
        self.add(name, help, false, labels, value);
    }

    fn add(&mut self, name: &'static str, help: &'static str, counts: bool, labels: Labels, value: f64) {
        let index = *self.known.entry(name).or_insert_with(|| {
            self.all.push(Metric { name, help, counts, values: Vec::new() });
            self.all.len() - 1
        });
        self.all[index].values.push((labels, value));
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in &self.all {
            let kind = if metric.counts { MetricType::Counter } else { MetricType::Gauge };
            let mut family = encoder.encode_descriptor(metric.name, metric.help, None, kind)?;
            for (labels, value) in &metric.values {
                let one = family.encode_family(labels)?;
                match metric.counts {
                    true => ConstCounter::new(*value).encode(one)?,
                    false => ConstGauge::new(*value).encode(one)?,
                }
            }
        }
        Ok(())
    }
}

/// Answers with all of them.
pub async fn metrics(api: Arc<Api>) -> Response {
    match tokio::task::spawn_blocking(move || written(&api)).await {
        Ok(Ok(text)) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "the store cannot be read\n").into_response(),
    }
}

fn written(api: &Api) -> Result<String, fmt::Error> {
    let mut metrics = Metrics::default();
    metrics.put(
        "unspool_build_info",
        "The version that runs",
        vec![("version", env!("CARGO_PKG_VERSION").to_owned())],
        1.0,
    );
    let request = Request::Projections { name: None };
    let mut looked = Vec::new();
    let done = api.host.execute(&Caller::host(), request, &mut |row| {
        if let Row::Overview(overview) = row {
            looked.push(overview);
        }
        true
    });
    done.map_err(|_| fmt::Error)?;
    looked.iter().for_each(|overview| of_projection(overview, &mut metrics));
    of_host(api, &mut metrics);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn of_projection(overview: &ProjectionOverview, metrics: &mut Metrics) {
    let name = &overview.name;
    let one = || vec![("projection", name.clone())];
    let with = |label: &'static str, value: &str| vec![("projection", name.clone()), (label, value.to_owned())];
    let now = state(overview.rebuild.as_deref());
    for state in STATES {
        let is = if state == now { 1.0 } else { 0.0 };
        metrics.put(
            "unspool_projection_status",
            "What its latest rebuild is doing: 1 for that, 0 for the others",
            with("status", state),
            is,
        );
    }
    metrics.put("unspool_dead_letters", "Events that were set aside", one(), overview.dead_letters as f64);
    if let Some(live) = &overview.live {
        let digest = live.ranges.last().map_or("", |range| range.plugin_digest.as_str());
        let mut labels = with("generation", &live.generation.to_string());
        labels.push(("plugin", digest.to_owned()));
        metrics.put(
            "unspool_live_generation_info",
            "What readers see, and the plugin that handled its last event",
            labels,
            1.0,
        );
    }
    if let Some(verified) = &overview.last_verify {
        let seconds = verified.at as f64 / 1e3;
        metrics.put("unspool_verify_last_timestamp_seconds", "When the last verification ended", one(), seconds);
        let differences = verified.differences as f64;
        metrics.put(
            "unspool_verify_last_differences",
            "Rows that were not what the history makes of them",
            one(),
            differences,
        );
    }
    if let Some(progress) = overview.rebuild.as_deref() {
        of_rebuild(progress, metrics);
    }
}

fn of_rebuild(progress: &Progress, metrics: &mut Metrics) {
    let name = &progress.projection_name;
    let one = || vec![("projection", name.clone())];
    let completed = progress.status == Status::Completed;
    metrics.put(
        "unspool_projection_stalled",
        "It runs, is behind, and stands still",
        one(),
        f64::from(u8::from(progress.stalled)),
    );
    metrics.put(
        "unspool_rebuild_events_handled",
        "Events that its latest rebuild has handled",
        one(),
        progress.events_processed as f64,
    );
    if let Some(total) = progress.total_events {
        metrics.put("unspool_rebuild_events_target", "Events up to its target", one(), total as f64);
    }
    // Complete is what the store calls so, whatever rounds to it.
    let ratio =
        if completed { Some(1.0) } else { progress.percent_complete.map(|percent| (percent / 100.0).min(0.9999)) };
    if let Some(ratio) = ratio {
        metrics.put("unspool_rebuild_progress_ratio", "How much of it is done: 1 once it is complete", one(), ratio);
    }
    let runs = progress.status == Status::Running;
    if runs {
        metrics.put(
            "unspool_rebuild_events_per_second",
            "Its rate over the last seconds",
            one(),
            progress.events_per_second,
        );
    }
    if let Some(left) = progress.estimated_remaining_ms.filter(|_| runs) {
        metrics.put("unspool_rebuild_remaining_seconds", "How long it takes at this rate", one(), left as f64 / 1e3);
    }
    metrics.put("unspool_rebuild_retries", "Transient failures met and retried", one(), progress.retries as f64);
    metrics.put(
        "unspool_rebuild_started_timestamp_seconds",
        "When it started",
        one(),
        progress.started_at as f64 / 1e3,
    );
    if let Some(waiting) = &progress.waiting {
        metrics.put(
            "unspool_waiting_since_timestamp_seconds",
            "Since when it waits for something unavailable",
            one(),
            waiting.since as f64 / 1e3,
        );
    }
    if let Some(following) = progress.following {
        let follows = f64::from(u8::from(following == FollowState::Following));
        metrics.put(
            "unspool_follow_up",
            "1 while the live generation is kept up to date, 0 where that has failed",
            one(),
            follows,
        );
    }
    if let Some(behind) = progress.follow.as_ref().and_then(|lag| lag.events) {
        metrics.put("unspool_follow_behind_events", "Events that are not handled yet", one(), behind as f64);
    }
    if let Some(since) = progress.stale_since {
        metrics.put(
            "unspool_stale_since_timestamp_seconds",
            "Since when new events are not handled",
            one(),
            since as f64 / 1e3,
        );
    }
    let stages = &progress.stages;
    for (stage, state, ms) in stages.named() {
        let labels = vec![("projection", name.clone()), ("stage", stage.to_owned()), ("state", state.to_owned())];
        metrics.add(
            "unspool_stage_seconds",
            "Where the time of its latest rebuild went",
            true,
            labels,
            ms as f64 / 1e3,
        );
    }
    if stages.memory_peak_bytes > 0 {
        metrics.put(
            "unspool_plugin_memory_peak_bytes",
            "The most memory that an instance of its plugin has had",
            one(),
            stages.memory_peak_bytes as f64,
        );
    }
}

fn of_host(api: &Api, metrics: &mut Metrics) {
    let disk = api.host.disk();
    for (file, field) in [("store", "storeBytes"), ("log", "logBytes")] {
        if let Some(bytes) = disk[field].as_f64() {
            metrics.put(
                "unspool_file_bytes",
                "Bytes of the files of the data directory",
                vec![("file", file.to_owned())],
                bytes,
            );
        }
    }
    if let Some(bytes) = disk["freeBytes"].as_f64() {
        metrics.put("unspool_disk_free_bytes", "Bytes that are free where they are", Vec::new(), bytes);
    }
    metrics.put(
        "unspool_host_started_timestamp_seconds",
        "When the host started to answer",
        Vec::new(),
        api.started_at as f64 / 1e3,
    );
    if let Ok(newest) = api.host.newest_activity_number() {
        metrics.add("unspool_activity_entries", "Entries of the record of activity", true, Vec::new(), newest as f64);
    }
    for route in api.host.alert_routes().unwrap_or_default() {
        for (outcome, count) in [("delivered", route.delivered), ("failed", route.failed), ("dropped", route.dropped)] {
            let labels = vec![("route", route.name.clone()), ("outcome", outcome.to_owned())];
            metrics.add(
                "unspool_alert_deliveries",
                "Messages about alerts that have arrived, tries that have failed, and messages that were given up",
                true,
                labels,
                count as f64,
            );
        }
    }
    for ((method, status), count) in api.answered() {
        let labels = vec![("method", method), ("code", status.to_string())];
        metrics.add("unspool_http_requests", "Requests over HTTP that were answered", true, labels, count as f64);
    }
}
