mod guest;
mod hostile;
#[cfg(feature = "typescript")]
mod script;
mod wrapping;

use super::wit::WIT;
use super::*;
use guest::{Rows, chunk, component, description, engine, guest, module, never};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use unspool_frame::Write;
use unspool_vocabulary::limits;
use unspool_vocabulary::{EventFailure, FailureKind, Page, ReadRows, Scan};

const PUT: Write<'_> = Write { table: "totals", key: "a", document: Some(&[0x01]) };

fn run(body: &str, writes: &[Write<'_>]) -> Result<Outcome, CallError> {
    let dir = tempfile::tempdir().unwrap();
    let plugin = engine(dir.path()).load(&guest(body, writes)).unwrap();
    plugin.handle(&chunk(3), Rows::default(), &never())
}

fn failure(body: &str, writes: &[Write<'_>]) -> EventFailure {
    match run(body, writes) {
        Err(CallError::Failed(failure)) => {
            assert!(!failure.transient);
            assert!(failure.plugin_digest.is_some());
            failure
        }
        other => panic!("{other:?}"),
    }
}

fn refusal(bytes: &[u8]) -> String {
    check(bytes).unwrap_err().to_string()
}

mod world_check {
    use super::*;

    #[test]
    fn says_what_the_bytes_are_instead_of_a_component() {
        assert!(refusal(b"").contains("not a WebAssembly file"));
        assert!(refusal(b"(component)").contains("not a WebAssembly file"));
        assert!(refusal(b"\0asm\x01\0\0\0").contains("unspool plugin wrap"));
        assert!(refusal(b"\0asm\x0d\0\x01\0garbage").contains("not a valid component"));
    }

    #[test]
    fn accepts_a_component_that_uses_all_or_part_of_the_world() {
        check(&guest(guest::RETURN, &[])).unwrap();
    }

    #[test]
    fn names_a_missing_export() {
        let nothing = component("package a:b; world projection {}", "(module)");
        assert!(refusal(&nothing).contains("missing: the export unspool:projection/handler@1.0.0"));
    }

    #[test]
    fn names_an_import_of_wasi_and_the_remedy() {
        let wit = format!(
            "{}\npackage wasi:cli@0.2.9 {{ interface environment {{ get: func(); }} }}",
            WIT.replace("import logger;", "import logger; import wasi:cli/environment@0.2.9;")
        );
        let text = module(guest::RETURN, &description().encode(), &[]).replacen(
            "(import",
            r#"(import "wasi:cli/environment@0.2.9" "get" (func)) (import"#,
            1,
        );
        let message = refusal(&component(&wit, &text));
        assert!(message.contains("unknown: the import wasi:cli/environment@0.2.9"), "{message}");
        assert!(message.contains("build Rust with `unspool plugin build`"), "{message}");
    }

    #[test]
    fn names_both_versions_of_our_own_interfaces() {
        let text = module(guest::RETURN, &[], &[]).replace("@1.0.0", "@2.0.0");
        let message = refusal(&component(&WIT.replace("@1.0.0", "@2.0.0"), &text));
        assert!(
            message
                .contains("unspool:projection/handler@2.0.0, where this host speaks unspool:projection/handler@1.0.0")
        );
        assert!(message.contains("unspool:projection/logger@2.0.0"), "{message}");
    }

    #[test]
    fn shows_a_function_of_another_shape_and_one_that_is_missing() {
        let wit = WIT.replace("handled: u32", "handled: u64").replace("describe: func", "describes: func");
        let text = module(guest::RETURN, &[], &[]).replace("#describe", "#describes");
        let message = refusal(&component(&wit, &text));
        assert!(message.contains("handled: u64"), "{message}");
        assert!(message.contains("handled: u32"), "{message}");
        assert!(message.contains("missing: describe in the export unspool:projection/handler@1.0.0"), "{message}");
    }
}

mod calls {
    use super::*;

    #[test]
    fn an_outcome_has_its_writes_with_tables_resolved() {
        let delete = Write { table: "orders", key: "b", document: None };
        let outcome = run(guest::RETURN, &[PUT, delete]).unwrap();
        assert_eq!((outcome.handled, outcome.failure), (3, None));
        let put = RowWrite { table: 1, key: "a".into(), document: Some(vec![1].into()) };
        assert_eq!(outcome.writes, [put, RowWrite { table: 0, key: "b".into(), document: None }]);
    }

    #[test]
    fn a_failure_names_the_event_after_the_handled_ones_and_what_the_plugin_said() {
        let body = "(call $outcome (i32.const 1) (i32.const 1))
            (i32.store (i32.const 80) (i32.const 0)) (i32.store (i32.const 84) (i32.const 0))
            (i32.store (i32.const 88) (i32.const 137)) (i32.store (i32.const 92) (i32.const 28))
            (i32.const 64)";
        let outcome = run(body, &[PUT]).unwrap();
        assert_eq!((outcome.handled, outcome.writes.len()), (1, 1));
        let failure = outcome.failure.unwrap();
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Handler, "src/lib.rs:7:5: no such orde"));
        assert!(!failure.transient && failure.plugin_digest.is_some());
    }

    #[test]
    fn every_chunk_meets_a_fresh_instance() {
        let dir = tempfile::tempdir().unwrap();
        // Traps when its global, or a byte of its memory, remembers an earlier call.
        let body = "(if (i32.ne (global.get $calls) (i32.const 1)) (then unreachable))
            (if (i32.load (i32.const 3000000)) (then unreachable))
            (i32.store (i32.const 3000000) (i32.const 1))
            (i32.const 64)";
        let plugin = engine(dir.path()).load(&guest(body, &[])).unwrap();
        for _ in 0..50 {
            assert_eq!(plugin.handle(&chunk(2), Rows::default(), &never()).unwrap().handled, 2);
        }
    }

    #[test]
    fn get_many_and_scan_answer_from_the_rows() {
        // get-many("orders", ["/", "orders"]), then scan("orders", "o", none, 5): leaves 1 in `handled` when the
        // answers are [none, some([7])] and one row.
        let body = "(i32.store (i32.const 256) (i32.const 185)) (i32.store (i32.const 260) (i32.const 1))
            (i32.store (i32.const 264) (i32.const 166)) (i32.store (i32.const 268) (i32.const 6))
            (call $get (i32.const 166) (i32.const 6) (i32.const 256) (i32.const 2) (i32.const 272))
            (if (i32.ne (i32.load (i32.const 276)) (i32.const 2)) (then unreachable))
            (if (i32.load8_u (i32.load (i32.const 272))) (then unreachable))
            (if (i32.ne (i32.load8_u offset=12 (i32.load (i32.const 272))) (i32.const 1)) (then unreachable))
            (if (i32.ne (i32.load8_u (i32.load offset=16 (i32.load (i32.const 272)))) (i32.const 7)) (then unreachable))
            (call $scan (i32.const 166) (i32.const 6) (i32.const 166) (i32.const 1)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 280))
            (if (i32.ne (i32.load (i32.const 284)) (i32.const 1)) (then unreachable))
            (i32.const 64)";
        let dir = tempfile::tempdir().unwrap();
        let plugin = engine(dir.path()).load(&guest(body, &[])).unwrap();
        let rows = Rows([((0, "orders".to_owned()), vec![7]), ((1, "other".to_owned()), vec![8])].into());
        assert_eq!(plugin.handle(&chunk(1), rows, &never()).unwrap().handled, 1);
    }

    #[test]
    fn a_failing_store_ends_the_call_as_it_says() {
        struct Broken;
        impl ReadRows for Broken {
            type Error = EventFailure;
            fn get_many(&self, _: usize, _: &[&str]) -> Result<Vec<Option<bytes::Bytes>>, EventFailure> {
                Err(EventFailure::transient(FailureKind::Store, "disk gone"))
            }
            fn scan(&self, _: usize, _: Scan<'_>) -> Result<Page, EventFailure> {
                Ok(Page::new())
            }
        }
        let body = "(i32.store (i32.const 256) (i32.const 185)) (i32.store (i32.const 260) (i32.const 1))
            (call $get (i32.const 166) (i32.const 6) (i32.const 256) (i32.const 1) (i32.const 272)) (i32.const 64)";
        let dir = tempfile::tempdir().unwrap();
        let plugin = engine(dir.path()).load(&guest(body, &[])).unwrap();
        let Err(CallError::Failed(failure)) = plugin.handle(&chunk(1), Broken, &never()) else { panic!() };
        assert!(failure.transient);
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Store, "disk gone"));
    }

    #[test]
    fn log_lines_beyond_the_bound_are_counted_not_shown() {
        let shown = Arc::new(AtomicUsize::new(0));
        let subscriber = Counting(Arc::clone(&shown));
        let body = "
            (loop $again
                (call $log (i32.const 133) (i32.const 4) (i32.const 137) (i32.const 10))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $i) (i32.const 1000))))
            (i32.const 64)";
        tracing::subscriber::with_default(subscriber, || run(body, &[])).unwrap();
        assert_eq!(shown.load(Ordering::Relaxed), limits::LOG_LINES_PER_CHUNK + 1);
    }

    struct Counting(Arc<AtomicUsize>);

    impl tracing::Subscriber for Counting {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            metadata.target() == "plugin"
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, _: &tracing::Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }
}

mod misbehaviour {
    use super::*;

    #[test]
    fn a_panic_is_reported_in_its_own_words_with_the_call_stack() {
        let body = "(call $log (i32.const 128) (i32.const 5) (i32.const 137) (i32.const 29)) unreachable";
        let failure = failure(body, &[]);
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Trap, "src/lib.rs:7:5: no such order"));
        assert_eq!(failure.backtrace, ["handle"]);
    }

    #[test]
    fn a_trap_without_words_names_the_instruction() {
        let failure = failure("(i32.div_u (i32.const 1) (i32.const 0))", &[]);
        assert_eq!(failure.kind, FailureKind::Trap);
        assert_eq!(failure.message, "the handler trapped: integer divide by zero");
    }

    #[test]
    fn a_loop_ends_when_its_processor_time_is_used_up() {
        let start = Instant::now();
        let failure = failure("(loop $forever (br $forever)) unreachable", &[]);
        assert_eq!(failure.kind, FailureKind::Deadline);
        assert!(failure.message.contains("100 ms"), "{}", failure.message);
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn asking_for_too_much_memory_names_both_sizes() {
        let failure = failure("(drop (memory.grow (i32.const 2000))) (i32.const 64)", &[]);
        assert_eq!(failure.kind, FailureKind::Memory);
        assert!(failure.message.contains("129.0 MiB"), "{}", failure.message);
        assert!(failure.message.contains("64.0 MiB"), "{}", failure.message);
        assert_eq!(failure.backtrace, ["handle"]);
    }

    #[test]
    fn recursion_ends_inside_the_stack() {
        let failure = failure("(drop (call $deep (i32.const 0))) (i32.const 64)", &[]);
        assert_eq!(failure.kind, FailureKind::Stack);
        assert_eq!(failure.backtrace.len(), 20);
        assert_eq!(failure.backtrace[0], "deep");
    }

    #[test]
    fn outcomes_that_do_not_add_up_are_refused() {
        let cases = [
            (
                "(call $outcome (i32.const 2) (i32.const 0)) (i32.const 64)",
                "handled 2 of 3 events and named no failure",
            ),
            ("(call $outcome (i32.const 4) (i32.const 0)) (i32.const 64)", "handled 4 of 3"),
            ("(call $outcome (i32.const 3) (i32.const 1)) (i32.const 64)", "names a failure but handled 3 of 3"),
            ("(i32.const 0x7ffffff0)", "not acceptable"),
            ("(i32.store (i32.const 72) (i32.const -1)) (i32.const 64)", "not acceptable"),
            ("(i32.store8 (i32.const 76) (i32.const 9)) (i32.const 64)", "not acceptable"),
            ("(i32.store (i32.const 72) (i32.const 3)) (i32.const 64)", "write frame is broken"),
        ];
        for (body, expected) in cases {
            let failure = failure(body, &[PUT]);
            assert_eq!(failure.kind, FailureKind::BadOutput);
            assert!(failure.message.contains(expected), "{}", failure.message);
        }
    }

    #[test]
    fn writes_that_are_not_acceptable_are_named() {
        let long = "k".repeat(limits::NAME_BYTES + 1);
        let cases = [
            (Write { table: "secrets", ..PUT }, "the write to secrets/a is to a table that describe does not name"),
            (Write { key: "", ..PUT }, "the write to totals/ has an empty key"),
            (Write { key: &long, ..PUT }, "has a key of 4097 bytes; 4096 are allowed"),
            (Write { document: Some(&[0xc1]), ..PUT }, "the write to totals/a has an unacceptable document"),
            (Write { document: Some(&[]), ..PUT }, "the write to totals/a has an unacceptable document"),
        ];
        for (write, expected) in cases {
            let failure = failure(guest::RETURN, &[PUT, write]);
            assert_eq!(failure.kind, FailureKind::BadOutput);
            assert!(failure.message.contains(expected), "{}", failure.message);
        }
    }

    #[test]
    fn reading_a_table_that_describe_does_not_name_is_refused() {
        let body =
            "(call $get (i32.const 172) (i32.const 7) (i32.const 0) (i32.const 0) (i32.const 256)) (i32.const 64)";
        let failure = failure(body, &[]);
        assert_eq!(failure.kind, FailureKind::BadOutput);
        assert_eq!(failure.message, "the plugin reads table \"secrets\", which describe does not name");
    }

    #[test]
    fn asking_for_more_keys_than_one_answer_may_have_is_refused() {
        let body = "(memory.fill (i32.const 65536) (i32.const 0) (i32.const 524296))
            (call $get (i32.const 166) (i32.const 6) (i32.const 65536) (i32.const 65537) (i32.const 256)) (i32.const 64)";
        assert!(failure(body, &[]).message.contains("65537 keys"));
    }

    #[test]
    fn a_raised_flag_stops_a_loop_at_once_and_blames_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::new(EngineOptions::new(dir.path())).unwrap();
        let plugin = engine.load(&guest("(loop $forever (br $forever)) unreachable", &[])).unwrap();
        let stop = never();
        let raised = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                std::thread::sleep(Duration::from_millis(50));
                stop.store(true, Ordering::Relaxed);
            }
        });
        let start = Instant::now();
        let ended = plugin.handle(&chunk(1), Rows::default(), &stop);
        assert!(matches!(ended, Err(CallError::Stopped)), "{ended:?}");
        assert!(start.elapsed() < limits::GUEST_CPU_TIME);
        raised.join().unwrap();
        let again = plugin.handle(&chunk(1), Rows::default(), &stop);
        assert!(matches!(again, Err(CallError::Stopped)), "{again:?}");
    }

    #[test]
    fn a_plugin_that_misdescribes_itself_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine(dir.path());
        let load = |frame: &[u8]| engine.load(&component(WIT, &module(guest::RETURN, frame, &[]))).unwrap_err();
        assert!(matches!(load(&[0xc0]), PluginError::NoDescription(_)));
        let nameless = unspool_vocabulary::Description { name: String::new(), ..description() };
        assert!(load(&nameless.encode()).to_string().contains("the projection's name is empty"));
        assert_eq!(compiled(dir.path()).len(), 0);
    }
}

fn compiled(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "compiled")).collect()
}

mod compiled_cache {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// Whether loading `bytes` leaves the one file of `dir` as it is, that is, comes from the cache.
    fn is_cached(engine: &Engine, dir: &std::path::Path, bytes: &[u8]) -> bool {
        let file = compiled(dir).pop().unwrap();
        let before = std::fs::metadata(&file).unwrap();
        let plugin = engine.load(bytes).unwrap();
        assert_eq!(plugin.handle(&chunk(1), Rows::default(), &never()).unwrap().writes.len(), 1);
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(&file).unwrap().ino() == before.ino()
    }

    #[test]
    fn another_host_over_the_same_directory_need_not_compile() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = guest(guest::RETURN, &[PUT]);
        let first = engine(dir.path()).load(&bytes).unwrap();
        assert!(is_cached(&engine(dir.path()), dir.path(), &bytes));
        let second = engine(dir.path()).load(&bytes).unwrap();
        assert_eq!((first.digest(), first.description()), (second.digest(), second.description()));
    }

    #[test]
    fn a_damaged_file_is_made_again_whatever_byte_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = guest(guest::RETURN, &[PUT]);
        let engine = engine(dir.path());
        engine.load(&bytes).unwrap();
        let file = compiled(dir.path()).pop().unwrap();
        let good = std::fs::read(&file).unwrap();
        for at in [0, 31, 32, 40, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&file, bad).unwrap();
            assert!(!is_cached(&engine, dir.path(), &bytes), "byte {at}");
        }
        for len in [0, 31, 32, 35, good.len() - 1] {
            std::fs::write(&file, &good[..len]).unwrap();
            assert!(!is_cached(&engine, dir.path(), &bytes), "cut at {len}");
        }
        assert!(is_cached(&engine, dir.path(), &bytes));
    }

    #[test]
    fn a_file_made_with_another_key_or_for_another_plugin_is_not_loaded() {
        let (ours, foreign) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (bytes, others) = (guest(guest::RETURN, &[PUT]), guest(guest::RETURN, &[]));
        let engine = engine(ours.path());
        engine.load(&bytes).unwrap();
        let file = compiled(ours.path()).pop().unwrap();
        guest::engine(foreign.path()).load(&bytes).unwrap();
        std::fs::copy(compiled(foreign.path()).pop().unwrap(), &file).unwrap();
        assert!(!is_cached(&engine, ours.path(), &bytes));
        engine.load(&others).unwrap();
        let other = compiled(ours.path()).into_iter().find(|path| *path != file).unwrap();
        std::fs::rename(other, &file).unwrap();
        assert!(!is_cached(&engine, ours.path(), &bytes));
    }

    #[test]
    fn the_key_is_its_owners_alone_and_a_directory_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("cache");
        // The directory is made with the first plugin that is loaded.
        drop(engine(&inner).load(&guest(guest::RETURN, &[])).unwrap());
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&inner), mode(&inner.join("key"))), (0o700, 0o600));
        std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o777)).unwrap();
        let refused = engine(&inner).load(&guest(guest::RETURN, &[])).unwrap_err().to_string();
        assert!(refused.contains("chmod go-w"), "{refused}");
    }

    /// Whoever may write the key may make any code authentic; what stands beside it is at worst compiled again.
    #[test]
    fn a_key_that_others_may_write_is_refused_and_a_compiled_plugin_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("cache");
        let bytes = guest(guest::RETURN, &[PUT]);
        engine(&inner).load(&bytes).unwrap();
        let open_to_all = |path: &std::path::Path| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap();
        };
        open_to_all(&compiled(&inner).pop().unwrap());
        assert!(!is_cached(&engine(&inner), &inner, &bytes), "others may have written it");
        assert!(is_cached(&engine(&inner), &inner, &bytes), "it is its owner's alone again");
        let key = inner.join("key");
        open_to_all(&key);
        let refused = engine(&inner).load(&bytes).unwrap_err().to_string();
        assert!(refused.contains("chmod go-w") && refused.contains("key"), "{refused}");
        std::fs::remove_file(&key).unwrap();
        std::os::unix::fs::symlink("/nowhere", &key).unwrap();
        let refused = engine(&inner).load(&bytes).unwrap_err().to_string();
        assert!(refused.contains("symbolic link"), "{refused}");
    }
}

#[test]
fn the_clock_ends_with_the_last_plugin() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = engine(dir.path()).load(&guest("(loop $forever (br $forever)) unreachable", &[])).unwrap();
    // The engine is gone; the plugin's calls still end.
    assert!(plugin.handle(&chunk(1), Rows::default(), &Arc::new(AtomicBool::new(false))).is_err());
}

#[test]
fn an_instance_cannot_be_given_more_than_the_ceiling() {
    let options =
        EngineOptions { memory_bytes: limits::GUEST_MEMORY_CEILING_BYTES + 1, ..EngineOptions::new("/nowhere") };
    assert!(matches!(Engine::new(options), Err(PluginError::MemoryCeiling(_))));
}
