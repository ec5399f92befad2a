//! Goal: a backup is whole, private, and never takes the place of anything by accident; a store
//! that is only read is left as it is. Method: files, and writers beside them.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod place;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::thread;

use presently_pool::{Membership, Role};
use presently_sip::{Aor, WallTime};
use presently_store::sqlite::{BackupError, Existing, Inline, OpenError, Settings, back_up};
use presently_store::{Operation, Outcome, Refused, Store, Ticket};
use rusqlite::Connection;

use place::Place;

#[test]
fn a_backup_has_what_was_committed_before_it_began_while_others_write() {
    let place = Place::new();
    let copy = place.path().with_extension("copy");
    let mut store = writable(&place.path());
    let by = join(&mut store);
    (0..2_000).for_each(|number| assign(&mut store, by, number));
    let is_done = AtomicBool::new(false);
    let written = thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut number = 2_000;
            while !is_done.load(Ordering::Acquire) {
                assign(&mut store, by, number);
                number += 1;
            }
            number
        });
        for _ in 0..3 {
            back_up(&place.path(), &copy, Existing::Replace).unwrap();
        }
        is_done.store(true, Ordering::Release);
        writing.join().unwrap()
    });
    let kept = clients(&mut Inline::open_to_read(&copy).unwrap());
    assert!((2_000..=written).contains(&kept), "{kept} of {written}");
    assert!(written > 2_000, "nobody wrote meanwhile");
    assert_is_sound(&copy);
    // It is a store like any other.
    let mut again = writable(&copy);
    assign(&mut again, by, written + 1);
    assert_eq!(clients(&mut again), kept + 1);
}

#[test]
fn a_backup_is_one_file_that_its_owner_alone_may_read() {
    let place = Place::new();
    let folder = place.path().parent().unwrap().join("copies");
    fs::create_dir(&folder).unwrap();
    let mut store = writable(&place.path());
    join(&mut store);
    let bytes = back_up(&place.path(), &folder.join("copy.db"), Existing::Keep).unwrap();
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(Result::unwrap).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let metadata = files[0].metadata().unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(metadata.len(), bytes);
}

#[test]
fn what_is_there_stays_unless_it_is_to_be_replaced() {
    let place = Place::new();
    let copy = place.path().with_extension("copy");
    let mut store = writable(&place.path());
    join(&mut store);
    fs::write(&copy, "a letter").unwrap();
    let refused = back_up(&place.path(), &copy, Existing::Keep).unwrap_err();
    assert!(matches!(refused, BackupError::Exists), "{refused:?}");
    assert_eq!(fs::read(&copy).unwrap(), b"a letter");
    back_up(&place.path(), &copy, Existing::Replace).unwrap();
    assert_is_sound(&copy);
}

#[test]
fn the_store_is_never_replaced_by_its_own_copy() {
    let place = Place::new();
    let mut store = writable(&place.path());
    join(&mut store);
    let link = place.path().with_extension("link");
    std::os::unix::fs::symlink(place.path(), &link).unwrap();
    let beside = ["wal", "turn"].map(|end| place.path().with_extension(format!("db-{end}")));
    fs::write(&beside[1], "").unwrap();
    for file in [place.path(), link].iter().chain(&beside) {
        let refused = back_up(&place.path(), file, Existing::Replace).unwrap_err();
        assert!(matches!(refused, BackupError::Itself), "{refused:?}");
    }
}

#[test]
fn a_log_of_another_database_is_not_left_beside_a_backup() {
    let place = Place::new();
    let copy = place.path().with_extension("copy");
    fs::write(place.path().with_extension("copy-wal"), "pages").unwrap();
    let mut store = writable(&place.path());
    join(&mut store);
    let refused = back_up(&place.path(), &copy, Existing::Replace).unwrap_err();
    assert!(matches!(refused, BackupError::Log { .. }), "{refused:?}");
    assert!(!copy.exists());
}

#[test]
fn a_backup_that_fails_leaves_nothing_behind() {
    let place = Place::new();
    let folder = place.path().parent().unwrap().to_owned();
    fs::write(
        place.path(),
        "a letter to somebody, longer than a head: ".repeat(9),
    )
    .unwrap();
    let refused = back_up(&place.path(), &folder.join("copy"), Existing::Keep).unwrap_err();
    let is_named = matches!(refused, BackupError::Store(OpenError::NotADatabase));
    assert!(is_named, "{refused:?}");
    let missing = back_up(&folder.join("none"), &folder.join("copy"), Existing::Keep);
    let missing = missing.unwrap_err();
    assert!(
        matches!(missing, BackupError::Store(OpenError::Missing)),
        "{missing:?}"
    );
    fs::remove_file(place.path()).unwrap();
    join(&mut writable(&place.path()));
    let nowhere = back_up(&place.path(), &folder.join("no/copy"), Existing::Keep).unwrap_err();
    assert!(matches!(nowhere, BackupError::Target { .. }), "{nowhere:?}");
    let named = format!("{}/no/copy.part-", folder.display());
    assert!(nowhere.to_string().starts_with(&named), "{nowhere}");
    let files = fs::read_dir(&folder).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert!(
        names
            .iter()
            .all(|name| name.to_str().unwrap().starts_with("pool.db")),
        "{names:?}"
    );
}

/// In a container every process has the id that a killed one had.
#[test]
fn what_a_killed_backup_left_is_in_nobodys_way() {
    let place = Place::new();
    let mut store = writable(&place.path());
    join(&mut store);
    let copy = place.path().with_extension("copy");
    let left = format!("copy.part-{}", std::process::id());
    let left = place.path().with_extension(left);
    fs::write(&left, "a part").unwrap();
    back_up(&place.path(), &copy, Existing::Keep).unwrap();
    assert_is_sound(&copy);
    assert_eq!(fs::read(&left).unwrap(), b"a part");
}

/// `SQLite` takes such a name for a URI, and would write to another file.
#[test]
fn a_name_like_a_uri_is_a_name() {
    let place = Place::new();
    let mut store = writable(&place.path());
    join(&mut store);
    let name = format!("file:presently-{}.db", std::process::id());
    let bytes = back_up(&place.path(), Path::new(&name), Existing::Keep);
    let copied = fs::read(&name);
    let _ = fs::remove_file(&name);
    assert!(bytes.unwrap() > 0);
    assert!(copied.unwrap().starts_with(b"SQLite format 3\0"));
}

#[test]
fn a_store_that_is_only_read_refuses_to_write_and_is_not_brought_up_to_date() {
    let place = Place::new();
    let mut store = writable(&place.path());
    let by = join(&mut store);
    assign(&mut store, by, 1);
    let mut reading = Inline::open_to_read(&place.path()).unwrap();
    let refused = ask(&mut reading, Operation::Leave { by }).unwrap_err();
    assert_eq!(refused, Refused::Unavailable);
    assert_eq!(clients(&mut reading), 1);
    assign(&mut store, by, 2);
    assert_eq!(clients(&mut reading), 2, "each look is a fresh one");
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("UPDATE schema SET steps = 1").unwrap();
    let error = Inline::open_to_read(&place.path()).unwrap_err();
    assert!(
        matches!(error, OpenError::Older { found: 1, .. }),
        "{error:?}"
    );
    let steps = other.query_row("SELECT steps FROM schema", [], |row| row.get(0));
    assert_eq!(steps, Ok(1));
    other.pragma_update(None, "user_version", 99).unwrap();
    let error = Inline::open_to_read(&place.path()).unwrap_err();
    assert!(
        matches!(error, OpenError::Newer { found: 99, .. }),
        "{error:?}"
    );
}

#[test]
fn a_store_is_read_also_when_nobody_else_has_it_open() {
    let place = Place::new();
    let mut store = writable(&place.path());
    let by = join(&mut store);
    assign(&mut store, by, 1);
    drop(store);
    assert_eq!(
        clients(&mut Inline::open_to_read(&place.path()).unwrap()),
        1
    );
}

/// As it is for somebody who may read the file and not write to its directory.
#[test]
fn a_reader_without_a_place_for_shared_memory_is_told_so() {
    let place = Place::new();
    join(&mut writable(&place.path()));
    let nowhere = place.path().with_extension("no").join("where");
    std::os::unix::fs::symlink(nowhere, place.path().with_extension("db-shm")).unwrap();
    let error = Inline::open_to_read(&place.path()).unwrap_err();
    assert!(matches!(error, OpenError::Beside(_)), "{error:?}");
}

#[test]
fn nothing_is_made_by_reading() {
    let place = Place::new();
    let error = Inline::open_to_read(&place.path()).unwrap_err();
    assert!(matches!(error, OpenError::Missing), "{error:?}");
    assert!(!place.path().exists());
    let folder = place.path().parent().unwrap().to_owned();
    let error = Inline::open_to_read(&folder).unwrap_err();
    assert!(matches!(error, OpenError::NotAFile), "{error:?}");
    Connection::open(place.path())
        .unwrap()
        .execute_batch("CREATE TABLE clients (name)")
        .unwrap();
    let error = Inline::open_to_read(&place.path()).unwrap_err();
    assert!(matches!(error, OpenError::OtherProgram), "{error:?}");
}

fn assert_is_sound(path: &Path) {
    let connection = Connection::open(path).unwrap();
    let check = connection.pragma_query_value(None, "integrity_check", |row| row.get(0));
    assert_eq!(check, Ok("ok".to_owned()));
}

fn writable(path: &Path) -> Inline {
    Inline::open(path, &Settings::default()).unwrap()
}

fn join(store: &mut Inline) -> Membership {
    let operation = Operation::Join {
        name: "a".into(),
        over: None,
        role: Role::Server,
        host: "host".into(),
        pid: 1,
        started: 1,
        sip: None,
        oob: None,
        weight: 1,
        seed: [0; 16],
    };
    match ask(store, operation) {
        Ok(Outcome::Joined { membership, .. }) => membership,
        other => panic!("not joined: {other:?}"),
    }
}

fn assign(store: &mut Inline, by: Membership, number: u64) {
    let assigned = Operation::Assign {
        by,
        client: Aor::from_canonical(&format!("sip:{number}@example.com")),
        create: true,
        now: WallTime(0),
    };
    ask(store, assigned).unwrap();
}

fn clients(store: &mut Inline) -> u64 {
    match ask(store, Operation::Status) {
        Ok(Outcome::Status(status)) => status.clients,
        other => panic!("no status: {other:?}"),
    }
}

fn ask(store: &mut Inline, operation: Operation) -> Result<Outcome, Refused> {
    store.submit(&mut vec![(Ticket(0), operation)]);
    let mut done = Vec::new();
    let _ = store.poll(&mut Context::from_waker(Waker::noop()), &mut done);
    done.pop().unwrap().result
}
