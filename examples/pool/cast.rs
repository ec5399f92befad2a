//! The demo phones: each a user agent on a UDP socket and a task of its own.

use std::time::Instant;

use presently::Phone;
use presently_agent::{Agent, Event, Outputs};
use presently_sip::{Aor, Now};
use tokio::sync::mpsc;

/// One demo phone, and what its socket has heard.
pub(crate) struct Actor {
    pub(crate) name: &'static str,
    pub(crate) aor: Aor,
    asks: mpsc::Sender<Ask>,
    heard: mpsc::Receiver<(Instant, Event)>,
}

type Ask = Box<dyn FnOnce(&mut Agent, Now, &mut Outputs) + Send>;

impl Actor {
    /// Switches the phone on; it does nothing by itself.
    pub(crate) async fn enter(
        name: &'static str,
        pool: std::net::SocketAddr,
    ) -> Result<Self, String> {
        let aor =
            Aor::parse(&format!("sip:{name}@127.0.0.1")).map_err(|error| error.to_string())?;
        let phone = Phone::open(aor.clone(), pool).await;
        let phone = phone.map_err(|error| error.to_string())?;
        let (asks, asked) = mpsc::channel(16);
        let (hearing, heard) = mpsc::channel(256);
        tokio::spawn(act(phone, asked, hearing));
        Ok(Self {
            name,
            aor,
            asks,
            heard,
        })
    }

    /// Has the phone do something; when it was asked.
    pub(crate) async fn ask(
        &self,
        work: impl FnOnce(&mut Agent, Now, &mut Outputs) + Send + 'static,
    ) -> Instant {
        let asked_at = Instant::now();
        // A phone whose task ended hears nothing either, and that fails the step.
        let _ = self.asks.send(Box::new(work)).await;
        asked_at
    }

    /// Waits until the phone hears something that `read` understands.
    pub(crate) async fn hear<T>(
        &mut self,
        mut read: impl FnMut(&Event) -> Option<T>,
    ) -> Result<(Instant, T), String> {
        while let Some((at, event)) = self.heard.recv().await {
            if let Some(found) = read(&event) {
                return Ok((at, found));
            }
            if is_failure(&event) {
                return Err(format!("{} heard {event:?}", self.name));
            }
        }
        Err(format!("the phone of {} broke", self.name))
    }
}

async fn act(
    mut phone: Phone,
    mut asked: mpsc::Receiver<Ask>,
    hearing: mpsc::Sender<(Instant, Event)>,
) {
    loop {
        tokio::select! {
            ask = asked.recv() => match ask {
                Some(ask) => phone.ask(ask),
                None => return,
            },
            event = phone.next_event() => {
                let Ok(event) = event else {
                    return;
                };
                // After the story nobody listens any more: the phone lives on, what it hears is dropped.
                let _ = hearing.try_send((Instant::now(), event));
            }
        }
    }
}

fn is_failure(event: &Event) -> bool {
    matches!(
        event,
        Event::PublishFailed { .. }
            | Event::RegisterFailed { .. }
            | Event::SubscribeFailed { .. }
            | Event::TimedOut { .. }
    )
}
