//! A pooler before a server: pgbouncer, where it is installed.

use super::{Server, binaries};
use crate::needs::installed;
use std::{
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Ends the pooler when standard input does: the tests are gone.
const KEEPER: &str = r#""$1" -q "$2" </dev/null & pooler=$!; read -r end; kill $pooler; wait $pooler"#;

/// Gives every transaction to one of a few sessions of the server.
pub struct Pooler {
    keeper: Child,
    dir: TempDir,
    port: u16,
}

impl Pooler {
    /// A pooler before `server` with so many sessions, in a `mode` of its own: `transaction`, `session`.
    pub fn new(server: &Server, mode: &str, sessions: usize) -> Pooler {
        let program = installed("pgbouncer", "pgbouncer");
        let dir = tempfile::Builder::new().prefix("unspool-pooler-").tempdir().expect("a temporary directory");
        binaries::hand_over(dir.path());
        let port = super::server::free_port();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={} user={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\npool_mode = {mode}\ndefault_pool_size = {sessions}\nlogfile = {}\n",
            server.port(),
            super::server::ADMIN,
            dir.path().join("log").display(),
        );
        let file = dir.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).expect("a file");
        binaries::hand_over(&file);
        let mut keeper = binaries::unprivileged("sh");
        keeper.args(["-c", KEEPER, "sh"]).arg(program).arg(&file).stdin(Stdio::piped()).stdout(Stdio::null());
        let keeper = keeper.stderr(Stdio::null()).spawn().expect("sh runs");
        let pooler = Pooler { keeper, dir, port };
        let until = Instant::now() + Duration::from_secs(30);
        while let Err(e) = postgres::Client::connect(&pooler.url("postgres"), postgres::NoTls) {
            assert!(Instant::now() < until, "pgbouncer does not start ({e}): {}", pooler.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        pooler
    }

    /// The URL of a database, through the pooler.
    pub fn url(&self, database: &str) -> String {
        super::server::url(super::server::ADMIN, self.port, database)
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        log(self.dir.path())
    }
}

fn log(dir: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(dir.join("log")).unwrap_or_default()).into_owned()
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}
