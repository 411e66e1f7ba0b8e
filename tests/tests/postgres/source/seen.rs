//! A source read through its port, without a plugin: what its events are, value by value.

use serde_json::Value;
use unspool::{
    source::{Source, SourceError, postgres::PostgresSource},
    vocabulary::{Matcher, Position, to_json},
};
use unspool_tests::postgres::Database;

/// An event as handlers see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub position: u64,
    pub id: String,
    pub stream: String,
    pub kind: String,
    pub timestamp: i64,
    pub version: u32,
    pub data: Value,
    pub metadata: Value,
}

/// The source `options` of a preset in a database; `options` begin with `&` where there are some.
pub fn source(database: &Database<'_>, preset: &str, options: &str) -> Result<PostgresSource, SourceError> {
    let text = format!("{preset}?{}{options}", super::connection(&database.url()));
    PostgresSource::inline("it", &text)
}

/// A source as `unspool.toml` has it.
pub fn named(database: &Database<'_>, table: &str) -> Result<PostgresSource, SourceError> {
    let table = format!("preset = 'generic'\nconnection = '{}'\n{table}", database.url());
    PostgresSource::named("it", &table.parse().expect("TOML"))
}

/// Its events up to its end.
pub fn events_of(source: &PostgresSource, matcher: &Matcher) -> Result<Vec<Seen>, SourceError> {
    let through = source.ceiling()?;
    let mut reader = source.read(matcher, Position::START, through)?;
    let mut seen = Vec::new();
    while let Some(block) = reader.next()? {
        for event in block.events() {
            if let Some(why) = event.unreadable {
                return Err(SourceError::permanent(why));
            }
            let position = event.position;
            let event = unspool_frame::Event::decode(&mut &*event.frame).expect("a frame");
            assert_eq!(event.position, position.minor);
            seen.push(Seen {
                position: event.position,
                id: event.id.to_owned(),
                stream: event.stream.to_owned(),
                kind: event.kind.to_owned(),
                timestamp: event.timestamp,
                version: event.schema_version,
                data: to_json(event.data).expect("a document"),
                metadata: to_json(event.metadata).expect("a document"),
            });
        }
    }
    assert_eq!(source.count(matcher, Position::START, through)?, Some(seen.len() as u64));
    Ok(seen)
}

/// All events of a source.
pub fn events(database: &Database<'_>, preset: &str, options: &str) -> Result<Vec<Seen>, SourceError> {
    events_of(&source(database, preset, options)?, &Matcher::All)
}

/// Asserts that it is refused with all of `words`.
#[track_caller]
pub fn refused<T>(result: Result<T, SourceError>, words: &[&str]) {
    let Err(e) = result else { panic!("it is taken; not refused with {words:?}") };
    assert!(!e.transient, "{e:?}");
    for word in words {
        assert!(e.message.contains(word), "no {word:?} in {}", e.message);
    }
}
