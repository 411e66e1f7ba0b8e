//! Hostile bytes, for whoever reads bytes that others wrote: mutations of a small corpus, bounded in time.
//!
//! `UNSPOOL_FUZZ` says how often each target is called (by default for some ten seconds in all), `UNSPOOL_SEED` with which
//! mutations. Bytes that a target cannot bear are written into its folder of `tests/corpus/`: every file there is tried
//! first, so that what was found once stays found.

use rustix::time::{ClockId, clock_gettime};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use unspool_tests::{
    data::Data,
    fuzz::{TARGETS, Target},
    random::{Random, setting},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// Bytes of the largest input. What is quadratic shows before.
const LARGEST: usize = 1 << 14;

/// A call that takes more of the processor has met something that grows too fast.
const SLOW: Duration = Duration::from_secs(5);

/// Time of the processor that this thread has used: a busy machine makes nothing slow.
fn worked() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(used.tv_sec.unsigned_abs(), used.tv_nsec.unsigned_abs() as u32)
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = fs::read_dir(folder(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has no corpus");
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Calls the target; what it cannot bear is kept.
fn call(name: &str, target: Target, input: &[u8]) -> bool {
    let before = worked();
    let called = catch_unwind(AssertUnwindSafe(|| target(input)));
    let took = worked().saturating_sub(before);
    match called {
        Ok(accepted) if took < SLOW => accepted,
        other => {
            let found = folder(name).join(format!("found-{}", blake3::hash(input).to_hex().split_at(12).0));
            fs::write(&found, input).unwrap();
            match other {
                Ok(_) => panic!("{name} took {took:?} for {}", found.display()),
                Err(_) => panic!("{name} cannot bear {}", found.display()),
            }
        }
    }
}

/// Bytes that lengths and types are made of, in JSON and in MessagePack.
const TELLING: [&[u8]; 24] = [
    b"\xdd\xff\xff\xff\xff",
    b"\xdc\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xd3\x80\0\0\0\0\0\0\0",
    b"\xcb\x7f\xf8\0\0\0\0\0\x01",
    b"\xc1",
    b"\xc0",
    b"\xd4\x01\0",
    b"\x91\x91\x91\x91",
    b"\x81\xa0",
    b"\xff\xfe",
    b"\0",
    b"\n",
    b"[[[[",
    b"{\"a\":",
    b"\"",
    b"\\ud800",
    b"1e999",
    b"-0.0",
    b"18446744073709551616",
    b"null",
];

fn mutate(input: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        let at = random.index(input.len() + 1);
        let len = random.index(1 + (input.len() - at).min(32));
        match random.below(9) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.number() as u8,
            2 => input.truncate(at),
            3 => drop(input.drain(at..at + len)),
            4 => {
                let copy = input[at..at + len].to_vec();
                let times = random.pick(&[1, 2, 100]);
                input.splice(at..at, copy.repeat(times));
            }
            5 => drop(input.splice(at..at, random.pick(&TELLING).iter().copied())),
            6 => drop(input.splice(at..at + len, random.pick(&TELLING).iter().copied())),
            7 => {
                let other = &others[random.index(others.len())];
                let from = random.index(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            // A run of one byte: nesting, digits, blanks.
            _ => {
                let byte = random.pick(b"[{ 0-9\n\"\x91\x81\xa1\xff");
                let times = random.pick(&[3, 70, 3000]);
                input.splice(at..at, std::iter::repeat_n(byte, times));
            }
        }
        input.truncate(LARGEST);
    }
}

fn fuzz(name: &str) {
    let (_, target) = *TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let (corpus, mut random) = (corpus(name), Random::new(setting("UNSPOOL_SEED", 1)));
    let (mut executions, mut accepted) = (0_u64, 0_u64);
    for input in &corpus {
        accepted += u64::from(call(name, target, input));
        executions += 1;
    }
    assert!(accepted > 0, "nothing in the corpus of {name} is accepted");
    // What is accepted gets deeper than what is refused: a few mutants go on as parents.
    let mut parents = corpus;
    let (started, wanted) = (Instant::now(), setting("UNSPOOL_FUZZ", 0));
    let goes_on = |executions: u64| match wanted {
        0 => !executions.is_multiple_of(64) || started.elapsed() < Duration::from_millis(1700),
        wanted => executions < wanted,
    };
    while goes_on(executions) {
        let mut input = parents[random.index(parents.len())].clone();
        mutate(&mut input, &parents, &mut random);
        executions += 1;
        if call(name, target, &input) {
            accepted += 1;
            if parents.len() < 256 {
                parents.push(input);
            } else if random.chance(1, 16) {
                let at = random.index(parents.len());
                parents[at] = input;
            }
        }
    }
    println!("{name}: {executions} executions, {accepted} accepted, {:.1?}", started.elapsed());
}

#[test]
fn event_files() {
    fuzz("event-file");
}

#[test]
fn chunk_frames() {
    fuzz("chunk");
}

#[test]
fn write_frames() {
    fuzz("write");
}

#[test]
fn describe_frames() {
    fuzz("describe");
}

#[test]
fn request_lines() {
    fuzz("request");
}

#[test]
fn documents() {
    fuzz("document");
}

/// Whoever may connect may say anything: the host answers or hangs up, and goes on answering others.
#[test]
fn a_host_goes_on_whatever_is_said_on_its_socket() {
    let data = Data::new(BINARY);
    let host = data.serve();
    let (lines, mut random) = (corpus("request"), Random::new(setting("UNSPOOL_SEED", 1)));
    let mut said = 0;
    for round in 0..300 {
        let mut line = lines[random.index(lines.len())].clone();
        mutate(&mut line, &lines, &mut random);
        if round % 50 == 0 {
            line = vec![b'x'; 1 << 17];
        }
        // What it asks for might be done: only what is not a request is of interest here.
        if serde_json::from_slice::<unspool::control::Request>(line.split(|b| *b == b'\n').next().unwrap()).is_ok() {
            continue;
        }
        let mut stream = UnixStream::connect(data.path().join("control.sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // The host may have hung up in the middle of a line that is too long.
        let _ = stream.write_all(&line);
        if random.chance(1, 2) {
            let _ = stream.write_all(b"\n");
            let _ = stream.shutdown(std::net::Shutdown::Write);
            // Whatever it says beside that it is there, which it does not say for ever.
            let until = Instant::now() + Duration::from_secs(30);
            let is_beat = |said: &std::io::Result<String>| said.as_ref().is_ok_and(|said| said == "\"beat\"");
            let waits = |said: &std::io::Result<String>| is_beat(said) && Instant::now() < until;
            match BufReader::new(stream).lines().find(|said| !waits(said)) {
                None => {}
                Some(Ok(answer)) => assert!(answer.starts_with("{\"error\""), "{answer}"),
                Some(Err(e)) => assert_ne!(e.kind(), std::io::ErrorKind::WouldBlock, "no answer to {line:?}"),
            }
        }
        said += 1;
    }
    assert_eq!(data.json(["events", "stats"])["events"], 0);
    println!("{said} lines were no requests");
    host.signal(rustix::process::Signal::TERM);
    assert!(host.end().exit.is_some());
}
