//! What a fault of our own costs: here a panic.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use hyper::header::HeaderName;
use hyper::{HeaderMap, Uri};
use presently_sip::{Aor, Moment};

use crate::tests::side::{App, Side, expect_ok, get, head, is_closed, loopback, ok, send, with};
use crate::{Asked, Identify, Listener, Proxy, Who};

/// Panics for one name.
struct Faulty([HeaderName; 1]);

impl Identify for Faulty {
    fn headers(&self) -> &[HeaderName] {
        &self.0
    }

    fn reads_query(&self) -> bool {
        false
    }

    fn who(&self, _: &Uri, headers: &HeaderMap) -> Who {
        let name = headers.get(&self.0[0]).unwrap().to_str().unwrap();
        assert_ne!(name, "fault", "as this test wants it");
        Who {
            user: self.named(name),
            ..Who::default()
        }
    }

    fn named(&self, name: &str) -> Option<Aor> {
        Aor::parse(&format!("sip:{name}@example.com")).ok()
    }
}

fn faulty() -> Arc<Faulty> {
    Arc::new(Faulty([HeaderName::from_static("x-user")]))
}

#[tokio::test]
async fn a_panic_costs_its_connection_and_keeps_no_place() {
    let mut settings = with(Listener::http(loopback()));
    (settings.limits.connections, settings.limits.per_source) = (1, 1);
    let mut side = Side::start_with(settings, faulty()).unwrap();
    let app = App::new().await;
    for _ in 0..2 {
        let mut client = side.client().await;
        send(&mut client, &get("/", "alice")).await;
        let path = side.admit(&app).await.path;
        let mut server = app.accept().await;
        head(&mut server).await;
        send(&mut server, &ok("a")).await;
        expect_ok(&mut client, "a").await;
        send(&mut client, &get("/", "fault")).await;
        assert!(is_closed(&mut client).await);
        assert_eq!(side.left().await, path);
    }
}

#[tokio::test]
async fn a_thread_that_fails_says_so() {
    // The thread reads the clock as it begins, then to look at everyone's time.
    for well_for in [0, 1, 2] {
        let reads = AtomicU32::new(0);
        let clock = Arc::new(move || {
            assert!(reads.fetch_add(1, Relaxed) < well_for, "as this test wants");
            Moment(0)
        });
        let settings = with(Listener::http(loopback()));
        let started = Proxy::start(settings, faulty(), clock, NonZeroU16::MIN);
        let (proxy, questions) = started.unwrap();
        let mut side = Side { proxy, questions };
        let asked = side.asked().await;
        assert!(matches!(asked, Asked::Failed), "{asked:?}");
    }
}
