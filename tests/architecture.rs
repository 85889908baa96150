//! Holds the code to the map at the top of `src/lib.rs`: floors, bound crates, the length of files, their first line. And
//! proves on bad samples that it can fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

const LINES: usize = 400;

/// The map: the floor of each room (0 is the lowest) and the rooms of each bound crate.
struct Map {
    floors: BTreeMap<String, usize>,
    bound: BTreeMap<String, Vec<String>>,
}

impl Map {
    fn read(lib: &str) -> Self {
        let blocks = blocks(lib);
        let [floors, bound] = blocks.as_slice() else {
            panic!("src/lib.rs has {} text blocks, not two", blocks.len());
        };
        let height = floors.len();
        let rooms = |(index, line): (usize, &String)| {
            let names: Vec<_> = columns(line).0;
            names.into_iter().map(move |name| (name, height - 1 - index)).collect::<Vec<_>>()
        };
        let crates = |line: &String| {
            let (crates, rooms) = columns(line);
            crates.into_iter().map(move |name| (name, rooms.clone())).collect::<Vec<_>>()
        };
        Self {
            floors: floors.iter().enumerate().flat_map(rooms).collect(),
            bound: bound.iter().flat_map(crates).collect(),
        }
    }

    /// What is wrong with a file, given its path below `src`.
    fn problems(&self, path: &str, text: &str) -> Vec<String> {
        let room = path.split('/').next().unwrap().trim_end_matches(".rs");
        let mut problems = Vec::new();
        let Some(&floor) = self.floors.get(room) else {
            return vec![format!("{path}: the room {room} is not on the map")];
        };
        for used in uses(text) {
            match self.floors.get(&used) {
                None => problems.push(format!("{path}: uses crate::{used}, which is not on the map")),
                Some(&below) if below < floor || used == room => {}
                Some(_) => {
                    problems.push(format!("{path}: {room} may not use {used}: it lies on the same floor or above"))
                }
            }
        }
        let depth = path.split('/').count();
        // The tests at the end of a file are a module more.
        let code = text.split("#[cfg(test)]").next().unwrap();
        if code.contains(&"super::".repeat(depth)) {
            problems.push(format!("{path}: leaves its room by super::"));
        }
        for (name, rooms) in &self.bound {
            if names_crate(text, name) && !rooms.iter().any(|home| home == room) {
                problems.push(format!("{path}: names the crate {name}, which is bound to {}", rooms.join(" and ")));
            }
        }
        problems
    }
}

/// The lines of each ```text block of the documentation.
fn blocks(lib: &str) -> Vec<Vec<String>> {
    let mut blocks = Vec::new();
    let mut open: Option<Vec<String>> = None;
    for line in lib.lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim) {
        match (line, &mut open) {
            ("```text", None) => open = Some(Vec::new()),
            ("```", Some(lines)) => {
                blocks.push(std::mem::take(lines));
                open = None;
            }
            (line, Some(lines)) => lines.push(line.to_owned()),
            _ => {}
        }
    }
    blocks
}

/// Names, and after three spaces or more what is said of them, as words.
fn columns(line: &str) -> (Vec<String>, Vec<String>) {
    let (names, rest) = line.split_once("   ").unwrap_or((line, ""));
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    (words(names), words(rest))
}

/// The rooms that a file names by `crate::`.
fn uses(text: &str) -> Vec<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => rooms.push(identifier(rest)),
            Some(group) => rooms.extend(first_names(group)),
        }
    }
    rooms.retain(|room| !room.is_empty());
    rooms.sort();
    rooms.dedup();
    rooms
}

/// The first name of each item of a `use` group, whose opening brace is behind us.
fn first_names(group: &str) -> Vec<String> {
    let (mut depth, mut at_start, mut names) = (1, true, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => at_start = true,
            c if at_start && !c.is_whitespace() => {
                names.push(identifier(&group[at..]));
                at_start = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn names_crate(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
        line.match_indices(name).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = &line[at + name.len()..];
            let ends = after.starts_with("::") || after.starts_with(';') && line.contains("use ");
            before.is_none_or(|c| !is_part(c)) && ends
        })
    })
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

fn map() -> Map {
    Map::read(&fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap())
}

#[test]
fn the_code_keeps_to_the_map() {
    let map = map();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut problems = Vec::new();
    let mut rooms = Vec::new();
    for path in rust_files("src") {
        let below = path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
        rooms.push(below.split('/').next().unwrap().trim_end_matches(".rs").to_owned());
        if below != "lib.rs" {
            problems.extend(map.problems(&below, &fs::read_to_string(&path).unwrap()));
        }
    }
    for room in map.floors.keys().filter(|room| !rooms.contains(room)) {
        problems.push(format!("the map has a room {room} that is not there"));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn what_tells_databases_apart_stands_in_one_place() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let found: Vec<_> = rust_files("src")
        .into_iter()
        .filter(|path| {
            ["DbBackend::", "DatabaseBackend::"].iter().any(|word| fs::read_to_string(path).unwrap().contains(word))
        })
        .map(|path| path.strip_prefix(&source).unwrap().display().to_string())
        .collect();
    assert_eq!(found, ["store/dialect.rs"]);
}

#[test]
fn every_file_says_in_its_first_line_what_it_is_and_is_short() {
    let mut problems = Vec::new();
    for path in
        ["src", "migrations", "tests", "benches"].into_iter().filter(|f| Path::new(f).exists()).flat_map(rust_files)
    {
        let text = fs::read_to_string(&path).unwrap();
        if !text.starts_with("//! ") {
            problems.push(format!("{}: does not open with //! and a sentence", path.display()));
        }
        if text.lines().count() > LINES {
            problems.push(format!("{}: has more than {LINES} lines", path.display()));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn bad_samples_are_found() {
    let map = map();
    let bad = [
        ("factor/totp.rs", "use crate::store::Store;\nuse crate::flow;", "factor may not use flow"),
        ("policy.rs", "use crate::{\n    clock::Clock,\n    limit::{self, wait},\n};", "policy may not use limit"),
        ("store/mod.rs", "fn f() { crate::wire::serve() }", "store may not use wire"),
        ("wire/grpc/twofa.rs", "use sea_orm::EntityTrait;", "names the crate sea_orm"),
        ("flow/verify.rs", "fn f(s: tonic::Status) {}", "names the crate tonic"),
        ("flow/verify/login.rs", "use super::super::super::app;", "leaves its room"),
        ("helpers.rs", "", "not on the map"),
        ("flow/enable.rs", "use crate::utils::now;", "not on the map"),
    ];
    for (path, text, expected) in bad {
        let problems = map.problems(path, text);
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{path}: {problems:?}");
    }
    let good = "use crate::{\n    clock::{Clock, Timestamp},\n    model::Method,\n};\n// use tonic::Status;\nuse super::digits;";
    assert_eq!(map.problems("factor/totp.rs", good), Vec::<String>::new());
}
