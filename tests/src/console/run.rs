//! Runs the commands of a page, and compares.

use super::{
    compare::{Varying, fits, printed, updated},
    page::{Command, Page},
};
use crate::needs::installed;
use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{self, Child, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Longer than any command takes.
const TIMEOUT: Duration = Duration::from_secs(180);

/// How long a question is asked again: what is shown is under way.
const ASKING: Duration = Duration::from_secs(20);

/// What is asked again until it is answered as shown.
const QUESTIONS: [&str; 2] = ["unspool status ", "unspool list"];

/// The variable that has pages written anew.
const UPDATE: &str = "UNSPOOL_UPDATE";

/// Runs a command in the shell of the page: what it prints goes to a file, and its exit code to another, which appears when it is
/// complete. `$?` is that of the command before.
const RUN: &str = "run() { eval \"$2\" >\"$OUT/$1\" 2>&1 </dev/null; code=$?; \
                   echo $code >\"$OUT/draft\"; mv \"$OUT/draft\" \"$OUT/$1.code\"; return $code; }\n";

/// Where the commands of a page are run: a folder of its own, in which `unspool` is the command line under test.
pub struct Scene {
    dir: TempDir,
    replaced: Vec<(String, String)>,
    environment: Vec<(String, String)>,
}

/// A shell that keeps its variables from command to command.
struct Shell<'a> {
    scene: &'a Scene,
    process: Child,
    runs: usize,
}

/// What a command did.
struct Outcome {
    code: String,
    printed: Vec<String>,
}

impl Scene {
    /// An empty folder, and the command line at `binary`. It logs nothing: other threads do that, whenever they come to it.
    pub fn new(binary: &str) -> Scene {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for folder in ["bin", "work", "out"] {
            fs::create_dir(dir.path().join(folder)).expect("a folder");
        }
        symlink(binary, dir.path().join("bin/unspool")).expect("a link");
        let path = format!("{}/bin:{}", dir.path().display(), std::env::var("PATH").unwrap_or_default());
        let out = dir.path().join("out").display().to_string();
        let variables = [("PATH", path), ("OUT", out), ("UNSPOOL_LOG", "off".to_owned())];
        let environment = variables.map(|(name, value)| (name.to_owned(), value)).into();
        Scene { dir, replaced: Vec::new(), environment }
    }

    /// Where the commands are run.
    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// Writes a file that the commands find.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder().join(name);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder");
        fs::write(&path, content).expect("a file");
        path
    }

    /// Has commands that say `shown` use `real`.
    pub fn replace(&mut self, shown: &str, real: impl Into<String>) {
        self.replaced.push((shown.to_owned(), real.into()));
    }

    /// Sets a variable for all commands.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.push((name.to_owned(), value.into()));
    }

    /// Runs commands that the page does not show, and that must succeed.
    pub fn prepare(&self, commands: &[&str]) {
        let mut shell = Shell::new(self);
        for command in commands {
            let outcome = shell.run(command);
            assert_eq!(outcome.code, "0", "{command}\n{}", outcome.printed.join("\n"));
        }
    }

    /// Runs the console blocks of the page in order; panics with every difference, or writes them into the page.
    pub fn play(&self, path: &Path) {
        let page = Page::read(path);
        let blocks = page.blocks.iter().filter(|block| block.is_console() && block.not_run().is_none());
        let commands: Vec<Command> = blocks.flat_map(|block| page.commands(block)).collect();
        assert!(!commands.is_empty(), "{}: nothing is run", path.display());
        let mut shell = Shell::new(self);
        let (mut differences, mut changes) = (Vec::new(), Vec::new());
        for (number, command) in commands.iter().enumerate() {
            let (place, shown) = (page.place(command.lines.start), &page.lines[command.shown.clone()]);
            let outcome = shell.ask(command, shown);
            let asked = commands.get(number + 1).is_some_and(|next| next.text.starts_with("echo $?"));
            let text = outcome.printed.join("\n");
            assert!(outcome.code == "0" || asked, "{place}: $ {}\nexit code {}\n{text}", command.text, outcome.code);
            let varying = varying(command);
            if !command.is_described() && !fits(shown, &outcome.printed, varying) {
                differences.push(format!("{place}: $ {}\n{}", command.text, told(shown, &outcome.printed)));
                changes.push((command.shown.clone(), updated(shown, &outcome.printed, varying)));
            }
        }
        if std::env::var_os(UPDATE).is_some() {
            let mut lines = page.lines.clone();
            changes.into_iter().rev().for_each(|(shown, printed)| drop(lines.splice(shown, printed)));
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            fs::write(path, text).expect("a page that can be written");
        } else if !differences.is_empty() {
            panic!("{}\n{UPDATE}=1 writes what is printed into the page", differences.join("\n"));
        }
    }

    /// Ends the hosts that commands left in the background.
    fn end_hosts(&self) {
        let folder = self.folder();
        for entry in fs::read_dir("/proc").expect("processes").filter_map(Result::ok) {
            let here = fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&folder));
            let pid =
                entry.file_name().to_str().and_then(|pid| pid.parse().ok()).and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid.filter(|_| here) {
                // One that ends in this moment needs none.
                let _there_or_gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.end_hosts();
    }
}

impl<'a> Shell<'a> {
    fn new(scene: &'a Scene) -> Shell<'a> {
        let mut command = process::Command::new(installed("bash", "bash"));
        let foreign = |name: &str| name.starts_with("UNSPOOL_") || name.starts_with("PG");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(foreign)) {
            command.env_remove(name);
        }
        command.envs(scene.environment.iter().map(|(name, value)| (name, value)));
        let process = command.current_dir(scene.folder()).stdin(Stdio::piped()).spawn().expect("bash runs");
        let mut shell = Shell { scene, process, runs: 0 };
        shell.tell(RUN);
        shell
    }

    fn tell(&mut self, line: &str) {
        let stdin = self.process.stdin.as_mut().expect("standard input is piped");
        stdin.write_all(line.as_bytes()).expect("the shell reads");
    }

    /// Runs a command to its end.
    fn run(&mut self, text: &str) -> Outcome {
        let (number, out) = (self.runs, self.scene.dir.path().join("out"));
        self.runs += 1;
        let real = self.scene.replaced.iter().fold(text.to_owned(), |text, (shown, real)| text.replace(shown, real));
        self.tell(&format!("run {number} '{}'\n", real.replace('\'', r"'\''")));
        let (file, until) = (out.join(format!("{number}.code")), Instant::now() + TIMEOUT);
        while !file.exists() {
            let alive = self.process.try_wait().is_ok_and(|ended| ended.is_none());
            assert!(alive && Instant::now() < until, "does not end, or ends the shell: {text}");
            std::thread::sleep(Duration::from_millis(2));
        }
        let code = fs::read_to_string(&file).expect("an exit code").trim().to_owned();
        let output = String::from_utf8_lossy(&fs::read(out.join(number.to_string())).expect("output")).into_owned();
        fs::remove_file(file).expect("it is there");
        let folder = format!("{}/", self.scene.folder().display());
        Outcome { code, printed: printed(&output.replace(&folder, "")) }
    }

    /// Runs a command; a question again, until it is answered as shown.
    fn ask(&mut self, command: &Command, shown: &[String]) -> Outcome {
        let until = Instant::now() + ASKING;
        loop {
            let outcome = self.run(&command.text);
            let again = QUESTIONS.iter().any(|question| command.text.starts_with(question)) && !command.is_described();
            if !again || Instant::now() > until || fits(shown, &outcome.printed, varying(command)) {
                return outcome;
            }
        }
    }
}

impl Drop for Shell<'_> {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn varying(command: &Command) -> Varying {
    let of_plugins =
        ["unspool plugin ", "unspool model generations "].iter().any(|start| command.text.starts_with(start));
    Varying { numbers: command.numbers_vary, digests: of_plugins }
}

/// What is shown and what was printed, one below the other.
fn told(shown: &[String], printed: &[String]) -> String {
    let side = |mark: char, lines: &[String]| lines.iter().map(|line| format!("{mark} {line}\n")).collect::<String>();
    side('-', shown) + &side('+', printed)
}
