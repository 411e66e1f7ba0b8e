//! The pipeline can be read from anywhere: its files name each other in one direction only.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The modules that `code` names after `super::`.
fn named(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for rest in code.split("super::").skip(1) {
        let (list, nested) = rest.strip_prefix('{').map_or((rest, false), |list| (list, true));
        let (mut depth, mut word, mut in_path) = (0, String::new(), false);
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                c if c.is_alphanumeric() || c == '_' => {
                    if depth == 0 && !in_path {
                        word.push(c);
                    }
                    continue;
                }
                ',' if depth == 0 && nested => in_path = false,
                c if c.is_whitespace() && nested => continue,
                ':' if nested => in_path = true,
                _ if depth > 0 => continue,
                _ => break,
            }
            names.insert(std::mem::take(&mut word));
        }
        names.insert(word);
    }
    names.into_iter().filter(|name| !name.is_empty()).collect()
}

#[test]
fn the_names_behind_super_are_found() {
    let code = "use super::{\n    chunk::{Chunk, LastEvent},\n    culprit, stages,\n};\nuse super::owners::Looked;\nsuper::limits::lower(1)";
    let found: Vec<_> = named(code).into_iter().collect();
    assert_eq!(found, ["chunk", "culprit", "limits", "owners", "stages"]);
}

#[test]
fn files_name_each_other_in_one_direction() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pipeline");
    let mut left = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() || ["mod", "testing", "tests"].contains(&name.as_str()) {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let code: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        left.insert(name, named(&code.join("\n")));
    }
    assert!(left["handlers"].contains("culprit") && left["culprit"].contains("calls"), "{left:?}");
    for (file, names) in &left {
        let unknown: Vec<_> = names.iter().filter(|name| !left.contains_key(*name)).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}, which is no file of its own");
    }
    // Removes files that name none of those left, until only cycles and those above them are.
    while let Some(next) = left.iter().find(|(_, names)| names.is_disjoint(&left.keys().cloned().collect())) {
        let next = next.0.clone();
        left.remove(&next);
    }
    assert!(left.is_empty(), "there is a cycle in {left:?}");
}
