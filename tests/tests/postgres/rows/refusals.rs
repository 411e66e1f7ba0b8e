//! What a database does not accept.

use super::orders::{EARLY, ORDERS_BUILT, VIEW, into, seen};
use unspool_tests::{data::Answer, postgres::shared};

#[test]
fn what_a_database_does_not_accept_is_said_before_anything_changes() {
    let (orders, server) = (&*ORDERS_BUILT, shared());
    let database = server.database("refusing");
    server.role("home_reader", None);
    server.role("home_secret", Some("open sesame"));
    let data = orders.data.copy();
    data.ok(["rebuild", "order-summary", "--to", EARLY]);
    let before = (data.list(["model", "generations", "order-summary"]), data.json(["status", "order-summary"]));
    let rebuild = |url: &str| data.run(["rebuild", "order-summary", "--into", &into(url)]);
    rebuild("postgresql://ada:s3cret@127.0.0.1/db").refused(2, &["password", "PGPASSWORD"]);
    data.run(["rebuild", "order-summary", "--into", "mysql://ada:s3cret@h/db"]).refused(3, &["--into"]);
    rebuild(&database.url_of("home_reader")).refused(2, &["home_reader", "GRANT CREATE ON DATABASE \"refusing\""]);
    rebuild(&database.url_of("nobody_there")).refused(2, &["nobody_there"]);
    rebuild(&database.url().replace("refusing", "not_there")).refused(2, &["not_there", "CREATE DATABASE"]);
    rebuild(&database.url_of("home_secret")).refused(2, &["PGPASSWORD"]);
    let mut wrong = data.command(["rebuild", "order-summary", "--into", &into(&database.url_of("home_secret"))]);
    let wrong: Answer = wrong.env("PGPASSWORD", "open barley").output().unwrap().into();
    wrong.refused(2, &["home_secret", "PGPASSWORD"]);
    assert!(!wrong.stderr.contains("barley"), "{wrong:#?}");
    // A table under the name that readers would use.
    database
        .client()
        .batch_execute("CREATE SCHEMA \"order-summary\"; CREATE TABLE \"order-summary\".orders ()")
        .unwrap();
    rebuild(&database.url()).refused(2, &["\"order-summary\".\"orders\"", "rename"]);
    database.client().batch_execute("DROP SCHEMA \"order-summary\" CASCADE").unwrap();
    let after = (data.list(["model", "generations", "order-summary"]), data.json(["status", "order-summary"]));
    assert_eq!(before, after);
    assert_eq!(data.rows("order-summary/orders"), orders.early);
    // Two data directories do not share a projection.
    data.ok(["rebuild", "order-summary", "--into", &into(&database.url())]);
    let other = orders.data.copy();
    other.run(["rebuild", "order-summary", "--into", &into(&database.url())]).refused(3, &["another data directory"]);
    // With the privileges that the documentation names, and the right password.
    let home = server.database("granted");
    let grant =
        "GRANT CREATE, TEMPORARY ON DATABASE granted TO home_secret; REVOKE TEMPORARY ON DATABASE granted FROM PUBLIC";
    home.client().batch_execute(grant).unwrap();
    let mut granted = other.command(["rebuild", "order-summary", "--into", &into(&home.url_of("home_secret"))]);
    let granted: Answer = granted.env("PGPASSWORD", "open sesame").output().unwrap().into();
    assert_eq!(granted.exit, Some(0), "{granted:#?}");
    assert_eq!(seen(&mut home.client(), VIEW), orders.all);
}
