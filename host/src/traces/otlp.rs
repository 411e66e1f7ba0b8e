//! Spans over OTLP: HTTP with protobuf, or JSON where `OTEL_EXPORTER_OTLP_PROTOCOL=http/json` asks for it. They wait in a bounded
//! queue, and a thread of its own sends them: a receiver that is slow or gone loses spans and nothing else.

use super::{Batch, Of, is_asked_for};
use crate::{
    outbound::{self, Patience},
    vocabulary::{EventFailure, FailureKind},
};
use opentelemetry::{
    Context, KeyValue,
    trace::{
        Link, Span, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
        TracerProvider,
    },
};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider},
};
use serde::Deserialize;
use std::{
    path::PathBuf,
    pin::Pin,
    sync::OnceLock,
    time::{Duration, Instant, SystemTime},
};
use ureq::Agent;

/// How long one request may take; `OTEL_EXPORTER_OTLP_TIMEOUT` is for the pauses between tries.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long the end waits for what has not been sent.
const END: Duration = Duration::from_secs(4);

/// Bytes of an answer that are read.
const ANSWER: u64 = 1 << 20;

struct Sending {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

static SENDING: OnceLock<Sending> = OnceLock::new();

pub(super) fn start() {
    if !is_asked_for() || SENDING.get().is_some() {
        return;
    }
    let ca = std::env::var_os("OTEL_EXPORTER_OTLP_CERTIFICATE").map(PathBuf::from);
    let client = match outbound::agent(ca.as_deref(), Patience::Whole(PATIENCE)) {
        Ok(agent) => Client(agent),
        Err(e) => return tracing::warn!("no traces are sent: {e}"),
    };
    let exporter = match SpanExporter::builder().with_http().with_http_client(client).build() {
        Ok(exporter) => exporter,
        Err(e) => return tracing::warn!("no traces are sent: {e}"),
    };
    let mut resource = Resource::builder();
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("unspool");
    }
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.with_attribute(version).build())
        .build();
    let tracer = provider.tracer("unspool");
    let _ = SENDING.set(Sending { provider, tracer });
}

pub(super) fn end() {
    if let Some(sending) = SENDING.get()
        && let Err(e) = sending.provider.shutdown_with_timeout(END)
    {
        tracing::debug!("not all spans were sent: {e}");
    }
}

pub(super) fn committed(batch: &Batch<'_>) {
    let Some(Sending { tracer, .. }) = SENDING.get() else { return };
    let (committing, took) = batch.commit;
    let ended = time_of(committing + took);
    let mut attributes = attributes_of(batch.of);
    attributes.extend([
        KeyValue::new("messaging.batch.message_count", number(batch.events)),
        KeyValue::new("unspool.position.after", batch.after.to_string()),
        KeyValue::new("unspool.position.through", batch.through.to_string()),
    ]);
    let name = format!("process {}", batch.of.projection);
    let root = tracer.span_builder(name).with_kind(SpanKind::Consumer).with_attributes(attributes);
    let root = root.with_start_time(time_of(batch.times.read.0)).start(tracer);
    let within = Context::new().with_span(root);
    let part = |name: &'static str, from: Instant, to: Instant, attribute: Option<KeyValue>| {
        let span = tracer.span_builder(name).with_start_time(time_of(from)).with_attributes(attribute);
        span.start_with_context(tracer, &within).end_with_timestamp(time_of(to));
    };
    part("read", batch.times.read.0, batch.times.read.1, None);
    let work = KeyValue::new("unspool.cpu_ms", batch.work.as_secs_f64() * 1e3);
    part("handle", batch.times.handled, committing, Some(work));
    part("commit", committing, committing + took, Some(KeyValue::new("unspool.rows", number(batch.rows as u64))));
    within.span().end_with_timestamp(ended);
}

pub(super) fn failed(of: Of<'_>, began: Instant, failure: &EventFailure, metadata: &[u8]) {
    let Some(Sending { tracer, .. }) = SENDING.get() else { return };
    let mut attributes = attributes_of(of);
    attributes.push(KeyValue::new("error.type", name_of(failure.kind)));
    attributes.push(KeyValue::new("messaging.batch.message_count", 1));
    let known = [
        ("messaging.message.id", failure.event_id.clone()),
        ("unspool.event.type", failure.event_type.clone()),
        ("unspool.position", failure.position.map(|position| position.to_string())),
        ("unspool.plugin", failure.plugin_digest.clone()),
    ];
    attributes.extend(known.into_iter().filter_map(|(name, value)| Some(KeyValue::new(name, value?))));
    let name = format!("process {}", of.projection);
    let span = tracer.span_builder(name).with_kind(SpanKind::Consumer).with_attributes(attributes);
    let links = written_in(metadata).map(|context| Link::new(context, Vec::new(), 0));
    let mut span = span.with_start_time(time_of(began)).with_links(links.into_iter().collect()).start(tracer);
    span.set_status(Status::error(failure.message.clone()));
    span.end();
}

fn attributes_of(of: Of<'_>) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", "unspool"),
        KeyValue::new("messaging.operation.type", "process"),
        KeyValue::new("messaging.destination.name", of.source.to_owned()),
        KeyValue::new("messaging.consumer.group.name", of.projection.to_owned()),
        KeyValue::new("unspool.generation", number(of.generation)),
    ]
}

/// Its name, as records have it.
fn name_of(kind: FailureKind) -> String {
    serde_json::to_value(kind).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Attributes have no unsigned numbers.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn time_of(instant: Instant) -> SystemTime {
    SystemTime::now() - instant.elapsed()
}

/// The span in which an event was written, where its metadata have a `traceparent` as <https://www.w3.org/TR/trace-context/>
/// has it.
fn written_in(metadata: &[u8]) -> Option<SpanContext> {
    #[derive(Deserialize)]
    struct Noted {
        traceparent: String,
    }
    let Noted { traceparent } = rmp_serde::from_slice(metadata).ok()?;
    let mut parts = traceparent.split('-').skip(1);
    let (trace, span) = (TraceId::from_hex(parts.next()?).ok()?, SpanId::from_hex(parts.next()?).ok()?);
    let context = SpanContext::new(trace, span, TraceFlags::SAMPLED, true, TraceState::default());
    context.is_valid().then_some(context)
}

/// Requests of the exporter, which has a thread for them.
#[derive(Debug)]
struct Client(Agent);

impl HttpClient for Client {
    fn send_bytes<'life, 'asked>(
        &'life self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'asked>>
    where
        'life: 'asked,
        Self: 'asked,
    {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let answered = self.0.run(Request::from_parts(parts, &body[..]))?;
            let (parts, mut body) = answered.into_parts();
            let body = body.with_config().limit(ANSWER).read_to_vec()?;
            Ok(Response::from_parts(parts, body.into()))
        })
    }
}
