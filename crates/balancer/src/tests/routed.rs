//! Requests that go on to a server.

use std::net::SocketAddr;

use presently_pool::{ContactToken, FlowToken, Kind};
use presently_sip::{Flow, MacKey, Protocol};

use super::play::{
    BALANCER, KEY, OTHER, PHONE, Play, SERVER, header, plain, register, request, response,
};

#[test]
fn a_register_is_routed_and_its_200_goes_back() {
    let mut play = Play::new();
    let sent = play.phone(PHONE, register());
    let [forward] = &sent[..] else {
        panic!("{sent:?}");
    };
    let (server, passage, text) = forward.to_server();
    assert_eq!(server, SERVER);
    assert_eq!(passage.kind, Kind::Forward);
    let (client, aor) = passage.client.clone().unwrap();
    assert_eq!(aor.as_str(), "sip:alice@example.com");
    assert_eq!(play.assigned[&aor].client, client);
    assert_eq!(play.assigned[&aor].epoch, passage.epoch);
    let flow = Flow::udp(0, PHONE.parse().unwrap());
    let token = FlowToken {
        balancer: BALANCER,
        flow,
    };
    assert_eq!(passage.flow, Some(token));
    assert_eq!(passage.advertised.as_deref(), Some("sip.example.com:5060"));
    let vias: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("Via"))
        .collect();
    assert!(vias[0].starts_with("Via: SIP/2.0/UDP sip.example.com:5060;branch=z9hG4bK"));
    let phone =
        "Via: SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKphone;rport=5070;received=198.51.100.7";
    assert_eq!(vias[1], phone);
    assert_eq!(header(text, "Max-Forwards"), Some("69"));
    assert_eq!(header(text, "Record-Route"), None);

    let answered = play.server(SERVER, &plain(), &response(text, "200 OK"), b"");
    let [answer] = &answered[..] else {
        panic!("{answered:?}");
    };
    let (to, text) = answer.to_phone();
    assert_eq!(*to, flow);
    assert!(text.starts_with("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 198.51.100.7:5070;"));
    assert!(text.contains("X-Unknown:  kept  \r\n"));
}

/// By what each request is routed.
#[test]
fn each_method_is_routed_by_its_own_header() {
    let alice = "sip:alice@example.com";
    let bob = "sip:bob@example.com";
    let contact = "Contact: <sip:x@198.51.100.7>";
    let table: [(&str, &str, &[&str], &str); 9] = [
        (
            "REGISTER",
            "sip:example.com",
            &[contact, "To: <sip:bob@example.com>"],
            bob,
        ),
        (
            "REGISTER",
            "sip:example.com:5060",
            &[contact, "To: <sips:bob@EXAMPLE.com:5060;x=1>"],
            bob,
        ),
        ("PUBLISH", bob, &[], bob),
        ("PUBLISH", "sip:b%6Fb@example.com;transport=udp", &[], bob),
        ("SUBSCRIBE", bob, &["To: <sip:bob@example.com>"], alice),
        (
            "SUBSCRIBE",
            bob,
            &["From: sip:carol@elsewhere.org;tag=1"],
            "sip:carol@elsewhere.org",
        ),
        (
            "SUBSCRIBE",
            bob,
            &["f: <sip:carol@example.com>;tag=1", "From: -"],
            "sip:carol@example.com",
        ),
        (
            "SUBSCRIBE",
            "sip:bob@192.0.2.1",
            &["To: <sip:bob@example.com>;tag=to"],
            alice,
        ),
        ("MESSAGE", bob, &["To: <sip:carol@example.com>"], bob),
    ];
    for (method, uri, lines, client) in table {
        let mut play = Play::new();
        play.assign(alice, SERVER);
        play.assign(bob, SERVER);
        let sent = play.phone(PHONE, request(method, uri, lines));
        let [forward] = &sent[..] else {
            panic!("{method} {lines:?}: {sent:?}");
        };
        let (_, passage, text) = forward.to_server();
        let (_, aor) = passage.client.clone().unwrap();
        assert_eq!(aor.as_str(), client, "{method} {lines:?}");
        assert_eq!(
            header(text, "Record-Route").is_some(),
            method == "SUBSCRIBE",
            "{method}"
        );
    }
}

#[test]
fn a_dialog_is_routed_by_the_token_of_its_contact() {
    let mut play = Play::new();
    let assignment = play.assign("sip:carol@example.com", OTHER);
    let mut token = String::new();
    ContactToken(assignment.client).encode(&MacKey::new(KEY), &mut token);
    let lines = ["To: <sip:bob@example.com>;tag=to"];
    for uri in [
        format!("sip:{token}@sip.example.com:5060"),
        format!("sip:{}@192.0.2.1;transport=udp", token.to_uppercase()),
        format!("sip:{token}@[2001:db8:0::1]:5062"),
    ] {
        let sent = play.phone(PHONE, request("SUBSCRIBE", &uri, &lines));
        let (server, passage, _) = sent[0].to_server();
        assert_eq!(server, OTHER);
        let (client, aor) = passage.client.clone().unwrap();
        assert_eq!(
            (client, aor.as_str()),
            (assignment.client, "sip:carol@example.com")
        );
    }
    assert_eq!(play.balancer.counters().assignments_asked, 1);

    // Outside a dialog it is whom the watcher asks for.
    let uri = format!("sip:{token}@sip.example.com:5060");
    let sent = play.phone(PHONE, request("SUBSCRIBE", &uri, &["CSeq: 9 SUBSCRIBE"]));
    let (_, passage, _) = sent[0].to_server();
    assert_eq!(
        passage.client.as_ref().unwrap().1.as_str(),
        "sip:alice@example.com"
    );
    play.assigned.clear();
    play.balancer = Play::new().balancer;

    // A client that is gone leaves no dialog behind, and nothing to publish to.
    let sent = play.phone(PHONE, request("SUBSCRIBE", &uri, &lines));
    assert_eq!(sent[0].status(), 481);
    let sent = play.phone(PHONE, request("PUBLISH", &uri, &[]));
    assert_eq!(sent[0].status(), 404);

    // A forged token is a user like any other: the From decides, and nothing is assigned for it.
    let forged = format!("sip:{}a@sip.example.com", &token[..23]);
    let sent = play.phone(PHONE, request("SUBSCRIBE", &forged, &lines));
    assert_eq!(sent[0].status(), 481);
}

#[test]
fn watchers_without_a_name_are_clients_of_their_own() {
    let mut play = Play::new();
    let froms = [
        "From: Anonymous <sip:anonymous@anonymous.invalid>;tag=a",
        "From: Anonymous <sip:anonymous@anonymous.invalid>;tag=b",
        "From: <sip:Anonymous@example.com>;tag=c",
        "From: <sip:someone@anonymous.invalid>;tag=d",
        "From: <tel:+3585550100>;tag=e",
    ];
    for from in froms {
        let text = request("SUBSCRIBE", "sip:bob@example.com", &[from]);
        for _ in 0..2 {
            let sent = play.phone(PHONE, &text);
            let (_, passage, _) = sent[0].to_server();
            let (_, aor) = passage.client.clone().unwrap();
            assert_eq!(aor.host(), "anonymous.invalid");
        }
    }
    assert_eq!(play.assigned.len(), froms.len());
}

#[test]
fn routes_that_name_us_are_taken_out() {
    let mut play = Play::new();
    play.assign("sip:alice@example.com", SERVER);
    let mut token = String::new();
    let held = FlowToken {
        balancer: BALANCER,
        flow: Flow::udp(0, PHONE.parse().unwrap()),
    };
    held.encode(&MacKey::new(KEY), &mut token);
    let token = format!("Route: <sip:{token}@203.0.113.9:5080;lr>, <sip:192.0.2.1;lr>");
    let table = [
        "Route: <sip:sip.example.com;lr>",
        "Route: <sip:SIP.example.com:5060;lr;transport=tcp>",
        "Route: <sip:203.0.113.9:5080;lr>",
        "Route: <sip:10.0.0.1:5060;lr>",
        "Route: <sip:[2001:0db8::1]:5062;lr>",
        "Route: <sip:127.0.0.1:5090;lr>",
        "Route: Proxy <sip:example.com;lr>",
        "Route: <sip:192.0.2.1;lr>,<sip:192.0.2.1:5060;transport=TCP;lr>",
        &token,
    ];
    for route in table {
        let sent = play.phone(PHONE, request("PUBLISH", "sip:alice@example.com", &[route]));
        let (_, _, text) = sent[0].to_server();
        assert_eq!(header(text, "Route"), None, "{route}");
    }
}

#[test]
fn a_strict_routers_request_gets_its_uri_back() {
    let mut play = Play::new();
    let assignment = play.assign("sip:alice@example.com", SERVER);
    let key = MacKey::new(KEY);
    let (mut contact, mut token) = (String::new(), String::new());
    ContactToken(assignment.client).encode(&key, &mut contact);
    let flow = Flow::udp(0, PHONE.parse().unwrap());
    let balancer = BALANCER;
    FlowToken { balancer, flow }.encode(&key, &mut token);
    let uri = format!("sip:{token}@sip.example.com:5060;lr");
    let target = format!("sip:{contact}@sip.example.com:5060");
    let lines = [
        &*format!("Route: <{target}>"),
        "To: <sip:bob@example.com>;tag=1",
    ];
    let sent = play.phone(PHONE, request("SUBSCRIBE", &uri, &lines));
    let (_, _, text) = sent[0].to_server();
    assert!(
        text.starts_with(&format!("SUBSCRIBE {target} SIP/2.0\r\n")),
        "{text}"
    );
    assert_eq!(header(text, "Route"), None);
}

#[test]
fn the_record_route_names_the_listener_and_the_flow() {
    let mut play = Play::new();
    let remote: SocketAddr = "198.51.100.7:40000".parse().unwrap();
    let flow = Flow {
        protocol: Protocol::Tcp,
        slot: 5,
        generation: 9,
        ..Flow::udp(1, remote)
    };
    let lines = ["Via: SIP/2.0/TCP phone.invalid;branch=z9hG4bKx"];
    let text = request("SUBSCRIBE", "sip:bob@example.com", &lines);
    let sent = play.arrive(flow, text);
    let (_, passage, text) = sent[0].to_server();
    let advertised = passage.advertised.as_deref();
    assert_eq!(advertised, Some("sip.example.com:5060;transport=tcp"));
    let value = header(text, "Record-Route").unwrap();
    let token = value.strip_prefix("<sip:").unwrap();
    let (token, rest) = token.split_once('@').unwrap();
    assert_eq!(rest, "sip.example.com:5060;lr;transport=tcp>");
    let token = FlowToken::decode(token, &MacKey::new(KEY)).unwrap();
    assert_eq!((token.balancer, token.flow), (BALANCER, flow));

    let answered = play.server(SERVER, &plain(), &response(text, "200 OK"), b"");
    assert_eq!(answered[0].to_phone().0, &flow);
}

/// RFC 3261 §16.11: nothing but the message and its flow decides.
#[test]
fn a_retransmission_is_forwarded_alike_by_any_balancer_of_the_pool() {
    let texts: Vec<String> = (0..3)
        .map(|_| {
            let mut play = Play::new();
            play.assign("sip:alice@example.com", SERVER);
            let first = play.phone(PHONE, register());
            let again = play.phone(PHONE, register());
            let text = first[0].to_server().2.to_owned();
            assert_eq!(text, again[0].to_server().2);
            text
        })
        .collect();
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]));
}

/// Twinkle and libpurple seed Call-ID, tag and branch with the time: two that start in one second
/// are told apart by their flows.
#[test]
fn two_phones_with_equal_branch_call_id_tag_and_cseq_stay_two() {
    let mut play = Play::new();
    let text = register().replace("198.51.100.7:5070;branch", "phone.local;branch");
    let phones = [
        "198.51.100.7:5070",
        "198.51.100.8:5070",
        "198.51.100.7:5071",
    ];
    let forwarded: Vec<String> = phones
        .iter()
        .map(|phone| play.phone(phone, &text)[0].to_server().2.to_owned())
        .collect();
    for (phone, request) in phones.iter().zip(&forwarded) {
        let answered = play.server(SERVER, &plain(), &response(request, "200 OK"), b"");
        assert_eq!(answered[0].to_phone().0.remote, phone.parse().unwrap());
    }
}

#[test]
fn a_request_without_max_forwards_gets_one() {
    let mut play = Play::new();
    let contact = "Contact: <sip:alice@198.51.100.7>";
    let lines = [contact, "Max-Forwards: -"];
    let sent = play.phone(PHONE, request("REGISTER", "sip:example.com", &lines));
    assert_eq!(header(sent[0].to_server().2, "Max-Forwards"), Some("70"));
}
