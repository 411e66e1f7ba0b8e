//! Whose rows are whose, in a projection that is partitioned by stream: what one stream writes, no other one touches.
//!
//! An owner is a number: that of a part of a chunk, or of a stream. Rows are known by 64 bits of a hash: two of a call share
//! them by a chance of one in a trillion.

use ahash::{AHashMap, RandomState};
use std::collections::BTreeSet;

/// What a call has looked at: the rows that it requested, whether they exist, and what it scanned.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// The keys, one after the other: a text for all costs less than one for each.
    keys: String,
    /// The table of each key, and where the key ends.
    ends: Vec<(usize, usize)>,
    /// Tables and prefixes that were scanned.
    scans: BTreeSet<(usize, String)>,
}

impl Looked {
    pub(super) fn at(&mut self, table: usize, key: &str) {
        self.keys.push_str(key);
        self.ends.push((table, self.keys.len()));
    }

    pub(super) fn through(&mut self, table: usize, prefix: &str) {
        self.scans.insert((table, prefix.to_owned()));
    }

    /// The rows that were requested, or that a scan gave.
    pub(super) fn rows(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |&(table, end)| (table, &self.keys[std::mem::replace(&mut start, end)..end]))
    }

    /// Tables, and the prefixes by which they were scanned.
    pub(super) fn scans(&self) -> impl Iterator<Item = (usize, &str)> {
        self.scans.iter().map(|(table, prefix)| (*table, prefix.as_str()))
    }
}

/// How one owner has met another's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meeting {
    /// Both write it.
    Written,
    /// One reads it, the other writes it.
    Read,
    /// One scans by this prefix, the other writes there.
    Scanned(String),
}

/// Two owners that touch a row which one of them writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Breach {
    pub(super) table: usize,
    pub(super) key: String,
    pub(super) how: Meeting,
    /// The one that reads or scans, and the one that writes it.
    pub(super) owners: (usize, usize),
}

/// Which owner has touched which row, and which has scanned what.
pub(super) struct Owners {
    rows: AHashMap<u64, Touched>,
    scans: AHashMap<(usize, String), Touched>,
    /// The lengths of the scanned prefixes.
    lengths: BTreeSet<usize>,
    hash: RandomState,
    /// Rows that are remembered; what comes beyond them is only compared with those.
    most: usize,
}

#[derive(Debug, Clone, Copy)]
struct Touched {
    /// The first one.
    owner: usize,
    /// Whether it was written, which only its owner may have done.
    written: bool,
    /// Whether others have read it.
    shared: bool,
}

impl Owners {
    /// Remembers `most` rows.
    pub(super) fn new(most: usize) -> Owners {
        Owners {
            rows: AHashMap::new(),
            scans: AHashMap::new(),
            lengths: BTreeSet::new(),
            hash: RandomState::new(),
            most,
        }
    }

    /// `owner` has scanned. To be called before what it and others write.
    pub(super) fn scanned(&mut self, owner: usize, looked: &Looked) {
        for (table, prefix) in looked.scans() {
            let touched = self.scans.entry((table, prefix.to_owned()));
            touched.and_modify(|by| by.shared |= by.owner != owner).or_insert(Touched {
                owner,
                written: false,
                shared: false,
            });
            self.lengths.insert(prefix.len());
        }
    }

    /// `owner` writes a row.
    pub(super) fn written(&mut self, owner: usize, table: usize, key: &[u8]) -> Result<(), Breach> {
        let breach = |how, owners| Err(Breach { table, key: String::from_utf8_lossy(key).into_owned(), how, owners });
        let (hash, room) = (self.hash.hash_one((table, key)), self.rows.len() < self.most);
        match self.rows.get_mut(&hash) {
            Some(row) if row.owner == owner && !row.shared => row.written = true,
            Some(row) if row.written => return breach(Meeting::Written, (row.owner, owner)),
            // Where others than the first have read it, too, one of them is as good as any.
            Some(row) if row.owner != owner => return breach(Meeting::Read, (row.owner, owner)),
            Some(_) => return breach(Meeting::Read, (usize::MAX, owner)),
            None if room => {
                self.rows.insert(hash, Touched { owner, written: true, shared: false });
            }
            None => {}
        }
        for length in self.lengths.range(..=key.len()) {
            let Ok(prefix) = std::str::from_utf8(&key[..*length]) else { continue };
            let scan = self.scans.get(&(table, prefix.to_owned()));
            if let Some(scan) = scan.filter(|scan| scan.owner != owner || scan.shared) {
                let reader = if scan.owner == owner { usize::MAX } else { scan.owner };
                return breach(Meeting::Scanned(prefix.to_owned()), (reader, owner));
            }
        }
        Ok(())
    }

    /// `owner` has read rows. With `remembers`, a later write of one of them is found, too.
    pub(super) fn read(&mut self, owner: usize, looked: &Looked, remembers: bool) -> Result<(), Breach> {
        for (table, key) in looked.rows() {
            let (hash, room) = (self.hash.hash_one((table, key.as_bytes())), self.rows.len() < self.most);
            match self.rows.get_mut(&hash) {
                Some(row) if row.owner != owner && row.written => {
                    let owners = (owner, row.owner);
                    return Err(Breach { table, key: key.to_owned(), how: Meeting::Read, owners });
                }
                Some(row) => row.shared |= row.owner != owner,
                None if remembers && room => {
                    self.rows.insert(hash, Touched { owner, written: false, shared: false });
                }
                None => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(rows: &[&str], scans: &[&str]) -> Looked {
        let mut looked = Looked::default();
        rows.iter().for_each(|key| looked.at(0, key));
        scans.iter().for_each(|prefix| looked.through(0, prefix));
        looked
    }

    #[test]
    fn a_row_that_one_writes_is_touched_by_nobody_else() {
        let mut owners = Owners::new(usize::MAX);
        owners.written(1, 0, b"a").unwrap();
        owners.written(1, 0, b"a").unwrap();
        owners.written(2, 1, b"a").unwrap();
        owners.read(1, &looked(&["a", "shared"], &[]), true).unwrap();
        owners.read(2, &looked(&["shared"], &[]), true).unwrap();
        let how = |met: Result<(), Breach>| met.map_err(|breach| (breach.key, breach.how, breach.owners));
        assert_eq!(how(owners.written(2, 0, b"a")), Err(("a".into(), Meeting::Written, (1, 2))));
        assert_eq!(how(owners.read(2, &looked(&["b", "a"], &[]), true)), Err(("a".into(), Meeting::Read, (2, 1))));
        assert_eq!(how(owners.written(1, 0, b"b")), Err(("b".into(), Meeting::Read, (2, 1))));
        // What several only read becomes nobody's.
        assert_eq!(how(owners.written(2, 0, b"shared")), Err(("shared".into(), Meeting::Read, (1, 2))));
        assert!(how(owners.written(1, 0, b"shared")).is_err());
    }

    #[test]
    fn a_scan_is_a_look_at_rows_that_are_not_there_yet() {
        let mut owners = Owners::new(usize::MAX);
        owners.scanned(1, &looked(&[], &["a/", ""]));
        owners.scanned(2, &looked(&[], &["b/"]));
        owners.written(1, 0, b"a/1").unwrap();
        owners.written(2, 1, b"a/1").unwrap();
        assert_eq!(owners.written(2, 0, b"c").unwrap_err().how, Meeting::Scanned(String::new()));
        assert_eq!(owners.written(1, 0, b"b/1").unwrap_err().owners, (2, 1));
    }

    #[test]
    fn beyond_what_it_remembers_it_still_knows_the_rest() {
        let mut owners = Owners::new(1);
        owners.written(1, 0, b"a").unwrap();
        owners.written(1, 0, b"b").unwrap();
        owners.written(2, 0, b"b").unwrap();
        assert!(owners.written(2, 0, b"a").is_err());
    }
}
