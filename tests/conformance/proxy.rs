//! The balancer as a proxy: what it passes on, refuses and adds (RFC 3261 §16).

use crate::play::{Phone, Play, in_each, pidf, secs};

fn options(play: &mut Play, phone: &mut Phone, lines: &[&str]) -> crate::text::Text {
    let text = phone.request("OPTIONS", "sip:example.com", lines, "");
    play.ask(phone, &text)
}

// D1: RFC 3261 §16.3
#[test]
fn max_forwards_loops_and_proxy_require_are_checked() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        let text = bob.subscribe("alice", &["Max-Forwards: 0"]);
        assert_eq!(play.status(&bob, &text), 483);
        let text = bob.subscribe("alice", &["Max-Forwards: 1"]);
        assert_eq!(play.status(&bob, &text), 200);
        assert_eq!(
            options(play, &mut bob, &["Max-Forwards: 0"]).status(),
            Some(200)
        );
        let text = bob.subscribe("alice", &["Proxy-Require: foo, bar"]);
        let answer = play.ask(&bob, &text);
        assert_eq!(answer.status(), Some(420));
        assert_eq!(answer.headers("Unsupported").join(", "), "foo, bar");
    });
}

// D1: RFC 3261 §16.3 step 4
#[test]
fn a_request_that_comes_round_again_is_482() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        play.register(&mut alice);
        let mut bob = play.phone("bob");
        let lines = ["Content-Type: text/plain"];
        let text = bob.request("MESSAGE", "sip:alice@example.com", &lines, "round");
        assert_eq!(play.status(&bob, &text), 200);
        let got = play.requests(&alice, "MESSAGE").remove(0);
        let via = format!(
            "\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKback\r\nVia:",
            alice.at
        );
        let round = got.0.replacen("\r\nVia:", &via, 1);
        let round = round.replacen(got.uri(), "sip:alice@example.com", 1);
        assert_eq!(play.status(&alice, &round), 482);
    });
}

// D4: RFC 3261 §16.5
#[test]
fn a_foreign_target_is_never_relayed_to() {
    in_each(|play| {
        for method in ["SUBSCRIBE", "MESSAGE", "PUBLISH", "OPTIONS"] {
            let mut bob = play.phone("bob");
            let contact = bob.contact();
            let lines = ["Event: presence", &contact];
            let text = bob.request(method, "sip:alice@198.51.100.50", &lines, "");
            let status = play.status(&bob, &text);
            assert!(matches!(status, 403 | 404), "{method}: {status}");
        }
    });
}

// D6: RFC 3261 §16.6 step 4
#[test]
fn one_record_route_stands_in_the_answer_to_a_subscribe_only() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        let text = bob.subscribe("alice", &["Record-Route: <sip:p.example.net;lr>"]);
        let answer = play.ask(&bob, &text);
        let routes = answer.headers("Record-Route").join(", ");
        assert!(
            routes.starts_with("<sip:") && routes.contains("@10.0.0.1:5060;lr>"),
            "{routes}"
        );
        assert!(routes.ends_with("<sip:p.example.net;lr>"), "{routes}");
        let contact = bob.contact();
        let text = bob.register(&[&contact]);
        assert_eq!(play.ask(&bob, &text).header("Record-Route"), None);
    });
}

// D2, D15: RFC 3261 §16.4
#[test]
fn our_own_routes_are_taken_off_however_they_are_written() {
    in_each(|play| {
        for route in [
            "Route: <sip:10.0.0.1:5060;lr>",
            "Route: <sip:10.0.0.1;lr>",
            "Route: <sip:example.com;lr>",
            "Route: <sip:10.0.0.1:5060;lr>, <sip:example.com:5060;lr>",
            "Route: <sip:10.0.0.1:5060;lr>\r\nRoute: <sip:10.0.0.1;lr>",
        ] {
            let mut bob = play.phone("bob");
            let text = bob.subscribe("alice", &[route]);
            assert_eq!(play.status(&bob, &text), 200, "{route}");
        }
    });
}

// D23: RFC 3261 §16.5; D4
#[test]
fn a_route_or_token_that_leads_elsewhere_is_403() {
    in_each(|play| {
        let mut watcher = play.phone("watcher");
        let answer = play.watch(&mut watcher, "alice");
        let genuine = answer.header("Record-Route").unwrap().to_owned();
        let token = genuine
            .split(['@'])
            .next()
            .unwrap()
            .trim_start_matches("<sip:");
        let mut letters: Vec<char> = token.chars().collect();
        letters[3] = if letters[3] == 'a' { 'b' } else { 'a' };
        let forged: String = letters.into_iter().collect();
        for route in [
            "<sip:198.51.100.66;lr>".to_owned(),
            "<sip:10.0.0.1;lr>, <sip:198.51.100.66;lr>".to_owned(),
            genuine.replace(token, &forged),
        ] {
            let mut bob = play.phone("bob");
            let text = bob.subscribe("alice", &[&format!("Route: {route}")]);
            assert_eq!(play.status(&bob, &text), 403, "{route}");
        }
        let mut bob = play.phone("bob");
        let text = bob.subscribe("alice", &[&format!("Route: {genuine}")]);
        assert_eq!(play.status(&bob, &text), 200, "the genuine one leads here");
    });
}

// D19: R5, R6
#[test]
fn every_request_of_a_client_goes_to_one_server() {
    in_each(|play| {
        let mut alice = play.phone("alice");
        play.register(&mut alice);
        let mut publisher = play.phone("alice");
        play.publish(&mut publisher, "x");
        let mut watcher = play.phone("alice");
        play.watch(&mut watcher, "bob");
        play.register(&mut alice);
        let clients: Vec<_> = play
            .world
            .servers()
            .map(|server| server.clients())
            .collect();
        assert_eq!(clients.iter().sum::<usize>(), 1, "{clients:?}");
    });
}

// D20: R2
#[test]
fn logons_go_to_the_server_with_the_fewest_clients() {
    in_each(|play| {
        for number in 0..9 {
            let mut phone = play.phone(&format!("user{number}"));
            play.register(&mut phone);
            let clients: Vec<_> = play
                .world
                .servers()
                .map(|server| server.clients())
                .collect();
            let spread = clients.iter().max().unwrap() - clients.iter().min().unwrap();
            assert!(spread <= 1, "{clients:?}");
        }
    });
}

// D13: RFC 3261 §16.11
#[test]
fn a_response_that_nobody_asked_for_is_dropped() {
    in_each(|play| {
        let mut bob = play.phone("bob");
        play.watch(&mut bob, "alice");
        let notify = play.notifies(&bob).remove(0);
        let answer = crate::text::response(&notify, "200 OK", &[]);
        let branch = answer.find("branch=z9hG4bK").unwrap() + 20;
        let mut forged = answer.clone();
        let letter = if &forged[branch..=branch] == "a" {
            "b"
        } else {
            "a"
        };
        forged.replace_range(branch..=branch, letter);
        let known = play.heard.len();
        for text in [
            forged.as_str(),
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x\r\n\r\n",
        ] {
            play.send(&bob, text);
            play.settle();
        }
        assert_eq!(play.heard.len(), known);
        let mut alice = play.phone("alice");
        let text = alice.publish(&[], &pidf("alice", "goes on"));
        assert_eq!(play.status(&alice, &text), 200);
    });
}

/// As another proxy sends `text` on over a connection of its own.
fn by_way_of_a_proxy(text: &str) -> String {
    let via = "\r\nVia: SIP/2.0/TCP p.example.net;branch=z9hG4bKp\r\nVia:";
    text.replacen("\r\nVia:", via, 1)
}

// C22: RFC 3261 §18
#[test]
fn a_proxy_that_closes_its_connection_takes_no_phone_with_it() {
    for is_proxied in [true, false] {
        in_each(|play| {
            let mut bob = play.phone("bob");
            play.watch(&mut bob, "alice");
            let mut alice = play.stream_phone("alice");
            let sent = |text: String| match is_proxied {
                true => by_way_of_a_proxy(&text),
                false => text,
            };
            let contact = alice.contact();
            let text = sent(alice.register(&[&contact]));
            assert_eq!(play.status(&alice, &text), 200);
            let lines: &[&str] = match is_proxied {
                true => &["Record-Route: <sip:p.example.net;transport=tcp;lr>"],
                false => &[],
            };
            let text = sent(alice.subscribe("bob", lines));
            assert_eq!(play.status(&alice, &text), 200);
            play.settle();
            assert_eq!(play.notifies(&alice).len(), 1, "over the connection");
            play.world.hang_up(alice.at);
            play.run(secs(90));
            let told = play.notifies(&bob);
            let is_open = told.last().is_some_and(|last| last.0.contains("open"));
            assert_eq!(is_open, is_proxied, "{told:?}");
        });
    }
}
