//! Stopping rebuilds: pause and cancel.

use super::{Answer, Input, RebuildError, perform::Means, supervisor::Supervisor};
use crate::store::StoreError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer to a cancel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum CancelAnswer {
    /// Given up.
    Cancelled {
        /// The projection.
        projection_name: String,
    },
    /// There has been no rebuild.
    NotFound {
        /// The projection.
        projection_name: String,
    },
    /// It is over already.
    NotRunning {
        /// The projection.
        projection_name: String,
    },
}

impl Supervisor {
    /// Stops a rebuild so that it can go on later. Durable when this returns.
    ///
    /// # Errors
    /// When it is not running, or the store did not take its end.
    pub fn pause(&self, name: &str) -> Result<(), RebuildError> {
        let _lock = self.host.command(name)?;
        let paused = self.perform(name, Input::Pause, Means::default());
        if matches!(paused, Err(RebuildError::Refused { .. }))
            && self.host.store.live_rebuild(name)?.is_some_and(|live| live.is_followed())
        {
            return Err(RebuildError::NotPossible(format!(
                "{name} is not being rebuilt; its live generation is followed: unspool unfollow {name} stops that"
            )));
        }
        paused?;
        let latest = self.host.store.latest_rebuild(name)?;
        // What the last host was ended in the middle of does not go on either, now that an operator has said so.
        if let Some(record) = latest.filter(|record| record.interrupted) {
            self.host.store.hold(name, record.generation)?;
        }
        Ok(())
    }

    /// Gives a rebuild up. Durable when this returns.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn cancel(&self, name: &str) -> Result<CancelAnswer, RebuildError> {
        let projection_name = name.to_owned();
        let _lock = self.host.command(name)?;
        let answer = match self.perform(name, Input::Cancel, Means::default()) {
            Err(RebuildError::Store(StoreError::NotFound(_))) => Answer::NotFound,
            performed => performed?.answer,
        };
        Ok(match answer {
            Answer::NotFound => CancelAnswer::NotFound { projection_name },
            Answer::Cancelled => CancelAnswer::Cancelled { projection_name },
            _ => CancelAnswer::NotRunning { projection_name },
        })
    }
}
