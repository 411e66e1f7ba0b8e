//! What people see: tables that fit their terminal, colours where they are wanted, bars that leave the terminal as it was.

use std::{
    ffi::OsStr,
    io::{Read, Write},
    process::{Child, Command, Stdio},
};
use unspool_tests::{
    data::{Answer, Data},
    history,
    plugins::plugin,
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// A completed projection, one that failed, and one that was never built.
fn with_three() -> Data {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(1_000, &[(500, "Error")])));
    for name in ["faulty", "process-map", "order-summary"] {
        data.install(&plugin(name));
    }
    assert_eq!(data.run(["rebuild", "faulty"]).exit, Some(1));
    data.ok(["rebuild", "process-map"]);
    data
}

/// `args` on a terminal of so many columns, with `variables` in the environment.
fn on_a_terminal(data: &Data, columns: usize, variables: &[(&str, &str)], args: &[&str]) -> Command {
    let command = data.command(args);
    let quoted = |word: &OsStr| format!("'{}'", word.to_str().unwrap().replace('\'', r"'\''"));
    let words: Vec<_> = [command.get_program()].into_iter().chain(command.get_args()).map(quoted).collect();
    let mut terminal = Command::new("script");
    terminal.arg("-qec").arg(format!("stty cols {columns} rows 24; exec {}", words.join(" "))).arg("/dev/null");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => terminal.env(name, value),
            None => terminal.env_remove(name),
        };
    }
    for name in ["NO_COLOR", "CLICOLOR"] {
        terminal.env_remove(name);
    }
    terminal.env("TERM", "xterm").env("SHELL", "/bin/sh").envs(variables.iter().copied());
    terminal
}

fn shown(data: &Data, columns: usize, variables: &[(&str, &str)], args: &[&str]) -> Answer {
    let mut terminal = on_a_terminal(data, columns, variables, args);
    let mut answer: Answer = terminal.stdin(Stdio::null()).output().expect("script(1) runs").into();
    // A terminal ends its lines so.
    answer.stdout = answer.stdout.replace("\r\n", "\n");
    answer
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let data = with_three();
    let commands: [&[&str]; 8] = [
        &["list", "--all"],
        &["status", "faulty"],
        &["plugin", "list"],
        &["model", "generations", "process-map"],
        &["resume", "faulty"],
        &["--help"],
        &["rebuild", "--nonsense"],
        &["status", "nobody"],
    ];
    for args in commands {
        let piped = data.run(args);
        assert!(!format!("{}{}", piped.stdout, piped.stderr).contains('\u{1b}'), "{args:?}: {piped:#?}");
    }
    let list = |variables: &[(&str, &str)], args: &[&str]| shown(&data, 120, variables, args).stdout;
    let coloured = list(&[], &["list", "--all"]);
    assert!(coloured.contains("\u{1b}[31mfailed\u{1b}[0m"), "{coloured:?}");
    assert!(coloured.contains("\u{1b}[32mcompleted\u{1b}[0m"), "{coloured:?}");
    for refused in [[("NO_COLOR", "1")], [("CLICOLOR", "0")], [("TERM", "dumb")]] {
        for args in [&["list", "--all"][..], &["status", "faulty"]] {
            let plain = list(&refused, args);
            assert!(plain.contains("failed") && !plain.contains('\u{1b}'), "{refused:?}: {plain:?}");
        }
    }
    assert!(!list(&[], &["--json", "list", "--all"]).contains('\u{1b}'));
}

#[test]
fn a_list_has_one_line_for_each_and_fits() {
    let data = with_three();
    for args in [&["list", "--all"][..], &["plugin", "list"], &["model", "generations", "process-map"]] {
        let items = data.list(args).len();
        for columns in [40, 80, 120, 200] {
            let table = shown(&data, columns, &[("NO_COLOR", "1")], args).stdout;
            assert_eq!(table.lines().count(), items + 1, "{args:?} and headings: {table}");
            assert!(table.lines().all(|line| line.chars().count() <= columns), "{columns}: {table}");
        }
        let piped = data.run(args).stdout;
        assert_eq!(piped.lines().count(), items + 1);
        assert!(!piped.contains('…'), "nothing is cut for a pipe: {piped}");
        let wide = shown(&data, 40, &[("NO_COLOR", "1")], &[args, &["--wide"]].concat()).stdout;
        assert!(!wide.contains('…'), "nor where all of it is wanted: {wide}");
    }
    let digest = data.json(["model", "digest", "process-map"])["digest"].as_str().unwrap().to_owned();
    let short = data.run(["model", "digest", "process-map"]).stdout;
    assert!(short.contains(&digest[..12]) && !short.contains(&digest), "{short}");
    assert!(data.run(["model", "digest", "process-map", "--wide"]).stdout.contains(&digest));
}

#[test]
fn a_failure_is_told_once() {
    let data = with_three();
    let error = data.json(["status", "faulty"])["error"].as_str().unwrap().to_owned();
    let told = shown(&data, 200, &[], &["resume", "faulty"]);
    assert_eq!(told.exit, Some(1), "{told:#?}");
    assert_eq!(told.stdout.matches(&error).count(), 1, "{}", told.stdout);
    let piped = data.run(["resume", "faulty"]);
    assert_eq!(piped.stdout.matches(&error).count(), 1, "{piped:#?}");
    assert_eq!(piped.stderr.matches(&error).count(), 1, "in the log: {piped:#?}");
}

/// What a terminal has shown until `word` stood there.
fn read_until(terminal: &mut Child, word: &str) -> String {
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    let out = terminal.stdout.as_mut().expect("standard output is piped");
    loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        if text.contains(word) {
            return text;
        }
        let read = out.read(&mut buffer).expect("a terminal");
        assert!(read > 0, "no {word:?} in {text:?}");
        seen.extend_from_slice(&buffer[..read]);
    }
}

#[test]
fn an_interrupted_bar_leaves_the_terminal_as_it_was() {
    let data = Data::new(BINARY);
    data.import(&data.file("orders.ndjson", history::orders(20_000, 11)));
    data.install(&plugin("order-summary"));
    for columns in [40, 200] {
        let slow = ["rebuild", "order-summary", "--chunk-size", "20", "--rate-limit", "1000"];
        let mut terminal = on_a_terminal(&data, columns, &[], &slow);
        let mut terminal = terminal
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("script(1) runs");
        let mut seen = read_until(&mut terminal, " left");
        let mut keys = terminal.stdin.take().expect("standard input is piped");
        keys.write_all(b"\x03").expect("Ctrl-C");
        let mut rest = Vec::new();
        terminal.stdout.take().expect("it was piped").read_to_end(&mut rest).expect("a terminal");
        drop(keys);
        assert_eq!(terminal.wait().expect("it ends").code(), Some(130));
        seen += &String::from_utf8_lossy(&rest);
        assert!(seen.contains("order-summary"), "{seen:?}");
        assert!(!seen.contains("\u{1b}[?25l") || seen.rfind("\u{1b}[?25h") > seen.rfind("\u{1b}[?25l"), "{seen:?}");
        assert!(seen.ends_with('\n'), "the shell begins a line of its own: {seen:?}");
        assert_eq!(data.json(["status", "order-summary"])["status"], "paused");
    }
}
