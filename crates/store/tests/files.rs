//! Files: what can be opened, what is said of the rest, and what the threaded store does at its
//! bounds.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod asking;
mod place;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use presently_pool::Membership;
use presently_sip::WallTime;
use presently_store::sqlite::{Inline, OpenError, Settings, Threaded};
use presently_store::{Operation, Outcome, Refused, Store, Ticket};
use rusqlite::Connection;

use asking::{ask, assign, beat, clients, join};
use place::Place;

#[test]
fn a_new_file_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let mut store = threaded(&place.path(), &Settings::default());
    join(&mut store, "a");
    for file in fs::read_dir(place.path().parent().unwrap()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.path());
    }
}

#[test]
fn a_file_that_is_no_database_is_not_opened() {
    let place = Place::new();
    fs::write(
        place.path(),
        "a letter to somebody, longer than the head of a database: ".repeat(9),
    )
    .unwrap();
    let error = Threaded::open(&place.path(), &Settings::default()).unwrap_err();
    assert!(matches!(error, OpenError::NotADatabase), "{error:?}");
}

#[test]
fn a_directory_is_not_opened() {
    let place = Place::new();
    let directory = place.path().parent().unwrap().to_owned();
    let error = Threaded::open(&directory, &Settings::default()).unwrap_err();
    assert!(matches!(error, OpenError::NotAFile), "{error:?}");
}

#[test]
fn a_path_that_cannot_be_made_is_unreadable() {
    let place = Place::new();
    let path = place.path().join("below a file");
    fs::write(place.path(), "").unwrap();
    let error = Threaded::open(&path, &Settings::default()).unwrap_err();
    assert!(matches!(error, OpenError::Unreadable(_)), "{error:?}");
}

/// Whatever journal it has, whether its owner writes at the moment or was killed while it did.
#[test]
fn another_programs_database_is_not_touched() {
    for journal in ["DELETE", "WAL"] {
        let place = Place::new();
        let other = Connection::open(place.path()).unwrap();
        other.pragma_update(None, "journal_mode", journal).unwrap();
        other
            .execute_batch("CREATE TABLE clients (name TEXT); BEGIN IMMEDIATE")
            .unwrap();
        let copies = Place::new();
        for (from, to) in files(&place).zip(files(&copies)) {
            // Of the log there may be none.
            let _ = fs::copy(from, to);
        }
        for place in [place, copies] {
            let before: Vec<_> = files(&place).map(|file| fs::read(file).ok()).collect();
            let error = Inline::open(&place.path(), &Settings::default()).unwrap_err();
            assert!(matches!(error, OpenError::OtherProgram), "{error:?}");
            let after: Vec<_> = files(&place).map(|file| fs::read(file).ok()).collect();
            assert!(before == after, "{journal}: changed");
        }
    }
}

/// A database and its log.
fn files(place: &Place) -> impl Iterator<Item = PathBuf> {
    ["db", "db-wal"]
        .map(|end| place.path().with_extension(end))
        .into_iter()
}

#[test]
fn a_store_of_a_newer_program_is_not_opened() {
    let place = Place::new();
    drop(threaded(&place.path(), &Settings::default()));
    let connection = Connection::open(place.path()).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    let error = Threaded::open(&place.path(), &Settings::default()).unwrap_err();
    assert!(
        matches!(error, OpenError::Newer { found: 99, .. }),
        "{error:?}"
    );
}

/// A step that only adds leaves who is older in place: this program goes on with a store of a later
/// one, beside it.
#[test]
fn a_store_to_which_a_later_release_has_added_is_used() {
    let place = Place::new();
    drop(threaded(&place.path(), &Settings::default()));
    let connection = Connection::open(place.path()).unwrap();
    let later = "ALTER TABLE members ADD COLUMN later INTEGER NOT NULL DEFAULT 7;
        UPDATE schema SET steps = steps + 1;";
    connection.execute_batch(later).unwrap();
    let mut store = threaded(&place.path(), &Settings::default());
    let by = join(&mut store, "a");
    let assigned = ask(&mut store, vec![assign(by, 1)]).pop().unwrap();
    assert!(matches!(assigned, Ok(Outcome::Assigned(Some(_)))));
    let (steps, later): (i64, i64) = connection
        .query_row("SELECT steps, later FROM schema, members", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!((steps, later), (6, 7), "nothing of it was undone");
}

#[test]
fn a_store_of_the_first_release_is_brought_on_and_keeps_what_it_has() {
    let (place, by, connection) = of_a_release_before(WITHOUT_SESSIONS);
    let first = "DROP TABLE schema;
        DROP INDEX clients_untold; DROP INDEX clients_by_epoch;
        ALTER TABLE clients DROP COLUMN told;
        ALTER TABLE members DROP COLUMN draining;
        PRAGMA user_version = 1;";
    connection.execute_batch(first).unwrap();
    let mut store = threaded(&place.path(), &Settings::default());
    let held = ask(&mut store, vec![assign(by, 1)]).pop().unwrap();
    let Ok(Outcome::Assigned(Some(held))) = held else {
        panic!("not assigned: {held:?}");
    };
    assert_eq!(held.server, by.member);
    let needed: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(
        needed, 1,
        "a process of the first release goes on beside it"
    );
}

/// Goal: nobody who is registered is missed after the step, and programs of both releases write
/// side by side. Method: the tables and the write of the release before, as text.
#[test]
fn phones_registered_by_the_release_before_are_found_by_their_address() {
    let (place, _, older) = of_a_release_before(WITHOUT_SESSIONS);
    older.execute_batch("UPDATE schema SET steps = 2").unwrap();
    let register = |flow: &str| older.execute(OLDER_REGISTER, [flow]).unwrap();
    register("2 udp 0 192.0.2.7:5060 0 0");

    let mut store = threaded(&place.path(), &Settings::default());
    assert_eq!(bound_at(&mut store, "192.0.2.7"), 1);
    register("12 tcp 3 [2001:db8::9]:5061 17 4");
    assert_eq!(bound_at(&mut store, "192.0.2.7"), 0);
    assert_eq!(bound_at(&mut store, "2001:db8::9"), 1);
    let steps: (i64, i64) = older
        .query_row(
            "SELECT s.steps, v.user_version FROM schema s, pragma_user_version v",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!(
        steps,
        (5, 1),
        "a process of the release before goes on beside it"
    );
}

/// Goal: who does not know the mark of silent phones can write beside who does, and takes nothing
/// from it. Method: the table and the write of the release before, as text.
#[test]
fn a_phone_registered_by_the_release_before_is_not_silent_and_its_refresh_leaves_the_mark() {
    let (place, _, older) = of_a_release_before("UPDATE schema SET steps = 4;");
    let register = || older.execute(OLDER_REGISTER, ["2 udp 0 192.0.2.7:5060 0 0"]);
    register().unwrap();
    let mut store = threaded(&place.path(), &Settings::default());
    let found = |sql| older.query_row(sql, [], |row| row.get::<_, bool>(0));
    assert_eq!(found("SELECT silent FROM bindings"), Ok(false));
    older.execute("UPDATE bindings SET silent = 1", []).unwrap();
    assert_eq!(register(), Ok(1));
    assert_eq!(found("SELECT silent FROM bindings"), Ok(true));
    assert_eq!(bound_at(&mut store, "192.0.2.7"), 1);
}

/// A row of the release before has no lease: it is over.
#[test]
fn a_session_of_the_release_before_is_cleared_away() {
    let place = Place::new();
    let mut store = threaded(&place.path(), &Settings::default());
    let by = join(&mut store, "a");
    ask(&mut store, vec![assign(by, 1)]);
    let older = Connection::open(place.path()).unwrap();
    let kept = "INSERT INTO sessions (user, nlb, uuid, server, state, since)
        VALUES ('sip:1@example.com', 'nlb1', 'uuid', 'app1', 'serving', 7)";
    older.execute(kept, []).unwrap();
    assert!(ask(&mut store, vec![beat(by)]).pop().unwrap().is_ok());
    let left: i64 = older
        .query_row("SELECT count(*) FROM sessions", [], |row| row.get(0))
        .unwrap();
    assert_eq!((left, clients(&mut store)), (0, 0));
}

#[test]
fn many_may_make_the_same_file_at_once() {
    let place = Place::new();
    let path = place.path();
    thread::scope(|scope| {
        let opening: Vec<_> = (0..8)
            .map(|n| {
                let path = &path;
                scope.spawn(move || {
                    let mut store = threaded(path, &Settings::default());
                    join(&mut store, &format!("server {n}")).member
                })
            })
            .collect();
        let mut ids: Vec<_> = opening.into_iter().map(|one| one.join().unwrap()).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 8);
    });
}

#[test]
fn what_waits_is_finished_before_a_store_closes() {
    let place = Place::new();
    let mut store = threaded(&place.path(), &Settings::default());
    let by = join(&mut store, "a");
    let mut batch = (0..500).map(|n| (Ticket(n), assign(by, n))).collect();
    store.submit(&mut batch);
    drop(store);
    let mut store = threaded(&place.path(), &Settings::default());
    assert_eq!(clients(&mut store), 500);
}

#[test]
fn what_is_above_the_bound_is_refused_and_the_rest_is_done() {
    let place = Place::new();
    let settings = Settings {
        max_waiting: 10,
        ..Settings::default()
    };
    let mut store = threaded(&place.path(), &settings);
    let by = join(&mut store, "a");
    for _ in 0..3 {
        let operations = (0..25).map(|n| assign(by, n)).collect();
        let results = ask(&mut store, operations);
        let refused = results.iter().filter(|result| result.is_err()).count();
        assert_eq!(refused, 15);
        assert!(results.iter().take(10).all(Result::is_ok));
        assert!(matches!(results[24], Err(Refused::Unavailable)));
    }
    assert_eq!(clients(&mut store), 10);
}

#[test]
fn a_full_table_of_clients_refuses_the_next_one_only() {
    let place = Place::new();
    let settings = Settings {
        max_clients: 3,
        ..Settings::default()
    };
    let mut store = Inline::open(&place.path(), &settings).unwrap();
    let by = join(&mut store, "a");
    let results = ask(&mut store, [0, 1, 2, 3, 2].map(|n| assign(by, n)).into());
    let refused: Vec<_> = results.into_iter().map(Result::err).collect();
    assert_eq!(refused, [None, None, None, Some(Refused::Full), None]);
}

#[test]
fn a_file_that_another_process_holds_is_waited_for_and_then_unavailable() {
    let place = Place::new();
    let settings = Settings {
        patience: Duration::from_millis(50),
        ..Settings::default()
    };
    let mut store = threaded(&place.path(), &settings);
    let by = join(&mut store, "a");
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let results = ask(
        &mut store,
        vec![assign(by, 0), Operation::Status, assign(by, 1)],
    );
    let refused: Vec<_> = results.into_iter().map(Result::err).collect();
    let unavailable = Some(Refused::Unavailable);
    assert_eq!(refused, [unavailable, None, unavailable], "reading goes on");
    other.execute_batch("COMMIT").unwrap();
    assert!(ask(&mut store, vec![assign(by, 0)]).pop().unwrap().is_ok());
}

#[test]
fn what_another_process_wrote_is_seen_by_the_next_transaction() {
    let place = Place::new();
    let mut store = Inline::open(&place.path(), &Settings::default()).unwrap();
    let by = join(&mut store, "a");
    assert!(ask(&mut store, vec![assign(by, 0)]).pop().unwrap().is_ok());
    let other = Connection::open(place.path()).unwrap();
    other
        .execute_batch("UPDATE members SET state = 'ended'")
        .unwrap();
    let late = ask(&mut store, vec![assign(by, 1)]).pop().unwrap();
    assert!(matches!(late, Err(Refused::Fenced)), "{late:?}");
}

#[test]
fn an_operation_that_the_database_fails_at_is_refused_alone() {
    let place = Place::new();
    let mut store = Inline::open(&place.path(), &Settings::default()).unwrap();
    let by = join(&mut store, "a");
    let other = Connection::open(place.path()).unwrap();
    let spoil = "CREATE TRIGGER spoil BEFORE INSERT ON clients WHEN NEW.aor = 'sip:1@example.com'
        BEGIN SELECT RAISE(ABORT, 'spoilt'); END";
    other.execute_batch(spoil).unwrap();
    let results = ask(&mut store, (0..3).map(|n| assign(by, n)).collect());
    let refused: Vec<_> = results.into_iter().map(Result::err).collect();
    assert_eq!(refused, [None, Some(Refused::Unavailable), None]);
    assert_eq!(clients(&mut store), 2);
}

#[test]
fn a_file_that_was_moved_away_takes_no_write_until_it_is_back() {
    let place = Place::new();
    let mut store = threaded(&place.path(), &Settings::default());
    let by = join(&mut store, "a");
    let away = place.path().with_extension("away");
    fs::rename(place.path(), &away).unwrap();
    for _ in 0..2 {
        let refused = ask(&mut store, vec![assign(by, 0)]).pop().unwrap().err();
        assert_eq!(refused, Some(Refused::Unavailable));
    }
    assert!(!place.path().exists(), "nobody made a second one");
    assert_eq!(clients(&mut store), 0, "reading goes on");
    fs::rename(&away, place.path()).unwrap();
    assert!(ask(&mut store, vec![assign(by, 0)]).pop().unwrap().is_ok());
}

#[test]
fn another_file_in_the_place_of_the_store_takes_no_write() {
    let place = Place::new();
    let mut store = threaded(&place.path(), &Settings::default());
    let by = join(&mut store, "a");
    let away = place.path().with_extension("away");
    fs::rename(place.path(), &away).unwrap();
    fs::copy(&away, place.path()).unwrap();
    let copied = fs::read(place.path()).unwrap();
    let refused = ask(&mut store, vec![assign(by, 0)]).pop().unwrap().err();
    assert_eq!(refused, Some(Refused::Unavailable));
    assert_eq!(fs::read(place.path()).unwrap(), copied);
    fs::rename(&away, place.path()).unwrap();
    assert!(ask(&mut store, vec![assign(by, 0)]).pop().unwrap().is_ok());
}

#[test]
fn the_log_does_not_grow_for_ever() {
    let place = Place::new();
    let mut store = threaded(&place.path(), &Settings::default());
    let by = join(&mut store, "a");
    for round in 0..80 {
        let operations = (0..100).map(|n| assign(by, round * 100 + n)).collect();
        assert!(ask(&mut store, operations).iter().all(Result::is_ok));
        let settled = (0..100).map(|_| beat(by)).collect();
        assert!(ask(&mut store, settled).iter().all(Result::is_ok));
    }
    let log = fs::metadata(place.path().with_extension("db-wal"))
        .unwrap()
        .len();
    assert!(log < 24 << 20, "{log}");
}

#[test]
fn a_completion_wakes_who_polled() {
    struct Woken(AtomicBool, Thread);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Release);
            self.1.unpark();
        }
    }
    let place = Place::new();
    let mut store = threaded(&place.path(), &Settings::default());
    let woken = Arc::new(Woken(AtomicBool::new(false), thread::current()));
    let waker = Waker::from(Arc::clone(&woken));
    let mut done = Vec::new();
    assert!(
        store
            .poll(&mut Context::from_waker(&waker), &mut done)
            .is_pending()
    );
    store.submit(&mut vec![(Ticket(1), Operation::Status)]);
    while !woken.0.load(Ordering::Acquire) {
        thread::park_timeout(Duration::from_secs(10));
    }
    assert!(
        store
            .poll(&mut Context::from_waker(&waker), &mut done)
            .is_ready()
    );
    assert_eq!(done.len(), 1);
}

/// How many clients have a phone at `ip`.
fn bound_at(store: &mut dyn Store, ip: &str) -> usize {
    let (ip, now) = (ip.parse().unwrap(), WallTime(0));
    match ask(store, vec![Operation::BoundAt { ip, now }])
        .pop()
        .unwrap()
    {
        Ok(Outcome::Clients(clients)) => clients.len(),
        other => panic!("not found: {other:?}"),
    }
}

/// A store with one member and one client, from which the last step of the schema was taken back,
/// and then `more`.
fn of_a_release_before(more: &str) -> (Place, Membership, Connection) {
    let place = Place::new();
    let mut store = threaded(&place.path(), &Settings::default());
    let by = join(&mut store, "a");
    ask(&mut store, vec![assign(by, 1)]);
    drop(store);
    let connection = Connection::open(place.path()).unwrap();
    connection.execute_batch(WITHOUT_SILENCE).unwrap();
    connection.execute_batch(more).unwrap();
    (place, by, connection)
}

/// Takes back the step that marks bindings.
const WITHOUT_SILENCE: &str = "ALTER TABLE bindings DROP COLUMN silent;
    ALTER TABLE bindings DROP COLUMN proxied;";

/// Takes back the steps before it, to the one that gave sessions their leases.
const WITHOUT_SESSIONS: &str = "DROP TABLE nlbs;
    DROP INDEX bindings_by_ip; ALTER TABLE bindings DROP COLUMN ip;
    DROP INDEX sessions_by_nlb; DROP INDEX sessions_by_end;
    ALTER TABLE sessions DROP COLUMN handle; ALTER TABLE sessions DROP COLUMN presence;
    ALTER TABLE sessions DROP COLUMN sent; ALTER TABLE sessions DROP COLUMN feed;
    ALTER TABLE sessions DROP COLUMN tag; ALTER TABLE sessions DROP COLUMN until;";

/// Writes a binding of the only client as the release before does.
const OLDER_REGISTER: &str = "INSERT INTO bindings (client, key, contact, instance, path, flow,
        call_id, cseq, q, user_agent, expires_at, request, status, granted, answer_tag, to_tag)
    VALUES ((SELECT id FROM clients), 'k', 'sip:phone@192.0.2.7', NULL, '', ?1, 'c', 1, 1000,
        '', 9, x'00000000000000000000000000000000', 200, 60, NULL, 't')
    ON CONFLICT (client, key) DO UPDATE SET flow = ?1";

fn threaded(path: &Path, settings: &Settings) -> Threaded {
    Threaded::open(path, settings).unwrap()
}
