//! Many writers at once, whose transactions overlap and end in another order than they began.

use super::Preset;
use crate::random::Random;
use ::postgres::{Client, NoTls, types::Type};
use serde_json::json;

/// Categories that the writers share: message-db serialises the writers of one.
const CATEGORIES: usize = 4;

/// An event that a writer committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Its id, a UUID.
    pub id: String,
    /// Its stream. No two writers share one.
    pub stream: String,
    /// Its writer.
    pub writer: usize,
    /// Its number among those of its writer, with holes where it rolled back.
    pub number: u64,
}

/// What [`writers`] did.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// The events that are in the store, by writer and in the order in which that one appended them.
    pub committed: Vec<Append>,
    /// Events that were appended and rolled back.
    pub rolled_back: u64,
}

/// Lets `count` writers append `total` events in all, to the store at `url`: one to four in a transaction, each taking
/// its number at once; then the transaction stays open for some milliseconds, while others take later numbers and
/// commit. One in eight rolls back instead. The events are of type `Appended` with the data `{"writer", "number"}`.
/// Returns when all are done.
pub fn writers(url: &str, preset: Preset, count: usize, total: u64, seed: u64) -> Written {
    let share = |writer: usize| {
        let (count, writer) = (count as u64, writer as u64);
        total / count + u64::from(writer < total % count)
    };
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..count)
            .map(|writer| {
                let random = Random::new(seed.wrapping_mul(0x9e37_79b9).wrapping_add(writer as u64));
                scope.spawn(move || Writer { preset, writer, random, number: 0 }.run(url, share(writer)))
            })
            .collect();
        writers.into_iter().fold(Written::default(), |mut all, writer| {
            let one = writer.join().expect("a writer does not fail");
            all.committed.extend(one.committed);
            all.rolled_back += one.rolled_back;
            all
        })
    })
}

struct Writer {
    preset: Preset,
    writer: usize,
    random: Random,
    number: u64,
}

impl Writer {
    fn run(mut self, url: &str, share: u64) -> Written {
        let mut client = Client::connect(url, NoTls).expect("the store is there");
        let append = client
            .prepare_typed(self.preset.sql().append, &[Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT])
            .expect("the store has its tables");
        let mut written = Written::default();
        while (written.committed.len() as u64) < share {
            let events = (1 + self.random.below(4)).min(share - written.committed.len() as u64);
            let mut transaction = client.transaction().expect("a transaction");
            if let Some(lock) = self.preset.lock() {
                transaction.batch_execute(lock).expect("a lock");
            }
            let appended: Vec<_> = (0..events).map(|_| self.next()).collect();
            for event in &appended {
                let data = json!({ "writer": event.writer, "number": event.number }).to_string();
                transaction.execute(&append, &[&event.id, &event.stream, &"Appended", &data]).expect("an append");
                self.hold(&mut transaction);
            }
            if self.random.chance(1, 8) {
                transaction.rollback().expect("a rollback");
                written.rolled_back += events;
            } else {
                transaction.commit().expect("a commit");
                written.committed.extend(appended);
            }
        }
        written
    }

    /// Keeps the transaction open, in half of the cases.
    fn hold(&mut self, transaction: &mut ::postgres::Transaction<'_>) {
        if self.random.chance(1, 2) {
            let seconds = self.random.below(8) as f64 / 1000.0;
            transaction.execute("SELECT pg_sleep($1)", &[&seconds]).expect("the server is there");
        }
    }

    fn next(&mut self) -> Append {
        self.number += 1;
        let (high, low) = (self.random.number(), self.random.number());
        let id = super::uuid(&format!("{high:016x}{low:016x}"));
        let category = self.writer % CATEGORIES;
        let stream = format!("category{category}-{}x{}", self.writer, self.random.below(5));
        Append { id, stream, writer: self.writer, number: self.number }
    }
}
