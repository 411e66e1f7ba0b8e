//! Data directories, imports, indexed files, backups.

use super::orders::ORDERS_BUILT;
use super::*;

/// Until its magic number is written a redb file is no redb file; whoever is killed before that must not leave a directory
/// that is refused for ever.
#[test]
fn a_data_directory_whose_making_was_killed_is_made_again() {
    let _count = Count;
    let unborn = |header: &[u8]| {
        let mut file = vec![0; 1 << 20];
        file[..header.len()].copy_from_slice(header);
        file
    };
    for (file, content) in [
        ("store.redb", unborn(&[0; 9])),
        ("log.redb", unborn(b"\0\0\0\0\0\0\0\0\0\x02\0\0\x10")),
        ("log.redb", unborn(&[])),
    ] {
        let data = Data::new(BINARY);
        data.make();
        std::fs::write(data.path().join("unspool.toml"), "").unwrap();
        std::fs::write(data.path().join(file), content).unwrap();
        assert_eq!(data.import(&data.file("one.ndjson", history::of_types(["Fine"])))["added"], 1, "{file}");
        assert_eq!(data.json(["events", "stats"])["events"], 1, "{file}");
    }
    // Where there is something to lose it is left alone.
    for content in [b"something else".to_vec(), vec![0; 100], [unborn(&[]), b"something".to_vec()].concat()] {
        let data = Data::new(BINARY);
        data.make();
        std::fs::write(data.path().join("store.redb"), &content).unwrap();
        data.run(["events", "stats"]).refused(2, &["does not belong to unspool"]);
        assert_eq!(std::fs::read(data.path().join("store.redb")).unwrap(), content);
    }
    // And at any moment of a first start.
    let (seed, mut random) = random();
    for _ in 0..kills() / 4 {
        let data = Data::new(BINARY);
        let one = data.file("one.ndjson", history::of_types(["Fine"]));
        let started = Instant::now();
        let first = data.start(with_file(&["events", "import"], &one));
        let until = Duration::from_micros(random.below(20_000));
        while started.elapsed() < until {
            std::hint::spin_loop();
        }
        first.kill();
        KILLS.fetch_add(1, Ordering::SeqCst);
        assert_eq!(data.import(&one)["read"], 1, "{until:?}, UNSPOOL_SEED={seed}");
        assert_eq!(data.json(["events", "stats"])["events"], 1, "{until:?}, UNSPOOL_SEED={seed}");
    }
}

/// Files of the release before are written anew, with checksums, when they are opened first.
#[test]
fn a_file_that_is_written_anew_is_the_old_one_or_the_new_one() {
    let _count = Count;
    for at in ["file.rewritten:1", "file.replaced:1", "file.rewritten:2", "file.replaced:2"] {
        let data = Data::new(BINARY);
        data.make();
        for name in ["store.redb", "log.redb"] {
            let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/format-1").join(format!("{name}.gz"));
            let mut old = flate2::read::GzDecoder::new(std::fs::File::open(old).unwrap());
            std::io::copy(&mut old, &mut std::fs::File::create(data.path().join(name)).unwrap()).unwrap();
        }
        kill(&data, at, ["events", "stats"]);
        assert_eq!(data.json(["events", "stats"])["events"], 40, "{at}");
        assert_eq!(data.rows("echo/rows").len(), 40, "{at}");
        intact(&data, at);
        for name in ["store.redb", "log.redb"] {
            assert!(!data.path().join(format!("{name}.draft")).exists(), "{at}");
        }
    }
}

#[test]
fn a_file_is_imported_whole_or_not_at_all() {
    let _count = Count;
    // Two rounds of 48 MiB, on top of a block that is reopened.
    let before = Data::new(BINARY);
    before.import(&before.file("before.ndjson", history::of_types(["Fine"; 100])));
    let text = "x".repeat(1 << 20);
    let mut lines = Vec::new();
    for index in 0..100 {
        let event =
            json!({ "id": format!("big{index}"), "stream": "s", "type": "Big", "timestamp": index, "data": text });
        writeln!(lines, "{event}").unwrap();
    }
    let big = before.file("big.ndjson", &lines).into_os_string();
    let import = [OsString::from("events"), "import".into(), big];
    let count = |data: &Data| data.json(["events", "stats"])["events"].as_u64().unwrap();
    for (at, there) in [
        ("import.round:1", false),
        ("import.round:2", false),
        ("import.before-commit", false),
        ("import.after-commit", true),
    ] {
        let data = Data::new(BINARY);
        data.make();
        for file in ["store.redb", "log.redb"] {
            std::fs::copy(before.path().join(file), data.path().join(file)).unwrap();
        }
        kill(&data, at, &import);
        assert_eq!(count(&data), if there { 200 } else { 100 }, "{at}");
        let (added, known) = if there { (0, 100) } else { (100, 0) };
        assert_eq!(data.json(&import), json!({ "read": 100, "added": added, "duplicates": known }), "{at}");
        assert_eq!(count(&data), 200, "{at}");
        assert_eq!(data.json(["events", "show", "e99"])["position"], 100);
        assert_eq!(data.json(["events", "show", "big99"])["position"], 200);
        intact(&data, at);
    }
}

/// What is set aside has its name once all else is in the log; before that it can be made again.
#[test]
fn bad_lines_have_their_file_behind_the_import() {
    let _count = Count;
    let bad = "hello\n";
    let lines = [history::of_types(["Fine"; 10]), bad.into()].concat();
    for at in ["import.round", "import.before-commit", "import.after-commit", "import.aside-published"] {
        let data = Data::new(BINARY);
        data.import(&data.file("none.ndjson", ""));
        let (file, aside) = (data.file("some.ndjson", &lines), data.scratch("bad.ndjson"));
        let import =
            strings(&["events", "import", file.to_str().unwrap(), "--skip-bad-lines", aside.to_str().unwrap()]);
        kill(&data, at, &import);
        let there = data.json(["events", "stats"])["events"] == 10;
        if aside.exists() {
            assert!(there, "{at}");
            data.run(&import).refused(2, &["is there already"]);
        } else {
            let (added, duplicates) = if there { (0, 10) } else { (10, 0) };
            let done = json!({ "read": 11, "added": added, "duplicates": duplicates, "skipped": 1 });
            assert_eq!(data.json(&import), done, "{at}");
        }
        assert_eq!(std::fs::read_to_string(&aside).unwrap(), bad, "{at}");
        assert_eq!(data.json(["events", "stats"])["events"], 10, "{at}");
    }
}

#[test]
fn the_index_of_a_file_is_complete_or_made_again() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    for at in [
        "file.made:1",
        "import.round",
        "import.before-commit",
        "import.after-commit",
        "file-index.draft",
        "file-index.ready",
    ] {
        let data = orders.data.copy();
        let source = format!("file:{}", data.scratch("orders.ndjson").display());
        let rebuild = ["rebuild", "order-summary", "--source", &source];
        kill(&data, at, rebuild);
        assert_eq!(data.rows("order-summary/orders"), orders.early, "{at}");
        data.ok(rebuild);
        assert_eq!(data.rows("order-summary/orders"), orders.all, "{at}");
        complete_with(&data, "order-summary", &orders.digest);
    }
}

#[test]
fn a_backup_is_complete_or_not_there() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    let data = orders.data.copy();
    data.ok(["rebuild", "order-summary"]);
    for at in ["backup.copied", "backup.draft"] {
        let copy = data.scratch(at);
        let backup = [OsString::from("store"), "backup".into(), copy.clone().into()];
        kill(&data, at, &backup);
        assert!(!copy.exists(), "{at}");
        data.ok(&backup);
        let restored = data.copy();
        std::fs::rename(&copy, restored.path().join("store.redb")).unwrap();
        assert_eq!(restored.rows("order-summary/orders"), orders.all, "{at}");
        complete_with(&restored, "order-summary", &orders.digest);
    }
    complete_with(&data, "order-summary", &orders.digest);
}
