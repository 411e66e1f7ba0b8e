//! Core modules of other compilers become plugins that behave the same everywhere, or are refused in a sentence.

use super::*;

const IMPORTS: &str = r#"
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"#;

/// Two parts of a text at 2048, as `fd_write` takes them, and what the tests look at.
const MORE: &str = r#"
  (func (export "_initialize"))
  (data (i32.const 2048) "\10\08\00\00\06\00\00\00\16\08\00\00\04\00\00\00no gr\c3\bc\c3\9fe")
  (func $is (param i64 i64) (if (i64.ne (local.get 0) (local.get 1)) (then unreachable)))"#;

/// A module as a compiler for WASI makes them, whose `handle` is `body`.
fn core(body: &str) -> Vec<u8> {
    let text = module(body, &description().encode(), &[]);
    let text =
        text.replacen("(module", &format!("(module{IMPORTS}"), 1).replacen("(memory", &format!("{MORE} (memory"), 1);
    wat::parse_str(text).unwrap()
}

fn wrapped_failure(body: &str) -> EventFailure {
    let dir = tempfile::tempdir().unwrap();
    let plugin = engine(dir.path()).load(&wrap(&core(body)).unwrap()).unwrap();
    match plugin.handle(&chunk(3), Rows::default(), &never()) {
        Err(CallError::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

fn refused(module: &str) -> String {
    wrap(&wat::parse_str(module).unwrap()).unwrap_err().to_string()
}

#[test]
fn the_adapter_is_what_its_source_gives() {
    let path = |name| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wrap").join(name);
    let assembled = wat::parse_file(path("preview1.wat")).unwrap();
    if std::env::var_os("UNSPOOL_UPDATE").is_some() {
        std::fs::write(path("preview1.wasm"), &assembled).unwrap();
    }
    assert!(std::fs::read(path("preview1.wasm")).unwrap() == assembled, "UNSPOOL_UPDATE=1 assembles preview1.wat");
}

#[test]
fn a_module_that_asks_for_wasi_becomes_a_component_of_our_world_alone() {
    let component = wrap(&core(guest::RETURN)).unwrap();
    check(&component).unwrap();
    assert_eq!(component, wrap(&core(guest::RETURN)).unwrap(), "the same bytes each time");
    let dir = tempfile::tempdir().unwrap();
    let plugin = engine(dir.path()).load(&component).unwrap();
    assert_eq!(plugin.handle(&chunk(3), Rows::default(), &never()).unwrap().handled, 3);
}

#[test]
fn an_exit_is_a_trap_with_the_last_words() {
    let failure = wrapped_failure(
        "(drop (call $fd_write (i32.const 2) (i32.const 2048) (i32.const 2) (i32.const 3000))) (call $proc_exit (i32.const 103)) unreachable",
    );
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Trap, "no grüße (exit status 103)"));
    let failure = wrapped_failure(
        "(drop (call $fd_write (i32.const 1) (i32.const 2048) (i32.const 2) (i32.const 3000))) (call $proc_exit (i32.const 0)) unreachable",
    );
    assert!(failure.message.contains("ended the plugin with exit status 0"), "{}", failure.message);
    let failure = wrapped_failure(
        "(drop (call $fd_write (i32.const 2) (i32.const 2048) (i32.const 2) (i32.const 3000))) unreachable",
    );
    assert_eq!(failure.message, "no grüße");
    let failure = wrapped_failure(
        "(drop (call $fd_write (i32.const 2) (i32.const 2048) (i32.const 2) (i32.const 3000))) (drop (i32.div_u (i32.const 1) (local.get $i))) (i32.const 64)",
    );
    assert!(failure.message.contains("divide by zero"), "{}", failure.message);
    assert!(failure.message.contains("no grüße"), "{}", failure.message);
}

#[test]
fn what_is_asked_of_the_system_has_the_same_answers_everywhere() {
    // Times, three random bytes and counts, each compared; then the memory that the logger's words were put into.
    let body = "
        (i64.store (i32.const 24) (i64.const 0x1122334455667788)) (i64.store (i32.const 32768) (i64.const 7))
        (drop (call $fd_write (i32.const 1) (i32.const 2048) (i32.const 2) (i32.const 3000)))
        (call $is (i64.load (i32.const 24)) (i64.const 0x1122334455667788)) (call $is (i64.load (i32.const 32768)) (i64.const 7))
        (call $is (i64.load32_u (i32.const 3000)) (i64.const 10))
        (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 3008))) (call $is (i64.load (i32.const 3008)) (i64.const 0))
        (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 3008)))
        (call $is (i64.load (i32.const 3008)) (i64.const 1000001000))
        (i64.store (i32.const 3128) (i64.const 5000000))
        (drop (call $poll (i32.const 3104) (i32.const 3200) (i32.const 1) (i32.const 3000)))
        (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 3008)))
        (call $is (i64.load (i32.const 3008)) (i64.const 1005002000))
        (drop (call $random (i32.const 3016) (i32.const 3)))
        (i64.store (i32.const 3024) (i64.const -1))
        (drop (call $environ (i32.const 3024) (i32.const 3028))) (call $is (i64.load (i32.const 3024)) (i64.const 0))
        (call $is (i64.extend_i32_u (call $open (i32.const 3) (i32.const 0) (i32.const 2048) (i32.const 4) (i32.const 0)
            (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 3032))) (i64.const 8))
        (call $is (i64.extend_i32_u (call $fd_write (i32.const 3) (i32.const 2048) (i32.const 2) (i32.const 3000))) (i64.const 8))
        (call $log (i32.const 128) (i32.const 5) (i32.const 3016) (i32.const 3))
        (i32.store8 (i32.const 3016) (i32.and (i32.load8_u (i32.const 3016)) (i32.const 15)))
        (i32.store (i32.const 64) (i32.const 3))
        (i32.const 64)";
    let dir = tempfile::tempdir().unwrap();
    let plugin = engine(dir.path())
        .load(
            &wrap(&core(&body.replace("(call $log (i32.const 128) (i32.const 5) (i32.const 3016) (i32.const 3))", "")))
                .unwrap(),
        )
        .unwrap();
    for _ in 0..3 {
        assert_eq!(plugin.handle(&chunk(3), Rows::default(), &never()).unwrap().handled, 3);
    }
}

#[test]
fn what_cannot_be_a_plugin_is_refused_with_the_remedy() {
    let plain = module(guest::RETURN, &description().encode(), &[]);
    let with = |more: &str| plain.replacen("(module", &format!("(module {more}"), 1);
    let cases = [
        ("(module (func (export \"_start\")))".to_owned(), "-mexec-model=reactor"),
        ("(module (memory (export \"memory\") 1))".to_owned(), "unspool_handle"),
        (plain.replace("(memory (export \"memory\") 64)", "(memory 64)"), "exports no memory"),
        (
            with(r#"(import "wasi_snapshot_preview1" "sock_accept" (func (param i32 i32 i32) (result i32)))"#),
            "has no network",
        ),
        (with(r#"(import "wasi_snapshot_preview1" "fd_sync" (func (param i32) (result i32)))"#), "no _initialize"),
        (with(r#"(import "env" "helper" (func))"#), "imports env.helper"),
        (
            with(r#"(import "wasi_snapshot_preview1" "fd_teleport" (func))"#),
            "imports wasi_snapshot_preview1.fd_teleport",
        ),
        (with(r#"(import "wasi_unstable" "fd_write" (func))"#), "wasm32-wasip1"),
        (with(r#"(import "gojs" "runtime.wasmExit" (func (param i32)))"#), "GOOS=wasip1"),
        (
            plain.replacen("(global $heap", "(global $__stack_pointer (mut i32) (i32.const 70000)) (global $heap", 1),
            "--stack-first",
        ),
        (plain.replace("#describe\"", "#describes\""), "does not export unspool:projection/handler@1.0.0#describe;"),
        (plain.replace("read-model@1.0.0", "read-model@1.1.0"), "read-model@1.1.0"),
    ];
    for (module, expected) in cases {
        let message = refused(&module);
        assert!(message.contains(expected), "{message} should say {expected}");
        assert!(!message.contains('\n'), "{message} is more than a sentence");
    }
    let component = guest(guest::RETURN, &[]);
    assert!(wrap(&component).unwrap_err().to_string().contains("already a component"));
    assert!(wrap(b"package main").unwrap_err().to_string().contains("not a WebAssembly file"));
    assert!(wrap(&wat::parse_str(&plain).unwrap()[..700]).unwrap_err().to_string().contains("not a valid core module"));
    // The data lies above the stack, as it should; the first global of a Go module is no stack pointer.
    wrap(
        &wat::parse_str(plain.replacen(
            "(global $heap (mut i32) (i32.const 65536))",
            "(global $heap (mut i32) (i32.const 0))",
            1,
        ))
        .unwrap(),
    )
    .unwrap();
}
