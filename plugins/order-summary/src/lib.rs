//! One row per order: what it holds, what it costs, how far it came.

use unspool_sdk::prelude::*;

mod lines;
mod order;
#[cfg(test)]
mod tests;

use order::{Order, Status};

projection! {
    /// The orders.
    pub struct OrderSummary;
    name: "order-summary",
    version: 1,
    complexity: Standard,
    partitioning: Stream,
    preload: wanted,
    tables: Tables { orders: Order },
    handlers: {
        "OrderCreated" => on_created,
        "ItemAdded" => on_item_added,
        "ItemRemoved" => on_item_removed,
        "OrderConfirmed" => on_confirmed,
        "PaymentReceived" => on_payment,
        "OrderShipped" => on_shipped,
        "OrderDelivered" => on_delivered,
        "OrderCancelled" => on_cancelled,
        "*" => on_unknown,
    },
}

export!(OrderSummary);

/// The stream of an order's events is called after the order: its row is read together with those of all others in the chunk.
fn wanted(event: &Event<'_>, tables: &mut Tables) {
    if let Some(order) = event.stream.strip_prefix("order-") {
        tables.orders.want(order);
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created<'a> {
    order_id: &'a str,
    customer_id: &'a str,
}

fn on_created(event: &Event<'_>, created: Created<'_>, tables: &mut Tables) -> Handled {
    if tables.orders.contains(created.order_id)? {
        return Err(permanent("order exists").detail("order", created.order_id));
    }
    let mut order = Order::new(created.customer_id, event.timestamp);
    order.note('C', event);
    tables.orders.put(created.order_id, order)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    order_id: &'a str,
    sku: &'a str,
    qty: i64,
    unit_price_cents: i64,
}

fn on_item_added(event: &Event<'_>, item: Item<'_>, tables: &mut Tables) -> Handled {
    let order = known(tables, item.order_id)?;
    let held = order.lines.entry(item.sku);
    *held = sum(*held, item.qty)?;
    order.item_count = sum(order.item_count, item.qty)?;
    order.total_cents = sum(order.total_cents, product(item.qty, item.unit_price_cents)?)?;
    order.note('A', event);
    Ok(())
}

fn on_item_removed(event: &Event<'_>, item: Item<'_>, tables: &mut Tables) -> Handled {
    let order = known(tables, item.order_id)?;
    let held = order.lines.entry(item.sku);
    if *held < item.qty {
        return Err(permanent("removes more than there is").detail("order", item.order_id).detail("sku", item.sku));
    }
    *held = difference(*held, item.qty)?;
    if *held == 0 {
        order.lines.remove(item.sku);
    }
    order.item_count = difference(order.item_count, item.qty)?;
    order.total_cents = difference(order.total_cents, product(item.qty, item.unit_price_cents)?)?;
    order.note('R', event);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Confirmed<'a> {
    order_id: &'a str,
    #[serde(rename = "itemCount")]
    _item_count: i64,
    #[serde(rename = "totalCents")]
    _total_cents: i64,
    discount_cents: i64,
}

fn on_confirmed(event: &Event<'_>, confirmed: Confirmed<'_>, tables: &mut Tables) -> Handled {
    let order = known(tables, confirmed.order_id)?;
    order.status = Status::Confirmed;
    order.confirmed_at = Some(event.timestamp);
    order.discount_cents = confirmed.discount_cents;
    order.note('K', event);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payment<'a> {
    order_id: &'a str,
    amount_cents: i64,
}

fn on_payment(event: &Event<'_>, payment: Payment<'_>, tables: &mut Tables) -> Handled {
    let order = known(tables, payment.order_id)?;
    order.paid_cents = sum(order.paid_cents, payment.amount_cents)?;
    if order.status == Status::Confirmed && order.paid_cents >= difference(order.total_cents, order.discount_cents)? {
        order.status = Status::Paid;
        order.paid_at = Some(event.timestamp);
    }
    order.note('P', event);
    Ok(())
}

/// Payloads of which only the order matters.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfOrder<'a> {
    order_id: &'a str,
}

fn on_shipped(event: &Event<'_>, shipped: OfOrder<'_>, tables: &mut Tables) -> Handled {
    let order = known(tables, shipped.order_id)?;
    order.status = Status::Shipped;
    order.shipped_at = Some(event.timestamp);
    order.note('S', event);
    Ok(())
}

fn on_delivered(event: &Event<'_>, delivered: OfOrder<'_>, tables: &mut Tables) -> Handled {
    let order = known(tables, delivered.order_id)?;
    order.status = Status::Delivered;
    order.delivered_at = Some(event.timestamp);
    order.note('D', event);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cancelled<'a> {
    order_id: &'a str,
    #[serde(rename = "refundCents")]
    _refund_cents: i64,
}

fn on_cancelled(event: &Event<'_>, cancelled: Cancelled<'_>, tables: &mut Tables) -> Handled {
    let order = known(tables, cancelled.order_id)?;
    order.status = Status::Cancelled;
    order.cancelled_at = Some(event.timestamp);
    order.note('X', event);
    Ok(())
}

/// A type that orders do not have is a mistake of the log, not something to pass over.
fn on_unknown(event: &Event<'_>, _tables: &mut Tables) -> Handled {
    Err(permanent("unknown type").detail("type", event.kind))
}

fn known<'t>(tables: &'t mut Tables, id: &str) -> Result<&'t mut Order, Failure> {
    tables.orders.get_mut(id)?.ok_or_else(|| permanent("unknown order").detail("order", id))
}

fn sum(a: i64, b: i64) -> Result<i64, Failure> {
    a.checked_add(b).ok_or_else(overflow)
}

fn difference(a: i64, b: i64) -> Result<i64, Failure> {
    a.checked_sub(b).ok_or_else(overflow)
}

fn product(a: i64, b: i64) -> Result<i64, Failure> {
    a.checked_mul(b).ok_or_else(overflow)
}

#[cold]
fn overflow() -> Failure {
    permanent("an amount exceeds 64 bits")
}
