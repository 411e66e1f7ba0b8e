//! What an author, and the host, can rely on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of tests are tests too")]

use std::cell::RefCell;
use std::rc::Rc;
use unspool_sdk::frame::{Description, Writes};
use unspool_sdk::prelude::*;
use unspool_sdk::testing::{Given, Kit, event, frames, json};
use unspool_sdk::{Complexity, FailureKind, MemoryRows, Outcome, Partitioning, Plugin, Rows, Session};

projection! {
    /// Accounts with a balance, and a note of each that was closed.
    pub struct Accounts;
    name: "accounts",
    version: 3,
    complexity: Complex,
    partitioning: Stream,
    tables: Tables { accounts: Account, closed: Closed = "closed-accounts" },
    handlers: {
        "*" => on_other,
        "Opened" => on_opened,
        "Moved" => on_moved,
        "Closed" => on_closed,
        "Swept" => on_swept,
        "Spoilt" => on_spoilt,
    },
}

export!(Accounts);

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Account {
    balance: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spoilt: Option<Unencodable>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Closed {
    balance: i64,
}

/// A part of a row that serde cannot encode.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Unencodable;

impl Serialize for Unencodable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("cannot be said"))
    }
}

#[derive(Deserialize)]
struct Moved<'a> {
    by: i64,
    #[serde(default)]
    note: Option<&'a str>,
}

#[derive(Deserialize)]
struct Meta {
    user: String,
}

fn on_opened(event: &Event<'_>, tables: &mut Tables) -> Handled {
    tables.accounts.put(event.stream, Account::default())
}

fn on_moved(event: &Event<'_>, moved: Moved<'_>, tables: &mut Tables) -> Handled {
    let account = tables.accounts.entry(event.stream)?;
    account.balance += moved.by;
    if account.balance < 0 {
        return Err(permanent("overdrawn").detail("by", -account.balance));
    }
    if moved.note == Some("later") {
        return Err(transient("not now"));
    }
    Ok(())
}

fn on_closed(event: &Event<'_>, tables: &mut Tables) -> Handled {
    if let Some(account) = tables.accounts.take(event.stream)? {
        tables.closed.put(event.stream, Closed { balance: account.balance })?;
    }
    Ok(())
}

/// Adds up all accounts whose keys start with the stream's.
fn on_swept(event: &Event<'_>, tables: &mut Tables) -> Handled {
    let balance = tables.accounts.scan(event.stream)?.iter().map(|(_, account)| account.balance).sum();
    tables.closed.put("swept", Closed { balance })
}

fn on_spoilt(event: &Event<'_>, tables: &mut Tables) -> Handled {
    tables.accounts.entry(event.stream)?.spoilt = Some(Unencodable);
    Ok(())
}

fn on_other(event: &Event<'_>, _tables: &mut Tables) -> Handled {
    let meta: Meta = event.metadata()?;
    Err(permanent(format!("{} did {}", meta.user, event.kind)))
}

fn opened(stream: &str) -> Given {
    event("Opened").stream(stream)
}

fn moved(stream: &str, by: i64) -> Given {
    event("Moved").stream(stream).data(json!({ "by": by }))
}

fn handle(events: &[Given], rows: &Rc<Counted>) -> Outcome {
    Accounts::handle(&frames(events, usize::MAX)[0], Rc::clone(rows) as Rc<dyn Rows>)
}

/// Rows that record what they are asked for.
#[derive(Default)]
struct Counted {
    rows: MemoryRows,
    read: RefCell<Vec<String>>,
    scans: RefCell<Vec<String>>,
    page: Option<u32>,
}

impl Rows for Counted {
    fn read(&self, table: &str, keys: &[&str], each: &mut dyn FnMut(usize, Option<&[u8]>)) {
        self.read.borrow_mut().push(format!("{table}: {}", keys.join(" ")));
        self.rows.read(table, keys, each);
    }

    fn scan(&self, table: &str, prefix: &str, after: Option<&str>, limit: u32) -> Vec<(String, Vec<u8>)> {
        self.scans.borrow_mut().push(format!("{table}: {prefix} after {after:?}"));
        self.rows.scan(table, prefix, after, self.page.unwrap_or(limit))
    }
}

fn written(outcome: &Outcome) -> Vec<(String, String, bool)> {
    let writes = Writes::new(&outcome.writes).unwrap().map(Result::unwrap);
    writes.map(|write| (write.table.into(), write.key.into(), write.document.is_some())).collect()
}

#[test]
fn the_description_says_what_the_macro_was_told() {
    let description = Description::decode(&Accounts::describe()).unwrap();
    assert_eq!((description.name.as_str(), description.version), ("accounts", 3));
    assert_eq!(description.event_types, ["*", "Opened", "Moved", "Closed", "Swept", "Spoilt"]);
    let tables: Vec<_> = description.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(tables, ["accounts", "closed-accounts"]);
    assert_eq!(description.complexity, Complexity::Complex);
    assert_eq!((description.chunk_size, description.partitioning), (None, Partitioning::Stream));
}

#[test]
fn a_failure_leaves_exactly_the_writes_of_the_events_before_it() {
    let events = [opened("a"), moved("a", 5), opened("b"), moved("a", -9), moved("b", 7)];
    let outcome = handle(&events, &Rc::default());
    assert_eq!(outcome.handled, 3);
    assert_eq!(outcome.writes, handle(&events[..3], &Rc::default()).writes);
    let failure = outcome.failure.unwrap();
    assert_eq!((failure.kind(), failure.message()), (FailureKind::Permanent, "overdrawn"));
    assert_eq!(failure.details(), [("by".to_owned(), "4".to_owned())]);
    assert_eq!(Kit::<Accounts>::new().given_all(events).failure().event, 3);
}

#[test]
fn a_transient_failure_says_so() {
    let later = event("Moved").stream("a").data(json!({ "by": 1, "note": "later" }));
    assert_eq!(Kit::<Accounts>::new().given(later).failure().failure.kind(), FailureKind::Transient);
}

#[test]
fn a_payload_that_does_not_decode_names_the_field() {
    for (data, message) in [
        (json!({}), "payload of Moved: field `by`: is missing"),
        (json!({ "by": 1.5 }), "payload of Moved: field `by`: invalid type: floating point `1.5`, expected i64"),
        (json!([1]), "payload of Moved: invalid type: sequence, expected struct Moved"),
    ] {
        let failed = Kit::<Accounts>::new().given(event("Moved").data(data)).failure();
        assert_eq!(failed.failure.message(), message);
    }
}

#[test]
fn a_type_without_a_handler_goes_to_the_one_for_all_others_wherever_that_stands() {
    let failed = Kit::<Accounts>::new().given(event("Lost").metadata(json!({ "user": "ada" }))).failure();
    assert_eq!(failed.failure.message(), "ada did Lost");
}

#[test]
fn a_row_is_read_once_and_written_once_per_chunk() {
    let rows = Rc::new(Counted::default());
    let outcome = handle(&[moved("a", 1), moved("a", 1), moved("b", 1), moved("a", 1)], &rows);
    assert_eq!(*rows.read.borrow(), ["accounts: a", "accounts: b"]);
    let expected = [("accounts".into(), "a".into(), true), ("accounts".into(), "b".into(), true)];
    assert_eq!(written(&outcome), expected);
    rows.rows.apply(&outcome.writes).unwrap();
    handle(&[moved("a", -3)], &rows);
    assert_eq!(rows.read.borrow().len(), 3);
}

#[test]
fn a_row_that_came_and_went_within_the_chunk_is_not_deleted_unless_it_may_be_there() {
    let rows = Rc::new(Counted::default());
    let outcome = handle(&[moved("a", 1), event("Closed").stream("a")], &rows);
    assert_eq!(written(&outcome), [("closed-accounts".into(), "a".into(), true)]);
    // Opened without reading: nobody knows whether there was one.
    let outcome = handle(&[opened("a"), event("Closed").stream("a")], &rows);
    assert_eq!(written(&outcome)[0], ("accounts".into(), "a".into(), false));
    rows.rows.apply(&handle(&[moved("a", 1)], &rows).writes).unwrap();
    let outcome = handle(&[event("Closed").stream("a"), moved("a", 7)], &rows);
    assert_eq!(written(&outcome)[0], ("accounts".into(), "a".into(), true));
}

#[test]
fn a_scan_merges_the_chunk_into_the_rows_of_the_host_page_by_page() {
    let rows = Rc::new(Counted { page: Some(2), ..Counted::default() });
    let before: Vec<_> = ["a1", "a2", "a3", "a4", "b1"].into_iter().map(|stream| moved(stream, 1)).collect();
    rows.rows.apply(&handle(&before, &rows).writes).unwrap();
    rows.read.borrow_mut().clear();
    let events = [
        moved("a2", 10),
        event("Closed").stream("a3"),
        moved("a9", 100),
        event("Swept").stream("a"),
        moved("a4", 1000),
        moved("a5", 10_000),
        event("Swept").stream("a"),
        event("Swept").stream("a4"),
    ];
    let outcome = handle(&events, &rows);
    assert_eq!(outcome.failure, None);
    rows.rows.apply(&outcome.writes).unwrap();
    let swept: Closed = unspool_sdk::from_slice(&rows.rows.get("closed-accounts", "swept").unwrap()).unwrap();
    assert_eq!(swept.balance, 1001);
    assert_eq!(
        rows.scans.borrow().len(),
        3,
        "two pages, and one that says that there are no more; then nothing is requested"
    );
    assert_eq!(
        *rows.read.borrow(),
        ["accounts: a2", "accounts: a3", "accounts: a9"],
        "what was scanned is not read again"
    );
}

#[test]
fn chunk_sizes_do_not_show() {
    // Pseudo-random, with failures in between; the kit compares chunks of 1, 2, 3, 10 and all events.
    let mut state = 1u64;
    let events: Vec<_> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let stream = ["a", "ab", "abc", "b"][(state >> 33) as usize % 4];
        match (state >> 40) % 8 {
            0 => opened(stream),
            1 => event("Closed").stream(stream),
            2 => event("Swept").stream(stream),
            _ => moved(stream, ((state >> 50) % 40) as i64 - 2),
        }
    })
    .take(60)
    .collect();
    for len in 0..events.len() {
        let kit = Kit::<Accounts>::new().given_all(events[..len].to_vec());
        let folded = kit.fold();
        assert!(folded.failed.is_none_or(|failed| failed.event < len));
    }
}

#[test]
fn a_row_that_cannot_be_encoded_is_the_failure_of_the_event_that_made_it_so() {
    let events = [moved("a", 1), moved("b", 1), event("Spoilt").stream("a"), moved("b", 1)];
    let outcome = handle(&events, &Rc::default());
    assert_eq!(outcome.handled, 2);
    assert_eq!(outcome.failure.unwrap().message(), "the row accounts/a cannot be encoded: cannot be said");
    assert_eq!(outcome.writes, handle(&events[..2], &Rc::default()).writes);
}

#[test]
fn a_stored_row_of_another_shape_is_refused_by_name() {
    let rows = Rc::new(Counted::default());
    let mut frame = unspool_sdk::WriteSet::with_capacity(0);
    frame.put("accounts", "a", &json!({ "balance": "much" })).unwrap();
    rows.rows.apply(&frame.into_frame()).unwrap();
    let failure = handle(&[moved("a", 1)], &rows).failure.unwrap();
    assert!(failure.message().starts_with("the stored row accounts/a is not what this plugin writes: field `balance`"));
}

#[test]
fn keys_are_bounded() {
    for (key, problem) in [(String::new(), "is empty"), ("k".repeat(4097), "has 4097 bytes")] {
        for event in [moved(&key, 1), opened(&key)] {
            let failed = Kit::<Accounts>::new().given(event).failure();
            assert!(failed.failure.message().contains(problem));
        }
    }
}

#[test]
fn a_broken_chunk_frame_is_the_failure_of_the_event_it_breaks_at() {
    let mut frame = frames(&[moved("a", 1), moved("a", 1)], 2).remove(0);
    frame.truncate(frame.len() - 1);
    let outcome = Accounts::handle(&frame, Rc::new(MemoryRows::new()));
    assert_eq!(outcome.handled, 1);
    assert!(outcome.failure.unwrap().message().starts_with("the chunk frame is broken"));
}

#[test]
fn a_session_keeps_its_rows_from_chunk_to_chunk() {
    let events: Vec<_> = (1..=20).map(|n| moved(["a", "b"][n % 2], 1)).collect();
    let mut session = Session::<Accounts>::new();
    let handled: u32 = frames(&events, 3).iter().map(|frame| session.fold(frame).unwrap()).sum();
    assert_eq!(handled, 20);
    assert_eq!(session.tables().accounts.get("a").unwrap().unwrap().balance, 10);
    let whole = handle(&events, &Rc::default()).writes;
    assert_eq!(written(&Outcome { handled, writes: session.writes().unwrap(), failure: None }).len(), 2);
    assert_eq!(MemoryRows::new().apply(&whole), Ok(()));
    assert_eq!(session.fold(&frames(&[moved("a", -11)], 1)[0]).unwrap_err().0, 0);
}

mod preloaded {
    use super::*;

    projection! {
        pub struct Preloaded;
        name: "preloaded",
        version: 1,
        chunk_size: 7,
        preload: wanted,
        tables: Tables { accounts: Account },
        handlers: { "Moved" => on_moved },
    }

    fn wanted(event: &Event<'_>, tables: &mut Tables) {
        tables.accounts.want(event.stream);
    }

    fn on_moved(event: &Event<'_>, moved: Moved<'_>, tables: &mut Tables) -> Handled {
        tables.accounts.entry(event.stream)?.balance += moved.by;
        Ok(())
    }

    #[test]
    fn wanted_rows_are_read_in_one_call_and_a_wanted_row_that_nobody_uses_is_not_written() {
        let rows = Rc::new(Counted::default());
        let events = [moved("a", 1), moved("b", 1), moved("a", 1), event("Moved").stream("c"), moved("d", 1)];
        let outcome = Preloaded::handle(&frames(&events, 10)[0], Rc::clone(&rows) as Rc<dyn Rows>);
        assert_eq!(outcome.handled, 3);
        assert_eq!(rows.read.borrow()[0], "accounts: a b c d");
        assert_eq!(written(&outcome).len(), 2);
        assert_eq!(Preloaded::describe(), Description::decode(&Preloaded::describe()).unwrap().encode());
        assert_eq!(Description::decode(&Preloaded::describe()).unwrap().chunk_size, Some(7));
        let failed = Kit::<Preloaded>::new().given(event("Opened")).failure();
        assert_eq!(failed.failure.message(), "no handler for event type Opened");
    }
}
