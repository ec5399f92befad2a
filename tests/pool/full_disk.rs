//! The store's disk has no room for a while: what needs some is held, nobody is refused or taken
//! for dead, and it goes on when there is room again.
//!
//! The test runs itself once more in a mount namespace of its own, with a small file system in
//! memory for everything it writes.

use std::io::{ErrorKind, Write};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use presently_agent::Event;
use presently_tests::program::{Crowd, Metrics, Place, Pool, Size, run};

// R29
#[test]
fn a_full_disk_is_waited_for_and_loses_nothing() {
    if env::var_os(INSIDE).is_some() {
        return play();
    }
    let place = Place::new();
    let folder = place.path("").display().to_string();
    let within = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", MOUNT, "sh"])
            .args(args);
        command.env("TMPDIR", &folder).env(INSIDE, "1");
        command
    };
    let can_mount = within(&["true"]).output();
    if !can_mount.is_ok_and(|output| output.status.success()) {
        println!("left out: no mount namespace here (run it as root, with util-linux)");
        return;
    }
    // Built before the room is small.
    assert!(run(["--version"]).status.success());
    let test = env::current_exe().expect("the system says it");
    let test = test.display().to_string();
    let name = "full_disk::a_full_disk_is_waited_for_and_loses_nothing";
    let status = within(&[&test, "--exact", name, "--nocapture"]).status();
    assert!(status.expect("it was started before").success());
}

/// The test, where the directory for temporary files is small.
fn play() {
    let pool = Pool::start();
    let mut crowd = Crowd::gather(&pool, SIZE);
    crowd.live(Duration::from_millis(300));
    let lives = || ["s1", "s2", "s3"].map(|name| pool.life_of(name).1);
    let lived = lives();
    let before = refused(&pool);

    let rest = fill(&pool.place);
    // New publications, too long for the pages that the store has left.
    let late: Vec<usize> = (0..20)
        .map(|number| crowd.town.udp(&format!("late{number}"), pool.udp()))
        .collect();
    for phone in &late {
        crowd.town.phone(*phone).publish(true, &"x".repeat(40_000));
    }
    let full_for = Instant::now();
    crowd.until("the store to refuse", |_| {
        (refused(&pool) > before).then_some(())
    });
    crowd.live(Duration::from_secs(4));
    println!(
        "{} writes refused in {:?}",
        refused(&pool) - before,
        full_for.elapsed()
    );
    let is_done = |crowd: &mut Crowd, phone: usize| {
        let phone = crowd.town.phone(phone);
        phone.saw(|event| matches!(event, Event::Published { .. }))
    };
    let held = late.iter().filter(|phone| !is_done(&mut crowd, **phone));
    assert!(
        held.count() > 0,
        "nothing needed the room that was not there"
    );

    fs::remove_file(&rest).expect("it is ours");
    crowd.until("what was held to be done", |crowd| {
        late.iter()
            .all(|phone| is_done(crowd, *phone))
            .then_some(())
    });
    // Also: no phone was refused anything, and every watcher shows the last state.
    let told = crowd.settle();
    println!("{told:?}");
    assert_eq!(lives(), lived, "nobody was taken for dead");
}

/// Takes all the room that is left beside the pool's store; gives the file that has it.
fn fill(place: &Place) -> std::path::PathBuf {
    let path = place.path("rest");
    let mut file = fs::File::create(&path).expect("room for a name");
    loop {
        match file.write(&[0; 4_096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return path,
            Err(error) => panic!("{error}"),
        }
    }
}

/// How many writes the store has refused the servers and the balancer.
fn refused(pool: &Pool) -> i64 {
    let of = |metrics: Metrics| metrics.get("host_completions_refused");
    let servers = pool.servers.iter().map(|member| of(member.metrics()));
    servers.sum::<i64>() + of(pool.balancer.metrics())
}

const SIZE: Size = Size {
    udp: 18,
    tcp: 6,
    watches: 3,
};
/// Says that the directory for temporary files is small already.
const INSIDE: &str = "PRESENTLY_TEST_SMALL_DISK";
/// Mounts it, and goes on with what follows.
const MOUNT: &str = "mount -t tmpfs -o size=16m tmpfs \"$TMPDIR\" && exec \"$@\"";
