//! Entries are appended for whom something is done, and what happens to them afterwards is found.

use super::*;
use crate::testing::install_orders;
use serde_json::json;
use std::sync::Arc;
use unspool_vocabulary::act::ActorKind;

fn ann(request: &str) -> Act {
    let actor = Actor { kind: ActorKind::User, name: "ann".to_owned() };
    Act::new(actor, Via::Cli, request, "r1".to_owned(), json!({ "name": "orders" })).because(Some("so".to_owned()))
}

fn all(store: &Store) -> Vec<HashedEntry> {
    store.activity_after(&ActivityFilter::default(), 0, usize::MAX).unwrap()
}

#[test]
fn what_changes_is_noted_for_whom_it_is_done_and_what_does_not_is_not() {
    let store = Store::open_on(redb::backends::InMemoryBackend::new()).unwrap();
    let act = Arc::new(ann("plugin-install"));
    act::on_behalf_of(Some(act.clone()), || install_orders(&store));
    assert!(act.has_changed());
    let entries = all(&store);
    let [HashedEntry { entry, .. }] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((entry.actor.name.as_str(), entry.reason.as_deref()), ("ann", Some("so")));
    assert_eq!(entry.change.as_ref().map(|change| change.what.as_str()), Some("plugin"));
    assert_eq!(store.newest_change("orders").unwrap(), 1);
    // The same again changes nothing; how it ended is noted by who carries requests out.
    install_orders(&store);
    assert_eq!(all(&store).len(), 1);
    store.note_activity(ann("pause"), Some("orders"), Outcome::Refused, Some("no".to_owned())).unwrap();
    assert_eq!((store.newest_change("orders").unwrap(), store.newest_activity().unwrap()), (1, 2));
    let by = |actor: &str| ActivityFilter { actor: Some(actor.to_owned()), ..ActivityFilter::default() };
    assert_eq!(store.activity_before(&by("ann"), None, 1).unwrap()[0].entry.seq, 2);
    assert_eq!(store.activity_before(&by("ben"), None, 1).unwrap(), []);
}

#[test]
fn an_entry_that_was_changed_or_taken_away_is_found() {
    let damages: [fn(&mut redb::Table<'_, u64, Stored>); 3] = [
        |entries| {
            let (json, hash) = {
                let entry = entries.get(2).unwrap().unwrap();
                (String::from_utf8(entry.value().0.to_vec()).unwrap(), entry.value().1.to_vec())
            };
            let changed = json.replace("ann", "ben");
            assert_ne!(changed, json);
            entries.insert(2, (changed.as_bytes(), hash.as_slice())).unwrap();
        },
        |entries| drop(entries.remove(2).unwrap()),
        |entries| drop(entries.remove(3).unwrap()),
    ];
    for damage in damages {
        let store = Store::open_on(redb::backends::InMemoryBackend::new()).unwrap();
        (0..3).for_each(|_| store.note_activity(ann("pause"), None, Outcome::Done, None).unwrap());
        let sound = store.check_activity().unwrap();
        assert_eq!((sound.entries, sound.first, sound.last, sound.problem), (3, 1, 3, None));
        let write = store.db.begin_write().unwrap();
        damage(&mut write.open_table(ACTIVITY).unwrap());
        write.commit().unwrap();
        assert!(store.check_activity().unwrap().problem.is_some());
    }
}

#[test]
fn the_oldest_go_and_what_is_left_is_unbroken() {
    let store = Store::open_on(redb::backends::InMemoryBackend::new()).unwrap();
    let write = store.db.begin_write().unwrap();
    let long = "x".repeat(1 << 20);
    for _ in 0..80 {
        append(&write, ann(&long), None, None, Outcome::Done, None).unwrap();
    }
    write.commit().unwrap();
    let checked = store.check_activity().unwrap();
    assert_eq!((checked.last, &checked.problem), (80, &None));
    let most = limits::ACTIVITY_BYTES >> 20;
    assert!((most - 2..=most).contains(&checked.entries) && checked.first == 81 - checked.entries, "{checked:?}");
}
