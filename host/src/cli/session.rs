//! Who carries requests out: the host that runs on the data directory, or this process.

use super::args::Cli;
use crate::{
    control::{Client, ControlError, Host, HostOptions, Request, Sink},
    limits,
    plugin::THIS_PROGRAM,
};
use serde_json::Value;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// How long to wait for a host that is just starting or ending.
const TURN: Duration = Duration::from_secs(3);

/// A way to have requests carried out.
pub(super) enum Session {
    /// By the host that runs on the data directory.
    Remote(PathBuf),
    /// By this process.
    Local(Host),
}

impl Session {
    /// Finds the running host, or opens the data directory.
    pub(super) fn open(cli: &Cli) -> Result<Session, ControlError> {
        let socket = cli.data.join("control.sock");
        let until = Instant::now() + TURN;
        loop {
            if Client::connect(&socket).is_some() {
                return Ok(Session::Remote(socket));
            }
            match Host::open(&cli.data, options(cli)) {
                Ok(host) => return Ok(Session::Local(host)),
                // Between a host's first lock and its socket, or while another command has the store for a moment.
                Err(e) if e.in_use && Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
                Err(e) => return Err(e),
            }
        }
    }

    pub(super) fn is_remote(&self) -> bool {
        matches!(self, Session::Remote(_))
    }

    /// Has `request` carried out; rows go to `sink`.
    pub(super) fn ask(&self, request: Request, sink: &mut Sink<'_>) -> Result<Value, ControlError> {
        match self {
            Session::Local(host) => host.execute(request, sink),
            Session::Remote(socket) => match Client::connect(socket) {
                Some(client) => client.ask(&request, sink),
                None => Err(ControlError::failed("the host that ran on this data directory has ended; try again")),
            },
        }
    }
}

/// What a host in this process is told.
pub(super) fn options(cli: &Cli) -> HostOptions {
    let memory_bytes = usize::try_from(cli.memory << 20).unwrap_or(limits::GUEST_MEMORY_BYTES);
    let instances = cli.instances.map_or_else(limits::instances_of_one, usize::from);
    let compiler = Some(PathBuf::from(THIS_PROGRAM));
    HostOptions { alert: cli.alert.clone(), memory_bytes, instances, compiler, ..HostOptions::default() }
}
