//! What who watches a read model is told.

use crate::vocabulary::Position;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One thing that who watches a read model is told.
///
/// With all of them applied in their order, the rows of a subscriber are those of the live generation. A token is given where
/// `--from` can go on: after what it stands in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Change {
    /// A row was changed, or is in a snapshot, or is another one since a promotion.
    Row {
        /// Its table.
        table: String,
        /// Its key.
        key: String,
        /// Its document; null where it was deleted.
        value: Value,
        /// Up to where the history is in the commit that it is from.
        position: Position,
        /// Where `--from` goes on; absent within a snapshot and after a promotion, until `complete`.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        token: Option<String>,
    },
    /// All rows of a generation follow, up to `complete`: whatever a subscriber had before is void.
    Snapshot {
        /// The live generation.
        snapshot: u64,
        /// Up to where its history is in it.
        position: Position,
        /// Why there is a snapshot.
        because: String,
    },
    /// Another generation is live; its rows that differ from those before follow, up to `complete`, or a snapshot does.
    Promoted {
        /// The generation that is live.
        promoted: u64,
        /// The one that was live before; absent where none was.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        from: Option<u64>,
        /// Up to where its history was in it then.
        position: Position,
    },
    /// The subscriber has everything up to here.
    Complete {
        /// The live generation.
        complete: u64,
        /// Up to where its history is in it.
        position: Position,
        /// Where `--from` goes on.
        token: String,
    },
}

impl Change {
    /// Where `--from` goes on, where that is known.
    pub fn token(&self) -> Option<&str> {
        match self {
            Change::Row { token, .. } => token.as_deref(),
            Change::Complete { token, .. } => Some(token),
            Change::Snapshot { .. } | Change::Promoted { .. } => None,
        }
    }
}
