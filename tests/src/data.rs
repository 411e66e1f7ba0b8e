//! A data directory, driven as an operator drives it.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{BufRead, BufReader},
    os::unix::{fs::DirBuilderExt, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The rows of a table: key to document.
pub type Rows = BTreeMap<String, Value>;

/// A fresh data directory. Removed when dropped.
pub struct Data {
    binary: PathBuf,
    dir: TempDir,
}

/// What a command answered.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code; `None` when it was killed.
    pub exit: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Answer {
        Answer {
            exit: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Answer {
    /// Standard output as one JSON value.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e} in {self:#?}"))
    }

    /// Asserts the exit code, and that standard error names everything in `words`.
    #[track_caller]
    pub fn refused(&self, exit: i32, words: &[&str]) {
        assert_eq!(self.exit, Some(exit), "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in {self:#?}");
        }
    }
}

impl Data {
    /// An empty data directory for the command line at `binary` (`env!("CARGO_BIN_EXE_unspool-under-test")`).
    pub fn new(binary: &str) -> Data {
        Data { binary: binary.into(), dir: tempfile::tempdir().expect("a temporary directory") }
    }

    /// A copy of it, and of the files beside it, with a life of its own. No host may run on it.
    pub fn copy(&self) -> Data {
        let copy = Data { binary: self.binary.clone(), dir: tempfile::tempdir().expect("a temporary directory") };
        copy_all(self.dir.path(), copy.dir.path());
        copy
    }

    /// A copy whose read models in PostgreSQL are its own from now on, and the original's no more.
    pub fn adopted_copy(&self) -> Data {
        let copy = self.copy();
        copy.ok(["store", "adopt"]);
        copy
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Makes it, for what is put there before a command runs: its owner's alone, whatever the umask.
    pub fn make(&self) {
        make_private(&self.path());
    }

    /// A place for files beside it.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file beside it.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.scratch(name);
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// The command line with `args`, not started yet.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.binary);
        // What the one who runs the tests has set for hosts and databases of their own.
        let foreign =
            |name: &OsStr| name.to_str().is_some_and(|name| name.starts_with("UNSPOOL_") || name.starts_with("PG"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| foreign(name)) {
            command.env_remove(name);
        }
        command
            // Chunks are shared out among instances wherever a projection allows it, on whatever machine.
            .env("UNSPOOL_INSTANCES", "2")
            .arg("--data")
            .arg(self.path())
            .args(args);
        command
    }

    /// Runs a command to its end.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Answer {
        self.command(args).stdin(Stdio::null()).output().expect("the command line runs").into()
    }

    /// Runs a command that must succeed, with `--json`, and returns its answer.
    #[track_caller]
    pub fn json<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Value {
        let answer = self.ok(args);
        if answer.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{e} in {answer}"))
        }
    }

    /// Runs a command that must succeed, with `--json`, and returns its standard output.
    #[track_caller]
    pub fn ok<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let answer: Answer =
            self.command(["--json"]).args(args).stdin(Stdio::null()).output().expect("the command line runs").into();
        assert_eq!(answer.exit, Some(0), "{answer:#?}");
        answer.stdout
    }

    /// Runs a command that must end with `exit`, with `--json`, and returns its answer.
    #[track_caller]
    pub fn exits<S: AsRef<OsStr>>(&self, exit: i32, args: impl IntoIterator<Item = S>) -> Value {
        let answer: Answer =
            self.command(["--json"]).args(args).stdin(Stdio::null()).output().expect("the command line runs").into();
        assert_eq!(answer.exit, Some(exit), "{answer:#?}");
        answer.json()
    }

    /// Runs a command that must succeed and lists something, with `--json`, and returns what it lists.
    #[track_caller]
    pub fn list<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Vec<Value> {
        self.ok(args).lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }

    /// Imports an event file.
    #[track_caller]
    pub fn import(&self, file: &Path) -> Value {
        self.json([OsStr::new("events"), OsStr::new("import"), file.as_os_str()])
    }

    /// Installs a plugin.
    #[track_caller]
    pub fn install(&self, plugin: &Path) {
        self.ok([OsStr::new("plugin"), OsStr::new("install"), plugin.as_os_str()]);
    }

    /// All rows of `NAME/TABLE`.
    #[track_caller]
    pub fn rows(&self, table: &str) -> Rows {
        rows(&self.ok(["model", "export", table]))
    }

    /// All rows of `NAME/TABLE` in a generation that need not be live.
    #[track_caller]
    pub fn rows_of(&self, table: &str, generation: &str) -> Rows {
        rows(&self.ok(["model", "export", table, "--generation", generation]))
    }

    /// The digest of the live generation.
    #[track_caller]
    pub fn digest(&self, name: &str) -> String {
        self.json(["model", "digest", name])["digest"].as_str().expect("a digest").to_owned()
    }

    /// Starts a command in the background; killed when dropped.
    pub fn start<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Running {
        let command = self.command(args);
        // A host goes on ignoring hangups where it was started so, as whoever runs the tests may have been.
        let mut started = Command::new("env");
        started.arg("--default-signal=HUP").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => started.env(name, value),
                None => started.env_remove(name),
            };
        }
        let child = started.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Running { child: Some(child.expect("the command line runs")) }
    }

    /// Starts a host that waits for commands, and waits until it answers.
    pub fn serve(&self) -> Running {
        let mut host = self.start(["serve"]);
        host.wait_for_line("serving");
        host
    }

    /// Waits until a host answers on the control socket.
    #[track_caller]
    pub fn wait_for_host(&self) {
        poll("a host answers", || UnixStream::connect(self.path().join("control.sock")).ok().map(drop));
    }

    /// Asks for the status of `name` until `reached` holds, and returns it.
    #[track_caller]
    pub fn wait_for(&self, name: &str, reached: impl Fn(&Value) -> bool) -> Value {
        poll("the rebuild gets there", || {
            let answer: Answer =
                self.command(["--json", "status", name]).output().expect("the command line runs").into();
            (answer.exit == Some(0)).then(|| answer.json()).filter(&reached)
        })
    }
}

fn rows(lines: &str) -> Rows {
    let row = |line: &str| {
        let mut row: Value = serde_json::from_str(line).expect("a row is JSON");
        (row["key"].as_str().expect("a key").to_owned(), row["value"].take())
    };
    lines.lines().map(row).collect()
}

/// Makes a folder that is its owner's alone.
fn make_private(folder: &Path) {
    std::fs::DirBuilder::new().mode(0o700).create(folder).expect("a folder");
}

/// Copies what is in a folder; what is not a file or a folder (the socket of a host that was killed) stays behind.
fn copy_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (kind, to) = (entry.file_type().expect("its type"), to.join(entry.file_name()));
        if kind.is_dir() {
            make_private(&to);
            copy_all(&entry.path(), &to);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

/// Asks again and again until there is an answer. What is waited for comes by itself; a minute means that it does not.
#[track_caller]
pub fn poll<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "waited a minute until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A command in the background.
pub struct Running {
    child: Option<Child>,
}

impl From<Child> for Running {
    fn from(child: Child) -> Running {
        Running { child: Some(child) }
    }
}

impl Running {
    /// Reads standard error until a line contains `word`; the rest is read in the background.
    pub fn wait_for_line(&mut self, word: &str) -> Vec<String> {
        let stderr = self.child.as_mut().and_then(|child| child.stderr.take()).expect("standard error is piped");
        let mut lines = BufReader::new(stderr).lines();
        let mut seen = Vec::new();
        let found = lines.by_ref().map_while(Result::ok).any(|line| {
            let found = line.contains(word);
            seen.push(line);
            found
        });
        assert!(found, "no {word:?} in {seen:#?}");
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        seen
    }

    /// The process.
    pub fn pid(&self) -> rustix::process::Pid {
        let child = self.child.as_ref().expect("the command runs");
        rustix::process::Pid::from_child(child)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("the process is there");
    }

    /// Waits for its end.
    pub fn end(mut self) -> Answer {
        self.child.take().expect("the command runs").wait_with_output().expect("it ends").into()
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(mut self) {
        let mut child = self.child.take().expect("the command runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_none()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
