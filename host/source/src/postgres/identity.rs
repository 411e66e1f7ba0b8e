//! What tells a history in PostgreSQL from any other: the cluster, the database in it, and what is read there.
//!
//! A failover to a physical standby, another address, role or version of the server change nothing of it. A restored copy of
//! the same cluster cannot be told from it: the event at a checkpoint tells that.

use super::{failed, layout::Layout, session::Session, settings::Settings};
use crate::{Recognised, SourceError};
use postgres_protocol::escape::escape_literal;

/// How identities begin that tell the parts below; earlier ones began with `postgres-`, and told only the name of the
/// database and the queries.
const FORM: &str = "postgres:";
/// See [`FORM`].
const EARLIER_FORM: &str = "postgres-";

/// Stands for a system identifier that the role may not see.
const UNKNOWN: &str = "?";

/// The parts of an identity, and how records have it: `postgres:SYSTEM:DATABASE:TABLE:READ`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    text: String,
}

/// The parts of an identity's text.
struct Parts<'a> {
    /// The system identifier of the cluster, where the role may see it.
    system: Option<&'a str>,
    /// The oid of the database.
    database: &'a str,
    /// The oid of the table that writers insert into: all that tells clusters apart where the system identifier is hidden.
    table: &'a str,
    /// Preset and options: which events of the database, in which order.
    read: &'a str,
}

impl Identity {
    /// The identity of what `session` reaches.
    pub(super) fn of(settings: &Settings, layout: &Layout, session: &mut Session) -> Result<Identity, SourceError> {
        let oids = format!(
            "SELECT oid, coalesce(to_regclass({})::oid, 0), \
             coalesce(has_function_privilege(to_regprocedure('pg_control_system()'), 'EXECUTE'), false) \
             FROM pg_database WHERE datname = current_database()",
            escape_literal(&layout.table)
        );
        let found = session.query(&oids).map_err(|e| failed(settings, &e))?;
        let text = |column: usize| found.first().and_then(|row| row.text(column)).unwrap_or(UNKNOWN).to_owned();
        let (database, table) = (text(0), text(1));
        let mut system = UNKNOWN.to_owned();
        if found.first().is_some_and(|row| row.holds(2)) {
            let told = session.query("SELECT system_identifier FROM pg_control_system()");
            let told = told.map_err(|e| failed(settings, &e))?;
            system = told.first().and_then(|row| row.text(0)).unwrap_or(UNKNOWN).to_owned();
        }
        let read = blake3::hash(settings.what_is_read().as_bytes()).to_hex();
        Ok(Identity { text: format!("{FORM}{system}:{database}:{table}:{}", &read[..32]) })
    }

    /// Another session, which must lead to the same history.
    pub(super) fn reach(&self, settings: &Settings, layout: &Layout) -> Result<Session, SourceError> {
        let mut session = Session::open(settings)?;
        match Identity::of(settings, layout, &mut session)?.recognises(&self.text) {
            Recognised::Other(why) => Err(SourceError::permanent(format!(
                "{}: its name leads to another history than before ({why}); nothing of it was read",
                settings.name
            ))),
            Recognised::Same | Recognised::Unclear | Recognised::Changed(_) => Ok(session),
        }
    }

    /// As records have it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether a record's identity is this one.
    pub(super) fn recognises(&self, identity: &str) -> Recognised {
        if identity == self.text {
            return Recognised::Same;
        }
        if identity.starts_with(EARLIER_FORM) {
            return Recognised::Unclear;
        }
        let (Some(now), Some(then)) = (parts(&self.text), parts(identity)) else {
            return Recognised::Other("it is no history in PostgreSQL".to_owned());
        };
        let other = |what: String| Recognised::Other(what);
        match (now.system, then.system) {
            (Some(now), Some(then)) if now != then => {
                return other(format!("the server is another one: its system identifier is {now}, and was {then}"));
            }
            (Some(_), Some(_)) => {}
            _ if now.table != then.table => {
                return other("its table is another one than then (by its oid)".to_owned());
            }
            _ => {}
        }
        if now.database != then.database {
            return other(format!(
                "the database is another one: its oid is {}, and was {}",
                now.database, then.database
            ));
        }
        if now.read != then.read {
            return other("the preset or its options are others than then".to_owned());
        }
        Recognised::Same
    }
}

fn parts(text: &str) -> Option<Parts<'_>> {
    let mut parts = text.strip_prefix(FORM)?.split(':');
    let (system, database, table, read) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some(Parts { system: Some(system).filter(|system| *system != UNKNOWN), database, table, read })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognised(now: &str, then: &str) -> Recognised {
        Identity { text: now.to_owned() }.recognises(then)
    }

    #[test]
    fn every_part_tells_histories_apart() {
        let now = "postgres:71:5:16400:ab";
        assert_eq!(recognised(now, now), Recognised::Same);
        for (then, word) in [
            ("postgres:72:5:16400:ab", "system identifier"),
            ("postgres:71:6:16400:ab", "oid is 5, and was 6"),
            ("postgres:71:5:16400:cd", "options"),
            ("0123abcd", "no history in PostgreSQL"),
        ] {
            let Recognised::Other(why) = recognised(now, then) else { panic!("{then}") };
            assert!(why.contains(word), "{why}");
        }
    }

    /// A table that was copied within its database is the same history; and the role may gain or lose the right to see the
    /// system identifier, while a table's oid tells clusters apart without it.
    #[test]
    fn what_is_known_decides() {
        assert_eq!(recognised("postgres:71:5:16400:ab", "postgres:71:5:16999:ab"), Recognised::Same);
        assert_eq!(recognised("postgres:?:5:16400:ab", "postgres:71:5:16400:ab"), Recognised::Same);
        assert!(matches!(recognised("postgres:?:5:16400:ab", "postgres:71:5:16999:ab"), Recognised::Other(_)));
    }

    #[test]
    fn an_earlier_release_did_not_tell_enough() {
        assert_eq!(recognised("postgres:71:5:16400:ab", "postgres-0123abcd"), Recognised::Unclear);
    }
}
