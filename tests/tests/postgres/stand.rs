//! What the tests of the PostgreSQL sources stand on does what it says.

use std::collections::{BTreeMap, BTreeSet};
use unspool_tests::{
    history,
    postgres::{Options, Proxy, Server, Stop, shared},
    stores::{self, Preset},
};

#[test]
fn a_server_keeps_its_data_over_a_restart_and_leaves_nothing_behind() {
    let mut server = Server::new();
    let (url, dir) = (server.url(), AsRef::<std::path::Path>::as_ref(&server).to_owned());
    server.client().batch_execute("CREATE TABLE kept AS SELECT 1").expect("a table");
    for how in [Stop::Fast, Stop::Immediate] {
        server.stop(how);
        assert!(postgres::Client::connect(&url, postgres::NoTls).is_err(), "it is stopped");
        server.start();
        let mut client = postgres::Client::connect(&url, postgres::NoTls).expect("the URL still leads to it");
        assert_eq!(client.query("SELECT * FROM kept", &[]).expect("the table is there").len(), 1);
    }
    drop(server);
    assert!(!dir.exists());
}

#[test]
fn roles_need_their_password_and_their_grants() {
    let database = shared().database("roles");
    shared().role("stand_reader", Some("it's secret"));
    let with = |password: &str| {
        let mut config: postgres::Config = database.url_of("stand_reader").parse().expect("a URL");
        config.password(password).connect(postgres::NoTls)
    };
    let refused = |e: postgres::Error| e.code().expect("the server's error").code().to_owned();
    assert_eq!(with("wrong").err().map(refused).as_deref(), Some("28P01"));
    database.client().batch_execute("CREATE TABLE hidden ()").expect("a table");
    let mut reader = with("it's secret").expect("the right password");
    assert_eq!(reader.query("SELECT * FROM hidden", &[]).err().map(refused).as_deref(), Some("42501"));
}

#[test]
fn a_server_with_tls_refuses_plain_connections() {
    let server = Server::with(Options { tls: true, ..Options::default() });
    assert!(server.authority().is_file());
    let refused = postgres::Client::connect(&server.url(), postgres::NoTls).err().expect("it needs TLS");
    assert!(format!("{refused:?}").contains("no encryption"), "{refused:?}");
}

#[test]
fn a_proxy_cuts_and_heals() {
    let database = shared().database("proxied");
    let proxy = Proxy::new(shared().port());
    let url = proxy.url(&database.url());
    let connect = || postgres::Client::connect(&url, postgres::NoTls);
    let mut client = connect().expect("it forwards");
    proxy.cut();
    assert!(client.simple_query("SELECT 1").is_err() && connect().is_err());
    proxy.heal();
    let mut client = connect().expect("it forwards again");
    proxy.cut_after(100_000);
    let mut rows =
        client.query_raw("SELECT repeat('x', 100) FROM generate_series(1, 10000)", [] as [i32; 0]).expect("rows");
    let mut read = 0;
    let ended = postgres::fallible_iterator::FallibleIterator::for_each(&mut rows, |_| {
        read += 1;
        Ok(())
    });
    assert!(ended.is_err() && (1..1000).contains(&read), "{read} rows, {ended:?}");
    drop(rows);
    assert_eq!(proxy.cuts(), 2);
    connect().expect("new connections are accepted after it");
}

#[test]
fn every_store_holds_the_history_and_its_noise_hides_itself() {
    let lines = history::orders(1000, 7);
    let halves = lines.split_at(nth_line(&lines, 500));
    let events = history::events(&lines);
    for preset in Preset::ALL {
        let name = preset.name();
        let database = shared().database(name);
        let mut client = database.client();
        client.batch_execute(preset.schema()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        for half in [halves.0, halves.1] {
            stores::fill(&mut client, preset, half);
            stores::noise(&mut client, preset);
        }
        let stored = stores::read(&mut client, preset);
        assert_eq!(stored.len(), events.len(), "{name}");
        assert!(stored[999].position > 1000, "{name} has a hole");
        for (event, stored) in events.iter().zip(&stored) {
            let stream = event["stream"].as_str().expect("a stream");
            let id = event["id"].as_str().expect("an id");
            match preset {
                Preset::Generic | Preset::Emmett | Preset::Axon => assert_eq!(stored.id, id),
                Preset::Eventsourcing => assert!(stored.id.starts_with(&stores::uuid(stream))),
                _ => assert_eq!(stored.id, stores::uuid(id)),
            }
            if preset == Preset::Eventsourcing {
                assert_eq!(stored.stream, stores::uuid(stream));
            } else {
                assert_eq!(stored.stream, stream, "{name}");
                assert_eq!(stored.metadata, event["metadata"], "{name}");
            }
            assert_eq!(stored.kind, event["type"].as_str().expect("a type"), "{name}");
            assert_eq!(stored.timestamp, event["timestamp"].as_i64().expect("a time"), "{name}");
            assert_eq!(stored.data, event["data"], "{name}");
        }
    }
}

/// Where line `n` (from 0) begins.
fn nth_line(lines: &[u8], n: usize) -> usize {
    lines.split_inclusive(|byte| *byte == b'\n').take(n).map(<[u8]>::len).sum()
}

#[test]
fn writers_commit_what_they_say() {
    for preset in Preset::ALL {
        let name = preset.name();
        let database = shared().database(&format!("{name}-written"));
        let mut client = database.client();
        client.batch_execute(preset.schema()).expect("tables");
        let written = stores::writers(&database.url(), preset, 8, 200, 1);
        assert_eq!(written.committed.len(), 200);
        assert!(written.rolled_back > 0, "{name}");
        let mut said = BTreeMap::<usize, Vec<u64>>::new();
        for event in &written.committed {
            said.entry(event.writer).or_default().push(event.number);
        }
        let mut stored = BTreeMap::<usize, Vec<u64>>::new();
        for event in stores::read(&mut client, preset) {
            let number = |field: &str| event.data[field].as_u64().expect("a number");
            stored.entry(number("writer") as usize).or_default().push(number("number"));
        }
        assert_eq!(stored, said, "{name}: the order of each writer's events");
    }
}

#[test]
fn a_naive_reader_loses_what_overlapping_writers_commit_late() {
    let database = shared().database("naive");
    let mut client = database.client();
    client.batch_execute(Preset::Generic.schema()).expect("tables");
    let url = database.url();
    let writing = std::thread::spawn(move || stores::writers(&url, Preset::Generic, 8, 2000, 3));
    let mut seen = BTreeSet::new();
    let mut checkpoint = 0_i64;
    loop {
        let done = writing.is_finished();
        let rows =
            client.query("SELECT position, id FROM events WHERE position > $1 ORDER BY position", &[&checkpoint]);
        for row in rows.expect("rows") {
            checkpoint = row.get(0);
            seen.insert(row.get::<_, String>(1));
        }
        if done {
            break;
        }
    }
    let written = writing.join().expect("the writers end");
    let lost = written.committed.iter().filter(|event| !seen.contains(&event.id)).count();
    assert!(lost > 0, "no event was committed behind one with a higher position");
}

#[test]
#[ignore = "needs npm and pip, which install the libraries"]
fn libraries_fill_the_tables_as_the_schemas_say() {
    let lines = history::orders(300, 7);
    let events = history::events(&lines);
    for (preset, fill) in [
        (Preset::Emmett, stores::libraries::emmett as fn(&str, &[u8])),
        (Preset::Eventsourcing, stores::libraries::eventsourcing),
    ] {
        let name = preset.name();
        let (ours, theirs) = (shared().database(&format!("{name}-ours")), shared().database(&format!("{name}-theirs")));
        ours.client().batch_execute(preset.schema()).expect("tables");
        fill(&theirs.url(), &lines);
        let (mut ours, mut theirs) = (ours.client(), theirs.client());
        stores::fill(&mut ours, preset, &lines);
        let columns = columns(&mut ours);
        assert!(!columns.is_empty() && columns.is_subset(&self::columns(&mut theirs)), "{name}");
        let (ours, theirs) = (stores::read(&mut ours, preset), stores::read(&mut theirs, preset));
        assert_eq!(theirs.len(), events.len(), "{name}");
        for (ours, mut theirs) in ours.into_iter().zip(theirs) {
            if preset == Preset::Emmett {
                theirs.timestamp = ours.timestamp;
            }
            assert_eq!(ours, theirs, "{name}");
        }
    }
}

/// The columns and indexes of all tables, as PostgreSQL describes them.
fn columns(client: &mut postgres::Client) -> BTreeSet<String> {
    let columns = "SELECT concat_ws(' ', table_name, column_name, data_type, character_maximum_length, is_nullable, column_default)
        FROM information_schema.columns WHERE table_schema = 'public'
        UNION SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'";
    client.query(columns, &[]).expect("columns").iter().map(|row| row.get(0)).collect()
}
