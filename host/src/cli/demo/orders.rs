//! A generated order history: some hundred orders open at a time, each going its way from created to delivered or
//! cancelled. The same number of events and the same seed give the same bytes.

use crate::vocabulary::work;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Orders that are open at the same time.
const OPEN_ORDERS: usize = 200;

/// Milliseconds since 1970 of the first event: 2024-01-01.
const START: i64 = 1_704_067_200_000;

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    fn per_mille(&mut self, chance: u64) -> bool {
        self.below(1000) < chance
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Open,
    Confirmed,
    Paid,
    Shipped,
    Over,
}

struct Order {
    id: String,
    customer: String,
    phase: Phase,
    /// SKU, quantity, unit price in cents.
    lines: Vec<(u64, u64, u64)>,
    discount: u64,
}

impl Order {
    fn new(random: &mut Random) -> Order {
        Order {
            id: format!("{:010x}", random.next() >> 24),
            customer: format!("cust-{:06}", random.below(2000)),
            phase: Phase::New,
            lines: Vec::new(),
            discount: 0,
        }
    }

    fn total(&self) -> u64 {
        self.lines.iter().map(|(_, quantity, price)| quantity * price).sum()
    }

    /// What happens to it next.
    fn step(&mut self, random: &mut Random) -> (&'static str, Value) {
        let id = self.id.clone();
        match self.phase {
            Phase::New => {
                self.phase = Phase::Open;
                let country = random.pick(&["DE", "FR", "GB", "NO", "PT", "US"]);
                let address = json!({
                    "street": format!("{} {}", random.pick(&["High Street", "Königsallee", "Rue de l’Église"]), random.below(200)),
                    "postcode": format!("{:05}", random.below(100_000)),
                });
                (
                    "OrderCreated",
                    json!({
                        "orderId": id, "customerId": self.customer, "customerName": format!("Customer {}", random.below(100_000)),
                        "country": country, "currency": "EUR", "channel": random.pick(&["web", "ios", "android", "phone"]), "address": address,
                    }),
                )
            }
            Phase::Open if self.lines.is_empty() || random.per_mille(600) => self.add_item(random),
            Phase::Open if random.per_mille(150) => self.remove_item(random),
            Phase::Open if random.per_mille(60) => self.cancel(random, 0),
            Phase::Open => {
                self.phase = Phase::Confirmed;
                let total = self.total();
                self.discount = if random.per_mille(200) { total / 10 } else { 0 };
                let items: u64 = self.lines.iter().map(|(_, quantity, _)| quantity).sum();
                (
                    "OrderConfirmed",
                    json!({
                        "orderId": id, "itemCount": items, "totalCents": total, "discountCents": self.discount,
                        "shippingMethod": random.pick(&["standard", "express", "pickup"]),
                    }),
                )
            }
            Phase::Confirmed if random.per_mille(50) => self.cancel(random, 0),
            Phase::Confirmed => {
                self.phase = Phase::Paid;
                (
                    "PaymentReceived",
                    json!({
                        "orderId": id, "amountCents": self.total() - self.discount,
                        "method": random.pick(&["card", "invoice", "paypal"]), "paymentRef": format!("pay_{:016x}", random.next()),
                    }),
                )
            }
            Phase::Paid if random.per_mille(30) => self.cancel(random, self.total() - self.discount),
            Phase::Paid => {
                self.phase = Phase::Shipped;
                (
                    "OrderShipped",
                    json!({
                        "orderId": id, "carrier": random.pick(&["DHL", "UPS", "GLS"]),
                        "trackingNo": format!("{:012}", random.below(1_000_000_000_000)), "warehouse": random.pick(&["AMS-1", "NYC-4"]), "parcels": 1 + random.below(3),
                    }),
                )
            }
            Phase::Shipped | Phase::Over => {
                self.phase = Phase::Over;
                (
                    "OrderDelivered",
                    json!({
                        "orderId": id, "receivedBy": random.pick(&["recipient", "neighbour", "parcel locker"]),
                        "signature": format!("{:016x}{:016x}", random.next(), random.next()),
                    }),
                )
            }
        }
    }

    fn add_item(&mut self, random: &mut Random) -> (&'static str, Value) {
        let (sku, quantity, price) = (random.below(500), 1 + random.below(4), 100 + random.below(50_000));
        match self.lines.iter_mut().find(|(known, ..)| *known == sku) {
            // One price for one line, so that what is taken out again costs what it cost.
            Some((_, known, price)) => {
                *known += quantity;
                ("ItemAdded", item(&self.id, sku, quantity, *price, "warehouse", "AMS-1"))
            }
            None => {
                self.lines.push((sku, quantity, price));
                ("ItemAdded", item(&self.id, sku, quantity, price, "warehouse", "NYC-4"))
            }
        }
    }

    fn remove_item(&mut self, random: &mut Random) -> (&'static str, Value) {
        let at = random.below(self.lines.len() as u64) as usize;
        let (sku, quantity, price) = self.lines[at];
        let removed = 1 + random.below(quantity);
        if removed == quantity {
            self.lines.remove(at);
        } else {
            self.lines[at].1 -= removed;
        }
        ("ItemRemoved", item(&self.id, sku, removed, price, "reason", "found_elsewhere"))
    }

    fn cancel(&mut self, random: &mut Random, refund: u64) -> (&'static str, Value) {
        self.phase = Phase::Over;
        let reason = random.pick(&["changed_mind", "too_slow", "fraud"]);
        ("OrderCancelled", json!({ "orderId": self.id, "reason": reason, "refundCents": refund }))
    }
}

fn item(order: &str, sku: u64, quantity: u64, price: u64, more: &str, value: &str) -> Value {
    json!({
        "orderId": order, "sku": format!("SKU-{sku:05}"), "name": format!("Article {sku}"),
        "qty": quantity, "unitPriceCents": price, more: value,
    })
}

/// Writes `events` events as NDJSON, with positions from 1.
///
/// # Errors
/// When `out` refuses.
pub fn write(events: u64, seed: u64, out: &mut impl Write) -> io::Result<()> {
    let mut random = Random(seed);
    let mut open: Vec<Order> = Vec::new();
    let mut timestamp = START;
    work::begin("generating", "events", Some(events));
    for position in 1..=events {
        work::advance(1);
        while open.len() < OPEN_ORDERS {
            open.push(Order::new(&mut random));
        }
        timestamp += random.below(400) as i64;
        let at = random.below(open.len() as u64) as usize;
        let (kind, data) = open[at].step(&mut random);
        let order = &open[at];
        let id = format!("{:016x}-{:016x}", random.next(), position);
        let event = json!({
            "id": id, "position": position, "stream": format!("order-{}", order.id), "type": kind, "timestamp": timestamp,
            "data": data, "metadata": { "userId": order.customer, "correlationId": format!("order-{}", order.id) },
        });
        serde_json::to_writer(&mut *out, &event)?;
        out.write_all(b"\n")?;
        if order.phase == Phase::Over {
            open.swap_remove(at);
        }
    }
    Ok(())
}
