//! The contract's documents say what the code does.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of tests are tests too")]

use std::path::{Path, PathBuf};
use unspool_sdk::frame::{
    Chunk, Complexity, Description, Event, Partitioning, TableDescription, Write, Writes, chunk_header, write_header,
};

fn wit(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit").join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(wit(file)).unwrap()
}

/// The bytes that stand left of the bars in the first block of a section.
fn example(section: &str) -> Vec<u8> {
    let readme = read("README.md");
    let (_, section) = readme.split_once(&format!("\n## {section}\n")).expect("the section is there");
    let block = section.split("```").nth(1).expect("the section has a block");
    let lines = block.lines().filter_map(|line| line.split_once('|'));
    let hex: Vec<_> = lines.flat_map(|(hex, _)| hex.split_whitespace()).collect();
    hex.iter().map(|byte| u8::from_str_radix(byte, 16).expect("two hexadecimal digits")).collect()
}

fn spaced(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}

#[test]
fn the_published_contract_is_the_one_in_use() {
    assert_eq!(read("projection.wit"), read("published/1.0.0/projection.wit"));
}

#[test]
fn the_example_of_a_chunk_frame_is_what_the_host_sends() {
    let mut frame = Vec::new();
    chunk_header(&mut frame, 1);
    let event = Event {
        position: 300,
        id: "e7",
        stream: "order-1",
        kind: "Paid",
        timestamp: 1_704_067_200_000,
        schema_version: 1,
        data: &[0x81, 0xa5, b'c', b'e', b'n', b't', b's', 0x07],
        metadata: &[0xc0],
    };
    event.encode(&mut frame);
    assert_eq!(spaced(&example("The chunk frame")), spaced(&frame));
    assert_eq!(Chunk::new(&example("The chunk frame")).unwrap().next(), Some(Ok(event)));
}

#[test]
fn the_example_of_a_write_frame_is_what_the_host_reads() {
    let mut frame = Vec::new();
    write_header(&mut frame, 2);
    let put = Write { table: "orders", key: "1", document: Some(&[0x81, 0xa4, b'p', b'a', b'i', b'd', 0xc3]) };
    let delete = Write { table: "orders", key: "2", document: None };
    put.encode(&mut frame);
    delete.encode(&mut frame);
    assert_eq!(spaced(&example("The write frame")), spaced(&frame));
    let writes: Vec<_> = Writes::new(&frame).unwrap().map(Result::unwrap).collect();
    assert_eq!(writes, [put, delete]);
}

#[test]
fn the_example_of_a_description_frame_is_what_the_host_reads() {
    let description = Description {
        name: "paid".into(),
        version: 1,
        event_types: vec!["Paid".into()],
        tables: vec![TableDescription { name: "orders".into() }],
        complexity: Complexity::Simple,
        chunk_size: None,
        partitioning: Partitioning::Stream,
    };
    assert_eq!(spaced(&example("The description frame")), spaced(&description.encode()));
    assert_eq!(Description::decode(&example("The description frame")).unwrap(), description);
}
