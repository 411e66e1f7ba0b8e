//! A host under a supervisor of services: what it is told, and that it ends when it is asked to.

use rustix::process::Signal;
use serde_json::Value;
use std::{os::unix::net::UnixDatagram, process::Stdio, time::Duration};
use unspool_tests::{
    data::{Data, Running},
    history,
    plugins::plugin,
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// Hears what a supervisor would.
fn hears(socket: &UnixDatagram) -> String {
    let mut space = [0; 256];
    let read = socket.recv(&mut space).expect("something is said within a minute");
    String::from_utf8_lossy(&space[..read]).trim_end().to_owned()
}

#[test]
fn a_supervisor_is_told_that_the_host_is_ready_alive_and_ending() {
    let data = Data::new(BINARY);
    data.make();
    let path = data.scratch("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = data.command(["serve"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000").stdin(Stdio::null());
    let host = Running::from(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert_eq!(hears(&socket), "READY=1");
    // It answers by then.
    assert_eq!(data.run(["list"]).exit, Some(0));
    for _ in 0..3 {
        assert_eq!(hears(&socket), "WATCHDOG=1");
    }
    host.signal(Signal::TERM);
    let mut told = hears(&socket);
    while told == "WATCHDOG=1" {
        told = hears(&socket);
    }
    assert_eq!(told, "STOPPING=1");
    assert_eq!(host.end().exit, Some(0));
}

#[test]
fn logs_are_objects_where_programs_read_them() {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(50, &[(20, "Error")])));
    data.install(&plugin("faulty"));
    let mut command = data.command(["rebuild", "faulty"]);
    let ended = command.env("UNSPOOL_LOG_FORMAT", "json").stdin(Stdio::null()).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let text = String::from_utf8(ended.stderr).unwrap();
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let failed =
        lines.iter().find(|line| line["target"] == "failures").unwrap_or_else(|| panic!("no failure in {text}"));
    assert_eq!((&failed["level"], &failed["projection"]), (&"ERROR".into(), &"faulty".into()));
    assert!(failed["message"].as_str().unwrap().contains("e20"), "{failed:#}");

    let mut command = data.command(["list"]);
    let ended = command.env("UNSPOOL_LOG_FORMAT", "xml").stdin(Stdio::null()).output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert!(String::from_utf8(ended.stderr).unwrap().contains("text or json"));
}
