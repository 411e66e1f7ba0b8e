//! The row of an order.

use crate::lines::Lines;
use unspool_sdk::prelude::*;

/// An order after the last event applied to it. Times are milliseconds since 1970-01-01T00:00:00Z.
///
/// The fields stand in the canonical order of a document, shorter names first: the host need not sort them to compare rows
/// or take their digest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// A letter per event, in order.
    pub path: Text,
    pub lines: Lines,
    pub events: u64,
    /// When the amount due was covered.
    pub paid_at: Option<i64>,
    pub status: Status,
    /// The position of the last event.
    pub version: u64,
    pub created_at: i64,
    /// Pieces, over all lines.
    pub item_count: i64,
    pub paid_cents: i64,
    pub shipped_at: Option<i64>,
    pub customer_id: Text,
    /// Before the discount.
    pub total_cents: i64,
    pub cancelled_at: Option<i64>,
    pub confirmed_at: Option<i64>,
    pub delivered_at: Option<i64>,
    pub last_event_at: i64,
    pub discount_cents: i64,
}

/// How far an order came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Open,
    Confirmed,
    Paid,
    Shipped,
    Delivered,
    Cancelled,
}

impl Order {
    /// An order that nothing has happened to.
    pub fn new(customer_id: &str, created_at: i64) -> Order {
        Order {
            customer_id: customer_id.into(),
            status: Status::Open,
            item_count: 0,
            total_cents: 0,
            discount_cents: 0,
            paid_cents: 0,
            lines: Lines::default(),
            created_at,
            confirmed_at: None,
            paid_at: None,
            shipped_at: None,
            delivered_at: None,
            cancelled_at: None,
            last_event_at: created_at,
            events: 0,
            version: 0,
            path: Text::default(),
        }
    }

    /// Takes note of an event that was applied.
    pub fn note(&mut self, letter: char, event: &Event<'_>) {
        self.path.push(letter);
        self.events += 1;
        self.last_event_at = event.timestamp;
        self.version = event.position;
    }
}
