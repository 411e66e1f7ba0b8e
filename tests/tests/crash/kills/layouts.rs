//! Stores of earlier layouts: brought into the present one when they are opened, once and as a whole.

use super::{BINARY, Count, die, intact};
use serde_json::json;
use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::DirBuilderExt,
    path::Path,
};
use unspool_tests::{data::Data, plugins::plugin_with, store_file};

/// A data directory of layout 1: sixty events, event 50 refused. Generation 1 has the first thirty of them and is live;
/// generation 2, which was begun with several options, stopped there.
fn of_layout_1() -> Data {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/layout-1");
    let data = Data::new(BINARY);
    fs::DirBuilder::new().mode(0o700).create(data.path()).unwrap();
    for name in ["store.redb", "log.redb"] {
        let mut content = Vec::new();
        let packed = File::open(fixture.join(format!("{name}.gz"))).unwrap();
        flate2::read::GzDecoder::new(packed).read_to_end(&mut content).unwrap();
        fs::write(data.path().join(name), content).unwrap();
    }
    fs::copy(fixture.join("kept"), data.path().join("kept")).unwrap();
    data
}

/// Opens the store to change something, and finds nothing to change.
const MIGRATES: [&str; 2] = ["pause", "nothing"];

/// Of the live generation.
const DIGEST: &str = "d42223a16077f1bf5db42d559af508c212fd1733d7f71dc5a3ffed647515c120";

#[test]
fn a_store_of_layout_1_goes_on_as_it_was() {
    let _count = Count;
    for at in [None, Some("file.migrated")] {
        let data = of_layout_1();
        let stored = || fs::read(data.path().join("store.redb")).unwrap();
        let before = stored();
        let failed = data.json(["status", "faulty"]);
        assert_eq!((&failed["status"], &failed["position"]), (&json!("failed"), &json!(50)), "{failed:#}");
        assert!(stored() == before, "who reads does not migrate");
        if let Some(at) = at {
            die(&data, at, MIGRATES);
        }
        assert_eq!(data.run(MIGRATES).exit, Some(3));
        assert_eq!(data.json(["store", "check"])["problems"], json!([]));
        assert_eq!(data.digest("faulty"), DIGEST, "rows are what they were");
        let asked = |generation| store_file::record(&data, "faulty", generation)["spec"].clone();
        let (first, second) = (asked(1), asked(2));
        assert_eq!(
            (&first["source"], &first["to"], &first["options"]["chunkSize"]),
            (&json!("log"), &json!([0, 30]), &json!(7))
        );
        assert_eq!((&first["options"]["noPromote"], &first["options"]["rateLimit"]), (&json!(false), &json!(null)));
        let options = &second["options"];
        assert_eq!((&options["chunkSize"], &options["noPromote"]), (&json!(null), &json!(true)));
        assert_eq!((&options["priority"], &options["rateLimit"]), (&json!("normal"), &json!(100_000)));
        assert_eq!(options["acceptMissing"], 3);
        assert_eq!(data.json(["store", "check"])["problems"], json!([]));
        // And it goes on with them.
        let fixed = plugin_with("faulty", &["fixed"]);
        data.ok(["plugin".as_ref(), "swap".as_ref(), "faulty".as_ref(), fixed.as_os_str()]);
        assert_eq!(data.json(["resume", "faulty"])["eventsProcessed"], 60);
        assert_eq!(data.digest("faulty"), DIGEST, "readers are left where they are");
        data.ok(["model", "promote", "faulty"]);
        assert_ne!(data.digest("faulty"), DIGEST);
        intact(&data, "after a migration");
    }
}

#[test]
fn a_store_of_a_later_layout_is_refused_and_left_as_it_is() {
    let data = of_layout_1();
    assert_eq!(data.run(MIGRATES).exit, Some(3));
    store_file::set_format(&data, 4);
    for _ in 0..2 {
        data.run(["list"]).refused(2, &["has format 4", "knows format 3"]);
    }
    store_file::set_format(&data, 3);
    assert_eq!(data.digest("faulty"), DIGEST, "nothing was changed");
}
