//! Newer rows over older ones, read as one table.

use bytes::Bytes;
use std::collections::BTreeMap;

/// A page of rows in key order, as [`super::RowSnapshot::scan`] gives it.
pub type Page = Vec<(String, Bytes)>;

/// Where a scan begins, and how much it gives.
#[derive(Debug, Clone, Copy)]
pub struct Range<'a> {
    /// Keys start with this.
    pub prefix: &'a str,
    /// Keys are greater than this.
    pub after: Option<&'a str>,
    /// Rows at most.
    pub limit: usize,
    /// Bytes of keys and documents at most; the first row always fits.
    pub max_bytes: usize,
}

/// Merges a page of older rows with the newer ones of the same range. `older` gives the page after a key; `newer` gives,
/// oldest first, the newer rows whose keys it is told to give, `None` for a deleted one.
///
/// # Errors
/// Those of `older`.
pub fn scan<E>(
    range: Range<'_>,
    mut older: impl FnMut(Option<&str>) -> Result<Page, E>,
    newer: impl Fn(&dyn Fn(&str) -> bool) -> Vec<(String, Option<Bytes>)>,
) -> Result<Page, E> {
    let mut after = range.after.map(str::to_owned);
    loop {
        let page = older(after.as_deref())?;
        // Behind the last row of a page there may be more: newer rows there belong to a later page.
        let last = page.last().map(|(key, _)| key.clone());
        let within = |key: &str| {
            key.starts_with(range.prefix)
                && after.as_deref().is_none_or(|after| key > after)
                && last.as_deref().is_none_or(|last| key <= last)
        };
        let mut merged: BTreeMap<String, Option<Bytes>> =
            page.into_iter().map(|(key, document)| (key, Some(document))).collect();
        merged.extend(newer(&within));
        let rows: Page = merged.into_iter().filter_map(|(key, document)| Some((key, document?))).collect();
        match last {
            // Every row of this page is deleted by newer ones; an empty answer would end the scan too early.
            Some(last) if rows.is_empty() => after = Some(last),
            _ => return Ok(bounded(rows, range)),
        }
    }
}

fn bounded(rows: Page, range: Range<'_>) -> Page {
    let mut bytes = 0;
    let fits = |(index, (key, document)): &(usize, (String, Bytes))| {
        bytes += key.len() + document.len();
        *index < range.limit && (*index == 0 || bytes <= range.max_bytes)
    };
    rows.into_iter().enumerate().take_while(fits).map(|(_, row)| row).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn key() -> impl Strategy<Value = String> {
        "[ab]{1,3}"
    }

    proptest! {
        /// Page after page gives what one map of both gives.
        #[test]
        fn pages_are_those_of_one_table(
            older in prop::collection::btree_map(key(), any::<u8>(), 0..12),
            newer in prop::collection::vec((key(), prop::option::of(any::<u8>())), 0..12),
            prefix in "[ab]{0,1}", limit in 1_usize..5,
        ) {
            let document = |byte: u8| Bytes::from(vec![byte]);
            let mut expected: BTreeMap<String, Bytes> =
                older.iter().map(|(key, byte)| (key.clone(), document(*byte))).collect();
            for (key, byte) in &newer {
                match byte {
                    Some(byte) => drop(expected.insert(key.clone(), document(*byte))),
                    None => drop(expected.remove(key)),
                }
            }
            expected.retain(|key, _| key.starts_with(&prefix));
            let mut found = Vec::new();
            loop {
                let after = found.last().map(|(key, _): &(String, Bytes)| key.clone());
                let range = Range { prefix: &prefix, after: after.as_deref(), limit, max_bytes: usize::MAX };
                let page = scan(
                    range,
                    |after| {
                        let rows = older.iter().filter(|(key, _)| {
                            key.starts_with(&prefix) && after.is_none_or(|after| key.as_str() > after)
                        });
                        Ok::<_, Infallible>(rows.take(limit).map(|(key, byte)| (key.clone(), document(*byte))).collect())
                    },
                    |within| {
                        let rows = newer.iter().filter(|(key, _)| within(key));
                        rows.map(|(key, byte)| (key.clone(), byte.map(document))).collect()
                    },
                ).unwrap();
                if page.is_empty() {
                    break;
                }
                prop_assert!(page.len() <= limit);
                found.extend(page);
            }
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
