//! The demo phones: each a user agent on a UDP socket and a task of its own.

use std::time::Instant;

use presently::Phone;
use presently_agent::{Agent, Event, Outputs, SubscriptionId};
use presently_sip::{Aor, Now};
use tokio::sync::mpsc;

/// One demo phone, and what its socket has heard.
pub(crate) struct Actor {
    pub(crate) name: &'static str,
    pub(crate) aor: Aor,
    /// Its subscriptions.
    pub(crate) watches: Vec<SubscriptionId>,
    asks: mpsc::Sender<Ask>,
}

/// Who heard what, and when.
pub(crate) type Heard = (&'static str, Instant, Event);

type Ask = Box<dyn FnOnce(&mut Agent, Now, &mut Outputs) + Send>;

impl Actor {
    /// Switches the phone on; it does nothing by itself.
    pub(crate) async fn enter(
        name: &'static str,
        pool: std::net::SocketAddr,
        hearing: mpsc::Sender<Heard>,
    ) -> Result<Self, String> {
        let aor =
            Aor::parse(&format!("sip:{name}@example.com")).map_err(|error| error.to_string())?;
        let phone = Phone::open(aor.clone(), pool).await;
        let phone = phone.map_err(|error| error.to_string())?;
        let (asks, asked) = mpsc::channel(16);
        tokio::spawn(act(name, phone, asked, hearing));
        Ok(Self {
            name,
            aor,
            watches: Vec::new(),
            asks,
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
}

async fn act(
    name: &'static str,
    mut phone: Phone,
    mut asked: mpsc::Receiver<Ask>,
    hearing: mpsc::Sender<Heard>,
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
                // After the story nobody listens any more: the phone lives on, what it hears is
                // dropped.
                let _ = hearing.try_send((name, Instant::now(), event));
            }
        }
    }
}

/// Whether the phone could not do what it was asked.
pub(crate) fn is_failure(event: &Event) -> bool {
    matches!(
        event,
        Event::PublishFailed { .. }
            | Event::RegisterFailed { .. }
            | Event::SubscribeFailed { .. }
            | Event::TimedOut { .. }
    )
}
