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
