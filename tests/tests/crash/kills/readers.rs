//! What readers see: promotion, rollback, repair, shadow builds, one stream.

use super::orders::ORDERS_BUILT;
use super::parked::{all_counted, parking, trouble, with_trouble};
use super::*;

#[test]
fn readers_are_switched_by_one_transaction() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    let ready = orders.data.copy();
    ready.ok(["rebuild", "order-summary", "--no-promote"]);
    let promote = ["model", "promote", "order-summary"];
    let rows = |data: &Data| data.rows("order-summary/orders");
    for (at, switched) in [("promote.before", false), ("promote.written", false), ("promote.after", true)] {
        let data = ready.copy();
        kill(&data, at, promote);
        assert_eq!(rows(&data), if switched { &orders.all } else { &orders.early }.clone(), "promote, {at}");
        data.ok(promote);
        assert_eq!(rows(&data), orders.all);

        kill(&data, at, ["model", "rollback", "order-summary", "--now"]);
        assert_eq!(rows(&data), if switched { &orders.early } else { &orders.all }.clone(), "rollback, {at}");
        if !switched {
            data.ok(["model", "rollback", "order-summary", "--now"]);
        }
        assert_eq!(rows(&data), orders.early);
        data.ok(promote);
        complete_with(&data, "order-summary", &orders.digest);
    }
}

#[test]
fn a_shadow_is_complete_or_gone() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    let as_of = ["model", "as-of", "order-summary", "--to", "500", "--name", "early"];
    for at in ["create-generation.after", "record.after:1", "commit.rows-written", "commit.after", "digest.before"] {
        let data = orders.data.copy();
        die(&data, at, as_of);
        // Also before anything is recovered.
        let whole = data.run(["model", "digest", "order-summary", "--generation", "early"]).exit == Some(0);
        intact(&data, at);
        orders.fits(&data, at);
        let kept = data.run(["model", "digest", "order-summary", "--generation", "early"]).exit == Some(0);
        assert!(!kept || matches!(at, "commit.after" | "digest.before"), "{at}");
        assert_eq!(whole, kept, "{at}");
        if !kept {
            data.ok(as_of);
        }
        assert_eq!(data.rows_of("order-summary/orders", "early"), oracle::orders(&orders.events[..500]).0, "{at}");
        assert_eq!(data.rows("order-summary/orders"), orders.early);
    }
}

#[test]
fn a_repair_switches_readers_or_leaves_them() {
    let _count = Count;
    let events = trouble(400);
    let whole = with_trouble(&events);
    whole.ok(["rebuild", "faulty", "--on-error", "park", "--allow-parked"]);
    whole.ok(with_file(&["plugin", "swap", "faulty"], &plugin_with("faulty", &["fixed"])));
    let (wrong, right) = (parking(&events).0, all_counted(&events));
    for at in
        ["create-generation.after", "commit.after", "digest.before", "adopt.before", "adopt.written", "adopt.after"]
    {
        let data = whole.copy();
        assert_eq!(data.rows("faulty/seen"), wrong);
        kill(&data, at, ["model", "verify", "faulty", "--repair"]);
        let seen = data.rows("faulty/seen");
        assert_eq!(seen, if at == "adopt.after" { &right } else { &wrong }.clone(), "{at}");
        let again = data.run(["model", "verify", "faulty", "--repair"]);
        assert_eq!(again.exit, Some(i32::from(at != "adopt.after")), "{at}: {again:#?}");
        assert_eq!(data.rows("faulty/seen"), right, "{at}");
        let digest = data.digest("faulty");
        complete_with(&data, "faulty", &digest);
    }
}

#[test]
fn the_rows_of_one_stream_are_replaced_as_a_whole() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    let data = orders.data.copy();
    data.ok(["rebuild", "order-summary"]);
    let generations = |data: &Data| data.list(["model", "generations", "order-summary"]).len();
    let kept = generations(&data);
    let stream = orders.events[0]["stream"].as_str().unwrap();
    // First of the generation in which it is built by itself, then of what readers see.
    for at in [
        "create-generation.after",
        "record.after",
        "commit.rows-written",
        "commit.written",
        "commit.after",
        "record.written:2",
        "drop.after",
        "record.after:3",
        "commit.rows-written:2",
        "commit.written:2",
        "commit.after:2",
        "stream.replaced",
        "record.written:4",
    ] {
        let data = data.copy();
        kill(&data, at, ["rebuild", "order-summary", "--stream", stream]);
        assert_eq!(data.rows("order-summary/orders"), orders.all, "{at}");
        data.ok(["rebuild", "order-summary", "--stream", stream]);
        assert_eq!(generations(&data), kept, "{at}");
        complete_with(&data, "order-summary", &orders.digest);
    }
}
