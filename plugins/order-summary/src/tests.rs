use super::*;
use unspool_sdk::testing::{Given, Kit, Value, event, json};

fn of(kind: &str, data: Value) -> Given {
    event(kind).stream("order-a").data(data)
}

fn created() -> Given {
    of("OrderCreated", json!({ "orderId": "a", "customerId": "ada", "country": "NO" }))
}

fn item(kind: &str, sku: &str, qty: i64, cents: i64) -> Given {
    of(kind, json!({ "orderId": "a", "sku": sku, "qty": qty, "unitPriceCents": cents, "name": "?" }))
}

fn confirmed(discount: i64) -> Given {
    of("OrderConfirmed", json!({ "orderId": "a", "itemCount": 0, "totalCents": 0, "discountCents": discount }))
}

fn paid(cents: i64) -> Given {
    of("PaymentReceived", json!({ "orderId": "a", "amountCents": cents }))
}

fn opened() -> Kit<OrderSummary> {
    let items =
        [item("ItemAdded", "mug", 3, 250), item("ItemAdded", "lamp", 1, 1000), item("ItemRemoved", "mug", 1, 250)];
    Kit::new().given(created()).given_all(items)
}

fn order(kit: &Kit<OrderSummary>) -> Value {
    kit.row("orders", "a")
}

#[test]
fn a_row_has_every_field() {
    let expected = json!({
        "customerId": "ada", "status": "open", "itemCount": 3, "totalCents": 1500, "discountCents": 0, "paidCents": 0,
        "lines": { "lamp": 1, "mug": 2 }, "createdAt": 1000, "confirmedAt": null, "paidAt": null, "shippedAt": null,
        "deliveredAt": null, "cancelledAt": null, "lastEventAt": 4000, "events": 4, "version": 4, "path": "CAAR",
    });
    assert_eq!(order(&opened()), expected);
}

#[test]
fn an_order_is_paid_by_the_payment_that_covers_what_is_due() {
    let kit = opened().given(confirmed(100)).given(paid(1399));
    assert_eq!(order(&kit)["status"], "confirmed");
    let kit = kit.given(paid(1));
    assert_eq!(order(&kit)["status"], "paid");
    assert_eq!(order(&kit)["paidAt"], 7000);
}

#[test]
fn an_order_comes_to_an_end() {
    let kit = opened()
        .given(of("OrderShipped", json!({ "orderId": "a" })))
        .given(of("OrderDelivered", json!({ "orderId": "a" })));
    assert_eq!(order(&kit)["status"], "delivered");
    assert_eq!(order(&kit)["path"], "CAARSD");
    let kit = opened().given(of("OrderCancelled", json!({ "orderId": "a", "refundCents": 0 })));
    assert_eq!(order(&kit)["cancelledAt"], 5000);
}

#[test]
fn a_line_that_is_used_up_is_gone() {
    assert_eq!(order(&opened().given(item("ItemRemoved", "mug", 2, 250)))["lines"], json!({ "lamp": 1 }));
}

#[test]
fn what_cannot_be_applied_is_refused_by_name() {
    let max = i64::MAX;
    for (event, message) in [
        (created(), "order exists"),
        (item("ItemRemoved", "mug", 3, 250), "removes more than there is"),
        (item("ItemAdded", "mug", max, 1), "exceeds 64 bits"),
        (item("ItemAdded", "mug", max, max), "exceeds 64 bits"),
        (of("OrderShipped", json!({ "orderId": "b" })), "unknown order"),
        (of("OrderShipped", json!({ "orderId": 7 })), "orderId"),
        (of("OrderShipped", json!([])), "invalid type"),
        (of("ItemAdded", json!({ "orderId": "a", "sku": "mug", "qty": true, "unitPriceCents": 1 })), "qty"),
        (of("ItemAdded", json!({ "orderId": "a", "sku": "mug", "qty": 1, "unitPriceCents": 1e308 })), "unitPriceCents"),
        (of("OrderConfirmed", json!({ "orderId": "a", "totalCents": 1, "discountCents": 0 })), "itemCount"),
        (of("OrderCancelled", json!({ "orderId": "a" })), "refundCents"),
        (of("OrderLost", json!({ "orderId": "a" })), "unknown type"),
    ] {
        let kit = opened().given(event).given(paid(1));
        let failed = kit.failure();
        assert_eq!(failed.event, 4);
        assert!(failed.failure.message().contains(message), "{} instead of {message}", failed.failure);
        assert_eq!(kit.fold().tables, opened().fold().tables, "a refused event changes nothing");
    }
}
