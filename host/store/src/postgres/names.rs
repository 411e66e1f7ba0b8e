//! What schemas, tables and views are called.
//!
//! Names of projections and tables have lower-case letters, digits, `-` and `_`, and 64 bytes at most; PostgreSQL's
//! identifiers have 63. A name that is too long is cut, and ends in `_` and eight digits of its digest. A projection whose
//! name is PostgreSQL's or ours (`pg_...`, `unspool...`, `public`, `information_schema`) has its views in a schema
//! `model_NAME_DIGEST`.

/// Bytes of an identifier.
const BYTES: usize = 63;

/// `name` as an identifier in a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The schema of a generation's tables.
pub(super) fn generation_schema(projection: &str, generation: u64) -> String {
    let number = format!("_{generation}");
    let prefix = "unspool_";
    format!("{prefix}{}{number}", fitting(projection, BYTES - prefix.len() - number.len()))
}

/// The schema of the views that readers use.
pub(super) fn view_schema(projection: &str) -> String {
    let taken = ["pg_", "unspool"].iter().any(|prefix| projection.starts_with(prefix))
        || ["public", "information_schema"].contains(&projection);
    if taken {
        let prefix = "model_";
        return format!("{prefix}{}", cut(projection, BYTES - prefix.len()));
    }
    fitting(projection, BYTES)
}

/// The name of a table, and of its view.
pub(super) fn table(name: &str) -> String {
    fitting(name, BYTES)
}

/// Schema and table of one of a generation's tables, quoted.
pub(super) fn generation_table(projection: &str, generation: u64, name: &str) -> String {
    format!("{}.{}", quoted(&generation_schema(projection, generation)), quoted(&table(name)))
}

fn fitting(name: &str, bytes: usize) -> String {
    if name.len() <= bytes { name.to_owned() } else { cut(name, bytes) }
}

/// As much of `name` as fits, and its digest.
fn cut(name: &str, bytes: usize) -> String {
    let digest = blake3::hash(name.as_bytes()).to_hex();
    let room = bytes - "_".len() - 8;
    // Names are checked to be ASCII where plugins are.
    let start: String = name.chars().take(room).collect();
    format!("{start}_{}", &digest.as_str()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_fits_and_none_is_taken() {
        assert_eq!(generation_schema("order-summary", 12), "unspool_order-summary_12");
        assert_eq!(view_schema("order-summary"), "order-summary");
        let (long, other) = ("a".repeat(64), format!("{}b", "a".repeat(63)));
        for name in [long.as_str(), other.as_str(), "public", "pg_x", "unspool", "unspool_a_1"] {
            let (views, rows) = (view_schema(name), generation_schema(name, u64::MAX));
            assert!(views.len() <= BYTES && rows.len() <= BYTES && table(name).len() <= BYTES);
            assert!(views != name && !views.starts_with("unspool"), "{views}");
        }
        assert_ne!(view_schema(&long), view_schema(&other));
        assert_ne!(generation_schema(&long, 1), generation_schema(&other, 1));
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
