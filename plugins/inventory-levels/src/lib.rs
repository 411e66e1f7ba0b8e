//! Stock by SKU: what is there, what is promised to confirmed orders, what left with shipped ones.
//!
//! Events such as `OrderShipped` say which order they are about and not what is in it, so the projection keeps what it needs
//! to know about each order in a table of its own.

use std::collections::BTreeMap;
use unspool_sdk::prelude::*;

mod payload;
#[cfg(test)]
mod tests;

use payload::{Cancelled, Confirmed, Created, Item, OfOrder, Payment};

/// Pieces of a SKU that are there before the first order.
const INITIAL_STOCK: i64 = 1000;

projection! {
    /// The stock.
    pub struct InventoryLevels;
    name: "inventory-levels",
    version: 1,
    complexity: Complex,
    preload: wanted,
    tables: Tables { stock: Level, orders: Order },
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

export!(InventoryLevels);

/// The stock of one SKU, in pieces. Levels go below zero where more is sold than there is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Level {
    /// In the warehouse.
    on_hand: i64,
    /// Of these, promised to confirmed orders.
    reserved: i64,
    /// On hand and not promised.
    available: i64,
    /// Gone for good.
    shipped: i64,
}

/// What must be known about an order.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Order {
    /// Pieces by SKU.
    lines: BTreeMap<Text, i64>,
    /// Whether the lines are, or were, reserved.
    confirmed: bool,
}

/// Nearly every event looks at the order of its stream.
fn wanted(event: &Event<'_>, tables: &mut Tables) {
    if let Some(order) = event.stream.strip_prefix("order-") {
        tables.orders.want(order);
    }
}

fn on_created(_event: &Event<'_>, created: Created<'_>, tables: &mut Tables) -> Handled {
    if tables.orders.contains(created.order_id)? {
        return Err(permanent("order exists").detail("order", created.order_id));
    }
    tables.orders.put(created.order_id, Order::default())
}

fn on_item_added(_event: &Event<'_>, item: Item<'_>, tables: &mut Tables) -> Handled {
    let order = known(&mut tables.orders, item.order_id)?;
    let held = order.lines.entry(item.sku.into()).or_default();
    *held = moved(*held, item.qty)?;
    if !tables.stock.contains(item.sku)? {
        let level = Level { on_hand: INITIAL_STOCK, reserved: 0, available: INITIAL_STOCK, shipped: 0 };
        tables.stock.put(item.sku, level)?;
    }
    Ok(())
}

fn on_item_removed(_event: &Event<'_>, item: Item<'_>, tables: &mut Tables) -> Handled {
    let order = known(&mut tables.orders, item.order_id)?;
    let sku = Text::from(item.sku);
    let held = order.lines.get(&sku).copied().unwrap_or(0);
    if held < item.qty {
        return Err(permanent("removes more than there is").detail("order", item.order_id).detail("sku", item.sku));
    }
    match held - item.qty {
        0 => order.lines.remove(&sku),
        left => order.lines.insert(sku, left),
    };
    Ok(())
}

fn on_confirmed(_event: &Event<'_>, confirmed: Confirmed<'_>, tables: &mut Tables) -> Handled {
    let order = known(&mut tables.orders, confirmed.order_id)?;
    order.confirmed = true;
    each_line(order, &mut tables.stock, |level, qty| {
        level.reserved = moved(level.reserved, qty)?;
        level.available = moved(level.available, -qty)?;
        Ok(())
    })
}

fn on_payment(_event: &Event<'_>, payment: Payment<'_>, tables: &mut Tables) -> Handled {
    known(&mut tables.orders, payment.order_id).map(drop)
}

fn on_shipped(_event: &Event<'_>, shipped: OfOrder<'_>, tables: &mut Tables) -> Handled {
    let order = known(&mut tables.orders, shipped.order_id)?;
    each_line(order, &mut tables.stock, |level, qty| {
        level.on_hand = moved(level.on_hand, -qty)?;
        level.reserved = moved(level.reserved, -qty)?;
        level.shipped = moved(level.shipped, qty)?;
        Ok(())
    })
}

fn on_delivered(_event: &Event<'_>, delivered: OfOrder<'_>, tables: &mut Tables) -> Handled {
    known(&mut tables.orders, delivered.order_id).map(drop)
}

fn on_cancelled(_event: &Event<'_>, cancelled: Cancelled<'_>, tables: &mut Tables) -> Handled {
    let order = known(&mut tables.orders, cancelled.order_id)?;
    if !order.confirmed {
        return Ok(());
    }
    each_line(order, &mut tables.stock, |level, qty| {
        level.reserved = moved(level.reserved, -qty)?;
        level.available = moved(level.available, qty)?;
        Ok(())
    })
}

/// A type that orders do not have is a mistake of the log, not something to pass over.
fn on_unknown(event: &Event<'_>, _tables: &mut Tables) -> Handled {
    Err(permanent("unknown type").detail("type", event.kind))
}

fn known<'t>(orders: &'t mut Table<Order>, id: &str) -> Result<&'t mut Order, Failure> {
    orders.get_mut(id)?.ok_or_else(|| permanent("unknown order").detail("order", id))
}

fn each_line(order: &Order, stock: &mut Table<Level>, mut change: impl FnMut(&mut Level, i64) -> Handled) -> Handled {
    stock.load(order.lines.keys().map(Text::as_str))?;
    for (sku, qty) in &order.lines {
        let level = stock.get_mut(sku.as_str())?;
        let level = level.ok_or_else(|| permanent("an order holds a SKU that has no stock").detail("sku", sku))?;
        change(level, *qty)?;
    }
    Ok(())
}

fn moved(pieces: i64, by: i64) -> Result<i64, Failure> {
    pieces.checked_add(by).ok_or_else(|| permanent("a number of pieces exceeds 64 bits"))
}
