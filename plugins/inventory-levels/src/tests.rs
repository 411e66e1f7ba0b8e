use super::*;
use unspool_sdk::testing::{Given, Kit, event, json};

fn of(kind: &str, data: unspool_sdk::testing::Value) -> Given {
    event(kind).stream("order-a").data(data)
}

fn created() -> Given {
    of("OrderCreated", json!({ "orderId": "a", "customerId": "ada" }))
}

fn item(kind: &str, sku: &str, qty: i64) -> Given {
    of(kind, json!({ "orderId": "a", "sku": sku, "qty": qty, "unitPriceCents": 100 }))
}

fn confirmed() -> Given {
    of("OrderConfirmed", json!({ "orderId": "a", "itemCount": 3, "totalCents": 300, "discountCents": 0 }))
}

fn level(on_hand: i64, reserved: i64, shipped: i64) -> unspool_sdk::testing::Value {
    json!({ "onHand": on_hand, "reserved": reserved, "available": on_hand - reserved, "shipped": shipped })
}

fn opened() -> Kit<InventoryLevels> {
    Kit::new().given_all([
        created(),
        item("ItemAdded", "mug", 3),
        item("ItemAdded", "lamp", 1),
        item("ItemRemoved", "mug", 1),
    ])
}

#[test]
fn a_sku_has_its_initial_stock_until_an_order_is_confirmed() {
    assert_eq!(opened().row("stock", "mug"), level(1000, 0, 0));
    assert_eq!(opened().given(confirmed()).row("stock", "mug"), level(1000, 2, 0));
}

#[test]
fn shipping_takes_out_what_was_reserved() {
    let kit = opened().given(confirmed()).given(of("OrderShipped", json!({ "orderId": "a" })));
    assert_eq!(kit.row("stock", "mug"), level(998, 0, 2));
    assert_eq!(kit.row("stock", "lamp"), level(999, 0, 1));
}

#[test]
fn cancelling_gives_back_only_what_was_reserved() {
    let cancelled = of("OrderCancelled", json!({ "orderId": "a", "refundCents": 0 }));
    assert_eq!(opened().given(cancelled.clone()).row("stock", "mug"), level(1000, 0, 0));
    assert_eq!(opened().given(confirmed()).given(cancelled).row("stock", "mug"), level(1000, 0, 0));
}

#[test]
fn what_cannot_be_applied_is_refused_by_name() {
    for (event, message) in [
        (created(), "order exists"),
        (item("ItemRemoved", "mug", 3), "removes more than there is"),
        (item("ItemRemoved", "pen", 1), "removes more than there is"),
        (of("OrderShipped", json!({ "orderId": "b" })), "unknown order"),
        (of("PaymentReceived", json!({ "orderId": "b", "amountCents": 1 })), "unknown order"),
        (of("PaymentReceived", json!({ "orderId": "a", "amountCents": true })), "amountCents"),
        (of("OrderCancelled", json!({ "orderId": "a" })), "refundCents"),
        (of("OrderLost", json!({})), "unknown type"),
    ] {
        let kit = opened().given(event).given(confirmed());
        let failed = kit.failure();
        assert_eq!(failed.event, 4);
        assert!(failed.failure.message().contains(message), "{} instead of {message}", failed.failure);
        assert_eq!(kit.fold().tables, opened().fold().tables, "a refused event changes nothing");
    }
}
