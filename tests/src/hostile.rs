//! Components whose code is hard on a compiler, and which otherwise do nothing.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A component of the plugins' world with `more` in its core module, as WebAssembly text.
pub fn component(more: &str) -> Vec<u8> {
    let module = format!(
        r#"(module (memory (export "memory") 4) (global $heap (mut i32) (i32.const 65536))
 (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
  (local.set $at (global.get $heap))
  (global.set $heap (i32.add (local.get $at) (i32.and (i32.add (local.get 3) (i32.const 7)) (i32.const -8))))
  (local.get $at))
 (func (export "unspool:projection/handler@1.0.0#describe") (result i32) (i32.const 16))
 (func (export "unspool:projection/handler@1.0.0#handle") (param i32 i32) (result i32) (i32.const 64))
 {more})"#
    );
    let mut resolve = Resolve::default();
    let wit = include_str!("../../wit/projection.wit");
    let package = resolve.push_source("projection.wit", wit).expect("our own interfaces");
    let world = resolve.select_world(&[package], Some("projection")).expect("our own world");
    let mut module = wat::parse_str(module).expect("WebAssembly text");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("a module");
    let encoder = ComponentEncoder::default().module(&module);
    encoder.and_then(|mut encoder| encoder.encode()).expect("a component")
}

/// A function of a few kilobytes that keeps a compiler busy for minutes: `depth` loops within each other, over `locals` values
/// that are all needed to the end.
pub fn loops(locals: usize, depth: usize) -> String {
    let opened: String = (0..depth).map(|level| format!("(loop $l{level} ")).collect();
    let set =
        |local: usize| format!("(local.set {local} (i32.add (local.get {local}) (local.get {})))", local * 31 % locals);
    let body: String = (1..locals).map(set).collect();
    let closed = |level: usize| format!("(br_if $l{level} (local.get {})))", level % locals);
    let closed: String = (0..depth).rev().map(closed).collect();
    format!("(func (param i32) (result i32) (local {}) {opened}{body}{closed} (local.get 1))", "i32 ".repeat(locals))
}
