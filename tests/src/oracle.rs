//! Naive folds over events as JSON: what the read models must equal. They share no code with host, SDK or plugins.

use crate::data::Rows;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Initial stock of every SKU.
const STOCK: i64 = 1000;

fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().expect("generated events are well formed")
}

fn add(row: &mut Value, field: &str, amount: i64) {
    row[field] = json!(row[field].as_i64().expect("a count") + amount);
}

/// The rows of `order-summary/orders` and of `inventory-levels/stock`, from events that can all be applied.
pub fn orders(events: &[Value]) -> (Rows, Rows) {
    let (mut orders, mut stock) = (Rows::new(), Rows::new());
    for (index, event) in events.iter().enumerate() {
        apply(event, event["position"].as_u64().unwrap_or(index as u64 + 1), &mut orders, &mut stock);
    }
    (orders, stock)
}

fn apply(event: &Value, position: u64, orders: &mut Rows, stock: &mut Rows) {
    let (data, at) = (&event["data"], &event["timestamp"]);
    let id = text(data, "orderId");
    let letter = match text(event, "type") {
        "OrderCreated" => {
            let row = json!({
                "customerId": data["customerId"], "status": "open", "itemCount": 0, "totalCents": 0, "discountCents": 0,
                "paidCents": 0, "lines": {}, "createdAt": at, "confirmedAt": null, "paidAt": null, "shippedAt": null,
                "deliveredAt": null, "cancelledAt": null, "lastEventAt": at, "events": 0, "version": 0, "path": "",
            });
            assert!(orders.insert(id.to_owned(), row).is_none(), "order {id} is new");
            "C"
        }
        "ItemAdded" => {
            stock
                .entry(text(data, "sku").to_owned())
                .or_insert_with(|| json!({ "onHand": STOCK, "reserved": 0, "available": STOCK, "shipped": 0 }));
            change_line(orders.get_mut(id).expect("the order is known"), data, 1);
            "A"
        }
        "ItemRemoved" => {
            change_line(orders.get_mut(id).expect("the order is known"), data, -1);
            "R"
        }
        "OrderConfirmed" => {
            let order = orders.get_mut(id).expect("the order is known");
            (order["status"], order["confirmedAt"]) = (json!("confirmed"), at.clone());
            order["discountCents"] = data["discountCents"].clone();
            move_stock(order, stock, &[("reserved", 1), ("available", -1)]);
            "K"
        }
        "PaymentReceived" => {
            let order = orders.get_mut(id).expect("the order is known");
            add(order, "paidCents", data["amountCents"].as_i64().expect("an amount"));
            let due =
                order["totalCents"].as_i64().expect("a total") - order["discountCents"].as_i64().expect("a discount");
            if order["status"] == "confirmed" && order["paidCents"].as_i64().expect("a sum") >= due {
                (order["status"], order["paidAt"]) = (json!("paid"), at.clone());
            }
            "P"
        }
        "OrderShipped" => {
            let order = orders.get_mut(id).expect("the order is known");
            (order["status"], order["shippedAt"]) = (json!("shipped"), at.clone());
            move_stock(order, stock, &[("onHand", -1), ("reserved", -1), ("shipped", 1)]);
            "S"
        }
        "OrderDelivered" => {
            let order = orders.get_mut(id).expect("the order is known");
            (order["status"], order["deliveredAt"]) = (json!("delivered"), at.clone());
            "D"
        }
        "OrderCancelled" => {
            let order = orders.get_mut(id).expect("the order is known");
            if !order["confirmedAt"].is_null() {
                move_stock(order, stock, &[("reserved", -1), ("available", 1)]);
            }
            (order["status"], order["cancelledAt"]) = (json!("cancelled"), at.clone());
            "X"
        }
        other => panic!("no rule for {other}"),
    };
    let order = orders.get_mut(id).expect("the order is known");
    order["path"] = json!(format!("{}{letter}", order["path"].as_str().expect("a path")));
    add(order, "events", 1);
    (order["lastEventAt"], order["version"]) = (at.clone(), json!(position));
}

fn change_line(order: &mut Value, data: &Value, sign: i64) {
    let quantity = sign * data["qty"].as_i64().expect("a quantity");
    let price = data["unitPriceCents"].as_i64().expect("a price");
    let lines = order["lines"].as_object_mut().expect("lines");
    let line = lines.get(text(data, "sku")).and_then(Value::as_i64).unwrap_or(0) + quantity;
    assert!(line >= 0, "no more is removed than there is");
    match line {
        0 => drop(lines.remove(text(data, "sku"))),
        line => drop(lines.insert(text(data, "sku").to_owned(), json!(line))),
    }
    add(order, "itemCount", quantity);
    add(order, "totalCents", quantity * price);
}

fn move_stock(order: &Value, stock: &mut Rows, fields: &[(&str, i64)]) {
    for (sku, quantity) in order["lines"].as_object().expect("lines") {
        let row = stock.get_mut(sku).expect("the SKU was added");
        for (field, sign) in fields {
            add(row, field, sign * quantity.as_i64().expect("a quantity"));
        }
    }
}

/// The tables of `process-map`, by name.
pub fn process_map(events: &[Value]) -> BTreeMap<&'static str, Rows> {
    let (mut activities, mut follows) = (BTreeMap::<String, u64>::new(), BTreeMap::<(String, String), u64>::new());
    let mut cases = BTreeMap::<String, Vec<&Value>>::new();
    for event in events {
        *activities.entry(text(event, "type").to_owned()).or_default() += 1;
        cases.entry(text(event, "stream").to_owned()).or_default().push(event);
    }
    let (mut starts, mut ends, mut rows) =
        (BTreeMap::<String, u64>::new(), BTreeMap::<String, u64>::new(), Rows::new());
    for (stream, case) in &cases {
        for pair in case.windows(2) {
            *follows.entry((text(pair[0], "type").to_owned(), text(pair[1], "type").to_owned())).or_default() += 1;
        }
        let (first, last) = (case[0], case[case.len() - 1]);
        *starts.entry(text(first, "type").to_owned()).or_default() += 1;
        *ends.entry(text(last, "type").to_owned()).or_default() += 1;
        rows.insert(
            stream.clone(),
            json!({
                "events": case.len(), "lastType": last["type"],
                "firstTimestamp": first["timestamp"], "lastTimestamp": last["timestamp"],
            }),
        );
    }
    let counts = |counts: BTreeMap<String, u64>| -> Rows {
        counts.into_iter().map(|(key, count)| (key, json!({ "count": count }))).collect()
    };
    let follows = follows
        .into_iter()
        .map(|((from, to), count)| (format!("{from} -> {to}"), json!({ "from": from, "to": to, "count": count })));
    BTreeMap::from([
        ("activities", counts(activities)),
        ("follows", follows.collect()),
        ("starts", counts(starts)),
        ("ends", counts(ends)),
        ("cases", rows),
    ])
}
