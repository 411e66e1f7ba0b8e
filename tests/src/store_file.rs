//! The store of a data directory as a file: what is in it is changed behind the product's back, to see that it notices.

use crate::data::Data;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle};
use serde_json::Value;

type Bytes = &'static [u8];

/// Opens the store's file. No host may run.
fn open(data: &Data) -> Database {
    let backend = unspool::disk::backend(&data.path().join("store.redb")).expect("the store is there");
    Database::builder().create_with_backend(backend).expect("nobody has it open")
}

/// Puts, replaces or removes rows of `rows/PROJECTION/GENERATION/TABLE`.
pub fn set_rows(data: &Data, table: &str, rows: &[(&str, Option<Value>)]) {
    let encoded = |document: &Value| rmp_serde::to_vec_named(document).expect("a document encodes");
    let rows = rows.iter().map(|(key, document)| (*key, document.as_ref().map(encoded)));
    set_stored(data, table, rows);
}

/// The same with documents as they are stored, whether they are documents or not.
pub fn set_stored<K: AsRef<str>>(data: &Data, table: &str, rows: impl IntoIterator<Item = (K, Option<Vec<u8>>)>) {
    let store = open(data);
    let write = store.begin_write().expect("a transaction");
    {
        let definition: TableDefinition<'_, &str, Bytes> = TableDefinition::new(table);
        let mut table = write.open_table(definition).expect("the table");
        for (key, document) in rows {
            let key = key.as_ref();
            match document {
                Some(bytes) => drop(table.insert(key, bytes.as_slice()).expect("a row")),
                None => assert!(table.remove(key).expect("a row").is_some(), "there is a row {key}"),
            }
        }
    }
    write.commit().expect("a commit");
}

/// The names of all tables.
pub fn tables(data: &Data) -> Vec<String> {
    let store = open(data);
    let read = store.begin_read().expect("a transaction");
    read.list_tables().expect("tables").map(|table| table.name().to_owned()).collect()
}

/// Removes every stored component.
pub fn remove_components(data: &Data) {
    let store = open(data);
    let write = store.begin_write().expect("a transaction");
    let components: TableDefinition<'_, &str, Bytes> = TableDefinition::new("components");
    write.open_table(components).expect("the table").retain(|_, _| false).expect("rows are removed");
    write.commit().expect("a commit");
}

/// The record of one generation.
pub fn record(data: &Data, projection: &str, generation: u64) -> Value {
    let store = open(data);
    let read = store.begin_read().expect("a transaction");
    let definition: TableDefinition<'_, (&str, u64), Bytes> = TableDefinition::new("rebuilds");
    let table = read.open_table(definition).expect("the table");
    let stored = table.get((projection, generation)).expect("it is readable").expect("a record");
    rmp_serde::from_slice(stored.value()).expect("a record is a map")
}

/// Changes the record of one generation: what `pointer` says of it.
pub fn change_record(data: &Data, projection: &str, generation: u64, pointer: &str, value: Value) {
    let store = open(data);
    let write = store.begin_write().expect("a transaction");
    {
        let definition: TableDefinition<'_, (&str, u64), Bytes> = TableDefinition::new("rebuilds");
        let mut table = write.open_table(definition).expect("the table");
        let stored = table.get((projection, generation)).expect("it is readable").expect("a record").value().to_vec();
        let mut record: Value = rmp_serde::from_slice(&stored).expect("a record is a map");
        *record.pointer_mut(pointer).expect("the record has it") = value;
        let bytes = rmp_serde::to_vec_named(&record).expect("a record encodes");
        table.insert((projection, generation), bytes.as_slice()).expect("a record");
    }
    write.commit().expect("a commit");
}

/// Changes the version of the layout that the store says it has.
pub fn set_format(data: &Data, format: u32) {
    let store = open(data);
    let write = store.begin_write().expect("a transaction");
    let meta: TableDefinition<'_, &str, Bytes> = TableDefinition::new("meta");
    let format = format.to_le_bytes();
    drop(write.open_table(meta).expect("the table").insert("format", format.as_slice()).expect("a format"));
    write.commit().expect("a commit");
}
