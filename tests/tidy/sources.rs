//! What every source file is held to.

use crate::tree::{File, files, none};

#[test]
fn every_source_file_says_first_what_it_is_for() {
    let complaints = files().into_iter().filter(File::is_rust);
    let complaints = complaints.filter(|file| !file.text.starts_with("//! "));
    none(&complaints.map(|file| file.path).collect::<Vec<_>>());
}

#[test]
fn no_source_file_is_longer_than_500_lines_without_its_tests() {
    let mut complaints = Vec::new();
    for file in files()
        .iter()
        .filter(|file| file.is_rust() && !is_test(&file.path))
    {
        let lines = file.text.lines();
        let own = lines.take_while(|line| *line != "#[cfg(test)]").count();
        if own > FILE_LINES_MAX && !LONG.contains(&file.path.as_str()) {
            complaints.push(format!("{}: {own} lines", file.path));
        }
    }
    none(&complaints);
}

#[test]
fn no_tests_of_more_than_150_lines_stand_in_the_file_they_test() {
    let mut complaints = Vec::new();
    for file in files()
        .iter()
        .filter(|file| file.is_rust() && !is_test(&file.path))
    {
        let tests = file
            .text
            .lines()
            .skip_while(|line| *line != "#[cfg(test)]")
            .count();
        if tests > INLINE_TESTS_MAX {
            complaints.push(format!("{}: {tests} lines of tests", file.path));
        }
    }
    none(&complaints);
}

#[test]
fn no_line_is_longer_than_100_columns() {
    let mut complaints = Vec::new();
    for file in files().iter().filter(|file| file.is_rust()) {
        for (number, line) in (1..).zip(file.text.lines()) {
            let columns = line.chars().count();
            // A table of tests is lined up by hand, and a text is broken where it breaks.
            if columns > COLUMNS_MAX && !is_table(line) && !is_text(line) {
                complaints.push(format!("{}:{number}: {columns} columns", file.path));
            }
        }
    }
    none(&complaints);
}

#[test]
fn an_rfc_is_cited_with_its_section() {
    let mut complaints = Vec::new();
    for file in files().iter().filter(|file| file.is_rust()) {
        let text = joined(&file.text);
        for (at, _) in text.match_indices("RFC ") {
            let rest = &text[at + 4..];
            let digits = rest.chars().take_while(char::is_ascii_digit).count();
            let after = rest[digits..].trim_start_matches([' ', ',']);
            let is_whole = after.starts_with('§') || after.starts_with("Appendix");
            if digits >= 3 && !is_whole && !is_naming(rest) {
                let line = text[..at].matches('\n').count() + 1;
                let words: String = rest.chars().take(40).collect();
                complaints.push(format!("{}, line {line} or near: RFC {words}", file.path));
            }
        }
    }
    none(&complaints);
}

#[test]
fn nothing_unfinished_is_left_behind() {
    let words = ["dbg!", "todo!", "unimplemented!"].map(|word| format!("{word}("));
    let marks = [
        ["FIX", "ME"],
        ["TO", "DO"],
        ["#[ig", "nore"],
        ["#[should", "_panic"],
    ];
    let words = words.into_iter().chain(marks.map(|mark| mark.concat()));
    let words: Vec<String> = words.collect();
    let mut complaints = Vec::new();
    for file in files().iter().filter(|file| file.is_rust()) {
        for (number, line) in (1..).zip(file.text.lines()) {
            let found = words.iter().find(|word| line.contains(word.as_str()));
            // The words stand in this file, too.
            if let Some(word) = found.filter(|_| file.path != "tests/tidy/sources.rs") {
                complaints.push(format!("{}:{number}: {word}", file.path));
            }
        }
    }
    none(&complaints);
}

#[test]
fn no_file_leads_out_of_the_project() {
    let outside = [
        ["../sha", "red"],
        ["/wo", "rk/"],
        ["/tm", "p/h/"],
        ["/ro", "ot/"],
        ["/ho", "me/"],
    ];
    let outside = outside.map(|path| path.concat());
    let mut complaints = Vec::new();
    // Captures and profiles are what others wrote.
    let ours =
        |file: &&File| !file.path.starts_with("tests/data/") && !file.path.ends_with(".lock");
    for file in files().iter().filter(ours) {
        for (number, line) in (1..).zip(file.text.lines()) {
            if let Some(path) = outside.iter().find(|path| line.contains(path.as_str())) {
                complaints.push(format!("{}:{number}: {path}", file.path));
            }
        }
    }
    none(&complaints);
}

#[test]
fn the_pure_crates_read_no_clock_and_draw_no_numbers() {
    let words = [
        "Instant::now",
        "SystemTime::now",
        "rand::",
        "tokio::",
        "thread::sleep",
    ];
    let mut complaints = Vec::new();
    let pure = |file: &&File| {
        let mut folders = PURE.iter().map(|name| format!("crates/{name}/src/"));
        folders.any(|folder| file.path.starts_with(&folder)) && !is_test(&file.path)
    };
    for file in files().iter().filter(pure) {
        let lines = (1..)
            .zip(file.text.lines())
            .take_while(|(_, line)| *line != "#[cfg(test)]");
        for (number, line) in lines.filter(|(_, line)| !line.trim_start().starts_with("//")) {
            if let Some(word) = words.iter().find(|word| has_word(line, word)) {
                complaints.push(format!("{}:{number}: {word}", file.path));
            }
        }
    }
    none(&complaints);
}

fn is_test(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    parts.contains(&"tests") || path.ends_with("/tests.rs")
}

/// A row of a table in a test, kept in columns by `rustfmt::skip`.
fn is_table(line: &str) -> bool {
    line.trim_start().starts_with('(') && line.trim_end().ends_with([',', ')'])
}

/// Whether a line is too long for its strings alone: rustfmt breaks none.
fn is_text(line: &str) -> bool {
    let quotes = line.find('"').zip(line.rfind('"'));
    let text = quotes.map_or(0, |(first, last)| line[first..last].chars().count());
    line.chars().count() - text <= COLUMNS_MAX && text > 0
}

/// The text with comments that go on in the next line joined, line breaks kept as counted.
fn joined(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    for line in text.lines() {
        let rest = line.trim_start();
        let comment = ["/// ", "//! ", "// "]
            .iter()
            .find_map(|mark| rest.strip_prefix(mark));
        match comment {
            Some(comment) if joined.ends_with(|last: char| last.is_ascii_digit()) => {
                joined.push(' ');
                joined.push_str(comment);
            }
            _ => {
                joined.push('\n');
                joined.push_str(line);
            }
        }
    }
    joined
}

/// Where the RFC itself is meant, as the name of its test messages or of a kind of phone.
fn is_naming(rest: &str) -> bool {
    NAMES.iter().any(|name| rest.starts_with(name))
}

/// Whether `word` stands in `line`, and not as the end of a longer word (`fastrand::`).
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|before| !before.is_alphanumeric() && before != '_')
    })
}

const FILE_LINES_MAX: usize = 500;
/// One measurement told from start to end: cut in two it would be read in two places.
const LONG: [&str; 1] = ["crates/store/examples/cost.rs"];
const INLINE_TESTS_MAX: usize = 150;
const COLUMNS_MAX: usize = 100;
const PURE: [&str; 7] = [
    "agent", "balancer", "oob", "pool", "presence", "sip", "store",
];
/// The torture messages, and the protocol before RFC 3261 §17 had cookies.
const NAMES: [&str; 4] = ["4475", "5118", "2543", "2069"];
