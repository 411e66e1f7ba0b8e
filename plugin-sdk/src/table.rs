//! Typed tables: rows decoded once, changed in memory, and encoded once at the end of the chunk.

use crate::decode;
use crate::failure::{Failure, permanent};
use crate::key_map::KeyMap;
use crate::rows::Rows;
use crate::write_set::WriteSet;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::rc::Rc;

/// Bytes of a key. A row's key is a key of the host's store.
const KEY_BYTES: usize = 4096;

/// Keys requested in one read, rows requested in one page of a scan.
const READ_KEYS: usize = 4096;
const SCAN_ROWS: u32 = 1000;

/// A table of the read model with rows of type `R`: a struct that serde can encode and decode. Rows are stored as maps, by
/// field name; a field that a stored row lacks must be an `Option` or have `#[serde(default)]`.
///
/// The table keeps every row that it has read or written until the chunk ends. A handler sees its own writes.
/// All methods that take a key fail permanently when it is empty or longer than 4096 bytes, or when the stored row does not
/// decode as `R`.
pub struct Table<R> {
    name: &'static str,
    rows: Rc<dyn Rows>,
    cache: KeyMap<Cached<R>>,
    /// Indices of rows that [`Table::want`] has requested and that are not read yet.
    wanted: Vec<usize>,
    /// Prefixes of which every row is in the cache.
    scanned: Vec<String>,
}

struct Cached<R> {
    row: Option<R>,
    stored: Stored,
    changed: bool,
}

/// What the host has under a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stored {
    /// Not asked yet. Until then `row` counts only if it was written in this chunk.
    Unread,
    Absent,
    Present,
}

impl<R: Serialize + DeserializeOwned> Table<R> {
    /// An empty cache over `rows`, for the table `name`.
    #[must_use]
    pub fn open(name: &'static str, rows: Rc<dyn Rows>) -> Table<R> {
        Table { name, rows, cache: KeyMap::default(), wanted: Vec::new(), scanned: Vec::new() }
    }

    /// The row of `key`.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn get(&mut self, key: &str) -> Result<Option<&R>, Failure> {
        let at = self.read(key)?;
        Ok(self.cache.value(at).row.as_ref())
    }

    /// The row of `key`, to change it. It is written at the end of the chunk, whether it was changed or not.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn get_mut(&mut self, key: &str) -> Result<Option<&mut R>, Failure> {
        let at = self.read(key)?;
        let cached = self.cache.value_mut(at);
        cached.changed |= cached.row.is_some();
        Ok(cached.row.as_mut())
    }

    /// Whether there is a row of `key`.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn contains(&mut self, key: &str) -> Result<bool, Failure> {
        Ok(self.get(key)?.is_some())
    }

    /// The row of `key`, or a new one made by `make`, to change it.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn get_or_insert_with(&mut self, key: &str, make: impl FnOnce() -> R) -> Result<&mut R, Failure> {
        let at = self.read(key)?;
        let cached = self.cache.value_mut(at);
        cached.changed = true;
        Ok(cached.row.get_or_insert_with(make))
    }

    /// The row of `key`, or a new default one, to change it.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn entry(&mut self, key: &str) -> Result<&mut R, Failure>
    where
        R: Default,
    {
        self.get_or_insert_with(key, R::default)
    }

    /// Writes the row of `key`, over any that is there, and without reading it.
    ///
    /// # Errors
    /// When the key is empty or too long.
    pub fn put(&mut self, key: &str, row: R) -> Result<(), Failure> {
        self.write(key, Some(row))
    }

    /// Deletes the row of `key`, if there is one, and without reading it.
    ///
    /// # Errors
    /// When the key is empty or too long.
    pub fn remove(&mut self, key: &str) -> Result<(), Failure> {
        self.write(key, None)
    }

    /// Deletes the row of `key` and returns it.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn take(&mut self, key: &str) -> Result<Option<R>, Failure> {
        let at = self.read(key)?;
        let cached = self.cache.value_mut(at);
        cached.changed |= cached.row.is_some();
        Ok(cached.row.take())
    }

    /// Reads the rows of `keys` in one call to the host, so that looking at them later costs none.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn load<K: AsRef<str>>(&mut self, keys: impl IntoIterator<Item = K>) -> Result<(), Failure> {
        keys.into_iter().for_each(|key| self.want(key.as_ref()));
        self.fetch()
    }

    /// Says that the row of `key` will be looked at: it is read with all others that are wanted, in one call to the host.
    /// For the function that a projection names as `preload`.
    pub fn want(&mut self, key: &str) {
        // A key that cannot be read is reported where it is used.
        if self.cache.find(key).is_none() && check_key(self.name, key).is_ok() {
            let stored = if self.is_scanned(key) { Stored::Absent } else { Stored::Unread };
            let at = self.cache.add(key, Cached { row: None, stored, changed: false });
            if stored == Stored::Unread {
                self.wanted.push(at);
            }
        }
    }

    /// Reads all rows that are wanted. Called by the SDK after `preload`.
    ///
    /// # Errors
    /// When a stored row does not decode as `R`.
    pub fn fetch(&mut self) -> Result<(), Failure> {
        let mut wanted = std::mem::take(&mut self.wanted);
        let (keys, cached) = self.cache.split();
        wanted.retain(|at| cached[*at].stored == Stored::Unread);
        let mut failed = None;
        for wanted in wanted.chunks(READ_KEYS) {
            let wanted_keys: Vec<_> = wanted.iter().map(|at| keys.get(*at)).collect();
            self.rows.read(self.name, &wanted_keys, &mut |n, document| {
                let cached = &mut cached[wanted[n]];
                match decode_row(self.name, wanted_keys[n], document) {
                    Ok(row) => cached.hold(row),
                    Err(failure) => failed = failed.take().or(Some(failure)),
                }
            });
        }
        failed.map_or(Ok(()), Err)
    }

    /// The rows whose keys start with `prefix`, ascending by the bytes of their keys: the host's, and what this chunk has
    /// made of them. All of them are kept for the rest of the chunk, so they must fit into the plugin's memory; a second
    /// scan of the prefix asks the host nothing. Looks at every row that the table keeps: expensive where each event scans.
    ///
    /// # Errors
    /// When a stored row does not decode as `R`.
    pub fn scan(&mut self, prefix: &str) -> Result<Vec<(&str, &R)>, Failure> {
        if !self.is_scanned(prefix) {
            self.read_prefix(prefix)?;
            self.scanned.push(prefix.to_owned());
        }
        let rows = self.cache.iter().filter(|(key, _)| key.starts_with(prefix));
        let mut rows: Vec<_> = rows.filter_map(|(key, cached)| Some((key, cached.row.as_ref()?))).collect();
        rows.sort_unstable_by_key(|(key, _)| *key);
        Ok(rows)
    }

    fn read_prefix(&mut self, prefix: &str) -> Result<(), Failure> {
        let mut after: Option<String> = None;
        loop {
            let page = self.rows.scan(self.name, prefix, after.as_deref(), SCAN_ROWS);
            for (key, document) in &page {
                let at = match self.cache.find(key) {
                    Some(at) if self.cache.value(at).stored != Stored::Unread => continue,
                    Some(at) => at,
                    None => self.cache.add(key, Cached { row: None, stored: Stored::Unread, changed: false }),
                };
                let row = decode_row(self.name, key, Some(document))?;
                self.cache.value_mut(at).hold(row);
            }
            match page.into_iter().last() {
                Some((last, _)) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    fn is_scanned(&self, key: &str) -> bool {
        self.scanned.iter().any(|prefix| key.starts_with(prefix.as_str()))
    }

    /// The index of `key` in the cache, with what it holds known.
    #[inline]
    fn read(&mut self, key: &str) -> Result<usize, Failure> {
        match self.cache.find(key) {
            Some(at) if self.cache.value(at).is_known() => Ok(at),
            found => self.read_through(found, key),
        }
    }

    fn read_through(&mut self, found: Option<usize>, key: &str) -> Result<usize, Failure> {
        check_key(self.name, key)?;
        let mut row = Ok(None);
        if !self.is_scanned(key) {
            self.rows.read(self.name, &[key], &mut |_, document| row = decode_row(self.name, key, document));
        }
        let row = row?;
        let at = match found {
            Some(at) => at,
            None => self.cache.add(key, Cached { row: None, stored: Stored::Unread, changed: false }),
        };
        self.cache.value_mut(at).hold(row);
        Ok(at)
    }

    fn write(&mut self, key: &str, row: Option<R>) -> Result<(), Failure> {
        match self.cache.find(key) {
            Some(at) => {
                let cached = self.cache.value_mut(at);
                cached.row = row;
                cached.changed = true;
            }
            None => {
                check_key(self.name, key)?;
                let stored = if self.is_scanned(key) { Stored::Absent } else { Stored::Unread };
                self.cache.add(key, Cached { row, stored, changed: true });
            }
        }
        Ok(())
    }

    /// Adds what this table has changed to `writes`, in the order in which the rows were first looked at.
    ///
    /// # Errors
    /// When a row cannot be encoded.
    pub fn emit(&self, writes: &mut WriteSet) -> Result<(), Failure> {
        for (key, cached) in self.cache.iter() {
            match &cached.row {
                Some(row) if cached.changed => writes.put(self.name, key, row)?,
                // A row that this chunk made and deleted again never existed for anybody else.
                None if cached.changed && cached.stored != Stored::Absent => writes.delete(self.name, key),
                _ => {}
            }
        }
        Ok(())
    }
}

impl<R> Cached<R> {
    fn is_known(&self) -> bool {
        self.changed || self.stored != Stored::Unread
    }

    /// Takes note of what the host has. What this chunk has written holds.
    fn hold(&mut self, row: Option<R>) {
        self.stored = if row.is_some() { Stored::Present } else { Stored::Absent };
        if !self.changed {
            self.row = row;
        }
    }
}

fn decode_row<R: DeserializeOwned>(table: &str, key: &str, document: Option<&[u8]>) -> Result<Option<R>, Failure> {
    let Some(document) = document else { return Ok(None) };
    decode::from_slice(document).map(Some).map_err(|error| {
        permanent(format_args!("the stored row {table}/{key} is not what this plugin writes: {error}"))
            .detail("table", table)
            .detail("key", key)
    })
}

fn check_key(table: &str, key: &str) -> Result<(), Failure> {
    match key.len() {
        0 => Err(permanent(format_args!("a key of table {table} is empty"))),
        1..=KEY_BYTES => Ok(()),
        len => Err(permanent(format_args!("a key of table {table} has {len} bytes; {KEY_BYTES} are allowed"))),
    }
}
