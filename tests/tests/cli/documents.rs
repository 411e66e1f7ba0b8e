//! What the documents show is what the product prints: their console blocks are run in order.
//!
//! `UNSPOOL_UPDATE=1 cargo test --workspace --test cli documents::` writes what is printed into them.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use unspool_tests::{
    console::{Page, Scene},
    history,
    languages::has,
    plugins::{building, payments_package, plugin, plugin_with, source, target_dir},
    postgres::shared,
    stores::{Preset, fill},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// The documents that are run below.
const RUN: [&str; 9] = [
    "README.md",
    "host/docs/formats.md",
    "host/docs/operating.md",
    "host/docs/postgresql.md",
    "plugin-sdk/README.md",
    "plugin-sdk/c/README.md",
    "plugin-sdk/go/README.md",
    "plugin-sdk/python/README.md",
    "plugin-sdk/typescript/README.md",
];

/// The blocks that are not run: their documents, and their first commands.
const NOT_RUN: [(&str, &str); 2] = [
    ("README.md", "cargo test --workspace"),
    ("host/docs/operating.md", "unspool --alert 'mail -s \"rebuild failed\" ops@example.org' serve"),
];

/// A history in which an event makes `faulty` panic.
const DAY: &str = r#"{"id":"e1","stream":"a","type":"Fine","timestamp":"2024-01-31T12:00:00Z","data":{}}
{"id":"e2","stream":"b","type":"Fine","timestamp":1706702401000,"data":{}}
{"id":"e3","stream":"a","type":"Panic","timestamp":1706702402000,"data":{}}
{"id":"e4","stream":"a","type":"Fine","timestamp":1706702403000,"data":{}}
"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Below the root of the repository, as the documents' readers are, with a target directory of its own.
fn scene() -> Scene {
    let mut scene = Scene::new(BINARY);
    scene.set("CARGO_TARGET_DIR", target_dir().display().to_string());
    std::os::unix::fs::symlink(source(""), scene.folder().join("plugins")).unwrap();
    scene
}

/// What the README's first command leaves, and the first rebuild after it.
fn after_the_demo() -> Scene {
    let scene = scene();
    scene.prepare(&["unspool demo", "unspool rebuild order-summary"]);
    scene
}

/// A package of the plugin that the README shows.
fn payments(scene: &Scene) {
    payments_package(&scene.folder().join("payments"));
}

#[test]
fn the_readme_shows_what_is_printed() {
    let mut scene = scene();
    scene.replace("cargo run --release --", "unspool");
    scene.file("day.ndjson", DAY);
    std::fs::copy(plugin("faulty"), scene.folder().join("faulty.wasm")).unwrap();
    std::fs::copy(plugin_with("faulty", &["fixed"]), scene.folder().join("fixed.wasm")).unwrap();
    payments(&scene);
    let _alone = building();
    scene.play(&root().join(RUN[0]));
}

#[test]
fn the_page_about_files_shows_what_is_printed() {
    let scene = after_the_demo();
    let orders = history::events(&history::orders(1_000, 5));
    let lines =
        |event: fn(&Value) -> Value| orders.iter().map(|order| format!("{}\n", event(order))).collect::<String>();
    let renamed = lines(|order| {
        json!({
            "event_id": order["id"], "aggregate_id": order["stream"], "event_type": order["type"],
            "occurred_at": order["timestamp"], "payload": order["data"],
        })
    });
    let flat = lines(|order| {
        let mut event = order["data"].clone();
        event["meta"] = json!({ "id": order["id"] });
        event["run"] = order["stream"].clone();
        event["event"] = order["type"].clone();
        event["ts"] = json!(order["timestamp"].as_i64().unwrap() * 1000);
        event
    });
    scene.file("export.json", renamed);
    scene.file("runs.json", flat);
    scene.play(&root().join(RUN[1]));
}

#[test]
fn the_page_about_operating_shows_what_is_printed() {
    let scene = after_the_demo();
    scene.file("day.ndjson", DAY);
    let _alone = building();
    scene.play(&root().join(RUN[2]));
}

#[test]
fn the_page_about_postgresql_shows_what_is_printed() {
    let (server, database) = (shared(), shared().database("shop"));
    server.role("replay", None);
    server.role("unspool", None);
    let mut client = database.client();
    let lines = history::orders(1_000, 5);
    client.batch_execute(Preset::MessageDb.schema()).unwrap();
    fill(&mut client, Preset::MessageDb, &lines);
    client.batch_execute("CREATE SCHEMA orders; SET search_path = orders").unwrap();
    client.batch_execute(Preset::Marten.schema()).unwrap();
    fill(&mut client, Preset::Marten, &lines);
    client
        .batch_execute(
            "GRANT USAGE ON SCHEMA message_store, orders TO replay; GRANT CREATE, TEMPORARY ON DATABASE shop TO unspool; \
             GRANT SELECT ON ALL TABLES IN SCHEMA message_store, orders TO replay",
        )
        .unwrap();
    let mut scene = scene();
    let port = server.port();
    scene.replace("host=db.example", format!("host=127.0.0.1&port={port}"));
    scene.replace("@db.example:5432", format!("@127.0.0.1:{port}"));
    scene.replace("psql shop", format!("{} -h 127.0.0.1 -p {port} -U admin shop", server.program("psql").display()));
    std::fs::copy(plugin("order-summary"), scene.folder().join("order-summary.wasm")).unwrap();
    scene.prepare(&["unspool plugin install order-summary.wasm"]);
    scene.play(&root().join(RUN[3]));
}

#[test]
fn the_page_about_plugins_shows_what_is_printed() {
    let scene = scene();
    payments(&scene);
    sample(&scene);
    let _alone = building();
    scene.play(&root().join(RUN[4]));
}

/// Three payments of two customers.
fn sample(scene: &Scene) {
    scene.file("sample.ndjson", paid([("1", "ada", 250), ("2", "bob", 100), ("3", "ada", 50)]));
}

/// Payments: each with its id, its customer and its cents.
fn paid(payments: [(&str, &str, u32); 3]) -> String {
    let lines = payments.map(|(id, customer, cents)| {
        let data = json!({ "customer": customer, "cents": cents });
        format!(
            r#"{{"id":"{id}","stream":"{customer}","type":"PaymentReceived","timestamp":1706702400000,"data":{data}}}"#
        )
    });
    lines.join("\n")
}

/// The projection is the one that the page shows, which is the example.
#[test]
fn the_page_about_typescript_shows_what_is_printed() {
    let scene = scene();
    scene.file("day.ndjson", paid([("e1", "ada", 250), ("e2", "bob", 100), ("e3", "ada", 500)]));
    files_of(RUN[8], &["payments.ts"], &scene);
    let broken =
        r#"{"id":"e4","stream":"ada","type":"PaymentReceived","timestamp":1706702400000,"data":{"customer":"ada"}}"#;
    scene.file("broken.ndjson", broken);
    scene.play(&root().join(RUN[8]));
}

/// The files that a page shows, written below the scene's folder: the blocks of the page that are not commands, in their order.
fn files_of(page: &str, names: &[&str], scene: &Scene) {
    let page = Page::read(&root().join(page));
    let blocks = page.blocks.iter().filter(|block| !block.is_console());
    for (name, block) in names.iter().zip(blocks) {
        scene.file(name, page.text(block));
    }
}

#[test]
fn the_page_about_c_shows_what_is_printed() {
    if !has(&["clang-19", "wasm-ld-19"]) {
        return;
    }
    let mut scene = scene();
    sample(&scene);
    files_of(RUN[5], &["payments.c"], &scene);
    let sdk = root().join("plugin-sdk/c").canonicalize().unwrap();
    scene.replace("../unspool/plugin-sdk/c", sdk.display().to_string());
    scene.play(&root().join(RUN[5]));
}

#[test]
fn the_page_about_go_shows_what_is_printed() {
    if !has(&["go"]) {
        return;
    }
    let scene = scene();
    sample(&scene);
    files_of(RUN[6], &["payments/go.mod", "payments/payments.go", "payments/payments_test.go"], &scene);
    let sdk = root().join("plugin-sdk/go").canonicalize().unwrap();
    let manifest = std::fs::read_to_string(scene.folder().join("payments/go.mod")).unwrap();
    scene.file("payments/go.mod", manifest.replace("../unspool/plugin-sdk/go", sdk.to_str().unwrap()));
    scene.play(&root().join(RUN[6]));
}

#[test]
fn the_page_about_python_shows_what_is_printed() {
    if !has(&["componentize-py", "python3"]) {
        return;
    }
    let mut scene = scene();
    sample(&scene);
    files_of(RUN[7], &["payments.py", "test_payments.py"], &scene);
    let sdk = root().join("plugin-sdk/python").canonicalize().unwrap();
    scene.replace("../unspool/plugin-sdk/python", sdk.display().to_string());
    scene.set("PYTHONDONTWRITEBYTECODE", "1");
    scene.play(&root().join(RUN[7]));
}

/// The examples beside the SDKs are those of their pages.
#[test]
fn the_pages_show_the_examples() {
    for (page, block, example) in [
        (RUN[5], 0, "plugin-sdk/c/examples/payments.c"),
        (RUN[6], 1, "plugin-sdk/go/examples/payments/payments.go"),
        (RUN[8], 0, "plugin-sdk/typescript/examples/payments.ts"),
    ] {
        let page = Page::read(&root().join(page));
        let block = page.blocks.iter().filter(|block| !block.is_console()).nth(block).unwrap();
        assert_eq!(
            page.text(block).trim_end(),
            std::fs::read_to_string(root().join(example)).unwrap().trim_end(),
            "{example}"
        );
    }
}

/// Every document of the repository, as its path from the root.
fn documents(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !name.starts_with('.') && !["target", "tests"].contains(&name) {
            documents(&path, found);
        } else if name.ends_with(".md") {
            found.push(path.strip_prefix(root()).unwrap().display().to_string());
        }
    }
}

/// No block is left out without a reason, and no transcript is hidden in a block of another kind.
#[test]
fn every_console_block_is_run_or_says_why_not() {
    let mut names = Vec::new();
    documents(&root(), &mut names);
    names.sort();
    let (mut run, mut not_run) = (Vec::new(), Vec::new());
    for name in &names {
        let page = Page::read(&root().join(name));
        for block in &page.blocks {
            let first = block.lines.start;
            if block.not_run().is_some() {
                not_run.push((name.clone(), page.commands(block)[0].text.clone()));
            } else if block.is_console() {
                run.push(name.clone());
            } else {
                let typed = page.text(block).lines().any(|line| line.starts_with("$ "));
                assert!(!typed, "{}: commands are typed in console blocks", page.place(first));
            }
            let known = ["console", "text", "toml", "ini", "rust", "typescript", "sql", "wit", "go", "c", "python"];
            assert!(known.iter().any(|kind| block.info.starts_with(kind)), "{}: of what kind?", page.place(first));
        }
    }
    run.dedup();
    assert_eq!(run, RUN);
    assert_eq!(not_run, NOT_RUN.map(|(name, command)| (name.to_owned(), command.to_owned())));
}
