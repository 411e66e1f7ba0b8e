//! Plugins that mean harm. Each ends as a failure that says what it is, and the engine goes on with the others.

use super::super::wit::WIT;
use super::guest::{self, Rows, chunk, component, description, module, never};
use super::*;

/// One engine, and a plugin that keeps to the rules.
struct Host {
    engine: Engine,
    good: Plugin,
    _dir: tempfile::TempDir,
}

impl Host {
    fn new() -> Host {
        let dir = tempfile::tempdir().unwrap();
        let engine = guest::engine(dir.path());
        let good = engine.load(&guest(guest::RETURN, &[PUT])).unwrap();
        Host { engine, good, _dir: dir }
    }

    #[track_caller]
    fn goes_on(&self) {
        assert_eq!(self.good.handle(&chunk(2), Rows::default(), &never()).unwrap().writes.len(), 1);
    }

    /// The plugin whose module is `text`, refused when it is loaded.
    #[track_caller]
    fn refuses(&self, what: &str, text: &str, expected: &[&str]) {
        let refused = match self.engine.load(&component(WIT, text)) {
            Ok(_) => panic!("{what} was loaded"),
            Err(refused) => refused.to_string(),
        };
        assert!(expected.iter().any(|words| refused.contains(words)), "{what}: {refused}");
        self.goes_on();
    }

    /// How a call of the plugin fails whose module is `text`.
    #[track_caller]
    fn fails(&self, what: &str, text: &str, events: u32) -> EventFailure {
        let plugin = self.engine.load(&component(WIT, text)).unwrap_or_else(|e| panic!("{what}: {e}"));
        let failure = match plugin.handle(&chunk(events), Rows::default(), &never()) {
            Err(CallError::Failed(failure)) => failure,
            other => panic!("{what}: {other:?}"),
        };
        assert!(!failure.transient, "{what}: {failure}");
        assert!(failure.message.len() <= limits::MESSAGE_BYTES + 256, "{what}: {} bytes", failure.message.len());
        assert!(!failure.message.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{what}: {failure}");
        self.goes_on();
        failure
    }

    /// How a call fails that returns `frame` as its writes.
    #[track_caller]
    fn fails_with(&self, what: &str, frame: &[u8]) -> EventFailure {
        let failure = self.fails(what, &returning(frame), 3);
        assert_eq!(failure.kind, FailureKind::BadOutput, "{what}: {failure}");
        failure
    }
}

fn returning(frame: &[u8]) -> String {
    // The frame is written over what follows it; the heap comes after all of it.
    module(guest::RETURN, &description().encode(), frame).replace("(i32.const 65536))\n", "(i32.const 3000000))\n")
}

fn with_body(body: &str) -> String {
    module(body, &description().encode(), &[])
}

/// A write of a document, encoded.
fn put(table: &[u8], key: &[u8], document: &[u8]) -> Vec<u8> {
    let string = |bytes: &[u8]| [&[0xd9, bytes.len() as u8], bytes].concat();
    let document = [&[0xc6], (document.len() as u32).to_be_bytes().as_slice(), document].concat();
    [vec![0x91, 0x93], string(table), string(key), document].concat()
}

#[test]
fn memories_and_tables_that_no_instance_may_have_are_refused() {
    let host = Host::new();
    let with_memory = |memory: &str| with_body(guest::RETURN).replace("(memory (export \"memory\") 64)", memory);
    let too_large = ["memory", "table", "limit"];
    host.refuses("125 MiB at once", &with_memory("(memory (export \"memory\") 2000)"), &["125.0 MiB"]);
    host.refuses("4 GiB at once", &with_memory("(memory (export \"memory\") 65536)"), &too_large);
    let tables =
        |elements: u64| with_body(guest::RETURN).replacen("(global", &format!("(table {elements} funcref) (global"), 1);
    host.refuses("a table of 10 million", &tables(10_000_000), &too_large);
    host.refuses("a table of 4 billion", &tables(u64::from(u32::MAX)), &too_large);
    let many = "(table 1000 funcref) ".repeat(40);
    host.refuses("40 tables", &with_body(guest::RETURN).replacen("(global", &format!("{many} (global"), 1), &too_large);
}

#[test]
fn growing_in_small_steps_ends_at_the_same_limit() {
    let host = Host::new();
    let body = "(loop $again (br_if $again (i32.ge_s (memory.grow (i32.const 1)) (i32.const 0)))) (i32.const 64)";
    assert_eq!(host.fails("a memory", &with_body(body), 1).kind, FailureKind::Memory);
    let table = with_body("(loop $again (br_if $again (i32.ge_s (table.grow $t (ref.null func) (i32.const 1000)) (i32.const 0)))) (i32.const 64)")
        .replacen("(global", "(table $t 0 funcref) (global", 1);
    assert_eq!(host.fails("a table", &table, 1).kind, FailureKind::Memory);
}

#[test]
fn a_write_frame_cut_anywhere_is_refused() {
    let host = Host::new();
    let frame = put(b"totals", b"a", &[1]);
    // One byte is kept for each event of the chunk; none at all is a frame without writes.
    let body = "(i32.store (i32.const 72) (i32.and (i32.load8_u (local.get $chunk)) (i32.const 15))) (i32.const 64)";
    let text = module(body, &description().encode(), &frame);
    assert!(frame.len() > 15);
    for kept in 1..15 {
        let failure = host.fails("a cut frame", &text, kept);
        assert_eq!(failure.kind, FailureKind::BadOutput);
        assert!(failure.message.contains("write frame is broken"), "{kept}: {}", failure.message);
    }
}

#[test]
fn write_frames_that_lie_about_their_length_are_refused() {
    let host = Host::new();
    let one = put(b"totals", b"a", &[1]);
    host.fails_with("more writes than there are", &[&[0xdd, 0xff, 0xff, 0xff, 0xff], &one[1..]].concat());
    host.fails_with("fewer writes than there are", &[&[0x90], &one[1..]].concat());
    host.fails_with("bytes after the last write", &[&one[..], &[0xc0]].concat());
    host.fails_with("a string longer than the frame", b"\x91\x93\xdb\xff\xff\xff\xff");
    host.fails_with("a document longer than the frame", b"\x91\x93\xa6totals\xa1a\xc6\xff\xff\xff\xff\x01");
    host.fails_with("no array", b"\x81\xa1a\x01");
    host.fails_with("a write of two elements", b"\x91\x92\xa6totals\xa1a");
    host.fails_with(
        "a write with a nest after it",
        &[b"\x91\x94\xa6totals\xa1a\xc0".as_slice(), &[0x91; 60_000]].concat(),
    );
}

#[test]
fn names_that_are_none_are_refused() {
    let host = Host::new();
    for (what, table, key) in [
        ("a table that is not UTF-8", b"\xff\xfe".as_slice(), b"a".as_slice()),
        ("a key that is not UTF-8", b"totals", b"\xc3\x28"),
        ("a key with half a surrogate", b"totals", b"\xed\xa0\x80"),
        ("no table", b"", b"a"),
        ("a path out of its table", b"../orders", b"a"),
        ("a table of the store's own", b"rows/orders/1/totals", b"a"),
        ("a table that takes over a terminal", b"\x1b]0;owned\x07", b"a"),
        ("a name in another case", b"TOTALS", b"a"),
        ("a name with more after it", b"totals\0", b"a"),
    ] {
        host.fails_with(what, &put(table, key, &[1]));
    }
}

#[test]
fn documents_that_would_hurt_their_readers_are_refused() {
    let host = Host::new();
    let nested = |levels: usize| [vec![0x91; levels], vec![0xc0]].concat();
    let document = |what: &str, document: &[u8]| {
        let failure = host.fails_with(what, &put(b"totals", b"a", document));
        assert!(failure.message.contains("unacceptable document"), "{what}: {failure}");
    };
    document("one level too many", &nested(limits::DOCUMENT_DEPTH + 1));
    document("a nest of 100,000 levels", &nested(100_000));
    document("a map that claims four billion entries", b"\xdf\xff\xff\xff\xff");
    document("an array that claims four billion elements", b"\xdd\xff\xff\xff\xff");
    document("a string that is not UTF-8", b"\xa1\xff");
    document("two documents", &[1, 2]);
    document("a document without its end", b"\x92\x01");
    let deepest = host.engine.load(&component(WIT, &returning(&put(b"totals", b"a", &nested(limits::DOCUMENT_DEPTH)))));
    assert_eq!(deepest.unwrap().handle(&chunk(3), Rows::default(), &never()).unwrap().writes.len(), 1);
}

#[test]
fn an_outcome_longer_than_a_call_may_pass_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions { memory_bytes: 256 << 20, ..EngineOptions::new(dir.path()) };
    let engine = Engine::new(options).unwrap();
    let beyond = limits::GUEST_OUTPUT_BYTES + 1;
    let body =
        format!("(drop (memory.grow (i32.const 1500))) (i32.store (i32.const 72) (i32.const {beyond})) (i32.const 64)");
    let plugin = engine.load(&guest(&body, &[])).unwrap();
    let Err(CallError::Failed(failure)) = plugin.handle(&chunk(1), Rows::default(), &never()) else { panic!() };
    assert_eq!((failure.kind, failure.transient), (FailureKind::BadOutput, false), "{failure}");
}

#[test]
fn failures_without_measure_are_cut() {
    let host = Host::new();
    // The message is two MiB of what stands in memory; there are 60,000 details.
    let failing = |message: &str, details: &str| {
        with_body(&format!(
            "(call $outcome (i32.const 0) (i32.const 1))
            (i32.store (i32.const 80) (i32.const 0)) (i32.store (i32.const 84) (i32.const 0))
            {message} {details} (i32.const 64)"
        ))
    };
    let no_message = "(i32.store (i32.const 88) (i32.const 0)) (i32.store (i32.const 92) (i32.const 0))";
    let no_details = "(i32.store (i32.const 96) (i32.const 0)) (i32.store (i32.const 100) (i32.const 0))";
    let long = "(memory.fill (i32.const 1000000) (i32.const 7) (i32.const 2000000))
        (i32.store (i32.const 88) (i32.const 1000000)) (i32.store (i32.const 92) (i32.const 2000000))";
    let many = "(memory.fill (i32.const 1000000) (i32.const 0) (i32.const 960000))
        (i32.store (i32.const 96) (i32.const 1000000)) (i32.store (i32.const 100) (i32.const 60000))";
    let garbage = "(memory.fill (i32.const 1000000) (i32.const 255) (i32.const 100))
        (i32.store (i32.const 88) (i32.const 1000000)) (i32.store (i32.const 92) (i32.const 100))";
    for (what, text) in [("long", failing(long, no_details)), ("many", failing(no_message, many))] {
        let plugin = host.engine.load(&component(WIT, &text)).unwrap();
        let failure = plugin.handle(&chunk(1), Rows::default(), &never()).unwrap().failure.unwrap();
        assert!(failure.message.len() <= limits::MESSAGE_BYTES * 3 + 3, "{what}: {} bytes", failure.message.len());
        assert!(failure.details.len() <= 32, "{what}: {} details", failure.details.len());
        assert!(!failure.message.contains('\u{7}'), "{what}");
        host.goes_on();
    }
    assert_eq!(host.fails("not UTF-8", &failing(garbage, no_details), 1).kind, FailureKind::BadOutput);
}

#[test]
fn an_allocator_that_gives_what_it_has_not_is_the_plugins_fault() {
    let host = Host::new();
    let allocating = |body: &str| {
        let honest = "(local.get $at))\n  (func (export \"unspool:projection/handler@1.0.0#describe\")";
        let text = with_body(guest::RETURN);
        assert!(text.contains(honest));
        text.replace(honest, &format!("{body})\n  (func (export \"unspool:projection/handler@1.0.0#describe\")"))
    };
    assert_eq!(host.fails("beyond the end", &allocating("(i32.const -8)"), 1).kind, FailureKind::BadOutput);
    assert_eq!(host.fails("a trap", &allocating("unreachable"), 1).kind, FailureKind::Trap);
    let forever = allocating("(loop $forever (br $forever)) unreachable");
    assert_eq!(host.fails("a loop", &forever, 1).kind, FailureKind::Deadline);
    let calling =
        allocating("(call $log (i32.const 133) (i32.const 4) (i32.const 137) (i32.const 10)) (local.get $at)");
    host.fails("a call of the host while it waits", &calling, 1);
}

#[test]
fn what_is_passed_to_the_host_is_not_believed() {
    let host = Host::new();
    for (what, call) in [
        ("keys beyond the end", "(call $get (i32.const 166) (i32.const 6) (i32.const -16) (i32.const 9) (i32.const 256))"),
        ("keys without number", "(call $get (i32.const 166) (i32.const 6) (i32.const 0) (i32.const -1) (i32.const 256))"),
        ("an answer beyond the end", "(call $get (i32.const 166) (i32.const 6) (i32.const 0) (i32.const 0) (i32.const -8))"),
        ("an answer at an odd place", "(call $get (i32.const 166) (i32.const 6) (i32.const 0) (i32.const 0) (i32.const 257))"),
        ("a table beyond the end", "(call $get (i32.const -1) (i32.const 6) (i32.const 0) (i32.const 0) (i32.const 256))"),
        ("a message without end", "(call $log (i32.const 133) (i32.const 4) (i32.const 0) (i32.const -1))"),
        (
            "a message that is not UTF-8",
            "(i32.store (i32.const 256) (i32.const -1)) (call $log (i32.const 133) (i32.const 4) (i32.const 256) (i32.const 4))",
        ),
        (
            "messages without number",
            "(memory.fill (i32.const 1000000) (i32.const 32) (i32.const 3000000))
            (loop $again (call $log (i32.const 133) (i32.const 4) (i32.const 1000000) (i32.const 3000000)) (br $again))",
        ),
        (
            "a scan of a foreign table",
            "(call $scan (i32.const 172) (i32.const 7) (i32.const 166) (i32.const 1)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 256))",
        ),
    ] {
        host.fails(what, &with_body(&format!("{call} (i32.const 64)")), 1);
    }
    for (what, address) in
        [("an outcome at an odd place", "65"), ("one across the end", "4194296"), ("one beyond it", "-4")]
    {
        assert_eq!(
            host.fails(what, &with_body(&format!("(i32.const {address})")), 1).kind,
            FailureKind::BadOutput,
            "{what}"
        );
    }
}

#[test]
fn a_plugin_that_cannot_describe_itself_is_not_loaded() {
    let host = Host::new();
    let describing = |frame: &[u8]| module(guest::RETURN, frame, &[]);
    let mut frame = description().encode();
    host.refuses("nothing", &describing(&[]), &["no description"]);
    host.refuses("a frame that claims too much", &describing(b"\xdf\xff\xff\xff\xff"), &["no description"]);
    host.refuses("a nest", &describing(&[0x91; 2900]), &["no description"]);
    frame.truncate(frame.len() - 1);
    host.refuses("a cut frame", &describing(&frame), &["no description"]);
    let nothing = unspool_frame::Description { tables: Vec::new(), ..description() };
    host.refuses("no tables", &describing(&nothing.encode()), &["no tables"]);
    let path = unspool_frame::Description { name: "../orders".into(), ..description() };
    host.refuses("a path as its name", &describing(&path.encode()), &["may only have"]);
    let text = with_body(guest::RETURN);
    let body = |body: &str| text.replace("(result i32) (i32.const 16))", &format!("(result i32) {body})"));
    host.refuses("a loop", &body("(loop $forever (br $forever)) unreachable"), &["processor time"]);
    host.refuses("a trap", &body("unreachable"), &["trapped"]);
    host.refuses("a frame beyond the end", &body("(i32.const -16)"), &["not acceptable"]);
    let start =
        |body: &str| text.replacen("(func $deep", &format!("(func $begin {body}) (start $begin) (func $deep"), 1);
    host.refuses("a loop before the start", &start("(loop $forever (br $forever))"), &["processor time"]);
    host.refuses("a trap before the start", &start("unreachable"), &["trapped"]);
}
