//! The server: a directory, a port and a postmaster.

use super::{binaries, tls};
use ::postgres::{Client, NoTls, config::Config};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::File,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{Mutex, OnceLock},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The superuser of a [`Server`]. It needs no password.
pub(super) const ADMIN: &str = "admin";

/// The group of the roles that must show a password.
const WITH_PASSWORD: &str = "with_password";

/// The groups of the roles that are asked for it in another way than SCRAM: the method's name in `pg_hba.conf`.
const ASKED: [(&str, &str); 2] = [("asked_in_clear_text", "password"), ("asked_for_md5", "md5")];

/// Keeps the postmaster company: on a line on standard input it sends the signal named there; at its end (the tests are
/// gone) it stops the postmaster and removes the directory. Ends when the postmaster does.
const KEEPER: &str = r#"
dir=$1; shift
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ read -r signal <&3 || { signal=QUIT; : >"$dir/orphaned"; }; kill -"$signal" $server; } &
keeper=$!
wait $server
[ -e "$dir/orphaned" ] && rm -rf "$dir"
kill $keeper 2>/dev/null
"#;

/// How a [`Server`] differs from the ordinary one of the tests.
#[derive(Debug, Default, Clone)]
pub struct Options {
    /// Commits reach the disk before they are acknowledged: `fsync` and `full_page_writes` on. Without, a stop of the
    /// server loses nothing either, only a crash of the machine would.
    pub durable: bool,
    /// TCP connections must use TLS; see [`Server::authority`].
    pub tls: bool,
    /// More settings, as `name=value`.
    pub settings: Vec<String>,
}

/// How a [`Server`] stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Rolls open transactions back, ends sessions with a message, writes a checkpoint.
    Fast,
    /// Drops everything at once, as in a crash; the next start recovers.
    Immediate,
}

/// A PostgreSQL server on a directory of its own, stopped and removed when dropped. It listens on 127.0.0.1 and on a
/// Unix socket, and lives in another time zone than UTC. Everyone but the roles of [`Server::role`] may connect without
/// a password.
pub struct Server {
    binaries: PathBuf,
    dir: TempDir,
    port: u16,
    options: Options,
    /// The [`KEEPER`]; `None` while the server is stopped.
    keeper: Option<Child>,
}

/// One server for all tests of a process. It goes when the process does.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(Server::new)
}

impl Server {
    /// An ordinary server.
    pub fn new() -> Server {
        Server::with(Options::default())
    }

    /// A server with the given options, started.
    pub fn with(options: Options) -> Server {
        let binaries = binaries::folder();
        let dir = tempfile::Builder::new().prefix("unspool-postgres-").tempdir().expect("a temporary directory");
        binaries::hand_over(dir.path());
        let mut initdb = binaries::unprivileged(binaries.join("initdb"));
        initdb.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=trust", "--username", ADMIN, "--pgdata"]);
        binaries::succeed(initdb.arg(dir.path().join("data")));
        if options.tls {
            tls::certify(dir.path());
        }
        std::fs::write(dir.path().join("data/pg_hba.conf"), who_may_connect(options.tls)).expect("a file");
        let mut server = Server { binaries, dir, port: free_port(), options, keeper: None };
        server.start();
        for group in ASKED.iter().map(|(group, _)| *group).chain([WITH_PASSWORD]) {
            server.client().batch_execute(&format!("CREATE ROLE {group}")).expect("a role");
        }
        server
    }

    /// A standby that follows this server.
    pub fn standby(&self) -> Server {
        let dir = tempfile::Builder::new().prefix("unspool-standby-").tempdir().expect("a temporary directory");
        binaries::hand_over(dir.path());
        let mut backup = binaries::unprivileged(self.binaries.join("pg_basebackup"));
        backup.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--username", ADMIN, "--port"]);
        backup
            .arg(self.port.to_string())
            .arg("--host")
            .arg(self.dir.path())
            .arg("--pgdata")
            .arg(dir.path().join("data"));
        binaries::succeed(&mut backup);
        let (binaries, options) = (self.binaries.clone(), self.options.clone());
        let mut standby = Server { binaries, dir, port: free_port(), options, keeper: None };
        standby.start();
        standby
    }

    /// Starts it again where it was, and waits until it answers.
    pub fn start(&mut self) {
        assert!(self.keeper.is_none(), "the server runs");
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let log = File::options().append(true).create(true).open(path("log")).expect("a log");
        let onoff = if self.options.durable { "on" } else { "off" };
        let mut settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", path("")),
            "shared_buffers=32MB".to_owned(),
            "max_connections=200".to_owned(),
            "max_prepared_transactions=10".to_owned(),
            "timezone=Asia/Kathmandu".to_owned(),
            "log_timezone=UTC".to_owned(),
            format!("fsync={onoff}"),
            format!("full_page_writes={onoff}"),
        ];
        if self.options.tls {
            settings.push("ssl=on".to_owned());
            settings.push(format!("ssl_cert_file={}", path(tls::CERTIFICATE)));
            settings.push(format!("ssl_key_file={}", path(tls::KEY)));
        }
        settings.extend(self.options.settings.iter().cloned());
        let mut command = binaries::unprivileged("sh");
        command.args(["-c", KEEPER, "sh"]).arg(self.dir.path());
        command.arg(self.binaries.join("postgres")).arg("-D").arg(path("data"));
        command.args(["-p", &self.port.to_string()]);
        command.args(settings.iter().flat_map(|setting| ["-c", setting]));
        // A group of its own: an interrupt at the terminal ends the tests, and only thereby the server.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdin(Stdio::piped()).stdout(log.try_clone().expect("a handle")).stderr(log);
        self.keeper = Some(command.spawn().expect("sh runs"));
        self.wait_until_ready();
    }

    /// Stops it, and waits until it is gone.
    pub fn stop(&mut self, how: Stop) {
        let Some(mut keeper) = self.keeper.take() else { return };
        let signal: &[u8] = match how {
            Stop::Fast => b"INT\n",
            Stop::Immediate => b"QUIT\n",
        };
        // Without a reader there is no server either.
        drop(keeper.stdin.take().expect("standard input is piped").write_all(signal));
        keeper.wait().expect("the server ends");
    }

    /// Stops it and starts it again: same port, same data.
    pub fn restart(&mut self, how: Stop) {
        self.stop(how);
        self.start();
    }

    /// Freezes it as SIGSTOP does: connections are accepted by the system in its place, and nothing is answered.
    pub fn freeze(&self) -> Frozen {
        let file = std::fs::read_to_string(self.dir.path().join("data/postmaster.pid")).expect("the server runs");
        let postmaster: i32 = file.lines().next().and_then(|line| line.trim().parse().ok()).expect("its process");
        let frozen = Frozen(Mutex::new(vec![postmaster]));
        frozen.signal(Signal::STOP);
        // Nobody is born any more.
        frozen.0.lock().expect("no thread panics with the lock").extend(children(postmaster));
        frozen.signal(Signal::STOP);
        frozen
    }

    /// Where a program of its release is: `psql`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of its database `postgres`, as the superuser.
    pub fn url(&self) -> String {
        url(ADMIN, self.port, "postgres")
    }

    /// A session of the superuser in its database `postgres`.
    pub fn client(&self) -> Client {
        self.connect("postgres").expect("the server accepts its superuser")
    }

    /// A new database. Two tests that share a server and ask for the same name would disturb each other: the second fails.
    #[track_caller]
    pub fn database(&self, name: &str) -> Database<'_> {
        if let Err(e) = self.client().batch_execute(&format!("CREATE DATABASE \"{name}\"")) {
            panic!("database {name}: {e:?}");
        }
        Database { server: self, name: name.to_owned() }
    }

    /// A database that is there already.
    pub fn existing(&self, name: &str) -> Database<'_> {
        Database { server: self, name: name.to_owned() }
    }

    /// A new role that may log in, without any rights; no other test has it. With a password (SCRAM-SHA-256) it must show it on
    /// TCP.
    #[track_caller]
    pub fn role(&self, name: &str, password: Option<&str>) {
        let mut role = format!("CREATE ROLE \"{name}\" LOGIN");
        if let Some(password) = password {
            role += &format!(" PASSWORD '{}' IN ROLE {WITH_PASSWORD}", password.replace('\'', "''"));
        }
        if let Err(e) = self.client().batch_execute(&role) {
            panic!("role {name}: {e:?}");
        }
    }

    /// A new role that is asked for its password on TCP by `method`, `password` or `md5`.
    pub fn role_asked(&self, name: &str, password: &str, method: &str) {
        let group = ASKED.iter().find(|(_, of)| *of == method).map(|(group, _)| group).expect("a known method");
        let kept = if method == "md5" { "md5" } else { "scram-sha-256" };
        let role = format!(
            "SET password_encryption = '{kept}'; CREATE ROLE \"{name}\" LOGIN PASSWORD '{password}' IN ROLE {group}"
        );
        self.client().batch_execute(&role).expect("a role");
    }

    /// The certificate (PEM) of the authority that vouches for the server as `localhost` and 127.0.0.1. Of a server with
    /// [`Options::tls`].
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join(tls::AUTHORITY)
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.path().join("log")).unwrap_or_default()).into_owned()
    }

    fn connect(&self, database: &str) -> Result<Client, postgres::Error> {
        let mut config = Config::new();
        config.host_path(self.dir.path()).port(self.port).user(ADMIN).dbname(database).connect(NoTls)
    }

    /// A server says in no other way that it is ready.
    fn wait_until_ready(&mut self) {
        let until = Instant::now() + Duration::from_secs(60);
        while let Err(e) = self.connect("postgres") {
            let ended = self.keeper.as_mut().is_none_or(|keeper| keeper.try_wait().is_ok_and(|ended| ended.is_some()));
            assert!(!ended && Instant::now() < until, "PostgreSQL does not start ({e}): {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Default for Server {
    fn default() -> Server {
        Server::new()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Stop::Immediate);
    }
}

/// A server that is frozen, until this is dropped.
pub struct Frozen(Mutex<Vec<i32>>);

impl Frozen {
    fn signal(&self, signal: Signal) {
        for pid in self.0.lock().expect("no thread panics with the lock").iter().rev() {
            // A process that has ended in this moment needs none.
            let _there_or_gone = Pid::from_raw(*pid).map(|pid| kill_process(pid, signal));
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
    }
}

/// The processes whose parent is `parent`.
fn children(parent: i32) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    ids.filter(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields.split(' ').nth(1).map(str::to_owned));
        fields.flatten().is_some_and(|id| id == parent.to_string())
    })
    .collect()
}

/// A database of a [`Server`].
pub struct Database<'a> {
    server: &'a Server,
    name: String,
}

impl Database<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL, as the superuser.
    pub fn url(&self) -> String {
        self.url_of(ADMIN)
    }

    /// Its URL as another role, without a password.
    pub fn url_of(&self, role: &str) -> String {
        url(role, self.server.port, &self.name)
    }

    /// A session of the superuser.
    pub fn client(&self) -> Client {
        self.server.connect(&self.name).expect("the server accepts its superuser")
    }
}

pub(super) fn url(role: &str, port: u16, database: &str) -> String {
    format!("postgres://{role}@127.0.0.1:{port}/{database}")
}

/// `pg_hba.conf`. A superuser counts as member of no group here.
fn who_may_connect(tls: bool) -> String {
    let host = if tls { "hostssl" } else { "host" };
    let asked: String = ASKED.iter().map(|(group, method)| format!("{host} all +{group} all {method}\n")).collect();
    format!(
        "local all all trust\nlocal replication all trust\n{host} all +{WITH_PASSWORD} all scram-sha-256\n{asked}\
         {host} all all all trust\n"
    )
}

pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

impl AsRef<Path> for Server {
    /// Its directory.
    fn as_ref(&self) -> &Path {
        self.dir.path()
    }
}
