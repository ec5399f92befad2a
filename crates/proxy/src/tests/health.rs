//! Health checks over real sockets.

use std::time::Duration;

use crate::{Health, Probe, ProbeSettings, Probed, Probes, proxy_protocol};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::tests::side::{App, head, loopback, send, within};

fn settings(probe: Probe) -> ProbeSettings {
    ProbeSettings {
        probe,
        is_announced: false,
        every: Duration::from_millis(10),
        within: Duration::from_millis(500),
        rise: 2,
        fall: 2,
    }
}

fn of(server: &str, is_up: bool) -> Health {
    Health {
        server: server.into(),
        is_up,
    }
}

#[tokio::test]
async fn a_server_is_up_while_it_takes_connections() {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let probed = Probed {
        server: "s1".into(),
        address,
    };
    let mut probes = Probes::start(settings(Probe::Connect), vec![probed]);
    assert_eq!(within(probes.next()).await, of("s1", true));
    drop(listener);
    assert_eq!(within(probes.next()).await, of("s1", false));
    let _listener = TcpListener::bind(address).await.unwrap();
    assert_eq!(within(probes.next()).await, of("s1", true));
}

#[tokio::test]
async fn a_server_is_up_while_it_answers_well() {
    let app = App::new().await;
    let probed = Probed {
        server: "s1".into(),
        address: app.address(),
    };
    let probe = Probe::Get {
        path: "/health".into(),
        host: "app".into(),
    };
    let mut probes = Probes::start(settings(probe), vec![probed]);
    for (status, is_up) in [
        ("204 No Content", true),
        ("500 Oh", false),
        ("302 Found", true),
    ] {
        let answering = async {
            loop {
                let mut stream = app.accept().await;
                let request = head(&mut stream).await;
                assert!(request.starts_with("GET /health HTTP/1.1\r\nHost: app\r\n"));
                send(&mut stream, &format!("HTTP/1.1 {status}\r\n\r\n")).await;
            }
        };
        tokio::select! {
            health = within(probes.next()) => assert_eq!(health, of("s1", is_up)),
            () = answering => {}
        }
    }
}

#[tokio::test]
async fn a_server_that_wants_a_proxy_header_gets_one_before_the_question() {
    let mut local = Vec::new();
    proxy_protocol::write_local(&mut local);
    let get = Probe::Get {
        path: "/".into(),
        host: "app".into(),
    };
    for probe in [Probe::Connect, get] {
        let is_asked = probe != Probe::Connect;
        let app = App::new().await;
        let settings = ProbeSettings {
            is_announced: true,
            ..settings(probe)
        };
        let probed = Probed {
            server: "s1".into(),
            address: app.address(),
        };
        let mut probes = Probes::start(settings, vec![probed]);
        let mut stream = app.accept().await;
        let mut header = vec![0; local.len()];
        within(stream.read_exact(&mut header)).await.unwrap();
        assert_eq!(header, local);
        if is_asked {
            assert!(head(&mut stream).await.starts_with("GET / HTTP/1.1\r\n"));
            send(&mut stream, "HTTP/1.1 200 OK\r\n\r\n").await;
        }
        assert_eq!(within(probes.next()).await, of("s1", true));
    }
}

#[tokio::test]
async fn servers_taken_from_the_list_are_not_spoken_of_and_those_added_are() {
    let (first, second) = (App::new().await, App::new().await);
    let probed = |server: &str, app: &App| Probed {
        server: server.into(),
        address: app.address(),
    };
    let mut probes = Probes::start(settings(Probe::Connect), vec![probed("s1", &first)]);
    assert_eq!(within(probes.next()).await, of("s1", true));
    probes.replace(vec![probed("s2", &second)]);
    drop(first);
    assert_eq!(within(probes.next()).await, of("s2", true));
    // The same name elsewhere is another server.
    let third = App::new().await;
    probes.replace(vec![probed("s2", &third)]);
    assert_eq!(within(probes.next()).await, of("s2", true));
}
