//! Answers about alerts.

use crate::vocabulary::AlertKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody who is told of what goes wrong.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListedAlertRoute {
    /// What it is called.
    pub name: String,
    /// How, and on which machine.
    pub to: String,
    /// Of what.
    pub on: Vec<AlertKind>,
    /// How long that must last first, in milliseconds.
    pub lasting_ms: u64,
    /// The last try to tell them anything; absent before the first.
    pub last: Option<LastDelivery>,
    /// Messages that are due and have not arrived.
    pub waiting: u64,
    /// Messages that have arrived.
    pub delivered: u64,
    /// Tries that have failed.
    pub failed: u64,
    /// Messages that were given up.
    pub dropped: u64,
}

/// A try to tell somebody something.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastDelivery {
    /// When.
    pub at: i64,
    /// Whether it has arrived.
    pub delivered: bool,
    /// Why it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A condition of a projection that lasts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FiringAlert {
    /// The projection.
    pub projection_name: String,
    /// The condition.
    pub kind: AlertKind,
    /// Since when.
    pub since: i64,
    /// What has brought it about.
    pub message: String,
}

/// What became of a test.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestedAlertRoute {
    /// Whom it was for.
    pub name: String,
    /// How, and on which machine.
    pub to: String,
    /// Whether it has arrived.
    pub delivered: bool,
    /// Why it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of all tests.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AlertsTested {
    /// How many there were.
    pub tested: u64,
    /// How many did not arrive.
    pub failed: u64,
}
