//! What settings come to, and what is refused with which line.

use super::*;

fn listen(text: &str) -> Settings {
    Settings {
        listen: vec![text.parse().unwrap()],
        ..Settings::default()
    }
}

#[test]
fn without_a_word_it_is_a_balancer_and_three_servers_on_loopback() {
    let config = Config::default();
    let names: Vec<_> = config.servers.iter().map(|server| &server.name).collect();
    assert_eq!(names, ["s1", "s2", "s3"]);
    assert_eq!(config.balancer.unwrap().name, "b1");
    let listeners: Vec<_> = config.listen.iter().map(Listen::to_string).collect();
    assert_eq!(listeners, ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"]);
    assert_eq!(config.store, PathBuf::from("presently.db"));
    assert!(config.domains.is_empty() && config.admin.is_none());
}

#[test]
fn a_listener_beyond_loopback_asks_for_what_makes_it_safe() {
    let mut settings = listen("udp:0.0.0.0:5060");
    let refused = |settings: &Settings| Config::new(settings.clone()).unwrap_err();
    let text = "udp:0.0.0.0:5060".to_owned();
    let expected = ConfigError::Wildcard {
        listen: text.clone(),
    };
    assert_eq!(refused(&settings), expected);
    settings = listen("udp:0.0.0.0:5060,advertise=192.0.2.1");
    let expected = ConfigError::Open {
        listen: text.clone(),
    };
    assert_eq!(refused(&settings), expected);
    settings.auth = Some(Auth::Off);
    assert_eq!(refused(&settings), ConfigError::AnyDomain { listen: text });
    settings.domains = vec!["example.com".to_owned()];
    assert!(Config::new(settings).is_ok());
}

#[test]
fn flags_win_over_the_file() {
    let file = Settings {
        servers: Some(5),
        domains: vec!["file.example".to_owned()],
        ..listen("udp:127.0.0.1:5070")
    };
    let flags = Settings {
        servers: Some(2),
        ..listen("udp:127.0.0.1:5080")
    };
    let both = flags.over(file);
    assert_eq!(both.servers, Some(2));
    assert_eq!(both.listen[0].bind.port(), 5080);
    assert_eq!(both.domains, ["file.example"]);
}

fn with_flows(silence_secs: u32, ask_secs: u32) -> Settings {
    Settings {
        flows: Some(FlowsTable {
            silence_secs,
            ask_secs,
            ..FlowsTable::default()
        }),
        ..Settings::default()
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let named = |role| Settings {
        role: Some(role),
        name: Some("x1".to_owned()),
        ..Settings::default()
    };
    let wildcard = "0.0.0.0:7000".parse().unwrap();
    let table = [
        (
            Settings {
                role: Some(Role::Server),
                ..Settings::default()
            },
            "--role server needs a --name that no other member of the pool has",
        ),
        (
            Settings {
                servers: Some(2),
                ..named(Role::Balancer)
            },
            "--servers has no meaning with --role balancer",
        ),
        (
            Settings {
                weight: Some(2),
                ..named(Role::Balancer)
            },
            "--weight has no meaning with --role balancer",
        ),
        (
            Settings {
                name: Some("x1".to_owned()),
                ..Settings::default()
            },
            "--name has no meaning with --role all",
        ),
        (
            Settings {
                name: Some("a b".to_owned()),
                ..named(Role::Server)
            },
            "--name a b: a name is 1 to 63 letters, digits and inner hyphens",
        ),
        (
            Settings {
                oob: Some(wildcard),
                ..named(Role::Server)
            },
            "--oob 0.0.0.0:7000: other members are told this address, so it cannot be a wildcard",
        ),
        (
            Settings {
                weight: Some(0),
                ..named(Role::Server)
            },
            "--weight must be 1 or more",
        ),
        (
            Settings {
                servers: Some(0),
                ..Settings::default()
            },
            "--servers must be 1 to 64",
        ),
        (
            Settings {
                expires: Some(ExpiresTable {
                    min_secs: 4_000,
                    ..ExpiresTable::default()
                }),
                ..Settings::default()
            },
            "expires: 1 <= min_secs <= default_secs <= max_secs and jitter_percent <= 50 must hold",
        ),
        (
            with_flows(5, 0),
            "flows: silence_secs and ask_secs must be 0, or 6 to 7200",
        ),
        (
            with_flows(60, 7_201),
            "flows: silence_secs and ask_secs must be 0, or 6 to 7200",
        ),
        (
            Settings {
                limits: Some(LimitsTable {
                    server_held_mib: 0,
                    ..LimitsTable::default()
                }),
                ..Settings::default()
            },
            "limits: each must be 1 to 65535",
        ),
    ];
    for (settings, expected) in table {
        let error = Config::new(settings).unwrap_err().to_string();
        assert_eq!(error, expected);
    }
}

#[test]
fn a_domain_that_no_address_can_be_of_is_refused() {
    let table = [
        ("example.com", true),
        ("Example.COM", true),
        ("192.0.2.1", true),
        ("[2001:db8::1]", true),
        ("", false),
        ("exa mple.com", false),
        ("sip:example.com", false),
        ("alice@example.com", false),
        ("example.com:5060", false),
        ("example.com;transport=tcp", false),
        ("b\u{fc}cher.example", false),
    ];
    for (domain, is_taken) in table {
        let settings = Settings {
            domains: vec![domain.to_owned()],
            ..Settings::default()
        };
        let expected = ConfigError::Domain {
            domain: domain.to_owned(),
        };
        let refused = Config::new(settings).err();
        assert_eq!(refused, (!is_taken).then_some(expected), "{domain}");
    }
}

#[test]
fn what_may_wait_is_as_much_as_the_file_says_and_else_as_the_machines_have_it() {
    let limits = |text: &str| {
        let settings = parse::<Settings>("f", text).unwrap();
        let config = Config::new(settings).unwrap();
        (config.balancer_held_bytes, config.server_held_bytes)
    };
    let balancer = presently_balancer::Config::default().waiting_bytes_max;
    let server = presently_presence::Config::new("s", std::sync::Arc::default()).held_bytes_max;
    assert_eq!(limits(""), (balancer, server));
    let said = "[limits]\nbalancer_held_mib = 1\nserver_held_mib = 4096";
    assert_eq!(limits(said), (1 << 20, 4 << 30));
}

#[test]
fn an_address_has_as_many_connections_as_the_file_says_and_else_as_the_transport_has_it() {
    let most = |text: &str| {
        let settings = parse::<Settings>("f", text).unwrap();
        Config::new(settings).unwrap().connections_per_address
    };
    assert_eq!(most(""), presently_transport::Limits::default().per_source);
    assert_eq!(most("[limits]\nconnections_per_address = 20000"), 20_000);
}

#[test]
fn a_process_of_one_role_has_one_member() {
    let settings = Settings {
        role: Some(Role::Server),
        name: Some("s9".to_owned()),
        ..Settings::default()
    };
    let config = Config::new(settings).unwrap();
    assert!(config.balancer.is_none() && config.listen.is_empty());
    assert_eq!(config.servers.len(), 1);
    assert_eq!(config.servers[0].sip, Some(ANY_PORT));
}
