//! The table of JSON fields in the reference has every field that an answer has, and no other.

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Visitor, value::Error},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use unspool::{
    control, rebuild,
    source::log::{ImportSummary, LogStats},
    store::{Adopted, BuiltRange, CheckReport, CheckedActivity, HashedEntry, Install, Outcome},
    vocabulary::{EventFailure, Lag, LiveGeneration, Position, Progress, Shape, Waiting},
};

type Names = BTreeSet<String>;

/// Asks a type for the names of its fields, or of its variants.
struct Asking<'a>(&'a mut Names);

impl<'de> Deserializer<'de> for Asking<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("a type with fields says which they are"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.extend(fields.iter().map(|field| (*field).to_owned()));
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_struct(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// The fields of a type, as they are written.
fn fields<T: DeserializeOwned>() -> Names {
    let mut names = Names::new();
    assert!(T::deserialize(Asking(&mut names)).is_err());
    assert!(!names.is_empty(), "{} does not say what it has", std::any::type_name::<T>());
    names
}

/// The fields of values that are written in one with others.
fn fields_of(value: &impl Serialize) -> Names {
    let Value::Object(fields) = serde_json::to_value(value).unwrap() else { panic!("an object is expected") };
    fields.into_iter().map(|(name, _)| name).collect()
}

fn names<const N: usize>(names: [&str; N]) -> Names {
    names.map(str::to_owned).into()
}

fn comparison<T: Serialize>(value: T) -> Names {
    let names = fields_of(&value);
    assert!(names.is_superset(&fields::<rebuild::Comparison>()));
    names
}

fn verified() -> Names {
    let (projection_name, plugin_digest) = (String::new(), String::new());
    comparison(rebuild::VerifyReport {
        projection_name,
        generation: 1,
        position: Position::START,
        plugin_digest,
        events: 0,
        comparison: rebuild::Comparison::default(),
        repaired_by: None,
    })
}

fn tried() -> Names {
    comparison(rebuild::TrialReport {
        projection_name: String::new(),
        current_digest: String::new(),
        candidate_digest: String::new(),
        source: String::new(),
        after: Position::START,
        parked: (0, 0),
        comparison: rebuild::Comparison::default(),
    })
}

fn triggered() -> Names {
    let answers = [
        json!({ "status": "started", "projectionName": "p", "checkpointId": "p/1", "source": "a", "sourceWas": "b" }),
        json!({ "status": "already_running", "projectionName": "p", "checkpointId": "p/1" }),
        json!({ "status": "resumed", "projectionName": "p", "checkpointId": "p/1", "fromEventId": "e" }),
    ];
    let answer = |value: &Value| rebuild::TriggerAnswer::deserialize(value).unwrap();
    answers.iter().flat_map(|value| fields_of(&answer(value))).collect()
}

fn dead_letter_in_full() -> Names {
    let contents = [json!({ "raw": {} }), json!({ "timestamp": 1, "data": null, "metadata": null })];
    let letter = |content: &Value| {
        let mut value = json!({ "stream": "s", "position": 1, "unreadable": false });
        value.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        control::DeadLetterInFull::deserialize(value).unwrap()
    };
    contents.iter().flat_map(|content| fields_of(&letter(content))).collect()
}

fn changes() -> Names {
    let changes = [
        json!({ "table": "t", "key": "k", "value": null, "position": 1, "token": "a" }),
        json!({ "snapshot": 1, "position": 1, "because": "so" }),
        json!({ "promoted": 2, "from": 1, "position": 1 }),
        json!({ "complete": 1, "position": 1, "token": "a" }),
    ];
    changes.iter().flat_map(|value| fields_of(&control::Change::deserialize(value).unwrap())).collect()
}

fn entry() -> Names {
    fields_of(&HashedEntry::deserialize(json!({
        "seq": 1, "at": 1, "actor": { "kind": "user", "name": "ann" }, "via": "cli", "request": "pause", "requestId": "1",
        "arguments": {}, "projection": "p", "change": { "what": "status", "before": null, "after": null }, "outcome": "done",
        "message": "m", "reason": "r", "hash": "h",
    })).unwrap())
}

/// What each row of the table speaks of, with the fields of what is answered there.
fn answers() -> Vec<(&'static str, Names)> {
    let cancelled = json!({ "status": "cancelled", "projectionName": "p" });
    vec![
        ("`status`, `list`, `pause`", fields::<Progress>()),
        ("`rebuild`, `resume`", &names(["trigger"]) | &triggered()),
        ("`rebuild --stream`", fields::<rebuild::StreamReport>()),
        ("`cancel`", fields_of(&rebuild::CancelAnswer::deserialize(cancelled).unwrap())),
        ("`follow`, `unfollow`, `catch-up`", fields::<rebuild::FollowReport>()),
        ("`failure`", fields::<EventFailure>()),
        ("`model history`", fields::<rebuild::RowChange>()),
        ("`rebuild --dry-run`", fields::<rebuild::Plan>()),
        ("`plugin build`, `plugin wrap`", fields::<control::BuiltPlugin>()),
        ("`plugin check`", fields::<control::CheckedPlugin>()),
        ("`plugin install`", fields::<control::Installed>()),
        ("`plugin list`", fields::<control::ListedProjection>()),
        ("`plugin history`", fields::<Install>()),
        ("`plugin try`", tried()),
        ("`plugin verify`", fields::<rebuild::DeterminismReport>()),
        ("`plugin swap`, `plugin rollback`", fields::<rebuild::SwapReport>()),
        ("`model verify`", verified()),
        ("`model promote`, `model rollback`", fields::<control::Switched>()),
        ("`model receipt`", fields::<control::Receipt>()),
        ("`dead-letters list`", fields::<control::DeadLetter>()),
        ("`dead-letters show`", &dead_letter_in_full() - &fields::<control::DeadLetter>()),
        ("`dead-letters retry`, `discard`", fields::<rebuild::RetryReport>()),
        ("`activity`", entry()),
        ("`activity check`", fields::<CheckedActivity>()),
        ("`alert list`", fields::<control::ListedAlertRoute>()),
        ("`alert test`", &fields::<control::TestedAlertRoute>() | &fields::<control::AlertsTested>()),
        ("`model diff`", names(["table", "key", "change", "fields"])),
        ("`model diff`, at the end", fields::<rebuild::DiffReport>()),
        ("`token add`", names(["name", "role", "payloads", "token"])),
        ("`token list`", names(["name", "role", "payloads", "createdAt"])),
        ("`health`", names(["status"])),
        ("`ui`", fields::<control::SessionCode>()),
        ("`store check`", fields::<CheckReport>()),
        ("`store adopt`", fields::<Adopted>()),
        ("`store backup`", fields::<control::BackedUp>()),
        ("`store compact`", fields::<control::Compacted>()),
        ("`model export` with `--out`", fields::<control::ExportedTable>()),
        ("`model watch`", changes()),
        ("`model digest`", fields::<control::Digest>()),
        ("`model generations`, `model as-of`", fields::<control::ListedGeneration>()),
        ("`model drop`", fields::<control::Dropped>()),
        ("`events import`", fields::<ImportSummary>()),
        ("`events stats`", fields::<LogStats>()),
        ("`events schema`", fields::<control::EventShape>()),
        ("`events show`", fields::<control::LoggedEvent>()),
    ]
}

/// What the parentheses behind a field list, in a row of the table.
fn parts() -> Vec<(&'static str, &'static str, Names)> {
    vec![
        ("`status`, `list`, `pause`", "live", fields::<LiveGeneration>()),
        ("`status`, `list`, `pause`", "follow", fields::<Lag>()),
        ("`status`, `list`, `pause`", "waiting", fields::<Waiting>()),
        ("`plugin verify`", "runs", fields::<rebuild::Run>()),
        ("`plugin verify`", "difference", fields::<rebuild::Divergence>()),
        ("`model receipt`", "events", fields::<control::ReceiptEvents>()),
        ("`model history`", "fields", fields::<rebuild::FieldChange>()),
        ("`model diff`", "fields", fields::<rebuild::FieldDiff>()),
        ("`model diff`, at the end", "counts", fields::<rebuild::DiffCounts>()),
        ("`events schema`", "payload", fields::<Shape>()),
        ("`activity`", "outcome", fields::<Outcome>()),
        ("`alert list`", "last", fields::<control::LastDelivery>()),
        ("`model generations`, `model as-of`", "ranges", fields::<BuiltRange>()),
        ("`model generations`, `model as-of`", "role", fields::<control::GenerationRole>()),
    ]
}

/// The rows of the table: what each speaks of, and what it says.
fn table() -> BTreeMap<String, String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../host/docs/reference.md")).unwrap();
    let (_, rest) = page.split_once("| command or object | fields |").unwrap();
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let (of, says) = row.trim_matches(['|', ' ']).split_once(" | ").unwrap();
        (of.to_owned(), says.to_owned())
    })
    .collect()
}

/// A text without what stands in parentheses, which may have some in them.
fn without_parentheses(text: &str) -> String {
    let mut depth = 0;
    let mut outside = |c: char| {
        depth += i32::from(c == '(');
        let out = depth == 0;
        depth -= i32::from(c == ')');
        out
    };
    text.chars().filter(|c| outside(*c)).collect()
}

/// What stands between backticks, but for options.
fn quoted(text: &str) -> Names {
    text.split('`').skip(1).step_by(2).filter(|word| !word.starts_with("--")).map(str::to_owned).collect()
}

#[test]
fn the_table_of_json_fields_is_that_of_the_types() {
    let (table, answers) = (table(), answers());
    let spoken_of: Names = answers.iter().map(|(of, _)| (*of).to_owned()).collect();
    assert_eq!(table.keys().cloned().collect::<Names>(), spoken_of);
    for (of, fields) in answers {
        // What an unreadable event has is its source's.
        let says = table[of].split_once("`raw`:").map_or(table[of].clone(), |(before, _)| format!("{before}`raw`"));
        assert_eq!(quoted(&without_parentheses(&says)), fields, "{of}");
    }
    for (of, field, expected) in parts() {
        let (_, behind) = table[of].split_once(&format!("`{field}` (")).unwrap();
        let (within, _) = behind.split_once(')').unwrap();
        assert_eq!(quoted(within), expected, "{field} of {of}");
    }
}

#[test]
fn every_kind_of_error_is_in_the_reference() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../host/docs/reference.md")).unwrap();
    let (_, rest) = page.split_once("`kind` is ").unwrap();
    let (says, _) = rest.split_once(". A rebuild that fails").unwrap();
    let kinds = fields::<control::ErrorKind>();
    let kind = |name: &String| control::ErrorKind::deserialize(Value::from(name.as_str())).unwrap();
    let told: Names = kinds.iter().map(|name| kind(name).name().to_owned()).collect();
    assert_eq!(quoted(&without_parentheses(says)), told);
}

/// Answers come over the socket as they were given.
#[test]
fn what_is_answered_is_the_same_behind_the_socket() {
    let difference = json!({ "table": "t", "key": "k", "what": "different", "fields": [
        { "field": ".a", "expected": null, "found": 1.5 }, { "field": ".b", "expected": [1, -2, 18446744073709551615_u64] } ] });
    let comparison = json!({ "rows": 3, "missing": 0, "extra": 0, "different": 1, "first": [difference] });
    let mut verified =
        json!({ "projectionName": "p", "generation": 1, "position": "3:4", "pluginDigest": "d", "events": 9 });
    verified.as_object_mut().unwrap().extend(comparison.as_object().unwrap().clone());
    verified["repairedBy"] = Value::Null;
    let letter = json!({ "id": "e", "stream": "s", "type": "T", "position": 7, "unreadable": false, "error": null,
        "timestamp": 1, "data": null, "metadata": { "a": 0.1 }, "failure": null });
    let found = |value: Value| json!({ "projectionName": "p", "table": "t", "key": "k", "value": value, "generation": 1, "position": 7 });
    let cases = [
        ("model-verified", verified),
        ("dead-letter", letter),
        ("found", found(json!({ "z": 1, "a": { "b": null } }))),
        ("found", found(Value::Null)),
        ("found", found(json!("nothing"))),
    ];
    for (tag, shown) in cases {
        let response = control::Response::deserialize(json!({ tag: shown })).unwrap();
        assert_eq!(response.json().to_string(), shown.to_string(), "{tag}");
    }
    assert_eq!(control::Response::Nothing.json(), Value::Null);
}
