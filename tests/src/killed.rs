//! Hosts that keep a read model up to date, and are killed at every step of what may be done with it meanwhile. Wherever its rows live,
//! the next host comes to the right rows by itself, and nobody is taken back who was not told.

use crate::{
    activity::assert_complete,
    data::{Answer, Data, Rows, poll},
    followed::{Event, NAME, Range, fold},
    plugins::plugin_with,
    random::Random,
};
use serde_json::Value;
use std::{collections::BTreeSet, os::unix::process::ExitStatusExt, process::Stdio};
use unspool::plugin::digest;

/// Events that come at once.
const BATCH: usize = 12;

/// A data directory with a read model that is followed, the generation that readers saw before, and events that nobody has handled yet.
/// No host runs.
pub struct Followed<'a> {
    /// The data directory.
    pub data: Data,
    events: Vec<Event>,
    random: Random,
    off_by_one: String,
    /// What other readers see of the rows; `None` where there are no others.
    outside: Option<&'a dyn Fn() -> Rows>,
    /// Kills so far.
    pub kills: u64,
}

/// What is done.
#[derive(Debug, Clone, Copy)]
pub struct Deed<'a> {
    /// The command.
    pub command: &'a [&'a str],
    /// What comes before it, while no host runs.
    pub before: &'a [&'a [&'a str]],
    /// It may take readers back, and says so.
    pub takes_back: bool,
    /// It does not end by itself.
    pub stays: bool,
    /// The plugin is swapped for its other build each time before it.
    pub other_build: bool,
    /// The command is followed by the file of the other build.
    pub swaps: bool,
}

/// What is done with candidates and shadows beside what readers see.
pub const BESIDE: [Deed<'_>; 3] = [
    Deed::of(&["rebuild", NAME, "--chunk-size", "20"]),
    Deed::of(&["model", "verify", NAME]),
    Deed { other_build: true, ..Deed::of(&["model", "verify", NAME, "--repair"]) },
];

/// What is done with what readers see.
pub const LIVE: [Deed<'_>; 7] = [
    Deed::of(&["model", "rollback", NAME]),
    Deed { takes_back: true, ..Deed::of(&["model", "rollback", NAME, "--now"]) },
    Deed::of(&["catch-up", NAME]),
    Deed { before: &[&["unfollow", NAME]], ..Deed::of(&["catch-up", NAME]) },
    Deed::of(&["unfollow", NAME]),
    Deed { before: &[&["unfollow", NAME]], stays: true, ..Deed::of(&["follow", NAME]) },
    Deed { swaps: true, ..Deed::of(&["plugin", "swap", NAME]) },
];

impl<'a> Deed<'a> {
    /// A command that ends by itself, and takes nobody back.
    pub const fn of(command: &'a [&'a str]) -> Deed<'a> {
        Deed { command, before: &[], takes_back: false, stays: false, other_build: false, swaps: false }
    }
}

impl<'a> Followed<'a> {
    /// Makes it, with rows in the store, or where `into` says.
    pub fn new(binary: &str, into: Option<&str>, outside: Option<&'a dyn Fn() -> Rows>) -> Followed<'a> {
        let data = Data::new(binary);
        data.install(&plugin_with(NAME, &["fixed"]));
        let off_by_one = digest(&std::fs::read(plugin_with(NAME, &["off-by-one"])).expect("a component"));
        let mut followed = Followed { data, events: Vec::new(), random: Random::new(1), off_by_one, outside, kills: 0 };
        followed.append();
        let home: Vec<&str> = into.iter().flat_map(|into| ["--into", into]).collect();
        followed.data.ok([&["rebuild", NAME][..], &home].concat());
        followed.append();
        followed.data.ok(["rebuild", NAME]);
        followed.next_host("the beginning");
        followed
    }

    /// More events come.
    fn append(&mut self) {
        let mut lines = String::new();
        for _ in 0..BATCH {
            self.events.push(Event::handled_by_all(&mut self.random));
            lines += &self.events[self.events.len() - 1].line(self.events.len());
        }
        self.data.import(&self.data.file("more.ndjson", lines));
    }

    /// The other build that handles every event of this history.
    fn other_build(&self) -> String {
        let installed = self.data.list(["plugin", "list"]);
        let features = if installed[0]["digest"] == self.off_by_one { "fixed" } else { "off-by-one" };
        plugin_with(NAME, &[features]).to_str().expect("a path").to_owned()
    }

    /// Up to where readers see the history.
    fn position(&self) -> u64 {
        let status = self.data.json(["status", NAME]);
        status.get("live").unwrap_or(&status)["position"].as_u64().expect("a position")
    }

    /// Asserts that readers see what the events up to where they are come to, by the plugins that the receipt names.
    #[track_caller]
    fn fits(&self, at: &str) {
        let receipt = self.data.json(["model", "receipt", NAME]);
        let number = |value: &Value| value.as_u64().expect("a position");
        let range = |range: &Value| Range {
            after: number(&range["after"]),
            through: number(&range["through"]),
            off_by_one: range["pluginDigest"] == self.off_by_one,
        };
        let ranges: Vec<Range> = receipt["ranges"].as_array().expect("ranges").iter().map(range).collect();
        let position = number(&receipt["through"]);
        assert_eq!(position, self.position(), "{at}: {receipt:#}");
        let expected = fold(&self.events, position, &ranges, &BTreeSet::new());
        assert_eq!(Ok(self.data.rows(&format!("{NAME}/seen"))), expected, "{at}: {receipt:#}");
        if let Some(outside) = self.outside {
            assert_eq!(Ok(outside()), expected, "{at}: {receipt:#}");
        }
    }

    #[track_caller]
    fn sound(&self, at: &str) {
        let report: Answer = self.data.command(["--json", "store", "check"]).output().expect("it runs").into();
        assert_eq!(report.exit, Some(0), "{at}: {report:#?}");
        assert_eq!(report.json()["problems"], serde_json::json!([]), "{at}");
    }

    /// The next host: everything comes to its end by itself, and so do new events. It is killed at the end, with nothing to do.
    #[track_caller]
    fn next_host(&mut self, at: &str) {
        let host = self.data.serve();
        self.data.wait_for(NAME, |status| {
            let state = &status["status"];
            *state != "running" && !status["interrupted"].as_bool().unwrap_or(false)
        });
        let status = self.data.json(["status", NAME]);
        match &status["following"] {
            Value::Null => drop(self.data.json(["follow", NAME])),
            state => assert_eq!(state, "following", "{at}: {status:#}"),
        }
        self.append();
        let end = self.events.len() as u64;
        self.data.wait_for(NAME, |status| {
            assert!(status["following"] == "following", "{at}: {status:#}");
            status.get("live").unwrap_or(status)["position"] == end
        });
        self.fits(at);
        self.sound(at);
        assert_complete(&self.data, at);
        host.kill();
        // For the next one.
        self.append();
    }

    /// Kills a host at every step of `deed`, one after another.
    #[track_caller]
    pub fn kill_everywhere(&mut self, deed: &Deed<'_>) {
        for nth in 1.. {
            if deed.other_build {
                self.data.ok(["plugin", "swap", NAME, &self.other_build()]);
            }
            for command in deed.before {
                self.data.ok(*command);
            }
            let before = self.position();
            let at = format!("{:?}, killed at step {nth}", deed.command);
            let killed = self.dies(deed, &at, nth);
            self.sound(&at);
            let after = self.position();
            assert!(after >= before || deed.takes_back, "{at}: readers were taken back from {before} to {after}");
            self.fits(&at);
            self.next_host(&at);
            if !killed {
                assert!(nth > 3, "{at}: hardly any step was reached");
                return;
            }
            self.kills += 1;
        }
    }

    /// Whether the deed died at its `nth` step. One that did not has succeeded.
    #[track_caller]
    fn dies(&self, deed: &Deed<'_>, at: &str, nth: u64) -> bool {
        let mut command = self.data.command(deed.command);
        if deed.swaps {
            command.arg(self.other_build());
        }
        command.env("UNSPOOL_CRASH_AT", format!("any:{nth}"));
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        let end = self.events.len() as u64;
        let ended = poll(at, || {
            let ended = child.try_wait().expect("a child");
            // It has nothing left to do.
            ended.map(Some).or_else(|| (deed.stays && self.position() == end).then_some(None))
        });
        let Some(ended) = ended else {
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
            return false;
        };
        assert!(ended.signal() == Some(9) || ended.success() || ended.code() == Some(1), "{at}: {ended:?}");
        ended.signal().is_some()
    }
}
