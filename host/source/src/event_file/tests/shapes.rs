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
        (format!("[{a},{untimed},\n{b},\nhello,\n{untimed},{c}\n]\n"), format!("{untimed}\nhello\n{untimed}\n")),
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
        assert!(!path.exists(), "it has no name yet");
        aside.sync().unwrap();
        aside.publish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), bad, "{content}");
        assert!(Aside::new(&path).is_err(), "it is there already");
    }
    // What was not kept goes; nothing bad, no file.
    for content in [untimed.to_owned(), a.clone()] {
        let path = dir.path().join("bad");
        let aside = Arc::new(Aside::new(&path).unwrap());
        let mut file = open(content).unwrap().setting_aside(aside.clone());
        assert!(file.by_ref().all(|event| event.is_ok()));
        aside.sync().unwrap();
        drop((file, aside));
        let left = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(left.into_iter().all(|name| name.to_string_lossy().starts_with("bad-")));
    }
    let path = dir.path().join("packed");
    // Whatever is one value has an end; and one that is not all there yet when it is refused.
    let numbered = [&[0x82, 7, 0xdb, 0, 7, 0, 0][..], &[b'x'; 0x7_0000], b"\x08\x09"].concat();
    let bad = [packed(untimed), vec![7], vec![0x91, 0x80], numbered].concat();
    let content = [&[0x96][..], &packed(&a), &bad, &packed(&b)].concat();
    for content in
        [Box::new(Cursor::new(content.clone())) as Box<dyn Read + Send>, Box::new(Slow(Cursor::new(content)))]
    {
        let aside = Arc::new(Aside::new(&path).unwrap());
        let file = EventFile::from_reader(content, "f").unwrap().setting_aside(aside.clone());
        assert_eq!(file.map(|event| event.unwrap().event.id).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(aside.count(), 4);
        aside.publish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bad);
        std::fs::remove_file(&path).unwrap();
    }
    // A file that cannot be read to its end is no bad line.
    let path = dir.path().join("truncated");
    for content in [gzip(a.as_bytes())[..30].to_vec(), format!("[{a},\n").into_bytes()] {
        let file = open(content).unwrap().setting_aside(Arc::new(Aside::new(&path).unwrap()));
        assert!(file.last().unwrap().is_err());
    }
}

/// The events that are read of a content where bad ones are set aside, and what is; or why there is an end to that.
fn apart(content: impl Into<Vec<u8>>) -> Result<(Vec<String>, String), EventFileError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad");
    let aside = Arc::new(Aside::new(&path).unwrap());
    let file = open(content)?.setting_aside(aside.clone());
    let read = file.map(|event| event.map(|event| event.event.id)).collect::<Result<_, _>>()?;
    aside.publish()?;
    let bad = if aside.count() > 0 { std::fs::read(&path).unwrap() } else { Vec::new() };
    Ok((read, String::from_utf8_lossy(&bad).into_owned()))
}

/// What is good is read also where it stands on a line with what is bad, and the array around both has its end.
#[test]
fn nothing_good_is_set_aside_with_what_is_bad() {
    let (a, b) = (event("a"), event("b"));
    let inner = event("inner");
    for bad in [
        "{NaN}",
        "{\"id\":NaN}",
        "{\"id\":\"x\",\"data\":1e999}",
        "{\"id\":\"x\",}",
        "{\"id\":\"x\" \"data\":{}}",
        "{\"a\":]}",
        "{\"a\":[}",
        "{\"a\":\"}]\\\"{\",}",
        "{\"\\ud800\":1}",
        &format!("{{\"data\":[{inner} {inner}]}}"),
        &format!("{{\"data\":NaN,\"more\":{inner}}}"),
        &format!("{{\"id\":NaN,\n  \"more\": [\n   {inner}\n]}}"),
        &format!("{{\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100)),
    ] {
        for content in [
            format!("{a}{bad}{b}"),
            format!("{bad} {a}\n{bad} {b}").replacen(bad, "", 1),
            format!("{a}\n{bad}\n{b}"),
            format!("[{a},{bad},{b}]"),
            format!("[{bad},{a},{b}]\n"),
            format!("[{a},{b},{bad}]"),
            format!("[\n{a},\n{bad},\n{b}\n]\n"),
            format!("\u{1e}{a}\u{1e}{bad}\u{1e}{b}"),
        ] {
            let read = apart(content.clone()).unwrap_or_else(|e| panic!("{e} in {content}"));
            assert_eq!(read, (vec!["a".to_owned(), "b".to_owned()], format!("{bad}\n")), "{content}");
        }
    }
    for (content, bad) in [
        (format!("[{a},NaN,{b}]"), "NaN\n"),
        (format!("[{a},7,\"x]\",[{inner}],null,{b}]"), "7\n\"x]\"\n[INNER]\nnull\n"),
        (format!("[{a},,{b}]"), ",\n"),
        (format!("[{a},{b},]"), "\n"),
        (format!("[{a} x,{b}]"), "x\n"),
        (format!("[{a}{inner},{b}]"), "INNER\n"),
        (format!("[{a},{b},{{\"id\":\"x\"]"), "{\"id\":\"x\"\n"),
        (format!("{a},{b},"), ",\n,\n"),
        (format!("{a} 7 {b}"), "7\n"),
        (format!("\u{1e}{a}\u{1e}tr\u{1e}{{\"id\":\u{1e}{b}"), "tr\n{\"id\":\n"),
        // The end of an event whose beginning is missing, and one that is cut off: what is in them is no event.
        (
            format!("\"x\",\"data\":{inner}}}\n{a}\n,\"data\":{inner}}}\n{b}"),
            "\"x\",\"data\":INNER}\n,\"data\":INNER}\n",
        ),
        (format!("{a}\n{{\"id\":\"x\",\"data\":{inner}\n{b}"), "{\"id\":\"x\",\"data\":INNER\n"),
        (format!("{a}\n{{\"id\":\"x\",\"str\n{b}"), "{\"id\":\"x\",\"str\n"),
        (format!("[{a},\n {{\"id\":\"x\",\"data\":{inner}\n,\n {b}]"), "{\"id\":\"x\",\"data\":INNER\n"),
    ] {
        let read = apart(content.clone()).unwrap_or_else(|e| panic!("{e} in {content}"));
        assert_eq!(read, (vec!["a".to_owned(), "b".to_owned()], bad.replace("INNER", &inner)), "{content}");
    }
    // Bytes that are no text are no end of it.
    let latin = [b"[", a.as_bytes(), b",{\"id\":\"\xe9\"},", b.as_bytes(), b"]"].concat();
    assert_eq!(apart(latin).unwrap(), (vec!["a".to_owned(), "b".to_owned()], "{\"id\":\"\u{fffd}\"}\n".to_owned()));
    let latin = [a.as_bytes(), b"\n{\"id\":\"\xe9\"} ", b.as_bytes(), b"\n"].concat();
    assert_eq!(apart(latin).unwrap().0, ["a", "b"]);
    // Nor is what is larger than any event.
    let large = format!("{{\"id\":\"{}\"}}", "x".repeat(unspool_vocabulary::limits::EVENT_BYTES + (3 << 20)));
    let (read, bad) = apart(format!("[{a},{large},{b}]")).unwrap();
    assert!(read == ["a", "b"] && bad.trim_end() == large);
}

/// Without other marks than its lengths, a stream of MessagePack goes on only after what has an end.
#[test]
fn what_has_no_end_is_still_said_to_be_wrong() {
    let a = packed(&event("a"));
    let message = |bad: &[u8]| apart([&a[..], bad].concat()).unwrap_err().to_string();
    let endless = "; where it ends cannot be told, so that nothing after it can be read: it cannot be set aside";
    let cut = "f, event 2: the event is cut off: the file ends, or another event begins, before it does";
    assert_eq!(message(&a[..20]), format!("{cut}{endless}"));
    assert_eq!(
        message(b"\x82\x07\xa1"),
        format!(
            "f, event 2: this is a map with the number 7 as a key, not an event; an event is a map of fields{endless}"
        )
    );
    assert_eq!(
        message(b"\xc1"),
        "f, event 2: not an event in MessagePack: byte 0 is 0xc1, which begins no MessagePack value"
    );
}
