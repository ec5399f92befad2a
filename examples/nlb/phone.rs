//! The users' SIP phones: each a user agent on a UDP socket and a task of its own.

use std::net::SocketAddr;
use std::time::Instant;

use presently::Phone;
use presently_agent::{Agent, Event, Outputs, pidf};
use presently_sip::{Aor, Now};
use tokio::sync::mpsc;

/// One phone that is switched on, and what it hears.
pub(crate) struct DemoPhone {
    aor: Aor,
    asks: mpsc::Sender<Ask>,
    heard: mpsc::Receiver<(Instant, Event)>,
}

type Ask = Box<dyn FnOnce(&mut Agent, Now, &mut Outputs) + Send>;

impl DemoPhone {
    /// A phone of `aor` at `pool`, which does nothing by itself.
    pub(crate) async fn new(aor: Aor, pool: SocketAddr) -> Result<Self, String> {
        let phone = Phone::open(aor.clone(), pool).await;
        let phone = phone.map_err(|error| error.to_string())?;
        let (asks, asked) = mpsc::channel(16);
        let (hearing, heard) = mpsc::channel(64);
        tokio::spawn(live(phone, asked, hearing));
        Ok(Self { aor, asks, heard })
    }

    /// Registers and publishes that its user is there; when the presence server has taken both.
    pub(crate) async fn log_on(&mut self) -> Result<Instant, String> {
        let aor = self.aor.clone();
        self.ask(move |agent, now, out| {
            agent.register(now, EXPIRES_SECS, out);
            let body = pidf(&aor, true, None);
            agent.publish(now, PACKAGE, PIDF, body, EXPIRES_SECS, out);
        })
        .await;
        self.hear_of(|event| matches!(event, Event::Published { .. }).then_some(()))
            .await
            .map(|(at, ())| at)
    }

    /// Takes the publication and the registration back; when the presence server knew first.
    pub(crate) async fn log_off(&mut self) -> Result<Instant, String> {
        self.ask(|agent, now, out| {
            agent.unpublish(now, PACKAGE, out);
            agent.unregister(now, out);
        })
        .await;
        let known = |event: &Event| {
            matches!(event, Event::Unpublished { .. } | Event::Unregistered).then_some(())
        };
        let (first, ()) = self.hear_of(known).await?;
        self.hear_of(known).await?;
        Ok(first)
    }

    /// The next thing that the phone hears and `read` understands.
    pub(crate) async fn hear_of<T>(
        &mut self,
        read: impl Fn(&Event) -> Option<T>,
    ) -> Result<(Instant, T), String> {
        loop {
            let (at, event) = self.heard.recv().await.ok_or("the phone broke")?;
            if let Some(found) = read(&event) {
                return Ok((at, found));
            }
            if let Event::PublishFailed { .. } | Event::RegisterFailed { .. } = event {
                return Err(format!("the phone of {} heard {event:?}", self.aor));
            }
        }
    }

    async fn ask(&self, work: impl FnOnce(&mut Agent, Now, &mut Outputs) + Send + 'static) {
        // A phone whose task ended hears nothing either, and that fails the step.
        let _ = self.asks.send(Box::new(work)).await;
    }
}

async fn live(
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
                // After the story nobody listens any more: what the phone hears is dropped.
                let _ = hearing.try_send((Instant::now(), event));
            }
        }
    }
}

const PACKAGE: &str = "presence";
const PIDF: &str = "application/pidf+xml";
const EXPIRES_SECS: u32 = 600;
