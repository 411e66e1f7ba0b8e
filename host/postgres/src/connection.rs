//! A connection that ends within bounds, whatever is at its other end.

use super::guard::Guard;
use postgres::{CancelToken, Client, NoTls};
use std::{
    ops::{Deref, DerefMut},
    sync::mpsc::sync_channel,
    time::Duration,
};

/// How long a drop waits for the end of a connection.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// A connection to a server; used as its client.
pub struct Connection {
    /// Absent only while it is dropped.
    client: Option<Client>,
    guard: Option<Guard>,
}

impl Connection {
    pub(super) fn new(client: Client, guard: Option<Guard>) -> Connection {
        Connection { client: Some(client), guard }
    }

    /// What ends a statement that runs on this connection.
    pub fn cancel(&self) -> Cancel {
        Cancel { token: self.cancel_token(), guard: self.guard.clone() }
    }

    /// Whether this connection and `other` get to the same sessions of the server: a pooler gives each transaction
    /// to any of them, so that nothing of a session lasts.
    ///
    /// # Errors
    /// What the server says.
    pub fn shares_sessions_with(&mut self, other: &mut Connection) -> Result<bool, postgres::Error> {
        let mut pid = |of: usize| {
            let connection = if of == 0 { &mut *self } else { &mut *other };
            let messages = connection.simple_query("SELECT pg_backend_pid()")?;
            Ok::<_, postgres::Error>(messages.iter().find_map(|message| match message {
                postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            }))
        };
        let (ours, theirs) = (pid(0)?, pid(1)?);
        Ok(ours == theirs || pid(0)? != ours || pid(1)? != theirs || pid(0)? != ours)
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        match &self.client {
            Some(client) => client,
            None => unreachable!("a connection has its client until it is dropped"),
        }
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Client {
        match &mut self.client {
            Some(client) => client,
            None => unreachable!("a connection has its client until it is dropped"),
        }
    }
}

impl Drop for Connection {
    /// A client says goodbye, and waits for answers to all its earlier requests; a pooler or a network may never
    /// give them.
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        if client.is_closed() {
            return;
        }
        let (closed, waits) = sync_channel::<()>(1);
        let closing = move || {
            drop(client);
            drop(closed);
        };
        if std::thread::Builder::new().name("postgres-close".into()).spawn(closing).is_ok() {
            let _closed_or_late = waits.recv_timeout(CLOSED_WITHIN);
        }
    }
}

/// Ends what runs on a connection, from another thread.
pub struct Cancel {
    token: CancelToken,
    guard: Option<Guard>,
}

impl Cancel {
    /// Asks the server to end what runs there.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn cancel(self) -> Result<(), postgres::Error> {
        match self.guard {
            Some(guard) => self.token.cancel_query(guard),
            None => self.token.cancel_query(NoTls),
        }
    }
}
