//! What is read, refused and written.

use proptest::prelude::*;

use super::*;

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, body].concat()
}

const BODY_4: &[u8] = &[192, 0, 2, 1, 192, 0, 2, 2, 0x10, 0, 0, 80];

fn pair_4() -> (SocketAddr, SocketAddr) {
    (([192, 0, 2, 1], 4096).into(), ([192, 0, 2, 2], 80).into())
}

#[test]
fn lines_of_version_1_are_read() {
    let v6 = ("[2001:db8::1]:56324", "[2001:db8::2]:443");
    let v6 = Some((v6.0.parse().unwrap(), v6.1.parse().unwrap()));
    let table = [
        ("TCP4 192.0.2.1 192.0.2.2 4096 80", Some(pair_4())),
        ("TCP6 2001:db8::1 2001:db8::2 56324 443", v6),
        ("UNKNOWN", None),
        ("UNKNOWN ffff::1 of any kind", None),
    ];
    for (line, addresses) in table {
        let text = format!("PROXY {line}\r\nGET / HTTP/1.1\r\n");
        let length = text.find("GET").unwrap();
        let expected = Announced {
            length,
            addresses,
            user: None,
        };
        assert_eq!(
            read(text.as_bytes()),
            Ok(Opening::Whole(expected)),
            "{line}"
        );
    }
}

#[test]
fn malformed_lines_are_refused() {
    let long = format!("UNKNOWN {}", "x".repeat(100));
    let table = [
        "",
        "TCP4",
        "TCP5 192.0.2.1 192.0.2.2 4096 80",
        "tcp4 192.0.2.1 192.0.2.2 4096 80",
        "TCP4 192.0.2.1 192.0.2.2 4096",
        "TCP4 192.0.2.1 192.0.2.2 4096 80 ",
        "TCP4 192.0.2.1 192.0.2.2 4096 80 x",
        "TCP4  192.0.2.1 192.0.2.2 4096 80",
        "TCP4 192.0.2.1 192.0.2.2 65536 80",
        "TCP4 192.0.2.1 192.0.2.2 +1 80",
        "TCP4 192.0.2.1 192.0.2.2 01 80",
        "TCP4 192.0.2.1 192.0.2.2 -1 80",
        "TCP4 192.0.2.01 192.0.2.2 1 80",
        "TCP4 2001:db8::1 2001:db8::2 1 80",
        "TCP6 192.0.2.1 192.0.2.2 1 80",
        "TCP4 192.0.2.1 192.0.2.2 1 80\n",
        &long,
    ];
    for line in table {
        let text = format!("PROXY {line}\r\n");
        assert_eq!(read(text.as_bytes()), Err(Malformed), "{line:?}");
    }
    assert_eq!(read(b"PROXY UNKNOWN \xff\r\n"), Err(Malformed));
    let endless = [b"PROXY ".as_slice(), &[b'x'; 101]].concat();
    assert_eq!(read(&endless), Err(Malformed), "a line ends in time");
    assert_eq!(read(&endless[..106]), Ok(Opening::More));
}

#[test]
fn headers_of_version_2_are_read() {
    let (user, other) = (
        b"\xe0\0\x02al".as_slice(),
        b"\x02\0\x01x\x04\0\0".as_slice(),
    );
    let with = |tlvs: &[u8]| [BODY_4, tlvs].concat();
    let al = Some("al");
    let table = [
        (v2(PROXY, TCP_4, BODY_4), Some(pair_4()), None),
        (v2(PROXY, TCP_4, &with(user)), Some(pair_4()), al),
        (
            v2(PROXY, TCP_4, &with(&[other, user].concat())),
            Some(pair_4()),
            al,
        ),
        (
            v2(PROXY, TCP_4, &with(&[user, other].concat())),
            Some(pair_4()),
            al,
        ),
        (v2(LOCAL, TCP_4, BODY_4), None, None),
        (v2(LOCAL, 0, b"anything"), None, None),
        (v2(PROXY, 0, b""), None, None),
        (v2(PROXY, 0x12, BODY_4), None, None),    // UDP
        (v2(PROXY, 0x31, &[0; 216]), None, None), // a UNIX socket
    ];
    for (bytes, addresses, user) in table {
        let length = bytes.len();
        let user = user.map(Box::from);
        let expected = Announced {
            length,
            addresses,
            user,
        };
        let bytes = [&bytes, b"GET".as_slice()].concat();
        assert_eq!(read(&bytes), Ok(Opening::Whole(expected)), "{bytes:02x?}");
    }
}

#[test]
fn malformed_headers_of_version_2_are_refused() {
    let with = |tlvs: &[u8]| v2(PROXY, TCP_4, &[BODY_4, tlvs].concat());
    let long = [&[TLV_USER, 2, 1], [b'x'; USER_BYTES_MAX + 1].as_slice()].concat();
    let table = [
        v2(0x11, TCP_4, BODY_4), // version 1
        v2(0x22, TCP_4, BODY_4), // no command
        v2(PROXY, TCP_4, &BODY_4[..11]),
        v2(PROXY, TCP_6, BODY_4),
        v2(PROXY, TCP_6, &[0; 35]),
        with(b"\xe0"),
        with(b"\xe0\0\x03al"),
        with(b"\xe0\0\x01a\xe0\0\x01a"), // two users
        with(b"\xe0\0\x01\xff"),
        with(&long),
        v2(LOCAL, 0, &[0; LENGTH_MAX]),
    ];
    for bytes in table {
        assert_eq!(read(&bytes), Err(Malformed), "{bytes:02x?}");
    }
    // A length above the bound is refused before the bytes come.
    let announced = [SIGNATURE, &[PROXY, TCP_4, 0xff, 0xff]].concat();
    assert_eq!(read(&announced), Err(Malformed));
}

#[test]
fn other_protocols_are_let_through() {
    let table: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\n",
        b"PROPFIND / HTTP/1.1\r\n",
        b"PROXYX",
        b"proxy TCP4 ",
        b"\r\n\r\nGET",
        b"\x16\x03\x01",
        b" PROXY ",
    ];
    for bytes in table {
        assert_eq!(read(bytes), Ok(Opening::Absent), "{bytes:?}");
    }
}

#[test]
fn a_name_too_long_is_left_out() {
    let (from, to) = pair_4();
    let (mut short, mut long) = (Vec::new(), Vec::new());
    write(from, to, None, &mut short);
    write(from, to, Some(&"x".repeat(USER_BYTES_MAX + 1)), &mut long);
    assert_eq!(short, v2(PROXY, TCP_4, BODY_4));
    assert_eq!(short, long);
    let mut local = Vec::new();
    write_local(&mut local);
    assert_eq!(local, v2(LOCAL, 0, b""));
}

#[test]
fn families_are_brought_together() {
    let mapped: SocketAddr = "[::ffff:192.0.2.1]:4096".parse().unwrap();
    let (from, to) = pair_4();
    let written = |from, to| {
        let mut bytes = Vec::new();
        write(from, to, None, &mut bytes);
        let Ok(Opening::Whole(announced)) = read(&bytes) else {
            panic!("it is read");
        };
        announced.addresses
    };
    assert_eq!(written(mapped, to), Some((from, to)));
    let v6: SocketAddr = "[2001:db8::1]:1".parse().unwrap();
    assert_eq!(written(from, v6), Some((mapped, v6)));
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        from: SocketAddr, to: SocketAddr, user in proptest::option::of("\\PC{0,40}"), after: [u8; 4],
    ) {
        let mut bytes = Vec::new();
        write(from, to, user.as_deref(), &mut bytes);
        let length = bytes.len();
        for cut in 0..length {
            prop_assert_eq!(read(&bytes[..cut]), Ok(Opening::More), "cut at {}", cut);
        }
        bytes.extend(after);
        let Ok(Opening::Whole(announced)) = read(&bytes) else {
            panic!("it is read");
        };
        prop_assert_eq!(announced.length, length);
        prop_assert_eq!(announced.user.as_deref(), user.as_deref());
        let (read_from, read_to) = announced.addresses.unwrap();
        let is_same = |read: SocketAddr, written: SocketAddr| {
            read.ip().to_canonical() == written.ip().to_canonical() && read.port() == written.port()
        };
        prop_assert!(is_same(read_from, from) && is_same(read_to, to));
    }

    #[test]
    fn any_bytes_hold(
        start in 0..4_usize, bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let starts: [&[u8]; 4] = [b"", b"PROXY ", SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x20"];
        crate::fuzz::proxy_protocol(&[starts[start], &bytes].concat());
    }
}
