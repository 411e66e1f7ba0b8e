//! The embedded log and files that are not what they were.

use super::shop::{data, follow_and_leave, lines};
use serde_json::json;
use std::path::{Path, PathBuf};
use unspool_tests::{data::Data, store_file};

fn import(data: &Data, name: &str, count: u32) {
    data.import(&data.file(&format!("{name}.ndjson"), lines(name, count, "Fine")));
}

fn log_file(data: &Data) -> PathBuf {
    data.path().join("log.redb")
}

/// A read model that followed the log, and does not any more.
fn followed(count: u32) -> Data {
    let data = data();
    import(&data, "first", count);
    follow_and_leave(&data, "log", u64::from(count));
    data
}

/// The log of `data`, kept for later.
fn copied(data: &Data, to: &Path) {
    std::fs::copy(log_file(data), to).unwrap();
}

/// An older copy has the same identity, and grows again.
#[test]
fn a_log_restored_from_an_older_copy_is_noticed_by_its_events() {
    let data = data();
    import(&data, "first", 3);
    let older = data.scratch("older.redb");
    copied(&data, &older);
    import(&data, "lost", 2);
    follow_and_leave(&data, "log", 5);
    let before = data.rows("faulty/seen");
    std::fs::copy(&older, log_file(&data)).unwrap();
    data.run(["follow", "faulty"]).refused(2, &["another history", "it ends at 3, before 5", "lost-2"]);
    import(&data, "again", 8);
    data.run(["follow", "faulty"]).refused(2, &["another history", "stands event again-2", "lost-2"]);
    data.run(["model", "verify", "faulty"]).refused(2, &["another history"]);
    data.run(["rebuild", "faulty"]).refused(2, &["another history", "--source log"]);
    assert_eq!(data.rows("faulty/seen"), before);
    assert_eq!(data.json(["rebuild", "faulty", "--restart"])["eventsProcessed"], json!(11));
}

#[test]
fn a_log_that_was_replaced_by_another_is_another_history() {
    let data = followed(5);
    let other = super::shop::data();
    import(&other, "other", 9);
    std::fs::copy(log_file(&other), log_file(&data)).unwrap();
    data.run(["follow", "faulty"]).refused(2, &["another history", "the event log is another one"]);
    data.run(["rebuild", "faulty"]).refused(2, &["another history", "--source log"]);
    let ended = data.json(["rebuild", "faulty", "--source", "log"]);
    assert!(ended["trigger"]["sourceWas"].as_str().unwrap().starts_with("log ("), "{ended:#}");
    assert_eq!(data.rows("faulty/seen").len(), 9);
}

/// A record of the last release: what was handled last is looked for by its id.
#[test]
fn a_record_of_an_earlier_release_is_gone_on_with() {
    let data = followed(5);
    let mut checkpoint = store_file::record(&data, "faulty", 1)["checkpoint"].clone();
    let fields = checkpoint.as_object_mut().unwrap();
    assert!(fields.remove("seen").is_some() && fields.remove("missing").is_some());
    store_file::change_record(&data, "faulty", 1, "/checkpoint", checkpoint);
    import(&data, "second", 2);
    let _host = data.serve();
    data.ok(["follow", "faulty", "--detach"]);
    data.wait_for("faulty", |status| status["eventsProcessed"] == 7);
    data.ok(["unfollow", "faulty"]);
}

/// Readers' rows stay known by what they were built from when the file has grown, and not when it was replaced.
#[test]
fn a_file_that_has_grown_is_the_same_and_one_with_other_events_is_named() {
    let data = data();
    let file = data.file("events.ndjson", lines("first", 5, "Fine"));
    let source = format!("file:{}", file.display());
    data.ok(["rebuild", "faulty", "--source", &source]);
    data.file("events.ndjson", lines("first", 5, "Fine") + &lines("second", 2, "Fine"));
    // What goes on from a checkpoint, or compares with it, cannot know that nothing before it has changed.
    data.run(["model", "verify", "faulty"]).refused(2, &["its content has changed", "verify faulty --accept-history"]);
    assert_eq!(data.json(["model", "verify", "faulty", "--accept-history"])["different"], 0);
    let ended = data.json(["rebuild", "faulty"]);
    assert_eq!((&ended["eventsProcessed"], &ended["trigger"]["sourceWas"]), (&json!(7), &json!(null)), "{ended:#}");
    data.file("events.ndjson", lines("other", 9, "Fine"));
    data.run(["rebuild", "faulty"])
        .refused(2, &["another history", "its content has changed", &format!("--source {source}")]);
    assert_eq!(data.rows("faulty/seen").len(), 7);
    let ended = data.json(["rebuild", "faulty", "--source", &source]);
    assert!(ended["trigger"]["sourceWas"].is_string(), "{ended:#}");
}

/// A file whose last handled event was changed on purpose, and one that has fewer events than were counted.
#[test]
fn what_was_changed_in_a_file_on_purpose_is_accepted_by_its_name() {
    let data = data();
    let (first, error) = (lines("first", 3, "Fine"), lines("bad", 1, "Error"));
    let rest = lines("rest", 4, "Fine");
    let file = data.file("events.ndjson", first.clone() + &error + &rest);
    let source = format!("file:{}", file.display());
    data.exits(1, ["rebuild", "faulty", "--source", &source]);
    let erased = first.replace("\"id\":\"first-3\",\"stream\":\"first-3\"", "\"id\":\"first-3\",\"stream\":\"erased\"");
    assert_ne!(erased, first);
    data.file("events.ndjson", erased + &error.replace("Error", "Fine") + &lines("rest", 3, "Fine"));
    data.run(["resume", "faulty"]).refused(2, &["another history", "its content has changed", "--accept-history"]);
    data.run(["resume", "faulty", "--accept-history"])
        .refused(2, &["first-3", "has another content now", "--accept-changed first-3"]);
    data.run(["resume", "faulty", "--accept-history", "--accept-changed", "first-2"]).refused(2, &["is first-3, not"]);
    let ended = data.json(["resume", "faulty", "--accept-history", "--accept-changed", "first-3"]);
    assert_eq!((&ended["status"], &ended["eventsProcessed"]), (&json!("completed"), &json!(7)), "{ended:#}");
    assert!(data.rows("faulty/seen").contains_key("first-3"), "what was handled stays");
}

/// Where ids are given anew, the content tells; the check of a store tells, too.
#[test]
fn a_log_put_back_that_has_grown_with_the_same_ids_is_another() {
    let data = data();
    import(&data, "first", 3);
    let older = data.scratch("older.redb");
    copied(&data, &older);
    import(&data, "more", 2);
    data.ok(["rebuild", "faulty"]);
    let before = data.rows("faulty/seen");
    std::fs::copy(&older, log_file(&data)).unwrap();
    let check = |words: &[&str]| {
        let problems = data.exits(1, ["store", "check"])["problems"].to_string();
        assert!(words.iter().all(|word| problems.contains(word)), "{problems}");
    };
    check(&["faulty/1", "it ends at 3, before 5"]);
    // The same ids with other content.
    data.import(&data.file("others.ndjson", lines("more", 2, "Fine").replace("{}", "{\"n\":1}")));
    check(&["faulty/1", "more-2", "another content"]);
    data.run(["rebuild", "faulty"]).refused(2, &["another history", "another content", "--source log"]);
    assert_eq!(data.rows("faulty/seen"), before);
    data.ok(["rebuild", "faulty", "--source", "log"]);
}
