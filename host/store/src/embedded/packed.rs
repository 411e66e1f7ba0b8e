//! Documents as they are stored: packed against the first document of their table.
//!
//! Rows of one table have the same fields, so that most bytes of a document stand in any other one too. Packed rows take a
//! third of the space: a commit touches fewer pages, and fewer bytes go to the disk.
//!
//! | stored | what it is |
//! |---|---|
//! | any first byte but `c1` | the document itself |
//! | `c1`, length (4 bytes, little-endian), LZ4 block | the document of that length, packed with the table's dictionary |
//!
//! No MessagePack value begins with `c1`. The dictionary is in the table `dictionaries`, under the name of the row table;
//! it is written once, with the first rows.

use crate::error::StoreError;
use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use std::borrow::Cow;

/// Row table to dictionary.
pub(crate) const DICTIONARIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("dictionaries");

const PACKED: u8 = 0xc1;
const HEADER: usize = 5;

/// Smaller documents are not worth the header.
const SMALLEST: usize = 48;

/// Larger ones gain little from a dictionary, and would make a large one.
const LARGEST: usize = 16 << 10;

/// How the documents of one table are packed.
#[derive(Clone, Default)]
pub(super) struct Packing {
    dictionary: Option<Bytes>,
}

impl Packing {
    /// The packing of an existing table.
    pub(super) fn of(read: &ReadTransaction, table: &str) -> Result<Packing, StoreError> {
        match read.open_table(DICTIONARIES) {
            Ok(dictionaries) => {
                let dictionary = dictionaries.get(table)?.map(|bytes| Bytes::copy_from_slice(bytes.value()));
                Ok(Packing { dictionary })
            }
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(Packing::default()),
            Err(e) => Err(e.into()),
        }
    }

    /// The packing of a table that is being written; `sample` becomes its dictionary where it has none yet.
    pub(super) fn for_writing(
        write: &WriteTransaction,
        table: &str,
        sample: Option<&Bytes>,
    ) -> Result<Packing, StoreError> {
        let mut dictionaries = write.open_table(DICTIONARIES)?;
        let known = dictionaries.get(table)?.map(|bytes| Bytes::copy_from_slice(bytes.value()));
        if known.is_some() {
            return Ok(Packing { dictionary: known });
        }
        let sample = sample.filter(|sample| (SMALLEST..=LARGEST).contains(&sample.len()));
        if let Some(sample) = sample {
            dictionaries.insert(table, sample.as_ref())?;
        }
        Ok(Packing { dictionary: sample.cloned() })
    }

    /// Forgets the dictionary of a table that is dropped.
    pub(super) fn forget(write: &WriteTransaction, table: &str) -> Result<(), StoreError> {
        write.open_table(DICTIONARIES)?.remove(table)?;
        Ok(())
    }

    /// The document as it is stored. `space` is reused from call to call.
    pub(super) fn pack<'a>(&self, document: &'a [u8], space: &'a mut Vec<u8>) -> &'a [u8] {
        let Some(dictionary) = self.dictionary.as_ref().filter(|_| (SMALLEST..=LARGEST).contains(&document.len()))
        else {
            return document;
        };
        space.resize(HEADER + lz4_flex::block::get_maximum_output_size(document.len()), 0);
        space[0] = PACKED;
        space[1..HEADER].copy_from_slice(&(document.len() as u32).to_le_bytes());
        match lz4_flex::block::compress_into_with_dict(document, &mut space[HEADER..], dictionary) {
            Ok(len) if HEADER + len < document.len() => &space[..HEADER + len],
            _ => document,
        }
    }

    /// The document of what is stored.
    ///
    /// # Errors
    /// When it is damaged.
    pub(super) fn unpack<'a>(&self, stored: &'a [u8]) -> Result<Cow<'a, [u8]>, StoreError> {
        let Some((&PACKED, rest)) = stored.split_first() else { return Ok(Cow::Borrowed(stored)) };
        let damaged = |what: &str| StoreError::damaged(format!("a packed document {what}"));
        let (len, packed) = rest.split_first_chunk().ok_or_else(|| damaged("is cut short"))?;
        let len = u32::from_le_bytes(*len) as usize;
        if len > LARGEST {
            return Err(damaged("claims to be longer than any is"));
        }
        let dictionary = self.dictionary.as_ref().ok_or_else(|| damaged("has no dictionary"))?;
        let document = lz4_flex::block::decompress_with_dict(packed, len, dictionary);
        document.map(Cow::Owned).map_err(|e| damaged(&format!("does not unpack: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_document_comes_back(
            document in prop::collection::vec(any::<u8>(), 1..600), dictionary in prop::collection::vec(any::<u8>(), 48..400),
        ) {
            prop_assume!(document[0] != PACKED);
            let packing = Packing { dictionary: Some(dictionary.into()) };
            let mut space = Vec::new();
            let stored = packing.pack(&document, &mut space).to_vec();
            let unpacked = packing.unpack(&stored).unwrap().into_owned();
            prop_assert_eq!(unpacked, document);
        }

        #[test]
        fn damaged_ones_are_refused_or_differ_but_never_panic(stored in prop::collection::vec(any::<u8>(), 0..200)) {
            let packing = Packing { dictionary: Some(vec![7; 100].into()) };
            drop(packing.unpack(&[&[PACKED], stored.as_slice()].concat()));
        }
    }

    #[test]
    fn documents_alike_take_a_fraction_of_the_space() {
        let document = |n: u8| {
            [b"\x83\xaacustomerId\xa6cust-".as_slice(), &[n], b"\xaatotalCents\xcd\x04", &[n], &[b'x'; 40]].concat()
        };
        let packing = Packing { dictionary: Some(document(1).into()) };
        let (other, mut space) = (document(2), Vec::new());
        assert!(packing.pack(&other, &mut space).len() < other.len() / 2);
    }
}
