//! The event at a checkpoint is known again in every store, and told from what stands there after it was changed, replaced or
//! deleted.

use super::{filled, seen::events_of};
use unspool::{
    source::{Source, postgres::PostgresSource},
    vocabulary::{Mark, Matcher, Position},
};
use unspool_tests::{
    history,
    postgres::shared,
    stores::{Preset, noise},
};

/// Where a store keeps its events: the table with their places, and the place in it.
fn places(preset: Preset) -> (&'static str, &'static str) {
    match preset {
        Preset::Generic => ("events", "position"),
        Preset::MessageDb => ("message_store.messages", "global_position"),
        Preset::Marten => ("mt_events", "seq_id"),
        Preset::Emmett => ("emt_messages", "global_position"),
        Preset::Eventsourcing => ("orders_events", "notification_id"),
        Preset::Commanded => ("stream_events", "stream_id = 0 AND stream_version"),
        Preset::RailsEventStore => ("event_store_events", "id"),
        Preset::Eventuous => ("eventuous.messages", "global_position"),
        Preset::Axon => ("domain_event_entry", "global_index"),
    }
}

/// Gives the event at `number` a payload with one field more.
fn change(preset: Preset, number: u64) -> String {
    let (table, place) = places(preset);
    let json = |column: &str| format!("{column} = {column} || '{{\"more\": 1}}'");
    let bytes = |column: &str| {
        format!("{column} = convert_to((convert_from({column}, 'UTF8')::jsonb || '{{\"more\": 1}}')::text, 'UTF8')")
    };
    let set = match preset {
        Preset::Generic | Preset::MessageDb | Preset::Marten | Preset::RailsEventStore => json("data"),
        Preset::Emmett => json("message_data"),
        Preset::Eventuous => json("json_data"),
        Preset::Eventsourcing => bytes("state"),
        Preset::Axon => bytes("payload"),
        Preset::Commanded => {
            let event = format!("SELECT event_id FROM {table} WHERE {place} = {number}");
            return format!("UPDATE events SET {} WHERE event_id = ({event})", bytes("data"));
        }
    };
    format!("UPDATE {table} SET {set} WHERE {place} = {number}")
}

#[test]
fn the_event_at_a_place_is_known_again_in_every_store() {
    let lines = history::orders(60, 23);
    for preset in Preset::ALL {
        let name = preset.name();
        let database = filled(shared(), preset, &format!("marks_{}", name.replace('-', "_")), &lines);
        let mut client = database.client();
        noise(&mut client, preset);
        // Whoever restores or repairs a store minds no triggers and keys.
        client.batch_execute("SET session_replication_role = replica").unwrap();
        let text = super::source(preset, &database.url(), "");
        let source = PostgresSource::inline("it", text.strip_prefix("postgres:").unwrap()).unwrap();
        let at = |position: Position| source.at(position).unwrap_or_else(|e| panic!("{name}: {}", e.message));
        let events = events_of(&source, &Matcher::All).unwrap();
        let stands = |id: &str| source.locate(id).unwrap().found().unwrap_or_else(|| panic!("{name}: {id}")).position;
        let marks: Vec<Mark> = events.iter().map(|event| at(stands(&event.id)).unwrap()).collect();
        for (event, mark) in events.iter().zip(&marks) {
            assert_eq!((mark.position.minor, &mark.id), (event.position, &event.id), "{name}");
        }
        let [.., before, mark] = &marks[..] else { panic!("{name} has events") };
        assert!(!mark.is(before), "{name}");
        let last = mark.position;
        let nowhere = Position { minor: last.minor + 1_000, ..last };
        assert_eq!(at(nowhere), None, "{name}");

        let (table, place) = places(preset);
        let (number, deleted) = (last.minor, format!("DELETE FROM {table} WHERE {place} = {}", last.minor));
        let keep = format!("CREATE TABLE kept AS SELECT * FROM {table} WHERE {place} = {number}");
        let put_back = format!("INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM kept");
        client.batch_execute(&keep).unwrap();
        assert_eq!(client.execute(&deleted, &[]).unwrap(), 1, "{name}");
        assert_eq!(at(last), None, "{name}: it was deleted");
        client.batch_execute(&put_back).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(at(last).as_ref(), Some(mark), "{name}: it is back");

        assert_eq!(client.execute(&change(preset, number), &[]).unwrap(), 1, "{name}");
        let changed = at(last).unwrap();
        assert!(changed.id == mark.id && !mark.is(&changed), "{name}: it has another content");
        if preset != Preset::Commanded {
            client.batch_execute(&format!("{deleted}; {put_back}")).unwrap();
            assert!(mark.is(&at(last).unwrap()), "{name}: it has its content again");
        }

        // The event before it in its place, as after a restore and a new beginning.
        client.batch_execute(&deleted).unwrap();
        let column = place.rsplit(' ').next().unwrap();
        let earlier = before.position.minor;
        let moved = format!(
            "CREATE TABLE moved AS SELECT * FROM {table} WHERE {place} = {earlier}; UPDATE moved SET {column} = {number}; \
             DELETE FROM {table} WHERE {place} = {earlier}; INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM moved"
        );
        client.batch_execute(&moved).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let other = at(Position { minor: number, ..before.position }).unwrap();
        assert!(other.id == before.id && !mark.is(&other), "{name}: another event stands there");
    }
}

/// An archived event is there all the same.
#[test]
fn what_is_left_out_stands_where_it_stood() {
    let database = filled(shared(), Preset::Marten, "marks_archived", &history::orders(20, 3));
    let text = super::source(Preset::Marten, &database.url(), "");
    let source = PostgresSource::inline("it", text.strip_prefix("postgres:").unwrap()).unwrap();
    let last = source.ceiling().unwrap();
    let mark = source.at(last).unwrap().unwrap();
    database.client().batch_execute("UPDATE mt_events SET is_archived = TRUE").unwrap();
    assert!(events_of(&source, &Matcher::All).unwrap().is_empty());
    assert!(mark.is(&source.at(last).unwrap().unwrap()));
}
