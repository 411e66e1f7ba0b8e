//! Rows as they are read, wherever they are, and newer rows over older ones.

use super::EventFailure;
use crate::limits;
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc};

/// Rows in ascending byte order of their keys: key and document.
pub type Page = Vec<(String, Bytes)>;

/// Which rows a scan gives, and how many of them.
#[derive(Debug, Clone, Copy)]
pub struct Scan<'a> {
    /// Keys start with this.
    pub prefix: &'a str,
    /// Keys are greater than this; from the first one on where absent.
    pub after: Option<&'a str>,
    /// Rows at most.
    pub limit: usize,
    /// Bytes of keys and documents at most; the first row always fits.
    pub max_bytes: usize,
}

impl<'a> Scan<'a> {
    /// Every row, and as many in a page as there may be.
    pub const ALL: Scan<'static> = Scan { prefix: "", after: None, limit: usize::MAX, max_bytes: usize::MAX };

    /// A page of all rows ([`limits::SCAN_BYTES`]), from the one after `after` on.
    pub fn page(after: Option<&'a str>) -> Scan<'a> {
        Scan { after, max_bytes: limits::SCAN_BYTES, ..Scan::ALL }
    }

    /// Whether `key` is where this scan goes.
    pub fn contains(&self, key: &str) -> bool {
        key.starts_with(self.prefix) && self.after.is_none_or(|after| key > after)
    }

    /// As many of `rows`, which are in order and where this scan goes, as it gives.
    pub fn bounded(&self, rows: impl IntoIterator<Item = (String, Bytes)>) -> Page {
        let mut bytes = 0;
        let fits = |(index, (key, document)): &(usize, (String, Bytes))| {
            bytes += key.len() + document.len();
            *index < self.limit && (*index == 0 || bytes <= self.max_bytes)
        };
        rows.into_iter().enumerate().take_while(fits).map(|(_, row)| row).collect()
    }
}

/// Is shown a row: its key and its document.
pub type ShowRow<'a, E> = &'a mut dyn FnMut(&str, &[u8]) -> Result<(), E>;

/// The rows of a read model. Tables are indices into [`Description::tables`](super::Description::tables); one that is not
/// there is empty.
pub trait ReadRows {
    /// Why rows cannot be read.
    type Error;

    /// The documents of `keys`, in their order; `None` where there is no row.
    ///
    /// # Errors
    /// When they cannot be read.
    fn get_many(&self, table: usize, keys: &[&str]) -> Result<Vec<Option<Bytes>>, Self::Error>;

    /// A page of rows in key order. It is empty only where no row is left.
    ///
    /// # Errors
    /// When they cannot be read.
    fn scan(&self, table: usize, scan: Scan<'_>) -> Result<Page, Self::Error>;

    /// The document of `key`; `None` where there is no row.
    ///
    /// # Errors
    /// When it cannot be read.
    fn get(&self, table: usize, key: &str) -> Result<Option<Bytes>, Self::Error> {
        Ok(self.get_many(table, &[key])?.pop().flatten())
    }

    /// Shows every row of a table, in key order.
    ///
    /// # Errors
    /// When they cannot be read, or `show` fails.
    fn each(&self, table: usize, show: ShowRow<'_, Self::Error>) -> Result<(), Self::Error> {
        let mut after: Option<String> = None;
        loop {
            let page = self.scan(table, Scan::page(after.as_deref()))?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            page.iter().try_for_each(|(key, document)| show(key, document))?;
        }
    }
}

impl<R: ReadRows + ?Sized> ReadRows for Arc<R> {
    type Error = R::Error;

    fn get_many(&self, table: usize, keys: &[&str]) -> Result<Vec<Option<Bytes>>, R::Error> {
        (**self).get_many(table, keys)
    }

    fn scan(&self, table: usize, scan: Scan<'_>) -> Result<Page, R::Error> {
        (**self).scan(table, scan)
    }

    fn each(&self, table: usize, show: ShowRow<'_, R::Error>) -> Result<(), R::Error> {
        (**self).each(table, show)
    }
}

/// No rows at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRows;

impl ReadRows for NoRows {
    type Error = EventFailure;

    fn get_many(&self, _table: usize, keys: &[&str]) -> Result<Vec<Option<Bytes>>, EventFailure> {
        Ok(vec![None; keys.len()])
    }

    fn scan(&self, _table: usize, _scan: Scan<'_>) -> Result<Page, EventFailure> {
        Ok(Page::new())
    }
}

/// What is known of a row: `None` where nothing is, `Some(None)` where it is deleted.
pub type Known = Option<Option<Bytes>>;

/// Changes of rows: what they know of a row hides what older rows say.
pub trait NewerRows {
    /// What these know of each of `keys`, in their order.
    fn known(&self, table: usize, keys: &[&str]) -> Vec<Known>;

    /// The changed rows whose keys are `within`, `None` for a deleted one. Of a key that comes twice the last one counts.
    fn changes(&self, table: usize, within: &dyn Fn(&str) -> bool) -> Vec<(String, Option<Bytes>)>;
}

impl<T: NewerRows> NewerRows for Arc<T> {
    fn known(&self, table: usize, keys: &[&str]) -> Vec<Known> {
        (**self).known(table, keys)
    }

    fn changes(&self, table: usize, within: &dyn Fn(&str) -> bool) -> Vec<(String, Option<Bytes>)> {
        (**self).changes(table, within)
    }
}

/// Newer rows over older ones, read as one.
#[derive(Debug, Clone)]
pub struct Layered<Newer, Older> {
    /// What hides.
    pub newer: Newer,
    /// What is hidden.
    pub older: Older,
}

impl<Newer: NewerRows, Older: ReadRows> ReadRows for Layered<Newer, Older> {
    type Error = Older::Error;

    /// Asks the older rows only for what the newer ones do not know.
    fn get_many(&self, table: usize, keys: &[&str]) -> Result<Vec<Option<Bytes>>, Older::Error> {
        let known = self.newer.known(table, keys);
        let unknown: Vec<&str> =
            known.iter().zip(keys).filter(|(known, _)| known.is_none()).map(|(_, key)| *key).collect();
        let older = if unknown.is_empty() { Vec::new() } else { self.older.get_many(table, &unknown)? };
        let mut older = older.into_iter();
        Ok(known.into_iter().map(|known| known.unwrap_or_else(|| older.next().flatten())).collect())
    }

    fn scan(&self, table: usize, scan: Scan<'_>) -> Result<Page, Older::Error> {
        let mut after = scan.after.map(str::to_owned);
        loop {
            let part = Scan { after: after.as_deref(), ..scan };
            let page = self.older.scan(table, part)?;
            // After the last row of a page there may be more: newer rows there belong to a later page.
            let last = page.last().map(|(key, _)| key.clone());
            let within = |key: &str| part.contains(key) && last.as_deref().is_none_or(|last| key <= last);
            let changes = self.newer.changes(table, &within);
            let mut rows: BTreeMap<String, Option<Bytes>> =
                page.into_iter().map(|(key, document)| (key, Some(document))).collect();
            rows.extend(changes);
            let page = scan.bounded(rows.into_iter().filter_map(|(key, document)| Some((key, document?))));
            match last {
                // Every row of this page is deleted by newer ones; an empty answer would end the scan too early.
                Some(last) if page.is_empty() => after = Some(last),
                _ => return Ok(page),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One table as a naive map.
    #[derive(Debug, Clone)]
    struct Map(BTreeMap<String, Bytes>);

    impl ReadRows for Map {
        type Error = EventFailure;

        fn get_many(&self, _: usize, keys: &[&str]) -> Result<Vec<Option<Bytes>>, EventFailure> {
            Ok(keys.iter().map(|key| self.0.get(*key).cloned()).collect())
        }

        fn scan(&self, _: usize, scan: Scan<'_>) -> Result<Page, EventFailure> {
            let rows = self.0.iter().filter(|(key, _)| scan.contains(key));
            Ok(scan.bounded(rows.map(|(key, document)| (key.clone(), document.clone()))))
        }
    }

    /// Changes in the order in which they were made.
    #[derive(Debug, Clone)]
    struct Changes(Vec<(String, Option<Bytes>)>);

    impl NewerRows for Changes {
        fn known(&self, _: usize, keys: &[&str]) -> Vec<Known> {
            let newest = |key: &str| self.0.iter().rev().find(|(changed, _)| changed == key);
            keys.iter().map(|key| newest(key).map(|(_, document)| document.clone())).collect()
        }

        fn changes(&self, _: usize, within: &dyn Fn(&str) -> bool) -> Vec<(String, Option<Bytes>)> {
            self.0.iter().filter(|(key, _)| within(key)).cloned().collect()
        }
    }

    fn document() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..9).prop_map(Bytes::from)
    }

    fn changes() -> impl Strategy<Value = Changes> {
        // Half of them delete: whole pages of older rows go.
        prop::collection::vec(("[ab]{1,3}", prop::option::weighted(0.5, document())), 0..14).prop_map(Changes)
    }

    /// The pages of a scan, one after another; none is empty or too large, and each begins after the one before.
    fn pages(rows: &impl ReadRows<Error = EventFailure>, scan: Scan<'_>) -> Page {
        let mut all = Page::new();
        loop {
            let after = all.last().map(|(key, _): &(String, Bytes)| key.clone());
            let scan = Scan { after: after.as_deref().or(scan.after), ..scan };
            let page = rows.scan(0, scan).unwrap();
            let bytes: usize = page.iter().map(|(key, document)| key.len() + document.len()).sum();
            assert!(page.len() <= scan.limit && (page.len() <= 1 || bytes <= scan.max_bytes));
            assert!(page.iter().all(|(key, _)| scan.contains(key)));
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    }

    proptest! {
        /// Two layers over a table read like one map: by key, and page by page, whatever is deleted and however small pages are.
        #[test]
        fn layers_read_like_one_table(
            older in prop::collection::btree_map("[ab]{1,3}", document(), 0..14), newer in changes(), newest in changes(),
            prefix in "[ab]{0,2}", after in prop::option::of("[ab]{1,3}"), limit in 1_usize..5, max_bytes in 1_usize..40,
        ) {
            let mut expected = older.clone();
            for (key, document) in newer.0.iter().chain(&newest.0) {
                match document {
                    Some(document) => drop(expected.insert(key.clone(), document.clone())),
                    None => drop(expected.remove(key)),
                }
            }
            let rows = Layered { newer: newest, older: Layered { newer, older: Map(older) } };
            let keys: Vec<String> = ["a", "b", "aa", "ab", "ba", "bb", "aba", "bab", "bbb", "c"].map(str::to_owned).into();
            for key in &keys {
                prop_assert_eq!(rows.get(0, key).unwrap(), expected.get(key).cloned());
            }
            let asked: Vec<&str> = keys.iter().map(String::as_str).collect();
            let many: Vec<_> = keys.iter().map(|key| expected.get(key).cloned()).collect();
            prop_assert_eq!(rows.get_many(0, &asked).unwrap(), many);
            let mut shown = Page::new();
            rows.each(0, &mut |key, document| {
                shown.push((key.to_owned(), Bytes::copy_from_slice(document)));
                Ok(())
            }).unwrap();
            prop_assert_eq!(&shown, &expected.clone().into_iter().collect::<Page>());
            let scan = Scan { prefix: &prefix, after: after.as_deref(), limit, max_bytes };
            expected.retain(|key, _| scan.contains(key));
            prop_assert_eq!(pages(&rows, scan), expected.into_iter().collect::<Page>());
        }
    }

    #[test]
    fn pages_whose_rows_are_all_deleted_do_not_end_a_scan() {
        let older = (0..50).map(|row| (format!("{row:02}"), Bytes::from_static(b"x"))).collect();
        let deleted = (0..49).map(|row| (format!("{row:02}"), None)).collect();
        let rows = Layered { newer: Changes(deleted), older: Map(older) };
        let page = rows.scan(0, Scan { limit: 3, ..Scan::ALL }).unwrap();
        assert_eq!(page, [("49".to_owned(), Bytes::from_static(b"x"))]);
    }
}
