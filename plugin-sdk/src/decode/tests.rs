use super::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Open,
    Sent(u8),
    Lost { at: i64 },
    Pair(u8, u8),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wrapper(u64);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Everything<'a> {
    #[serde(borrow)]
    text: &'a str,
    owned: String,
    letter: char,
    small: i8,
    large: u64,
    negative: i64,
    real: f64,
    flag: bool,
    none: Option<u8>,
    some: Option<u8>,
    unit: (),
    pair: (u8, String),
    list: Vec<i32>,
    map: BTreeMap<String, u64>,
    numbers: BTreeMap<u8, u8>,
    statuses: Vec<Status>,
    wrapper: Wrapper,
}

fn everything() -> Everything<'static> {
    Everything {
        text: "naïve",
        owned: "x".repeat(70_000),
        letter: 'ß',
        small: -128,
        large: u64::MAX,
        negative: i64::MIN,
        real: 0.1,
        flag: true,
        none: None,
        some: Some(200),
        unit: (),
        pair: (1, "p".repeat(40)),
        list: (-20..20).map(|n| n * 1000).collect(),
        map: (0..300).map(|n| (n.to_string(), n * n)).collect(),
        numbers: BTreeMap::from([(1, 2), (200, 3)]),
        statuses: vec![Status::Open, Status::Sent(3), Status::Lost { at: -1 }, Status::Pair(1, 2)],
        wrapper: Wrapper(9),
    }
}

#[test]
fn what_rmp_serde_writes_comes_back() {
    let bytes = rmp_serde::to_vec_named(&everything()).unwrap();
    assert_eq!(from_slice::<Everything<'_>>(&bytes).unwrap(), everything());
}

#[test]
fn every_truncation_is_refused_and_bytes_behind_the_value_too() {
    let mut bytes = rmp_serde::to_vec_named(&Everything { owned: String::new(), ..everything() }).unwrap();
    for len in 0..bytes.len() {
        assert!(from_slice::<Everything<'_>>(&bytes[..len]).is_err(), "cut at {len}");
        assert!(from_slice::<serde::de::IgnoredAny>(&bytes[..len]).is_err(), "cut at {len}");
    }
    from_slice::<serde::de::IgnoredAny>(&bytes).unwrap();
    bytes.push(0);
    assert!(from_slice::<Everything<'_>>(&bytes).is_err());
}

#[derive(Debug, Deserialize)]
struct Order {
    #[serde(rename = "orderId")]
    _id: String,
    #[serde(rename = "lines")]
    _lines: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Line {
    #[serde(rename = "qty")]
    _qty: i64,
}

fn refused(json: serde_json::Value) -> (String, String) {
    let error = from_slice::<Order>(&rmp_serde::to_vec_named(&json).unwrap()).unwrap_err();
    (error.field().to_owned(), error.to_string())
}

#[test]
fn an_error_names_the_field() {
    use serde_json::json;
    assert_eq!(refused(json!({})), ("orderId".into(), "field `orderId`: is missing".into()));
    assert_eq!(
        refused(json!({ "orderId": 7 })),
        ("orderId".into(), "field `orderId`: invalid type: integer `7`, expected a string".into())
    );
    for (qty, shown) in [
        (json!(true), "boolean `true`"),
        (json!("three"), "string \"three\""),
        (json!(1e308), "floating point `1e308`, expected i64"),
        (json!(5.0), "floating point"),
        (json!(null), "nil"),
        (json!(u64::MAX), "integer `18446744073709551615`"),
        (json!({}), "map"),
    ] {
        let (field, message) = refused(json!({ "orderId": "a", "lines": [{ "qty": 1 }, { "qty": qty }] }));
        assert_eq!(field, "lines[1].qty");
        assert!(message.contains(shown), "{message}");
    }
    assert_eq!(refused(json!(["a", []])).0, "", "a struct is a map, never an array");
    assert_eq!(refused(json!({ "orderId": "a", "lines": [[1]] })).0, "lines[0]", "nor is one within another");
    assert_eq!(refused(json!({ "orderId": "a", "lines": [{}] })).0, "lines[0].qty");
}

#[test]
fn a_variant_goes_by_its_name() {
    let status = |json| from_slice::<Vec<Status>>(&rmp_serde::to_vec_named(&json).unwrap());
    let lost = serde_json::json!([{ "lost": { "at": 1 } }, "open"]);
    assert_eq!(status(lost).unwrap(), [Status::Lost { at: 1 }, Status::Open]);
    for (json, field) in [
        (serde_json::json!(["open", 0]), "[1]"),
        (serde_json::json!(["shut"]), "[0]"),
        (serde_json::json!([["open"]]), "[0]"),
        (serde_json::json!([{}]), "[0]"),
        (serde_json::json!([{ "lost": [1] }]), "[0].lost"),
        (serde_json::json!([{ "lost": {} }]), "[0].lost.at"),
        (serde_json::json!([{ "sent": "three" }]), "[0].sent"),
    ] {
        let error = status(json).unwrap_err();
        assert!(error.field().starts_with(field), "{error} instead of {field}");
    }
}

#[test]
fn an_array_that_claims_more_than_it_holds_allocates_nothing_for_it() {
    assert!(from_slice::<Vec<u64>>(&[0xdd, 0xff, 0xff, 0xff, 0xff]).is_err());
}

#[test]
fn nesting_is_bounded() {
    #[derive(Debug, Deserialize)]
    struct Nested(#[expect(dead_code, reason = "it is only decoded")] Vec<Nested>);
    let deep = [vec![0x91; 100_000], vec![0x90]].concat();
    assert!(from_slice::<Nested>(&deep).unwrap_err().to_string().contains("nested too deeply"));
    from_slice::<Nested>(&[vec![0x91; 100], vec![0x90]].concat()).unwrap();
}
