//! What the documents promise: links lead somewhere, and each line of docs/conformance.md has its
//! test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::tree::{File, files, none, root};

/// A line of docs/conformance.md.
struct Line {
    id: String,
    /// Where the rule stands.
    place: String,
    state: String,
    tests: Vec<String>,
}

/// The rows whose first cell is an id such as `G12` or `R3`.
fn lines() -> Vec<Line> {
    let text = fs::read_to_string(root().join("docs/conformance.md")).expect("the table is there");
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    cells
        .filter(|cells| is_id(cells[1]))
        .map(|cells| Line {
            id: cells[1].to_owned(),
            place: cells.get(3).copied().unwrap_or_default().to_owned(),
            state: cells
                .get(cells.len() - 3)
                .copied()
                .unwrap_or_default()
                .to_owned(),
            tests: names(cells.get(cells.len() - 2).copied().unwrap_or_default()),
        })
        .collect()
}

fn is_id(cell: &str) -> bool {
    let mut letters = cell.chars();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_uppercase())
        && !cell[1..].is_empty()
        && cell[1..].chars().all(|digit| digit.is_ascii_digit())
}

/// The names between back-quotes.
fn names(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Every `fn` of the tree that has `#[test]` above it, and each `proptest!` one.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files().iter().filter(|file| file.is_rust()) {
        let mut is_test = false;
        for line in file.text.lines().map(str::trim) {
            is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
            if let Some(rest) = line.strip_prefix("fn ").or(line.strip_prefix("async fn ")) {
                let name = rest.split(['(', '<']).next().unwrap_or_default();
                if std::mem::take(&mut is_test) {
                    found.insert(name.to_owned());
                }
            }
        }
    }
    found
}

#[test]
fn each_line_has_a_state_and_a_test_that_exists() {
    let tests = tests();
    let mut complaints = Vec::new();
    for Line {
        id,
        state,
        tests: named,
        ..
    } in lines()
    {
        let word = state.split([':', ' ']).next().unwrap_or_default();
        if !["kept", "departed", "later"].contains(&word) {
            complaints.push(format!("{id}: the state is {state:?}"));
        }
        if named.is_empty() && word != "later" {
            complaints.push(format!("{id}: no test"));
        }
        if word != "kept" && !state.contains(": ") {
            complaints.push(format!("{id}: {word} without a reason"));
        }
        let missing = named.iter().filter(|name| !tests.contains(*name));
        complaints.extend(missing.map(|name| format!("{id}: there is no test {name}")));
    }
    none(&complaints);
}

#[test]
fn every_line_that_is_asked_for_is_in_the_table_once() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for line in lines() {
        *counts.entry(line.id).or_default() += 1;
    }
    let mut complaints = Vec::new();
    for (letter, numbers) in ASKED {
        for number in *numbers {
            let id = format!("{letter}{number}");
            match counts.get(&id) {
                Some(1) => {}
                found => {
                    let count = found.unwrap_or(&0);
                    complaints.push(format!("{id} stands there {count} times"));
                }
            }
        }
    }
    none(&complaints);
}

/// A departure is said twice: in the table, and in a comment that names the same section.
#[test]
fn each_departure_is_said_in_the_code() {
    let sources = files();
    let sources = sources
        .iter()
        .filter(|file| file.is_rust() && file.path.starts_with("crates/"));
    let comments: Vec<String> = sources.flat_map(|file| comments(&file.text)).collect();
    let mut complaints = Vec::new();
    for line in lines()
        .iter()
        .filter(|line| line.state.starts_with("departed"))
    {
        let says = |comment: &&String| {
            let words = comment.to_lowercase();
            words.contains("departure") && comment.contains(&line.place)
        };
        if comments.iter().find(says).is_none() {
            complaints.push(format!("{}: no comment says so of {}", line.id, line.place));
        }
    }
    none(&complaints);
}

/// Each run of comment lines as one text.
fn comments(text: &str) -> Vec<String> {
    let mut comments = vec![String::new()];
    for line in text.lines().map(str::trim_start) {
        match line.strip_prefix("//") {
            Some(words) => {
                let last = comments.last_mut().expect("there is one from the start");
                last.push_str(words.trim_start_matches(['/', '!']));
            }
            None => comments.push(String::new()),
        }
    }
    comments.retain(|comment| !comment.is_empty());
    comments
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut complaints = Vec::new();
    let documents = files().into_iter().filter(|file| file.has_extension("md"));
    for file in documents {
        let folder = root().join(&file.path);
        let folder = folder
            .parent()
            .expect("a file stands in a folder")
            .to_owned();
        for link in links(&file) {
            let path = link.split('#').next().unwrap_or_default();
            let is_ours = !path.is_empty() && !path.contains("://") && !path.starts_with("mailto:");
            if is_ours && !folder.join(path).exists() && !COMING.contains(&path) {
                complaints.push(format!("{}: {link}", file.path));
            }
        }
    }
    none(&complaints);
}

/// What stands in `](…)`.
fn links(file: &File) -> Vec<String> {
    let parts = file.text.split("](").skip(1);
    parts
        .filter_map(|part| part.split(')').next())
        .map(str::to_owned)
        .collect()
}

/// Written when there are figures to write.
const COMING: [&str; 1] = ["docs/performance.md"];

/// The lines of the checklist's first wave that this pool is to keep now, and R1 to R20, R24 to
/// R27, R34, R35.
const ASKED: &[(&str, &[u8])] = &[
    (
        "A",
        &[
            1, 2, 3, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 19, 20, 22, 23, 24, 25, 26, 27, 28,
            30,
        ],
    ),
    ("B", &[1, 2, 3, 4, 7, 8]),
    ("C", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 16, 19, 20]),
    (
        "D",
        &[1, 2, 4, 5, 6, 7, 8, 11, 12, 13, 15, 17, 19, 20, 21, 23],
    ),
    (
        "G",
        &[
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 18, 19, 20, 22, 23, 24, 25, 26, 30,
            31, 32, 33,
        ],
    ),
    (
        "H",
        &[
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 18, 19, 20, 23,
        ],
    ),
    ("I", &[1, 2, 3, 4, 5, 6, 7, 9, 12, 15]),
    ("Q", &[1, 2, 3, 6, 7]),
    (
        "R",
        &[
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
            25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36,
        ],
    ),
    (
        "S",
        &[
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
            25, 26, 28, 29, 30,
        ],
    ),
];
