//! The rows of one table, as one chunk sees and changes them.
//!
//! A row is known by its document, which changes only when an event has been handled. What handlers hold are values decoded
//! from it: frozen ones that `get` returns, and one that `edit` returns and that the event may change. Nothing of an event
//! that failed is kept.

use crate::decode::{self, Form};
use crate::encode;
use crate::engine::Fnv;
use crate::read_model;
use crate::value::Value;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use unspool_frame::{Write, WriteFrame};

/// Bytes of a key.
const KEY_BYTES: usize = 4096;

/// Keys asked for in one read, rows asked for in one page of a scan.
const READ_KEYS: usize = 4096;
const SCAN_ROWS: u32 = 1000;

pub struct Table {
    pub name: String,
    rows: Vec<Row>,
    index: HashMap<Box<str>, usize, BuildHasherDefault<Fnv>>,
    /// Rows that the event in hand has changed.
    touched: Vec<usize>,
    /// Prefixes of which every row is known.
    scanned: Vec<String>,
}

struct Row {
    key: Box<str>,
    /// What the host has; `None` as long as nobody has asked.
    stored: Option<bool>,
    /// The row after the last event that was handled. Counts once `stored` or `changed` say that it does.
    document: Option<Box<[u8]>>,
    changed: bool,
    frozen: Option<Value>,
    /// The row that may be changed; in an event that has touched it, `None` is a row that was deleted.
    live: Option<Value>,
    touched: bool,
    /// Where it was touched, while that is traced.
    place: Option<String>,
}

/// A row that cannot be stored.
pub struct Unstorable {
    pub table: String,
    pub key: String,
    pub place: Option<String>,
    pub words: String,
}

/// What is wrong with a use of a table.
pub type Refused = String;

impl Table {
    pub fn new(name: String) -> Table {
        Table { name, rows: Vec::new(), index: HashMap::default(), touched: Vec::new(), scanned: Vec::new() }
    }

    /// The row of `key`, which cannot be changed; the one that the event in hand changes where it does.
    pub fn get(&mut self, key: &str) -> Result<Option<Value>, Refused> {
        let at = self.known(key)?;
        let row = &mut self.rows[at];
        if row.touched {
            return Ok(row.live.clone());
        }
        if row.frozen.is_none() {
            row.frozen = row.decode(&self.name, Form::Frozen)?;
        }
        Ok(row.frozen.clone())
    }

    /// The row of `key`, to change it.
    pub fn edit(&mut self, key: &str, place: Option<String>) -> Result<Option<Value>, Refused> {
        let at = self.known(key)?;
        let row = &mut self.rows[at];
        if !row.touched && row.live.is_none() {
            row.live = row.decode(&self.name, Form::Open)?;
        }
        if row.live.is_some() {
            self.touch(at, place);
        }
        Ok(self.rows[at].live.clone())
    }

    /// Writes the row of `key`, or deletes it.
    pub fn put(&mut self, key: &str, row: Option<Value>, place: Option<String>) -> Result<(), Refused> {
        let at = self.find(key)?;
        self.touch(at, place);
        self.rows[at].live = row;
        Ok(())
    }

    /// Reads the rows of `keys` together.
    pub fn load(&mut self, keys: &[String]) -> Result<(), Refused> {
        let mut wanted = Vec::new();
        for key in keys {
            let at = self.find(key)?;
            if !self.rows[at].is_known() {
                wanted.push(at);
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        for wanted in wanted.chunks(READ_KEYS) {
            let keys: Vec<_> = wanted.iter().map(|at| String::from(&*self.rows[*at].key)).collect();
            for (at, document) in wanted.iter().zip(read_model::get_many(&self.name, &keys)) {
                self.rows[*at].hold(document);
            }
        }
        Ok(())
    }

    /// The rows whose keys begin with `prefix`, ascending by the bytes of their keys.
    pub fn scan(&mut self, prefix: &str) -> Result<Vec<(String, Value)>, Refused> {
        if !self.is_scanned(prefix) {
            self.read_prefix(prefix)?;
            self.scanned.push(prefix.to_owned());
        }
        let mut keys: Vec<_> =
            self.rows.iter().filter(|row| row.key.starts_with(prefix)).map(|row| String::from(&*row.key)).collect();
        keys.sort_unstable();
        let mut rows = Vec::new();
        for key in keys {
            if let Some(row) = self.get(&key)? {
                rows.push((key, row));
            }
        }
        Ok(rows)
    }

    fn read_prefix(&mut self, prefix: &str) -> Result<(), Refused> {
        let mut after: Option<String> = None;
        loop {
            let page = read_model::scan(&self.name, prefix, after.as_deref(), SCAN_ROWS);
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            for (key, document) in page {
                let at = self.find(&key)?;
                if self.rows[at].stored.is_none() {
                    self.rows[at].hold(Some(document));
                }
            }
        }
    }

    fn is_scanned(&self, key: &str) -> bool {
        self.scanned.iter().any(|prefix| key.starts_with(prefix.as_str()))
    }

    /// The row of `key`, without asking for it.
    fn find(&mut self, key: &str) -> Result<usize, Refused> {
        if let Some(at) = self.index.get(key) {
            return Ok(*at);
        }
        match key.len() {
            0 => return Err(format!("a key of table {} is empty", self.name)),
            1..=KEY_BYTES => {}
            length => return Err(format!("a key of table {} has {length} bytes; {KEY_BYTES} are allowed", self.name)),
        }
        let stored = self.is_scanned(key).then_some(false);
        let at = self.rows.len();
        self.rows.push(Row {
            key: key.into(),
            stored,
            document: None,
            changed: false,
            frozen: None,
            live: None,
            touched: false,
            place: None,
        });
        self.index.insert(key.into(), at);
        Ok(at)
    }

    fn known(&mut self, key: &str) -> Result<usize, Refused> {
        let at = self.find(key)?;
        if !self.rows[at].is_known() {
            let document = read_model::get_many(&self.name, &[key.to_owned()]).pop().flatten();
            self.rows[at].hold(document);
        }
        Ok(at)
    }

    fn touch(&mut self, at: usize, place: Option<String>) {
        let row = &mut self.rows[at];
        row.place = place.or(row.place.take());
        if !row.touched {
            row.touched = true;
            self.touched.push(at);
        }
    }

    /// The documents of the rows that the event has changed, in the order in which it has; `None` deletes a row.
    ///
    /// # Errors
    /// The first row that no document can hold.
    pub fn encode_touched(&mut self, settled: &mut Vec<Settled>) -> Result<(), Unstorable> {
        for at in &self.touched {
            let row = &self.rows[*at];
            let mut document = Vec::new();
            let exact = match &row.live {
                None => true,
                Some(live) => encode::document(&mut document, live, 1).map_err(|problem| Unstorable {
                    table: self.name.clone(),
                    key: row.key.to_string(),
                    place: row.place.clone(),
                    words: problem.words(),
                })?,
            };
            settled.push(Settled { document: row.live.is_some().then(|| document.into_boxed_slice()), exact });
        }
        Ok(())
    }

    /// Takes over what [`Table::encode_touched`] has made of the event: it was handled.
    pub fn settle(&mut self, settled: &mut impl Iterator<Item = Settled>) {
        for (at, Settled { document, exact }) in self.touched.drain(..).zip(settled) {
            let row = &mut self.rows[at];
            row.document = document;
            row.changed = true;
            row.frozen = None;
            if !exact {
                row.live = None;
            }
            row.touched = false;
            row.place = None;
        }
    }

    /// Drops what the event has done: it failed.
    pub fn forget(&mut self) {
        for at in self.touched.drain(..) {
            let row = &mut self.rows[at];
            row.live = None;
            row.touched = false;
            row.place = None;
        }
    }

    /// Adds what the chunk has changed to `writes`, in the order in which the rows were first looked at.
    pub fn emit(&self, writes: &mut WriteFrame) {
        for row in self.rows.iter().filter(|row| row.changed) {
            // A row that this chunk made and deleted again never existed for anybody else.
            if row.document.is_some() || row.stored != Some(false) {
                writes.add(&Write { table: &self.name, key: &row.key, document: row.document.as_deref() });
            }
        }
    }
}

/// A row after an event.
pub struct Settled {
    document: Option<Box<[u8]>>,
    exact: bool,
}

impl Row {
    fn is_known(&self) -> bool {
        self.touched || self.changed || self.stored.is_some()
    }

    /// Takes note of what the host has. What this chunk has written holds.
    fn hold(&mut self, document: Option<Vec<u8>>) {
        self.stored = Some(document.is_some());
        if !self.changed {
            self.document = document.map(Vec::into_boxed_slice);
        }
    }

    fn decode(&self, table: &str, form: Form) -> Result<Option<Value>, Refused> {
        let Some(document) = &self.document else { return Ok(None) };
        let row = decode::document(document, form);
        row.map(Some).ok_or_else(|| format!("the stored row {table}/{} is not what a plugin writes", self.key))
    }
}
