//! What every command prints for people, word for word: the pages in `golden/` are run like the documents.
//!
//! `UNSPOOL_UPDATE=1 cargo test --workspace --test cli golden::` writes what is printed into them: read the difference.

use std::{fs, path::Path};
use unspool_tests::{
    console::{Page, Scene},
    data::Data,
    history,
    plugins::{building, plugin, plugin_with, source, target_dir},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

fn golden() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/golden")
}

/// Runs a page in a folder with plugins and histories.
fn play(page: &str) {
    let mut scene = Scene::new(BINARY);
    scene.set("CARGO_TARGET_DIR", target_dir().display().to_string());
    std::os::unix::fs::symlink(source(""), scene.folder().join("plugins")).unwrap();
    for (file, component) in [
        ("orders.wasm", plugin("order-summary")),
        ("faulty.wasm", plugin("faulty")),
        ("fixed.wasm", plugin_with("faulty", &["fixed"])),
        ("reshaped.wasm", plugin_with("faulty", &["reshaped"])),
        ("off-by-one.wasm", plugin_with("faulty", &["off-by-one"])),
    ] {
        fs::copy(component, scene.folder().join(file)).unwrap();
    }
    scene.file("orders.ndjson", history::orders(2_000, 42));
    scene.file("fine.ndjson", history::mixed(200, &[(150, "Late")]));
    scene.file("bad.ndjson", history::mixed(200, &[(50, "Error"), (120, "Panic")]));
    scene.file("declared.toml", "[projections.order-summary]\nplugin = \"orders.wasm\"\n");
    let told = "[[alert]]\nname = \"file\"\non = [\"failed\"]\nto = { command = \"cat > told.json\" }\n";
    let broken =
        "[[alert]]\nname = \"broken\"\non = [\"failed\", \"parked\"]\nfor = \"5m\"\nto = { command = \"exit 7\" }\n";
    scene.file("alerts.toml", format!("{told}\n{broken}"));
    scene.file("wrong.toml", "[[alert]]\nname = \"ops\"\non = [\"broken\"]\nto = { command = \"true\" }\n");
    // One page builds a plugin.
    let _alone = (page == "plugins.md").then(building);
    scene.play(&golden().join(page));
}

macro_rules! pages {
    ($($name:ident: $page:literal,)*) => {
        /// Each page by itself.
        const PAGES: &[&str] = &[$($page),*];
        $(
            #[test]
            fn $name() {
                play($page);
            }
        )*
    };
}

pages! {
    the_record_of_activity_prints_what_is_shown: "activity.md",
    alerts_print_what_is_shown: "alerts.md",
    declarations_print_what_is_shown: "apply.md",
    dead_letters_print_what_is_shown: "dead-letters.md",
    events_print_what_is_shown: "events.md",
    help_prints_what_is_shown: "help.md",
    http_prints_what_is_shown: "http.md",
    models_print_what_is_shown: "models.md",
    plugins_print_what_is_shown: "plugins.md",
    rebuilds_print_what_is_shown: "rebuilds.md",
    refusals_print_what_is_shown: "refusals.md",
    stores_print_what_is_shown: "stores.md",
}

/// The pages of the manual, one for each command, but for those that only hold others: `unspool-model-get`.
fn commands() -> Vec<String> {
    let data = Data::new(BINARY);
    let dir = data.scratch("man");
    data.ok(["man".as_ref(), dir.as_os_str()]);
    let names = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = names.map(|name| name.trim_end_matches(".1").to_owned()).collect();
    let holds = |name: &String| names.iter().any(|other| other.starts_with(&format!("{name}-")));
    names.iter().filter(|name| !holds(name)).cloned().collect()
}

#[test]
fn every_command_is_on_a_page_and_every_page_is_run() {
    let mut pages: Vec<_> = fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    pages.sort();
    assert_eq!(pages, PAGES);
    let mut typed = String::new();
    for page in PAGES {
        let page = Page::read(&golden().join(page));
        let blocks = page.blocks.iter().filter(|block| block.is_console());
        typed.extend(blocks.flat_map(|block| page.commands(block)).map(|command| format!("{}\n", command.text)));
    }
    let (commands, typed) = (commands(), typed.replace(' ', "-"));
    assert!(commands.len() > 30, "{commands:?}");
    for command in commands {
        assert!(typed.contains(&command), "no page shows what {command} prints");
    }
}
