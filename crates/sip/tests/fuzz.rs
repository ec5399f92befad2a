//! Goal: nothing that a peer can send panics, or is passed on as something else.
//! Method: what the fuzz targets check, over the whole corpus and over 10,000 mutations of it, each
//! made from one seed. A failure prints the seed.

use std::path::{Path, PathBuf};

use presently_sip::fuzz;

#[test]
fn the_corpus_holds() {
    for bytes in corpus() {
        fuzz::message(&bytes);
        fuzz::stream(&bytes);
    }
}

#[test]
fn ten_thousand_mutations_hold() {
    let corpus = corpus();
    for seed in 0..10_000 {
        let _seed = OnPanic(seed);
        let bytes = mutate(&corpus, &mut fastrand::Rng::with_seed(seed));
        fuzz::message(&bytes);
        fuzz::stream(&bytes);
    }
}

/// Tells which seed failed.
struct OnPanic(u64);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

fn mutate(corpus: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = random.choice(corpus).expect("a corpus").clone();
    for _ in 0..random.usize(1..=4) {
        let at = random.usize(..=bytes.len());
        let end = (at + random.usize(..40)).min(bytes.len());
        let piece = match random.u8(..6) {
            0 => Vec::new(),
            1 => piece(&bytes, at, 2 * (end - at)),
            2 => vec![random.u8(..)],
            3 => {
                let other = random.choice(corpus).expect("a corpus");
                piece(other, random.usize(..=other.len()), 60)
            }
            _ => random.choice(WORDS).expect("a word").as_bytes().to_vec(),
        };
        let end = if random.bool() { at } else { end };
        bytes.splice(at..end, piece).for_each(drop);
    }
    bytes
}

fn piece(bytes: &[u8], at: usize, length: usize) -> Vec<u8> {
    bytes.iter().skip(at).take(length).copied().collect()
}

/// What a random byte would hardly ever make.
const WORDS: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    "\r\n ",
    "\t",
    " ",
    ":",
    ";",
    ",",
    "=",
    "\"",
    "\\",
    "<",
    ">",
    "@",
    "%00",
    "%",
    "?",
    "[",
    "]",
    "[::1]",
    "*",
    "SIP/2.0",
    "Via: ",
    "\r\nVia: x",
    "v:",
    "\r\nl: 5",
    "Content-Length: ",
    "\r\nRoute: <sip:a;lr>, ",
    ";rport",
    ";received=",
    ";tag=",
    "4294967296",
    "-1",
    "\u{e9}",
    "\0",
];

fn corpus() -> Vec<Vec<u8>> {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data");
    let mut corpus = Vec::new();
    for folder in ["torture", "captures"] {
        collect(&data.join(folder), &mut corpus);
    }
    assert!(corpus.len() > 150);
    corpus
}

/// In the order of their names, so that a seed means the same everywhere.
fn collect(folder: &Path, corpus: &mut Vec<Vec<u8>>) {
    let entries = std::fs::read_dir(folder).expect("the test data");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, corpus);
        } else if path.extension().is_some_and(|extension| extension == "sip") {
            corpus.push(std::fs::read(&path).expect("a readable file"));
        }
    }
}
