//! The gate on dependencies: every licence is one we may ship, and no crate is there in two
//! versions unless it is listed with its reason.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

#[test]
fn every_licence_is_permissive() {
    let packages = packages();
    let refused: Vec<String> = packages
        .iter()
        .filter(|package| !is_permissive(package))
        .map(|package| format!("{} {}: {}", package.name, package.version, package.licence))
        .collect();
    assert!(packages.len() > 20, "the whole tree was read");
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn no_crate_is_there_twice() {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages() {
        versions
            .entry(package.name)
            .or_default()
            .push(package.version);
    }
    let twice: Vec<_> = versions
        .into_iter()
        .filter(|(name, versions)| {
            versions.len() > 1 && !TWICE.iter().any(|(known, _)| known == name)
        })
        .collect();
    assert!(twice.is_empty(), "{twice:#?}");
}

struct Package {
    name: String,
    version: String,
    licence: String,
}

/// Everything that normal and build dependencies bring to a Linux build; what only tests use is not
/// shipped.
fn packages() -> Vec<Package> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    let shipped = shipped(&metadata);
    let all = metadata["packages"].as_array().expect("packages").iter();
    all.filter(|package| shipped.contains(&text(&package["id"])))
        .map(|package| Package {
            name: text(&package["name"]),
            version: text(&package["version"]),
            licence: text(&package["license"]),
        })
        .collect()
}

/// The ids reached from our crates over normal and build edges.
fn shipped(metadata: &Value) -> Vec<String> {
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
    let is_shipped = |edge: &&Value| {
        let kinds = edge["dep_kinds"].as_array().expect("kinds");
        kinds
            .iter()
            .any(|kind| kind["kind"].as_str() != Some("dev"))
    };
    let mut todo: Vec<String> = nodes
        .iter()
        .map(|node| text(&node["id"]))
        .filter(|id| id.contains("/crates/presently#"))
        .collect();
    assert!(!todo.is_empty(), "the program is in the tree");
    let mut reached = Vec::new();
    while let Some(id) = todo.pop() {
        if reached.contains(&id) {
            continue;
        }
        let node = nodes
            .iter()
            .find(|node| text(&node["id"]) == id)
            .expect("a node");
        let edges = node["deps"].as_array().expect("deps").iter();
        todo.extend(edges.filter(is_shipped).map(|edge| text(&edge["pkg"])));
        reached.push(id);
    }
    reached
}

fn is_permissive(package: &Package) -> bool {
    if LICENCE_IN_A_FILE.contains(&package.name.as_str()) {
        return true;
    }
    // Each part of an AND must be allowed; of an OR one is enough. No expression here nests deeper.
    let licence = package.licence.replace('/', " OR ").replace(['(', ')'], "");
    licence.split(" AND ").all(|part| {
        part.split(" OR ")
            .any(|name| ALLOWED.contains(&name.trim()))
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

const ALLOWED: [&str; 11] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Declared by `license-file`, read by us: MIT.
const LICENCE_IN_A_FILE: [&str; 2] = ["rsip", "rsip-derives"];

/// Crates in two versions, and why that stays.
const TWICE: [(&str, &str); 2] = [
    (
        "getrandom",
        "a function of one call: ring has not moved to the one that rand has",
    ),
    (
        "syn",
        "only in macros, at build time: tracing has not moved to 3",
    ),
];
