//! What events look like, as `events schema` has it: from each source, for people and in languages.

use serde_json::{Value, json};
use unspool_tests::{
    data::Data,
    http::{Asker, HttpHost},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

fn lines() -> String {
    let events = [
        (
            "PaymentReceived",
            1,
            json!({ "customerId": "ada", "cents": 1299, "lines": [{ "sku": "a-1", "n": 2 }], "type": "card" }),
        ),
        ("PaymentReceived", 1, json!({ "customerId": "bob", "cents": -5, "note": null, "lines": [] })),
        ("PaymentReceived", 2, json!({ "customer": { "id": "ada" }, "cents": 18_446_744_073_709_551_615_u64 })),
        ("payment.refunded", 1, json!({ "share": 0.5, "reason": "late" })),
        ("payment.refunded", 1, json!({ "share": 1, "reason": 7 })),
    ];
    let line = |(n, (kind, version, data)): (usize, &(&str, u32, Value))| {
        format!(
            "{}\n",
            json!({ "id": format!("e{n}"), "stream": "s", "type": kind, "timestamp": n, "schemaVersion": version, "data": data })
        )
    };
    events.iter().enumerate().map(line).collect()
}

#[test]
fn the_log_and_a_file_have_the_same_types() {
    let data = Data::new(BINARY);
    let file = data.file("payments.ndjson", lines());
    data.import(&file);
    let found = data.list(["events", "schema"]);
    let kinds: Vec<_> =
        found.iter().map(|kind| (kind["type"].as_str().unwrap(), &kind["schemaVersion"], &kind["count"])).collect();
    assert_eq!(json!(kinds), json!([["PaymentReceived", 1, 2], ["PaymentReceived", 2, 1], ["payment.refunded", 1, 2]]));
    let field = |name: &str| {
        let fields = found[0]["payload"]["fields"].as_array().unwrap();
        fields.iter().find(|field| field["name"] == name).unwrap()["shape"].clone()
    };
    assert_eq!(field("cents"), json!({ "count": 2, "integers": 2, "negative": true, "examples": [1299, -5] }));
    assert_eq!(field("note"), json!({ "count": 1, "nulls": 1 }));
    let from_file = data.list(["events", "schema", "--source", &format!("file:{}", file.display())]);
    assert_eq!(from_file, found);
    let one = data.list(["events", "schema", "--type", "payment.refunded"]);
    assert_eq!(one, found[2..]);
    data.exits(3, ["events", "schema", "--type", "payment.refunded", "--type", "Payment"]);
    // A file needs no data directory; the log is in one, and this one has no events.
    let other = Data::new(BINARY);
    assert_eq!(other.list(["events", "schema", "--source", &format!("file:{}", file.display())]), found);
    other.exits(2, ["events", "schema"]);
}

#[test]
fn languages_have_types_for_them() {
    let data = Data::new(BINARY);
    data.import(&data.file("payments.ndjson", lines()));
    let typescript = "\
// What the events of log look like, learned from 5 of them.

export interface PaymentReceived {
  cents: number;
  customerId: string;
  lines: Array<{
    n: number;
    sku: string;
  }>;
  note?: null;
  type?: string;
}

export interface PaymentReceivedV2 {
  cents: number | bigint;
  customer: {
    id: string;
  };
}

export interface PaymentRefunded {
  reason: number | string;
  share: number;
}

/** What is in the events of each type. */
export interface Events {
  PaymentReceived: PaymentReceived | PaymentReceivedV2;
  \"payment.refunded\": PaymentRefunded;
}
";
    assert_eq!(data.ok(["events", "schema", "--lang", "ts"]), typescript);
    let rust = "\
// What the events of log look like, learned from 2 of them.

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum PaymentRefundedReasonValue {
    Integer(i64),
    Text(String),
}

/// payment.refunded, version 1.
#[derive(Debug, Clone, Deserialize)]
pub struct PaymentRefunded {
    pub reason: PaymentRefundedReasonValue,
    pub share: f64,
}
";
    assert_eq!(data.ok(["events", "schema", "--lang", "rust", "--type", "payment.refunded"]), rust);
    let received = data.ok(["events", "schema", "--lang", "rust", "--type", "PaymentReceived"]);
    for line in [
        "    #[serde(rename = \"customerId\")]\n    pub customer_id: String,",
        "    #[serde(default)]\n    #[serde(rename = \"type\")]\n    pub type_: Option<String>,",
        "    pub lines: Vec<PaymentReceivedLinesItem>,",
        "    pub cents: u64,",
        "    pub customer: PaymentReceivedV2Customer,",
    ] {
        assert!(received.contains(line), "{line} in {received}");
    }
    let schema: Value = serde_json::from_str(&data.ok(["events", "schema", "--lang", "json-schema"])).unwrap();
    assert_eq!(schema["$defs"]["PaymentReceived"]["required"], json!(["cents", "customerId", "lines"]));
    assert_eq!(schema["$defs"]["PaymentRefunded"]["properties"]["share"], json!({ "type": "number" }));
    assert_eq!(schema["oneOf"].as_array().unwrap().len(), 3);
}

#[test]
fn examples_are_payloads_which_not_everybody_may_see() {
    let data = Data::new(BINARY);
    data.import(&data.file("payments.ndjson", lines()));
    let host = HttpHost::start(&data, &[]);
    let seen = |payloads: &str| {
        let types =
            host.get(&Asker::token(&data, payloads, "operator", payloads), "/v1/events/schema?type=PaymentReceived");
        let texts = types["types"][0]["payload"]["fields"][1]["shape"].clone();
        assert_eq!(texts["texts"], 2, "{types:#}");
        texts["examples"].clone()
    };
    assert_eq!(seen("full"), json!(["ada", "bob"]));
    assert_eq!(seen("masked"), json!(["(text)", "(text)"]));
    assert_eq!(seen("none"), json!(["(text)", "(text)"]));
}
