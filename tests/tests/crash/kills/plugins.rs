//! Installing and swapping plugins.

use super::*;

#[test]
fn a_plugin_is_installed_or_not_and_a_data_directory_made_or_not() {
    let _count = Count;
    let file = plugin("faulty");
    let cases = [
        // The store, then the log.
        ("file.empty:1", false),
        ("file.empty:2", false),
        ("file.tables-written:1", false),
        ("file.tables-written:2", false),
        ("file.made:1", false),
        ("file.made:2", false),
        // The key, then the compiled plugin.
        ("cache.draft:1", false),
        ("cache.draft:2", false),
        ("install.before", false),
        ("install.written", false),
        ("install.after", true),
    ];
    for (at, installed) in cases {
        let data = Data::new(BINARY);
        kill(&data, at, with_file(&["plugin", "install"], &file));
        assert_eq!(data.ok(["plugin", "list"]).lines().count(), usize::from(installed), "{at}");
        let again = data.json(with_file(&["plugin", "install"], &file));
        assert_eq!(again["status"], if installed { "already_installed" } else { "installed" }, "{at}");
        assert_eq!(data.ok(["plugin", "history", "faulty"]).lines().count(), 1, "{at}");
        data.import(&data.file("events.ndjson", history::of_types(["Fine", "Fine"])));
        assert_eq!(data.json(["rebuild", "faulty"])["status"], "completed", "{at}");
    }
}

#[test]
fn a_swap_leaves_one_plugin_or_the_other_in_place_and_a_rebuild_that_goes_on() {
    let _count = Count;
    let events = vec![json!(null); 1_500];
    let whole = Data::new(BINARY);
    let lines = history::of_types(vec!["Fine"; events.len()]);
    whole.import(&whole.file("events.ndjson", lines));
    whole.install(&plugin("faulty"));
    let paused = whole.copy();
    kill(&paused, "commit.after:2", ["rebuild", "faulty", "--chunk-size", "10", "--rate-limit", "2000"]);
    let fixed = plugin_with("faulty", &["fixed"]);
    let ends = |data: &Data, at: &str| {
        data.ok(["rebuild", "faulty", "--rate-limit", "4000000"]);
        assert_eq!(data.rows("faulty/seen").len(), events.len(), "{at}");
        assert!(data.rows("faulty/seen").values().all(|row| row["count"] == 1), "{at}");
        let digest = data.digest("faulty");
        complete_with(data, "faulty", &digest);
    };
    let plugins = |data: &Data| data.ok(["plugin", "history", "faulty"]).lines().count();
    let steps = [
        ("swap.stopped", 1),
        ("install.before", 1),
        ("install.written", 1),
        ("install.after", 2),
        ("swap.installed", 2),
        ("create-generation.written", 2),
        ("create-generation.after", 2),
        ("begin-attempt.after", 2),
    ];
    for how in [&[][..], &["--restart"], &["--rewind-to", "100"]] {
        for (at, expected) in steps {
            if how.is_empty() && (at.starts_with("create") || at.starts_with("begin")) {
                continue;
            }
            let data = paused.copy();
            let swap = with_file(&[&["plugin", "swap", "faulty"], how].concat(), &fixed);
            kill(&data, at, &swap);
            assert_eq!(plugins(&data), expected, "{how:?} {at}");
            assert_eq!(status(&data, "faulty")["status"], "paused", "{how:?} {at}");
            if at == "swap.stopped" {
                // In place of doing it again: as if it had never been asked for.
                ends(&data.copy(), at);
            }
            if how.is_empty() {
                data.ok(&swap);
            }
            ends(&data, at);
            assert_eq!(plugins(&data), if how.is_empty() { 2 } else { expected }, "{how:?} {at}");
        }
    }

    // Under a rebuild that runs: it is stopped durably first, and the host dies between two steps of the swap.
    for (at, expected) in
        [("swap.stopped", 1), ("install.written", 1), ("swap.installed", 2), ("begin-attempt.after:2", 2)]
    {
        let data = whole.copy();
        let mut command = data.command(["rebuild", "faulty", "--chunk-size", "10", "--rate-limit", "1000"]);
        let mut host = command.env("UNSPOOL_CRASH_AT", at).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        data.wait_for_host();
        let seen = data.wait_for("faulty", |status| processed(status) >= 50);
        let swap = with_file(&["plugin", "swap", "faulty"], &fixed);
        assert_ne!(data.command(&swap).output().unwrap().status.code(), Some(0), "{at}");
        assert_eq!(host.wait().unwrap().signal(), Some(9), "{at}");
        KILLS.fetch_add(1, Ordering::SeqCst);
        intact(&data, at);
        let left = status(&data, "faulty");
        assert_eq!((&left["status"], plugins(&data)), (&json!("paused"), expected), "{at}");
        assert!(processed(&left) >= processed(&seen), "{at}");
        assert_eq!(data.rows_of("faulty/seen", "1").len(), processed(&left), "{at}");
        data.ok(&swap);
        ends(&data, at);
        let receipt = data.json(["model", "receipt", "faulty"]);
        assert_eq!(receipt["ranges"].as_array().unwrap().len(), 2, "{at}: {receipt:#}");
    }
}
