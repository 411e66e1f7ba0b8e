//! Scripts: what is wrong with one is said when it is built, at its place, with what to do; what is right gives the same bytes.

use super::*;
use std::path::Path;

const GOOD: &str =
    "export default projection({ name: \"p\", version: 1, tables: { rows: table() }, handlers: { A() {} } });\n";

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn built(folder: &Path, name: &str) -> Result<Vec<u8>, String> {
    build(&folder.join(name), &BuildOptions::default()).map(|built| built.component).map_err(|e| e.to_string())
}

#[track_caller]
fn refused(files: &[(&str, &str)], words: &[&str]) {
    let refusal = built(folder(files).path(), files[0].0).expect_err("it is refused");
    for word in words {
        assert!(refusal.contains(word), "no {word:?} in {refusal}");
    }
}

/// A file `p.ts` that imports the SDK in its first line.
#[track_caller]
fn refused_text(text: &str, words: &[&str]) {
    refused(&[("p.ts", &format!("import {{ log, projection, table }} from \"unspool\";\n{text}\n"))], words);
}

#[test]
fn what_is_no_typescript_is_refused_at_its_place() {
    refused_text("const n = ;", &["p.ts:2:11: "]);
    refused_text(
        "enum Status { New, Paid }\nnamespace N { export const n = 1 }",
        &["p.ts:2:1: ", "enum", "as const", "\np.ts:3:1: "],
    );
    refused_text("class C { constructor(readonly n: number) {} }", &["p.ts:2:", "arameter propert"]);
    refused(&[("p.js", "let n: number = 1;")], &["p.js:1:"]);
    refused(&[("p.tsx", GOOD)], &["p.tsx", "call it `.ts`"]);
    refused(&[("p.cts", GOOD)], &["p.cts", "ES modules"]);
    let refusal = built(Path::new("/nowhere"), "p.ts").unwrap_err();
    assert!(refusal.contains("cannot read /nowhere/p.ts"), "{refusal}");
}

#[test]
fn what_cannot_be_imported_is_refused_with_what_to_do() {
    refused_text("import fs from \"node:fs\";", &["p.ts:2:16: `node:fs` is a part of Node", "sees events and rows"]);
    refused_text("import { join } from \"path\";", &["p.ts:2:22: `path` is a part of Node"]);
    refused_text(
        "import Big from \"big.js\";",
        &["p.ts:2:17: `big.js` is a package", "esbuild p.ts --bundle", "build p.bundle.js"],
    );
    refused_text("import { kit } from \"unspool/testing\";", &["is for tests"]);
    refused_text("export * from \"https://example.org/a.js\";", &["p.ts:2:15: ", "begin with `./`"]);
    refused_text("import \"./absent.ts\";", &["p.ts:2:8: there is no file `./absent.ts`"]);
    let sdk = "import { projection, table } from \"unspool\";\n";
    refused(
        &[("p.ts", &format!("{sdk}import \"./a\";\n{GOOD}")), ("a.ts", "")],
        &["p.ts:2:8: there is no file `./a`: write `./a.ts`"],
    );
    refused(
        &[("p.ts", &format!("{sdk}import {{ b }} from \"./a.ts\";\n{GOOD}")), ("a.ts", "export const c = 1;")],
        &["a.ts", "b"],
    );
    refused(&[("p.ts", "import \"./lib/a.ts\";"), ("lib/a.ts", "\nconst = 1;")], &["lib/a.ts:2:7: "]);
}

#[test]
fn what_is_no_projection_is_refused_when_it_is_built() {
    refused_text("export const n = 1;", &["p.ts: no default export; write `export default projection("]);
    refused_text("export default { name: \"p\" };", &["p.ts: the default export is no projection"]);
    refused_text(
        &format!(
            "{GOOD}projection({{ name: \"q\", version: 1, tables: {{ rows: table() }}, handlers: {{ A() {{}} }} }});"
        ),
        &["p.ts:3:", "a second projection"],
    );
    refused_text(&GOOD.replace("A() {}", "async A() {}"), &["p.ts:2:", "the handler of A", "is async"]);
    refused_text(&GOOD.replace("\"p\"", "\"P\""), &["p.ts:2:", "lower-case letters"]);
    refused_text(&GOOD.replace("A() {}", "B: 1"), &["the handler of B is 1, not a function"]);
    refused_text(
        &format!("await new Promise(() => {{}});\n{GOOD}"),
        &["p.ts: the file waits for something at its top level"],
    );
}

#[test]
fn what_a_file_does_when_it_is_loaded_may_depend_on_nothing() {
    for (statement, words) in [
        ("const at = Date.now();", "there is no time while the plugin is built"),
        ("const at = new Date();", "there is no time while the plugin is built"),
        ("const at = Math.random();", "a projection has no randomness"),
        ("log.info(\"start\");", "nothing is logged while the plugin is built"),
        ("const home = process.env.HOME;", "`process` is not in a plugin"),
        ("throw \"no\";", "\"no\" was thrown, which is no Error"),
    ] {
        refused_text(&format!("{statement}\n{GOOD}"), &["p.ts", words]);
    }
    refused_text(&format!("null.n;\n{GOOD}"), &["p.ts:2:", "TypeError"]);
}

#[test]
fn a_script_with_all_that_it_imports_is_a_plugin_of_the_same_bytes_each_time() {
    let files = [
        (
            "p.ts",
            "import { projection, table, type Event } from \"unspool\";\nimport { type Row, start } from './lib/row.ts';\nimport rates from './rates.json' with { type: 'json' };\nexport default projection({ name: 'p', version: 3, complexity: 'simple', partitioning: 'stream', tables: { byDay: table<Row>('by-day') }, handlers: { A(event: Event<{ n: number }>, { byDay }) { byDay.edit('k', start).n += event.data.n * rates.eur; } } });\n// the end",
        ),
        (
            "lib/row.ts",
            "import { zero } from '../zero.mjs';\nexport type Row = { n: number };\nexport const start: Row = { n: zero };\n",
        ),
        ("zero.mjs", "import './lib/row.ts';\nexport const zero = 0;\n"),
        ("rates.json", "{ \"eur\": 2 }"),
    ];
    let (here, there) = (folder(&files), folder(&files));
    let component = built(here.path(), "p.ts").unwrap();
    assert!(component == built(there.path(), "p.ts").unwrap(), "the same wherever and whenever it is built");
    check(&component).unwrap();
    let plugin = engine(&here.path().join("cache")).load(&component).unwrap();
    let described = plugin.description();
    assert_eq!((described.name.as_str(), described.version, described.tables[0].name.as_str()), ("p", 3, "by-day"));
    assert_eq!(described.event_types, ["A"]);
    let options = BuildOptions { features: vec!["f".into()], ..BuildOptions::default() };
    assert!(build(&here.path().join("p.ts"), &options).unwrap_err().to_string().contains("features are cargo's"));
}
