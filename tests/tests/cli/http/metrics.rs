//! Metrics in every state that a rebuild can be in, and what is shipped to be used with them.

use super::BINARY;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};
use unspool_tests::{
    data::Data,
    history,
    http::{Asker, HttpHost},
    plugins::plugin,
};

/// The metrics by their names with labels.
fn metrics(host: &HttpHost, asker: &Asker) -> BTreeMap<String, f64> {
    let reply = host.ask(asker, "GET", "/metrics", None);
    assert_eq!(reply.status, 200, "{reply:#?}");
    assert!(reply.headers["content-type"].starts_with("application/openmetrics-text"), "{reply:#?}");
    assert!(reply.body.ends_with("# EOF\n"), "{}", reply.body);
    let values = reply.body.lines().filter(|line| !line.starts_with('#'));
    values
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

/// Asserts that the state is this one and no other, and that nothing is complete that is not.
#[track_caller]
fn is_in(state: &str, found: &BTreeMap<String, f64>) {
    let of = |state: &str| format!("unspool_projection_status{{projection=\"faulty\",status=\"{state}\"}}");
    let states: Vec<_> = found.iter().filter(|(name, _)| name.starts_with("unspool_projection_status{")).collect();
    assert_eq!(states.iter().map(|(_, value)| **value).sum::<f64>(), 1.0, "{states:?}");
    assert_eq!(found.get(&of(state)), Some(&1.0), "{states:?}");
    let ratio = found.get("unspool_rebuild_progress_ratio{projection=\"faulty\"}");
    assert_eq!(ratio == Some(&1.0), state == "completed", "{ratio:?}");
    // What is not known is not there.
    let left = found.contains_key("unspool_rebuild_remaining_seconds{projection=\"faulty\"}");
    assert!(state == "running" || !left, "{state}");
}

#[test]
fn one_state_is_1_and_complete_is_what_is_complete() {
    let data = Data::new(BINARY);
    data.import(&data.file("mixed.ndjson", history::mixed(3_000, &[(2_000, "Error")])));
    data.install(&plugin("faulty"));
    let host = HttpHost::start(&data, &["--listen-metrics", "127.0.0.1:0"]);
    let asker = Asker::token(&data, "prometheus", "viewer", "none");
    assert_eq!(host.ask(&Asker::default(), "GET", "/metrics", None).status, 401);
    is_in("absent", &metrics(&host, &asker));
    data.ok(["rebuild", "faulty", "--detach", "--rate-limit", "200", "--chunk-size", "10"]);
    is_in("running", &metrics(&host, &asker));
    data.ok(["pause", "faulty"]);
    is_in("paused", &metrics(&host, &asker));
    data.ok(["cancel", "faulty"]);
    is_in("cancelled", &metrics(&host, &asker));
    data.ok(["rebuild", "faulty", "--restart", "--detach"]);
    data.wait_for("faulty", |status| status["status"] == "failed");
    is_in("failed", &metrics(&host, &asker));
    data.ok(["rebuild", "faulty", "--restart", "--on-error", "park", "--allow-parked"]);
    data.ok(["model", "verify", "faulty"]);
    let found = metrics(&host, &asker);
    is_in("completed", &found);
    let one = |name: &str| found.get(&format!("{name}{{projection=\"faulty\"}}")).copied();
    assert!(
        one("unspool_dead_letters") > Some(0.0) && one("unspool_verify_last_differences") == Some(0.0),
        "{found:#?}"
    );
    // A page of WebAssembly's memory has 64 KiB, and an instance may have 64 MiB.
    let memory = one("unspool_plugin_memory_peak_bytes").unwrap();
    assert!((65_536.0..=67_108_864.0).contains(&memory), "{memory}");
    assert!(found["unspool_activity_entries_total"] > 5.0 && found["unspool_disk_free_bytes"] > 0.0, "{found:#?}");
    assert_eq!(found["unspool_http_requests_total{method=\"GET\",code=\"401\"}"], 1.0, "{found:#?}");
}

fn ops() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/ops")
}

/// The words of expressions that are names of our metrics.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("unspool_")).map(str::to_owned).collect()
}

#[test]
fn what_rules_and_board_name_is_there() {
    let code =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src/http/metrics.rs")).unwrap();
    let written = named(&code);
    for file in ["unspool.rules.yml", "grafana.json"] {
        let used = named(&std::fs::read_to_string(ops().join(file)).unwrap());
        assert!(used.len() > 5, "{used:?}");
        for name in used {
            // A counter is written with this at its end.
            assert!(written.contains(name.trim_end_matches("_total")), "{file} names {name}, which there is not");
        }
    }
}

#[test]
fn the_rules_do_what_their_tests_say() {
    let tool = unspool_tests::needs::installed("promtool", "prometheus");
    let output =
        Command::new(tool).args(["test", "rules", "unspool.rules.test.yml"]).current_dir(ops()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("SUCCESS"), "{said}");
}
