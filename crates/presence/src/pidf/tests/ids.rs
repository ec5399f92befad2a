//! Ids: each once, and the same for as long as the device is the same.

use super::*;

/// libpurple calls every tuple `bs35r9f` and gives it no contact; only the flow tells two apart.
#[test]
fn equal_ids_of_two_devices_are_told_apart() {
    let one = include_str!("../../../../../tests/data/pidf/purple-available.xml");
    let two = include_str!("../../../../../tests/data/pidf/purple-closed.xml");
    let found = ids(&composed(&[Device::new(1, one), Device::new(2, two)]));
    let [first, second] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_ne!(first, second);
    assert!(first.starts_with("bs35r9f-") && second.starts_with("bs35r9f-"));
}

#[test]
fn an_id_that_is_alone_is_kept() {
    let found = ids(&composed(&[
        Device::new(1, document(&tuple("a", OPEN))),
        Device::new(2, document(&tuple("b", OPEN))),
    ]));
    assert_eq!(found, ["b", "a"]);
}

/// A refresh changes the entity-tag, a modification also the body and the order.
#[test]
fn publishing_again_renames_no_tuple() {
    let inside = |status: &str, contact: &str| format!("{status}<contact>{contact}</contact>");
    let desk = || {
        Device::new(
            1,
            document(&tuple("t", &inside(OPEN, "sip:desk@192.0.2.1"))),
        )
    };
    let mobile = || {
        Device::new(
            2,
            document(&tuple("t", &inside(OPEN, "sip:mobile@192.0.2.2"))),
        )
    };
    let first = ids(&composed(&[desk(), mobile()]));

    let mut refreshed = desk();
    refreshed.tag = "fresh";
    assert_eq!(ids(&composed(&[refreshed, mobile()])), first);

    let mut modified = desk();
    modified.tag = "fresher";
    modified.at = 9;
    modified.body = document(&tuple("t", &inside(CLOSED, "sip:desk@192.0.2.1")));
    assert_eq!(ids(&composed(&[modified, mobile()])), first);

    // The order changes; the names go with the devices.
    let mut newest = desk();
    newest.at = 9;
    let found = ids(&composed(&[newest, mobile()]));
    assert_eq!(found, first.iter().rev().cloned().collect::<Vec<_>>());

    // A third with the same id changes nothing for the two.
    let guest = Device::new(
        3,
        document(&tuple("t", &inside(CLOSED, "sip:guest@192.0.2.3"))),
    );
    let found = ids(&composed(&[desk(), mobile(), guest]));
    assert_eq!(found.get(..2), Some(first.as_slice()));
}

#[test]
fn ids_stay_apart_across_tuples_persons_and_devices() {
    let body = composed(&[
        Device::new(1, document(&(tuple("x", OPEN) + "<dm:device id=\"x\"/>"))),
        Device::new(
            2,
            document("<dm:person id=\"x\"><rpid:activities/></dm:person>"),
        ),
    ]);
    let source = read(body.as_bytes()).unwrap();
    assert!(source.obeys(&alice()), "{body}");
}

#[test]
fn equal_ids_of_one_device_are_counted() {
    let parts = tuple("x", OPEN) + &tuple("x", CLOSED) + &tuple("x", "");
    let body = composed(&[Device::new(7, document(&parts))]);
    let found = ids(&body);
    let [first, second, third] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(*second, format!("{first}-2"));
    assert_eq!(*third, format!("{first}-3"));
}

#[test]
fn a_new_id_never_meets_one_that_is_there() {
    let named = ids(&composed(&[
        Device::new(1, document(&tuple("x", OPEN))),
        Device::new(2, document(&tuple("x", CLOSED))),
    ]));
    let squatter = named.first().unwrap();
    let body = composed(&[
        Device::new(1, document(&(tuple("x", OPEN) + &tuple(squatter, OPEN)))),
        Device::new(2, document(&tuple("x", CLOSED))),
    ]);
    assert!(read(body.as_bytes()).unwrap().obeys(&alice()), "{body}");
}

#[test]
fn an_id_with_escapes_is_compared_as_it_reads() {
    let body = composed(&[
        Device::new(1, document(&tuple("a&#98;", OPEN))),
        Device::new(2, document(&tuple("ab", CLOSED))),
    ]);
    assert!(read(body.as_bytes()).unwrap().obeys(&alice()), "{body}");
}
