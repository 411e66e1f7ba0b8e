//! `model watch`.

use super::{
    args::{Cli, WatchArgs},
    output::{Output, say_aside},
    session::Session,
};
use crate::control::{Access, Client, ControlError, ErrorKind, Request, Row};
use std::time::Duration;

/// How often it is looked whether there is a host again.
const LOOK: Duration = Duration::from_millis(100);

/// Shows what a read model has, then what changes in it, through as many hosts as it takes.
pub(super) fn watch(cli: &Cli, args: &WatchArgs, output: &Output) -> Result<u8, ControlError> {
    let mut session = Session::open(cli, Access::Read)?;
    let mut token = args.from.clone();
    loop {
        let ended = session.ask(request(args, token.clone()), &mut |row| {
            let Row::Change(change) = &row else { return true };
            // Only what is written is not asked for again.
            let written = output.json(&row.json());
            if let (true, Some(newer)) = (written, change.token()) {
                token = Some(newer.to_owned());
            }
            written
        });
        match (ended, &session) {
            (Err(e), Session::Remote(socket, reason)) if e.kind == ErrorKind::Host => {
                say_aside(&format!("{}: waiting for the next host", e.message));
                while Client::connect(socket).ok().flatten().is_none() {
                    std::thread::sleep(LOOK);
                }
                session = Session::Remote(socket.clone(), reason.clone());
            }
            (ended, _) => return ended.map(|_| 0),
        }
    }
}

/// What is asked of a host.
pub(super) fn request(args: &WatchArgs, from: Option<String>) -> Request {
    let WatchArgs { model, prefix, .. } = args.clone();
    Request::ModelWatch { name: model.name, table: model.table, prefix, from }
}
