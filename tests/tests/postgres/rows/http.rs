//! A read model that lives in a database and is followed, over HTTP: its differences, its metrics, and who did what; also while the
//! database is away, and after the host was started anew.

use super::orders::{BINARY, into};
use serde_json::json;
use unspool_tests::{
    activity::assert_complete,
    data::Data,
    history,
    http::{Asker, HttpHost},
    plugins::plugin,
    postgres::Server,
};

#[test]
fn what_lives_in_a_database_is_shown_as_it_is_and_as_it_was_last_known() {
    let server = Server::new();
    let database = server.database("http");
    let data = Data::new(BINARY);
    data.install(&plugin("faulty"));
    data.import(&data.file("fine.ndjson", history::mixed(400, &[])));
    let host = HttpHost::start(&data, &[]);
    let admin = Asker::token(&data, "root", "admin", "full");
    data.ok(["rebuild", "faulty", "--into", &into(&database.url()), "--follow", "--detach"]);
    data.wait_for("faulty", |status| status["following"] == "following");
    // Another one, beside it, of half of its history.
    data.ok(["rebuild", "faulty", "--restart", "--no-promote", "--to", "200"]);
    let path = "/v1/projections/faulty/diff?left=1&right=2&limit=3";
    let diff = host.get(&admin, path);
    let mut told = data.exits(1, ["model", "diff", "faulty", "1", "2", "--limit", "0"]);
    assert_eq!(diff["counts"], told["counts"].take(), "{diff:#}");
    assert!(diff["counts"]["changed"].as_u64() > Some(3) && diff["rows"].as_array().unwrap().len() == 3, "{diff:#}");
    let rest = host.get(&admin, &format!("{path}&after={}", diff["next"].as_str().unwrap()));
    assert_eq!(rest["counts"]["changed"].as_u64(), diff["counts"]["changed"].as_u64().map(|all| all - 3), "{rest:#}");
    // Rows that the follower has had at hand, and new ones.
    data.import(&data.file("more.ndjson", history::mixed(600, &[])));
    data.wait_for("faulty", |status| status["live"]["position"] == 600);
    data.ok(["model", "verify", "faulty"]);
    let metrics = || host.ask(&admin, "GET", "/metrics", None).body;
    assert!(metrics().contains("unspool_live_generation_info{projection=\"faulty\",generation=\"1\""), "{}", metrics());
    assert_complete(&data, "with rows in a database");
    // What is known of it is there while its database is not, and nothing waits for that.
    let frozen = server.freeze();
    assert_eq!(host.get(&admin, "/v1/projections/faulty")["live"]["position"], 600);
    assert_eq!(host.ask(&Asker::default(), "GET", "/readyz", None).status, 200);
    assert!(metrics().contains("unspool_projection_status{projection=\"faulty\",status=\"completed\"} 1"));
    drop(frozen);
    host.host.kill();
    let host = HttpHost::start(&data, &[]);
    data.import(&data.file("last.ndjson", history::mixed(700, &[])));
    data.wait_for("faulty", |status| status["live"]["position"] == 700);
    assert_eq!(host.get(&admin, "/v1/projections/faulty")["live"]["generation"], json!(1));
    assert_complete(&data, "after a restart");
}
