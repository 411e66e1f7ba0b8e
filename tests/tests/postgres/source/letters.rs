//! Dead letters whose history has to be read again, and is away.

use super::{BINARY, connection};
use serde_json::json;
use unspool_tests::{
    data::Data,
    plugins::plugin,
    postgres::{Proxy, shared},
};

const TABLE: &str = "CREATE TABLE events (position bigserial PRIMARY KEY, id uuid DEFAULT gen_random_uuid(), stream text, type text DEFAULT 'Fine', \
                     data bytea DEFAULT '{}', at timestamptz DEFAULT now()); INSERT INTO events (stream) SELECT 's' || n % 10 FROM \
                     generate_series(1, 100) AS n; UPDATE events SET data = '<order/>' WHERE position IN (34, 37)";

#[test]
fn a_retry_of_dead_letters_waits_for_a_source_that_is_away() {
    let database = shared().database("letters");
    let mut client = database.client();
    client.batch_execute(TABLE).unwrap();
    let proxy = Proxy::new(shared().port());
    let data = Data::new(BINARY);
    data.install(&plugin("faulty"));
    let source = format!("postgres:generic?{}&table=events&time=at", connection(&proxy.url(&database.url())));
    let ended = data.exits(1, ["rebuild", "faulty", "--on-error", "park", "--source", &source]);
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_eq!(ended["parked"], json!(14), "two cannot be read, and the others of their streams wait: {ended}");
    client.batch_execute("UPDATE events SET data = '{}'").unwrap();

    proxy.cut();
    let mut retry = data.start(["--json", "dead-letters", "retry", "faulty"]);
    retry.wait_for_line("retrying dead letters");
    proxy.heal();
    let retried = retry.end();
    assert_eq!(retried.exit, Some(0), "{retried:#?}");
    let report = retried.json();
    assert_eq!((&report["handled"], &report["parked"], &report["failures"]), (&json!(14), &json!(0), &json!([])));
    assert!(data.rows("faulty/seen").values().all(|row| row["count"] == 10));
}
