//! Exported files, read back by the readers of others, hold what `model scan` shows.

use arrow_array::{Array, BooleanArray, Float64Array, Int64Array, StringArray};
use parquet::{
    arrow::arrow_reader::ParquetRecordBatchReaderBuilder,
    basic::{Compression, Type},
    file::metadata::ParquetMetaData,
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::Stdio,
    sync::Arc,
};
use unspool_tests::{
    data::{Answer, Data, Rows},
    history, oracle,
    plugins::plugin,
    store_file::{set_rows, set_stored},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// Orders, and `order-summary` of them.
fn with_orders(events: u64) -> (Data, Vec<Value>) {
    let data = Data::new(BINARY);
    let lines = history::orders(events, 5);
    data.import(&data.file("orders.ndjson", &lines));
    data.install(&plugin("order-summary"));
    data.ok(["rebuild", "order-summary"]);
    (data, history::events(&lines))
}

/// A table `faulty/seen` that holds these rows.
fn with_rows(rows: &[(&str, Value)]) -> Data {
    let data = Data::new(BINARY);
    data.import(&data.file("one.ndjson", history::of_types(["Fine"])));
    data.install(&plugin("faulty"));
    data.ok(["rebuild", "faulty"]);
    let rows: Vec<_> = rows.iter().map(|(key, document)| (*key, Some(document.clone()))).collect();
    set_rows(&data, SEEN, &[&[("s0", None)][..], &rows].concat());
    data
}

const SEEN: &str = "rows/faulty/1/seen";

/// Exports to a new file, and returns what is in it with the answer.
fn export(data: &Data, model: &str, format: &str) -> (Vec<u8>, Value) {
    let file = data.scratch(&format!("export.{format}"));
    let answer = data.json(["model", "export", model, "--format", format, "--force", "--out", file.to_str().unwrap()]);
    (fs::read(file).unwrap(), answer)
}

/// The files of a directory.
fn files(dir: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(name).collect();
    names.sort();
    names
}

/// What a CSV cell shows of a value.
fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

type Columns = Vec<(String, Type)>;

/// Column names and types, and the rows: nulls as they are, text columns as text.
fn read_parquet(bytes: Vec<u8>) -> (Columns, Vec<Vec<Value>>, Arc<ParquetMetaData>) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
    let metadata = reader.metadata().clone();
    let columns = reader.parquet_schema().columns().iter();
    let columns = columns.map(|column| (column.name().to_owned(), column.physical_type())).collect();
    let mut rows = Vec::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        rows.extend((0..batch.num_rows()).map(|row| {
            let cell = |array: &dyn Array| -> Value {
                let any = array.as_any();
                if array.is_null(row) {
                    Value::Null
                } else if let Some(array) = any.downcast_ref::<StringArray>() {
                    array.value(row).into()
                } else if let Some(array) = any.downcast_ref::<Int64Array>() {
                    array.value(row).into()
                } else if let Some(array) = any.downcast_ref::<Float64Array>() {
                    array.value(row).into()
                } else {
                    any.downcast_ref::<BooleanArray>().expect("one of the types we write").value(row).into()
                }
            };
            batch.columns().iter().map(|array| cell(array.as_ref())).collect()
        }));
    }
    (columns, rows, metadata)
}

#[test]
fn a_read_model_is_the_same_in_every_format() {
    let (data, events) = with_orders(3_000);
    // Equal, but for the order of fields.
    let rows = data.rows("order-summary/orders");
    assert_eq!(rows, oracle::orders(&events).0);

    let (ndjson, answer) = export(&data, "order-summary/orders", "ndjson");
    assert_eq!(ndjson, data.ok(["model", "export", "order-summary/orders"]).into_bytes());
    let scan = data.ok(["model", "scan", "order-summary/orders", "--limit", "1000000"]);
    assert_eq!(ndjson, scan.into_bytes());
    let file = data.scratch("export.ndjson");
    let expected = json!({
        "projectionName": "order-summary", "table": "orders", "generation": 1, "format": "ndjson", "rows": rows.len(),
        "file": file.to_str().unwrap(),
    });
    assert_eq!(answer, expected);

    let (csv, _) = export(&data, "order-summary/orders", "csv");
    assert_eq!(csv, data.run(["model", "export", "order-summary/orders", "--format", "csv"]).stdout.into_bytes());
    let mut reader = csv::Reader::from_reader(&csv[..]);
    let header = reader.headers().unwrap().clone();
    let first = rows.values().next().unwrap().as_object().unwrap();
    assert_eq!(header.iter().skip(1).collect::<Vec<_>>(), first.keys().collect::<Vec<_>>(), "in the document's order");
    let mut read = 0;
    for (record, (key, document)) in reader.records().zip(&rows) {
        let record = record.unwrap();
        let expected = header.iter().map(|name| if name == "key" { key.clone() } else { shown(document.get(name)) });
        assert_eq!(record.iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        read += 1;
    }
    assert_eq!(read, rows.len());

    let (parquet, answer) = export(&data, "order-summary/orders", "parquet");
    assert_eq!(answer["rows"], rows.len());
    let (columns, read, metadata) = read_parquet(parquet);
    let kind = |name: &str| columns.iter().find(|(column, _)| column == name).unwrap().1;
    assert_eq!((kind("key"), kind("status"), kind("lines")), (Type::BYTE_ARRAY, Type::BYTE_ARRAY, Type::BYTE_ARRAY));
    assert_eq!((kind("totalCents"), kind("version"), kind("paidAt")), (Type::INT64, Type::INT64, Type::INT64));
    let read: Rows = read.into_iter().map(|cells| row(&columns, cells, &["lines"])).collect();
    assert_eq!(read, rows);
    for column in metadata.row_group(0).columns() {
        assert!(matches!(column.compression(), Compression::ZSTD(_)));
    }
}

/// A row of a Parquet file as `model scan` shows it; `nested` columns hold JSON text.
fn row(columns: &[(String, Type)], cells: Vec<Value>, nested: &[&str]) -> (String, Value) {
    let mut cells = cells.into_iter();
    let key = cells.next().unwrap().as_str().unwrap().to_owned();
    let fields = columns[1..].iter().zip(cells).map(|((name, _), cell)| match cell {
        Value::String(text) if nested.contains(&name.as_str()) => (name.clone(), serde_json::from_str(&text).unwrap()),
        cell => (name.clone(), cell),
    });
    (key, fields.collect())
}

/// Rows with everything that a format could stumble over. Fields are named for what they hold.
fn hostile() -> Vec<(&'static str, Value)> {
    vec![
        ("\u{0}", json!({ "text": "NUL \u{0} inside", "int": i64::MIN, "unsigned": u64::MAX, "double": -0.0 })),
        ("a", json!({ "text": "", "int": i64::MAX, "double": 1e300, "mixed": "5", "late": null, "never": null })),
        ("a\nb", json!({ "nested": { "a": [1, "x\"y", null], "": {} }, "inexact": 0.1, "mixed": false })),
        ("a\"b", json!({ "text": " spaced ", "double": 5e-324, "inexact": 9007199254740993_i64, "bool": true })),
        ("a,b", json!({ "text": "comma, \"quote\"\r\nand 'line'", "double": 9007199254740992_i64, "mixed": 5 })),
        ("b", json!({})),
        (
            "c",
            json!({ "late": 1.5, "text": "=1+1;\t€ 🦀", "key": "inner", "key_1": 1, "": 7, "nested": [], "bool": false }),
        ),
    ]
}

#[test]
fn csv_keeps_hostile_values_apart() {
    let data = with_rows(&hostile());
    let (csv, _) = export(&data, "faulty/seen", "csv");
    let expected = [
        // Nothing is null or missing; "" is empty text. A column called key is there already, key_1 as well.
        r#""key","text","int","unsigned","double","mixed","late","never","nested","inexact","bool","key_2","key_1","""#,
        &format!("\"\u{0}\",\"NUL \u{0} inside\",{},{},-0.0,,,,,,,,,", i64::MIN, u64::MAX),
        &format!("\"a\",\"\",{},,1e+300,\"5\",,,,,,,,", i64::MAX),
        "\"a\nb\",,,,,false,,,\"{\"\"a\"\":[1,\"\"x\\\"\"y\"\",null],\"\"\"\":{}}\",0.1,,,,",
        r#""a""b"," spaced ",,,5e-324,,,,,9007199254740993,true,,,"#,
        "\"a,b\",\"comma, \"\"quote\"\"\r\nand 'line'\",,,9007199254740992,5,,,,,,,,",
        r#""b",,,,,,,,,,,,,"#,
        "\"c\",\"=1+1;\t€ 🦀\",,,,,1.5,,\"[]\",,false,\"inner\",1,7",
    ];
    assert_eq!(String::from_utf8(csv.clone()).unwrap(), expected.join("\n") + "\n");

    // The same through a reader that others use.
    let mut reader = csv::Reader::from_reader(&csv[..]);
    let fields = [
        "text", "int", "unsigned", "double", "mixed", "late", "never", "nested", "inexact", "bool", "key", "key_1", "",
    ];
    let read: Vec<Vec<String>> =
        reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect();
    let cells = |(key, document): (&str, Value)| -> Vec<String> {
        let values = fields.iter().map(|field| shown(document.get(field)));
        std::iter::once(key.to_owned()).chain(values).collect()
    };
    assert_eq!(read, hostile().into_iter().map(cells).collect::<Vec<_>>());
}

#[test]
fn parquet_columns_have_the_type_that_holds_every_value() {
    let data = with_rows(&hostile());
    let (columns, rows, _) = read_parquet(export(&data, "faulty/seen", "parquet").0);
    let expected = [
        ("key", Type::BYTE_ARRAY),
        ("text", Type::BYTE_ARRAY),
        ("int", Type::INT64),
        // Above 2^63 - 1: digits as text.
        ("unsigned", Type::BYTE_ARRAY),
        // Integers that a double holds exactly are among floats.
        ("double", Type::DOUBLE),
        ("mixed", Type::BYTE_ARRAY),
        ("late", Type::DOUBLE),
        ("never", Type::BYTE_ARRAY),
        ("nested", Type::BYTE_ARRAY),
        // 2^53 + 1 is not a double.
        ("inexact", Type::BYTE_ARRAY),
        ("bool", Type::BOOLEAN),
        ("key_2", Type::BYTE_ARRAY),
        ("key_1", Type::INT64),
        ("", Type::INT64),
    ];
    assert_eq!(columns, expected.map(|(name, kind)| (name.to_owned(), kind)));
    let column = |name: &str| {
        let index = columns.iter().position(|(column, _)| column == name).unwrap();
        rows.iter().map(|row| row[index].clone()).collect::<Vec<_>>()
    };
    let none = Value::Null;
    assert_eq!(column("key"), ["\u{0}", "a", "a\nb", "a\"b", "a,b", "b", "c"]);
    let text = [json!("NUL \u{0} inside"), json!(""), none.clone(), json!(" spaced ")];
    let more = [json!("comma, \"quote\"\r\nand 'line'"), none.clone(), json!("=1+1;\t€ 🦀")];
    assert_eq!(column("text"), [text.as_slice(), &more].concat());
    assert_eq!(column("int")[..3], [json!(i64::MIN), json!(i64::MAX), none.clone()]);
    assert_eq!(column("unsigned")[..2], [json!(u64::MAX.to_string()), none.clone()]);
    let doubles = column("double");
    assert_eq!(doubles[..5], [json!(-0.0), json!(1e300), none.clone(), json!(5e-324), json!(9007199254740992.0)]);
    assert!(doubles[0].as_f64().unwrap().is_sign_negative());
    let mixed = [none.clone(), json!("\"5\""), json!("false"), none.clone(), json!("5")];
    assert_eq!(column("mixed")[..5], mixed, "a text is told from a number");
    assert_eq!(column("inexact")[2..4], [json!("0.1"), json!("9007199254740993")]);
    let nested = column("nested");
    assert_eq!((&nested[2], &nested[6]), (&json!(r#"{"a":[1,"x\"y",null],"":{}}"#), &json!("[]")));
    assert!(column("never").iter().all(Value::is_null));
    assert_eq!((&column("key_2")[6], &column("")[6]), (&json!("inner"), &json!(7)));
}

#[test]
fn documents_that_are_no_objects_have_a_column_of_their_own() {
    let data = with_rows(&[("a", json!(5)), ("b", json!([1])), ("c", json!({ "value": "v" })), ("d", json!(null))]);
    let csv = String::from_utf8(export(&data, "faulty/seen", "csv").0).unwrap();
    assert_eq!(csv, "\"key\",\"value_1\",\"value\"\n\"a\",5,\n\"b\",\"[1]\",\n\"c\",,\"v\"\n\"d\",,\n");
    let data = with_rows(&[("a", json!(5)), ("b", json!(6))]);
    let (columns, rows, _) = read_parquet(export(&data, "faulty/seen", "parquet").0);
    assert_eq!(columns, [("key".to_owned(), Type::BYTE_ARRAY), ("value".to_owned(), Type::INT64)]);
    assert_eq!(rows, [[json!("a"), json!(5)], [json!("b"), json!(6)]]);
}

#[test]
fn a_table_without_rows_is_a_file_without_rows() {
    let data = with_rows(&[]);
    assert_eq!(export(&data, "faulty/seen", "ndjson").0, b"");
    assert_eq!(export(&data, "faulty/seen", "csv").0, b"\"key\"\n");
    let (columns, rows, _) = read_parquet(export(&data, "faulty/seen", "parquet").0);
    assert_eq!((columns, rows), (vec![("key".to_owned(), Type::BYTE_ARRAY)], vec![]));
}

#[test]
fn parquet_is_cut_into_row_groups() {
    let data = with_rows(&[]);
    let document = |number: u32| rmp_serde::to_vec_named(&json!({ "number": number })).unwrap();
    set_stored(&data, SEEN, (0..250_000).map(|number| (format!("{number:06}"), Some(document(number)))));
    let (_, rows, metadata) = read_parquet(export(&data, "faulty/seen", "parquet").0);
    let groups: Vec<_> = metadata.row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [100_000, 100_000, 50_000]);
    assert!(rows.iter().enumerate().all(|(number, row)| *row == [json!(format!("{number:06}")), json!(number)]));
    assert_eq!(rows.len(), 250_000);
}

#[test]
fn all_tables_of_a_projection_go_to_a_directory() {
    let (data, _) = with_orders(2_000);
    data.install(&plugin("inventory-levels"));
    data.ok(["rebuild", "inventory-levels"]);
    data.run(["model", "export", "inventory-levels"]).refused(2, &["--out DIR", "inventory-levels/TABLE"]);
    let dir = data.scratch("models/today");
    let answers = data.list(["model", "export", "inventory-levels", "--out", dir.to_str().unwrap()]);
    assert_eq!(files(&dir), ["orders.ndjson", "stock.ndjson"]);
    for answer in answers {
        let table = answer["table"].as_str().unwrap();
        let written = fs::read_to_string(answer["file"].as_str().unwrap()).unwrap();
        assert_eq!(written, data.ok(["model", "export", &format!("inventory-levels/{table}")]));
        assert_eq!(answer["rows"], written.lines().count());
    }
    let file = dir.join("stock.csv");
    let answer =
        data.json(["model", "export", "inventory-levels/stock", "--format", "csv", "--out", dir.to_str().unwrap()]);
    assert_eq!(answer["file"], file.to_str().unwrap(), "a file in the directory");
    assert!(file.is_file());
}

#[test]
fn what_has_the_name_is_whole() {
    let data = with_rows(&[("a", json!({ "x": 1 })), ("b", json!({ "x": 2 }))]);
    let dir = data.scratch("out");
    fs::create_dir(&dir).unwrap();
    let file = dir.join("seen.csv");
    let path = file.to_str().unwrap();
    let args = ["model", "export", "faulty/seen", "--format", "csv", "--out", path];
    data.ok(args);
    let whole = fs::read(&file).unwrap();
    data.run(args).refused(3, &[path, "exists", "--force"]);
    data.run(["model", "export", "faulty/seen", "--out", "/dev/null", "--force"]).refused(3, &["/dev/null"]);

    // A row that cannot be read, behind others that can.
    set_stored(&data, SEEN, [("z", Some(vec![0xc1, 0xff]))]);
    for format in ["ndjson", "csv", "parquet"] {
        let args = ["model", "export", "faulty/seen", "--format", format, "--force", "--out", path];
        let answer = data.run(args);
        assert_eq!(answer.exit, Some(2), "{answer:#?}");
        assert!(answer.stderr.contains("error"), "{answer:#?}");
        assert_eq!((files(&dir), fs::read(&file).unwrap()), (vec!["seen.csv".to_owned()], whole.clone()));
    }
    set_stored(&data, SEEN, [("z", None), ("a", None)]);
    data.ok([&args[..], &["--force"]].concat());
    assert_eq!(fs::read(&file).unwrap(), b"\"key\",\"x\"\n\"b\",2\n");
}

#[test]
fn what_cannot_be_exported_is_refused_by_name() {
    let fields = (0..1001).map(|number| (number.to_string(), json!(number)));
    let data = with_rows(&[("a", fields.collect())]);
    data.run(["model", "export", "faulty/seen", "--format", "csv"]).refused(3, &["faulty/seen", "1000", "ndjson"]);
    data.ok(["model", "export", "faulty/seen"]);
    data.run(["model", "export", "faulty/seen", "--format", "parquet"]).refused(2, &["--out FILE"]);
    data.run(["--json", "model", "export", "faulty/seen", "--format", "csv"]).refused(2, &["--out FILE"]);
    data.run(["model", "export", "faulty/unseen"]).refused(3, &["unseen", "it has: seen"]);
    data.run(["model", "export", "faulty/seen", "--generation", "9"]).refused(3, &["9"]);
}

#[test]
fn an_export_is_of_one_generation_whatever_is_promoted_meanwhile() {
    let (data, events) = with_orders(60_000);
    let old = oracle::orders(&events).0;
    let _host = data.serve();
    let mut command = data.command(["model", "export", "order-summary/orders", "--format", "csv"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut csv = String::new();
    // The header: all rows have been looked at. Nobody reads on, so that most of them are still to come.
    stdout.read_line(&mut csv).unwrap();
    let first = events[0]["id"].as_str().unwrap();
    // The third drops the generation that is being exported.
    for _ in 0..3 {
        data.ok(["rebuild", "order-summary", "--to", first]);
    }
    assert_eq!(data.rows("order-summary/orders").len(), 1);
    data.run(["model", "digest", "order-summary", "--generation", "1"]).refused(3, &["no generation 1"]);
    stdout.read_to_string(&mut csv).unwrap();
    let answer: Answer = child.wait_with_output().unwrap().into();
    assert_eq!(answer.exit, Some(0), "{answer:#?}");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let version = reader.headers().unwrap().iter().position(|name| name == "version").unwrap();
    let read = reader.records().map(|record| record.map(|record| (record[0].to_owned(), record[version].to_owned())));
    let read: Vec<_> = read.collect::<Result<_, _>>().unwrap();
    let expected: Vec<_> = old.iter().map(|(key, row)| (key.clone(), row["version"].to_string())).collect();
    assert!(read == expected, "{} of {} rows", read.len(), expected.len());
}
