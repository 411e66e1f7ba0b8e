//! Servers that end, and connections that are cut.

use super::orders::{ORDERS_BUILT, VIEW, into, seen};
use unspool_tests::postgres::{Proxy, Server, Stop, shared};

#[test]
fn a_server_that_crashes_and_comes_back_loses_and_doubles_nothing() {
    let (orders, mut server) = (&*ORDERS_BUILT, Server::new());
    let data = orders.data.copy();
    let target = into(&server.url());
    for (round, how) in [Stop::Immediate, Stop::Fast].into_iter().enumerate() {
        let slow = ["--rate-limit", "1000", "--chunk-size", "50", "--restart", "--into", &target];
        let mut rebuild = data.start([&["rebuild", "order-summary"], &slow[..]].concat());
        data.wait_for_host();
        data.wait_for("order-summary", |status| {
            status["checkpointId"] == format!("order-summary/{}", round + 1)
                && status["eventsProcessed"].as_u64().is_some_and(|events| events > 200)
        });
        server.stop(how);
        rebuild.wait_for_line("retrying");
        server.start();
        let ended = rebuild.end();
        assert_eq!(ended.exit, Some(0), "{ended:#?}");
        assert_eq!(data.digest("order-summary"), orders.digest("order-summary"));
        assert_eq!(seen(&mut server.client(), VIEW), orders.all);
    }
}

#[test]
fn a_connection_that_is_cut_anywhere_loses_and_doubles_nothing() {
    let (orders, database) = (&*ORDERS_BUILT, shared().database("cut"));
    let proxy = Proxy::new(shared().port());
    let data = orders.data.copy();
    let target = into(&proxy.url(&database.url()));
    let mut cuts = 0;
    // Behind the first answers, which begin the rebuild, come those of commits; some cuts are right behind a COMMIT.
    for bytes in (3_000..6_000).step_by(190) {
        proxy.cut_after(bytes);
        let rebuild = data.run([
            "rebuild",
            "order-summary",
            "--restart",
            "--chunk-size",
            "100",
            "--rate-limit",
            "20000",
            "--into",
            &target,
        ]);
        if rebuild.exit != Some(0) {
            // Cut before anything was begun: nothing was done, and doing it again does it.
            rebuild.refused(1, &[&target[..20]]);
            data.ok(["rebuild", "order-summary", "--into", &target]);
        }
        proxy.heal();
        cuts = cuts.max(proxy.cuts());
        assert_eq!(data.digest("order-summary"), orders.digest("order-summary"), "{bytes}");
        assert_eq!(seen(&mut database.client(), VIEW), orders.all, "{bytes}");
    }
    assert!(cuts > 10, "{cuts}");
}
