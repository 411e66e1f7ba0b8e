//! The payloads. Fields that the stock does not depend on are declared where an event without them is no such event.

use unspool_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Created<'a> {
    pub order_id: &'a str,
    #[serde(rename = "customerId")]
    _customer_id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item<'a> {
    pub order_id: &'a str,
    pub sku: &'a str,
    pub qty: i64,
    #[serde(rename = "unitPriceCents")]
    _unit_price_cents: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Confirmed<'a> {
    pub order_id: &'a str,
    #[serde(rename = "itemCount")]
    _item_count: i64,
    #[serde(rename = "totalCents")]
    _total_cents: i64,
    #[serde(rename = "discountCents")]
    _discount_cents: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment<'a> {
    pub order_id: &'a str,
    #[serde(rename = "amountCents")]
    _amount_cents: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfOrder<'a> {
    pub order_id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cancelled<'a> {
    pub order_id: &'a str,
    #[serde(rename = "refundCents")]
    _refund_cents: i64,
}
