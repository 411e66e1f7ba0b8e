//! What documents promise, whatever they hold.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

/// Any JSON value, with the text that the strategy chose for its numbers.
fn json_text() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        // The integer -0 is left to another test: serde_json reads it as a float.
        "0|-?[1-9][0-9]{0,20}|-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,18}|[eE][+-]?[0-9]{1,3}|\\.[0-9]{1,5}[eE]-?[0-9]{1,3})",
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(|f| serde_json::to_string(&f).unwrap()),
    ];
    let text = ".{0,40}".prop_map(|text| serde_json::to_string(&text).unwrap());
    let leaf = prop_oneof![Just("null".to_owned()), Just("true".to_owned()), Just("false".to_owned()), number, text];
    leaf.prop_recursive(5, 60, 20, |inner| {
        let key = "[ab0-9\"é]{0,3}".prop_map(|key| serde_json::to_string(&key).unwrap());
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(|values| format!("[{}]", values.join(" , "))),
            prop::collection::vec((key, inner), 0..20).prop_map(|entries| {
                let entries: Vec<_> = entries.iter().map(|(key, value)| format!("{key}:{value}")).collect();
                format!("{{{}}}", entries.join(","))
            }),
        ]
    })
}

/// Any MessagePack document, in any encoding.
fn document() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        any::<Option<bool>>().prop_map(|value| mp(&value)),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(|value| mp(&value)),
        any::<f32>().prop_filter("finite", |f| f.is_finite()).prop_map(|value| mp(&value)),
        any::<i8>().prop_map(|value| [&[0xd0][..], &value.to_be_bytes()].concat()),
        any::<i32>().prop_map(|value| [&[0xd2][..], &value.to_be_bytes()].concat()),
        any::<i64>().prop_map(|value| [&[0xd3][..], &value.to_be_bytes()].concat()),
        any::<u16>().prop_map(|value| [&[0xcd][..], &value.to_be_bytes()].concat()),
        any::<u64>().prop_map(|value| [&[0xcf][..], &value.to_be_bytes()].concat()),
        any::<i64>().prop_map(|value| mp(&value)),
        ".{0,40}".prop_map(|text| mp(&text)),
        prop::collection::vec(any::<u8>(), 0..10)
            .prop_map(|bytes| { [&[0xc6, 0, 0, 0, bytes.len() as u8][..], &bytes].concat() }),
    ];
    leaf.prop_recursive(4, 60, 20, |inner| {
        let key = prop_oneof![
            "[a-c1-3]{0,3}".prop_map(|key| [&[0xd9, key.len() as u8][..], key.as_bytes()].concat()),
            (-3..30_i64).prop_map(|key| mp(&key)),
        ];
        let header = |marker: u8, len: usize| vec![marker, 0, 0, 0, len as u8];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(move |values| [
                header(0xdd, values.len()),
                values.concat()
            ]
            .concat()),
            prop::collection::vec((key, inner), 0..20).prop_map(move |entries| {
                let entries: Vec<_> = entries.into_iter().map(|(key, value)| [key, value].concat()).collect();
                [header(0xdf, entries.len()), entries.concat()].concat()
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_quick_way_and_the_exact_way_agree(text in json_text()) {
        match (from_json(&text), exact::from_json(&text, Numbers::Exact, false)) {
            (Ok(quick), Ok(exact)) => prop_assert_eq!(quick, exact),
            (quick, exact) => prop_assert!(quick.is_err() && exact.is_err(), "{quick:?} {exact:?}"),
        }
    }

    #[test]
    fn json_text_is_read_as_its_meaning(text in json_text()) {
        if let Ok(document) = from_json(&text) {
            prop_assert_eq!(canonical(&document), Ok(document.clone()));
            let meaning: Value = serde_json::from_str(&text).unwrap();
            let shown = to_json(&document).unwrap();
            prop_assert_eq!(&shown, &meaning);
            prop_assert_eq!(from_json(&shown.to_string()), Ok(document));
        }
    }

    #[test]
    fn the_canonical_form_keeps_the_meaning_and_is_its_own(document in document()) {
        match canonical(&document) {
            Ok(form) => {
                prop_assert_eq!(check_document(&document), Ok(()));
                prop_assert_eq!(canonical(&form), Ok(form.clone()));
                // Skipping the rewriting of what is canonical changes nothing.
                let mut again = rewrite::Canonical::default();
                prop_assert_eq!(again.rewritten(&document), Ok(&form[..]));
                prop_assert_eq!(again.rewritten(&form), Ok(&form[..]));
                prop_assert_eq!(to_json(&form).unwrap(), to_json(&document).unwrap());
            }
            Err(problem) => {
                let repeated = matches!(problem, DocumentError::RepeatedKey { .. });
                prop_assert!(repeated, "{problem}");
            }
        }
    }

    #[test]
    fn a_float_that_json_shows_is_read_back(bits in any::<u64>(), power in 0..2047_u64) {
        for value in [f64::from_bits(bits), f64::from_bits(power << 52)] {
            if value.is_finite() {
                let document = from_json(&serde_json::to_string(&value).unwrap()).unwrap();
                prop_assert_eq!(document, mp(&value));
            }
        }
    }

    #[test]
    fn no_bytes_surprise_a_reader(mut bytes in prop::collection::vec(any::<u8>(), 0..60), start in "[\\[{\"1.e:,\\\\u]{0,20}") {
        prop_assert_eq!(check_document(&bytes), canonical(&bytes).map(|_| ()));
        prop_assert_eq!(check_document(&bytes), to_json(&bytes).map(|_| ()));
        let _ = from_json(&start);
        let _ = from_json(&format!("[1.5,{start}"));
        let _ = from_json(&String::from_utf8_lossy(&bytes));
        bytes.iter_mut().for_each(|byte| *byte = (*byte & 0x0f) | 0x80);
        prop_assert_eq!(check_document(&bytes), canonical(&bytes).map(|_| ()));
    }

    #[test]
    fn every_part_of_a_document_is_truncated(document in document()) {
        for len in 0..document.len() {
            let mut input = &document[..len];
            if check_document(&document).is_ok() {
                let truncated = matches!(split_document(&mut input), Err(DocumentError::Truncated { .. }));
                prop_assert!(truncated, "cut at {len}");
            }
        }
    }
}
