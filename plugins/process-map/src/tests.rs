use super::*;
use unspool_sdk::testing::{Kit, event, json};

/// Two cases, told apart: `a` goes register, check, check; `b` registers and is still there.
fn kit() -> Kit<ProcessMap> {
    Kit::new().given_all([
        event("register").stream("a").at(1000),
        event("register").stream("b").at(900),
        event("check").stream("a").at(500),
        event("check").stream("a").at(2000),
    ])
}

#[test]
fn types_are_counted_and_cases_followed() {
    assert_eq!(kit().row("activities", "register"), json!({ "count": 2 }));
    let case = json!({ "events": 3, "lastType": "check", "firstTimestamp": 1000, "lastTimestamp": 2000 });
    assert_eq!(kit().row("cases", "a"), case);
}

#[test]
fn steps_are_between_events_of_one_case() {
    let follows = kit().rows("follows");
    assert_eq!(follows.len(), 2);
    assert_eq!(follows["register -> check"], json!({ "from": "register", "to": "check", "count": 1 }));
    assert_eq!(follows["check -> check"]["count"], 1);
}

#[test]
fn a_type_that_no_case_ends_with_any_more_has_no_row() {
    assert_eq!(kit().rows("starts").len(), 1);
    assert_eq!(kit().row("ends", "register"), json!({ "count": 1 }));
    let kit = kit().given(event("check").stream("b"));
    assert_eq!(kit.row("ends", "register"), json!(null));
    assert_eq!(kit.row("ends", "check"), json!({ "count": 2 }));
}
