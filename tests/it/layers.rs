//! Imports point down only: the table of `ARCHITECTURE.md`, enforced by reading the source.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

const GROUND: &[&str] = &[
    "config", "http1", "metrics", "clock", "outgoing", "runtime", "shutdown", "seal", "model",
];

/// What each module may import besides itself. `app`, `cli` and `main` may import anything.
fn allowed() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let with_ground =
        |above: &[&'static str]| above.iter().chain(GROUND).copied().collect::<BTreeSet<_>>();
    let only = |list: &[&'static str]| list.iter().copied().collect::<BTreeSet<_>>();
    BTreeMap::from([
        ("model", only(&[])),
        ("config", only(&["model"])),
        ("http1", only(&["model"])),
        ("metrics", only(&["model"])),
        ("clock", only(&["model"])),
        ("outgoing", only(&["model"])),
        ("runtime", only(&["model"])),
        ("shutdown", only(&["model"])),
        ("seal", only(&["model"])),
        (
            "store",
            only(&["model", "config", "clock", "metrics", "seal"]),
        ),
        ("dns", only(&["model", "config"])),
        ("acme", only(&["model", "config", "clock", "outgoing"])),
        ("jwks", only(&["model", "config", "clock", "outgoing"])),
        ("resolve", with_ground(&["store", "jwks"])),
        ("guard", only(&["model", "clock", "metrics", "config"])),
        ("sign", only(&["model", "clock", "config", "seal"])),
        ("upstream", with_ground(&["dns"])),
        ("tls", with_ground(&["store"])),
        ("domains", only(&["dns", "model", "clock", "config"])),
        ("nameserver", with_ground(&["store"])),
        (
            "decide",
            with_ground(&["resolve", "guard", "sign", "upstream", "tls"]),
        ),
        (
            "proxy",
            with_ground(&[
                "decide", "resolve", "guard", "sign", "upstream", "tls", "store",
            ]),
        ),
        (
            "admin",
            with_ground(&[
                "decide", "resolve", "sign", "upstream", "tls", "domains", "store",
            ]),
        ),
        (
            "tasks",
            with_ground(&[
                "resolve", "guard", "sign", "upstream", "tls", "domains", "store", "acme", "dns",
            ]),
        ),
    ])
}

/// Every file of code below `folder`; what a build of the fuzz targets leaves there is none.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(is_code) {
            found.push(path);
        }
    }
}

/// The applications in `examples` are written in other languages.
fn is_code(extension: &OsStr) -> bool {
    ["rs", "py", "mjs"].iter().any(|code| extension == *code)
}

/// Every module named in a `crate::name` or a `use crate::{name, …}`.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        // `$crate` and `pub(in crate::…)` count too: they are imports all the same.
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group_heads(group)),
            None => found.extend(head(rest)),
        }
    }
    found
}

fn head(text: &str) -> Option<String> {
    let name: String = text
        .chars()
        .take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

fn group_heads(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut heads = vec![String::new()];
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(String::new()),
            c if depth == 0 => heads.last_mut().unwrap().push(c),
            _ => {}
        }
    }
    heads
        .iter()
        .filter_map(|entry| head(entry.trim()))
        .collect()
}

#[test]
fn imports_point_down_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let allowed = allowed();
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut faults = Vec::new();
    for file in &files {
        let relative = file.strip_prefix(&root).unwrap();
        let first = relative
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap();
        let module = first.trim_end_matches(".rs");
        if matches!(module, "app" | "cli" | "main" | "lib") {
            continue;
        }
        let may = allowed
            .get(module)
            .unwrap_or_else(|| panic!("{module} has no row in the table of layers"));
        let text = std::fs::read_to_string(file).unwrap();
        for import in imports(&text) {
            if import != module && !may.contains(import.as_str()) {
                faults.push(format!("{} imports crate::{import}", relative.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_reader_of_imports_sees_every_spelling() {
    let text = "use crate::store::Store; use crate::{model::Slug, clock::{Clock, Timestamp}, seal}; fn f() { crate::tls::x(crate::http1::y()) }";
    let found: Vec<_> = imports(text).into_iter().collect();
    assert_eq!(found, ["clock", "http1", "model", "seal", "store", "tls"]);
}

#[test]
fn files_stay_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches", "fuzz", "examples"] {
        sources(&root.join(folder), &mut files);
    }
    let long: Vec<_> = files
        .iter()
        .map(|file| (file, std::fs::read_to_string(file).unwrap().lines().count()))
        .filter(|(_, lines)| *lines > 400)
        .map(|(file, lines)| {
            let file = file.strip_prefix(root).unwrap().display();
            format!("{file} has {lines} lines")
        })
        .collect();
    assert!(long.is_empty(), "over 400 lines:\n{}", long.join("\n"));
}
