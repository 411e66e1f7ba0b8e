//! Spans over OTLP, as a receiver of them sees them.

use super::BINARY;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Output,
    sync::mpsc::{Receiver, channel},
};
use unspool_tests::{data::Data, history, plugins::plugin};

/// What the writer of an event may have noted: the example of <https://www.w3.org/TR/trace-context/>.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// Runs a command whose spans go to `receiver`.
fn traced<const N: usize>(data: &Data, receiver: SocketAddr, args: [&str; N]) -> Output {
    let endpoint = format!("http://{receiver}");
    let mut command = data.command(args);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
    command.output().unwrap()
}

/// Takes what is sent to `receiver`, and says that it has arrived.
fn bodies(receiver: TcpListener) -> Receiver<Value> {
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for connection in receiver.incoming() {
            let sender = sender.clone();
            std::thread::spawn(move || answer(connection.unwrap(), |body| sender.send(body).unwrap()));
        }
    });
    received
}

fn answer(connection: TcpStream, mut take: impl FnMut(Value)) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut writer = connection;
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        assert_eq!(line.trim_end(), "POST /v1/traces HTTP/1.1");
        while line.trim_end() != "" {
            line.clear();
            reader.read_line(&mut line).unwrap();
            if let Some((_, value)) =
                line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        take(serde_json::from_slice(&body).unwrap());
        let _ = writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}");
    }
}

/// All spans that have arrived.
fn spans(received: &Receiver<Value>) -> Vec<Value> {
    let mut spans = Vec::new();
    for body in received.try_iter() {
        for resource in body["resourceSpans"].as_array().unwrap() {
            let named = attributes(&resource["resource"]);
            assert_eq!(named["service.name"], json!({ "stringValue": "unspool" }));
            for scope in resource["scopeSpans"].as_array().unwrap() {
                spans.extend(scope["spans"].as_array().unwrap().iter().cloned());
            }
        }
    }
    spans
}

fn attributes(of: &Value) -> BTreeMap<String, Value> {
    let named = of["attributes"].as_array().into_iter().flatten();
    named.map(|one| (one["key"].as_str().unwrap().to_owned(), one["value"].clone())).collect()
}

/// A number, which is text where it has more than 32 bits.
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

#[test]
fn spans_of_commits_add_up_and_a_failure_is_linked_to_where_its_event_was_written() {
    let data = Data::new(BINARY);
    let mut lines = String::from_utf8(history::mixed(3_000, &[(2_000, "Error")])).unwrap();
    // The event that cannot be handled was written in a trace.
    let failing = lines.lines().find(|line| line.contains(r#""Error""#)).unwrap().to_owned();
    let mut event: Value = serde_json::from_str(&failing).unwrap();
    event["metadata"] = json!({ "traceparent": format!("00-{TRACE}-{SPAN}-01"), "by": "somebody" });
    lines = lines.replace(&failing, &event.to_string());
    data.import(&data.file("mixed.ndjson", lines));
    data.install(&plugin("faulty"));
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap();
    let received = bodies(receiver);
    let output = traced(&data, address, ["rebuild", "faulty", "--chunk-size", "50"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let spans = spans(&received);
    let (failed, good): (Vec<_>, Vec<_>) = spans.iter().partition(|span| span["status"]["code"] == 2);
    let [failed] = failed[..] else { panic!("one span of a failure: {failed:#?}") };
    let named = attributes(failed);
    assert_eq!(named["messaging.message.id"], json!({ "stringValue": event["id"] }));
    assert_eq!(named["error.type"], json!({ "stringValue": "handler" }));
    assert_eq!((&failed["links"][0]["traceId"], &failed["links"][0]["spanId"]), (&json!(TRACE), &json!(SPAN)));
    let (roots, parts): (Vec<_>, Vec<_>) = good.into_iter().partition(|span| span["name"] == "process faulty");
    let handled: u64 =
        roots.iter().map(|root| number(&attributes(root)["messaging.batch.message_count"]["intValue"])).sum();
    assert_eq!(handled, data.exits(0, ["status", "faulty"])["eventsProcessed"].as_u64().unwrap());
    assert_eq!(parts.len(), 3 * roots.len());
    for root in &roots {
        let (from, to) = (number(&root["startTimeUnixNano"]), number(&root["endTimeUnixNano"]));
        let mut of: Vec<_> = parts.iter().filter(|part| part["parentSpanId"] == root["spanId"]).collect();
        of.sort_by_key(|part| ["read", "handle", "commit"].iter().position(|name| part["name"] == *name));
        assert_eq!(
            of.iter().map(|part| part["name"].as_str().unwrap()).collect::<Vec<_>>(),
            ["read", "handle", "commit"]
        );
        for part in of {
            assert_eq!(part["traceId"], root["traceId"]);
            let (began, ended) = (number(&part["startTimeUnixNano"]), number(&part["endTimeUnixNano"]));
            // Times are taken from two clocks, each at its own moment.
            const SLACK: u64 = 5_000_000;
            assert!(from <= began + SLACK && began <= ended + SLACK && ended <= to + SLACK, "{part:#} in {root:#}");
        }
    }
}

#[test]
fn a_receiver_that_is_gone_or_never_answers_changes_nothing() {
    // Connections to it are taken by the system, and nobody reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let digests = [silent.local_addr().unwrap(), gone].map(|receiver| {
        let data = Data::new(BINARY);
        data.import(&data.file("fine.ndjson", history::mixed(3_000, &[])));
        data.install(&plugin("faulty"));
        let output = traced(&data, receiver, ["rebuild", "faulty"]);
        assert!(output.status.success(), "{output:?}");
        data.digest("faulty")
    });
    assert_eq!(digests[0], digests[1]);
}
