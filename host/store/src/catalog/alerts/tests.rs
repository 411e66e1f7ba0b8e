//! One alert for each condition until it is over, each route told of what it wants, and bounds on what waits.

use super::*;
use crate::{
    Purpose,
    testing::{install_orders, new_generation},
};
use redb::backends::InMemoryBackend;
use unspool_vocabulary::{FailureKind, Status};

fn store() -> Store {
    let store = Store::open_on(InMemoryBackend::new()).unwrap();
    install_orders(&store);
    store
}

fn declare(store: &Store, name: &str, on: &[AlertKind], lasting_ms: u64) {
    let route = RouteRecord::new(String::new(), on.to_vec(), lasting_ms, None);
    store.declare_alert_routes(&[(name.to_owned(), route)]).unwrap();
}

fn cause(message: &str) -> Option<AlertCause> {
    Some(AlertCause { message: message.to_owned(), ..AlertCause::default() })
}

/// What is due, with its number and what it says.
fn due(store: &Store, name: &str, now: i64) -> Option<(u64, Phase)> {
    store.next_alert(name, now).unwrap().due.map(|due| (due.alert.number, due.phase))
}

fn deliver(store: &Store, name: &str, outcome: Result<(), String>, now: i64) -> bool {
    let due = store.next_alert(name, now).unwrap().due.unwrap();
    store.note_delivery(name, &due, outcome, now).unwrap()
}

fn generation(store: &Store) -> u64 {
    store.create_generation("orders", new_generation(Purpose::Rebuild), 0).unwrap().generation
}

#[test]
fn what_records_say_is_entered_with_them_once_and_over_with_them() {
    let store = store();
    declare(&store, "a", &AlertKind::ALL, 0);
    let first = generation(&store);
    let failure = EventFailure::permanent(FailureKind::Other, "no");
    for _ in 0..2 {
        store.set_status("orders", first, Status::Failed, Some(failure.clone()), 0).unwrap();
    }
    let firing = store.firing_alerts().unwrap();
    let [alert] = firing.as_slice() else { panic!("{firing:?}") };
    assert_eq!((alert.kind, &alert.cause.failure), (AlertKind::Failed, &Some(failure.clone())));
    assert_eq!(alert.fingerprint().len(), 16);
    assert_eq!(due(&store, "a", now_ms()), Some((1, Phase::Firing)));
    deliver(&store, "a", Ok(()), now_ms());
    assert_eq!(due(&store, "a", now_ms()), None, "once");
    // Another rebuild takes its place.
    generation(&store);
    assert_eq!(store.firing_alerts().unwrap(), []);
    assert_eq!(due(&store, "a", now_ms()), Some((1, Phase::Resolved)));
    deliver(&store, "a", Ok(()), now_ms());
    assert_eq!(alerts_at(&store.db.begin_read().unwrap()).unwrap(), [], "what everybody knows is not kept");
}

#[test]
fn what_is_over_before_it_has_lasted_is_not_told() {
    let store = store();
    declare(&store, "a", &[AlertKind::Stalled], 60_000);
    store.set_alert("orders", AlertKind::Stalled, cause("it stands still")).unwrap();
    let now = now_ms();
    let next = store.next_alert("a", now).unwrap();
    assert!(next.due.is_none() && next.later.is_some_and(|later| later > now && later <= now + 60_000), "{next:?}");
    assert_eq!(due(&store, "a", now + 61_000), Some((1, Phase::Firing)));
    store.set_alert("orders", AlertKind::Stalled, None).unwrap();
    assert_eq!(due(&store, "a", now + 61_000), None);
    // It has a number of its own when it comes again.
    store.set_alert("orders", AlertKind::Stalled, cause("again")).unwrap();
    assert_eq!(due(&store, "a", now + 61_000), Some((2, Phase::Firing)));
    deliver(&store, "a", Ok(()), now + 61_000);
    store.set_alert("orders", AlertKind::Stalled, None).unwrap();
    assert_eq!(due(&store, "a", now + 61_000), Some((2, Phase::Resolved)));
}

#[test]
fn who_is_new_hears_of_what_lasts_and_not_of_what_was() {
    let store = store();
    declare(&store, "a", &AlertKind::ALL, 0);
    store.set_alert("orders", AlertKind::Behind, cause("old")).unwrap();
    store.set_alert("orders", AlertKind::Behind, None).unwrap();
    store.set_alert("orders", AlertKind::Stalled, cause("it lasts")).unwrap();
    assert_eq!(due(&store, "a", now_ms()), Some((1, Phase::Firing)));
    let route = || RouteRecord::new(String::new(), AlertKind::ALL.to_vec(), 0, None);
    store.declare_alert_routes(&[("a".to_owned(), route()), ("b".to_owned(), route())]).unwrap();
    assert_eq!(due(&store, "b", now_ms()), Some((2, Phase::Firing)));
    assert_eq!(due(&store, "a", now_ms()), Some((1, Phase::Firing)), "who was there is still to be told");
    store.declare_alert_routes(&[("b".to_owned(), route())]).unwrap();
    assert_eq!(due(&store, "a", now_ms()), None);
    let kept = alerts_at(&store.db.begin_read().unwrap()).unwrap();
    assert_eq!(kept.iter().map(|alert| alert.number).collect::<Vec<_>>(), [2], "it waits for nobody");
}

#[test]
fn a_message_that_fails_makes_way_for_others_and_is_given_up_in_the_end() {
    let store = store();
    declare(&store, "a", &AlertKind::ALL, 0);
    store.set_alert("orders", AlertKind::Stalled, cause("one")).unwrap();
    store.set_alert("orders", AlertKind::Behind, cause("two")).unwrap();
    let now = now_ms();
    assert!(!deliver(&store, "a", Err("500".to_owned()), now));
    assert_eq!(due(&store, "a", now), Some((2, Phase::Firing)));
    deliver(&store, "a", Ok(()), now);
    assert_eq!(due(&store, "a", now), Some((1, Phase::Firing)));
    let late = now + i64::try_from(limits::ALERT_LIFE.as_millis()).unwrap() + 1_000;
    assert!(deliver(&store, "a", Err("500".to_owned()), late));
    assert_eq!(due(&store, "a", late), None);
    let (_, route, waiting) = store.alert_routes().unwrap().remove(0);
    assert_eq!((route.delivered, route.failed, route.dropped, waiting), (1, 2, 1, 0));
    assert_eq!(route.last.and_then(|last| last.error).as_deref(), Some("500"));
}

#[test]
fn more_than_are_kept_push_out_the_oldest_that_are_over_and_that_is_counted() {
    let store = store();
    declare(&store, "a", &[AlertKind::Stalled], 0);
    let write = store.db.begin_write().unwrap();
    fire(&write, "first", AlertKind::Stalled, AlertCause::default()).unwrap();
    for n in 0..limits::ALERTS + 2 {
        let name = format!("p{n}");
        fire(&write, &name, AlertKind::Stalled, AlertCause::default()).unwrap();
        resolve(&write, &name, AlertKind::Stalled).unwrap();
    }
    write.commit().unwrap();
    let kept = alerts_at(&store.db.begin_read().unwrap()).unwrap();
    assert_eq!(kept.len() as u64, limits::ALERTS);
    assert_eq!((kept[0].projection.as_str(), kept[1].projection.as_str()), ("first", "p3"), "what lasts stays");
    assert_eq!(store.alert_routes().unwrap()[0].1.dropped, 3);
}
