//! Goal: a pool started by the library serves phones, whole or in parts, and stops and starts as it
//! should. Method: real sockets and a store in a folder of its own; each wait has a bound.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use presently::config::{Role, StorePath};
use presently::{Config, Phone, Pool, Reading, Running, Settings, StartError, nlb};
use presently_agent::{Event, pidf, read_pidf};
use presently_pool::MemberState;
use presently_sip::Aor;

/// A folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("presently-test-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn store(&self) -> PathBuf {
        self.0.join("pool.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn settings(store: &Path) -> Settings {
    Settings {
        store: Some(StorePath(store.to_owned())),
        ..Settings::default()
    }
}

fn whole(store: &Path) -> Config {
    let listen = vec!["udp:127.0.0.1:0".parse().unwrap()];
    Config::new(Settings {
        listen,
        ..settings(store)
    })
    .unwrap()
}

fn part(store: &Path, role: Role, name: &str) -> Running {
    let listen = match role {
        Role::Balancer => vec!["udp:127.0.0.1:0".parse().unwrap()],
        Role::All | Role::Server => Vec::new(),
    };
    let settings = Settings {
        listen,
        role: Some(role),
        name: Some(name.to_owned()),
        ..settings(store)
    };
    presently::start(Config::new(settings).unwrap()).unwrap()
}

async fn phone(name: &str, pool: &Running) -> Phone {
    let aor = Aor::parse(&format!("sip:{name}@example.com")).unwrap();
    Phone::open(aor, pool.addresses().listen[0].1)
        .await
        .unwrap()
}

async fn heard(phone: &mut Phone, is_it: impl Fn(&Event) -> bool) {
    let hearing = async { while !is_it(&phone.next_event().await.unwrap()) {} };
    // Longer than a REGISTER's first repeats: a server may just be on its way.
    tokio::time::timeout(Duration::from_secs(10), hearing)
        .await
        .expect("heard in time");
}

fn says(event: &Event, wanted: &str) -> bool {
    let Event::Notified(notified) = event else {
        return false;
    };
    let notes = read_pidf(&notified.body).map(|(_, notes)| notes);
    notes.is_some_and(|notes| notes.iter().any(|note| note == wanted))
}

/// bob watches alice and is told what she publishes.
async fn presence_travels(pool: &Running, note: &str) {
    let alice = Aor::parse("sip:alice@example.com").unwrap();
    let mut bob = phone("bob", pool).await;
    let target = alice.clone();
    bob.ask(|agent, now, out| agent.subscribe(now, &target, "presence", 600, &[], out));
    heard(&mut bob, |event| matches!(event, Event::Notified(_))).await;
    let mut publisher = phone("alice", pool).await;
    let body = pidf(&alice, true, Some(note));
    let pidf_type = "application/pidf+xml";
    publisher.ask(|agent, now, out| agent.publish(now, "presence", pidf_type, body, 600, out));
    heard(&mut publisher, |event| {
        matches!(event, Event::Published { .. })
    })
    .await;
    heard(&mut bob, |event| says(event, note)).await;
}

#[tokio::test]
async fn a_whole_pool_serves_stops_and_serves_again() {
    let folder = Folder::new("whole");
    let pool = presently::start(whole(&folder.store())).unwrap();
    presence_travels(&pool, "first").await;
    let snapshot = pool.control().snapshot().await.unwrap();
    assert!(snapshot.is_ready);
    assert!(
        snapshot
            .encode()
            .contains("presence_notifies_sent_total{server=\"s1\"}")
    );
    pool.stop().unwrap();
    let status = Reading::open(&folder.store()).unwrap().status().unwrap();
    assert!(
        status
            .members
            .iter()
            .all(|member| member.state == MemberState::Left)
    );
    assert!(status.clients > 0, "subscriptions outlive a stop");
    let pool = presently::start(whole(&folder.store())).unwrap();
    presence_travels(&pool, "second").await;
    pool.stop().unwrap();
}

#[tokio::test]
async fn parts_of_a_pool_find_each_other_through_the_store() {
    let folder = Folder::new("parts");
    let store = folder.store();
    let balancer = part(&store, Role::Balancer, "b1");
    let servers = ["s1", "s2"].map(|name| part(&store, Role::Server, name));
    presence_travels(&balancer, "over links").await;
    let snapshot = balancer.control().snapshot().await.unwrap();
    assert_eq!(snapshot.links.opened, 2);
    for server in servers {
        let snapshot = server.control().snapshot().await.unwrap();
        assert_eq!(snapshot.servers[0].clients, 1, "one client each");
        server.stop().unwrap();
    }
    balancer.stop().unwrap();
}

#[tokio::test]
async fn a_server_that_comes_back_is_called_again() {
    let folder = Folder::new("back");
    let store = folder.store();
    let balancer = part(&store, Role::Balancer, "b1");
    let server = part(&store, Role::Server, "s1");
    presence_travels(&balancer, "before").await;
    server.stop().unwrap();
    let server = part(&store, Role::Server, "s1");
    presence_travels(&balancer, "after").await;
    let snapshot = balancer.control().snapshot().await.unwrap();
    assert_eq!((snapshot.links.opened, snapshot.links.broken), (2, 1));
    server.stop().unwrap();
    balancer.stop().unwrap();
}

#[tokio::test]
async fn a_second_life_of_a_name_is_refused_while_the_first_lives() {
    let folder = Folder::new("name");
    let store = folder.store();
    let first = part(&store, Role::Server, "s1");
    let second = Settings {
        role: Some(Role::Server),
        name: Some("s1".to_owned()),
        ..settings(&store)
    };
    let refused = presently::start(Config::new(second).unwrap()).unwrap_err();
    assert!(matches!(refused, StartError::NameTaken { .. }), "{refused}");
    first.stop().unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let folder = Folder::new("port");
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let settings = Settings {
        listen: vec![format!("udp:{address}").parse().unwrap()],
        ..settings(&folder.store())
    };
    let error = presently::start(Config::new(settings).unwrap()).unwrap_err();
    assert!(error.is_address_taken());
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(
        !folder.store().exists(),
        "nothing is made before everything is open"
    );
}

/// Whoever asked was told by then that nothing was taken over. A loop that does not run is as stuck
/// as can be.
#[tokio::test]
async fn what_a_stuck_pool_was_to_take_over_is_not_done_later() {
    let folder = Folder::new("stuck");
    let config = whole(&folder.store());
    let mut changed = config.clone();
    changed.domains = vec!["example.org".to_owned()];
    let pool = Pool::open(config).await.unwrap();
    let (control, at) = (pool.control(), pool.addresses().listen[0].1);
    assert_eq!(control.take_over(&changed).await, None);
    let using = async {
        let alice = Aor::parse("sip:alice@example.com").unwrap();
        let mut phone = Phone::open(alice.clone(), at).await.unwrap();
        let body = pidf(&alice, true, None);
        let pidf_type = "application/pidf+xml";
        phone.ask(|agent, now, out| agent.publish(now, "presence", pidf_type, body, 600, out));
        heard(&mut phone, |event| matches!(event, Event::Published { .. })).await;
    };
    tokio::select! {
        ended = pool.run(std::future::pending()) => panic!("{ended:?}"),
        () = using => {}
    }
}

#[tokio::test]
async fn what_a_stuck_nlb_was_to_take_over_is_not_done_later() {
    let folder = Folder::new("stuck-nlb");
    let settings = |servers: &[&str]| {
        let store = folder.store().display().to_string();
        let mut text = format!(
            "domain = \"example.com\"\npresence = \"udp:127.0.0.1:9\"\nsip = \"127.0.0.1:0\"\n\
             store = \"sqlite:{store}\"\nthreads = 1\nuser = [{{ header = \"X-User\" }}]\n\
             [[listen]]\nkind = \"http\"\naddress = \"127.0.0.1:0\"\n"
        );
        for name in servers {
            let server = format!("[[server]]\nname = \"{name}\"\naddress = \"127.0.0.1:9\"\n");
            text.push_str(&server);
        }
        let file = folder.0.join("nlb.toml");
        std::fs::write(&file, text).unwrap();
        nlb::Settings::read(&file).unwrap()
    };
    let config = nlb::Config::new(settings(&["a"])).unwrap();
    let nlb = nlb::Nlb::open(config).await.unwrap();
    let control = nlb.control();
    let is_done = control.take_over(&settings(&["b"])).await.unwrap();
    assert!(!is_done);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let looking = async {
        let list = control.sessions("", 0).await.unwrap();
        drop(stop);
        list.servers
    };
    let stopping = async { drop(stopped.await) };
    let (ran, servers) = tokio::join!(nlb.run(stopping), looking);
    ran.unwrap();
    let names: Vec<_> = servers.iter().map(|row| row.server.as_str()).collect();
    assert_eq!(names, ["a"]);
}
