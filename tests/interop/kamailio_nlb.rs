//! The real nlb with Kamailio as its presence server: users leave, stay and come back.

use std::net::UdpSocket;
use std::time::Duration;

use presently_agent::Event;
use presently_tests::program::{Application, Guest, Nlb, Place, Town};

use super::kamailio::Kamailio;

/// What a user's first request makes.
const START: [&str; 6] = [
    "registered",
    "announced",
    "recorded",
    "admitted",
    "subscribed",
    "baseline",
];
/// What is given back once the user has left.
const END: [&str; 6] = [
    "decided",
    "released",
    "unsubscribed",
    "terminated",
    "unregistered",
    "purged",
];
/// Longer than a notification's second can blur: a path that was quiet for so long was not used.
const QUIET: Duration = Duration::from_millis(3_500);

/// Kamailio, an nlb in front of one application server, and alice's phone.
struct Scene {
    town: Town,
    alice: usize,
    nlb: Nlb,
    _application: Application,
    _place: Place,
    kamailio: Kamailio,
}

impl Scene {
    fn new() -> Self {
        let (place, kamailio) = (Place::new(), Kamailio::start());
        let application = Application::start("app1");
        let settings = Nlb::settings(&place, kamailio.at, &[&application]);
        let nlb = Nlb::start(&place, &settings);
        let mut town = Town::default();
        let alice = town.udp("alice", kamailio.at);
        town.register(alice);
        town.publish(alice, true, "here");
        Self {
            town,
            alice,
            nlb,
            _application: application,
            _place: place,
            kamailio,
        }
    }

    /// Alice asks for the application.
    fn enter(&self) -> Guest {
        let mut guest = Guest::open(self.nlb.http, "alice", None).expect("she is admitted");
        assert!(guest.echo());
        self.nlb.until_steps("alice", &START);
        guest
    }

    fn until_gone(&self, guest: &mut Guest) {
        guest.until_closed();
        self.nlb.until_steps("alice", &[&START[..], &END].concat());
        assert!(self.nlb.session("alice").is_none());
    }
}

// S1, S2, S3, S5, S6, S10, S11, S12
pub(crate) fn closed_is_released() {
    let mut scene = Scene::new();
    let mut guest = scene.enter();
    scene.town.live(QUIET);
    scene.town.publish(scene.alice, false, "gone");
    scene.until_gone(&mut guest);
}

/// Kamailio tells the end of the last publication by a NOTIFY without a document.
pub(crate) fn vanished_is_released() {
    let mut scene = Scene::new();
    let mut guest = scene.enter();
    scene.town.live(QUIET);
    let alice = scene.town.phone(scene.alice);
    let body = presently_agent::pidf(&super::kamailio::aor("alice"), true, None);
    alice.ask(|agent, now, out| {
        agent.publish(now, "presence", "application/pidf+xml", body, 2, out);
    });
    scene.town.live(Duration::from_millis(500));
    let nowhere = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let nowhere = nowhere.expect("a free port");
    assert_ne!(nowhere, scene.kamailio.at);
    scene.town.phone(scene.alice).turn_to(nowhere);
    scene.until_gone(&mut guest);
}

// S8
pub(crate) fn a_user_at_work_is_sent_the_uuid() {
    let mut scene = Scene::new();
    let mut guest = scene.enter();
    assert!(guest.echo());
    scene.town.publish(scene.alice, false, "the phone says so");
    let alice = scene.alice;
    let mut said = String::new();
    scene.town.until("the message", |town| {
        let told = town
            .phone(alice)
            .events
            .iter()
            .find_map(|event| match event {
                Event::MessageReceived { body, .. } => {
                    Some(String::from_utf8_lossy(body).into_owned())
                }
                _ => None,
            });
        said = told.unwrap_or_default();
        !said.is_empty()
    });
    let session = scene.nlb.session("alice").expect("it lives");
    assert!(said.contains(&format!("UUID={}", session.uuid)), "{said}");
    assert!(guest.echo(), "and nothing is cut");
}
