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
fn rows_are_encoded_as_rmp_serde_would() {
    let mut bytes = Vec::new();
    crate::encode::append(&everything(), &mut bytes).unwrap();
    assert_eq!(bytes, rmp_serde::to_vec_named(&everything()).unwrap());
}

#[test]
fn sequences_and_maps_that_do_not_say_their_length_are_counted() {
    struct Odd;
    impl Serialize for Odd {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
            serializer.collect_seq((0..40u8).filter(|n| n % 2 == 1))
        }
    }
    struct Squares;
    impl Serialize for Squares {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
            serializer.collect_map((0..40u64).filter(|n| n % 2 == 1).map(|n| (n, n * n)))
        }
    }
    let mut bytes = Vec::new();
    crate::encode::append(&(Odd, Squares), &mut bytes).unwrap();
    let (odd, squares): (Vec<u8>, BTreeMap<u64, u64>) = from_slice(&bytes).unwrap();
    assert!(odd.into_iter().eq((0..40).filter(|n| n % 2 == 1)));
    assert_eq!((squares.len(), squares[&39]), (20, 1521));
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
        (json!(1e308), "floating point"),
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
}

#[test]
fn an_array_that_claims_more_than_it_holds_allocates_nothing_for_it() {
    assert!(from_slice::<Vec<u64>>(&[0xdd, 0xff, 0xff, 0xff, 0xff]).is_err());
}

#[test]
fn nesting_is_bounded() {
    #[derive(Debug, Deserialize)]
    struct Nested(#[allow(dead_code)] Vec<Nested>);
    let deep = [vec![0x91; 100_000], vec![0x90]].concat();
    assert!(from_slice::<Nested>(&deep).unwrap_err().to_string().contains("nested too deeply"));
    from_slice::<serde::de::IgnoredAny>(&deep).unwrap();
}
