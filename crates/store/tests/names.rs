//! A path is the name of a file, whatever `SQLite` would take it for. The only test of its process:
//! it changes to another directory, as such names are relative.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod place;

use std::fs;
use std::path::Path;

use presently_store::sqlite::{Existing, Inline, Settings, back_up};

use place::Place;

#[test]
fn a_path_is_the_name_of_a_file_and_no_uri() {
    let place = Place::new();
    let directory = place.path().parent().unwrap().to_owned();
    std::env::set_current_dir(&directory).unwrap();
    for name in [
        "file:a.db",
        "file:b.db?mode=memory",
        "file:c?vfs=none",
        ":memory:",
    ] {
        let path = Path::new(name);
        drop(Inline::open(path, &Settings::default()).unwrap());
        assert!(fs::metadata(path).unwrap().len() > 0, "{name}");
        let copy = format!("{name}.copy");
        let bytes = back_up(path, Path::new(&copy), Existing::Keep).unwrap();
        assert_eq!(fs::metadata(&copy).unwrap().len(), bytes, "{name}");
        Inline::open_to_read(Path::new(&copy)).unwrap();
    }
    for file in fs::read_dir(&directory).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(
            name.starts_with("file:") || name.starts_with(":memory:"),
            "{name}"
        );
    }
}
