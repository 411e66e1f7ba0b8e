//! The way to a local socket.
//!
//! PostgreSQL's client connects to local sockets by itself, and nothing can look at what passes there: whether a server
//! still answers. To hosts of the network it lets the guard (see `guard.rs`) make the connection of what it has connected
//! to. So it is given a host of the network which leads nowhere, and the guard connects to the socket.

use super::guard::LOCAL;
use postgres::{Config, config::Host};
use std::{
    net::{Ipv4Addr, TcpListener},
    sync::OnceLock,
};

/// `config`, which names local sockets, for a guarded connection to them; `None` where this machine has no network at all, not
/// even within itself.
pub(super) fn through(config: &Config) -> Option<Config> {
    let door = door()?;
    let mut through = Config::new();
    for (index, host) in config.get_hosts().iter().enumerate() {
        let Host::Unix(folder) = host else { return None };
        let ports = config.get_ports();
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        through
            .host(&format!("{LOCAL}{}/.s.PGSQL.{port}", folder.to_str()?))
            .hostaddr(Ipv4Addr::LOCALHOST.into())
            .port(door);
    }
    config.get_user().map(|user| through.user(user));
    config.get_dbname().map(|dbname| through.dbname(dbname));
    config.get_options().map(|options| through.options(options));
    config.get_application_name().map(|name| through.application_name(name));
    config.get_connect_timeout().map(|timeout| through.connect_timeout(*timeout));
    through.target_session_attrs(config.get_target_session_attrs()).load_balance_hosts(config.get_load_balance_hosts());
    Some(through)
}

/// A port of this machine, for itself alone, which closes every connection.
fn door() -> Option<u16> {
    static DOOR: OnceLock<Option<u16>> = OnceLock::new();
    *DOOR.get_or_init(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        let port = listener.local_addr().ok()?.port();
        let closing = move || listener.incoming().for_each(drop);
        std::thread::Builder::new().name("door".into()).spawn(closing).ok().map(|_| port)
    })
}
