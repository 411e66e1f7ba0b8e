//! What one would do otherwise: the same handlers natively in memory, and a hand-written loop into SQLite.

use order_summary::OrderSummary;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    rc::Rc,
};
use unspool_sdk::{MemoryRows, Plugin, Rows, Session};

/// The handlers as the host calls them, chunk by chunk over rows in memory: decoded, folded, encoded.
pub fn fold(frames: &[Vec<u8>]) {
    let rows = MemoryRows::new();
    for frame in frames {
        let outcome = OrderSummary::handle(frame, Rc::new(rows.clone()) as Rc<dyn Rows>);
        assert!(outcome.failure.is_none());
        rows.apply(&outcome.writes).expect("the plugin returns a write frame");
    }
}

/// The handlers alone: every row stays decoded in memory, nothing is ever encoded.
pub fn fold_decoded(frames: &[Vec<u8>]) {
    let mut session = Session::<OrderSummary>::new();
    for frame in frames {
        session.fold(frame).expect("generated events can be applied");
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: i64,
    position: u64,
    data: Data<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    order_id: &'a str,
    customer_id: Option<&'a str>,
    sku: Option<&'a str>,
    qty: Option<i64>,
    unit_price_cents: Option<i64>,
    discount_cents: Option<i64>,
    amount_cents: Option<i64>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Order {
    customer_id: String,
    status: String,
    item_count: i64,
    total_cents: i64,
    discount_cents: i64,
    paid_cents: i64,
    lines: BTreeMap<String, i64>,
    created_at: i64,
    confirmed_at: Option<i64>,
    paid_at: Option<i64>,
    shipped_at: Option<i64>,
    delivered_at: Option<i64>,
    cancelled_at: Option<i64>,
    last_event_at: i64,
    events: u64,
    version: u64,
    path: String,
}

/// The loop that a careful engineer would write: events parsed from JSON, rows cached within the transaction, one
/// durable transaction (WAL, synchronous=FULL) with the position for every `per_transaction` events.
pub fn sqlite(file: &Path, per_transaction: usize) {
    let dir = tempfile::tempdir_in(file.parent().expect("the file is in a directory")).expect("a directory");
    let mut db = Connection::open(dir.path().join("rows.sqlite")).expect("a database");
    db.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
         CREATE TABLE orders (id TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;
         CREATE TABLE checkpoint (id INTEGER PRIMARY KEY, position INTEGER NOT NULL);",
    )
    .expect("tables");
    let mut reader = BufReader::with_capacity(1 << 20, File::open(file).expect("the history"));
    let mut line = String::new();
    let mut more = true;
    while more {
        let transaction = db.transaction().expect("a transaction");
        let mut rows: HashMap<String, Order> = HashMap::new();
        let mut position = 0;
        for _ in 0..per_transaction {
            line.clear();
            if reader.read_line(&mut line).expect("the history") == 0 {
                more = false;
                break;
            }
            let event: Line<'_> = serde_json::from_str(&line).expect("an event");
            position = event.position;
            let id = event.data.order_id;
            if !rows.contains_key(id) {
                let mut select =
                    transaction.prepare_cached("SELECT document FROM orders WHERE id = ?1").expect("a statement");
                let stored: Option<String> = select.query_row([id], |row| row.get(0)).optional().expect("a row");
                let order = stored.map(|document| serde_json::from_str(&document).expect("a document"));
                rows.insert(id.to_owned(), order.unwrap_or_default());
            }
            apply(rows.get_mut(id).expect("it was just put there"), &event);
        }
        {
            let mut upsert = transaction
                .prepare_cached("INSERT INTO orders VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET document = ?2")
                .expect("a statement");
            for (id, order) in &rows {
                upsert.execute(params![id, serde_json::to_string(order).expect("a document")]).expect("an upsert");
            }
        }
        if position > 0 {
            let checkpoint = "INSERT INTO checkpoint VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET position = ?1";
            transaction.execute(checkpoint, params![position as i64]).expect("a checkpoint");
        }
        transaction.commit().expect("a commit");
    }
}

fn apply(order: &mut Order, event: &Line<'_>) {
    let (data, at) = (&event.data, event.timestamp);
    let line = || (data.sku.expect("a SKU"), data.qty.expect("a quantity"), data.unit_price_cents.expect("a price"));
    order.path.push(match event.kind {
        "OrderCreated" => {
            order.customer_id = data.customer_id.expect("a customer").to_owned();
            order.status = "open".to_owned();
            order.created_at = at;
            'C'
        }
        "ItemAdded" => {
            let (sku, quantity, price) = line();
            *order.lines.entry(sku.to_owned()).or_default() += quantity;
            order.item_count += quantity;
            order.total_cents += quantity * price;
            'A'
        }
        "ItemRemoved" => {
            let (sku, quantity, price) = line();
            let left = order.lines.get_mut(sku).expect("a line");
            *left -= quantity;
            if *left == 0 {
                order.lines.remove(sku);
            }
            order.item_count -= quantity;
            order.total_cents -= quantity * price;
            'R'
        }
        "OrderConfirmed" => {
            order.discount_cents = data.discount_cents.expect("a discount");
            (order.status, order.confirmed_at) = ("confirmed".to_owned(), Some(at));
            'K'
        }
        "PaymentReceived" => {
            order.paid_cents += data.amount_cents.expect("an amount");
            if order.status == "confirmed" && order.paid_cents >= order.total_cents - order.discount_cents {
                (order.status, order.paid_at) = ("paid".to_owned(), Some(at));
            }
            'P'
        }
        "OrderShipped" => {
            (order.status, order.shipped_at) = ("shipped".to_owned(), Some(at));
            'S'
        }
        "OrderDelivered" => {
            (order.status, order.delivered_at) = ("delivered".to_owned(), Some(at));
            'D'
        }
        "OrderCancelled" => {
            (order.status, order.cancelled_at) = ("cancelled".to_owned(), Some(at));
            'X'
        }
        other => panic!("no rule for {other}"),
    });
    order.events += 1;
    order.last_event_at = at;
    order.version = event.position;
}
