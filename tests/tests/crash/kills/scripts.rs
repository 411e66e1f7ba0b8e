//! Rebuilds that a plugin in Rust began and its twin in TypeScript goes on with.

use super::orders::{FAST, ORDERS_BUILT, SLOW};
use super::*;
use unspool_tests::plugins::script;

#[test]
fn a_script_goes_on_from_the_checkpoint_wherever_it_was_killed() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    let cases = [
        ("commit.before:3", &SLOW[..]),
        ("commit.after:2", &SLOW),
        ("journal.written:2", &SLOW),
        ("promote.written", &FAST),
    ];
    for (at, args) in cases {
        let data = orders.data.copy();
        data.ok(with_file(&["plugin", "swap", "order-summary"], &script("order-summary")));
        kill(&data, at, args.iter().copied());
        orders.fits(&data, at);
        orders.finish(&data, at);
    }
}
