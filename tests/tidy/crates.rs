//! Which crate may use which: the table of docs/architecture.md against the manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::tree::{files, none, root};

/// What a crate may use of ours, by its own name, as docs/architecture.md says; `all` is
/// everything.
fn allowed() -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join("docs/architecture.md")).expect("the page is there");
    let rows = text.lines().filter(|line| line.starts_with("| `presently"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
    })
    .collect()
}

/// The names in a manifest's `[dependencies]`.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let section = manifest
        .split("\n[dependencies]")
        .nth(1)
        .unwrap_or_default();
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    lines
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn manifests() -> Vec<(String, String)> {
    let manifests = files().into_iter();
    let manifests = manifests
        .filter(|file| file.path.starts_with("crates/") && file.path.ends_with("/Cargo.toml"));
    manifests
        .map(|file| {
            let name = file
                .text
                .split("name = \"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            (name.expect("a manifest has a name").to_owned(), file.text)
        })
        .collect()
}

#[test]
fn arrows_point_down_only() {
    let allowed = allowed();
    let mut complaints = Vec::new();
    for (name, manifest) in manifests() {
        let Some(cell) = allowed.get(&name) else {
            complaints.push(format!("{name} is not in the table"));
            continue;
        };
        let may = |used: &str| {
            let short = used.trim_start_matches("presently-");
            cell == "all" || cell.split(", ").any(|one| one == short)
        };
        let used = dependencies(&manifest).into_iter();
        let ours = used.filter(|used| used.starts_with("presently"));
        let wrong = ours.filter(|used| !may(used));
        complaints.extend(wrong.map(|used| format!("{name} uses {used}")));
    }
    none(&complaints);
}

#[test]
fn the_table_names_every_crate_and_no_other() {
    let built: BTreeSet<String> = manifests().into_iter().map(|(name, _)| name).collect();
    let listed: BTreeSet<String> = allowed().into_keys().collect();
    assert_eq!(listed, built);
}

#[test]
fn only_the_sockets_and_the_program_are_async() {
    let mut complaints = Vec::new();
    for (name, manifest) in manifests() {
        let is_async = dependencies(&manifest).contains("tokio");
        if is_async && !ASYNC.contains(&name.as_str()) {
            complaints.push(name);
        }
    }
    none(&complaints);
}

#[test]
fn a_pure_crate_has_few_dependencies() {
    let mut complaints = Vec::new();
    for (name, manifest) in manifests().iter().filter(|(name, _)| name != "presently") {
        let count = dependencies(manifest)
            .iter()
            .filter(|used| !used.starts_with("presently"))
            .count();
        if count > DEPENDENCIES_MAX {
            complaints.push(format!("{name}: {count} dependencies"));
        }
    }
    none(&complaints);
}

#[test]
fn each_third_party_dependency_says_what_it_is_for() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest is there");
    let section = manifest
        .split("[workspace.dependencies]")
        .nth(1)
        .expect("the section is there");
    let lines = section
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    let third = lines.filter(|line| line.contains('=') && !line.starts_with("presently"));
    let silent = third.filter(|line| !line.contains(" # "));
    none(&silent.map(str::to_owned).collect::<Vec<_>>());
}

/// The sockets, the program, and the proxy of the nlb.
const ASYNC: [&str; 3] = ["presently", "presently-proxy", "presently-transport"];

/// What makes a crate heavy to embed.
const DEPENDENCIES_MAX: usize = 8;
