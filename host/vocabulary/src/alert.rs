//! What an operator may want to be told of.

use serde::{Deserialize, Serialize};

/// A condition of a projection that an operator may want to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AlertKind {
    /// Its latest rebuild has failed, or what kept a generation of it up to date has.
    Failed,
    /// It is to move and does not: what it reads or writes has been unavailable for [`limits::CONTACT`](crate::limits::CONTACT), or it
    /// has stood still for [`limits::STALL`](crate::limits::STALL) while it is behind.
    Stalled,
    /// What is followed has not handled for [`limits::CONTACT`](crate::limits::CONTACT) what was in its history by then, or nobody knows.
    Behind,
    /// It has dead letters.
    Parked,
    /// Its last verification has found rows of the live generation that its history does not lead to, and they were not built again.
    VerifyDiffers,
    /// A rebuild has come to its end: told once, and over with that.
    Completed,
}

impl AlertKind {
    /// All of them.
    pub const ALL: [AlertKind; 6] = [
        AlertKind::Failed,
        AlertKind::Stalled,
        AlertKind::Behind,
        AlertKind::Parked,
        AlertKind::VerifyDiffers,
        AlertKind::Completed,
    ];

    /// As settings and messages name it.
    pub fn name(self) -> &'static str {
        match self {
            AlertKind::Failed => "failed",
            AlertKind::Stalled => "stalled",
            AlertKind::Behind => "behind",
            AlertKind::Parked => "parked",
            AlertKind::VerifyDiffers => "verify-differs",
            AlertKind::Completed => "completed",
        }
    }

    /// Whether it is over as soon as it has happened.
    pub fn is_momentary(self) -> bool {
        self == AlertKind::Completed
    }
}
