//! Histories in PostgreSQL that are not what they were.

use super::shop::{add, add_of, data, follow_and_leave, name_it, opened, put_back, source};
use serde_json::{Value, json};
use unspool_tests::{
    data::Data,
    postgres::{Proxy, Server, shared},
    store_file,
    stores::{Preset, fill},
};

/// Whatever is refused has changed nothing.
#[track_caller]
fn refuses_to_follow(data: &Data, words: &[&str]) {
    let before = data.rows("faulty/seen");
    data.run(["follow", "faulty"])
        .refused(2, &[&["another history", "nothing was applied", "--restart"], words].concat());
    assert_eq!(data.rows("faulty/seen"), before);
}

#[test]
fn another_server_with_a_database_of_the_same_name_is_another_history() {
    let (one, two) = (Server::new(), Server::new());
    let (production, staging) = (one.database("shop"), two.database("shop"));
    opened(&production, "production", 50);
    let mut client = opened(&staging, "staging", 60);
    let data = data();
    name_it(&data, &production.url());
    follow_and_leave(&data, "shop", 50);
    name_it(&data, &staging.url());
    refuses_to_follow(&data, &["system identifier", "--accept-history"]);
    // Nor is it taken for the same where somebody says so, and the event at the checkpoint says otherwise.
    data.run(["follow", "faulty", "--accept-history"]).refused(2, &["another history", "production-50", "staging-50"]);
    // For a new generation it has to be named.
    data.run(["rebuild", "faulty"]).refused(2, &["another history", "system identifier", "--source shop"]);
    data.run(["model", "as-of", "faulty", "--to", "5"]).refused(2, &["--source shop"]);
    data.run(["model", "verify", "faulty"]).refused(2, &["another history"]);
    let plan = data.json(["rebuild", "faulty", "--source", "shop", "--dry-run"]);
    assert!(plan["sourceWas"].as_str().is_some_and(|was| was.starts_with("shop")), "{plan:#}");
    let ended = data.json(["rebuild", "faulty", "--source", "shop"]);
    assert!(ended["trigger"]["sourceWas"].is_string(), "{ended:#}");
    assert_eq!(data.rows("faulty/seen").len(), 60);

    // A move: the same events elsewhere.
    data.ok(["rebuild", "faulty", "--follow", "--detach", "--restart"]);
    data.wait_for("faulty", |status| status["following"] == "following" && status["eventsProcessed"] == 60);
    data.ok(["unfollow", "faulty"]);
    let moved = one.database("moved");
    opened(&moved, "staging", 60);
    client.batch_execute("DROP TABLE events").unwrap();
    name_it(&data, &moved.url());
    refuses_to_follow(&data, &["system identifier"]);
    data.ok(["follow", "faulty", "--accept-history", "--detach"]);
    add(&mut moved.client(), "new", 3);
    data.wait_for("faulty", |status| status["eventsProcessed"] == 63);
    data.ok(["unfollow", "faulty"]);
}

#[test]
fn a_history_that_was_put_back_and_has_grown_again_is_another() {
    let database = shared().database("put_back");
    let mut client = opened(&database, "first", 5);
    let data = data();
    follow_and_leave(&data, &source(&database.url()), 5);
    put_back(&mut client, 3);
    refuses_to_follow(&data, &["it ends at 3, before 5"]);
    add(&mut client, "again", 8);
    refuses_to_follow(&data, &["at position 5 stands event again-2", "first-5"]);
    data.run(["follow", "faulty", "--accept-changed", "first-5"]).refused(2, &["another history"]);
    // As every command that relies on where the rows came from.
    data.run(["model", "verify", "faulty"]).refused(2, &["again-2"]);
    data.run(["rebuild", "faulty", "--stream", "first-1"]).refused(2, &["again-2"]);
    data.run(["rebuild", "faulty"]).refused(2, &["first-5", "--source"]);
    // What is there now is a history, too.
    let ended = data.json(["rebuild", "faulty", "--restart"]);
    assert_eq!(ended["eventsProcessed"], json!(11), "{ended:#}");
    assert!(ended["trigger"]["sourceWas"].is_string(), "{ended:#}");
}

/// Positions that are pairs, and types that the projection does not handle: the checkpoint has moved over them.
#[test]
fn a_checkpoint_beyond_events_of_other_types_is_known_by_them() {
    let database = shared().database("put_back_filtered");
    let mut client = opened(&database, "first", 5);
    add_of(&mut client, "other", 5, "Other");
    let data = data();
    follow_and_leave(&data, &source(&database.url()), 5);
    assert_eq!(data.json(["status", "faulty"])["position"], json!(10));
    put_back(&mut client, 5);
    add(&mut client, "lost", 9);
    refuses_to_follow(&data, &["at position 10 stands event lost-5", "other-5"]);
}

#[test]
fn a_store_in_the_order_of_transactions_is_known_by_the_event_too() {
    let database = shared().database("put_back_pairs");
    let mut client = database.client();
    let lines = unspool_tests::history::orders(40, 5);
    client.batch_execute(Preset::Emmett.schema()).unwrap();
    fill(&mut client, Preset::Emmett, &lines);
    let data = Data::new(super::shop::BINARY);
    data.install(&unspool_tests::plugins::plugin("process-map"));
    let source = source(&database.url()).replace("generic", "emmett").replace("&table=events", "");
    let _host = data.serve();
    data.ok(["rebuild", "process-map", "--source", &source, "--follow", "--detach"]);
    data.wait_for("process-map", |status| status["following"] == "following" && status["eventsProcessed"] == 40);
    data.ok(["unfollow", "process-map"]);
    // Archived since: it is there all the same.
    client.batch_execute("UPDATE emt_messages SET is_archived = true WHERE global_position >= 39").unwrap();
    data.ok(["follow", "process-map", "--detach"]);
    data.ok(["unfollow", "process-map"]);
    client.batch_execute("UPDATE emt_messages SET message_id = 'another' WHERE global_position = 40").unwrap();
    data.run(["follow", "process-map"]).refused(2, &["another history", "stands event another"]);
    client.batch_execute("DELETE FROM emt_messages WHERE global_position = 40").unwrap();
    data.run(["follow", "process-map"]).refused(2, &["another history", "is not there any more"]);
}

/// A follower fails with it at once, instead of waiting until numbers have passed its checkpoint.
#[test]
fn a_table_that_is_emptied_under_a_follower_ends_it() {
    let database = shared().database("emptied");
    let mut client = opened(&database, "old", 5);
    let data = data();
    let host = data.serve();
    data.ok(["rebuild", "faulty", "--source", &source(&database.url()), "--follow", "--detach"]);
    data.wait_for("faulty", |status| status["following"] == "following" && status["eventsProcessed"] == 5);
    client.batch_execute("TRUNCATE events RESTART IDENTITY").unwrap();
    let status = data.wait_for("faulty", |status| status["following"] == "failed");
    assert_eq!(status["status"], "completed", "its rows stay readable: {status:#}");
    let failure = &status["failure"];
    assert_eq!((&failure["kind"], &failure["transient"]), (&json!("source"), &json!(false)), "{status:#}");
    let message = failure["message"].as_str().unwrap();
    assert!(message.contains("old-5") && message.contains("emptied"), "{message}");
    let next = status["next"].as_str().unwrap();
    assert!(next.contains("rebuild faulty --restart") && !next.contains("correct"), "{next}");
    // Grown again beyond the checkpoint, it is still another one.
    add(&mut client, "new", 8);
    refuses_to_follow(&data, &["stands event new-5"]);
    assert!(data.rows("faulty/seen").keys().all(|key| key.starts_with("old")));
    drop(host);
}

/// Between two attempts of one rebuild: the connection is lost, and what answers afterwards is an earlier state.
#[test]
fn what_was_put_back_while_the_connection_was_lost_is_noticed_by_the_next_attempt() {
    let database = shared().database("put_back_while_lost");
    let mut client = opened(&database, "first", 3_000);
    let proxy = Proxy::new(shared().port());
    let data = data();
    let _host = data.serve();
    data.ok(["rebuild", "faulty", "--source", &source(&proxy.url(&database.url())), "--follow", "--detach"]);
    data.wait_for("faulty", |status| status["following"] == "following" && status["eventsProcessed"] == 3_000);
    proxy.cut_after(0);
    proxy.wait_for_cuts(1);
    put_back(&mut client, 2_000);
    add(&mut client, "second", 2_000);
    proxy.heal();
    let status = data.wait_for("faulty", |status| status["following"] == "failed");
    assert_eq!(status["status"], "completed", "its rows stay readable: {status:#}");
    assert!(status["error"].as_str().unwrap().contains("stands event second-1000"), "{status:#}");
    assert!(data.rows("faulty/seen").keys().all(|key| key.starts_with("first")));
}

/// A host that starts does not pass over it either: what it was to go on with is failed, and the operator is told.
#[test]
fn a_host_that_starts_says_what_it_cannot_go_on_with() {
    let database = shared().database("put_back_meanwhile");
    let mut client = opened(&database, "first", 5);
    let data = data();
    let host = data.serve();
    data.ok(["rebuild", "faulty", "--source", &source(&database.url()), "--follow", "--detach"]);
    data.wait_for("faulty", |status| status["following"] == "following" && status["eventsProcessed"] == 5);
    host.kill();
    put_back(&mut client, 3);
    add(&mut client, "again", 8);
    let told = data.scratch("told");
    let host = data.start(["--alert", &format!("cat > {}", told.display()), "serve"]);
    data.wait_for_host();
    let status = data.wait_for("faulty", |status| status["following"] == "failed");
    assert_eq!(status["status"], "completed", "its rows stay readable: {status:#}");
    assert_eq!(status["failure"]["kind"], "source", "{status:#}");
    // The host does not wait for the command.
    let read = || std::fs::read_to_string(&told).unwrap_or_default();
    data.wait_for("faulty", |_| read().ends_with('\n'));
    assert!(read().contains("another history"), "{}", read());
    host.kill();
}

/// What was deleted or erased on purpose is accepted by its name, and by no other.
#[test]
fn an_event_that_was_deleted_or_changed_on_purpose_is_accepted_by_name() {
    let database = shared().database("erased");
    let mut client = opened(&database, "first", 5);
    let data = data();
    let source = source(&database.url());
    follow_and_leave(&data, &source, 5);
    client.batch_execute("UPDATE events SET data = '{\"erased\": true}' WHERE position = 5").unwrap();
    refuses_to_follow(&data, &["first-5", "another content", "--accept-changed first-5"]);
    data.run(["follow", "faulty", "--accept-changed", "first-4"]).refused(2, &["is first-5, not first-4"]);
    let host = data.serve();
    data.ok(["follow", "faulty", "--accept-changed", "first-5", "--detach"]);
    add(&mut client, "second", 2);
    data.wait_for("faulty", |status| status["eventsProcessed"] == 7);
    data.ok(["unfollow", "faulty"]);
    client.batch_execute("DELETE FROM events WHERE position = 7").unwrap();
    refuses_to_follow(&data, &["second-2", "is not there any more", "--accept-changed second-2"]);
    data.ok(["follow", "faulty", "--accept-changed", "second-2", "--detach"]);
    // From then on it is known by the event before; all may go.
    data.ok(["unfollow", "faulty"]);
    client.batch_execute("DELETE FROM events").unwrap();
    refuses_to_follow(&data, &["second-1"]);
    data.ok(["follow", "faulty", "--accept-changed", "second-1", "--detach"]);
    add(&mut client, "third", 1);
    data.wait_for("faulty", |status| status["eventsProcessed"] == 8);
    data.ok(["unfollow", "faulty"]);
    drop(host);
}

/// What was paused in the middle is looked at like what was followed.
#[test]
fn a_rebuild_that_was_paused_does_not_go_on_with_another_history() {
    let database = shared().database("put_back_paused");
    let mut client = opened(&database, "first", 2_000);
    let data = data();
    let host = data.serve();
    let source = source(&database.url());
    let slowly = ["--rate-limit", "200", "--chunk-size", "50", "--detach"];
    data.ok([&["rebuild", "faulty", "--source", &source][..], &slowly].concat());
    data.wait_for("faulty", |status| status["eventsProcessed"].as_u64() > Some(100));
    let paused = data.json(["pause", "faulty"]);
    host.kill();
    let last = paused["lastEventId"].as_str().unwrap();
    let refused = |args: &[&str], words: &[&str]| {
        let words = [&["another history", "nothing was applied", "--restart"], words].concat();
        data.run([&["resume", "faulty"], args].concat()).refused(2, &words);
        assert_eq!(data.json(["status", "faulty"])["eventsProcessed"], paused["eventsProcessed"]);
    };
    client.batch_execute(&format!("UPDATE events SET data = '{{\"erased\": true}}' WHERE id = '{last}'")).unwrap();
    refused(&[], &[last, "another content", &format!("resume faulty --accept-changed {last}")]);
    data.run(["resume", "faulty", "--accept-changed", "first-4"]).refused(2, &[&format!("is {last}, not first-4")]);
    client.batch_execute("CREATE TABLE kept AS SELECT * FROM events").unwrap();
    put_back(&mut client, 50);
    refused(&[], &["it ends at 50, before"]);
    add(&mut client, "again", 1_000);
    refused(&[], &["stands event again-", last]);
    refused(&["--accept-changed", last], &["stands event again-"]);
    client.batch_execute("DELETE FROM events; INSERT INTO events SELECT * FROM kept").unwrap();
    let _host = data.serve();
    data.ok(["resume", "faulty", "--accept-changed", last, "--detach"]);
    data.ok(["pause", "faulty"]);
    data.ok(["rebuild", "faulty", "--rate-limit", "1000000"]);
    assert_eq!(data.rows("faulty/seen").len(), 2_000);
}

/// Records of the last release say neither which server it was nor what stood at the checkpoint.
#[test]
fn a_record_of_an_earlier_release_is_gone_on_with_where_its_last_event_is_there() {
    let database = shared().database("earlier");
    let mut client = opened(&database, "first", 5);
    let data = data();
    follow_and_leave(&data, &source(&database.url()), 5);
    let make_old = || {
        let mut checkpoint = store_file::record(&data, "faulty", 1)["checkpoint"].clone();
        let fields = checkpoint.as_object_mut().unwrap();
        assert!(fields.remove("seen").is_some() && fields.remove("missing").is_some());
        store_file::change_record(&data, "faulty", 1, "/checkpoint", checkpoint);
        let identity = json!(format!("postgres-{:032x}", 7));
        store_file::change_record(&data, "faulty", 1, "/spec/sourceIdentity", identity);
    };
    make_old();
    let host = data.serve();
    data.ok(["follow", "faulty", "--detach"]);
    data.ok(["unfollow", "faulty"]);
    host.kill();
    let record = store_file::record(&data, "faulty", 1);
    assert!(record["spec"]["sourceIdentity"].as_str().unwrap().starts_with("postgres:"), "{record:#}");
    assert_eq!(record.pointer("/checkpoint/seen/event/id"), Some(&json!("first-5")), "{record:#}");
    make_old();
    put_back(&mut client, 3);
    add(&mut client, "again", 8);
    refuses_to_follow(&data, &["first-5", "is not there any more"]);
}

/// Where the role may not see the system identifier, oids and the event at the checkpoint tell histories apart.
#[test]
fn a_role_without_rights_has_an_identity_all_the_same() {
    let server = Server::new();
    let database = server.database("no_rights");
    let mut client = opened(&database, "first", 5);
    server.role("reader", None);
    client
        .batch_execute("GRANT SELECT ON events TO reader; REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        .unwrap();
    let data = data();
    let source = source(&database.url_of("reader"));
    follow_and_leave(&data, &source, 5);
    let identity: Value = store_file::record(&data, "faulty", 1)["spec"]["sourceIdentity"].clone();
    assert!(identity.as_str().unwrap().starts_with("postgres:?:"), "{identity}");
    // The right comes, and goes: the same history.
    client.batch_execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO reader").unwrap();
    let host = data.serve();
    data.ok(["follow", "faulty", "--detach"]);
    data.ok(["unfollow", "faulty"]);
    host.kill();
    client.batch_execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM reader").unwrap();
    let host = data.serve();
    data.ok(["follow", "faulty", "--detach"]);
    data.ok(["unfollow", "faulty"]);
    host.kill();
    client
        .batch_execute("ALTER TABLE events RENAME TO before; CREATE TABLE events (LIKE before INCLUDING ALL)")
        .unwrap();
    client.batch_execute("INSERT INTO events SELECT * FROM before; GRANT SELECT ON events TO reader").unwrap();
    refuses_to_follow(&data, &["its table is another one"]);
}

/// A name that leads elsewhere from one moment to the next: nothing of two histories is one read model.
#[test]
fn a_table_that_is_exchanged_while_it_is_read_ends_the_rebuild() {
    let database = shared().database("exchanged");
    let mut client = opened(&database, "old", 60_000);
    client
        .batch_execute(
            "CREATE TABLE new (LIKE events INCLUDING ALL); INSERT INTO new (position, id, stream, type) \
        SELECT position, 'new' || id, 'new' || stream, type FROM events",
        )
        .unwrap();
    let data = data();
    let source = source(&database.url());
    let rebuild = data.start(["--json", "rebuild", "faulty", "--source", &source, "--rate-limit", "5000"]);
    data.wait_for_host();
    data.wait_for("faulty", |status| status["eventsProcessed"].as_u64() > Some(100));
    client.batch_execute("BEGIN; ALTER TABLE events RENAME TO old; ALTER TABLE new RENAME TO events; COMMIT").unwrap();
    data.ok(["pause", "faulty"]);
    rebuild.end();
    data.run(["rebuild", "faulty", "--rate-limit", "1000000"]).refused(2, &["another history"]);
    assert_eq!(data.run(["model", "digest", "faulty"]).exit, Some(3));
    // And where nobody looks between: at its end.
    let data = super::shop::data();
    let rebuild = data.start(["--json", "rebuild", "faulty", "--source", &source, "--rate-limit", "30000"]);
    data.wait_for_host();
    data.wait_for("faulty", |status| status["eventsProcessed"].as_u64() > Some(100));
    client.batch_execute("BEGIN; ALTER TABLE events RENAME TO new; ALTER TABLE old RENAME TO events; COMMIT").unwrap();
    let ended = rebuild.end();
    assert_eq!(ended.exit, Some(1), "{ended:#?}");
    let ended = ended.json();
    assert_eq!((&ended["status"], &ended["failure"]["kind"]), (&json!("failed"), &json!("source")), "{ended:#}");
    assert!(ended["error"].as_str().unwrap().contains("while it was read"), "{ended:#}");
    assert_eq!(data.run(["model", "digest", "faulty"]).exit, Some(3));
}

/// Rows of events that are gone are not taken from readers without a word.
#[test]
fn a_history_that_has_lost_its_head_does_not_replace_what_was_built_from_it() {
    let database = shared().database("beheaded");
    let mut client = opened(&database, "old", 50);
    let data = data();
    data.ok(["rebuild", "faulty", "--source", &source(&database.url())]);
    client.batch_execute("DELETE FROM events WHERE position <= 30").unwrap();
    add(&mut client, "new", 10);
    data.run(["rebuild", "faulty"]).refused(3, &["30 of the 50 events", "--accept-missing 30"]);
    data.run(["rebuild", "faulty", "--dry-run"]).refused(3, &["30 of the 50 events"]);
    data.run(["rebuild", "faulty", "--accept-missing", "29"]).refused(3, &["30 of the 50 events"]);
    assert_eq!(data.rows("faulty/seen").len(), 50);
    assert_eq!(data.json(["rebuild", "faulty", "--no-promote"])["eventsProcessed"], 30);
    assert_eq!(data.rows("faulty/seen").len(), 50);
    assert_eq!(data.json(["rebuild", "faulty", "--accept-missing", "30"])["eventsProcessed"], 30);
    assert_eq!(data.rows("faulty/seen").len(), 30);
}
