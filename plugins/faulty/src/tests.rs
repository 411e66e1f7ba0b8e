use super::*;
use unspool_sdk::MemoryRows;
use unspool_sdk::testing::{Given, Kit, event, frames, json};

fn handle(events: &[Given]) -> Outcome {
    Faulty::handle(&frames(events, usize::MAX)[0], Rc::new(MemoryRows::new()))
}

#[test]
fn fine_events_are_counted_by_stream() {
    let kit = Kit::<Faulty>::new().given_all([
        event("Fine").stream("a"),
        event("Fine").stream("b"),
        event("Fine").stream("a"),
    ]);
    assert_eq!(kit.row("seen", "a"), json!({ "count": 2 }));
    assert_eq!(kit.row("seen", "b"), json!({ "count": 1 }));
}

#[test]
fn late_events_are_counted_twice_where_they_are_off_by_one() {
    let folded = Kit::<Faulty>::new().given_all([event("Late"), event("Late")]).fold();
    let off = cfg!(feature = "off-by-one");
    assert_eq!(folded.tables["seen"]["stream"], json!({ "count": if off { 4 } else { 2 } }));
    assert_eq!(folded.tables["seen"].contains_key("stream, too late"), off);
}

#[cfg(not(any(feature = "fixed", feature = "errors-fixed")))]
mod broken {
    use super::*;
    use unspool_sdk::FailureKind;

    #[test]
    fn failures_keep_what_came_before() {
        for (kind, expected) in [("Error", FailureKind::Permanent), ("Transient", FailureKind::Transient)] {
            let kit = Kit::<Faulty>::new().given_all([event("Fine"), event(kind), event("Fine")]);
            let folded = kit.fold();
            assert_eq!(folded.tables["seen"].len(), 1);
            assert_eq!(folded.tables["seen"]["stream"], json!({ "count": 1 }));
            assert_eq!(kit.failure().event, 1);
            assert_eq!(kit.failure().failure.kind(), expected);
        }
    }

    #[test]
    #[should_panic(expected = "asked to panic by event event-1")]
    fn a_panic_is_a_panic() {
        handle(&[event("Panic")]);
    }

    #[test]
    fn spoilt_frames_are_spoilt() {
        assert!(Writes::new(&handle(&[event("BadOutput")]).writes).is_err());
        let outcome = handle(&[event("Fine"), event("ForeignTable")]);
        let tables: Vec<_> = Writes::new(&outcome.writes).unwrap().map(|write| write.unwrap().table).collect();
        assert_eq!(tables, ["seen", "foreign"]);
    }
}

#[cfg(feature = "fixed")]
#[test]
fn the_fixed_build_counts_everything() {
    let kinds =
        ["Fine", "Error", "Transient", "Panic", "Loop", "Memory", "Recursion", "BadOutput", "LogFlood", "ForeignTable"];
    let outcome = handle(&kinds.map(event));
    assert_eq!((outcome.handled, outcome.failure), (10, None));
    let kit = Kit::<Faulty>::new().given_all(kinds.map(event));
    assert_eq!(kit.row("seen", "stream"), json!({ "count": 10 }));
}
