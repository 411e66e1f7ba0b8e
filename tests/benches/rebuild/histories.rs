//! Generated histories: as files, as logs, and as chunk frames in memory. Each is made once.

use crate::Options;
use std::{
    cell::RefCell,
    collections::HashMap,
    fs,
    io::BufWriter,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
};
use unspool::{
    source::{Source, log::EventLog},
    vocabulary::{BlockEvent, Matcher, Position},
};
use unspool_tests::plugins::plugin;

/// The command line, in the profile of the benchmark.
pub const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

pub struct Histories {
    dir: tempfile::TempDir,
    made: RefCell<HashMap<String, PathBuf>>,
}

impl Histories {
    pub fn new(_: &Options) -> Histories {
        let dir = tempfile::Builder::new().prefix("unspool-bench").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        Histories { dir: dir.expect("a directory for histories"), made: RefCell::default() }
    }

    /// A path for scratch data.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn once(&self, name: &str, make: impl FnOnce(&Path)) -> PathBuf {
        let path = self.scratch(name);
        if self.made.borrow_mut().insert(name.to_owned(), path.clone()).is_none() {
            make(&path);
        }
        path
    }

    /// An order history as an event file.
    pub fn file(&self, events: u64) -> PathBuf {
        self.once(&format!("orders-{events}.ndjson"), |path| {
            let mut out = BufWriter::with_capacity(1 << 20, fs::File::create(path).expect("a file"));
            unspool::cli::demo::orders::write(events, 7, &mut out).expect("room for the history");
        })
    }

    /// A data directory with that history in its log and `order-summary` installed.
    pub fn data(&self, events: u64) -> PathBuf {
        let file = self.file(events);
        self.once(&format!("data-{events}"), |data| {
            run(data, &["events", "import", &file.display().to_string()]);
            run(data, &["plugin", "install", &plugin("order-summary").display().to_string()]);
        })
    }

    /// The history as chunk frames of 500 events, as the host sends them.
    pub fn frames(&self, events: u64) -> Vec<Vec<u8>> {
        let log = EventLog::open(&self.data(events).join("log.redb"), "the benchmark's log").expect("the log opens");
        let through = log.ceiling().expect("the log is readable");
        let mut reader = log.read(&Matcher::All, Position::START, through).expect("the log is readable");
        let (mut frames, mut chunk, mut count) = (Vec::new(), Vec::new(), 0_u32);
        let mut close = |chunk: &mut Vec<u8>, count: &mut u32| {
            let mut frame = Vec::with_capacity(chunk.len() + 5);
            unspool_frame::chunk_header(&mut frame, std::mem::take(count));
            frame.append(chunk);
            frames.push(frame);
        };
        while let Some(block) = reader.next().expect("the log is readable") {
            for BlockEvent { frame: event, .. } in block.events() {
                chunk.extend_from_slice(event);
                count += 1;
                if count == 500 {
                    close(&mut chunk, &mut count);
                }
            }
        }
        if count > 0 {
            close(&mut chunk, &mut count);
        }
        frames
    }
}

/// The command line on a data directory, not started yet.
pub fn command(data: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .env_remove("UNSPOOL_DATA")
        .env_remove("UNSPOOL_ALERT")
        .env_remove("UNSPOOL_INSTANCES")
        .arg("--json")
        .arg("--data")
        .arg(data)
        .args(args);
    command.stdin(Stdio::null());
    command
}

/// A process in the background. It ends with whoever measures it, however that ends.
pub struct Running(Child);

impl Running {
    /// Starts a command whose output nobody reads.
    pub fn start(mut command: Command) -> Running {
        Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs"))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("the process is ours")
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.0.wait().expect("the process is ours")
    }
}

impl Drop for Running {
    /// `kill -9`, and waits until it is gone.
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs a command that must succeed.
pub fn run(data: &Path, args: &[&str]) -> Output {
    let output = command(data, args).output().expect("the command line runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
