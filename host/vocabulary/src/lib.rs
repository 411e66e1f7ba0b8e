//! The vocabulary of the product: the types that the layers exchange. Nothing here does I/O.

pub mod act;
mod advice;
mod alert;
mod checkpoint;
pub mod crash;
mod document;
mod event;
mod failure;
mod following;
pub mod limits;
mod position;
pub mod private;
mod progress;
mod projection;
mod rows;
pub mod settings;
mod visible;
pub mod work;

pub use alert::AlertKind;
pub use checkpoint::{Checkpoint, Mark, Seen, Status};
pub use document::{
    Canonical, DocumentError, Field, JsonbError, Numbers, Shape, canonical, check_document, from_json, from_json_as,
    from_jsonb, half_surrogate, raw_document, split_document, to_json, to_jsonb,
};
pub use event::{BlockEvent, Event, EventBlock};
pub use failure::{EventFailure, FailureKind};
pub use following::FollowState;
pub use position::Position;
pub use progress::{Lag, LiveGeneration, Progress, StageReport, Waiting, percent};
pub use projection::{InvalidDescription, Matcher, validate};
pub use rows::{Known, Layered, NewerRows, NoRows, Page, ReadRows, Scan, ShowRow};
pub use unspool_frame::{Complexity, Description, Partitioning};
pub use visible::{visible, visible_in_json};
pub use work::Work;

/// The time, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970.map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

/// How many milliseconds ago it was `then`, in milliseconds since 1970; 0 where that is to come.
pub fn ms_since(then: i64) -> u64 {
    now_ms().saturating_sub(then).max(0).unsigned_abs()
}
