//! Files as people have them: arrays, several lines per event, none between them, and what is wrong with such files.

use super::*;

fn ids(content: impl Into<Vec<u8>>) -> Vec<(String, u64)> {
    let id = |event: FileEvent| match event.place {
        Place::Line(line) => (event.event.id, line),
        Place::Event(_) => panic!("a JSON file has lines"),
    };
    read(content).unwrap().into_iter().map(id).collect()
}

fn event(id: &str) -> String {
    line("").replace("e1", id)
}

fn pretty(id: &str) -> String {
    format!("{:#}", serde_json::from_str::<serde_json::Value>(&event(id)).unwrap())
}

fn message(content: impl Into<Vec<u8>>) -> String {
    read(content).unwrap_err().to_string()
}

#[test]
fn events_stand_behind_each_other_in_any_way() {
    let (a, b, c) = (event("a"), event("b"), event("c"));
    let expected = |lines: [u64; 3]| ["a", "b", "c"].map(str::to_owned).into_iter().zip(lines).collect::<Vec<_>>();
    for content in
        [format!("{a}{b}{c}"), format!("{a} {b}\t{c}\n"), format!("[{a},{b},{c}]"), format!("[{a}][{b},{c}]")]
    {
        assert_eq!(ids(content.clone()), expected([1, 1, 1]), "{content}");
    }
    for content in [
        format!("[\n{a},\n{b},{c}\n]"),
        format!("\n{a}\n{b}{c}"),
        format!("\u{1e}\n{a}\n\u{1e}{b}\u{1e}{c}\n"),
        format!("\n[{a}]\n[]{b}[{c}]\n"),
        format!("\u{feff}\r\n{a}\r\n\u{feff}{b}{c}"),
    ] {
        assert_eq!(ids(content.clone()), expected([2, 3, 3]), "{content}");
    }
    let lines = pretty("a").lines().count() as u64;
    for content in [
        format!("{}\n{}\n{}", pretty("a"), pretty("b"), pretty("c")),
        format!("{}\n,{}\n,{}]", pretty("a").replacen('{', "[{", 1), pretty("b"), pretty("c")),
    ] {
        assert_eq!(ids(content.clone()), expected([1, 1 + lines, 1 + 2 * lines]), "{content}");
    }
    assert_eq!(ids("[]\n"), []);
}

/// A file that knows how much of it was read.
struct Counted(Cursor<Vec<u8>>, Arc<AtomicU64>);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Without a newline a file is one line, of any length: no more of it is held than of others.
#[test]
fn a_line_of_many_events_is_read_bit_by_bit() {
    let events: Vec<String> = (0..20_000).map(|n| line(&format!(r#","data":"{:500}""#, n))).collect();
    for content in [events.concat(), format!("[{}]", events.join(","))] {
        let (size, read) = (content.len() as u64, Arc::new(AtomicU64::new(0)));
        assert!(size > 10 << 20);
        let file = Counted(Cursor::new(content.into_bytes()), Arc::clone(&read));
        let mut met = 0;
        for event in EventFile::from_reader(Box::new(file), "f").unwrap() {
            event.unwrap();
            met += 1;
            let ahead = read.load(Ordering::Relaxed).saturating_sub(met * size / 20_000);
            assert!(ahead < 2 << 20, "{ahead} bytes were read ahead of event {met}");
        }
        assert_eq!(met, 20_000);
    }
    let large = line(&format!(r#","data":"{}""#, "x".repeat(3 << 20)));
    assert_eq!(ids(format!("{large}{large}")).len(), 2);
}

#[test]
fn what_is_wrong_is_found_in_its_line() {
    let (a, b) = (event("a"), event("b"));
    for (content, expected) in [
        (
            format!("[{a},\n[{b}]]"),
            "f, line 2: this is an array within an array; events stand side by side, or in one array",
        ),
        (
            format!("\n[{a},\n{b}"),
            "f, line 2: the array that begins here has no end: the file is truncated; fetch it again",
        ),
        (
            format!("[{a}\n{b}]"),
            "f, line 2: in an array of events a comma or the closing bracket is expected here; found {\"id\":",
        ),
        (format!("[{a},\n]"), "f, line 2: not JSON: expected value, at byte 1 of the line"),
        (format!("[{a},7]"), "f, line 1: this is the number 7, not an event; an event is a map of fields"),
        (format!("{a},\n{b}"), "f, line 1: not JSON: expected value, at byte"),
        (format!("{a}\n]"), "f, line 2: not JSON: expected value, at byte 1 of the line"),
        // The next event begins before it ends.
        (format!("{a}\n{{\"id\":\"x\",\"data\":{{\n{b}\n{b}"), "f, line 2: the event is cut off"),
        (format!("{a}\n{{\"id\":\"x\",\"str\n{b}\n"), "f, line 2: the event is cut off"),
        (format!("{a}\n{{\"id\":\"x\",\n\u{1e}{b}\n"), "f, line 2: the event is cut off"),
        (
            format!("{a}\n{{\n\"id\": \"x\",\n\"stream\": }}\n"),
            "f, line 4: not JSON: expected value, at byte 11 of the line",
        ),
        (format!("{a}\n{}", pretty("x").replace(",\n", "\n")), "f, line 4: not JSON: expected `,` or `}`"),
        (format!("{a}\n\0\0\0\0\0\0{b}\n"), "f, line 2: a run of NUL bytes begins at byte 1 of the line"),
        (format!("{a}\n{{\"id\":\"x\0\0\0\0\0\0\0"), "f, line 2: a run of NUL bytes begins at byte 9 of the line"),
        ("\0".repeat(5000), "f, line 1: a run of NUL bytes begins at byte 1 of the line"),
        (format!("{}\n{{\"a\":{}\n", a, "[".repeat(200)), "f, line 2: arrays and maps are nested more than 64 deep"),
    ] {
        let message = message(content.clone());
        assert!(message.starts_with(expected), "{message}\n{content}");
    }
    let latin_1 = [a.as_bytes(), b"\n{\n\"id\":\"M\xfcller\"}"].concat();
    assert_eq!(message(latin_1), "f, line 3: byte 8 of the line is not UTF-8; convert the file to UTF-8");
}

#[test]
fn zeros_behind_gzip_are_padding_and_nothing_else_is() {
    let (a, b) = (gzip(format!("{}\n", event("a")).as_bytes()), gzip(event("b").as_bytes()));
    let zeros = vec![0; 300_000];
    let both = [("a".to_owned(), 1), ("b".to_owned(), 2)];
    assert_eq!(ids([&a[..], &zeros].concat()), both[..1]);
    assert_eq!(ids([&a[..], &gzip(b""), &b, &[0; 1]].concat()), both);
    assert_eq!(ids([&a[..], &zeros, &b, &zeros].concat()), both);
    for behind in [&b"garbage"[..], b"\0\0\0x", b"\x1e"] {
        let error = read([&a[..], behind].concat()).unwrap_err();
        assert!(matches!(error.reason, Reason::Corrupt { .. }), "{error}");
    }
    assert_eq!(read([&a[..], &zeros, &b[..15]].concat()).unwrap_err().reason, Reason::Truncated("gzip".into()));
    let skippable = b"\x50\x2a\x4d\x18\x03\0\0\0abc";
    let frames = [
        &zstd(format!("{}\n", event("a")).as_bytes())[..],
        skippable,
        &zstd(b""),
        &zstd(event("b").as_bytes()),
        skippable,
    ];
    assert_eq!(ids(frames.concat()), both);
}

/// What is bad goes into a file as it is, and what is good is read.
#[test]
fn bad_lines_are_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b, c) = (event("a"), event("b"), event("c"));
    let untimed = r#"{"id":"x","stream":"s","type":"T"}"#;
    let cases = [
        (format!("{a}\n{untimed}\nhello\n{b}\n\0\0{untimed}\n{c}"), format!("{untimed}\nhello\n\0\0{untimed}\n")),
        (
            format!("{a}\n{{\"id\":\"x\",\"data\":{{\n{b}\n{{\"id\":\"y\"\n{c}\n{{"),
            "{\"id\":\"x\",\"data\":{\n{\"id\":\"y\"\n{\n".to_owned(),
        ),
        (format!("{a}{untimed}{b}{untimed} {c}"), format!("{untimed}\n{untimed}\n")),
        (format!("[{a},{untimed},\n{b},\nhello,\n{untimed},{c}\n]\n"), format!("{untimed}\nhello,\n{untimed}\n")),
        (
            format!("{a}\n{}\n{b}\n{c}", pretty("x").replace("order-1", "")),
            format!("{}\n", pretty("x").replace("order-1", "")),
        ),
    ];
    for (index, (content, bad)) in cases.into_iter().enumerate() {
        let path = dir.path().join(format!("bad-{index}"));
        let aside = Arc::new(Aside::new(&path).unwrap());
        let mut file = open(content.clone()).unwrap().setting_aside(aside.clone());
        let read: Vec<_> = file.by_ref().map(|event| event.unwrap().event.id).collect();
        assert_eq!(read, ["a", "b", "c"], "{content}");
        aside.keep().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), bad, "{content}");
        assert!(Aside::new(&path).is_err(), "it is there already");
    }
    // What was not kept goes; nothing bad, no file.
    for content in [untimed.to_owned(), a.clone()] {
        let path = dir.path().join("bad");
        let aside = Arc::new(Aside::new(&path).unwrap());
        let mut file = open(content).unwrap().setting_aside(aside.clone());
        assert!(file.by_ref().all(|event| event.is_ok()));
        drop((file, aside));
        assert!(!path.exists());
    }
    let path = dir.path().join("packed");
    let aside = Arc::new(Aside::new(&path).unwrap());
    let content = [packed(&a), packed(untimed), packed(&b)].concat();
    let file = open(content).unwrap().setting_aside(aside.clone());
    assert_eq!(file.map(|event| event.unwrap().event.id).collect::<Vec<_>>(), ["a", "b"]);
    aside.keep().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), packed(untimed));
    // A file that cannot be read to its end is no bad line.
    let path = dir.path().join("truncated");
    for content in [gzip(a.as_bytes())[..30].to_vec(), format!("[{a},\n").into_bytes()] {
        let file = open(content).unwrap().setting_aside(Arc::new(Aside::new(&path).unwrap()));
        assert!(file.last().unwrap().is_err());
    }
}
