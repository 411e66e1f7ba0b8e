//! What documents promise.

mod properties;

use super::*;
use crate::limits;
use serde_json::json;

fn mp(value: &impl serde::Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// The one problem that all readers of MessagePack have with `bytes`.
fn problem(bytes: &[u8]) -> DocumentError {
    let problem = check_document(bytes).unwrap_err();
    assert_eq!(canonical(bytes).unwrap_err(), problem);
    assert_eq!(to_json(bytes).unwrap_err(), problem);
    assert!(!problem.to_string().is_empty());
    problem
}

fn nested(levels: usize) -> Vec<u8> {
    let mut bytes = vec![0x91; levels];
    bytes.push(0xc0);
    bytes
}

#[test]
fn what_json_cannot_show_is_refused() {
    use DocumentError::*;
    assert_eq!(problem(&[]), Truncated { at: 0 });
    assert_eq!(problem(&hex("c0 c0 c0")), Trailing { at: 1, bytes: 2 });
    assert_eq!(problem(&hex("92 01 c1")), Reserved { at: 2 });
    for extension in
        ["d4 01 00", "d5 01 00 00", "d6 ff 00 00 00 00", "d7 01", "d8 01", "c7 01 05 00", "c8 00 01 05 00", "c9"]
    {
        assert_eq!(problem(&hex(extension)), Extension { at: 0 });
    }
    assert_eq!(problem(&hex("a1 ff")), NotUtf8 { at: 0 });
    assert_eq!(problem(&hex("81 a1 ff 01")), NotUtf8 { at: 1 });
    for (float, value) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf"), (f64::NEG_INFINITY, "-inf")] {
        assert_eq!(problem(&mp(&[float])), NotFinite { at: 1, value: value.into() });
        assert_eq!(problem(&mp(&[float as f32])), NotFinite { at: 1, value: value.into() });
    }
    for (key, found) in [
        ("c0", "nil"),
        ("c2", "a boolean"),
        ("cb 3f f0 00 00 00 00 00 00", "a float"),
        ("c4 00", "binary"),
        ("90", "an array"),
    ] {
        assert_eq!(problem(&hex(&format!("81 {key} 01"))), Key { at: 1, found });
    }
    assert_eq!(problem(&hex("81 80 01")), Key { at: 1, found: "a map" });
}

#[test]
fn nesting_is_bounded_in_every_reader() {
    assert_eq!(check_document(&nested(limits::DOCUMENT_DEPTH)), Ok(()));
    assert_eq!(problem(&nested(limits::DOCUMENT_DEPTH + 1)), DocumentError::TooDeep);
    assert_eq!(problem(&nested(10_000_000)), DocumentError::TooDeep);
    // After a float the exact path is taken.
    for (opening, open, close) in [
        ("[1,[", "[", "]"),
        ("[1.5,[", "[", "]"),
        ("{\"f\":1,\"a\":{", "\"a\":{", "}"),
        ("{\"f\":1.5,\"a\":{", "\"a\":{", "}"),
    ] {
        let text = |levels: usize| format!("{opening}{}{}", open.repeat(levels - 2), close.repeat(levels));
        assert!(from_json(&text(limits::DOCUMENT_DEPTH)).is_ok());
        for levels in [limits::DOCUMENT_DEPTH + 1, 127, 128, 129, 1_000_000] {
            assert_eq!(from_json(&text(levels)), Err(DocumentError::TooDeep), "{opening} {levels}");
        }
    }
}

#[test]
fn claimed_lengths_cost_nothing() {
    let started = std::time::Instant::now();
    for marker in ["d9 ff", "da ff ff", "db ff ff ff ff", "c4 ff", "c5 ff ff", "c6 ff ff ff ff"] {
        assert_eq!(problem(&hex(marker)), DocumentError::Truncated { at: 0 });
    }
    for marker in ["dc ff ff", "dd ff ff ff ff", "de ff ff", "df ff ff ff ff"] {
        assert_eq!(problem(&hex(marker)), DocumentError::Truncated { at: hex(marker).len() });
        let begun = [hex(marker), hex("01 02")].concat();
        assert_eq!(problem(&begun), DocumentError::Truncated { at: begun.len() });
    }
    assert!(started.elapsed().as_secs() < 5);
}

#[test]
fn a_key_twice_is_refused_by_name() {
    let repeated = |key: &str| DocumentError::RepeatedKey { key: key.into() };
    assert_eq!(problem(&hex("82 a1 61 01 a1 61 02")), repeated("a"));
    assert_eq!(problem(&hex("82 a1 61 01 d9 01 61 02")), repeated("a"));
    assert_eq!(problem(&hex("83 01 01 a1 61 01 cc 01 02")), repeated("1"));
    assert_eq!(problem(&hex("82 d0 ff c0 ff c0")), repeated("-1"));
    assert_eq!(problem(&hex("91 82 07 c0 a1 37 c0")), repeated("7"));
    let mut many: Vec<u8> = hex("de 00 65");
    for n in (0..100_u8).rev().chain([50]) {
        many.extend([0xcc, n, 0xc0]);
    }
    assert_eq!(problem(&many), repeated("50"));
    for text in [r#"{"a":1,"b":2,"a":3}"#, r#"{"a":1.5,"b":2,"\u0061":3}"#, r#"[{"a":1.5},{"a":1,"a":1}]"#] {
        assert_eq!(from_json(text), Err(repeated("a")));
    }
    let long = r#"{"prefix-a":1,"prefix-b":2,"prefix-a":3}"#;
    assert_eq!(from_json(long), Err(repeated("prefix-a")));
    // Keys that only look alike.
    for map in ["82 01 c0 a2 30 31 c0", "82 a1 61 c0 a1 41 c0", "82 07 c0 a2 2b 37 c0", "82 00 c0 a2 2d 30 c0"] {
        assert_eq!(check_document(&hex(map)), Ok(()));
    }
}

#[test]
fn the_canonical_form_is_the_shortest_in_key_order() {
    for (given, expected) in [
        ("cc 7f", "7f"),
        ("cc 80", "cc 80"),
        ("cd 00 80", "cc 80"),
        ("cf 00 00 00 00 00 00 00 00", "00"),
        ("ce 00 01 00 00", "ce 00 01 00 00"),
        ("cf 00 00 00 00 ff ff ff ff", "ce ff ff ff ff"),
        ("cf ff ff ff ff ff ff ff ff", "cf ff ff ff ff ff ff ff ff"),
        ("d0 05", "05"),
        ("d0 e0", "e0"),
        ("d0 df", "d0 df"),
        ("d1 ff 80", "d0 80"),
        ("d1 ff 7f", "d1 ff 7f"),
        ("d2 ff ff 80 00", "d1 80 00"),
        ("d3 00 00 00 00 00 00 01 00", "cd 01 00"),
        ("d3 ff ff ff ff 80 00 00 00", "d2 80 00 00 00"),
        ("d3 80 00 00 00 00 00 00 00", "d3 80 00 00 00 00 00 00 00"),
        ("ca 3f 80 00 00", "cb 3f f0 00 00 00 00 00 00"),
        ("d9 01 61", "a1 61"),
        ("db 00 00 00 01 61", "a1 61"),
        ("c5 00 01 07", "c4 01 07"),
        ("dc 00 02 c2 c3", "92 c2 c3"),
        ("dd 00 00 00 01 c0", "91 c0"),
        ("df 00 00 00 01 01 02", "81 01 02"),
        ("83 a2 61 61 01 a1 62 02 05 03", "83 05 03 a1 62 02 a2 61 61 01"),
        ("82 ff 01 a1 61 82 a1 62 01 a1 61 02", "82 a1 61 82 a1 61 02 a1 62 01 ff 01"),
    ] {
        assert_eq!(canonical(&hex(given)), Ok(hex(expected)), "{given}");
        assert_eq!(canonical(&hex(expected)), Ok(hex(expected)), "{expected}");
    }
    let sorted = from_json(r#"{"prefix-a":1,"prefix-b":2,"prefix-c":3}"#).unwrap();
    assert_eq!(from_json(r#"{"prefix-b":2,"prefix-c":3,"prefix-a":1}"#), Ok(sorted.clone()));
    assert_eq!(canonical(&sorted), Ok(sorted));
    for len in [15, 16, 255, 256, 65_535, 65_536] {
        let text = "x".repeat(len);
        assert_eq!(canonical(&mp(&text)), Ok(mp(&text)));
        let values: Vec<usize> = (0..len).collect();
        assert_eq!(from_json(&serde_json::to_string(&values).unwrap()), Ok(mp(&values)));
        let map: serde_json::Map<_, _> = (0..len).map(|n| (format!("{:06}", len - n), json!(n))).collect();
        let sorted: std::collections::BTreeMap<_, _> = map.iter().collect();
        assert_eq!(from_json(&serde_json::to_string(&map).unwrap()), Ok(mp(&sorted)));
        assert_eq!(canonical(&mp(&map)), Ok(mp(&sorted)));
    }
}

#[test]
fn documents_are_shown_as_json() {
    let shown =
        to_json(&hex("84 01 c0 ff c3 a1 61 c4 03 01 02 ff a1 62 93 ca 3f 00 00 00 c2 d3 80 00 00 00 00 00 00 00"))
            .unwrap();
    assert_eq!(shown.to_string(), r#"{"1":null,"-1":true,"a":"AQL/","b":[0.5,false,-9223372036854775808]}"#);
}

#[test]
fn numbers_are_held_exactly_or_refused() {
    let held = [
        "0",
        "-0",
        "1",
        "-1",
        "18446744073709551615",
        "-9223372036854775808",
        "1.0",
        "0.0",
        "-0.0",
        "1e3",
        "1E+3",
        "1.50",
        "0e999999999999999999999",
        "-0.000e-5",
        "0.1",
        "0.30000000000000004",
        "31.3",
        "5e-324",
        "1.7976931348623157e308",
        "100.0e-2",
        "0.000000000000000000000000000000000000001e39",
        "123456789012345680000.0",
        "5.986310706507379e51",
        "2.2250738585072014e-308",
        "0.10000000000000001",
        "9007199254740992.0",
        "1e22",
        "1e23",
    ];
    for literal in held {
        let document = from_json(literal).unwrap_or_else(|problem| panic!("{literal}: {problem}"));
        match literal {
            "0" | "-0" => assert_eq!(document, [0]),
            _ if literal.contains(['.', 'e', 'E']) => assert_eq!(document, mp(&literal.parse::<f64>().unwrap())),
            _ => assert_eq!(to_json(&document).unwrap().to_string(), literal),
        }
    }
    let refused = [
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890",
        "1e309",
        "-1e400",
        "1e-400",
        "1e-324",
        "0.1000000000000000055",
        "3.141592653589793238462643383279",
        "9007199254740993.0",
        "1e99999999999999999999",
        "0.30000000000000005",
        "123456789012345678.5",
        "1e-99999999999999999999",
    ];
    for literal in refused {
        let number = |path: &str| DocumentError::Number { path: path.into(), literal: literal.into() };
        assert_eq!(from_json(literal), Err(number("")), "{literal}");
        let text = format!(r#"{{"a":1,"lines":[{{}},{{"amount":{literal}}}]}}"#);
        assert_eq!(from_json(&text), Err(number("lines[1].amount")));
        assert_eq!(from_json(&format!("[1.5,[{literal}]]")), Err(number("[1][0]")));
    }
    let message = from_json(r#"{"a":[1e400]}"#).unwrap_err().to_string();
    assert_eq!(message, "the number 1e400 at a[0] cannot be held exactly; write it as text");
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    let place = |text: &str| match from_json(text) {
        Err(DocumentError::Json { line, column, problem }) => {
            assert!(!problem.contains("line"), "{problem}");
            (line, column)
        }
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(place(""), (1, 0));
    assert_eq!(place("{\"a\":1,\n\"b\":}"), (2, 5));
    assert_eq!(place("{\"a\":1.5,\n\"b\":}"), (2, 5));
    // Half of a character, with and without a float before it.
    let half = |text: &str| match from_json(text) {
        Err(DocumentError::HalfSurrogate { escape, line, column }) => (escape, line, column),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(half(r#"["\ud800"]"#), (r"\ud800".to_owned(), 1, 3));
    assert_eq!(half(r#"[1.5,"\uDC00\ud800"]"#), (r"\uDC00".to_owned(), 1, 7));
    assert_eq!(half("[1.5,\n [\"\\\\ud800\\ud83d\\ude00\\ud800x\"]]"), (r"\ud800".to_owned(), 2, 23));
    assert_eq!(place(r#"["\ud8"]"#), (1, 8));
    for text in
        ["01", "1.", ".5", "+1", "NaN", "Infinity", "tru", "1 2", "[1,]", "{a:1}", "'a'", "\"\u{1}\"", "[1.5", "-"]
    {
        place(text);
    }
}

#[test]
fn a_document_is_split_off_or_left_alone() {
    let bytes = hex("92 01 02 a1 61 92");
    let mut input = bytes.as_slice();
    assert_eq!(split_document(&mut input), Ok(&bytes[..3]));
    assert_eq!(split_document(&mut input), Ok(&bytes[3..5]));
    assert_eq!(split_document(&mut input), Err(DocumentError::Truncated { at: 1 }));
    assert_eq!(input, [0x92]);
}
