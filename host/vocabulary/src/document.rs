//! Documents: what rows and payloads hold.
//!
//! A document is exactly one MessagePack value, and nothing that JSON cannot show:
//!
//! | held | as JSON | refused |
//! |---|---|---|
//! | nil, booleans | the same | extension types, the reserved byte `0xc1` |
//! | integers from -2^63 to 2^64 - 1 | the same | |
//! | finite floats | the same | NaN and the infinities |
//! | UTF-8 text | the same | text that is not UTF-8 |
//! | binary | base64 text (standard alphabet, padded) | |
//! | arrays | the same | more than [`limits::DOCUMENT_DEPTH`](crate::limits::DOCUMENT_DEPTH) levels of arrays and maps |
//! | maps from text or integers | an object; integer keys as text | other keys; a key twice, also as `1` and `"1"` |
//!
//! The **canonical form** of a document is the one encoding that equal documents share. It uses the shortest form of every
//! integer (unsigned where not negative), text, binary, array and map; every float has eight bytes; the entries of a map
//! stand in ascending order of the bytes of their encoded keys, so that shorter text comes first. `1` and `1.0` are not
//! equal, nor are `0.0` and `-0.0`.
//!
//! [`check_document`], [`canonical`] and [`to_json`] refuse the same inputs for the same reasons.

mod check;
mod error;
mod exact;
mod from_json;
mod json_problem;
mod numbers;
mod output;
mod raw;
mod rewrite;
mod shape;
mod to_json;
mod to_jsonb;
mod token;
mod writer;

#[cfg(test)]
mod tests;

pub use check::{check_document, split_document};
pub use error::DocumentError;
pub use from_json::{from_json, from_json_as, from_jsonb};
pub use json_problem::half_surrogate;
pub use numbers::Numbers;
pub use raw::raw_document;
pub use rewrite::{Canonical, canonical};
pub use shape::{Field, Shape};
pub use to_json::to_json;
pub use to_jsonb::{JsonbError, to_jsonb};
